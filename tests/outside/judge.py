#!/usr/bin/env python3
"""Judging what was learned: figures, evaluations that the daemon keeps, early stopping, predictions, pictures."""
import glob
import json
import math
import os
import random
import signal
import struct
import subprocess
import xml.dom.minidom
import zlib

from leftovers import newest, npy
from digests import sha256
from t import BUILD, case, csv, eq, has, limit, run, tiny, wait_for

LABELS = 3


def trainer(d, job, *args, want=0, inputs=()):
    """rekindle-train on a dict: stdout, and stderr."""
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run", "--threads", "1", *args, path, *inputs],
                       capture_output=True, text=True, cwd=d.root, timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train {args} ({p.stderr[-600:]})")
    return p.stdout, p.stderr


def close(got, want, what):
    """Sums of some hundred numbers of about 1, in double: the last digits of 1e-15 each."""
    assert abs(got - want) < 1e-9, f"{what} is {got!r}, want {want!r}"


def by_hand(z, y, k):
    """Figures by their definitions, in plain Python."""
    said = [max(range(k), key=lambda c: (r[c], -c)) for r in z]
    n = len(y)
    of = []
    for c in range(k):
        tp = sum(a == b == c for a, b in zip(y, said))
        p, s = said.count(c), y.count(c)
        of.append((tp / p if p else 0, tp / s if s else 0, 2 * tp / (p + s) if p + s else 0, s, p, tp))
    there = [f for f in of if f[3] + f[4]]
    loss, bins = 0, [[0, 0, 0] for _ in range(15)]
    for r, a, b in zip(z, y, said):
        top = max(r)
        total = sum(math.exp(x - top) for x in r)
        loss += math.log(total) - (r[a] - top)
        sure = 1 / total
        at = bins[min(max(math.ceil(sure * 15) - 1, 0), 14)]
        at[0] += 1
        at[1] += a == b
        at[2] += sure
    matrix = [[0] * k for _ in range(k)]
    for a, b in zip(y, said):
        matrix[a][b] += 1
    mean = [sum(f[i] for f in there) / len(there) for i in range(3)]
    top5 = sum(sum(x > r[a] or (x == r[a] and c < a) for c, x in enumerate(r)) < 5 for r, a in zip(z, y)) / n
    return of, matrix, {"accuracy": sum(a == b for a, b in zip(y, said)) / n, "top5": top5, "macro_precision": mean[0],
                        "macro_recall": mean[1], "macro_f1": mean[2], "plain_loss": loss / n,
                        "ece": sum(abs(b[1] - b[2]) for b in bins) / n}


def labels_of(path):
    with open(path) as f:
        return [int(line.rsplit(",", 1)[1]) for line in list(f)[1:]]


# --- figures ------------------------------------------------------------------------------------

