#!/usr/bin/env python3
"""What --predict sees of a file is what --evaluate sees of the same sample, bit for bit: transforms, sizes, channels."""
import glob
import json
import os
import random
import struct

import pictures
import t
from t import case, eq, has, run

KINDS = [("jpeg", k) for k in ("420", "444", "cmyk", "grey", "large", "progressive", "turned_6", "1x1")] + \
        [("png", k) for k in ("rgb", "grey_16", "grey_alpha", "palette", "rgba", "interlaced")]
NORM = {"type": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def trainer(d, job, *args, want=0, **more):
    out, err = t.trainer(d, job, *args, want=want, **more)
    return out if want == 0 else out + err


def lines(text):
    return [json.loads(x) for x in text.splitlines() if x.startswith("{")]


def npy(path):
    with open(path, "rb") as f:
        raw = f.read()
    n, = struct.unpack("<H", raw[8:10])
    shape = eval(raw[10:10 + n])["shape"]       # pylint: disable=eval-used
    v = struct.unpack(f"<{shape[0] * shape[1]}f", raw[10 + n:])
    return [v[i:i + shape[1]] for i in range(0, len(v), shape[1])]


def folder(path, kinds=KINDS, classes=2):
    """The kinds of pictures in class folders; their paths in the order of the set."""
    out = []
    for i, (kind, name) in enumerate(kinds):
        at = f"{path}/{'ab'[i % classes]}/{name} {i:02}.{'jpg' if kind == 'jpeg' else 'png'}"
        pictures.write(at, pictures.sample(kind, name))
        out.append(at)
    return sorted(out, key=os.fsencode)


def job_of(name, source, valid, transforms, outputs=2, **data):
    """Of several outputs of a regression predictions have the numbers themselves."""
    return {"name": name, "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"layers": [{"type": "conv2d", "out": 3, "kernel": 3}, "relu", "flatten",
                                 {"type": "linear", "out": outputs}]},
            "training": {"epochs": 1, "batch_size": 4, "loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 0.01}},
            "data": {"train": source, "validation": valid, **({"transforms": transforms} if transforms else {}), **data}}


def scores(line, n=2):
    by = {t["class"]: t["score"] for t in line["top"]}
    return tuple(by[c] for c in range(n))


def alike(d, job, inputs, extra=()):
    """Each of the inputs, sample by sample, gives the logits of the evaluation."""
    trainer(d, job)
    ckpt = sorted(glob.glob(f"{d.root}/{job['name']}.run/checkpoints/step-*"))[-1]
    trainer(d, job, "--evaluate", ckpt, "--logits", "z.npy")
    z = npy(f"{d.root}/z.npy")
    got = [scores(x) for x in lines(trainer(d, job, "--predict", ckpt, inputs=inputs))]
    eq(got, z, "what is predicted of the files")
    eq([scores(x) for x in lines(trainer(d, job, "--predict", f"{ckpt}/model.safetensors", inputs=inputs))], z,
       "by the model's file")
    for what in extra:
        eq([scores(x) for x in lines(trainer(d, job, "--predict", ckpt, inputs=[what]))], z, f"of {what}")
    return ckpt, z


@case("pictures of every kind are predicted as evaluation sees them behind the transforms", "stopped")
def _(d):
    files = folder(f"{d.root}/v")
    lists = {"train": [{"type": "random_resized_crop", "size": 16}, "hflip", NORM],
             "validation": [{"type": "resize", "size": 20}, {"type": "center_crop", "size": 16}, NORM]}
    here, there = ({"type": "image_folder", "path": f"{d.root}/{p}"} for p in ("t", "v"))
    folder(f"{d.root}/t")
    job = job_of("plain", here, there, lists)
    ckpt, z = alike(d, job, files)
    # A broken one among them takes no place of theirs, and has its line in its place.
    pictures.write(f"{d.root}/cut.jpg", pictures.sample("jpeg", "420_cut"))
    out = lines(trainer(d, job, "--predict", ckpt, inputs=[*files[:5], "cut.jpg", *files[5:]], want=1))
    has(out[5]["error"], "cut.jpg: is a broken JPEG")
    eq([scores(x) for x in out[:5] + out[6:]], z, "the others")
    # No data of the job are needed: the job says what the transforms begin with.
    os.rename(f"{d.root}/t", f"{d.root}/gone")
    eq([scores(x) for x in lines(trainer(d, job, "--predict", ckpt, inputs=files))], z, "without the data")
    # A job whose transforms do not fit the network is told so.
    job["data"]["transforms"]["validation"][1]["size"] = job["data"]["transforms"]["train"][0]["size"] = 12
    has(trainer(d, job, "--predict", ckpt, inputs=files, want=3),
        "data.transforms.validation: makes pictures of 3 x 12 x 12 (channels x height x width), and the network takes "
        "3 x 16 x 16")


@case("pictures of a folder with a size, of one channel, and without transforms are", "stopped")
def _(d):
    files = folder(f"{d.root}/v")
    folder(f"{d.root}/t")
    for n, (more, lists) in enumerate((
            ({"size": [18, 22]}, {"validation": [{"type": "center_crop", "size": 16}],
                                  "train": [{"type": "random_crop", "size": 16, "padding": 2}]}),
            ({"size": 16, "channels": 1}, {"train": ["hflip"]}),
            ({"size": [12, 20]}, None),
            ({}, {"train": [{"type": "resize", "size": [17, 13]}], "validation": [{"type": "resize", "size": [17, 13]}]}))):
        source, valid = ({"type": "image_folder", "path": f"{d.root}/{p}", **more} for p in ("t", "v"))
        alike(d, job_of(f"sized{n}", source, valid, lists), files)


@case("where only the data say what the transforms begin with they are opened", "stopped")
def _(d):
    kinds = [("png", "rgb"), ("png", "palette"), ("jpeg", "420"), ("jpeg", "444"), ("png", "rgba")]
    files = folder(f"{d.root}/v", kinds)
    folder(f"{d.root}/t", kinds)
    source, valid = ({"type": "image_folder", "path": f"{d.root}/{p}"} for p in ("t", "v"))
    job = job_of("first", source, valid, {"train": ["hflip"]})
    ckpt, _ = alike(d, job, files)
    os.rename(f"{d.root}/t", f"{d.root}/gone")
    has(trainer(d, job, "--predict", ckpt, inputs=files, want=3), f"{d.root}/t: ")


def planes(n, c, h, w, seed):
    r = random.Random(seed)
    return [bytes(r.randrange(256) for _ in range(c * h * w)) for _ in range(n)]


def as_png(p, c, h, w):
    return pictures.png(w, h, [bytes(p[k * h * w + y * w + x] for x in range(w) for k in range(c)) for y in range(h)], c)


def idx(path, arrays, h, w):
    pictures.write(path, struct.pack(">4BIII", 0, 0, 8, 3, len(arrays), h, w) + b"".join(arrays))


def array(path, shape, data):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    pictures.write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data)


@case("samples held in memory, pictures of them and arrays go through the same transforms", "stopped")
def _(d):
    lists = {"train": [{"type": "random_crop", "size": 20}],
             "validation": [{"type": "resize", "size": 24}, {"type": "center_crop", "size": 20}]}
    # cifar
    for name, seed in (("t.bin", 1), ("v.bin", 2)):
        pictures.write(f"{d.root}/{name}", b"".join(bytes([i % 2]) + p for i, p in
                                                    enumerate(planes(9, 3, 32, 32, seed))))
    of = planes(9, 3, 32, 32, 2)
    for i, p in enumerate(of):
        pictures.write(f"{d.root}/c{i}.png", as_png(p, 3, 32, 32))
    array(f"{d.root}/c.npy", (9, 3, 32, 32), b"".join(of))
    t, v = ({"type": "cifar", "path": f"{d.root}/{p}"} for p in ("t.bin", "v.bin"))
    job = job_of("cifar", t, v, lists, outputs=10)
    job["model"]["layers"][-1]["out"] = 2
    alike(d, job, [f"c{i}.png" for i in range(9)], ["v.bin", "c.npy"])
    array(f"{d.root}/wrong.npy", (9, 3, 20, 20), b"".join(of)[:9 * 1200])
    ckpt = sorted(glob.glob(f"{d.root}/cifar.run/checkpoints/step-*"))[-1]
    has(trainer(d, job, "--predict", ckpt, inputs=["wrong.npy"], want=1),
        "wrong.npy: its samples are [3,20,20], data.transforms begin with [3,32,32]")
    # idx, whose files alone say how large a picture is
    for name, seed in (("t", 3), ("v", 4)):
        idx(f"{d.root}/{name}.i", planes(9, 1, 27, 22, seed), 27, 22)
        pictures.write(f"{d.root}/{name}.l", struct.pack(">4BI", 0, 0, 8, 1, 9) + bytes(k % 2 for k in range(9)))
    for i, p in enumerate(planes(9, 1, 27, 22, 4)):
        pictures.write(f"{d.root}/i{i}.png", as_png(p, 1, 27, 22))
    t, v = ({"type": "idx", "images": f"{d.root}/{p}.i", "labels": f"{d.root}/{p}.l"} for p in ("t", "v"))
    alike(d, job_of("idx", t, v, {"train": [{"type": "random_crop", "size": 20}], "validation": lists["validation"]}),
          [f"i{i}.png" for i in range(9)], ["v.i"])


run()
