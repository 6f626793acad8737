#!/usr/bin/env python3
"""Networks of every family as jobs: killed with -9 at random, on another number of
threads each time, they end with the bytes of the run that nobody disturbed.

KILLS=3 SEED=1 by default, LONG=1: 20; so many kills of the trainer and so many
of the daemon for each network that is computed fast, and one for each that is
exact (LONG=1: as many).  The daemon is started again with another
--threads after each, and the jobs say no number of their own.  A job that ends
before the kills are done is submitted again: all copies must have the bytes.
"""
import gzip
import os
import random

from storm import Storm
from t import SHARED, case, eq, run

LONG = bool(os.environ.get("LONG"))
KILLS = int(os.environ.get("KILLS", "20" if LONG else "3"))
SEED = int(os.environ.get("SEED", "1"))
MODES = ("fast", "exact")

# Residual blocks with squeeze-and-excitation, repeated; two branches that meet
# again; a second output.  As a person writes it.
BRANCHES = """
name: branches
retries: 100
resources: {memory: 256MiB}
model:
  input: [3, 12, 12]
  layers:
    - {type: conv2d, name: stem, out: 16, kernel: 3, padding: 1, bias: false}
    - {type: batch_norm, name: stem_bn}
    - relu
    - repeat: 2
      name: block
      layers:
        - {type: identity, name: in}
        - {type: conv2d, name: conv1, out: 16, kernel: 3, padding: 1, bias: false}
        - {type: batch_norm, name: bn1}
        - hard_swish
        - {type: conv2d, name: conv2, out: 16, kernel: 3, padding: 1, groups: 16, bias: false}
        - {type: batch_norm, name: bn2}
        - global_avg_pool2d
        - {type: conv2d, name: reduce, out: 4, kernel: 1}
        - relu
        - {type: conv2d, name: expand, out: 16, kernel: 1}
        - {type: hard_sigmoid, name: gate}
        - {type: multiply, name: scaled, inputs: [bn2, gate]}
        - {type: add, name: sum, inputs: [scaled, in]}
        - {type: relu, name: out}
    - {type: conv2d, name: left, out: 8, kernel: 1}
    - {type: max_pool2d, name: right, inputs: [block.1.out], kernel: 3, stride: 1, padding: 1}
    - {type: concat, name: both, inputs: [left, right]}
    - {type: global_avg_pool2d, name: pool}
    - flatten
    - {type: dropout, p: 0.2}
    - {type: linear, name: head, out: 4}
  outputs: {logits: head, features: pool}
training:
  epochs: 20
  batch_size: 12
  micro_batch_size: 5
  optimizer: {type: sgd, learning_rate: 0.05, momentum: 0.9, nesterov: true}
  schedule: {type: cosine, warmup_steps: 10}
data:
  train: {type: synthetic, shape: [3, 12, 12], classes: 4, samples: 150}
  validation_split: 0.1
checkpoint:
  every: {steps: 17}
"""


def records(path, n):
    """CIFAR-10's binary records: of the data set (LONG=1, where it is), or made up, the brighter the higher the
    class."""
    real, r = f"{SHARED}/data/cifar10/train_2000.bin.gz", random.Random(SEED)
    if LONG and os.path.exists(real):
        with gzip.open(real) as f:
            some = f.read(3073 * n)
    else:
        classes = [r.randrange(10) for _ in range(n)]
        some = b"".join(bytes([k]) + bytes((b >> 1) + 12 * k for b in r.randbytes(3072)) for k in classes)
    with gzip.open(path, "wb") as f:
        f.write(some)
    return path


