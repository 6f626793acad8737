#!/usr/bin/env python3
"""Jobs of kind predict and evaluate are killed with -9, twenty times each, at any moment and on other threads each time:
the lines and the report are byte for byte those of a run that nobody disturbed.

KILLS= and SEED= for others."""
import os
import random

import data_jobs
import pictures
import uses
from t import case, csv, eq, run, tiny

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))


def ordeal(d, job):
    rng = random.Random(SEED)
    calm = {**job, "name": "calm"}
    uses.end(uses.start(d, calm, "--threads", "1"))
    want = uses.results(d, "calm")
    total = want[0].count(b"\n")
    at = uses.killed(d, job, rng, KILLS, total)
    got = uses.results(d, job["name"])
    print(f"    seed {SEED}: killed behind {at} of {total} lines")
    assert len([x for x in at if 0 < x < total]) > KILLS // 2, f"killed behind {at} of {total} lines"
    assert got[0] == want[0], f"seed {SEED}: other lines"
    eq(got[1].replace(f'"{job["name"]}"'.encode(), b'"calm"'), want[1], f"seed {SEED}: report")
    return total


@case("pictures of a folder and one by one, broken ones among them, and arrays are predicted", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", ["a cat", "dogs"], 12, w=40, h=36)
    job = data_jobs.tiles({"path": f"{d.root}/in"}, 32, 2, 2, 8, 9)
    job["model"] = {"arch": "lenet5", "classes": 2, "input": [3, 32, 32]}
    model = uses.train(d, job)
    pictures.folder(f"{d.root}/asked", ["x", "y/z"], 400, w=40, h=36)
    pictures.write(f"{d.root}/asked/x/broken.jpg", pictures.GIF)
    pictures.write(f"{d.root}/asked/y/empty.png", b"")
    array = uses.npy(f"{d.root}/many.npy", (8000, 3, 32, 32), uses.floats(8000 * 3 * 32 * 32))
    n = ordeal(d, uses.of(job, "predict", "p", model, {"inputs": [
        f"{d.root}/in/dogs/im 0000.png", f"{d.root}/asked", f"{d.root}/nowhere.png", array,
        f"{d.root}/in/dogs/sub/im 0001.png"]}))
    eq(n, 8000 + 800 + 2 + 2 + 1, "lines")
    eq(uses.report(d, "p")["failed"], 3, "inputs that cannot be read")


@case("a table of numbers is predicted", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    model = uses.train(d, job)
    eq(ordeal(d, uses.of(job, "predict", "p", model, {"inputs": [csv(f"{d.root}/q.csv", 60000, 7)]})), 60000, "lines")


@case("texts in buckets are predicted", "stopped")
def _(d):
    files = data_jobs.sentences(d, 100)
    job = data_jobs.textcnn(d, files, 60, 16, 2, 16, 10, 16, 8, buckets=[6, 9])
    model = uses.train(d, job)
    asked = []
    for k, name in enumerate(["one.txt", "two.txt"]):
        asked.append(f"{d.root}/{name}")
        with open(files["pos"]) as f, open(asked[-1], "w") as g:
            g.write("".join(f.readlines() * 150))
    eq(ordeal(d, uses.of(job, "predict", "p", model, {"inputs": asked})), 30000, "lines")


@case("a table with labels is evaluated", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    model = uses.train(d, job)
    source = {**job["data"]["train"], "path": csv(f"{d.root}/q.csv", 60000, 7)}
    data = {"validation": source, "validation_split": None, "split": None}
    eq(ordeal(d, uses.of(job, "evaluate", "e", model, data)), 60000, "lines")


@case("pictures are evaluated while their loader reads ahead, and broken ones are passed over", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", ["a cat", "dogs"], 12, w=40, h=36)
    pictures.folder(f"{d.root}/val", ["a cat", "dogs"], 1500, w=40, h=36)
    pictures.write(f"{d.root}/val/dogs/broken.jpg", pictures.GIF)
    job = data_jobs.tiles({"path": f"{d.root}/in"}, 32, 2, 2, 8, 9)
    model = uses.train(d, job)
    data = {"validation": {"type": "image_folder", "path": f"{d.root}/val"}, "validation_split": None, "split": None,
            "broken": "skip"}
    eq(ordeal(d, uses.of(job, "evaluate", "e", model, data)), 3001, "lines")


run()
