#!/usr/bin/env python3
"""make accuracy: rows that are interrupted and gone on with, what they say, the statistics, the README's table.

The daemon and rekindle-train are the real ones, on a data set that is learned in a second; PyTorch is an interpreter
of ours that says what its would.
"""
import collections
import glob
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

from t import BUILD, Skip, case, csv, eq, has, limit, run, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
ACCURACY = f"{HERE}/../accuracy"
sys.path.insert(0, ACCURACY)
import grown_tiles                      # noqa: E402
import material                         # noqa: E402
import stats                            # noqa: E402
from lab import Failed, Lab, seconds    # noqa: E402

LONG = 1000             # epochs that take some seconds

ROWS = """
import json
import sys
sys.path.insert(0, {there!r})
import rows
from lab import Absent, Failed

def recipe(name, epochs=3, path={path!r}):
    source = {{"type": "csv", "path": path, "label": "class"}}
    return {{"name": name, "model": {{"arch": "mlp", "sizes": [4, 32, 3]}},
             "training": {{"epochs": epochs, "batch_size": 16, "optimizer": {{"type": "adam", "learning_rate": 0.003}},
                           "schedule": {{"type": "one_cycle"}}}},
             "data": {{"train": source, "validation": source}}, "checkpoint": {{"every": {{"steps": 20}}}}}}

def nothing(bench):
    raise Absent("the moon is not there")

ROWS = {{
    "easy": lambda b: rows.reach(b, recipe("easy"), 0.5),
    "hard": lambda b: rows.reach(b, recipe("hard"), 1.1),
    "long": lambda b: rows.reach(b, recipe("long", {long}), 0.5),
    "gone": nothing,
    "broken": lambda b: rows.reach(b, recipe("broken", path="/nowhere.csv"), 0.5),
    "beside": lambda b: rows.torch(b, recipe("beside"), 3, 0.2),
    "exactly": lambda b: rows.arithmetic(b, recipe("exactly"), 2, 0.5),
}}
"""
# What PyTorch's side would give: the accuracy of a seed out of a list; each call is noted.
PEER = """#!{python}
import json, sys
if sys.argv[1] == "-c":
    if "paddle" in sys.argv[2]:
        sys.exit("No module named paddle")
    print("1.13.0")
    sys.exit()
job = json.load(open(sys.argv[2]))
seed = job["training"]["seed"]
open({calls!r}, "a").write(f"{{seed}}\\n")
value = {values!r}[seed - 1]
if value is None:
    sys.exit("Error: out of luck")
with open(sys.argv[3] + "/result.json", "w") as f:
    json.dump({{"value": value, "epochs": [value], "seconds": 2.0, "parameters": 1}}, f)
"""


