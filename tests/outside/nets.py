#!/usr/bin/env python3
"""Networks of every family as jobs: killed with -9 at random, on another number of
threads each time, they end with the bytes of the run that nobody disturbed.

KILLS=3 SEED=1 by default, LONG=1: 20; so many kills of the trainer and so many
of the daemon for each network that is computed fast, and one for each that is
exact (LONG=1: as many).  The daemon is started again with another
--threads after each, and the jobs say no number of their own.  A job that ends
before the kills are done is submitted again: all copies must have the bytes.
"""
import glob
import gzip
import hashlib
import json
import os
import random
import signal
import time

from t import SHARED, SLOW, case, eq, run, wait_for

LONG = bool(os.environ.get("LONG"))
KILLS = int(os.environ.get("KILLS", "20" if LONG else "3"))
SEED = int(os.environ.get("SEED", "1"))
THREADS = (1, 2, 3, 4)
MODES = ("fast", "exact")
ENDED = ("succeeded", "failed", "cancelled")

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


def submit(d, job):
    kind = "application/yaml" if isinstance(job, str) else "application/json"
    return d.submit(job, headers={"Content-Type": kind})


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def final(d, i):
    """The last checkpoint's name, the digests of its tensors, and what else it has of the training."""
    last = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))[-1]
    with open(f"{last}/checkpoint.json") as f:
        told = json.load(f)
    more = {k: told[k] for k in ("step", "epoch", "metrics", "learning_rate")}
    more.update((k, told["state"].get(k)) for k in ("schedule", "updates", "last_epoch", "valid", "best"))
    return os.path.basename(last), {os.path.basename(p): sha(p) for p in glob.glob(f"{last}/*.safetensors")}, more


def threads_of(pid):
    """What its daemon gave it; None: it has gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            argv = f.read().split(b"\0")
        return int(argv[argv.index(b"--threads") + 1])
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None


def kill9(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Storm:
    """A daemon that is killed and started again with another number of threads, over copies of one job."""

    def __init__(self, d, job, spread, rng):
        self.d, self.job, self.spread, self.rng = d, job, spread, rng
        self.ids, self.threads, self.seen = [], THREADS[0], set()
        self.kills = {"trainer": 0, "daemon": 0}

    def start(self):
        self.threads = self.rng.choice([n for n in THREADS if n != self.threads])
        self.d.start("--config", f"{self.d.root}/c.yaml", "--threads", str(self.threads))

    def trainer(self):
        """One that runs, of a job that has not ended."""
        def look():
            if not self.ids or self.d.job(self.ids[-1])["state"] in ENDED:
                self.ids.append(submit(self.d, self.job))
            for p in self.d.trainers(self.ids[-1]):
                if threads_of(p) is not None:
                    return p
            return None
        return wait_for(60, "a trainer runs", look)

    def strike(self, what):
        pid = self.trainer()
        time.sleep(self.rng.uniform(0, self.spread) * SLOW)
        n = threads_of(pid)
        if n is None:
            return False                # it was done meanwhile
        self.seen.add(n)
        if what == "trainer":
            kill9(pid)
            eq(self.d.stop(), 0, "the daemon's exit")
        else:
            # Alone it would have its trainer save and leave.
            alone = self.rng.random() < 0.5
            self.d.kill()
            if not alone:
                time.sleep(self.rng.uniform(0, 0.01))
                kill9(pid)
        self.kills[what] += 1
        self.start()
        return True


def weather(d, job, kills):
    """The job in calm and in storm."""
    with open(f"{d.root}/c.yaml", "w") as f:
        json.dump({"retry": {"base": 0.05, "max": 0.2}}, f)
    d.start("--config", f"{d.root}/c.yaml", "--threads", str(THREADS[0]))
    calm = submit(d, job)
    d.wait_state(calm, "running", *ENDED)
    begun = time.monotonic()
    eq(d.wait_state(calm, *ENDED, seconds=300)["state"], "succeeded", d.job(calm)["message"])
    took = time.monotonic() - begun
    want = final(d, calm)
    eq(len(want[1]), 2, "files of tensors")

    rng = random.Random(SEED)
    storm = Storm(d, job, min(2, 0.7 * took / SLOW), rng)
    d.kill()
    storm.start()
    todo = ["trainer"] * kills + ["daemon"] * kills
    rng.shuffle(todo)
    while todo:
        if storm.strike(todo[-1]):
            todo.pop()
    attempts = 0
    for i in storm.ids:
        j = d.wait_state(i, *ENDED, seconds=300)
        eq(j["state"], "succeeded", f"state ({j['message']})")
        eq(j["exact"], True, "exact")
        eq(final(d, i), want, f"{i} after {j['attempt']} attempts")
        attempts += j["attempt"]
    print(f"{storm.kills['trainer']} kills of the trainer, {storm.kills['daemon']} of the daemon, {len(storm.ids)} "
          f"jobs, {attempts} attempts, threads {sorted(storm.seen)}, {want[0]}, seed {SEED}")
    return want


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
