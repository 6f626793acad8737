#!/usr/bin/env python3
"""data.transforms of sources that are held in memory, and the contact sheet of what a network will see."""
import glob
import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import tarfile
import zlib

from t import BUILD, case, eq, has, limit, run, wait_for

EVERY = [{"type": "random_crop", "size": 32, "padding": 4}, "hflip", {"type": "rotate", "degrees": 15},
         {"type": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
         {"type": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
         {"type": "random_erasing", "noise": True}, {"type": "mixup", "alpha": 0.4}, "cutmix"]


def cifar(d, n=70, seed=1, name="c.bin"):
    """Records whose class one sees: a bar of its own row, in noise."""
    path, r = f"{d.root}/{name}", random.Random(seed)
    with open(path, "wb") as f:
        for i in range(n):
            p = bytearray(r.randrange(100) for _ in range(3072))
            for c in range(3):
                at = c * 1024 + 32 * 3 * (i % 10)
                p[at:at + 64] = bytes([230]) * 64
            f.write(bytes([i % 10]) + p)
    return path


def job(d, name="aug", transforms=None, epochs=4, **data):
    return {
        "name": name, "resources": {"threads": 1, "memory": "1GiB"},
        "model": {"layers": [{"type": "conv2d", "out": 4, "kernel": 5, "stride": 3}, "relu", "flatten",
                             {"type": "linear", "out": 10}]},
        "training": {"epochs": epochs, "batch_size": 16, "seed": 3},
        "data": {"train": {"type": "cifar", "path": cifar(d)}, "validation_split": 0.2,
                 "transforms": {"train": EVERY if transforms is None else transforms}, **data},
        "checkpoint": {"every": {"steps": 3}, "keep": {"last": 1000, "best": 0}},
    }


def begun(d, j, *args, rundir="run"):
    path = f"{d.root}/{j['name']}.json"
    with open(path, "w") as f:
        json.dump(j, f)
    return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", *args, path],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def train(d, j, *args, want=0, **kw):
    p = begun(d, j, *args, **kw)
    out, err = p.communicate(timeout=limit(60))
    eq(p.returncode, want, f"exit ({err[-600:]})")
    return out + err


def model(d, rundir):
    """Digests of what the newest checkpoint holds, but for what says when it was made."""
    folder = sorted(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*"))[-1]
    return os.path.basename(folder), [hashlib.sha256(open(f"{folder}/{f}", "rb").read()).hexdigest()
                                      for f in ("model.safetensors", "optimizer.safetensors")]


@case("transforms give the same bytes with any number of loaders and of threads", "stopped")
def _(d):
    train(d, job(d, threads=1), rundir="one")
    for loaders, threads in ((2, 2), (8, 3)):
        rundir = f"run{loaders}"
        train(d, job(d, threads=loaders), "--threads", str(threads), rundir=rundir)
        eq(model(d, rundir), model(d, "one"), f"with {loaders} loaders and {threads} threads")
    train(d, job(d, "plain", transforms=[]), rundir="plain")
    assert model(d, "plain")[1] != model(d, "one")[1], "the transforms change nothing"


@case("a run with transforms that is killed at random ends with the bytes of the undisturbed one", "stopped")
def _(d):
    train(d, job(d, epochs=12), rundir="whole")
    for k in range(3):
        rundir, j = f"killed{k}", job(d, epochs=12, threads=k + 1)
        p = begun(d, j, rundir=rundir)
        wait_for(30, "a checkpoint", lambda: p.poll() is not None or
                 len(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*")) > k)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        train(d, job(d, epochs=12, threads=4 - k), rundir=rundir)
        eq(model(d, rundir), model(d, "whole"), f"killed, the {k}th")


@case("a network learns from mixed pictures, and validation sees them as they are", "stopped")
def _(d):
    j = job(d, transforms=["hflip", {"type": "mixup", "alpha": 0.2}], epochs=30)
    j["training"]["optimizer"] = {"type": "adam", "learning_rate": 0.01}
    train(d, j)
    with open(f"{d.root}/run/metrics.jsonl") as f:
        lines = [json.loads(x) for x in f]
    best = max(x["accuracy"] for x in lines if x["split"] == "validation")
    assert best >= 0.9, f"validation accuracy is {best}"
    # Bars that are mixed are never surely of one class.
    assert min(x["loss"] for x in lines if x["split"] == "train") > 0.05, "labels are not mixed"


@case("transforms of training may change, begin and cease on a resume, and those of validation not", "stopped")
def _(d):
    train(d, job(d, epochs=1, transforms=[]))
    others = [t for t in EVERY if t == "hflip" or t == "cutmix" or t["type"] != "normalize"]
    for epochs, transforms in ((2, ["hflip", "mixup"]), (3, others), (4, []), (5, ["vflip"])):
        said = train(d, job(d, epochs=epochs, transforms=transforms))
        has(said, "the job has changed since")
        assert "the data ha" not in said, said
        with open(f"{d.root}/run/checkpoints/{model(d, 'run')[0]}/checkpoint.json") as f:
            eq(json.load(f)["epoch"], epochs, "epochs")
    j = job(d, epochs=6, transforms=["vflip"])
    j["data"]["transforms"]["validation"] = [{"type": "center_crop", "size": 32}]
    has(train(d, j, want=3), "data.transforms.validation: is an empty list and cannot be changed "
        "on a resume: the scores so far, and "
        "which checkpoint is the best, are of samples made so; to change it start a new job with model.checkpoint: job://")
    # Data that are others are still found, transforms or not.
    cifar(d, seed=2)
    for transforms in (["vflip"], []):
        j = job(d, epochs=6, transforms=transforms)
        cifar(d, seed=2)
        has(train(d, j, want=4), "the data has changed since")


@case("what does not fit the data is refused by its path", "stopped")
def _(d):
    with open(f"{d.root}/i", "wb") as f:
        f.write(struct.pack(">4BIII", 0, 0, 8, 3, 20, 6, 5) +
                bytes((7 * i + k) % 256 for i in range(20) for k in range(30)))
    with open(f"{d.root}/l", "wb") as f:
        f.write(struct.pack(">4BI", 0, 0, 8, 1, 20) + bytes(k % 2 for k in range(20)))
    j = job(d)
    j["data"] = {"train": {"type": "idx", "images": f"{d.root}/i", "labels": f"{d.root}/l"}, "validation_split": 0.2,
                 "transforms": {"train": ["resize"]}}
    has(train(d, j, want=3), "data.transforms.train[0].size: is missing, want an integer 1 to 8192 or [height, width]")
    j["data"]["transforms"] = {"train": [{"type": "random_crop", "size": 4}]}
    has(train(d, j, want=3), "data.transforms.validation: makes pictures of 6 x 5, and those of training are 4 x 4 "
        "(height x width): want the same, as by {type: resize, size: [4, 4]}")


def png(path, w, h, pixel):
    """A PNG of colours, without filters."""
    raw = b"".join(b"\0" + bytes(v for x in range(w) for v in pixel(x, y)) for y in range(h))
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)),
                       (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(out)


def folder(d, n=40, wide=30):
    """Pictures of two classes, reddish and greenish, each of a size of its own."""
    r, names = random.Random(2), ("red", "green \u7eff")
    for i in range(n):
        red = i % 2 == 0
        png(f"{d.root}/pictures/{names[i % 2]}/{i}.png", wide + i, 60 - i,
            lambda x, y: ((200 if red else 20) + r.randrange(50), (20 if red else 200) + r.randrange(50), x))
    return f"{d.root}/pictures"


def folder_job(d, transforms, **more):
    j = job(d)
    j["model"] = {"layers": [{"type": "avg_pool2d", "kernel": 8}, "flatten", {"type": "linear", "out": 2}]}
    j["data"] = {"train": {"type": "image_folder", "path": folder(d), **more}, "validation_split": 0.25,
                 "transforms": transforms}
    return j


@case("pictures of a folder that have a size each are cropped, with the same bytes by any loaders", "stopped")
def _(d):
    lists = {"train": [{"type": "random_resized_crop", "size": 16}, "hflip", "mixup"],
             "validation": [{"type": "resize", "size": 20}, {"type": "center_crop", "size": 16}]}
    j = folder_job(d, lists)
    train(d, j, rundir="one")
    j["data"]["threads"] = 5
    train(d, j, rundir="five")
    eq(model(d, "five"), model(d, "one"), "with five loaders")
    sheet(d, j, 9, f"{d.root}/a.png")
    eq((len(pixels(f"{d.root}/a.png")[0]) // 3, len(pixels(f"{d.root}/a.png"))), (4 + 3 * 100, 4 + 3 * 108), "size")
    # One size by `size`, whatever the list does; and none at all.
    j["data"]["transforms"] = {"train": ["hflip"]}
    has(train(d, j, want=3, rundir="none"), "say size, or a transform that resizes")
    j["data"]["train"]["size"] = 16
    train(d, j, rundir="sized")
    j["data"]["train"].pop("size")
    j["data"]["transforms"] = {"train": lists["train"]}
    has(train(d, j, want=3, rundir="half"), "data.transforms.validation: leaves each picture the size that it has, and a "
        "network takes one: give it {type: resize, size: [16, 16]}, or")


@case("a checkpoint says how its large pictures were shrunk, and a run that goes on shrinks otherwise says so", "stopped")
def _(d):
    j = folder_job(d, {"train": [{"type": "random_crop", "size": 16}], "validation": [{"type": "center_crop", "size": 16}]})
    train(d, j, rundir="cut")
    j["data"]["transforms"] = {"train": [{"type": "random_resized_crop", "size": 16}],
                               "validation": [{"type": "resize", "size": [16, 16]}]}
    train(d, j)
    decoders = {}
    for rundir in ("cut", "run"):
        with open(f"{d.root}/{rundir}/checkpoints/{model(d, rundir)[0]}/checkpoint.json") as f:
            decoders[rundir] = json.load(f)["arithmetic"]["decoder"]
    eq(decoders["run"], decoders["cut"] + ", shrunk by exact boxes", "whose arithmetic resized pictures are")
    # As it was before the boxes were exact.
    for path in glob.glob(f"{d.root}/run/checkpoints/step-*/checkpoint.json"):
        with open(path) as f:
            info = json.load(f)
        info["arithmetic"]["decoder"] = decoders["cut"]
        info.pop("check")
        text = json.dumps(info, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        info["check"] = hashlib.sha256(text.encode()).hexdigest()
        with open(path, "w") as f:
            json.dump(info, f)
    j["training"]["epochs"] += 1
    said = train(d, j)
    has(said, f"decoder was {decoders['cut']}, is {decoders['run']})")
    has(said, "what follows is not bit for bit what it would have computed")


# --- the sheet ----------------------------------------------------------------------------

def sheet(d, j, n, out, want=0):
    path = f"{d.root}/{j['name']}.json"
    with open(path, "w") as f:
        json.dump(j, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--data", path, "--samples", str(n), out], capture_output=True,
                       text=True, timeout=limit(60))
    eq(p.returncode, want, f"exit ({p.stderr})")
    return p.stdout + p.stderr


def pixels(path):
    """Rows of a PNG of 8 bits and three channels, by the description of the format."""
    raw, at, data = open(path, "rb").read(), 8, b""
    w, h = struct.unpack(">II", raw[16:24])
    while at < len(raw):
        n, = struct.unpack(">I", raw[at:at + 4])
        if raw[at + 4:at + 8] == b"IDAT":
            data += raw[at + 8:at + 8 + n]
        at += 12 + n
    data, rows, before = zlib.decompress(data), [], bytearray(3 * w)
    for y in range(h):
        kind, row = data[y * (3 * w + 1)], bytearray(data[y * (3 * w + 1) + 1:(y + 1) * (3 * w + 1)])
        for i in range(3 * w):
            a, b, c = row[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            p = a + b - c
            nearest = min((a, b, c), key=lambda v: abs(p - v))
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[kind]) % 256
        rows.append(row)
        before = row
    return rows


@case("a contact sheet shows the first samples as they are, with their labels", "stopped")
def _(d):
    j = job(d, transforms=[])
    j["training"]["shuffle"] = False
    j["data"]["validation_split"] = 0
    has(sheet(d, j, 5, f"{d.root}/a.png"), "a.png: 5 of 70 training samples")
    rows = pixels(f"{d.root}/a.png")
    # Three columns and two rows of cells of 32 x 32 pixels, each three times as large.
    eq((len(rows[0]) // 3, len(rows)), (4 + 3 * 100, 4 + 2 * 108), "size")
    raw = open(f"{d.root}/c.bin", "rb").read()
    for k in range(5):
        left, top = 4 + k % 3 * 100, 4 + k // 3 * 108
        for y, x in ((0, 0), (13, 7), (31, 31)):
            want = [raw[k * 3073 + 1 + c * 1024 + y * 32 + x] for c in range(3)]
            eq(list(rows[top + 3 * y + 1][3 * (left + 3 * x + 1):][:3]), want, f"sample {k}, row {y}, column {x}")
        ink = sum(rows[top + 97 + y][3 * (left + x)] == 255 for y in range(7) for x in range(6))
        assert 5 < ink < 30, f"the label of sample {k} has {ink} dots"


@case("a contact sheet is the same each time, and shows what the transforms do", "stopped")
def _(d):
    j = job(d)
    sheet(d, j, 16, f"{d.root}/a.png")
    sheet(d, j, 16, f"{d.root}/b.png")
    eq(open(f"{d.root}/a.png", "rb").read(), open(f"{d.root}/b.png", "rb").read(), "the second sheet")
    sheet(d, job(d, transforms=["hflip"]), 16, f"{d.root}/c.png")
    assert open(f"{d.root}/a.png", "rb").read() != open(f"{d.root}/c.png", "rb").read(), "nothing is transformed"
    eq(sorted(os.path.basename(p) for p in glob.glob(f"{d.root}/*")),
       ["a.png", "aug.json", "b.png", "c.bin", "c.png"], "what was written")


def array(path, shape, data):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data)


@case("a contact sheet is the same whatever source the same pictures come from", "stopped")
def _(d):
    r, n, side = random.Random(4), 6, 32
    of = [bytes(r.randrange(256) for _ in range(3 * side * side)) for _ in range(n)]
    for channels in (3, 1):
        planes = [p[:channels * side * side] for p in of]
        for i, p in enumerate(planes):
            png(f"{d.root}/f{channels}/{i // 3}/{i}.png", side, side,
                lambda x, y: [p[k % channels * side * side + y * side + x] for k in range(3)])
        with tarfile.open(f"{d.root}/f{channels}.tar", "w") as t:
            t.add(f"{d.root}/f{channels}", "top")
        array(f"{d.root}/x{channels}.npy", (n, channels, side, side), b"".join(planes))
    array(f"{d.root}/y.npy", (n,), bytes(i // 3 for i in range(n)))
    with open(f"{d.root}/six.bin", "wb") as f:
        f.write(b"".join(bytes([i // 3]) + p for i, p in enumerate(of)))
    with open(f"{d.root}/i", "wb") as f:
        f.write(struct.pack(">4BIII", 0, 0, 8, 3, n, side, side) + b"".join(p[:side * side] for p in of))
    with open(f"{d.root}/l", "wb") as f:
        f.write(struct.pack(">4BI", 0, 0, 8, 1, n) + bytes(i // 3 for i in range(n)))

    def folder_of(path, channels):
        return {"type": "image_folder", "path": f"{d.root}/{path}", "channels": channels}

    def npy(channels):
        return {"type": "npy", "path": f"{d.root}/x{channels}.npy", "labels": f"{d.root}/y.npy"}
    for same in ([folder_of("f3", 3), folder_of("f3.tar", 3), {"type": "cifar", "path": f"{d.root}/six.bin"}, npy(3)],
                 [folder_of("f1", 1), folder_of("f1.tar", 1), npy(1),
                  {"type": "idx", "images": f"{d.root}/i", "labels": f"{d.root}/l"}]):
        for transforms in (None, {"train": [{"type": "random_crop", "size": 32, "padding": 4}, "hflip", "mixup"],
                                   "validation": [{"type": "center_crop", "size": 32}]}):
            sheets = set()
            for source in same:
                j = job(d)
                j["data"] = {"train": source, **({"transforms": transforms} if transforms else {})}
                has(sheet(d, j, 16, f"{d.root}/s.png"), "s.png: 6 of 6 training samples")
                sheets.add(open(f"{d.root}/s.png", "rb").read())
            eq(len(sheets), 1, f"different sheets of {[s['type'] for s in same]} ({transforms})")


@case("a contact sheet that cannot be is refused in a sentence", "stopped")
def _(d):
    j = job(d)
    has(sheet(d, j, 4, f"{d.root}/none/a.png", want=1), "cannot write")
    has(sheet(d, j, 0, f"{d.root}/a.png", want=2), "--samples is \"0\", want 1 to 4096")
    with open(f"{d.root}/x.csv", "w") as f:
        f.write("a,b\n1,0\n2,1\n")
    j["data"] = {"train": {"type": "csv", "path": f"{d.root}/x.csv", "label": "b"}}
    has(sheet(d, j, 4, f"{d.root}/a.png", want=3), "the samples are numbers, no pictures")
    j["data"] = {"train": {"type": "text", "path": f"{d.root}/x.csv", "text": 0, "label": 1, "tokenizer": "bytes"}}
    has(sheet(d, j, 4, f"{d.root}/a.png", want=3), "the samples are tokens, no pictures")
    for args, words in ((["--samples", "4", "x.png"], "--samples without --data"),
                        (["--data", "x.json", "x.png"], "--data without --samples"),
                        (["--data", "x.json", "--samples", "4"], "no OUT.png given")):
        p = subprocess.run([f"{BUILD}/rekindle-train", *args], capture_output=True, text=True)
        eq(p.returncode, 2, f"exit of {args}")
        has(p.stderr, words)


@case("a crop that is larger than the pictures is remarked on, and one that fits is not", "stopped")
def _(d):
    crops = [{"type": "random_crop", "size": 40, "padding": 4}, {"type": "random_crop", "size": [42, 40]}]
    told = json.loads(train(d, job(d, transforms=[*crops, {"type": "center_crop", "size": 32}]), "--summary"))
    about = [r for r in told["remarks"] if "makes" in r]
    eq(about, ["data.transforms.train[1]: random_crop makes 42 x 40 of pictures of 40 x 40 (height x width): what is "
               "missing is filled"])


run()
