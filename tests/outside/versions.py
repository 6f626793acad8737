#!/usr/bin/env python3
"""Checkpoints of every version of checkpoint.json that there ever was: each is what etc/checkpoint.schema.json says, is
shown, judged, gone on with and begun from; and one of a version to come is refused and left alone."""
import copy
import glob
import json
import os
import shutil
import subprocess

import before_jobs
import pictures
from json_schema import faults
from t import BUILD, case, eq, has, run, tiny, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = f"{HERE}/samples"
with open(f"{HERE}/../../etc/checkpoint.schema.json") as schema_file:
    SCHEMA = json.load(schema_file)

TABLE = {"name": "old", "resources": {"threads": 1, "memory": "64MiB"}, "model": {"arch": "mlp", "sizes": [4, 6, 3]},
         "training": {"epochs": 4, "batch_size": 8, "seed": 5, "optimizer": {"type": "adam", "learning_rate": 0.01}},
         "data": {"train": {"type": "csv", "path": "train.csv", "label": "class"}, "validation_split": 0.25}}
PICTURES = {"name": "pictures", "resources": {"threads": 1, "memory": "64MiB"},
            "model": {"input": [3, 8, 8], "layers": ["flatten", {"type": "linear", "out": 2}]},
            "training": {"epochs": 4, "batch_size": 4, "seed": 5, "optimizer": {"type": "adam", "learning_rate": 0.01}},
            "data": {"train": {"type": "image_folder", "path": "pictures", "size": [8, 8]}}}


def table(root):
    shutil.copy(f"{SAMPLES}/old-split/train.csv", root)
    return copy.deepcopy(TABLE), "train.csv"


def layers(root):
    before_jobs.write_data(root)
    with open(f"{SAMPLES}/before/v1/v1.json") as f:
        return json.load(f), "classes.csv"


def folder(root):
    pictures.folder(f"{root}/pictures", ["a", "b"], 8, 8, 8)
    return copy.deepcopy(PICTURES), "pictures"


# What they have, the folder that one is in, who writes its job and data, whether it says its format and has a file
# on the data.  samples/checkpoints/README says by which program they were written.
VERSIONS = (
    ("format 1, without split", "old-split/old.run", table, None, False),
    ("format 1, without arithmetic", "checkpoints/split", table, None, False),
    ("format 1", "before/v1/v1.run", layers, None, False),
    ("format 2", "checkpoints/2", table, 2, False),
    ("format 3", "checkpoints/3", table, 3, False),
    ("format 3, with a file on the data", "checkpoints/files", folder, 3, True),
)


def record(step):
    with open(f"{step}/checkpoint.json") as f:
        return json.load(f)


def train(*args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle-train", *args], capture_output=True, text=True)
    eq(r.returncode, want, f"rekindle-train {args} ({r.stdout[-500:]} {r.stderr[-500:]})")
    return r.stdout + r.stderr


def placed(d, where, make):
    """A held job with this checkpoint in its folder: (its id, the job, the checkpoint's folder)."""
    job, data = make(d.root)
    job["data"]["train"]["path"] = f"{d.root}/{data}"
    i = d.submit(dict(job, hold=True))
    step = glob.glob(f"{SAMPLES}/{where}/checkpoints/step-*")[0]
    to = f"{d.state}/jobs/{i}/checkpoints/{os.path.basename(step)}"
    shutil.copytree(step, to)
    return i, job, to


for words, at, maker, is_format, has_data in VERSIONS:
    @case(f"a checkpoint of {words} is shown, judged, gone on with and begun from")
    def _(d, at=at, maker=maker, is_format=is_format, has_data=has_data):
        i, job, step = placed(d, at, maker)
        was = record(step)
        eq((was["version"], was.get("format"), "data.safetensors" in [f["name"] for f in was["files"]]),
           (1, is_format, has_data), "what the sample is of")
        eq(faults(SCHEMA, SCHEMA, was), [], "by the schema")
        # Judged and begun from where it lies, before it is the run's.
        copy_of = f"{d.root}/copy"
        shutil.copytree(step, copy_of)
        with open(f"{d.root}/job.json", "w") as f:
            json.dump(job, f)
        if maker is not folder:
            has(train("--evaluate", copy_of, f"{d.root}/job.json"), f'"step": {was["step"]}')
        warm = copy.deepcopy(job)
        warm["model"]["checkpoint"] = f"{copy_of}/model.safetensors"
        w = d.submit(warm)
        d.wait_state(w, "succeeded")
        has(d.job(w)["plan_summary"], "0 new; 0 missing; 0 ignored")

        shown = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]
        eq([(c["checkpoint"], c["step"], c["producer"]) for c in shown],
           [(os.path.basename(step), was["step"], was["producer"])])
        out = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "checkpoints", i], capture_output=True, text=True)
        has(out.stdout, os.path.basename(step))
        d.post(f"/v1/jobs/{i}/start", want=202)
        d.wait_state(i, "succeeded")
        eq([a["from"] for a in d.get(f"/v1/jobs/{i}/attempts").json["attempts"]], [os.path.basename(step)])
        last = record(f"{d.state}/jobs/{i}/checkpoints/{d.get(f'/v1/jobs/{i}/checkpoints/latest').json['checkpoint']}")
        eq(faults(SCHEMA, SCHEMA, last), [], "what it went on to, by the schema")
        assert last["step"] > was["step"] and last["format"] == 3, last


