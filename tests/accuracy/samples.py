"""A job's data as arrays, read for PyTorch's side by other programs than rekindle's:
NumPy, Pillow, Python.  read(source) gives (x, y): images as bytes [n, channels, h, w],
texts as numbers of words [n, length]; y whole numbers."""
import gzip
import os
import unicodedata

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


def images_of(folder):
    """(path, class) of each image of class folders, classes numbered by name."""
    classes = sorted(e.name for e in os.scandir(folder) if e.is_dir())
    return [(f"{folder}/{name}/{image}", i) for i, name in enumerate(classes)
            for image in sorted(os.listdir(f"{folder}/{name}"))]


def image_folder(source):
    try:
        from PIL import Image
    except ImportError:
        raise SystemExit("images are decoded by Pillow, which this interpreter does not have") from None
    found = images_of(source["path"])
    pixels = [np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path, _ in found]
    if source.get("size") not in (None, *{p.shape[1] for p in pixels}, *{p.shape[2] for p in pixels}):
        raise SystemExit(f"images are to become {source['size']} high and wide, which this program does not do")
    return np.stack(pixels), np.array([y for _, y in found], np.int64)


def words_of(text):
    """Lower-cased, parted at white space and round each punctuation character; what is to control a terminal is
    nothing."""
    out = [""]
    for c in text:
        kind = unicodedata.category(c)
        if c in "\t\n\r" or kind[0] == "Z":
            out.append("")
        elif kind[0] == "P" or (c.isascii() and c.isprintable() and not c.isalnum()):
            out += [c, ""]
        elif kind[0] != "C":
            out[-1] += c.lower()
    return [w for w in out if w]


def text(source):
    """A file a class, a text a line; classes numbered by name, words by the lines of the vocabulary."""
    if source["tokenizer"]["type"] != "words":
        raise SystemExit(f"a tokenizer {source['tokenizer']['type']}, which this program does not know")
    with open(source["tokenizer"]["vocabulary"], encoding="utf-8", newline="\n") as f:
        ids = {line.rstrip("\n"): i for i, line in enumerate(f)}
    x, y, pad = [], [], [ids["[PAD]"]] * source["length"]
    for label, name in enumerate(sorted(source["classes"])):
        with open(source["classes"][name], encoding=source["encoding"], newline="\n") as f:
            for line in f:
                x.append(([ids.get(w, ids["[UNK]"]) for w in words_of(line)] + pad)[:source["length"]])
                y.append(label)
    return np.array(x, np.int64), np.array(y, np.int64)


READERS = {"idx": idx, "image_folder": image_folder, "text": text}


def read(source):
    return READERS[source["type"]](source)
