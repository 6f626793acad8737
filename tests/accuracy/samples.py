"""A job's data as arrays, read for PyTorch's side by other programs than rekindle.
read(source) gives (x, y): images as bytes [n, channels, h, w]; y whole numbers."""
import gzip

import numpy as np


def whole(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        return f.read()


def idx(source):
    """http://yann.lecun.com/exdb/mnist/, of bytes."""
    def array(raw):
        d = np.frombuffer(raw, ">i4", raw[3], 4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(d)).reshape(d)
    x, y = array(whole(source["images"])), array(whole(source["labels"]))
    return x[:, None].copy(), y.astype(np.int64)


def cifar(source):
    """https://www.cs.toronto.edu/~kriz/cifar.html, the ten classes' form."""
    files = source["path"] if isinstance(source["path"], list) else [source["path"]]
    rows = np.concatenate([np.frombuffer(whole(f), np.uint8).reshape(-1, 3073) for f in files])
    return rows[:, 1:].reshape(-1, 3, 32, 32).copy(), rows[:, 0].astype(np.int64)


READERS = {"idx": idx, "cifar": cifar}


def read(source):
    return READERS[source["type"]](source)
