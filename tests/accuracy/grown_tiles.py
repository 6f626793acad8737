"""The row growth: a model of four classes of magnetic tiles becomes one of six.

Of each fold three jobs: `before` knows four classes; `cold` learns six from nothing;
`warm` grows out of `before`, by the names of the classes, in two phases.  All are judged
by tiles that no job of the fold was trained on.  What is compared is the mean over the
folds: after which epoch macro F1 is for the first time what cold's is at its best, and
the recall of the four old classes that `before` and `warm` leave.
"""
import recipes
import stats
from recipes import seeded

SHARE, FALL = 1 / 3, 0.03       # of cold's epochs; of the old classes' mean recall, at most


def trained(bench, recipe, judged=None):
    """A job's result, with macro F1 of each epoch, and the recall of each class that its last
    epoch leaves; judged: the job to judge it by, where its own says more than --evaluate asks."""
    job = seeded(recipe, 1)
    r = bench.ours(job)
    report = bench.evaluate(seeded(judged or recipe, 1), bench.lab.checkpoint(r["job"]), "--json")
    names, matrix = [c["name"] for c in report["classes"]], report["confusion"]["matrix"]
    return {**r, "macro_f1": [x["macro_f1"] for x in bench.lab.lines(r["job"], "validation")],
            "recall": dict(zip(names, stats.recalls(matrix))), "confusion": matrix}


def old_recall(runs, old):
    """Mean of the runs' recall of each old class, and of these."""
    by_class = {c: stats.mean([r["recall"][c] for r in runs]) for c in old}
    return by_class, stats.mean(by_class.values())


def compared(before, cold, warm):
    """The row's figures, of as many results of each."""
    curve = {k: stats.mean_curve([r["macro_f1"] for r in v]) for k, v in (("cold", cold), ("warm", warm))}
    best = max(curve["cold"])
    after = {k: stats.reaches(v, best) for k, v in curve.items()}
    old = list(before[0]["recall"])
    classes = {k: old_recall(v, old) for k, v in (("before", before), ("cold", cold), ("warm", warm))}
    fall = classes["before"][1] - classes["warm"][1]
    share = after["warm"] / after["cold"] if after["warm"] else len(curve["warm"]) / after["cold"]
    return {"best": best, "after": after, "share": share, "fall": fall, "curves": curve,
            "recall": {k: v[0] for k, v in classes.items()}, "mean_recall": {k: v[1] for k, v in classes.items()},
            "holds": after["warm"] is not None and share <= SHARE and fall <= FALL}


def by_fold(cold, warm):
    """Of each fold: the epoch in which it has its cold start's best, and that of the cold start's."""
    def told(c, w):
        best = max(c["macro_f1"])
        return f"{stats.reaches(w['macro_f1'], best) or 'never'} of {stats.reaches(c['macro_f1'], best)}"
    return ", ".join(told(c, w) for c, w in zip(cold, warm))


def conditions(job, c, before, cold, warm):
    t, m = job["training"], c["mean_recall"]
    phases = " + ".join(f"{p['epochs']} of {' '.join(p['train'])}" for p in t["phases"])
    recall = ", ".join(f"{k} {x:.3f} / {c['recall']['warm'][k]:.3f}" for k, x in c["recall"]["before"].items())
    reached = f"has that after {c['after']['warm']}" if c["after"]["warm"] else "does not come to that"
    told = [f"{job['model']['arch']}, 64x64, {len(cold)} stratified folds, batch {t['batch_size']}, "
            f"{t['optimizer']['type']} {t['optimizer']['learning_rate']}, seed 1",
            f"the model of four classes: {len(before[0]['macro_f1'])} epochs",
            f"mean macro F1 of the cold start at its best {c['best']:.3f} after {c['after']['cold']} of "
            f"{len(c['curves']['cold'])} epochs",
            f"the warm start, epochs {phases}, {reached}, and is at {c['curves']['warm'][-1]:.3f} at its end",
            f"folds {by_fold(cold, warm)}",
            f"mean recall of the old classes {m['before']:.3f} before, {m['warm']:.3f} after (cold {m['cold']:.3f}): {recall}"]
    return "; ".join(told)


def growth(bench):
    before, cold, warm = [], [], []
    for k in range(recipes.FOLDS):
        before.append(trained(bench, recipes.growth_before(k)))
        cold.append(trained(bench, recipes.growth_cold(k)))
        job = recipes.growth_warm(k, f"job://{before[-1]['job']}/latest")
        warm.append(trained(bench, job, recipes.growth_cold(k)))
    c = compared(before, cold, warm)
    runs = before + cold + warm
    return {"value": c["share"], "unit": "of the cold start's epochs",
            "goal": f"<= 0.3333, and the old classes' mean recall falls by at most {FALL}", "holds": c["holds"],
            "conditions": conditions(job, c, before, cold, warm), "seconds": sum(r["seconds"] for r in runs), "runs": runs,
            "figures": c}
