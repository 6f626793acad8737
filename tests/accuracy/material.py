"""What the rows of make accuracy are about: data sets of Debian, and of the folder
../shared/data where that is there.  What has to be unpacked, parted or counted is made
once, in build/accuracy/data.  Raises Absent with a sentence where something is not there."""
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

from lab import Absent, Failed
from t import BUILD, SHARED

MADE = f"{BUILD}/accuracy/data"


def file(path):
    if not os.path.exists(path):
        raise Absent(f"{path} is not there")
    return path


def shared(name):
    return file(f"{SHARED}/data/{name}")


def made(name, make):
    """The folder MADE/NAME, filled by make(folder) unless it is there; whole or not at all."""
    path, new = f"{MADE}/{name}", f"{MADE}/{name}.new"
    if not os.path.exists(path):
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        make(new)
        os.rename(new, path)
    return path


def unpacked(archive):
    """A tar of ours: files in folders, nothing else is taken out of it."""
    def make(folder):
        with tarfile.open(archive) as tar:
            for m in tar:
                parts = m.name.split("/")
                if m.isfile() and ".." not in parts and not m.name.startswith("/"):
                    os.makedirs(f"{folder}/{'/'.join(parts[:-1])}", exist_ok=True)
                    with open(f"{folder}/{m.name}", "wb") as f:
                        shutil.copyfileobj(tar.extractfile(m), f)
    return make


def cifar(part):
    """25,000 images to train on, 10,000 to test: JPEGs in a folder a class."""
    images = made("cifar10", unpacked(shared("cifar10/cifar10-jpg-subset.tar.gz")))
    return {"type": "image_folder", "path": f"{images}/cifar10-jpg/{part}", "size": 32}


# --- folds ------------------------------------------------------------------------

def drawn(name):
    """A number that a name has for good, as good as drawn."""
    return hashlib.sha256(name.encode()).digest()


def parted(classes, folds):
    """{class: [name, ...]} as one number of a fold for each name: of each class as many in
    every fold, or one more."""
    return {name: i % folds for names in classes.values() for i, name in enumerate(sorted(names, key=drawn))}


def tile_folds(folds, name="tiles", without=()):
    """The magnetic tiles as tars that are read in place: of fold k what to train on and what
    to be judged by.  A tile is in the same fold whichever classes are left out."""
    archive = shared("magnetic-tile/magnetic-tile-subset.tar")

    def make(folder):
        with tarfile.open(archive) as tar:
            images = [m for m in tar if m.isfile() and m.name.endswith(".jpg")]
            classes = {}
            for m in images:
                classes.setdefault(m.name.split("/")[-2], []).append(m.name)
            fold = parted(classes, folds)
            images = [m for m in images if m.name.split("/")[-2] not in without]
            for k in range(folds):
                for part in "train", "test":
                    with tarfile.open(f"{folder}/{part}-{k}.tar", "w") as out:
                        for m in images:
                            if (fold[m.name] == k) == (part == "test"):
                                out.addfile(m, tar.extractfile(m))
    return made(name, make)


# --- sentences --------------------------------------------------------------------

TENTH = 10
PARTS = "train", "test"


def sentences(whole, folder):
    """Of the files {class: path}, a sentence a line, a tenth held out: FOLDER/train.CLASS and FOLDER/test.CLASS.
    A sentence that is there twice is twice on the same side."""
    for name, path in whole.items():
        with open(path, encoding="latin-1", newline="\n") as f:
            lines = [x.rstrip("\n") for x in f if x.strip()]
        fold = parted({name: lines}, TENTH)
        for part in PARTS:
            with open(f"{folder}/{part}.{name}", "w", encoding="latin-1", newline="\n") as f:
                f.write("".join(f"{x}\n" for x in lines if (fold[x] == 0) == (part == "test")))


def texts(folder, part, classes, tokenizer, length):
    return {"type": "text", "classes": {c: f"{folder}/{part}.{c}" for c in classes}, "encoding": "latin-1",
            "length": length, "tokenizer": tokenizer}


def vocabulary(source, size):
    """Made by rekindle-train of what is trained on, where the source's tokenizer says; how many tokens it has."""
    path, kind = source["tokenizer"]["vocabulary"], source["tokenizer"]["type"]
    with open(f"{path}.json", "w") as f:
        json.dump({"name": "vocabulary", "model": {"arch": "textcnn", "vocabulary": size}, "training": {"epochs": 1},
                   "data": {"train": source}}, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--make-vocabulary", f"{path}.json", "--size", str(size),
                        "--kind", kind], capture_output=True, text=True)
    if p.returncode:
        raise Failed(f"no vocabulary is made: {p.stderr.strip()}")
    return tokens_of(path)


def tokens_of(path):
    with open(path, "rb") as f:
        return f.read().count(b"\n")


def polarity(kind, size, length):
    """10,662 sentences about films, half of them for and half against, of which a tenth of each is held out, as
    `length` tokens of a `kind` of tokenizer: the two sources, and how many tokens there are, at most `size`."""
    whole = {name: shared(f"text/rt-polarity.{name}") for name in ("neg", "pos")}
    folder = made("sentences", lambda new: sentences(whole, new))

    def source(part, words):
        return texts(folder, part, whole, {"type": kind, "vocabulary": f"{words}/vocabulary"}, length)
    words = made(f"vocabulary-{kind}-{size}", lambda new: vocabulary(source("train", new), size))
    return {"train": source("train", words), "validation": source("test", words)}, tokens_of(f"{words}/vocabulary")
