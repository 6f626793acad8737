"""A job's data as arrays, read for PyTorch's side by other programs than rekindle's:
NumPy, Pillow.  read(source) gives (x, y): images as bytes [n, channels, h, w],
sentences as numbers of words [n, length]; y whole numbers."""
import gzip
import os
import sys

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


def images_of(folder):
    """(path, class) of each image of class folders, classes numbered by name."""
    classes = sorted(e.name for e in os.scandir(folder) if e.is_dir())
    return [(f"{folder}/{name}/{image}", i) for i, name in enumerate(classes)
            for image in sorted(os.listdir(f"{folder}/{name}"))]


def image_folder(source):
    from PIL import Image
    found = images_of(source["path"])
    pixels = [np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path, _ in found]
    return np.stack(pixels), np.array([y for _, y in found], np.int64)


def npy(source):
    return np.load(source["path"]).astype(np.int64), np.load(source["labels"]).astype(np.int64)


READERS = {"idx": idx, "cifar": cifar, "image_folder": image_folder, "npy": npy}


def read(source):
    return READERS[source["type"]](source)


def main():
    """samples.py FOLDER OUT: class folders of images as binary records of CIFAR."""
    x, y = image_folder({"path": sys.argv[1]})
    with open(sys.argv[2], "wb") as f:
        for pixels, label in zip(x, y):
            f.write(bytes([label]) + pixels.tobytes())


if __name__ == "__main__":
    main()
