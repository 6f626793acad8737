"""Small pictures for tests: PNGs of random pixels in class folders, written without a
library, so that their bytes are the same everywhere."""
import os
import random
import struct
import zlib

# What no decoder of ours takes.
GIF = (b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00"
       b"\x02\x02D\x01\x00;")
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus")


def sample(kind, name):
    """A small picture of the fuzz targets' corpus: ("jpeg", "cmyk")."""
    with open(f"{CORPUS}/{kind}/{name}", "rb") as f:
        return f.read()


def png(w, h, rows, channels=3):
    """rows: h strings of w * channels bytes."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    head = struct.pack(">IIBBBBB", w, h, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows), 1)) +
            chunk(b"IEND", b""))


def noise(rng, w, h, red):
    """Noise whose red tells the class."""
    return [b"".join(bytes((min(255, red + rng.randrange(60)), rng.randrange(256), rng.randrange(256)))
                     for _ in range(w)) for _ in range(h)]


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def folder(path, classes, each, w=32, h=32, seed=1):
    """path/CLASS/[sub/]N.png, `each` of every class (or a number a class)."""
    rng = random.Random(seed)
    for c, name in enumerate(classes):
        n = each if isinstance(each, int) else each[c]
        os.makedirs(f"{path}/{name}", exist_ok=True)
        for i in range(n):
            sub = "sub/" if i % 2 else ""
            write(f"{path}/{name}/{sub}im {i:04}.png", png(w, h, noise(rng, w, h, 90 * c % 190)))