class Accuracy:
    """accuracy.py with a build folder of its own, in which the programs are links."""

    def __init__(self, root, long=3):
        self.root, self.build, self.calls = root, f"{root}/b", f"{root}/calls"
        os.makedirs(self.build)
        for name in "rekindled", "rekindle-train":
            os.symlink(f"{BUILD}/{name}", f"{self.build}/{name}")
        with open(f"{root}/rows.py", "w") as f:
            f.write(ROWS.format(there=ACCURACY, path=csv(f"{root}/x.csv"), long=long))
        self.env = dict(os.environ, BUILD=self.build, ACCURACY_ROWS=f"{root}/rows.py", THREADS="1",
                        BENCH_PYTHON=f"{root}/nobody")
        self.state = f"{self.build}/accuracy/state"

    def peer(self, values):
        with open(f"{self.root}/peer", "w") as f:
            f.write(PEER.format(python=sys.executable, calls=self.calls, values=values))
        os.chmod(f"{self.root}/peer", 0o755)
        self.env["BENCH_PYTHON"] = f"{self.root}/peer"

    def begin(self, *parts, prefix=()):
        return subprocess.Popen([*prefix, f"{ACCURACY}/accuracy.py", *parts], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def call(self, *parts, want=0, of="out"):
        p = self.begin(*parts)
        out, err = p.communicate(timeout=limit(120))
        eq(p.returncode, want, f"exit code ({out[-600:]} {err[-1500:]})")
        return out if of == "out" else err

    def rows(self):
        with open(f"{self.build}/accuracy.json") as f:
            return {r["row"]: r for r in json.load(f)}

    def trainers(self):
        p = subprocess.run(["pgrep", "-f", "--", f"--run-dir {self.state}"], capture_output=True, text=True)
        return [int(x) for x in p.stdout.split()]

    def lines(self):
        """Of the metrics of all jobs."""
        found = []
        for path in glob.glob(f"{self.state}/jobs/*/metrics.jsonl"):
            with open(path) as f:
                found += [json.loads(x) for x in f if x.endswith("\n")]
        return found

    def newest(self):
        """The newest checkpoint's name; "" before there is one."""
        return max((os.path.basename(p) for p in glob.glob(f"{self.state}/jobs/*/checkpoints/step-*")), default="")


# --- rows -----------------------------------------------------------------------

@case("a row that held, that missed, that came to nothing and whose data are absent are told apart", "stopped")
def _(d):
    a = Accuracy(d.root)
    out = a.call("easy", "hard", "gone", "broken", want=1)
    has(out, "\nok   easy: ")
    has(out, "\nFAILED hard: ")
    has(out, "\nSKIPPED gone: the moon is not there\n")
    has(out, "\nFAILED broken: ")
    has(out, "/nowhere.csv")
    has(out, "1 ok, 2 failed, 1 skipped")
    r = a.rows()
    eq({k: v["state"] for k, v in r.items()},
       {"easy": "ok", "hard": "failed", "gone": "skipped", "broken": "failed"}, "states")
    easy, one = r["easy"], r["easy"]["runs"][0]
    eq((easy["value"], len(one["epochs"]), one["attempts"], one["arithmetic"]), (one["epochs"][-1], 3, 1, "fast"), "run")
    assert 0 < easy["seconds"] < 100 and easy["goal"] == ">= 0.5", easy
    eq(easy["commit"], one["commit"], "commit")


@case("a row that is skipped fails nothing", "stopped")
def _(d):
    a = Accuracy(d.root)
    has(a.call("gone"), "0 ok, 0 failed, 1 skipped")
    eq(list(a.rows()), ["gone"], "rows")


@case("a row that does not exist is refused with those that do", "stopped")
def _(d):
    has(Accuracy(d.root).call("xyz", want=1, of="err"), "no row has xyz in its name; there are easy, hard, ")


@case("make accuracy is killed with -9 again and again, and the next call goes on with the same job", "stopped")
def _(d):
    quiet, a = Accuracy(f"{d.root}/q", long=LONG), Accuracy(f"{d.root}/a", long=LONG)
    quiet.call("long")
    for _ in range(2):
        before = a.newest()
        p = a.begin("long")
        wait_for(60, "a later checkpoint", lambda: a.newest() > before)
        p.kill()
        p.communicate()
        wait_for(30, "its trainer has left", lambda: not a.trainers())
    a.call("long")
    ours, theirs = a.rows()["long"]["runs"][0], quiet.rows()["long"]["runs"][0]
    eq(ours["epochs"], theirs["epochs"], "accuracy of each epoch")
    eq(len(glob.glob(f"{a.state}/jobs/*")), 1, "jobs")
    assert ours["attempts"] > 2 and theirs["attempts"] == 1, (ours["attempts"], theirs["attempts"])


@case("what was trained is not trained again, by another row neither, and FRESH=1 trains all anew", "stopped")
def _(d):
    a = Accuracy(d.root)
    a.call("easy")
    before, job = len(a.lines()), a.rows()["easy"]["runs"][0]["job"]
    a.call("easy", "gone")
    eq((len(a.lines()), a.rows()["easy"]["runs"][0]["job"]), (before, job), "metric lines, job")
    eq(list(a.rows()), ["easy", "gone"], "rows that are kept")
    a.env["FRESH"] = "1"
    a.call("easy")
    assert a.rows()["easy"]["runs"][0]["job"] != job
    eq(list(a.rows()), ["easy", "gone"], "rows that are kept")


@case("a job that an interrupted call left waits when another row is asked for", "stopped")
def _(d):
    a = Accuracy(d.root, long=100 * LONG)
    p = a.begin("long")
    wait_for(60, "a checkpoint", a.newest)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=limit(60))
    eq(p.returncode, 130, f"exit code ({out} {err})")
    wait_for(30, "its trainer has left", lambda: not a.trainers())
    a.call("easy")
    eq([r["state"] for r in a.rows().values()], ["ok"], "states")
    with Lab(f"{a.build}/accuracy", "none") as lab:
        eq([j["name"] for j in lab.jobs("state=paused")], ["long.fast.1"], "jobs that wait")


