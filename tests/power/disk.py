"""What a disk keeps of the writes that no flush was behind when its power ended.  Not a test itself.

volatile.c makes the log of them; this puts back what was there before.
"""
import os
import random
import struct

PAGE, POSITION, SECTOR = 4096, 40, 512
# How the cache of the disk comes to its end.
WAYS = {
    "keep": "all writes are there",
    "none": "none of them",
    "prefix": "those up to one of them, and none of the later ones",
    "requests": "each request, or not, as a whole",
    "sectors": "each sector, or not: writes that were torn and put in another order",
}
OFTEN = ["keep", "none", "none", "prefix", "requests", "requests", "sectors", "sectors", "sectors"]


class Log:
    """The file's head, and the writes that are not durable, as they came: (offset, old bytes)."""

    def __init__(self, path):
        self.writes = []
        with open(path, "rb") as f:
            end, durable = struct.unpack("<QQ", f.read(16))
            low = (1 << POSITION) - 1
            at = durable & low if end >> POSITION == durable >> POSITION else PAGE
            end &= low
            f.seek(at)
            while at < end:
                offset, n = struct.unpack("<QQ", f.read(16))
                self.writes.append((offset, f.read(n)))
                at += 16 + n


def light(path, size):
    """The machine ends itself when so many bytes are on their way to the disk."""
    with open(path, "r+b") as f:
        f.seek(16)
        f.write(struct.pack("<Q", size))


def cut(image, log, way, seed):
    """Take back what is lost: (writes, sectors of them, sectors lost)."""
    r, writes = random.Random(seed), Log(log).writes
    first = r.randint(0, len(writes))
    last, lost = set(), 0               # sectors that a later write settles
    fd = os.open(image, os.O_RDWR)
    for i in reversed(range(len(writes))):
        offset, old = writes[i]
        # Of this request: all of it, nothing, or (None) each sector by itself.
        stays = {"keep": True, "none": False, "prefix": i < first, "requests": r.random() < 0.5, "sectors": None}[way]
        for at in range(offset, offset + len(old), SECTOR):
            if at in last:
                continue
            if stays or stays is None and r.random() < 0.5:
                last.add(at)
            else:
                os.pwrite(fd, old[at - offset:at - offset + SECTOR], at)
                lost += 1
    os.close(fd)
    return len(writes), sum(len(old) // SECTOR for _, old in writes), lost