@case("each figure of an evaluation is what its definition gives for the logits", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    csv(f"{d.root}/v.csv", rows=300, seed=8)
    job["training"]["loss"] = {"type": "cross_entropy", "label_smoothing": 0.2, "class_weights": [1, 2, 0.5]}
    trainer(d, job)
    ckpt = newest(f"{d.root}/run")
    # Data of one's own, in place of what the job holds out.
    out, _ = trainer(d, job, "--evaluate", ckpt, "--json", "--logits", "z.npy", "--data-set", "path=v.csv")
    e = json.loads(out)
    eq((e["samples"], e["rows"], e["skipped"], e["data"]["of"], e["task"]), (300, 300, 0, "validation", "classes"),
       "what was scored")
    of, matrix, want = by_hand(npy(f"{d.root}/z.npy"), labels_of(f"{d.root}/v.csv"), 3)
    for word, x in want.items():
        close(e["metrics"][word], x, word)
    eq(e["accuracy"], e["metrics"]["accuracy"], "accuracy")
    assert abs(e["loss"] - e["metrics"]["plain_loss"]) > 0.01, "smoothing and weights are in the loss alone"
    eq(e["confusion"]["matrix"], matrix, "matrix")
    for c, f in zip(e["classes"], of):
        eq((c["support"], c["predicted"], c["correct"]), f[3:], f"counts of class {c['class']}")
        for word, x in zip(("precision", "recall", "f1"), f):
            close(c[word], x, f"{word} of class {c['class']}")
    eq(sum(b["rows"] for b in e["calibration"]["bins"]), 300, "rows in all bins")
    # Without --json: what there always was, and the figures.
    short = json.loads(trainer(d, job, "--evaluate", ckpt, "--data-set", "path=v.csv")[0])
    eq(short, {k: e[k] for k in ("name", "model", "data", "samples", "loss", "accuracy", "metrics", "outputs",
                                 "batch_size", "arithmetic")}, "what is printed without --json")
    # Another way to say it, for a job that has data.validation.
    job["data"] = {"train": job["data"]["train"], "validation": dict(job["data"]["train"])}
    other = json.loads(trainer(d, job, "--evaluate", ckpt, "--set", f"data.validation.path={d.root}/v.csv")[0])
    eq(other["metrics"], short["metrics"], "figures")


@case("a binary loss is judged by label and a regression by distance", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    job["training"]["loss"] = "binary_cross_entropy"
    trainer(d, job)
    e = json.loads(trainer(d, job, "--evaluate", newest(f"{d.root}/run"), "--json")[0])
    eq((e["task"], len(e["classes"])), ("labels", 3), "task and labels")
    eq(sorted(e["metrics"]), ["accuracy", "ece", "macro_f1", "macro_precision", "macro_recall"], "figures")
    assert "confusion" not in e, "labels exclude nobody"
    eq(sum(b["rows"] for b in e["calibration"]["bins"]), 3 * e["samples"], "predictions in all bins")
    job["name"], job["training"]["loss"], job["model"]["sizes"] = "reg", "l1", [4, 8, 1]
    job["data"]["split"] = {"stratify": False}
    job["checkpoint"]["keep"] = {"metric": "val_mae"}
    trainer(d, job, "--run-dir", f"{d.root}/reg")
    ckpt = newest(f"{d.root}/reg")
    e = json.loads(trainer(d, job, "--evaluate", ckpt, "--json")[0])
    eq((e["task"], sorted(e["metrics"])), ("numbers", ["mae"]), "task and figures")
    # The mean of |z - t| is what l1 is.
    assert abs(e["metrics"]["mae"] - e["loss"]) < 1e-6, e
    with open(f"{ckpt}/checkpoint.json") as f:
        eq(json.load(f)["metrics"]["val_mae"], e["metrics"]["mae"], "val_mae")


@case("logits into a folder are refused before anything is scored", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    trainer(d, job)
    ckpt = newest(f"{d.root}/run")
    os.unlink(f"{d.root}/tiny.csv")             # so that scoring would fail, too
    _, err = trainer(d, job, "--evaluate", ckpt, "--logits", ckpt, want=1)
    has(err, f"cannot write {ckpt}: it is a folder, want the name of a file")


@case("options that do not go together are wrong usage", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    for args, words in ((("--data-set", "path=x"), "--data-set without"), (("--json",), "--json without"),
                        (("--predict", "m", "--evaluate", "n"), "together"), (("--plot", "x", "--predict", "m"), "together"),
                        (("--predict", "m", "--model", "n"), "--predict and --model together"),
                        (("--predict", "m", "--data-set", "path"), "want KEY=VALUE")):
        has(trainer(d, job, *args, want=2)[1], words)
    has(trainer(d, job, "--summary", want=2, inputs=["more.yaml"])[1], "more than one job file")
    trainer(d, job)
    err = trainer(d, job, "--evaluate", newest(f"{d.root}/run"), "--data-set", "pathh=x.csv", want=3)[1]
    has(err, "data.validation.pathh")


@case("what stands where a job's file belongs is named", "stopped")
def _(d):
    os.makedirs(f"{d.root}/folder.yaml")
    for name, data, words in (("picture.yaml", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "picture.yaml: line 1, column 1: cannot be"),
                              ("text.yaml", b"x\n", "text.yaml: is \"x\", want an object"),
                              ("list.json", b"[1, 2]", "list.json: is [1, 2], want an object"),
                              ("folder.yaml", None, "cannot read folder.yaml: it is a folder, want a job's file")):
        if data is not None:
            with open(f"{d.root}/{name}", "wb") as f:
                f.write(data)
        for more in ((), ("--set", "name=x")):
            if (name, more) in (("text.yaml", ("--set", "name=x")), ("list.json", ("--set", "name=x"))):
                continue                        # nothing can be set in either
            p = subprocess.run([f"{BUILD}/rekindle-train", *more, name], capture_output=True, text=True, cwd=d.root,
                               timeout=limit(30))
            eq(p.returncode, 3, f"exit with {name}")
            has(p.stderr, words)
    p = subprocess.run([f"{BUILD}/rekindle", "submit", "folder.yaml"], capture_output=True, text=True, cwd=d.root,
                       timeout=limit(30))
    eq((p.returncode, p.stderr), (2, "rekindle: folder.yaml: is a folder, want a job's file\n"), "a submission of a folder")
    job = tiny(d, epochs=2)
    trainer(d, job)
    two = sorted(glob.glob(f"{d.root}/run/checkpoints/step-*"))[-2:]
    p = subprocess.run([f"{BUILD}/rekindle-train", "--predict", *two, "tiny.json"], capture_output=True, text=True,
                       cwd=d.root, timeout=limit(30))
    eq(p.returncode, 3, "exit with two checkpoints")
    has(p.stderr, f"{two[1]} is a second checkpoint, and --predict takes one: want the job's file behind it")


@case("a folder that cannot be made for pictures is one line", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    trainer(d, job)
    err = trainer(d, job, "--plot", "/proc/x/y", want=1)[1]
    eq(err.splitlines(), ["rekindle-train: cannot write /proc/x/y/curves.svg: cannot make the folder /proc/x: "
                          "No such file or directory"], "what is said")


# --- what the daemon keeps ----------------------------------------------------------------------

def cli(d, *args):
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True,
                       timeout=limit(30), cwd=d.root)
    eq(p.returncode, 0, f"exit of rekindle {args} ({p.stderr})")
    return p.stdout


@case("the daemon keeps each evaluation with its classes over a restart")
def _(d):
    i = d.submit(tiny(d, epochs=4))
    d.wait_state(i, "succeeded")
    page = d.get(f"/v1/jobs/{i}/evaluations?limit=3").json
    eq([e["evaluation"] for e in page["evaluations"]], [1, 2, 3], "numbers")
    rest = d.get(f"/v1/jobs/{i}/evaluations?cursor={page['next']}").json
    eq(([e["evaluation"] for e in rest["evaluations"]], rest["next"]), ([4], None), "the rest")
    eq(len({e["rows"] for e in page["evaluations"] + rest["evaluations"]}), 1, "numbers of samples")
    eq(d.get(f"/v1/jobs/{i}/evaluations?after={rest['after']}").json["evaluations"], [], "behind the last")
    one = d.get(f"/v1/jobs/{i}/evaluations/latest").json
    eq((one["evaluation"], one["epoch"], len(one["classes"])), (4, 4, 3), "the last one")
    eq(sum(c["support"] for c in one["classes"]), one["rows"], "samples")
    line = [m for m in d.get(f"/v1/jobs/{i}/metrics?split=validation").json["metrics"]][-1]
    for word in ("loss", "accuracy", "top5", "macro_f1", "ece", "plain_loss"):
        eq(one["metrics"][word], line[word], f"{word} in metrics.jsonl")
        eq(d.job(i)["progress"]["metrics"][f"val_{word}"], line[word], f"val_{word} of the job")
    d.kill()
    d.start()
    eq(d.get(f"/v1/jobs/{i}/evaluations/4").json, one, "after kill -9 of the daemon")
    eq(d.get(f"/v1/jobs/{i}/evaluations/step:{one['step']}").json, one, "by its step")
    for name in ("5", "0", "-1", "step:3", "step:", "x", "1x"):
        d.get(f"/v1/jobs/{i}/evaluations/{name}", want=404)
    has(d.get(f"/v1/jobs/{i}/evaluations/7", want=404).json["detail"], "there is no evaluation \"7\": want a number of")
    d.get(f"/v1/jobs/{i[:-1]}0/evaluations", want=404)
    bare = tiny(d, "bare", epochs=1)
    bare["data"].pop("validation_split"), bare["data"].pop("split")
    j = d.submit(bare)
    d.wait_state(j, "succeeded")
    has(d.get(f"/v1/jobs/{j}/evaluations/latest", want=404).text, "there is no evaluation yet: one is made at the end of")
    has(cli(d, "evaluations", "tiny"), "MACRO F1")
    text = cli(d, "evaluations", "tiny", "latest")
    has(text, "evaluation 4: step ")
    has(text, "PRECISION")
    eq(json.loads(cli(d, "evaluations", "tiny", "4", "--json")), one, "as JSON")
    has(cli(d, "show", "tiny"), "val_macro_f1")


@case("a damaged file of evaluations hurts nobody")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    path = f"{d.state}/jobs/{i}/evaluations.jsonl"
    with open(path) as f:
        good = f.read().splitlines()
    bad = ["", "x", "[1]", '{"evaluation":', '{"evaluation":3}', '{"evaluation":99999999999999999999,"metrics":{}}',
           '{"evaluation":4,"metrics":{},"counts":{"task":"classes"}}', '{"evaluation":-5,"metrics":{}}', "\0" * 40]
    with open(path, "w") as f:
        f.write("\n".join([good[0], *bad, good[1].replace('"evaluation":2', '"evaluation":7')]) + '\n{"evaluation":8')
    got = d.get(f"/v1/jobs/{i}/evaluations").json["evaluations"]
    eq([e["evaluation"] for e in got if "step" in e], [1, 7], "evaluations that are some")
    eq(d.get(f"/v1/jobs/{i}/evaluations/latest").json["evaluation"], 7, "the last whole one")
    assert d.get(f"/v1/jobs/{i}/evaluations/4", want=500).json["detail"], "damaged"
    os.unlink(path)
    eq(d.get(f"/v1/jobs/{i}/evaluations").json["evaluations"], [], "of a file that is gone")
    os.mkdir(path)
    eq(d.get(f"/v1/jobs/{i}/evaluations").json["evaluations"], [], "of a folder in its place")


# --- early stopping -----------------------------------------------------------------------------

def shaky(d, name, **early):
    """A job whose epochs are better and worse; it would take long."""
    job = tiny(d, name, epochs=2000)
    job["model"]["sizes"] = [4, 64, 64, 3]
    job["training"]["optimizer"] = {"type": "adam", "learning_rate": 0.003}
    job["training"]["early_stopping"] = {"metric": "val_loss", "patience": 12, **early}
    job["checkpoint"] = {"every": {"steps": 20}, "keep": {"last": 2, "best": 1, "metric": "val_loss"}}
    job["retries"] = 100
    return job


def bytes_of(d, i):
    last = newest(f"{d.state}/jobs/{i}")
    return os.path.basename(last), [sha256(p) for p in sorted(glob.glob(f"{last}/*.safetensors"))]


def count(path):
    """Lines of a file that may not be there yet."""
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as f:
        return f.read().count(b"\n")


@case("a job that stops early has succeeded and says why, and goes on with more patience")
def _(d):
    i = d.submit(shaky(d, "early"))
    j = d.wait_state(i, "succeeded", seconds=120)
    eq(j["reason"], "early_stopped", "reason")
    has(j["message"], "stopped early at step ")
    has(j["message"], "val_loss has not been better than ")
    has(j["message"], " for 12 epochs")
    has(j["progress"]["early_stopped"], "val_loss")
    assert any("stops early at step" in e for e in d.events(i)), d.events(i)
    has(cli(d, "list"), "succeeded (early_stopped)")
    step = j["progress"]["step"]
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"early_stopping": {"patience": 14}}}}, want=202)
    wait_for(60, "it goes on and stops again", lambda: d.job(i)["attempt"] == 2 and d.job(i)["state"] == "succeeded")
    j = d.job(i)
    assert j["progress"]["step"] > step and j["reason"] == "early_stopped", j
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {
        "early_stopping": None, "steps": j["progress"]["step"] + 57}}}, want=202)
    wait_for(60, "it goes on to its length", lambda: d.job(i)["attempt"] == 3 and d.job(i)["state"] == "succeeded")
    eq((d.job(i)["reason"], d.job(i)["progress"].get("early_stopped")), ("", None), "reason")
    r = d.post("/v1/jobs", shaky(d, "bad", patience=0), want=422).json
    has(json.dumps(r), "training.early_stopping.patience")


@case("jobs that stop early end with the same bytes however often they are killed")
def _(d):
    rng = random.Random(int(os.environ.get("SEED", "4")))
    calm = {}

    def long(name, early):
        job = shaky(d, name, patience=25, **early)
        job["model"]["sizes"] = [4, 300, 300, 3]
        return job

    for name, early in (("plain", {}), ("restored", {"restore": "best"})):
        i = d.submit(long(name, early))
        eq(d.wait_state(i, "succeeded", seconds=120)["reason"], "early_stopped", "reason")
        calm[name] = bytes_of(d, i), d.job(i)["progress"]["step"]
    last = calm["restored"][0][0]
    assert last.endswith("-b2"), f"the best weights have a branch of their own: {last}"
    for name, early in (("plain", {}), ("restored", {"restore": "best"})):
        i = d.submit(long(name + "-killed", early))
        path, kills, seen = f"{d.state}/jobs/{i}/metrics.jsonl", 0, 0
        while d.job(i)["state"] != "succeeded" and kills < int(os.environ.get("KILLS", "8")):
            # Some lines further, whether these steps are new or are made again.
            some = seen + rng.randrange(1, 8)
            wait_for(60, "it goes on", lambda: count(path) >= some or d.job(i)["state"] == "succeeded")
            if rng.random() < 0.3:
                d.kill()
                d.signal_trainers(signal.SIGKILL)
                d.start()
            else:
                d.signal_trainers(signal.SIGKILL, i)
            kills, seen = kills + 1, count(path)
        assert kills >= 4, f"{name} ended after {kills} kills"
        j = d.wait_state(i, "succeeded", seconds=180)
        (folder, files), step = calm[name]
        eq((j["reason"], j["progress"]["step"]), ("early_stopped", step), f"the end of {name} after {kills} kills")
        got = bytes_of(d, i)
        # A kill between the branch and its checkpoint opens another branch.
        eq((got[0].split("-b")[0], got[1]), (folder.split("-b")[0], files), f"bytes of {name} after {kills} kills")


