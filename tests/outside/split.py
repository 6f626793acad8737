#!/usr/bin/env python3
"""Who validates: by content and data.split_seed, inherited by a warm start,
which says how many of its validation samples its model was trained on."""
import json
import os
import shutil
import signal
import struct
import subprocess

import pictures
from t import BUILD, case, csv, eq, has, run, tiny, wait_for

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")


def job(d, name, epochs=2, model=None, seed=1, **data):
    """The tiny job with the plain split; `data` goes in there."""
    j = tiny(d, name, epochs=epochs)
    del j["data"]["split"]
    j["data"].update(data)
    j["training"]["seed"] = seed
    if model is not None:
        j["model"]["checkpoint"] = model
    return j


def done(d, j):
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    return i


def latest(d, i):
    return d.get(f"/v1/jobs/{i}/checkpoints/latest").json


def folder(d, i):
    return f"{d.root}/state/jobs/{i}/checkpoints/{latest(d, i)['checkpoint']}"


def kinds(d, i):
    return {e["kind"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"].startswith("split")}


def validation(d, i):
    return d.job(i)["plan"]["validation"]


def log(d, i):
    with open(f"{d.root}/state/jobs/{i}/train.log") as f:
        return f.read()


def floats(path):
    """All numbers of a safetensors file, in its order."""
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        f.read(n)
        data = f.read()
    return struct.unpack(f"<{len(data) // 4}f", data)


@case("a warm start with another training seed validates on none that its model was trained on")
def _(d):
    base = done(d, job(d, "base"))
    i = done(d, job(d, "next", model=f"job://{base}/latest", seed=9))
    # The digest is of the training samples: they are the same ones.
    eq(latest(d, i)["data_digest"], latest(d, base)["data_digest"], "training samples")
    v, of = validation(d, i), latest(d, base)["split"]
    eq((v["rule"], v["seed"], v["inherited"], v["trained_on"]), ("content", 1, True, 0))
    eq((of["rule"], of["seed"], of["inherited"], of["trained_on"]), ("content", 1, False, 0))
    eq(v["validation"], of["validation"])
    said = f"job://{base}/latest was trained on none of them"
    has("\n".join(d.events(i)), said)
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True).stdout
    has(shown, said)
    has(shown, f"{v['validation']} of 1,000 samples validate (content, seed 1, the model's)")
    eq(kinds(d, i), {"split"})
    assert " warn " not in log(d, i), log(d, i)


@case("a split seed of its own is warned of, with how many")
def _(d):
    base = done(d, job(d, "base"))
    i = done(d, job(d, "next", model=f"job://{base}/latest", split_seed=2))
    v = validation(d, i)
    eq((v["seed"], v["inherited"], v["at_most"]), (2, False, False))
    # Nine of ten, if seeds choose apart; the model's data are the same, so it is exact.
    assert 0.75 * v["validation"] < v["trained_on"] < v["validation"], v
    said = f"was trained on {v['trained_on']} of them, and what is measured there is better"
    has("\n".join(d.events(i)), said)
    eq(kinds(d, i), {"split_leak"})
    line = next(x for x in log(d, i).splitlines() if said in x)
    has(line, " warn ")
    # Whoever goes on from that one inherits its seed and what its own model had seen.
    n = done(d, job(d, "third", model=f"job://{i}/latest", seed=4))
    w = validation(d, n)
    eq((w["seed"], w["inherited"], w["trained_on"]), (2, True, v["trained_on"]))
    # By a larger share the bound goes through both.
    n = done(d, job(d, "fourth", model=f"job://{i}/latest", validation_split=0.2))
    w = validation(d, n)
    assert w["at_most"] and v["trained_on"] < w["trained_on"] <= w["validation"], w
    has(w["summary"], f"up to {w['trained_on']} of them (a bound by their ranks alone, which counts samples that came to "
        "the data later, too), and ")


@case("rows that come later, of a new class too, leave the others where they are")
def _(d):
    base = done(d, job(d, "base"))
    with open(f"{d.root}/tiny.csv") as f:
        lines = f.read().splitlines()
    with open(f"{d.root}/more.csv", "w") as f:
        new = [f"9.{k},8.{k},7,6,{k % 4}" for k in range(500)]
        f.write("\n".join([lines[0]] + new + lines[:0:-1]) + "\n")
    j = job(d, "grown", model=f"job://{base}/latest", seed=3)
    j["data"]["train"]["path"] = f"{d.root}/more.csv"
    j["model"].update(sizes=[4, 32, 4], strict=False)
    v = validation(d, done(d, j))
    eq((v["samples"], v["inherited"], v["trained_on"], v["at_most"]), (1500, True, 0, False))


@case("seed and rule are inherited once and stay, through kill -9 and to the same bytes")
def _(d):
    base = done(d, job(d, "base", split_seed=5, split={"stratify": True}))
    j = job(d, "next", epochs=2000, model=f"job://{base}/latest")
    calm = d.submit(j)
    i = d.submit(dict(j, name="torn"))
    wait_for(60, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) >= 50)
    d.signal_trainers(signal.SIGKILL, i)
    for k in (calm, i):
        d.wait_state(k, "succeeded", seconds=60)
    assert len(d.get(f"/v1/jobs/{i}/attempts").json["attempts"]) >= 2
    a, b = latest(d, calm), latest(d, i)
    eq((b["split"]["rule"], b["split"]["seed"], b["split"]["inherited"], b["split"]["trained_on"]),
       ("stratified", 5, True, 0))
    eq(b["split"], a["split"])
    eq({f["name"]: f["xxh128"] for f in b["files"]}, {f["name"]: f["xxh128"] for f in a["files"]}, "weights")
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"split_seed": 6}}})
    eq(r.status, 422, r.text)
    has(r.text, "data.split_seed")


