"""What torch_exports.py and paddle_exports.py have in common: a small job on arrays, trained
in this folder, and what it says.  For the interpreters with NumPy that ours.under() has gone to.
"""
import glob
import json
import subprocess

import numpy as np
from ours import BUILD


def trainer(job, *args, want=0):
    with open("job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([f"{BUILD}/rekindle-train", "--threads", "1", *args], capture_output=True, text=True)
    assert r.returncode == want, (args, r.stderr[-1000:])
    return r.stdout


def trained(job, *args):
    """The folder of its newest checkpoint."""
    trainer(job, "--run-dir", "run", *args, "job.json")
    return sorted(glob.glob("run/checkpoints/step-*"))[-1]


def logits(job, path):
    trainer(job, "--evaluate", path, "--logits", "out.npy", "job.json")
    return np.load("out.npy")


def losses(since):
    with open("run/metrics.jsonl") as f:
        return [m["loss"] for m in map(json.loads, f) if m["over"] == "steps" and m["step"] > since]


def samples(shape, n=24, classes=5):
    rng = np.random.RandomState(3)
    np.save("x.npy", rng.randn(n, *shape).astype("float32"))
    np.save("y.npy", rng.randint(0, classes, n))
    return np.load("x.npy"), np.load("y.npy")


def job(model, shape, steps=3, optimizer=None, **training):
    samples(shape)
    return {"name": "j", "resources": {"threads": 1}, "model": model,
            "training": {"steps": steps, "batch_size": 8, "shuffle": False, "log_every": 1,
                         "optimizer": optimizer or {"type": "adam", "learning_rate": 0.002}, **training},
            "data": {"train": {"type": "npy", "path": "x.npy", "labels": "y.npy"}, "normalize": "none"},
            "checkpoint": {"every": {"steps": steps}, "keep": {"last": 5}}}
