#!/usr/bin/env python3
"""Jobs of kind predict and evaluate, run by the trainer alone: their lines are those of --predict, they are paused and go
on, and what is wrong with a model, with inputs or with what was there before is said."""
import glob
import json
import os
import random
import signal
import struct
import time

import data_jobs
import pictures
import uses
from t import case, csv, eq, has, limit, run, tiny, trainer

NAMES = ["a \x1b[31mcat", "line\nbreak\x7f"]
CLEAN = {"a ?[31mcat", "line break?"}


def predict(d, job, *args, want=0):
    return uses.end(uses.start(d, job, *args), want)


def tiles(d):
    """A small network of pictures, trained a little: job and checkpoint."""
    pictures.folder(f"{d.root}/in", ["cats", "dogs"], 8, w=40, h=36)
    job = data_jobs.tiles({"path": f"{d.root}/in"}, 32, 2, 1, 8, 9)
    job["model"] = {"arch": "lenet5", "classes": 2, "input": [3, 32, 32]}
    return job, uses.train(d, job)


def table(d):
    job = tiny(d, epochs=2)
    return job, uses.train(d, job)


@case("the lines of a job are those of --predict, names with control characters among them", "stopped")
def _(d):
    job, model = tiles(d)
    one = [f"{d.root}/in/cats/im 0000.png", f"{d.root}/none.png", f"{d.root}/in/dogs/sub/im 0001.png"]
    want = trainer(d, job, "--predict", model, inputs=one, want=1)[0]
    predict(d, uses.of(job, "predict", "p", model, {"inputs": one}))
    eq(uses.results(d, "p")[0].decode(), want, "lines")
    named = {**job, "name": "t2", "model": {**job["model"], "checkpoint_classes": NAMES}}
    predict(d, uses.of(named, "predict", "named", model, {"inputs": one}))
    eq({t["name"] for x in uses.lines(d, "named") if "top" in x for t in x["top"]}, CLEAN, "names")
    eq({x["name"] for x in uses.report(d, "named")["classes"]}, CLEAN, "names of the report")
    said = uses.report(d, "p")
    eq([said["failed"], said["samples"], len(said["classes"])], [1, 2, 2], "failed, samples and classes")
    eq(sum(c["samples"] for c in said["classes"]), 2, "samples of the classes")
    has(said["failed_inputs"][0]["error"], "none.png: ")


@case("a folder is all pictures below it by the order of their paths, and no other files", "stopped")
def _(d):
    job, model = tiles(d)
    root = f"{d.root}/asked"
    pictures.folder(root, ["b", "a"], 3)
    pictures.write(f"{root}/notes.txt", b"x")
    pictures.write(f"{root}/.hidden.png", b"x")
    os.symlink(root, f"{root}/loop")
    os.makedirs(f"{d.root}/empty/sub")
    predict(d, uses.of(job, "predict", "p", model, {"inputs": [f"{root}/", f"{d.root}/empty"]}))
    names = [x["input"] for x in uses.lines(d, "p")]
    eq(names, [f"{root}/{x}" for x in ("a/im 0000.png", "a/im 0002.png", "a/sub/im 0001.png", "b/im 0000.png",
                                       "b/im 0002.png", "b/sub/im 0001.png")] + [f"{d.root}/empty"], "inputs")
    has(uses.lines(d, "p")[-1]["error"], "without pictures")


@case("an evaluation is what --evaluate measures, and names its worst errors, the worst first", "stopped")
def _(d):
    job, model = table(d)
    source = {**job["data"]["train"], "path": csv(f"{d.root}/q.csv", 700, 7)}
    data = {"validation": source, "validation_split": None, "split": None}
    want = json.loads(trainer(d, {**job, "data": {**job["data"], **data}}, "--evaluate", model, "--json")[0])
    predict(d, uses.of(job, "evaluate", "e", model, data, report={"worst": 7}))
    said = uses.report(d, "e")
    for key in ("loss", "accuracy", "metrics", "classes", "confusion", "calibration", "samples"):
        eq(said[key], want[key], key)
    eq(said["data"]["digest"], want["data"]["digest"], "digest of the data")
    lines = uses.lines(d, "e")
    wrong = sorted((x for x in lines if x["class"] != x["label"]), key=lambda x: (-x["loss"], x["row"]))
    eq([x["row"] for x in said["worst"]], [x["row"] for x in wrong[:7]], "rows of the worst")
    eq(round(sum(x["loss"] for x in lines) / 700, 5), round(want["loss"], 5), "mean loss of the lines")
    with open(f"{d.root}/e.run/metrics.jsonl") as f:
        eq([json.loads(x)["over"] for x in f], ["evaluation"], "metrics")


@case("who is asked to leave keeps its lines and goes on behind them", "stopped")
def _(d):
    job, model = table(d)
    job = uses.of(job, "predict", "p", model, {"inputs": [csv(f"{d.root}/q.csv", 60000, 7)]})
    predict(d, {**job, "name": "calm"})
    p = uses.start(d, job, keep_ms=1)
    until = time.monotonic() + limit(60)
    while uses.state(d, "p") is None:
        assert time.monotonic() < until, "no line is kept"
        time.sleep(0.002)
    p.send_signal(signal.SIGTERM)
    uses.end(p)
    at = uses.state(d, "p")
    assert 0 < at["lines"] < 60000, f"{at['lines']} lines when it left"
    assert not os.path.exists(f"{d.root}/p.run/report.json"), "there is a report"
    predict(d, job)
    eq(uses.results(d, "p")[0], uses.results(d, "calm")[0], "lines")


