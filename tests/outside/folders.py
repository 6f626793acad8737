#!/usr/bin/env python3
"""Folders of images as people have them, a little wrong: each ends in a clear
sentence, or what is wrong is counted and said.
"""
import base64
import glob
import hashlib
import json
import os
import subprocess

import pictures
from t import BUILD, case, eq, has, limit, run

CLASSES = ["a cat", "dogs", "\u732b"]
# 8 x 8 pixels.
JPEG = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PT
gyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjL/wAARCAAI
AAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAdEAACAgIDAQAAAAAAAAAAAAABAgMRAAQSEyKR/8QAFAEBAAAAAAAAAAAAAA
AAAAAABv/EABkRAQADAQEAAAAAAAAAAAAAAAEAAxEhof/aAAwDAQACEQMRAD8AviNbX6yqrrSrQCoYUY8QvlQDJItt6U18ohjGEKxTdyMahRRT
r5P/2Q==
""")


def job_of(path, source=None, data=None, training=None, **more):
    return {"name": "folders", "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"input": [3, 8, 8], "layers": [{"type": "linear", "out": 3}]},
            "training": {"epochs": 2, "batch_size": 6, "optimizer": {"type": "sgd", "learning_rate": 0.1},
                         **(training or {})},
            "data": {"train": {"type": "image_folder", "path": path, **(source or {})}, **(data or {})},
            "checkpoint": {"every": {"epochs": 1}}, **more}


def train(d, job, *args, want=0):
    """What it says."""
    path = f"{d.root}/job.json"
    with open(path, "w") as f:
        json.dump(job, f)
    rundir = f"{d.root}/run"
    while os.path.exists(rundir):
        rundir += "_"
    d.rundir = rundir
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", rundir, *args, path], capture_output=True, text=True,
                       timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train ({p.stderr[-1500:]})")
    return p.stdout + p.stderr


def summary(d, job):
    """[samples, shape, counts] of the training data, by --summary."""
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--summary", f"{d.root}/job.json"], capture_output=True, text=True,
                       timeout=limit(60))
    eq(p.returncode, 0, f"exit of --summary ({p.stderr[-800:]})")
    t = json.loads(p.stdout)["data"]["train"]
    return [t["samples"], t["shape"], t["counts"]]


def metrics(d):
    with open(f"{d.rundir}/metrics.jsonl") as f:
        return [json.loads(line) for line in f]


def good(d, each=6, size=8, classes=CLASSES, name="in"):
    path = f"{d.root}/{name}"
    pictures.folder(path, classes, each, w=size, h=size)
    return path


# --- a little wrong ------------------------------------------------------------------------

@case("names with spaces and Chinese, and files that are no images, cost nothing and are said", "stopped")
def _(d):
    path = good(d)
    pictures.write(f"{path}/.DS_Store", b"\0\0\0\1Bud1")
    pictures.write(f"{path}/dogs/.DS_Store", b"\0\0\0\1Bud1")
    pictures.write(f"{path}/dogs/Thumbs.db", b"\xd0\xcf\x11\xe0")
    pictures.write(f"{path}/\u732b/read me.txt", b"cats of the neighbours\n")
    pictures.write(f"{path}/\u732b/\u56fe \u7247.JPG", JPEG)
    pictures.write(f"{path}/loose.png", JPEG)
    said = train(d, job_of(path))
    eq(summary(d, job_of(path)), [19, [3, 8, 8], [6, 6, 7]])
    has(said, "4 files were passed over: 3 hidden, 1 without the ending of an image")
    has(said, "the first \u732b/read me.txt")
    has(said, "1 image is beside the class folders")


@case("an empty class is said, and keeps its place", "stopped")
def _(d):
    path = good(d)
    os.makedirs(f"{path}/birds/none here")
    job = job_of(path)
    job["model"]["layers"][-1]["out"] = 4
    said = train(d, job)
    has(said, '1 of 4 classes has no image: "birds"')
    eq(summary(d, job), [18, [3, 8, 8], [6, 0, 6, 6]])


@case("images that cannot be read end a run by name, or are skipped and counted", "stopped")
def _(d):
    path = good(d)
    pictures.write(f"{path}/dogs/anim.jpg", pictures.GIF)
    has(train(d, job_of(path), want=3), "dogs/anim.jpg: is a GIF")
    pictures.write(f"{path}/\u732b/cut off.jpg", JPEG[:-40])
    pictures.write(f"{path}/\u732b/empty.jpg", b"")
    said = train(d, job_of(path, data={"broken": "skip"}))
    for words in ("dogs/anim.jpg: is a GIF", "\u732b/cut off.jpg: ", "\u732b/empty.jpg: is empty"):
        eq(said.count(words), 1, f"how often it says {words!r} in two epochs")
    eq(metrics(d)[-1]["broken"], 3, "broken in the metrics")


@case("a sample that is skipped weighs nothing: the weights are those of any other broken one", "stopped")
def _(d):
    path, ends = good(d), set()
    for data in (pictures.GIF, b"\x89PNG\r\n\x1a\n", JPEG[:30]):
        pictures.write(f"{path}/dogs/b.jpg", data)
        train(d, job_of(path, data={"broken": "skip", "threads": len(ends) + 1}))
        last = sorted(glob.glob(f"{d.rundir}/checkpoints/step-*"))[-1]
        with open(f"{last}/model.safetensors", "rb") as f:
            raw = f.read()
        ends.add(hashlib.sha256(raw[8 + int.from_bytes(raw[:8], "little"):]).hexdigest())
    eq(len(ends), 1, "different weights")


def weights(d):
    last = sorted(glob.glob(f"{d.rundir}/checkpoints/step-*"))[-1]
    with open(f"{last}/model.safetensors", "rb") as f:
        raw = f.read()
    return raw[8 + int.from_bytes(raw[:8], "little"):]


@case("a step of nothing but broken images moves no weight, whatever parts it is made in", "stopped")
def _(d):
    path = good(d)
    for name in ("im 0002.png", "sub/im 0001.png"):
        pictures.write(f"{path}/a cat/{name}", pictures.GIF)
    adam = {"type": "adamw", "learning_rate": 0.1, "weight_decay": 0.5}
    for batch, micro in ((1, 1), (2, 2), (2, 1)):
        ends = []
        for steps in range(1, 6 if batch == 1 else 3):
            train(d, job_of(path, data={"broken": "skip"}, training={
                "batch_size": batch, "micro_batch_size": micro, "steps": steps, "shuffle": False,
                "optimizer": adam, "ema": {"decay": 0.9}}))
            ends.append(weights(d))
        for i in range(1, len(ends)):       # the second and the fourth image are broken
            eq(ends[i] == ends[i - 1], batch == 1 and i in (1, 3), f"batch {batch} of {micro}: step {i + 1} moves nothing")


@case("an image that was read and goes bad has changed, and one that was never read is broken", "stopped")
def _(d):
    path = good(d)
    job = job_of(path)
    train(d, job)
    rundir = d.rundir
    victim = f"{path}/dogs/im 0002.png"
    with open(victim, "rb") as f:
        kept = f.read()
    job["training"]["epochs"] = 4
    for broken in ("fail", "skip"):
        job["data"]["broken"] = broken
        for bad, because in ((kept[:-9] + bytes(9), ""),
                             (kept[:40] + bytes(len(kept) - 40), " (dogs/im 0002.png: is a broken PNG: ")):
            with open(victim, "r+b") as f:  # in place: its size and its times stay
                f.write(bad)
            said = train(d, job, "--run-dir", rundir, want=4)
            has(said, "the data have changed: data.train: dogs/im 0002.png is not what it was when it was first read" +
                (because or "; "))
    has(train(d, dict(job, name="new"), want=0), "dogs/im 0002.png: is a broken PNG")
    job["data"]["broken"] = "fail"
    has(train(d, dict(job, name="new"), want=3), "dogs/im 0002.png: is a broken PNG")


@case("where all pictures end too early none can be read, however many make a batch", "stopped")
def _(d):
    cut = pictures.png(8, 8, [bytes(range(24)) for _ in range(8)])[:-20]
    for i in range(4):
        pictures.write(f"{d.root}/in/a/{i}.png", cut)
        pictures.write(f"{d.root}/in/b/{i}.png", cut)
    job = job_of(f"{d.root}/in", data={"broken": "skip"}, training={"shuffle": False})
    for batch in (1, 3, 8):
        job["training"]["batch_size"] = batch
        has(train(d, job, want=3), "data.train: none of 8 samples can be read, the first: a/0.png: is a broken PNG")
    pictures.folder(f"{d.root}/in", ["b"], 1, w=8, h=8)
    for batch in (1, 3, 8):
        job["training"]["batch_size"] = batch
        train(d, job)


@case("where nothing can be read it says so whatever the policy is", "stopped")
def _(d):
    for i in range(8):
        pictures.write(f"{d.root}/in/a/{i}.jpg", pictures.GIF)
        pictures.write(f"{d.root}/in/b/{i}.jpg", pictures.GIF)
    has(train(d, job_of(f"{d.root}/in", data={"broken": "skip"}), want=3), "none of the first 16 images can be read")


@case("an image of one pixel is named by its size, and resized where a size is said", "stopped")
def _(d):
    path = good(d)
    pictures.write(f"{path}/dogs/one.png", pictures.png(1, 1, [b"abc"]))
    has(train(d, job_of(path), want=3), "dogs/one.png: is 1 x 1 pixels, and the first image is 8 x 8")
    train(d, job_of(path, {"size": 8}))
    eq(summary(d, job_of(path, {"size": 8})), [19, [3, 8, 8], [6, 7, 6]])


@case("one class only is said before hours are spent", "stopped")
def _(d):
    job = job_of(good(d, classes=["cats"]))
    has(train(d, job), "output 1 and those behind are never right")


@case("a folder without class folders, or without images, is refused", "stopped")
def _(d):
    path = f"{d.root}/in"
    pictures.write(f"{path}/a.jpg", JPEG)
    has(train(d, job_of(path), want=3), "has no class folders, but images beside each other")
    os.makedirs(f"{path}/cats")
    has(train(d, job_of(path), want=3), "has 1 class folder and no image in it")
    has(train(d, job_of(f"{d.root}/nowhere"), want=3), "nowhere")


@case("a class of validation that training does not have is refused by name", "stopped")
def _(d):
    path = good(d)
    valid = good(d, each=2, classes=["dogs", "birds"], name="valid")
    job = job_of(path, data={"validation": {"type": "image_folder", "path": valid}})
    has(train(d, job, want=3), 'has 1 class that')
    has(train(d, job, want=3), '"birds"')
    # Fewer ones are matched by their names.
    os.rename(f"{valid}/birds", f"{valid}/\u732b")
    train(d, job)
    assert any(m["split"] == "validation" for m in metrics(d))


@case("a list may not name what is missing, nor leave the folder", "stopped")
def _(d):
    path, lst = good(d), f"{d.root}/list.txt"
    lines = [f"a cat/im 000{i}.png 0" for i in (0, 2, 4)] + [f"dogs/im 000{i}.png 1" for i in (0, 2, 4)]

    def told(*more, want=3, data=None):
        pictures.write(lst, "\n".join([*lines, *more, ""]).encode())
        return train(d, job_of(path, {"list": lst}, data), want=want)
    told(want=0)
    eq(summary(d, job_of(path, {"list": lst})), [6, [3, 8, 8], [3, 3]])
    has(told("", "dogs/nope.png 1"), f"{lst}: names 1 image that is not in {path}: line 8: dogs/nope.png")
    said = told("dogs/nope.png 1", want=0, data={"broken": "skip"})
    has(said, "names 1 image that is not in")
    eq(metrics(d)[-1]["broken"], 1)
    has(told("../in/dogs/im 0000.png 1"), 'line 7: "../in/dogs/im 0000.png" leaves the folder')
    has(told("/etc/passwd 1"), 'line 7: "/etc/passwd" is absolute')
    has(told("dogs/im 0000.png"), "line 7: has no label behind the path")
    has(told('"dogs/im 0000.png 1'), "line 7: a double quote is not closed")
    has(told('dogs/im 0000.png ""'), "line 7: has a label with nothing in its quotes")


run()