@case("a job is trained at its caller's niceness", "stopped")
def _(d):
    a = Accuracy(d.root, long=100 * LONG)
    p = a.begin("long", prefix=("nice", "-n", "15"))
    wait_for(60, "a checkpoint", a.newest)
    eq([os.getpriority(os.PRIO_PROCESS, x) for x in a.trainers()], [min(19, os.nice(0) + 15)], "niceness")
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=limit(60))


# --- beside PyTorch ---------------------------------------------------------------

@case("two sides are compared by their means and by what these are sure of", "stopped")
def _(d):
    a = Accuracy(d.root)
    a.call("easy")
    a.peer([0.9, 0.91, 0.92])
    a.call("beside")
    r = a.rows()["beside"]
    x = [q["value"] for q in r["runs"]]
    eq([q["seed"] for q in r["runs"]], [1, 2, 3], "seeds")
    assert abs(r["value"] - 100 * (sum(x) / 3 - 0.91)) < 1e-9, r
    eq(r["state"], "ok" if abs(r["value"]) <= 2 * r["error"] else "failed", "state")
    has(r["conditions"], "PyTorch 1.13 91.00 % (deviation 1.00); 3 seeds each")
    # What PyTorch's side has trained it does not train again either.
    a.call("beside", want=0 if r["state"] == "ok" else 1)
    with open(a.calls) as f:
        eq(f.read().split(), ["1", "2", "3"], "calls of PyTorch's side")


@case("a side that is better by far fails, and more seeds are taken until the means are sure", "stopped")
def _(d):
    a = Accuracy(d.root)
    a.peer([0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9] + [0.5] * 22)
    a.call("beside", want=1)
    n = len(a.rows()["beside"]["others"])
    assert n > 3 and a.rows()["beside"]["error"] <= 20, a.rows()["beside"]
    a.peer([0.01, 0.011, 0.012])
    with open(f"{d.root}/rows.py", "a") as f:
        f.write('ROWS["anew"] = lambda b: rows.torch(b, recipe("anew"), 3, 0.2)\n')
    has(a.call("anew", want=1), "FAILED anew: ")


@case("a comparison without PyTorch is skipped, and one whose PyTorch fails has its last words", "stopped")
def _(d):
    a = Accuracy(d.root)
    has(a.call("beside"), "SKIPPED beside: no interpreter has PyTorch")
    a.peer([None] * 3)
    has(a.call("beside", want=1), "Error: out of luck")


@case("exact and fast arithmetic are two jobs of one recipe", "stopped")
def _(d):
    a = Accuracy(d.root)
    a.call("exactly")
    r = a.rows()["exactly"]
    eq([[q["arithmetic"] for q in r[k]] for k in ("runs", "others")], [["fast"] * 2, ["exact"] * 2], "arithmetic")
    # An mlp has no convolution: both are the same bytes.
    eq((r["value"], r["state"]), (0, "ok"), "difference")


@case("seconds between two times are those of UTC, where clocks are put forward, too", "stopped")
def _(d):
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    try:
        eq(seconds("2026-03-29T01:59:59.500Z", "2026-03-29T02:00:01Z"), 1.5, "seconds")
        eq(seconds("2026-03-29T01:30:00Z", "2026-03-29T03:30:00Z"), 7200, "seconds")
    finally:
        del os.environ["TZ"]
        time.tzset()


# --- figures ----------------------------------------------------------------------

@case("means, deviations and errors are those of the books", "stopped")
def _(d):
    v = [2, 4, 4, 4, 5, 5, 7, 9]
    eq(stats.mean(v), 5, "mean")
    assert abs(stats.deviation(v) - math.sqrt(32 / 7)) < 1e-12
    # Two samples of variance 2.5 and 10: error sqrt(2.5 / 5 + 10 / 5).
    a, b = [1, 2, 3, 4, 5], [2, 4, 6, 8, 10]
    assert abs(stats.difference_error(a, b) - math.sqrt(2.5)) < 1e-12
    c = stats.compare(a, b, 2)
    eq((c.difference, c.alike, c.sure), (-3, True, True), "-3 is within twice 1.58")
    eq(stats.compare(a, [x + 1 for x in b], 2).alike, False, "-4 is not")
    eq(stats.compare(a, b, 1.5).sure, False, "1.58 is more than 1.5")
    eq(stats.compare([1, 1], [1, 1], 0)[2:], (True, True), "no difference, no error")
    try:
        stats.deviation([1])
    except ValueError as e:
        has(str(e), "1 runs have no deviation")
    else:
        raise AssertionError("one run has a deviation")


