"""What the rows of make accuracy are about: data sets of Debian, and of the folder
../shared/data where that is there.  What has to be unpacked or parted is made once, in
build/accuracy/data.  Raises Absent with a sentence where something is not there."""
import collections
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tarfile

from lab import Absent, Failed
from t import BUILD, SHARED

HERE = os.path.dirname(os.path.abspath(__file__))
MADE = f"{BUILD}/accuracy/data"
PILLOWS = "/usr/bin/python3"            # Debian's, whose packages deps.sh installs


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


def decode(folder, out):
    """Absent where there is no Pillow; where it fails at an image, so does the row."""
    for wrong, args in (Absent, ["-c", "import numpy, PIL.Image"]), (Failed, [f"{HERE}/samples.py", folder, out]):
        p = subprocess.run([PILLOWS, *args], capture_output=True, text=True)
        if p.returncode:
            last = (p.stderr.strip().splitlines() or [f"{PILLOWS} ended with {p.returncode}"])[-1]
            raise wrong(f"images are not decoded: {last}")


def cifar(part):
    """25,000 images to train on, 10,000 to test: JPEGs, decoded by Pillow into the binary records of
    CIFAR (samples.py)."""
    images = made("cifar10", unpacked(shared("cifar10/cifar10-jpg-subset.tar.gz")))

    def records(folder):
        decode(f"{images}/cifar10-jpg/{part}", f"{folder}/images.bin")
    return {"type": "cifar", "path": f"{made(f'cifar10-{part}', records)}/images.bin"}


# --- folds ------------------------------------------------------------------------

def drawn(name):
    """A number that a name has for good, as good as drawn."""
    return hashlib.sha256(name.encode()).digest()


def parted(classes, folds):
    """{class: [name, ...]} as one number of a fold for each name: of each class as many in
    every fold, or one more."""
    return {name: i % folds for names in classes.values() for i, name in enumerate(sorted(names, key=drawn))}


def tile_folds(folds):
    """The magnetic tiles as tars that are read in place: of fold k what to train on and what
    to be judged by."""
    archive = shared("magnetic-tile/magnetic-tile-subset.tar")

    def make(folder):
        with tarfile.open(archive) as tar:
            images = [m for m in tar if m.isfile() and m.name.endswith(".jpg")]
            classes = {}
            for m in images:
                classes.setdefault(m.name.split("/")[-2], []).append(m.name)
            fold = parted(classes, folds)
            for k in range(folds):
                for part in "train", "test":
                    with tarfile.open(f"{folder}/{part}-{k}.tar", "w") as out:
                        for m in images:
                            if (fold[m.name] == k) == (part == "test"):
                                out.addfile(m, tar.extractfile(m))
    return made("tiles", make)


# --- sentences --------------------------------------------------------------------

PAD, UNKNOWN, FIRST = 0, 1, 2           # ids that are no word; FIRST begins each sentence
LENGTH = 64                             # tokens; the longest sentence has 58 words


def words_of(line):
    """Lower-cased, parted at white space and round each punctuation character."""
    return re.findall(r"\w+|[^\w\s]", line.lower())


def npy(path, kind, shape, numbers):
    """https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"""
    head = f"{{'descr': '<{kind}4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        f.write(struct.pack(f"<{len(numbers)}{kind}", *numbers))


def polarity():
    """10,662 sentences about films, half of them for and half against, of which a tenth of each
    is held out; and how many tokens there are: words that two of the others have."""
    whole = {name: shared(f"text/rt-polarity.{name}") for name in ("neg", "pos")}

    def make(folder):
        parts = {"train": [], "test": []}
        for label, path in enumerate(whole.values()):
            with open(path, encoding="latin-1", newline="\n") as f:
                lines = [x for x in f if x.strip()]
            fold = parted({"all": lines}, 10)
            for x in lines:
                parts["test" if fold[x] == 0 else "train"].append((words_of(x), label))
        counts = collections.Counter(w for words, _ in parts["train"] for w in set(words))
        known = sorted(w for w, n in counts.items() if n > 1)
        ids = {w: FIRST + 1 + i for i, w in enumerate(known)}
        for part, rows in parts.items():
            x = [([FIRST] + [ids.get(w, UNKNOWN) for w in words] + [PAD] * LENGTH)[:LENGTH] for words, _ in rows]
            npy(f"{folder}/{part}-x.npy", "i", (len(rows), LENGTH), [t for row in x for t in row])
            npy(f"{folder}/{part}-y.npy", "i", (len(rows),), [label for _, label in rows])
        with open(f"{folder}/words", "w") as f:
            f.write("".join(f"{w}\n" for w in known))
    folder = made("polarity", make)
    with open(f"{folder}/words") as f:
        tokens = FIRST + 1 + f.read().count("\n")

    def source(part):
        return {"type": "npy", "path": f"{folder}/{part}-x.npy", "labels": f"{folder}/{part}-y.npy",
                "vocabulary": tokens}
    return {"train": source("train"), "validation": source("test")}, tokens
