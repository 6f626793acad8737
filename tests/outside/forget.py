#!/usr/bin/env python3
"""What a warm start knew is watched; what is forgotten is said once; who learns from the ancestor's answers
forgets less, waits where the ancestor is gone, and ends with the same bytes whatever happens on the way."""
import json
import os
import shutil
import subprocess

import pictures
from t import BUILD, case, eq, has, run, wait_for

CLASSES = ["crack", "fray", "void"]
DISTILL = {"weight": 0.7, "temperature": 2}


def folder(d, name, each):
    path = f"{d.root}/{name}"
    if not os.path.exists(path):
        pictures.folder(path, CLASSES, each, 4, 4, seed=len(name))
    return path


def job(d, name, each, epochs=6, rate=0.05, every=None, **training):
    """Validated on 60 of each class, whatever it learns from."""
    return {"name": name, "resources": {"threads": 1, "memory": "128MiB"},
            "model": {"layers": ["flatten", {"type": "linear", "name": "hidden", "out": 8}, "relu",
                                 {"type": "linear", "name": "fc", "out": 3}]},
            "training": {"epochs": epochs, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": rate},
                         **training},
            "data": {"train": {"type": "image_folder", "path": folder(d, f"{name}-data", each)},
                     "validation": {"type": "image_folder", "path": folder(d, "held-out", 60)}},
            "checkpoint": {"every": every or {"epochs": 1}}}


def parent(d):
    i = d.submit(job(d, "parent", 40))
    d.wait_state(i, "succeeded")
    return i


def child(d, of, name="child", **more):
    """Its data have no void any more."""
    more.setdefault("warm_start", {"learning_rate_scale": 1})
    j = job(d, name, [40, 40, 0], **more)
    j["model"]["checkpoint"] = of
    return j


def known(d, i):
    """The lines of metrics that tell it."""
    return [m for m in d.get(f"/v1/jobs/{i}/metrics?limit=500").json["metrics"] if "knowledge" in m]


def forgotten(d, i):
    return [e["message"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == "forgotten"]


def model(d, i):
    return d.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.safetensors").body


def show(d, i):
    return subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True,
                          check=True).stdout


@case("a class that the data lack is forgotten: in metrics, by an event, in the API and by show; with an ancestor less")
def _(d):
    a = parent(d)
    i = d.submit(child(d, f"job://{a}/latest"))
    d.wait_state(i, "succeeded")
    first, *rest = known(d, i)
    eq((first["over"], first["step"], first["split"]), ("start", 0, "validation"))
    eq([c["name"] for c in first["knowledge"]["by_class"]], CLASSES)
    void = first["knowledge"]["by_class"][2]
    assert void["before"] > 0.9 and void["samples"] == 60, void
    eq(len(rest), 6)
    assert all(m["knowledge"]["before"] == first["knowledge"]["before"] for m in rest)
    after = rest[-1]["knowledge"]["by_class"][2]
    assert after["forgotten"] and after["recall"] < void["before"] - 0.05, after
    (said,) = forgotten(d, i)
    has(said, f"void from {void['before']:.3f} to ")
    has(said, "(60 samples); training.distill, ")
    has(d.get("/metrics").text, "\nrekindle_forgotten_total 1\n")
    k = d.job(i)["progress"]["knowledge"]
    eq([c["name"] for c in k["forgotten"]], ["void"])
    eq(k["step"], 60)
    shown = show(d, i)
    has(shown, "knowledge    mean recall of 3 classes of before ")
    fallen = f"void {void['before']:.3f} -> {after['recall']:.3f} (60 samples)\n"
    has(shown, f"forgotten    {fallen}")
    watched = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "watch", i], capture_output=True, text=True)
    has(watched.stdout, f"forgotten: {fallen}")
    # The same, learning from what the parent answers.
    i = d.submit(child(d, f"job://{a}/latest", distill=DISTILL))
    d.wait_state(i, "succeeded")
    kept = known(d, i)[-1]["knowledge"]["by_class"][2]
    assert kept["recall"] > after["recall"] + 0.2, (kept, after)
    has(str(d.events(i)), f"learns from the answers of job://{a}/latest, too, on 3 of its 3 classes")
    lines = d.get(f"/v1/jobs/{i}/metrics?limit=500").json["metrics"]
    m = [x for x in lines if x["split"] == "train"][-1]
    assert abs(m["loss"] - 0.3 * m["task_loss"] - 0.7 * m["distill_loss"]) < 1e-9, m