def left(d, job, more=0):
    """Killed behind so many lines and some."""
    p = uses.start(d, job, keep_ms=1)
    until = time.monotonic() + limit(60)
    while (uses.state(d, job["name"]) or {"lines": 0})["lines"] <= more and time.monotonic() < until:
        time.sleep(0.002)
    p.kill()
    p.communicate()
    return uses.state(d, job["name"])["lines"]


@case("inputs that have changed meanwhile are refused, by what changed, until a person says how it goes on", "stopped")
def _(d):
    job, model = table(d)
    first, path = csv(f"{d.root}/first.csv", 20, 3), csv(f"{d.root}/q.csv", 60000, 7)
    use = uses.of(job, "predict", "p", model, {"inputs": [first, path]})
    n = left(d, use, 20)
    with open(path) as f:
        rows = f.read()
    with open(path, "w") as f:
        f.write(rows.replace("0.5", "0.6"))
    said = predict(d, use, want=4)
    has(said, f"the data has changed since {n} lines were written: {path} is another")
    has(said, "--accept data goes on")
    with open(path, "w") as f:
        f.write(rows)
    with open(first, "a") as f:
        f.write("1,2,3,4,1\n")
    has(predict(d, use, want=4), "have other sizes")
    predict(d, use, "--accept", "data")
    eq(len(uses.lines(d, "p")), 60020, "lines")
    predict(d, use, "--from", "none")
    eq(len(uses.lines(d, "p")), 60021, "lines of all anew")


@case("another model, another job and other labels than before are refused", "stopped")
def _(d):
    job, model = table(d)
    path = csv(f"{d.root}/q.csv", 60000, 7)
    use = uses.of(job, "predict", "p", model, {"inputs": [path]})
    left(d, use)
    other = uses.train(d, {**job, "name": "other", "training": {**job["training"], "seed": 5}})
    has(predict(d, {**use, "model": {**use["model"], "checkpoint": other}}, want=4), "model.checkpoint is another model")
    has(predict(d, {**use, "training": {**job["training"], "batch_size": 8}}, want=3), "of another job")
    source = {**job["data"]["train"], "path": path}
    use = uses.of(job, "evaluate", "e", model, {"validation": source, "validation_split": None, "split": None})
    n = left(d, use)
    with open(path, "a") as f:
        f.write("1,2,3,4,1\n")
    has(predict(d, use, want=4), f"since {n} lines were written: data.validation is another")


@case("what was damaged behind its back begins anew and says so", "stopped")
def _(d):
    job, model = table(d)
    use = uses.of(job, "predict", "p", model, {"inputs": [csv(f"{d.root}/q.csv", 3000, 7)]})
    predict(d, use)
    want = uses.results(d, "p")

    def cut():
        os.truncate(f"{d.root}/p.run/predictions.jsonl", 100)

    def edit():
        with open(f"{d.root}/p.run/predictions.jsonl", "r+b") as f:
            f.seek(-20, 2)
            f.write(b"x")

    def damage():
        with open(f"{d.root}/p.run/predictions.state", "r+b") as f:
            f.write(b"nonsense")
    for break_it, words in ((cut, "is shorter"), (edit, "is not what was written"), (damage, "is damaged")):
        break_it()
        has(trainer(d, use)[0], words)
        eq(uses.results(d, "p"), want, f"results after {break_it.__name__}")


@case("broken and empty inputs are named and cost nothing else; where none can be read the job fails", "stopped")
def _(d):
    job, model = tiles(d)
    bad = {"gif.png": pictures.GIF, "empty.png": b"", "cut.png": pictures.png(8, 8, [bytes(24)] * 8)[:45],
           "x.npy": b"\x93NUMPY\x01\x00\xff\xff", "text.jpg": b"hello"}
    for name, data in bad.items():
        pictures.write(f"{d.root}/bad/{name}", data)
    nan = uses.npy(f"{d.root}/nan.npy", (1, 3, 32, 32), struct.pack("<f", float("nan")) * 3072)
    names = [f"{d.root}/bad/{x}" for x in sorted(bad)] + [nan, "/dev/null", f"{d.root}/in/cats"]
    predict(d, uses.of(job, "predict", "p", model, {"inputs": names}))
    said = uses.report(d, "p")
    eq([said["failed"], said["samples"]], [len(bad) + 2, 8], "failed and samples")
    eq([x["input"] for x in said["failed_inputs"]], names[:-1], "failed inputs")
    text = predict(d, uses.of(job, "predict", "q", model, {"inputs": names[:2]}), want=3)
    has(text, "none of the 2 inputs could be read; the first: ")