def folder_job(d, name, path, model=None, grow=False, **data):
    """Pictures of folders, which split by class if nobody says otherwise."""
    j = job(d, name, model=model)
    j["model"].pop("arch")
    j["model"].pop("sizes")
    j["model"]["layers"] = ["flatten", {"type": "linear", "name": "fc", "out": len(os.listdir(path))}]
    if grow:
        j["model"]["grow"] = ["fc"]
    j["data"] = {"train": {"type": "image_folder", "path": path}, "validation_split": 0.2, **data}
    return j


@case("a dry run, --check and --summary part the data as the run does, by the model's rule and seed, and say a leak")
def _(d):
    pictures.folder(f"{d.root}/p", ["a", "b"], [27, 33], 4, 4)
    base = done(d, folder_job(d, "base", f"{d.root}/p", split_seed=5, split={"stratify": True}))
    j = folder_job(d, "next", f"{d.root}/p", f"job://{base}/latest", split={"stratify": True}, split_seed=5)
    del j["data"]["split"], j["data"]["split_seed"]
    dry = d.post("/v1/jobs?dry_run=1", j, want=200).json
    v = dry["plan"]["validation"]
    eq((v["rule"], v["seed"], v["inherited"], v["trained_on"]), ("stratified", 5, True, 0))
    eq([x for x in dry["remarks"] if "validate" in x], [])
    run_ = done(d, j)
    progress = d.job(run_)["progress"]
    eq(dry["steps_total"], progress["steps_total"])
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(j, f)
    at = ["--model", f"{folder(d, base)}/model.safetensors", f"{d.root}/job.json"]
    s = subprocess.run([f"{BUILD}/rekindle-train", "--summary", *at], capture_output=True, text=True, check=True)
    s = json.loads(s.stdout)
    eq((s["steps_total"], s["data"]["validation"]["samples"]), (progress["steps_total"], v["validation"]))
    # By the job alone where the model is not here: another number, by content.
    s = subprocess.run([f"{BUILD}/rekindle-train", "--summary", at[2]], capture_output=True, text=True, check=True)
    assert json.loads(s.stdout)["data"]["validation"]["samples"] != v["validation"], "seed 1 by content is no test"
    # A seed of its own leaks, and that is said beforehand.
    j["data"]["split_seed"] = 6
    dry = d.post("/v1/jobs?dry_run=1", j, want=200).json
    (said,) = [x for x in dry["remarks"] if "validate" in x]
    has(said, "what is measured there is better than what it will do elsewhere")
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(j, f)
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "submit", "--dry-run", f"{d.root}/job.json"],
                           capture_output=True, text=True, check=True).stdout
    has(shown, f"remark    {said}\n")
    has(shown, f"split     {said}\n")


