#!/usr/bin/env python3
"""The memory that --summary tells is what a trainer takes, within a tenth, for a
narrow member of each family of architectures; and the daemon counts with it.

    memory.py full      takes those of full size, which need gigabytes and minutes
                        (make check-numerics)"""
import json
import os
import signal
import struct
import subprocess
import sys

from t import BUILD, SANITIZED, Skip, case, eq, has, run, tiny, wait_for

IMAGES = {"input": [3, 32, 32], "classes": 10}
WORDS = {"vocabulary": 2000, "classes": 10}
# Of each family: model, samples in a batch, and what makes its layers narrower.
FAMILIES = {
    "mlp": ({"arch": "mlp", "sizes": [3072, 512, 10]}, 64, ()),
    "lenet5": ({"arch": "lenet5"}, 256, ()),
    "resnet20": ({"arch": "resnet20"}, 32, ()),
    "resnet18": ({"arch": "resnet18", "stem": "cifar"}, 8, ()),
    "resnet50_vd": ({"arch": "resnet50_vd"}, 8, ()),
    "mobilenet_v2": ({"arch": "mobilenet_v2"}, 16, ()),
    "mobilenet_v3": ({"arch": "mobilenet_v3_small"}, 16, ()),
    "pplcnet": ({"arch": "pplcnet_x0_5"}, 48, ()),
    "vgg": ({"arch": "vgg11", "variant": "paddleclas", "batch_norm": True}, 16, (("out: 4096", "out: 256"),)),
    "bert": ({"arch": "bert", "hidden": 96, "depth": 2, "heads": 4, "intermediate": 256}, 16, ()),
    "ernie": ({"arch": "bert", "hidden": 64, "depth": 3, "heads": 4, "intermediate": 128, "variant": "paddlenlp"},
              16, ()),
    "textcnn": ({"arch": "textcnn"}, 32, ()),
}
FULL = {
    "resnet18": ({"arch": "resnet18"}, 8), "resnet50": ({"arch": "resnet50"}, 8),
    "resnet101": ({"arch": "resnet101"}, 4), "resnet50_vd": ({"arch": "resnet50_vd"}, 8),
    "mobilenet_v2": ({"arch": "mobilenet_v2"}, 8), "mobilenet_v3": ({"arch": "mobilenet_v3_large"}, 8),
    "pplcnet": ({"arch": "pplcnet_x1_0"}, 8), "vgg16": ({"arch": "vgg16"}, 4),
    "bert": ({"arch": "bert-base-uncased", "classes": 10}, 4),
    "ernie": ({"arch": "ernie-3.0-nano-zh", "classes": 10}, 8),
}


def images(path, n=48):
    """IDX files of n pictures of 3x32x32 with classes 0 to 9."""
    with open(f"{path}/x", "wb") as f:
        f.write(struct.pack(">BBBB4I", 0, 0, 8, 4, n, 3, 32, 32) + os.urandom(n * 3072))
    with open(f"{path}/y", "wb") as f:
        f.write(struct.pack(">BBBBI", 0, 0, 8, 1, n) + bytes(i % 10 for i in range(n)))
    return {"type": "idx", "images": f"{path}/x", "labels": f"{path}/y"}


def trainer(*args):
    return subprocess.run([f"{BUILD}/rekindle-train", *args], capture_output=True, text=True)


def summary(path):
    p = trainer("--summary", path)
    eq(p.returncode, 0, p.stderr)
    return json.loads(p.stdout)


def narrower(path, job, pairs):
    """The job with its layers written out and replaced."""
    p = trainer("--summary", "--yaml", path)
    eq(p.returncode, 0, p.stderr)
    text = p.stdout
    for old, new in pairs:
        has(text, old)
        text = text.replace(old, new)
    job = {k: v for k, v in job.items() if k != "model"}
    with open(path, "w") as f:
        f.write(text)
        for k, v in job.items():
            f.write(f"{k}: {json.dumps(v)}\n")