@case("of classes with few samples a fall is never called forgotten, and the plan, metrics, API and show say so")
def _(d):
    a = parent(d)
    j = child(d, f"job://{a}/latest")
    pictures.folder(f"{d.root}/small", CLASSES, [60, 24, 24], 4, 4, seed=3)
    j["data"]["validation"]["path"] = f"{d.root}/small"
    few = "2 of 3 have fewer than 50 validation samples: a fall of theirs is not called forgotten"
    plan = d.post("/v1/jobs?dry_run=1", j, want=200).json["plan"]["knowledge"]
    eq(plan["few"], 2)
    has(plan["summary"], f"are watched: crack, fray, void; {few}")
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    eq([x for x in forgotten(d, i) if "void" in x], [])
    has(str(d.events(i)), few)
    last = known(d, i)[-1]["knowledge"]
    void = last["by_class"][2]
    eq((last["few"], void["samples"]), (2, 24))
    assert void["recall"] < void["before"] - 0.05, void
    k = d.job(i)["progress"]["knowledge"]
    eq((k["few"], k["largest_fall"]["name"]), (2, "void"))
    shown = show(d, i)
    has(shown, "; 2 of 3 classes have fewer than 50 samples: a fall of theirs is not called forgotten\n")
    has(shown, f"largest fall void {void['before']:.3f} -> {void['recall']:.3f} (24 samples)\n")


@case("killed behind the evaluation that says it, a job says it no second time, and ends with the same bytes")
def _(d):
    a = parent(d)
    still = child(d, f"job://{a}/latest", epochs=400, every={"epochs": 400}, distill={"weight": 0.1})
    still["checkpoint"]["keep"] = {"best": 0}
    undisturbed = d.submit(still)
    d.wait_state(undisturbed, "succeeded")
    said = forgotten(d, undisturbed)
    has(said[0], "recall of void from ")
    eq([sum(m.count(f"{c} from ") for m in said) <= 1 for c in CLASSES], [True] * 3, "named once, whatever comes back")
    i = d.submit(still)
    wait_for(30, "the event", lambda: forgotten(d, i))
    d.signal_trainers(9, i)
    wait_for(30, "another attempt", lambda: d.job(i)["attempt"] > 1)
    d.wait_state(i, "succeeded")
    assert d.job(i)["attempt"] > 1
    eq(forgotten(d, i), said)
    # It was all made again, as there was no checkpoint.
    again = d.get(f"/v1/jobs/{i}/metrics?attempt=2&limit=10").json["metrics"]
    eq(again[0]["over"], "start")
    assert model(d, i) == model(d, undisturbed)


@case("a job whose ancestor is gone, or another, waits for a person; with it back it ends with the same bytes")
def _(d):
    a = parent(d)
    at = f"{d.root}/ancestor.safetensors"
    with open(at, "wb") as f:
        f.write(model(d, a))
    j = child(d, at, epochs=1500, rate=1e-4, every={"epochs": 20}, distill=DISTILL)
    i = d.submit(j)
    wait_for(30, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) > 0)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    os.rename(at, f"{at}.away")
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    wait_for(30, "it waits", lambda: d.job(i)["reason"] == "ancestor_missing")
    eq(d.job(i)["state"], "paused")
    has(d.job(i)["message"], "model.checkpoint: cannot start from ")
    has(d.job(i)["message"], f"rekindle resume {i} --set training.distill=null")
    # Of the same shape, but not the same.
    other = d.submit(job(d, "other", 40, seed=7))
    d.wait_state(other, "succeeded")
    with open(at, "wb") as f:
        f.write(model(d, other))
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    wait_for(30, "it waits again", lambda: d.job(i)["state"] == "paused" and d.job(i)["attempt"] > 2)
    has(d.job(i)["message"], "is not what it was when the run began")
    shutil.copy(f"{at}.away", at)
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    d.wait_state(i, "succeeded")
    undisturbed = d.submit(j)
    d.wait_state(undisturbed, "succeeded")
    assert model(d, i) == model(d, undisturbed)