@case("a model file carries its split wherever it goes, and one that has none says so")
def _(d):
    base = done(d, job(d, "base", split_seed=5))
    alone = shutil.copy(f"{folder(d, base)}/model.safetensors", f"{d.root}/alone.safetensors")
    v = validation(d, done(d, job(d, "next", model=alone)))
    eq((v["seed"], v["inherited"], v["trained_on"], v["lineage"]), (5, True, 0, True))
    with open(alone, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head, data = json.loads(f.read(n)), f.read()
    eq(head.pop("__metadata__")["format"], "pt")
    text = json.dumps(head).encode()
    with open(f"{d.root}/bare.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    i = done(d, job(d, "bare", model=f"{d.root}/bare.safetensors"))
    v = validation(d, i)
    eq((v["seed"], v["inherited"], v["trained_on"], v["lineage"]), (1, False, None, False))
    eq(kinds(d, i), {"split_unknown"})
    has(log(d, i), "was trained on is not known: the file does not tell")
    # A job that held nothing out has trained on all it had.
    j = job(d, "all", validation_split=0)
    i = done(d, job(d, "after", model=f"job://{done(d, j)}/latest"))
    eq(validation(d, i)["trained_on"], None)
    has(log(d, i), "is not known: it was trained on all of its data")


@case("a run split by an older version goes on with the split it had", "stopped")
def _(d):
    shutil.copytree(f"{SAMPLES}/old-split", f"{d.root}/o")
    r = subprocess.run([f"{BUILD}/rekindle-train", "job.yaml"], cwd=f"{d.root}/o", capture_output=True, text=True)
    eq(r.returncode, 0, r.stderr)
    has(r.stdout, "the validation samples stay those of training.seed 5")
    assert "data has changed" not in r.stdout, r.stdout
    old = f"{SAMPLES}/old-split/old.run/checkpoints/step-000000010"
    new = f"{d.root}/o/old.run/checkpoints/step-000000024"
    was, now = (json.load(open(f"{x}/checkpoint.json")) for x in (old, new))
    assert "split" not in was
    eq(now["data_digest"], was["data_digest"], "training samples")
    eq((now["split"]["rule"], now["split"]["seed"]), ("permutation", 5))
    # Byte for byte where the machine computes as the one did that wrote it; other samples are off by far more.
    end, want = floats(f"{new}/model.safetensors"), floats(f"{d.root}/o/end.safetensors")
    assert max(abs(a - b) for a, b in zip(end, want)) < 1e-4, (end, want)
    # Who starts warm from it, or from what it was, holds out the same.
    for name, of in (("a", old), ("b", new)):
        r = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", name, "--set", "training.seed=9", "--model",
                            f"{of}/model.safetensors", "job.yaml"], cwd=f"{d.root}/o", capture_output=True, text=True)
        has(r.stdout, "was trained on none of them, as far as its lineage is known")
        info = json.load(open(f"{d.root}/o/{name}/checkpoints/step-000000024/checkpoint.json"))
        eq(info["data_digest"], was["data_digest"], "training samples")
        eq((info["split"]["inherited"], info["split"]["lineage"]), (True, False))


run()
