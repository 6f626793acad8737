"""Jobs of before: what the program of commit BEFORE could train, in small, and the data that they train on.

Their bytes must stay (before.py, tests/long/before.py).  Nothing here may change, or the tables in samples/before
have to be taken anew with the program of BEFORE: `tests/long/before.py take`.  Not a test itself.
"""
import glob
import hashlib
import json
import os
import shutil
import struct
import subprocess

BEFORE = "e256578"      # the first whose steps are of numeric identity 2, in their last form
HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = f"{HERE}/samples/before"
FASHION = "/usr/share/datasets/fashion-mnist"
# etc/jobs as they were, cut to so many steps.
SHIPPED = {"fashion-mlp": 300, "fashion-lenet5": 150, "fashion-layers": 40, "csv-regression": 300}

# What every x86 machine with FMA computes alike.
PLAIN = {"REKINDLE_SIMD": "plain", "DNNL_MAX_CPU_ISA": "SSE41"}


# --- data ---------------------------------------------------------------------

def noise(seed, n):
    """n bytes that are the same on every machine."""
    return b"".join(hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range(n // 32 + 1))[:n]


def images(path, n, side, classes=10, seed=1):
    """n images of side x side, each with a bright bar where its class says, and their labels."""
    pixels, labels = bytearray(noise(seed, n * side * side)), bytearray(noise(seed + 1, n))
    for i in range(n):
        labels[i] %= classes
        for x in range(side):
            at = i * side * side + labels[i] * side // classes * side + x
            pixels[at] = 128 + pixels[at] // 2
    with open(f"{path}-images", "wb") as f:
        f.write(struct.pack(">4i", 0x803, n, side, side) + pixels)
    with open(f"{path}-labels", "wb") as f:
        f.write(struct.pack(">2i", 0x801, n) + labels)


def table(path, n, features, label, names=None, seed=1):
    """A CSV file: features are hundredths, the last column is label(features)."""
    b = noise(seed, n * features)
    with open(path, "w") as f:
        if names:
            f.write(",".join(names) + "\n")
        for i in range(n):
            v = b[i * features:(i + 1) * features]
            f.write(",".join([f"{x / 100:.2f}" for x in v] + [str(label(v))]) + "\n")


def write_data(d):
    images(f"{d}/small", 150, 12)
    images(f"{d}/large", 130, 28, seed=3)
    table(f"{d}/classes.csv", 110, 4, lambda v: 2 if v[0] + v[1] > 300 else (1 if v[2] > v[3] else 0))
    table(f"{d}/numbers.csv", 90, 4, lambda v: f"{(v[0] - v[1] * v[2] / 255) / 50:.3f}")
    names = [f"x{i}" for i in range(13)] + ["strength"]
    table(f"{d}/measurements.csv", 400, 13, lambda v: f"{(v[0] + v[3] - v[7]) / 40:.3f}", names)


# --- jobs ---------------------------------------------------------------------

def idx(kind, **more):
    return {"train": {"type": "idx", "images": f"{kind}-images", "labels": f"{kind}-labels"}, **more}


def csv(name="classes", **more):
    return {"train": {"type": "csv", "path": f"{name}.csv", "label": -1}, **more}


def mlp(sizes, activation="relu", **more):
    return {"arch": "mlp", "sizes": sizes, "activation": activation, **more}


def layers(*v, **more):
    return {"layers": list(v), **more}


def conv(out, kernel, **more):
    return {"type": "conv2d", "out": out, "kernel": kernel, **more}


def linear(out, **more):
    return {"type": "linear", "out": out, **more}


def training(optimizer, steps=24, **more):
    return {"steps": steps, "epochs": 1000, "optimizer": optimizer, **more}


SGD = {"type": "sgd", "learning_rate": 0.05}
# What trains in a moment.  Batches are such that the last of an epoch is smaller, but where it is said.
SMALL = {
    "sgd": (mlp([4, 16, 3]), training(SGD, batch_size=7), csv()),
    "momentum": (mlp([4, 33, 3], "gelu"), training(
        {**SGD, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}, batch_size=16,
        schedule={"type": "step", "step_size": 5, "gamma": 0.5, "warmup_steps": 4, "warmup_start_factor": 0.1}),
        csv()),
    "nesterov": (mlp([4, 9, 9, 3], "sigmoid"), training(
        {**SGD, "momentum": 0.8, "nesterov": True}, batch_size=13, seed=7,
        schedule={"type": "multistep", "milestones_epochs": [1, 2], "gamma": 0.3}), csv(normalize="none")),
    "regression": (mlp([4, 12, 1], "tanh"), training(
        {"type": "adam", "learning_rate": 0.01}, batch_size=20, loss="mse",
        schedule={"type": "cosine", "min_learning_rate": 0.001, "warmup_epochs": 1}), csv("numbers")),
    "rmsprop": (mlp([4, 8, 3]), training(
        {"type": "rmsprop", "learning_rate": 0.002}, steps=30, batch_size=1, shuffle=False, loss="mse",
        log_every=1), csv()),
    "centered": (mlp([144, 40, 10]), training(
        {"type": "rmsprop", "learning_rate": 0.003, "momentum": 0.5, "centered": True, "weight_decay": 0.001},
        batch_size=32), idx("small", normalize="standard")),
    "whole": (mlp([4, 8, 3]), training({"type": "adam"}, steps=6, batch_size=512), csv()),
    "held-out": (mlp([4, 24, 3]), training(
        {"type": "adam", "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.1}, batch_size=10, seed=9,
        drop_last=True), csv(validation_split=0.2, split={"stratify": True}, split_seed=4)),
    "wide": (mlp([784, 300, 100, 10]), training({"type": "adamw"}, steps=8, batch_size=100), idx("large")),
    "lenet5": ({"arch": "lenet5", "classes": 10}, training(
        {**SGD, "momentum": 0.9}, steps=7, batch_size=50), idx("large", validation_split=0.1)),
    "images": (layers(
        conv(8, [3, 5], stride=2, padding=[1, 2], bias=False, name="conv1"),
        {"type": "batch_norm", "name": "bn1", "eps": 1e-4, "momentum": 0.2}, "relu",
        {"type": "max_pool2d", "kernel": 3, "stride": 1, "padding": 1},
        conv(12, 3, padding=1), "gelu", {"type": "avg_pool2d", "kernel": [2, 3], "stride": 2, "padding": [1, 0]},
        {"type": "batch_norm"}, "flatten", {"type": "dropout", "p": 0.3}, linear(20, name="head"), "sigmoid",
        linear(16, bias=False), "tanh", linear(10), input=[1, 12, 12]),
        training({"type": "adamw", "learning_rate": 0.003, "weight_decay": 0.05}, batch_size=32,
                 loss={"type": "cross_entropy", "label_smoothing": 0.1}, gradient_clip_norm=0.5,
                 schedule={"type": "linear", "end_factor": 0.1, "warmup_steps": 3}), idx("small")),
    # Linear layers that take what is no row.
    "flattens": (layers(conv(6, 5), "relu", {"type": "max_pool2d", "kernel": 2}, linear(30), "relu",
                        {"type": "batch_norm"}, linear(10)),
                 training({**SGD, "momentum": 0.9}, batch_size=40, drop_last=True, gradient_clip_norm=100,
                          schedule={"type": "polynomial", "power": 2, "length": 20}),
                 idx("small", normalize={"type": "scale", "mean": [0.4], "std": [0.3]})),
    "flattens-first": (layers({"type": "dropout", "p": 0.1}, linear(10)),
                       training({"type": "adam"}, batch_size=64), idx("small")),
    "dropouts": (layers(linear(64), {"type": "batch_norm"}, "relu", {"type": "dropout", "p": 0.5}, linear(64), "tanh",
                        {"type": "dropout", "p": 0.9}, linear(3)),
                 training({"type": "adam", "learning_rate": 0.01}, batch_size=24, seed=123456789), csv()),
    "v1": (layers(linear(12), {"type": "batch_norm"}, "relu", {"type": "dropout", "p": 0.3}, linear(3)),
           training({"type": "adam"}, batch_size=16, schedule="cosine"), csv(validation_split=0.1)),
    # What is relative in model.checkpoint is so in the folder that all run in.
    "warm": (mlp([4, 16, 3], checkpoint="sgd.safetensors"),
             training({"type": "adam"}, batch_size=16, warm_start={"learning_rate_scale": 0.5}), csv()),
}


def small_job(name):
    model, train, data = SMALL[name]
    return {"name": name, "resources": {"threads": 2, "memory": "256MiB"}, "model": model, "training": train,
            "data": data, "checkpoint": {"every": {"steps": 5}, "keep": {"last": 1000}}}


def write_jobs(d):
    """All jobs and their data; the shipped ones with what cuts them.  {name: arguments of the trainer}, in order."""
    write_data(d)
    out = {}
    for name in SMALL:
        with open(f"{d}/{name}.json", "w") as f:
            json.dump(small_job(name), f)
        out[name] = [f"{name}.json"]
    for name, steps in SHIPPED.items():
        if name.startswith("fashion") and not os.path.isdir(FASHION):
            continue
        shutil.copy(f"{SAMPLES}/jobs/{name}.yaml", d)
        more = ["--set", f"data.train.path={d}/measurements.csv"] if name.startswith("csv") else []
        out[name] = ["--set", f"training.steps={steps}", "--set", "checkpoint.keep.last=1000", *more, f"{name}.yaml"]
    return out


# --- running ------------------------------------------------------------------

def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def checkpoints(run):
    return sorted(glob.glob(f"{run}/checkpoints/step-*"))


def train(build, d, run, args, env=None):
    """Train a job of write_jobs() in the folder d; its last checkpoint."""
    p = subprocess.run([f"{build}/rekindle-train", "--run-dir", run, *args], cwd=d, capture_output=True, text=True,
                       env={**os.environ, **(env or {})})
    assert p.returncode == 0, f"{args[-1]}: exit {p.returncode}: {(p.stderr or p.stdout)[-600:]}"
    last = checkpoints(f"{d}/{run}")[-1]
    if args[-1] == "sgd.json" and not os.path.exists(f"{d}/sgd.safetensors"):
        shutil.copy(f"{last}/model.safetensors", f"{d}/sgd.safetensors")
    return last


def info(checkpoint):
    with open(f"{checkpoint}/checkpoint.json") as f:
        return json.load(f)


# --- what a specification is known by -----------------------------------------

def spec_texts():
    """Jobs as texts whose digests and records must stay: {name: text}.  Their paths lead nowhere."""
    out = {}
    for path in sorted(glob.glob(f"{SAMPLES}/jobs/*.yaml")):
        with open(path) as f:
            out[os.path.basename(path)] = f.read()
    for name in SMALL:
        out[name] = json.dumps(small_job(name))
    for name, (model, train, data, more) in OTHERS.items():
        out[name] = json.dumps({"name": name, "model": model, "training": train, "data": data, **more})
    return out


def source(**more):
    return {"train": {"type": "csv", "path": "/d/a.csv", "label": "y", **more}}


ADAM = training({"type": "adam"})
STEPS = {"type": "step", "step_size_epochs": 2, "warmup_epochs": 1}
OTHERS = {
    "word-for-word": (layers("relu", linear(3)), {"epochs": 3}, source(), {}),
    "addresses": (mlp([4, 3], checkpoint="s3://b/k.safetensors#sha256=" + "ab" * 32), {"epochs": 1}, {
        "train": {"type": "idx", "images": "https://h/i.gz", "labels": "oss://b/l"},
        "validation": {"type": "idx", "images": "file:///i", "labels": "/l"}}, {}),
    "from-a-job": (mlp([4, 3], checkpoint="job://01j/best", strict=False), ADAM, source(), {}),
    "from-a-job-split": (mlp([4, 3], checkpoint="/a.safetensors"), ADAM,
                         source() | {"validation_split": 0.1, "split_seed": 5, "split": {"stratify": False}}, {}),
    "seed-of-the-split": (mlp([4, 3]), ADAM, source() | {"validation_split": 0.5, "split_seed": 2}, {}),
    "header": (mlp([4, 3]), ADAM, source(header=True, delimiter=";"), {}),
    "no-header": (mlp([4, 3]), ADAM, source(header=False, delimiter="\t", label=0), {}),
    "own-files": (mlp([4, 3]), ADAM, source() | {"validation": {"type": "csv", "path": "/d/b.csv", "label": "y"}}, {}),
    "many-means": ({"arch": "lenet5", "classes": 100}, ADAM, {
        "train": {"type": "idx", "images": "/i", "labels": "/l"},
        "normalize": {"type": "scale", "mean": [0.01 * i for i in range(40)], "std": 0.5}
        | {"std": [0.5 + i for i in range(40)]}}, {}),
    "resources": (mlp([4, 3]), ADAM, source(), {
        "resources": {"threads": 4, "memory": "2GiB"}, "priority": 5, "labels": {"a": "b"}, "hold": True,
        "retries": 0, "metadata": {"x": "y"}, "checkpoint": {
            "every": {"seconds": 10}, "push": "s3://b/p", "require_remote": True, "keep": {"best": 0}}}),
    "all-of-training": (mlp([4, 3]), training(
        SGD, resume_from="none", batch_size=3, drop_last=True, shuffle=False, seed=2**53, gradient_clip_norm=2.5,
        warm_start={"learning_rate_scale": 1}, log_every=7, exact="require"), source(), {}),
    "on-resume-keep": (mlp([4, 3]), {**ADAM, "schedule": {**STEPS, "on_resume": "keep"}}, source(), {}),
    "on-resume-stretch": (mlp([4, 3]), {**ADAM, "schedule": {**STEPS, "on_resume": "stretch"}}, source(), {}),
    "on-resume-restart": (mlp([4, 3]), {**ADAM, "schedule": {"type": "linear", "on_resume": "restart"}}, source(), {}),
    "milestones": (mlp([4, 3]), {**ADAM, "schedule": {"type": "multistep", "milestones": [5, 6, 9]}}, source(), {}),
    "polynomial": (mlp([4, 3]), {**ADAM, "schedule": {"type": "polynomial", "length_epochs": 2}}, source(), {}),
    "cosine-length": (mlp([4, 3]), {**ADAM, "schedule": {"type": "cosine", "length": 9}}, source(), {}),
    "named-flatten": (layers(conv(4, 3), {"type": "flatten", "name": "f"}, linear(9), linear(3)), ADAM, {
        "train": {"type": "idx", "images": "/i", "labels": "/l"}}, {}),
    "linear-twice": (layers(linear(9), {"type": "max_pool2d", "kernel": 1}, linear(3)), ADAM, source(), {}),
    "long": (layers(*[x for i in range(5) for x in (linear(8), "relu")], linear(3)), ADAM, source(), {}),
}
