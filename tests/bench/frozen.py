"""The rows of what is frozen: the step of ResNet-50's head beside that of the whole network, from images and from
features that are kept.

CPU time of rekindle-train for some steps less that for a few, so that what it takes to begin is not in it, and so that
who else is on the machine counts for little: on one thread, each against the whole network in the same round.
"""
import json
import os
import resource
import shutil
import statistics
import subprocess

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
BATCH, SAMPLES = 8, 32                  # four steps an epoch
med = statistics.median
FROZEN = {"parameters": [{"match": "fc.*"}, {"match": "*", "trainable": False}], "frozen_batch_norm": "evaluation"}
# Of each kind: fields of the training, and from which step to which it is measured.
KINDS = {
    "whole": ({}, 2, 8),
    "frozen": (FROZEN, 2, 14),
    "kept": (dict(FROZEN, cache_features=True), 8, 408),
}


def job(kind, steps):
    return {
        "name": kind, "resources": {"threads": 1}, "model": {"arch": "resnet50"},
        "training": dict({"steps": steps, "batch_size": BATCH, "log_every": 1000,
                          "optimizer": {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9}}, **KINDS[kind][0]),
        "data": {"train": {"type": "synthetic", "shape": [3, 224, 224], "samples": SAMPLES, "classes": 1000}},
        "checkpoint": {"every": {"steps": 10**9}, "keep": {"best": 0, "metric": "loss"}},
    }


def cpu_s(top, kind, steps):
    path, run = f"{top}/{kind}.json", f"{top}/{kind}.run"
    with open(path, "w") as f:
        json.dump(job(kind, steps), f)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", run, path], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(run)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def step_ms(top, kind):
    _, few, many = KINDS[kind]
    return 1e3 * (cpu_s(top, kind, many) - cpu_s(top, kind, few)) / (many - few)


def bench(top, row, rounds):
    ms = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            ms[kind].append(step_ms(top, kind))
    for name, kind, goal, words in (
            ("step with a frozen backbone", "frozen", 0.40, "only its last layer is trained, batch norm in evaluation "
             "mode"),
            ("cached features", "kept", 0.02, "the same with cache_features, from the third epoch on")):
        ratio = [a / b for a, b in zip(ms[kind], ms["whole"])]
        row(name, med(ratio), "of a whole step", f"<= {goal}", med(ratio) <= goal,
            f"ResNet-50, 224x224, batch {BATCH}, SGD with momentum, one thread: {words}; CPU time a step, median of "
            f"{rounds} rounds in turn: {med(ms[kind]):.3g} ms, of the whole network {med(ms['whole']):.0f} ms; range "
            f"{min(ratio):.3g}-{max(ratio):.3g}")