@case("the checkpoint of another job stays as long as a job learns from it, also where that goes on", "--threads", "2")
def _(d):
    a = d.submit(job(d, "parent", 40, epochs=100000, rate=1e-3, every={"steps": 50}))
    wait_for(30, "a checkpoint", lambda: d.job(a)["progress"].get("checkpoint"))
    i = d.submit(child(d, f"job://{a}/latest", epochs=100000, rate=1e-4, every={"steps": 50}, distill=DISTILL))
    wait_for(30, "its own", lambda: d.job(i)["progress"].get("checkpoint"))
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    (pin,) = [os.readlink(f"{d.state}/pins/{i}")]
    eq(pin.split("/")[0], a)
    eq(d.call("DELETE", f"/v1/jobs/{a}/checkpoints/{pin.split('/')[1]}").status, 409)
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    d.wait_state(i, "running")
    at = d.job(i)["progress"]["step"]
    wait_for(30, "it goes on", lambda: d.job(i)["progress"]["step"] > at)
    eq(os.readlink(f"{d.state}/pins/{i}"), pin)
    d.post(f"/v1/jobs/{i}/cancel", want=202)
    d.wait_state(i, "cancelled")
    wait_for(10, "the pin goes", lambda: not os.path.lexists(f"{d.state}/pins/{i}"))
    d.post(f"/v1/jobs/{a}/cancel", want=202)
    d.wait_state(a, "cancelled")


@case("of a head that has grown by name the ancestor answers for its own classes, wherever they are now")
def _(d):
    old, new = [f"{d.root}/{x}" for x in ("old", "new")]
    pictures.folder(old, ["crack", "fray", "void"], [12, 12, 12], 4, 4)
    for name in ("blowhole", "dent"):
        pictures.folder(new, [name], 12, 4, 4)
    shutil.copytree(old, new, dirs_exist_ok=True)
    shutil.rmtree(f"{new}/crack")               # one that went away
    j = job(d, "old", 12)
    j["data"] = {"train": {"type": "image_folder", "path": old}}
    a = d.submit(j)
    d.wait_state(a, "succeeded")
    # A step that moves nothing: the old rows answer as they did, and no class that is another's is compared.
    j = job(d, "new", 12, rate=1e-30, epochs=1, distill={"weight": 0.5})
    j["data"] = {"train": {"type": "image_folder", "path": new}}
    j["model"]["layers"][-1]["out"] = 4
    j["model"].update(checkpoint=f"job://{a}/latest", grow=["fc"])
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    has(str(d.events(i)), "on 2 of its 3 classes")
    m = [x for x in d.get(f"/v1/jobs/{i}/metrics").json["metrics"] if x["split"] == "train"][-1]
    assert 0 <= m["distill_loss"] < 1e-9 < m["task_loss"], m
    # One that moves, killed on the way.
    j["training"].update(epochs=1000, optimizer={"type": "adam", "learning_rate": 0.01})
    undisturbed, i = d.submit(j), d.submit(j)
    wait_for(30, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) > 0)
    d.signal_trainers(9, i)
    for x in (undisturbed, i):
        d.wait_state(x, "succeeded")
    assert d.job(i)["attempt"] > 1 and model(d, i) == model(d, undisturbed)


@case("a dry run and --check refuse an ancestor that is none, and the plan names the classes")
def _(d):
    a = parent(d)
    j = child(d, f"job://{a}/latest", distill=DISTILL)
    dry = d.post("/v1/jobs?dry_run=1", j, want=200).json
    eq(dry["plan"]["knowledge"]["classes"], CLASSES)
    eq(dry["plan"]["distill"]["classes"], 3)
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(j, f)
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "plan", f"{d.root}/job.json"], capture_output=True,
                           text=True, check=True).stdout
    has(shown, "known     3 classes that the source knows, too, are watched: crack, fray, void\n")
    has(shown, f"distill   learns from the answers of job://{a}/latest, too, on 3 of its 3 classes: weight 0.7")
    j["model"]["layers"][1]["out"] = 9
    j["model"].update(strict=False, minimum=0)
    r = d.post("/v1/jobs?dry_run=1", j)
    assert r.status >= 400, r.text
    has(r.text, "the ancestor would be the job's network with the outputs of ")
    has(r.text, "hidden.weight")
    del j["training"]["distill"]["temperature"]
    j["training"]["distill"]["weight"] = 2
    has(d.post("/v1/jobs", j).text, "training.distill.weight")


run()
