#!/usr/bin/env python3
"""Jobs whose images are read while they train: killed at random with other threads each time, larger than the memory
that they may have, and what is shown of their classes and broken samples."""
import hashlib
import json
import os
import random
import re
import subprocess

import pictures
from t import BUILD, SANITIZED, case, eq, has, limit, run, wait_for

CLASSES = ["a cat", "dogs", "\u732b"]
KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))


def job_of(d, epochs, **source):
    return {"name": "loaders", "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"arch": "lenet5", "classes": 3, "input": [3, 32, 32]},
            "training": {"epochs": epochs, "batch_size": 16, "sampler": "balanced", "log_every": 1,
                         "optimizer": {"type": "adam", "learning_rate": 0.001}},
            "data": {"broken": "skip", "validation_split": 0.2,
                     "train": {"type": "image_folder", "path": f"{d.root}/in", **source}},
            "checkpoint": {"every": {"steps": 7}}}


def begin(d, job, rundir, *args):
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", *args, f"{d.root}/job.json"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(p):
    err = p.communicate(timeout=limit(120))[1].decode()
    eq(p.returncode, 0, f"exit of rekindle-train ({err[-800:]})")


def lines(d, rundir):
    try:
        with open(f"{d.root}/{rundir}/metrics.jsonl") as f:
            return f.read().count("\n")
    except FileNotFoundError:
        return 0


def final(d, rundir):
    """Name and digests of the newest checkpoint's files."""
    top = f"{d.root}/{rundir}/checkpoints"
    newest = sorted(x for x in os.listdir(top) if x.startswith("step-"))[-1]
    out = [newest]
    for name in sorted(os.listdir(f"{top}/{newest}")):
        if name.endswith(".safetensors"):
            with open(f"{top}/{newest}/{name}", "rb") as f:
                out.append((name, hashlib.sha256(f.read()).hexdigest()))
    return out


@case("killed with -9 at random, with other threads each time, a job of images ends with the bytes of the undisturbed "
      "run", "stopped")
def _(d):
    rng = random.Random(SEED)
    pictures.folder(f"{d.root}/in", CLASSES, [50, 30, 20])
    pictures.write(f"{d.root}/in/dogs/broken.jpg", pictures.GIF)
    job = job_of(d, 40)
    finish(begin(d, job, "whole"))
    kills = 0
    while kills < KILLS:
        until = lines(d, "killed") + rng.randrange(8, 30)
        p = begin(d, job, "killed", "--threads", str(rng.randint(1, 3)), "--set",
                  f"data.threads={rng.randint(1, 8)}")
        wait_for(60, "some steps", lambda: lines(d, "killed") >= until or p.poll() is not None)
        if p.poll() is not None:
            break
        p.kill()
        p.communicate()
        kills += 1
    finish(begin(d, job, "killed", "--set", "data.threads=5"))
    assert kills > 0, "it was never killed"
    eq(final(d, "killed"), final(d, "whole"), f"after {kills} kills, seed {SEED}")
    eq(len(final(d, "whole")), 4, "model, optimizer and what the samples were")


@case("images of 20 times the memory that a job may have are trained on", "stopped")
def _(d):
    memory, side, each = 56, 256, 500               # MiB, pixels, images a class
    pictures.folder(f"{d.root}/in", CLASSES, each, w=8, h=8)
    assert 3 * each * side * side * 3 * 4 > 20 * memory << 20, "too few"
    job = job_of(d, 1, size=side)
    job["resources"] = {"threads": 1, "memory": f"{memory}MiB"}
    job["model"] = {"input": [3, side, side], "layers": [{"type": "global_avg_pool2d"}, "flatten",
                                                        {"type": "linear", "out": 3}]}
    job["training"].update({"batch_size": 4, "log_every": 50})
    job["data"]["threads"] = 2
    p = begin(d, job, "run")
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    eq(p.returncode, 0, f"exit of rekindle-train ({p.stderr.read()[-800:]})")
    print(f"    {used.ru_maxrss >> 10} MiB at most, of {memory}", flush=True)
    if not SANITIZED:           # sanitizers have memory of their own
        assert used.ru_maxrss <= memory << 10, f"{used.ru_maxrss >> 10} MiB"


@case("a job's classes, its broken samples and its waiting are shown")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, [50, 30, 20])
    pictures.write(f"{d.root}/in/dogs/broken.jpg", pictures.GIF)
    i = d.submit(job_of(d, 20000))
    wait_for(60, "a broken sample", lambda: d.job(i)["progress"].get("broken") == 1)
    p = d.job(i)["progress"]
    has(p["data"]["train"], "samples of 3 classes: a cat ")
    has(p["data"]["validation"], "dogs ")
    assert 0 <= p["data_wait_ratio"] <= 1, p
    has(d.get("/metrics").text, "rekindle_job_data_wait_ratio{")
    has(d.get("/metrics").text, "rekindle_job_broken_samples{")
    wait_for(60, "its event", lambda: any("dogs/broken.jpg: is a GIF" in e for e in d.events(i)))
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True,
                           timeout=limit(60))
    has(shown.stdout, "of 3 classes: a cat ")
    has(shown.stdout, "1 sample could not be read")
    assert re.search(r"^data wait +[0-9.]+ % of the time", shown.stdout, re.M), shown.stdout
    d.post(f"/v1/jobs/{i}/cancel", want=202)


run()