def resnet20(path):
    return {
        "name": "resnet20", "retries": 100, "resources": {"memory": "512MiB"},
        "model": {"arch": "resnet20"},
        "training": {"epochs": 5, "batch_size": 8, "micro_batch_size": 3,
                     "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}},
        # The last batch of an epoch is a ragged one.
        "data": {"train": {"type": "cifar", "path": path},
                 "normalize": {"type": "scale", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
        "checkpoint": {"every": {"steps": 3}},
    }


MOBILENET = {
    "name": "mobilenet", "retries": 100, "resources": {"memory": "1GiB"},
    "model": {"arch": "mobilenet_v2", "classes": 5},
    "training": {"epochs": 5, "batch_size": 6, "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9}},
    "data": {"train": {"type": "synthetic", "shape": [3, 32, 32], "classes": 5, "samples": 27}},
    "checkpoint": {"every": {"steps": 4}},
}

BERT = {
    "name": "bert", "retries": 100, "resources": {"memory": "256MiB"},
    "model": {"arch": "bert", "vocabulary": 60, "hidden": 32, "depth": 2, "heads": 4, "intermediate": 64,
              "positions": 24, "classes": 4},
    "training": {"epochs": 12, "batch_size": 16, "micro_batch_size": 7,
                 "loss": {"type": "cross_entropy", "label_smoothing": 0.1}, "gradient_clip_norm": 1,
                 "optimizer": {"type": "adamw", "learning_rate": 0.002},
                 "schedule": {"type": "linear", "warmup_steps": 20}},
    "data": {"train": {"type": "synthetic", "tokens": 20, "vocabulary": 60, "classes": 4, "samples": 300},
             "validation_split": 0.1},
    "checkpoint": {"every": {"steps": 20}},
}


def averaged(name, schedule, **training):
    """A small network with dropout and batch norms of whose model an average is kept, by this schedule."""
    return {
        "name": name, "retries": 100, "resources": {"memory": "128MiB"},
        "model": {"input": [6], "layers": [
            {"type": "linear", "out": 24}, "batch_norm", "relu", {"type": "dropout", "p": 0.2},
            {"type": "linear", "out": 24}, "batch_norm", "relu", {"type": "linear", "out": 3}]},
        "training": {"batch_size": 8, "ema": {"decay": 0.9}, "schedule": schedule, "log_every": 7, **training},
        "data": {"train": {"type": "synthetic", "shape": [6], "classes": 3, "samples": 700},
                 "validation_split": 0.2},
        # The metric that a plateau is judged by is measured on the average.
        "checkpoint": {"every": {"steps": 60}, "keep": {"last": 2, "metric": "val_loss"}},
    }


PLATEAU = averaged("plateau", {"type": "reduce_on_plateau", "factor": 0.9, "patience": 4, "cooldown": 1,
                               "threshold": 0.2, "warmup_steps": 30},
                   epochs=120, optimizer={"type": "adagrad", "learning_rate": 0.05})
ONE_CYCLE = averaged("one-cycle", {"type": "one_cycle", "pct_start": 0.3},
                     epochs=60, optimizer={"type": "lamb", "learning_rate": 0.02})


def longer(job):
    """As long as many kills want it."""
    if isinstance(job, str):
        return job.replace("epochs: 20", "epochs: 160")
    return {**job, "training": {**job["training"], "epochs": 8 * job["training"]["epochs"]}}


def weather(d, job, kills):
    """The job in calm and in storm."""
    storm = Storm(d, longer(job) if LONG else job, random.Random(SEED))
    storm.calm()
    eq(len(storm.want[1]), 2, "files of tensors")
    storm.rage(["trainer"] * kills + ["daemon"] * kills)
    storm.over(SEED)
    return storm.want


def resnet20_on_records(d):
    return resnet20(records(f"{d.root}/train.bin.gz", 27))


NETS = {
    "resnet20 on CIFAR records": resnet20_on_records,
    "mobilenet_v2": lambda d: MOBILENET,
    "a bert of two layers": lambda d: BERT,
    "a branched graph of one's own": lambda d: BRANCHES,
}


def computed(job, mode):
    """The job with its arithmetic said."""
    if isinstance(job, str):
        return job.replace("\ntraining:\n", f"\ntraining:\n  arithmetic: {mode}\n")
    return {**job, "training": {**job["training"], "arithmetic": mode}}


for name, make in NETS.items():
    for mode in MODES:
        @case(f"{name}, {mode}, ends with the bytes of the undisturbed run", "stopped")
        def _(d, make=make, mode=mode):
            weather(d, computed(make(d), mode), KILLS if mode == "fast" or LONG else 1)


@case("an average of the model over reduce_on_plateau ends with the bytes of the undisturbed run", "stopped")
def _(d):
    _, _, told = weather(d, PLATEAU, KILLS)
    plateau = told["schedule"]["plateau"]
    assert plateau["scale"] < 0.5, f"the rate has hardly fallen: {plateau}"


@case("an average of the model over one cycle ends with the bytes of the undisturbed run", "stopped")
def _(d):
    weather(d, ONE_CYCLE, KILLS)


run()