# --- predictions --------------------------------------------------------------------------------

def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def array(path, rows, shape):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head +
                b"".join(struct.pack(f"<{len(r)}f", *r) for r in rows))


@case("predictions are the largest logits, of rows with and without their label", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    trainer(d, job)
    ckpt = newest(f"{d.root}/run")
    csv(f"{d.root}/v.csv", rows=70, seed=8)
    with open(f"{d.root}/v.csv") as f, open(f"{d.root}/bare.csv", "w") as g:
        g.write("".join(line.rsplit(",", 1)[0] + "\n" for line in f))
    trainer(d, job, "--evaluate", ckpt, "--logits", "z.npy", "--data-set", "path=v.csv")
    z, y = npy(f"{d.root}/z.npy"), labels_of(f"{d.root}/v.csv")
    held = lines(trainer(d, job, "--predict", ckpt, "--data-set", "path=v.csv")[0])
    eq([(p["row"], p["label"], p["input"]) for p in held], [(n, c, "validation") for n, c in enumerate(y)], "rows")
    for p, r in zip(held, z):
        total = sum(math.exp(x - max(r)) for x in r)
        order = sorted(range(3), key=lambda c: (-r[c], c))
        eq([t["class"] for t in p["top"]], order, "the largest first")
        eq(p["class"], order[0], "class")
        close(p["probability"], 1 / total, "probability")
    # The training data need not be there: the checkpoint says what a sample is.
    os.unlink(f"{d.root}/tiny.csv")
    got = lines(trainer(d, job, "--predict", ckpt, inputs=["v.csv", "bare.csv"])[0])
    for p, q, b in zip(held, got, got[70:]):
        eq((q["row"], q["top"]), (p["row"], p["top"]), "of the file")
        eq((b["row"], b["top"], b["input"]), (p["row"], p["top"], "bare.csv"), "of the file without labels")
    with open(f"{d.root}/bare.csv") as f:
        rows = [[float(x) for x in line.split(",")] for line in list(f)[1:]]
    array(f"{d.root}/v.npy", rows, (70, 4))
    array(f"{d.root}/wrong.npy", rows, (4, 70))
    out = lines(trainer(d, job, "--predict", ckpt, inputs=["v.npy", "wrong.npy"], want=1)[0])
    eq([p["top"] for p in out[:70]], [p["top"] for p in held], "of the array")
    has(out[70]["error"], "wrong.npy: has 4 x 70 of float32, want samples of 4 numbers")
    # What cannot be read is said in its line, and the rest is predicted.
    with open(f"{d.root}/bad.csv", "w") as f:
        f.write("a,b\n1,2\n")
    out, err = trainer(d, job, "--predict", ckpt, inputs=["no.csv", "bad.csv", "bare.csv", d.root], want=1)
    got = lines(out)
    eq([p["input"] for p in got if "error" in p], ["no.csv", "bad.csv", d.root], "inputs with an error")
    has(got[0]["error"], "no.csv: there is no such file")
    eq(len(got), 73, "lines")
    has(err, "3 of 4 inputs could not be read")


def weights(path, tensors):
    """A safetensors file of {name: (shape, values)}."""
    head, data = {}, b""
    for name, (shape, v) in tensors.items():
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(v)]}
        data += struct.pack(f"<{len(v)}f", *v)
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    return path