@case("samples without a label, or of a class that the model does not know, are refused by their place", "stopped")
def _(d):
    job, model = table(d)
    with open(csv(f"{d.root}/q.csv", 30, 7), "a") as f:
        f.write("1,2,3,4,\n")
    source = {**job["data"]["train"], "path": f"{d.root}/q.csv"}
    data = {"validation": source, "validation_split": None, "split": None}
    has(predict(d, uses.of(job, "evaluate", "e", model, data), want=3), "q.csv: line 32")
    csv(f"{d.root}/q.csv", 30, 7)
    with open(f"{d.root}/q.csv", "a") as f:
        f.write("1,2,3,4,9\n")
    has(predict(d, uses.of(job, "evaluate", "f", model, data), want=3), "line 32: the label is 9, want 0 to 2")
    job, model = tiles(d)
    pictures.folder(f"{d.root}/val", ["cats", "birds"], 3)
    data = {"validation": {"type": "image_folder", "path": f"{d.root}/val"}, "validation_split": None, "split": None}
    has(predict(d, uses.of(job, "evaluate", "g", model, data), want=3),
        'the model was not trained to tell the class "birds"')


@case("a model file alone is used by what the job says of it, and what is missing is asked for", "stopped")
def _(d):
    job, model = table(d)
    for name in glob.glob(f"{model}/*.safetensors"):
        if "optimizer" not in name:
            os.link(name, f"{d.root}/alone.safetensors")
    with open(f"{model}/checkpoint.json") as f:
        known = json.load(f)["input"]
    path = csv(f"{d.root}/q.csv", 50, 7)
    use = uses.of(job, "predict", "p", f"{d.root}/alone.safetensors", {"inputs": [path]})
    has(predict(d, use, want=3), "data.normalize: is standard")
    use["data"]["input"] = known
    use["model"]["checkpoint_classes"] = ["one", "two", "three"]
    predict(d, use)
    want = trainer(d, job, "--predict", model, inputs=[path])[0].splitlines()
    got = uses.lines(d, "p")
    eq([(x["class"], x["probability"]) for x in got],
       [(x["class"], x["probability"]) for x in map(json.loads, want)], "classes and probabilities")
    eq({x["name"] for x in got} - {"one", "two", "three"}, set(), "other names")
    use["model"]["sizes"] = [4, 16, 3]
    has(predict(d, {**use, "name": "q"}, want=3), "is not of the job's network")
    use["model"]["checkpoint"] = f"{d.root}/nowhere.safetensors"
    has(predict(d, {**use, "name": "q"}, want=3), "nowhere.safetensors")


@case("pictures go through transforms that begin with the size that only the model's data had", "stopped")
def _(d):
    rng = random.Random(4)
    with open(f"{d.root}/i", "wb") as f, open(f"{d.root}/l", "wb") as g:
        f.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 40, 12, 10) + rng.randbytes(40 * 120))
        g.write(struct.pack(">BBBBI", 0, 0, 8, 1, 40) + bytes(i % 2 for i in range(40)))
    job = {"name": "t", "model": {"arch": "lenet5", "classes": 2, "input": [1, 28, 28]},
           "training": {"epochs": 1, "batch_size": 8},
           "data": {"train": {"type": "idx", "images": f"{d.root}/i", "labels": f"{d.root}/l"},
                    "transforms": {"validation": [{"type": "resize", "size": [28, 28]}],
                                   "train": [{"type": "resize", "size": [28, 28]}]}}}
    model = uses.train(d, job)
    asked = [f"{d.root}/i", f"{d.root}/one.png"]
    pictures.write(asked[1], pictures.png(9, 7, [rng.randbytes(9) for _ in range(7)], 1))
    want = trainer(d, job, "--predict", model, inputs=asked)[0]
    for name in ("i", "l"):
        os.rename(f"{d.root}/{name}", f"{d.root}/moved-{name}")
    use = uses.of(job, "predict", "p", model, {"inputs": [f"{d.root}/moved-i", asked[1]]})
    predict(d, use)
    eq(uses.results(d, "p")[0].decode().replace("/moved-i", "/i"), want, "lines")


@case("a question about a job that uses a model is answered, and one about its training is not", "stopped")
def _(d):
    job, model = table(d)
    use = uses.of(job, "predict", "p", model, {"inputs": [csv(f"{d.root}/q.csv", 50, 7)]})
    said = json.loads(trainer(d, use, "--summary")[0])
    eq([said["memory"]["optimizer"], said["memory"]["checkpoint_copy"]], [0, 0], "memory of a training")
    said = json.loads(trainer(d, use, "--check")[0])
    eq([said["accepted"], said["steps_total"]], [True, 50], "accepted, samples")
    use["model"]["checkpoint"] = f"{d.root}/none"
    eq(json.loads(trainer(d, use, "--check", want=3)[0])["accepted"], False, "accepted")
    has(trainer(d, use, "--profile", want=3)[1], "kind: is predict, want a job that trains")
    has(trainer(d, use, "--evaluate", model, want=3)[1], "kind: is predict")
    small = {**use, "model": {**use["model"], "checkpoint": model}, "resources": {"threads": 1, "memory": "1MiB"}}
    has(trainer(d, small, want=3)[1], "the job needs ")


run()