def peak(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def measured(d, path, seconds):
    """Bytes that a trainer took that has trained, evaluated and saved twice."""
    into = f"{d.root}/run"
    p = subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", into, path], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)

    def through():
        assert p.poll() is None, p.stderr.read()
        try:
            with open(f"{into}/metrics.jsonl") as f:
                seen = f.read().count('"split":"validation"')
        except FileNotFoundError:
            return False
        return seen >= 2 and os.path.exists(f"{into}/checkpoints") and \
            any(n.startswith("step-") and int(n[5:]) >= 4 for n in os.listdir(f"{into}/checkpoints"))
    try:
        wait_for(seconds, "two epochs and a checkpoint", through)
        return peak(p.pid)
    finally:
        p.send_signal(signal.SIGKILL)
        p.wait()


def compare(d, name, path, seconds=60):
    if SANITIZED:
        raise Skip("sanitizers have memory of their own")
    told = summary(path)["memory"]
    took = measured(d, path, seconds)
    off = told["total"] / took - 1
    print(f"    {name}: told {told['total'] >> 10} KiB, took {took >> 10} KiB, {100 * off:+.1f} %", flush=True)
    assert abs(off) <= 0.1, f"told {told}, took {took}: {100 * off:+.1f} %"


def write(d, name, model, batch, train, valid):
    job = {"name": name, "resources": {"threads": 2}, "model": model,
           "training": {"epochs": 1000000, "batch_size": batch, "optimizer": {"type": "adam"}},
           "data": {"train": train, "validation": valid}, "checkpoint": {"every": {"steps": 2}}}
    path = f"{d.root}/{name}.yaml"
    with open(path, "w") as f:
        json.dump(job, f)
    return path, job


def family(name):
    model, batch, pairs = FAMILIES[name]

    @case(f"what --summary tells of a {name} is what its training takes", "stopped")
    def _(d):
        if model["arch"] in ("bert", "textcnn"):
            source = {"type": "synthetic", "tokens": 32, "vocabulary": 2000, "samples": 64}
            path, job = write(d, name, {**model, **WORDS}, batch, source, {**source, "seed": 2})
        else:
            source = images(d.root)
            more = {} if model["arch"] == "mlp" else IMAGES
            path, job = write(d, name, {**model, **more}, batch, source, source)
        if pairs:
            narrower(path, job, pairs)
        compare(d, name, path)


def full(name):
    model, batch = FULL[name]

    @case(f"what --summary tells of a full {name} is what its training takes", "stopped")
    def _(d):
        words = name in ("bert", "ernie")
        source = {"type": "synthetic", "samples": batch, **({"tokens": 128, "vocabulary": 20000} if words else
                                                            {"shape": [3, 224, 224]})}
        path, _ = write(d, name, model, batch, source, {**source, "seed": 2})
        compare(d, name, path, seconds=900)


for name in FAMILIES:
    family(name)
if any("full" in part for part in sys.argv[1:]):
    for name in FULL:
        full(name)


@case("a job that does not say its memory is counted with what its trainer says")
def _(d):
    job = tiny(d, "small", epochs=200000)
    del job["resources"]["memory"]
    i = d.submit(job)
    d.wait_state(i, "running")
    assert "memory" not in d.job(i)["spec"]["resources"], "a default where none was said"
    counted = d.job(i)["memory"]
    if not SANITIZED:
        assert 10 << 20 < counted < 100 << 20, counted
    # What is said counts as before.
    said = d.submit(tiny(d, "said", epochs=200000, resources={"threads": 1, "memory": "333MiB"}))
    eq(d.job(said)["memory"], 333 << 20, "memory")


@case("jobs that do not say their memory run side by side once their trainers have told", "stopped")
def _(d):
    d.start("--threads", "2", "--memory", "1536MiB")
    job = tiny(d, "one", epochs=200000)
    job["resources"] = {"threads": 1}
    one, two = d.submit(job), d.submit({**job, "name": "two"})
    # 1 GiB each until then, and there are 1.5.
    wait_for(30, "both run", lambda: {d.job(i)["state"] for i in (one, two)} == {"running"})


@case("a job that does not say its memory may have what the daemon has for jobs, not what the machine has", "stopped")
def _(d):
    d.start("--threads", "1", "--memory", "64MiB")
    job = tiny(d, "wide")
    job["resources"] = {}
    job["model"] = {"arch": "mlp", "sizes": [4, 4000000, 3]}
    i = d.submit(job)
    d.wait_state(i, "failed")
    has(d.job(i)["message"], "there is for jobs 64 MiB")


run()