@case("of outputs that are not finite nothing is predicted, by one accuracy, and a training from them says why", "stopped")
def _(d):
    job = tiny(d, model={"layers": [{"type": "linear", "name": "h", "out": 3}]})
    job["data"]["normalize"] = "none"
    nan = math.nan
    for values in ([nan] * 12, [math.inf if i % 5 == 0 else 0 for i in range(12)], [nan] + [0] * 11):
        path = weights(f"{d.root}/w.safetensors", {"h.weight": ([3, 4], values), "h.bias": ([3], [0, 0, 0])})
        out, err = trainer(d, job, "--evaluate", path, "--json")
        e = json.loads(out)
        eq((e["accuracy"], e["metrics"]["accuracy"], e["not_finite"]), (0, 0, e["rows"]), "accuracies and rows")
        has(err, f"w.safetensors: outputs of {e['rows']} of {e['rows']} rows are not finite")
        out, err = trainer(d, job, "--predict", path)
        for p in lines(out):
            eq((p["class"], p["probability"], p["top"]), (None, None, []), "what is predicted of nothing")
        has(err, "and nothing is predicted of them")
        job["model"]["checkpoint"] = path
        bad = sum(not math.isfinite(v) for v in values)
        has(trainer(d, job, "--from", "none", want=3)[1], "the loss is not finite at step 0 (epoch 0), the first of this "
            f"run: {bad} of the 15 parameters that it began with are not finite, the first in h.weight")
        job["model"].pop("checkpoint")
    path = weights(f"{d.root}/w.safetensors", {"h.weight": ([3, 4], [0] * 12), "h.bias": ([3], [0, 1, 0])})
    assert "warning" not in trainer(d, job, "--predict", path)[1], "of finite outputs"


def png(path, rows, kind=0, clip=None):
    """A grey PNG of these rows of bytes."""
    h, w = len(rows), len(rows[0])

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    raw = b"".join(b"\0" + bytes(r) for r in rows)
    data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, kind, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
    with open(path, "wb") as f:
        f.write(data[:clip])


def idx_job(d):
    """Two classes of 8x8 pictures: bright above, and bright below."""
    r = random.Random(5)
    pictures = [[[r.randrange(40) + (180 if (y < 4) == (n % 2 == 0) else 0) for _ in range(8)] for y in range(8)]
                for n in range(80)]
    with open(f"{d.root}/images", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, 80, 8, 8) + bytes(x for p in pictures for row in p for x in row))
    with open(f"{d.root}/labels", "wb") as f:
        f.write(struct.pack(">II", 0x801, 80) + bytes(n % 2 for n in range(80)))
    return pictures, {
        "name": "idx", "resources": {"threads": 1, "memory": "128MiB"},
        "model": {"layers": [{"type": "conv2d", "out": 4, "kernel": 3}, "relu", "flatten", {"type": "linear", "out": 2}]},
        "training": {"epochs": 3, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": 0.01}},
        "data": {"train": {"type": "idx", "images": f"{d.root}/images", "labels": f"{d.root}/labels"},
                 "normalize": {"type": "scale", "mean": 0.4, "std": 0.3}}}


@case("a picture is predicted as the same sample of the file is", "stopped")
def _(d):
    pictures, job = idx_job(d)
    trainer(d, job)
    ckpt = newest(f"{d.root}/run")
    all_of = lines(trainer(d, job, "--predict", ckpt, inputs=["images"])[0])
    eq(len(all_of), 80, "lines")
    assert all(p["class"] == p["row"] % 2 for p in all_of), "they are easy"
    for n in (0, 1, 7):
        png(f"{d.root}/{n}.png", pictures[n])
    png(f"{d.root}/large.png", [[200] * 24 if y < 12 else [10] * 24 for y in range(24)])
    png(f"{d.root}/cut.png", pictures[0], clip=60)
    # No data of the job are read, of which the sampler could make an order.
    job["training"]["sampler"] = "balanced"
    out, _ = trainer(d, job, "--predict", ckpt, inputs=["0.png", "1.png", "7.png", "large.png", "cut.png"], want=1)
    got = lines(out)
    for n, p in zip((0, 1, 7), got):
        eq((p["top"], "row" in p), (all_of[n]["top"], False), f"picture {n}")
    eq(got[3]["class"], 0, "a larger picture that is bright above")
    has(got[4]["error"], "cut.png: ")
    # Of a model file alone the job's data say what a sample is.
    alone = lines(trainer(d, job, "--predict", f"{ckpt}/model.safetensors", inputs=["7.png"])[0])
    eq(alone[0]["top"], got[2]["top"], "by the model's file")


# --- pictures of it -----------------------------------------------------------------------------

def pictures_of(folder, *names):
    out = {}
    for n in names:
        with open(f"{folder}/{n}.svg", "rb") as f:
            out[n] = f.read()
        eq(xml.dom.minidom.parseString(out[n]).documentElement.tagName, "svg", f"the root of {n}.svg")
    return out


@case("pictures of an evaluation and of a run are the same bytes each time", "stopped")
def _(d):
    job = tiny(d, epochs=3)
    job["training"]["log_every"] = 5
    trainer(d, job)
    ckpt = newest(f"{d.root}/run")
    for k in (1, 2):
        trainer(d, job, "--evaluate", ckpt, "--plot", f"{d.root}/e{k}/deep")
        trainer(d, job, "--plot", f"{d.root}/p{k}")
    names = ("confusion", "reliability")
    eq(pictures_of(f"{d.root}/e1/deep", *names), pictures_of(f"{d.root}/e2/deep", *names), "of the evaluation")
    run1 = pictures_of(f"{d.root}/p1", "curves", *names)
    eq(run1, pictures_of(f"{d.root}/p2", "curves", *names), "of the run")
    # The newest evaluation of the run is that of its last checkpoint.
    eq(run1["confusion"], pictures_of(f"{d.root}/e1/deep", "confusion")["confusion"], "the matrix")
    has(run1["curves"].decode(), "learning rate")
    has(trainer(d, job, "--plot", f"{d.root}/x", "--run-dir", f"{d.root}/none", want=1)[1], "nothing can be drawn")
    with open(f"{d.root}/file", "w"):
        pass
    has(trainer(d, job, "--evaluate", ckpt, "--plot", f"{d.root}/file", want=1)[1], "cannot write")


@case("rekindle plot draws a job's curves with what was left behind")
def _(d):
    job = tiny(d, "drawn", epochs=6)
    job["training"]["log_every"] = 5
    job["checkpoint"] = {"every": {"epochs": 1}, "keep": {"last": 9}}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    calm = cli(d, "plot", "drawn", "out").splitlines()
    eq(sorted(os.path.basename(x) for x in calm), ["confusion.svg", "curves.svg", "reliability.svg"], "files")
    first = pictures_of(f"{d.root}/out", "curves", "confusion", "reliability")
    assert b"left behind" not in first["curves"], "nothing was"
    cli(d, "plot", i, "again")
    eq(pictures_of(f"{d.root}/again", *first), first, "the same job")
    oldest = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][-1]["checkpoint"]
    d.post(f"/v1/jobs/{i}/resume", {"from": oldest}, want=202)
    wait_for(30, "it has gone over them again", lambda: d.job(i)["attempt"] == 2 and d.job(i)["state"] == "succeeded")
    cli(d, "plot", "drawn", "out")
    has(pictures_of(f"{d.root}/out", "curves")["curves"].decode(), "left behind")
    # One that has measured nothing.
    held = tiny(d, "held", hold=True)
    d.submit(held)
    has(cli(d, "plot", "held", "none"), "nothing has been measured yet")


run()