@case("of curves the mean is taken and the first epoch that reaches a goal, of a table each class's recall", "stopped")
def _(d):
    eq(stats.mean_curve([[0, 0.5, 1], [1, 0.5, 0]]), [0.5, 0.5, 0.5], "mean")
    eq([stats.reaches([0.1, 0.5, 0.4, 0.6], x) for x in (0.1, 0.5, 0.55, 0.7)], [1, 2, 4, None], "epochs")
    eq(stats.recalls([[3, 1], [0, 0]]), [0.75, None], "recall")
    try:
        stats.mean_curve([[1, 2], [1]])
    except ValueError:
        return
    raise AssertionError("curves of two lengths have a mean")


def grown(curve, **recall):
    return {"macro_f1": curve, "recall": recall}


@case("a model that grows is judged by cold's best epoch, by what it still knows, and drawn", "stopped")
def _(d):
    before = [grown([0.5], old=0.8), grown([0.5], old=0.9)]
    cold = [grown([0.2, 0.5, 0.6, 0.9, 0.8, 0.8, 0.7], new=0.5, old=0.6)] * 2
    warm = [grown([0.5, 0.9], new=0.7, old=x) for x in (0.8, 0.86)]
    c = grown_tiles.compared(before, cold, warm)
    eq((c["best"], c["after"], c["share"], c["holds"]), (0.9, {"cold": 4, "warm": 2}, 0.5, False), "half of cold's epochs")
    eq(round(c["fall"], 9), 0.02, "fall of the old classes' recall")
    quick = [grown([0.9, 0.9], new=0.7, old=x) for x in (0.8, 0.86)]
    eq(grown_tiles.compared(before, cold, quick)["holds"], True, "a quarter of cold's epochs")
    eq(grown_tiles.compared(before, cold, [grown([0.9], new=0.7, old=0.81)])["holds"], False, "0.04 are forgotten")
    never = grown_tiles.compared(before, cold, [grown([0.8], new=0.7, old=0.9)])
    eq((never["after"]["warm"], never["holds"]), (None, False), "never there")
    with open(f"{d.root}/measured.json", "w") as f:
        json.dump([{"row": "growth", "runs": before + cold + quick, "figures": grown_tiles.compared(before, cold, quick)}], f)
    subprocess.run([f"{ACCURACY}/grown_tiles_plot.py", f"{d.root}/x.svg"], check=True,
                   env=dict(os.environ, MEASURED=f"{d.root}/measured.json"))
    drawn = [x.text for x in ET.parse(f"{d.root}/x.svg").iter() if x.text]
    for words in "cold: 4", "warm: 1", "new (new)", "old classes, mean":
        assert words in drawn, (words, drawn)


@case("macro F1 counts each class the same, and not one that nobody has", "stopped")
def _(d):
    table = [[50, 10, 0], [5, 30, 0], [0, 0, 0]]
    first, second = 100 / (60 + 55), 60 / (35 + 40)
    eq(stats.f1(table), [first, second, None], "F1")
    eq(stats.macro_f1(table), (first + second) / 2, "macro F1")
    eq(stats.f1([[0, 3], [0, 4]])[0], 0, "F1 of a class that is never answered")
    eq(stats.add([[[1, 2], [3, 4]], [[10, 20], [30, 40]]]), [[11, 22], [33, 44]], "sum of folds")


@case("folds have of each class as many, or one more, whatever the order of their names", "stopped")
def _(d):
    classes = {"a": [f"a{i}" for i in range(52)], "b": [f"b{i}" for i in range(13)]}
    fold = material.parted(classes, 5)
    for name, names in classes.items():
        eq(sorted(sum(fold[x] == k for x in names) for k in range(5)),
           {"a": [10, 10, 10, 11, 11], "b": [2, 2, 3, 3, 3]}[name], f"images of {name} by fold")
    eq(material.parted({"b": classes["b"][::-1]}, 5), {x: fold[x] for x in classes["b"]}, "folds")


@case("a tenth of the sentences of each class is held out, and PyTorch's side sees the same words of them",
      "stopped")
