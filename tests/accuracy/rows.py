"""The rows of make accuracy: what is trained, and what must come of it.

A row is a name and a function of the bench (accuracy.Bench) that gives {value, unit,
goal, holds, conditions, seconds, runs}, or raises Absent or Failed (lab.py).
"""
import importlib.util
import os

import grown_tiles
import recipes
import stats
from recipes import seeded

MOST_SEEDS = 30         # a row takes no more than so many, however unsure it is


def percent(x):
    return f"{100 * x:.2f} %"


def reach(bench, recipe, goal):
    """One job, seed 1: the accuracy that its last epoch leaves."""
    r = bench.ours(seeded(recipe, 1))
    t = recipe["training"]
    return {"value": r["value"], "unit": "accuracy", "goal": f">= {goal}", "holds": r["value"] >= goal,
            "conditions": f"{recipe['model']['arch']}, {t['epochs']} epochs, batch {t['batch_size']}, "
                          f"{t['optimizer']['type']} {t['optimizer']['learning_rate']}, {t['schedule']['type']}, "
                          "seed 1",
            "seconds": r["seconds"], "runs": [r]}


def alike(bench, a, b, names, seeds, most):
    """Two ways to train a recipe, seeds each: the difference of their means is at most two of
    its standard errors.  a and b give the result of a seed; most: what the error may be, for
    which there are more seeds until it is so."""
    ours, theirs = [], []
    while len(ours) < seeds or (not stats.compare(*values(ours, theirs), most).sure and len(ours) < MOST_SEEDS):
        # In turn, so that a row that is interrupted has as many of both.
        ours.append(a(len(ours) + 1))
        theirs.append(b(len(theirs) + 1))
    x, y = values(ours, theirs)
    c = stats.compare(x, y, most)
    told = ", ".join(f"{name} {percent(stats.mean(v))} (deviation {100 * stats.deviation(v):.2f})"
                     for name, v in zip(names, (x, y)))
    return {"value": 100 * c.difference, "unit": "points of difference",
            "goal": f"within {stats.ERRORS} standard errors, each <= {100 * most:g}", "holds": c.alike and c.sure,
            "conditions": f"{told}; {len(x)} seeds each; standard error {100 * c.error:.2f}",
            "seconds": sum(r["seconds"] for r in ours + theirs), "error": 100 * c.error,
            "runs": ours, "others": theirs}


def values(ours, theirs):
    return [r["value"] for r in ours], [r["value"] for r in theirs]


def torch(bench, recipe, seeds, most):
    peer = bench.peer()
    return alike(bench, lambda n: bench.ours(seeded(recipe, n)), lambda n: bench.theirs(peer, seeded(recipe, n)),
                 ("rekindle", peer.name), seeds, most)


def arithmetic(bench, recipe, seeds, most):
    return alike(bench, lambda n: bench.ours(seeded(recipe, n)), lambda n: bench.ours(seeded(recipe, n, "exact")),
                 ("fast", "exact"), seeds, most)


def weights(bench):
    recipe, path = recipes.weights_cifar()
    r = bench.evaluate(recipe, path)
    return {"value": r["accuracy"], "unit": "accuracy", "goal": "0.8103", "holds": round(r["accuracy"], 4) == 0.8103,
            "conditions": f"ResNet-20, the given weights, {r['samples']:,} JPEG test images",
            "seconds": r["seconds"],
            "runs": [{**r["metrics"], "samples": r["samples"], "model": r["model"]["sha256"],
                      "data": r["data"]["digest"], "arithmetic": r["arithmetic"]}]}


def best(bench, many, goal):
    """The best of several recipes, seed 1 each."""
    all_ = [reach(bench, recipe, goal) for recipe in many]
    told = "; ".join(f"{r['value']:.4f}: {r['conditions']}" for r in all_)
    return {**max(all_, key=lambda r: r["value"]), "conditions": told, "seconds": sum(r["seconds"] for r in all_),
            "runs": [x for r in all_ for x in r["runs"]]}


def folds(bench, recipe, n, goal):
    """n jobs, each judged by a part that it was not trained on; the macro F1 of all together."""
    runs, tables, names = [], [], []
    for k in range(n):
        job = seeded(recipe(k), 1)
        r = bench.ours(job)
        report = bench.evaluate(job, bench.lab.checkpoint(r["job"]), "--json")
        tables.append(report["confusion"]["matrix"])
        names = [c.get("name", str(c["class"])) for c in report["classes"]]
        runs.append({**r, "macro_f1": stats.macro_f1(tables[-1]), "confusion": tables[-1]})
    whole = stats.add(tables)
    value, by_class = stats.macro_f1(whole), ", ".join(f"{c} {x:.3f}" for c, x in zip(names, stats.f1(whole)))
    t = job["training"]
    return {"value": value, "unit": "macro F1", "goal": f">= {goal}" if goal else "none",
            "holds": value >= goal, "seconds": sum(r["seconds"] for r in runs), "runs": runs, "classes": names,
            "confusion": whole,
            "conditions": f"{job['model']['arch']}, {n} stratified folds, {t['epochs']} epochs, batch "
                          f"{t['batch_size']}; folds {' '.join(format(r['macro_f1'], '.3f') for r in runs)}; "
                          f"F1 {by_class}; "
                          f"rows of the confusion matrix {' / '.join(' '.join(map(str, row)) for row in whole)}"}


ROWS = {
    "lenet5-fashion": lambda b: reach(b, recipes.lenet5_fashion(), 0.90),
    "lenet5-torch": lambda b: torch(b, recipes.lenet5_fashion(), 10, 0.005),
    "lenet5-arithmetic": lambda b: arithmetic(b, recipes.lenet5_fashion(), 10, 0.005),
    "resnet20-fashion": lambda b: reach(b, recipes.resnet20_fashion(), 0.93),
    "weights-cifar": weights,
    "resnet20-cifar": lambda b: reach(b, recipes.resnet20_cifar(30), 0.80),
    "resnet20-torch": lambda b: torch(b, recipes.resnet20_cifar(8), 3, 0.005),
    "resnet20-arithmetic": lambda b: arithmetic(b, recipes.resnet20_cifar(8), 3, 0.005),
    "polarity": lambda b: best(b, [recipes.textcnn_polarity(), recipes.bert_polarity()], 0.74),
    "textcnn-torch": lambda b: torch(b, recipes.textcnn_polarity(), 10, 0.01),
    "tiles": lambda b: folds(b, recipes.tiles, recipes.FOLDS, 0),
    "growth": grown_tiles.growth,
}


def load():
    """{name: function}; ACCURACY_ROWS names a file with others, for the tests of all this."""
    path = os.environ.get("ACCURACY_ROWS")
    if path is None:
        return ROWS
    spec = importlib.util.spec_from_file_location("other_rows", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROWS
