"""The part `networks` of bench.py: how long a large network takes to compile, and
samples a second of two small ones against PyTorch running the same layers.
"""
import json
import os
import resource
import statistics
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
TRAINER = f"{BUILD}/rekindle-train"
med = statistics.median


def job(name, model, source, batch, optimizer):
    return {
        "name": name, "resources": {"threads": 2, "memory": "4GiB"}, "model": model,
        "training": {"steps": 10**6, "batch_size": batch, "log_every": 1, "optimizer": optimizer},
        "data": {"train": dict(source, type="synthetic", samples=8 * batch)},
        "checkpoint": {"every": {"steps": 10**9}, "keep": {"best": 0, "metric": "loss"}},
    }


SGD = {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9}
ADAMW = {"type": "adamw", "learning_rate": 0.001}
# Name, steps of ours, job, and the arguments of torch_net.py.
AGAINST = (
    ("ResNet-20", 40, job("resnet20", {"arch": "resnet20"}, {"shape": [3, 32, 32]}, 64, SGD),
     ("3x32x32", "64", "10", "sgd"), "3x32x32, batch 64, SGD with momentum"),
    ("a small bert", 60, job("bert", {"arch": "bert", "vocabulary": 5000, "hidden": 128, "depth": 2, "heads": 4,
                                      "intermediate": 512, "positions": 64, "classes": 10, "dropout": 0.0},
                             {"tokens": 64, "vocabulary": 5000}, 32, ADAMW),
     ("tokens:64", "32", "10", "adamw"), "2 layers of 128, 64 tokens, batch 32, AdamW, no dropout"),
)


def cpu_ms(args):
    """Milliseconds of CPU that a program used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compiled(top, row, rounds):
    """--summary of ResNet-101 against that of a network of one layer, which starts as long and reads as much."""
    paths, took = {}, []
    for name, model in (("resnet101", {"arch": "resnet101"}),
                        ("one", {"layers": [{"type": "flatten"}, {"type": "linear", "out": 10}]})):
        paths[name] = f"{top}/{name}.json"
        with open(paths[name], "w") as f:
            json.dump(dict(job(name, model, {"shape": [3, 224, 224]}, 2, SGD)), f)
    for _ in range(rounds):
        took.append(cpu_ms([TRAINER, "--summary", paths["resnet101"]]) - cpu_ms([TRAINER, "--summary", paths["one"]]))
    row("compile of ResNet-101", med(took), "ms", "< 100", med(took) < 100,
        f"CPU time of rekindle-train --summary, less that for a network of one layer on the same data; median of "
        f"{rounds}, {min(took):.0f} to {max(took):.0f}")


def against(top, row, rounds, env, train_alone, steady_ms):
    for what, steps, j, args, words in AGAINST:
        j["training"]["steps"] = steps
        with open(f"{top}/job.json", "w") as f:
            json.dump(j, f)
        with open(f"{top}/model.yaml", "w") as f:
            subprocess.run([TRAINER, "--summary", "--yaml", f"{top}/job.json"], check=True, stdout=f)
        ours, theirs = [], []
        for i in range(rounds):
            ours.append(steady_ms(train_alone(top, j, i)[0], steps // 4))
            theirs.append(float(subprocess.run(["/usr/bin/python3", f"{HERE}/torch_net.py", f"{top}/model.yaml", *args],
                                               env=env, check=True, capture_output=True, text=True).stdout))
        ratio = [b / a for a, b in zip(ours, theirs)]
        row(f"{what} against PyTorch", med(ratio), "times as many samples/s", "none", True,
            f"{words}, 2 threads; medians of {rounds} rounds in turn: rekindle-train {med(ours):.1f} ms/step with its "
            f"data, PyTorch 1.13 {med(theirs):.1f} ms on one fixed batch; range {min(ratio):.2f}-{max(ratio):.2f}")
