"""The digests of a checkpoint's files by other programs than ours: hashlib and xxhsum.  Not a test itself."""
import hashlib
import os
import subprocess


def xxh128(path):
    r = subprocess.run(["xxhsum", "-H2", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if r.returncode != 0:
        raise FileNotFoundError(path)
    return r.stdout.split()[0]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def wrong(path, entry):
    """What is wrong with a file by its entry in checkpoint.json, or None."""
    size = os.path.getsize(path)
    if size != entry["size"]:
        return f"{path} has {size} bytes, not {entry['size']}"
    known = [(k, f) for k, f in (("sha256", sha256), ("xxh128", xxh128)) if k in entry]
    if not known:
        return f"{path} has no digest"
    for k, f in known:
        got = f(path)
        if got != entry[k]:
            return f"{path} has {k} {got}, not {entry[k]}"
    return None