@case("what is written today is what the schema says, and the schema says it all")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    d.post(f"/v1/jobs/{i}/checkpoints", {"name": "kept"}, want=201)
    every = [record(p) for p in glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*")]
    assert every
    for c in every:
        eq(faults(SCHEMA, SCHEMA, c), [])
        # What takes the schema at its word does without nothing that is there.
        eq(set(c) - set(SCHEMA["properties"]), set())
    for change in ({"version": 3}, {"step": -1}, {"check": "0"}, {"files": []}, {"metrics": {"loss": "x"}},
                   {"else": 1}, {"input": {"dtype": "f64", "shape": [1]}}, {"parent": "../x"}):
        assert faults(SCHEMA, SCHEMA, {**every[0], **change}), f"{change} fits the schema"
    for key in SCHEMA["required"]:
        assert faults(SCHEMA, SCHEMA, {k: v for k, v in every[0].items() if k != key}), f"{key} may be absent"


def make_newer(step):
    c = record(step)
    c["version"], c["heads"] = 3, ["of a rekindle to come"]
    with open(f"{step}/checkpoint.json", "w") as f:
        json.dump(c, f)


NEWER = "is of version 3, and this rekindle ("


@case("one of a newer version is refused with both versions, by name and as the latest, and is left alone")
def _(d):
    i, job, step = placed(d, "checkpoints/3", table)
    make_newer(step)
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    for said in (train("--run-dir", f"{d.state}/jobs/{i}", f"{d.root}/job.json", want=4),
                 train("--run-dir", f"{d.state}/jobs/{i}", "--from", os.path.basename(step), f"{d.root}/job.json",
                       want=3),
                 train("--evaluate", step, f"{d.root}/job.json", want=3)):
        has(said, NEWER)
        has(said, "reads versions up to 2")
    d.post(f"/v1/jobs/{i}/start", want=202)
    d.wait_state(i, "paused")
    j = d.job(i)
    eq(j["reason"], "checkpoints_unreadable")
    has(j["message"], NEWER)
    eq(os.listdir(os.path.dirname(step)).count(os.path.basename(step)), 1, "it is where it was")


@case("a job does not go behind what a newer version has done, and does where a person names the older one")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    steps = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))
    assert len(steps) > 1, steps
    make_newer(steps[-1])
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 3}}}, want=202)
    wait_for(20, "it waits", lambda: d.job(i)["state"] == "paused")
    has(d.job(i)["message"], NEWER)
    d.post(f"/v1/jobs/{i}/resume", {"from": os.path.basename(steps[0])}, want=202)
    d.wait_state(i, "succeeded")
    eq(d.get(f"/v1/jobs/{i}/attempts").json["attempts"][-1]["from"], os.path.basename(steps[0]))


run()
