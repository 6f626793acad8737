#!/usr/bin/env python3
"""Scores that are equal: only a better one is a new best."""
import glob
import json

from t import case, eq, run, tiny, trainer


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


run()
