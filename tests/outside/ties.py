#!/usr/bin/env python3
"""Scores, and what is the best of them: only a better one is a new best, and each is of its own weights."""
import glob
import json
import subprocess

from t import BUILD, case, eq, limit, run, tiny, trainer, wait_for


def still(d, name, **training):
    """A network that learns nothing, so that each epoch's scores are the last one's."""
    job = tiny(d, name, checkpoint={"every": {"steps": 1000000}, "keep": {"last": 9, "best": 2}})
    job["training"] = {"epochs": 6, "batch_size": 16, "optimizer": {"type": "sgd", "learning_rate": 1e-30}, **training}
    return job


def epochs_of(d, name):
    out = []
    for p in sorted(glob.glob(f"{d.root}/{name}.run/checkpoints/step-*/checkpoint.json")):
        with open(p) as f:
            out.append(json.load(f)["epoch"])
    return out


@case("an epoch that is as good as the best is no new best and makes no checkpoint", "stopped")
def _(d):
    for metric, mode in (("val_loss", "min"), ("val_accuracy", "max")):
        job = still(d, mode)
        job["checkpoint"]["keep"].update(metric=metric, mode=mode)
        trainer(d, job)
        eq(epochs_of(d, mode), [1, 6], f"epochs with a checkpoint, by {metric}")


@case("an epoch that is as good as the best is no improvement for early stopping", "stopped")
def _(d):
    for metric, mode in (("val_loss", "min"), ("val_accuracy", "max")):
        trainer(d, still(d, f"stop-{mode}", early_stopping={"metric": metric, "mode": mode, "patience": 2}))
        eq(epochs_of(d, f"stop-{mode}")[-1], 3, f"the epoch that it stopped at, by {metric}")


@case("an epoch that is as good as the best lets a plateau lower the rate", "stopped")
def _(d):
    # The rate is lowered by more than 1e-8, or not at all.
    job = still(d, "flat", optimizer={"type": "sgd", "learning_rate": 1e-7},
                schedule={"type": "reduce_on_plateau", "patience": 2, "factor": 0.5, "threshold": 0})
    job["checkpoint"]["keep"].update(metric="val_accuracy", mode="max")
    trainer(d, job)
    with open(f"{d.root}/flat.run/metrics.jsonl") as f:
        rates = {json.loads(x).get("learning_rate") for x in f}
    eq(rates - {None}, {1e-7, 5e-8}, "rates")


def checkpoints(d, name):
    """{step: whether it has scores of the validation data}"""
    out = {}
    for p in glob.glob(f"{d.root}/{name}.run/checkpoints/step-*/checkpoint.json"):
        try:
            with open(p) as f:
                c = json.load(f)
        except FileNotFoundError:
            continue                    # retention was quicker
        out[c["step"]] = "val_loss" in c["metrics"]
    return out


@case("a checkpoint has the scores of its own weights and no others", "stopped")
def _(d):
    job = tiny(d, "own", epochs=1000000, checkpoint={"every": {"epochs": 1}, "keep": {"last": 2, "best": 0}})
    job["model"]["sizes"] = [4, 256, 256, 3]
    with open(f"{d.root}/own.json", "w") as f:
        json.dump(job, f)
    for _ in range(5):                  # it is seldom asked to leave at an epoch's end
        newest = max(checkpoints(d, "own"), default=0)
        p = subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/own.run", f"{d.root}/own.json"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(30, "a checkpoint more", lambda: max(checkpoints(d, "own"), default=0) > newest)
        p.terminate()
        eq(p.wait(limit(30)), 0)
        scored = checkpoints(d, "own")
        if max(scored) % 57:
            break
    assert max(scored) % 57, scored
    eq(scored, {step: step % 57 == 0 for step in scored}, "which have scores of the validation data")


run()