def _(d):
    try:
        import samples
    except ImportError:
        raise Skip("needs python3-numpy") from None
    words = ["It's", "a", "GOOD", "film,", "caf\u00e9-noir.", "_so_", "\u00ab\u00c9T\u00c9\u00bb", "\u00a35\u00a0", "on\x85e", "x\ty"]
    rnd, whole, lines = random.Random(3), {}, {}
    for name in "neg", "pos":
        lines[name] = [" ".join(rnd.choices(words, k=rnd.randint(1, 12))) + f" {name}{i}" for i in range(60)]
        whole[name] = f"{d.root}/{name}"
        with open(whole[name], "w", encoding="latin-1") as f:
            f.write("".join(f"{x}\n" for x in lines[name]))
    material.sentences(whole, d.root)
    for name in whole:
        parts = [open(f"{d.root}/{p}.{name}", encoding="latin-1", newline="\n").read().split("\n")[:-1]
                 for p in material.PARTS]
        eq(([len(x) for x in parts], sorted(parts[0] + parts[1])), ([54, 6], sorted(lines[name])), "sentences")
        lines[name] = parts[0]
    source = material.texts(d.root, "train", whole, {"type": "words", "vocabulary": f"{d.root}/vocabulary"}, 8)
    n = material.vocabulary(source, 1000)
    count = collections.Counter(w for v in lines.values() for x in v for w in samples.words_of(x))
    with open(f"{d.root}/vocabulary", encoding="utf-8", newline="\n") as f:
        known = f.read().split("\n")[:-1]
    eq(known[5:], sorted(count, key=lambda w: (-count[w], w.encode())), "words that rekindle-train counted")
    eq(n, len(known), "tokens")
    x, y = samples.read(source)
    eq((x.shape, y.tolist()), ((108, 8), [0] * 54 + [1] * 54), "samples")
    for ids, line in zip(x.tolist(), lines["neg"] + lines["pos"]):
        eq([known[i] for i in ids], (samples.words_of(line) + ["[PAD]"] * 8)[:8], "words of a sample")


@case("sentences that are not there, or are no text, make no vocabulary", "stopped")
def _(d):
    source = material.texts(d.root, "train", ["neg"], {"type": "words", "vocabulary": f"{d.root}/vocabulary"}, 8)
    try:
        material.vocabulary(source, 1000)
    except Failed as e:
        has(str(e), "no vocabulary is made: ")
        has(str(e), "train.neg")
    else:
        raise AssertionError("made of nothing")


@case("the README's table has every row, marks what is missed, failed or skipped, and keeps what was measured before",
      "stopped")
def _(d):
    a = Accuracy(d.root)
    a.call("easy", "hard", "gone", "exactly", want=1)
    path, measured = f"{d.root}/README.md", f"{d.root}/measured.json"
    old = ["| `beside` | an hour's work |", "| `hard` | older |", "| `of another time` | |"]

    def table():
        subprocess.run([f"{ACCURACY}/table.py"], env=dict(a.env, README=path, MEASURED=measured), check=True)
        with open(path) as f:
            return f.read()
    with open(path, "w") as f:
        f.write("before\n<!-- accuracy -->\n" + "\n".join(old) + "\n<!-- /accuracy -->\nafter\n")
    text = table()
    assert text.startswith("before\n<!-- accuracy -->\n| row |") and text.endswith("|\n<!-- /accuracy -->\nafter\n"), text
    r = a.rows()
    has(text, f"| `easy` | {r['easy']['value']:.4f} accuracy | >= 0.5 | ")
    has(text, f"| `hard` | {r['hard']['value']:.4f} accuracy **(missed)** | >= 1.1 | ")
    has(text, "| `gone` | **skipped**: the moon is not there | ")
    has(text, "| `beside` | an hour's work |\n| `exactly` | +0.00 points of difference | ")
    for gone in "older", "of another time":
        assert gone not in text, text
    with open(measured) as f:
        figures = f.read()
    eq({x["row"]: x["value"] for x in json.loads(figures)}, {k: v["value"] for k, v in r.items() if "value" in v}, "kept")
    # On another machine, or after make clean, what was measured is not lost.
    os.rename(f"{a.build}/accuracy.json", f"{d.root}/away.json")
    eq(table(), text, "the table without build/accuracy.json")
    with open(measured) as f:
        eq(f.read(), figures, "measured.json")


run()
