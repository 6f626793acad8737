#!/usr/bin/env python3
"""Tensors are called, shaped and counted as in the framework that a network comes from.

    keys_test.py [part of a case's name]...

A case for each file of tests/numerics/keys (make_keys.py writes them): the network of
its `model` line, as build/unit/train_drive --graph builds it, has exactly the tensors
listed.  Networks of more than LIMIT parameters only with ALL=1 (make check-numerics).
Needs nothing but Python.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(HERE, "../../build")))
DRIVE = f"{BUILD}/unit/train_drive"


def read(path):
    """({comment's key: text}, {tensor: shape})"""
    about, tensors = {}, {}
    with open(path) as f:
        for line in f.read().splitlines():
            if line.startswith("# "):
                key, _, text = line[2:].partition(": ")
                about[key] = text
            else:
                name, shape, *_ = line.split("\t")
                tensors[name] = [int(x) for x in shape.split(",")] if shape else []
    return about, tensors


def ours(about):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"name": "keys", "model": json.loads(about["model"]), "resources": {"memory": "20GiB"},
                   "training": {"steps": 1},
                   "data": {"train": {"type": "idx", "images": "/none", "labels": "/none"}}}, f)
        f.flush()
        p = subprocess.run([DRIVE, "--graph", f.name, about["input"]], capture_output=True, text=True)
    if p.returncode:
        return None, p.stderr.strip()
    return json.loads(p.stdout)["tensors"], None


def compare(path):
    """None, or what is wrong."""
    about, want = read(path)
    got, why = ours(about)
    if why:
        return why
    shapes = {t["name"]: t["shape"] for t in got}
    missing, strange = sorted(set(want) - set(shapes)), sorted(set(shapes) - set(want))
    if missing or strange:
        return f"{len(missing)} missing, such as {missing[:3]}; {len(strange)} of our own, such as {strange[:3]}"
    for name, shape in want.items():
        if shapes[name] != shape:
            return f"{name} is {shapes[name]}, want {shape}"
    count = 0
    for t in got:
        n = 1
        for d in t["shape"]:
            n *= d
        count += 0 if t["buffer"] else n
    if count != int(about["parameters"]):
        return f"{count} parameters, want {about['parameters']}"
    return None


def main():
    bad = 0
    for path in sorted(glob.glob(f"{HERE}/keys/*.txt")):
        name = os.path.basename(path)[:-len(".txt")]
        if sys.argv[1:] and not any(p in name for p in sys.argv[1:]):
            continue
        why = compare(path)
        bad += why is not None
        print(f"FAILED the_tensors_of_{name}: {why}" if why else f"ok the_tensors_of_{name}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
