#!/usr/bin/env python3
"""Trainings in phases: parts of a network that rest and thaw, under kills, under changes of the job, and in words."""
import glob
import json
import os
import random
import subprocess

import data_jobs
import pictures
from storm import Ordeal, final, sha
from t import BUILD, case, eq, has, run, tiny, trainer, wait_for

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
CLASSES = ["cracks", "fray", "none"]
# The first change is inside the second epoch, which has 5 steps; the other at the end of the third.
PHASES = [{"steps": 7, "train": "linear.*", "learning_rate": 0.05},
          {"epochs": 2, "train": ["layer3.*", "linear.*"], "schedule": {"type": "cosine"}},
          {"epochs": 2, "learning_rate_scale": 0.1, "learning_rates": {"layer1.*": 0.1, "*bn*": 2}}]


@case("resnet20 that thaws from the top, with shards of what rests, killed at any time", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, 15)
    job = data_jobs.cifar({"path": f"{d.root}/in"}, None, 8, 2)
    job["data"]["transforms"]["train"].pop()
    job["training"].update(phases=PHASES, early_stopping={"patience": 50})
    del job["training"]["epochs"]
    storm = Ordeal(d, job, random.Random(SEED))
    storm.calm()
    has(f"{storm.want[0]}", "step-000000025")
    storm.rage(["trainer", "daemon", "writing", "writing"] * KILLS)
    storm.over(SEED)


def mlp(d, **training):
    """57 steps an epoch; checkpoints at both changes."""
    job = tiny(d, model={"layers": [{"type": "linear", "out": 32, "name": "fc1"}, {"type": "batch_norm", "name": "bn"},
                                    "relu", {"type": "linear", "out": 3, "name": "fc2"}]},
               checkpoint={"every": {"steps": 57}, "keep": {"last": 100}})
    job["training"].update(epochs=4, **training)
    return job


HEAD = [{"epochs": 1, "train": "fc2.*"}, {"epochs": 2, "train": ["fc2.*", "bn.*"], "schedule": "cosine"}]


def done(d, i):
    eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded", d.job(i)["message"])


def changed(d, step, old, new):
    """A job that ended, with checkpoints at 57, 171 and 228; and again from this one, with other phases."""
    i = d.submit(mlp(d, steps=57, phases=old))
    for steps in 171, 228:
        done(d, i)
        d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"steps": steps}}}, want=202)
    done(d, i)
    before = final(d, i)[1]
    d.post(f"/v1/jobs/{i}/resume", {"from": f"step:{step}", "overrides": {"training": {"phases": new}}}, want=202)
    done(d, i)
    assert final(d, i)[1] != before, "the rates make no difference"
    has("\n".join(d.events(i)), "phase 3 of 3 begins at step 171 (epoch 3)")
    return final(d, i)[1]


@case("from the checkpoint of a change, and from an older one, with another rate in a later phase", "stopped")
def _(d):
    old, new = ([*HEAD, {"epochs": 1, "learning_rate": rate}] for rate in (0.002, 0.001))
    d.start("--threads", "1")
    other = d.submit(mlp(d, phases=new))
    done(d, other)
    want = final(d, other)[1]
    for step, threads in (171, "3"), (57, "2"):
        d.stop()
        d.start("--threads", threads)
        eq(changed(d, step, old, new), want, f"tensors after a resume from step {step}")


@case("a resume that changes what the phase under way trains, or how its batch norms rest, is no other arithmetic",
      "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    head = {"epochs": 2, "train": "fc2.*"}
    for more in {"train": ["fc2.*", "bn.*"]}, {"train": ["fc1.*", "fc2.*"]}, {"frozen_batch_norm": "training"}:
        for phase in head, {**head, **more}:
            job = mlp(d, exact="require", phases=[phase, {"epochs": 2}])
            said = "".join(trainer(d, job, "--from", "step:57" if phase != head else "none"))
        assert "arithmetic" not in said, said


@case("a resume is tried without being done: a pattern that fits nothing is refused, and the job rests as it was")
def _(d):
    i = d.submit(mlp(d, phases=[*HEAD, {"epochs": 1}]))
    done(d, i)
    before = d.job(i)
    for pattern, code in (("layr3.*", 1), ("fc1.*", 0)):
        r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "resume", i, "--dry-run", "--set",
                            "training.epochs=5", "--set",
                            "training.phases=" + json.dumps([*HEAD, {"epochs": 2, "train": [pattern]}])],
                           capture_output=True, text=True)
        eq(r.returncode, code, r.stdout + r.stderr)
        has(r.stdout + r.stderr, "would be accepted: 285 steps" if code == 0 else 'is "layr3.*", which fits no ')
    eq((d.job(i)["state"], d.job(i)["spec"]), (before["state"], before["spec"]))


@case("a resume that names parameters there are not is refused at once, and the job rests as it was")
def _(d):
    i = d.submit(mlp(d, phases=[*HEAD, {"epochs": 1}]))
    done(d, i)
    before = d.job(i)
    for more in ({"phases": [*HEAD, {"epochs": 2, "train": ["layr3.*"]}]}, {"learning_rates": {"layr3.*": 0.1}},
                 {"parameters": [{"match": "layr3.*", "weight_decay": 0}]}):
        field = next(iter(more))
        sets = {**more, "phases": more.get("phases", [*HEAD, {"epochs": 2}])}
        r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 5, **sets}}}, want=422)
        has(r.text, f"training.{field}")
        has(r.text, "layr3.*")
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "resume", i, "--set", "training.epochs=5", "--set",
                        "training.phases=" + json.dumps([*HEAD, {"epochs": 2, "train": ["layr3.*"]}])],
                       capture_output=True, text=True)
    eq(r.returncode, 1, r.stdout + r.stderr)
    has(r.stderr, 'is "layr3.*", which fits no ')
    eq((d.job(i)["state"], d.job(i)["spec"], d.job(i)["attempt"]), (before["state"], before["spec"], before["attempt"]))
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 5, "phases": [
        *HEAD, {"epochs": 2, "train": ["fc1.*"]}]}}}, want=202)
    done(d, i)
    eq(d.job(i)["progress"]["step"], 285)


@case("a resume whose data cannot be read now is taken as before: they are the attempt's business")
def _(d):
    i = d.submit(mlp(d, phases=[*HEAD, {"epochs": 1}]))
    done(d, i)
    path = d.job(i)["spec"]["data"]["train"]["path"]
    os.rename(path, path + ".away")
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 5, "phases": [*HEAD, {"epochs": 2}]}}}, want=202)
    os.rename(path + ".away", path)


@case("show, progress, metrics and events tell the phase")
def _(d):
    i = d.submit(mlp(d, phases=[*HEAD, {"epochs": 1}], log_every=19))
    done(d, i)
    p = d.job(i)["progress"]
    eq((p["phase"], p["phases"], p["epochs_total"], p["steps_total"]), (3, 3, 4, 228))
    eq(p["schedule"]["from"], 171)
    has(d.get("/metrics").text, "# HELP rekindle_job_phase Phase of the training under way, from 1.")
    lines = d.get(f"/v1/jobs/{i}/metrics?limit=500").json["metrics"]
    eq([m["phase"] for m in lines if m["over"] == "epoch" and m["split"] == "train"], [1, 2, 2, 3])
    eq(sorted({(m["phase"], m["learning_rate"]) for m in lines if m["over"] == "steps" and m["phase"] != 2}),
       [(1, 0.003), (3, 0.003)])
    events = "\n".join(d.events(i))
    has(events, "phase 1 of 3 begins at step 0 (epoch 0): trains 2 of 6 tensors (99 of 323 parameters); frozen batch "
        "norms evaluate; constant over 57 steps from step 0, peak 0.003")
    has(events, "phase 2 of 3 begins at step 57 (epoch 1): trains 4 of 6 tensors")
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True).stdout
    has(shown, "phase        3 of 3")
    table = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "metrics", i], capture_output=True, text=True).stdout
    head, first = (x.split() for x in table.splitlines()[:2])
    eq((head[3], first[3]), ("PHASE", "1"))


@case("what the phases of a resume say is held against the job, and what cannot be is refused at its place", "stopped")
def _(d):
    d.start()
    i = d.submit(mlp(d, phases=[*HEAD, {"epochs": 1}]))
    done(d, i)
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 6}}}, want=422)
    has(r.text, "have 4 epochs in all, and training.epochs is 6")
    # One that goes on to the end may be longer: by its own schedule, which is judged as any is.
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 5, "phases": [*HEAD, {}]}}}, want=202)
    done(d, i)
    eq(d.job(i)["progress"]["step"], 285)
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 6, "phases": HEAD[:1] + [{}]}}}, want=422)
    has(r.text, "overrides.training.phases\",\"message\":\"has 2 phases, and phase 3 is under way")


def picture(d, name, **more):
    """ResNet-20, whose layouts follow from what is trained."""
    data = {"type": "synthetic", "shape": [3, 32, 32], "classes": 10, "samples": 40}
    return {"name": name, "model": {"arch": "resnet20", **more.pop("model", {})},
            "data": {"train": data, "validation_split": 0.25},
            "training": {"epochs": 4, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": 0.01}, **more},
            "checkpoint": {"every": {"steps": 100}}}


def last(d, name):
    return sorted(glob.glob(f"{d.root}/{name}.run/checkpoints/step-*"))[-1]


@case("a warm start that learns from its ancestor, with its moments, ends the same wherever it was interrupted", "stopped")
def _(d):
    trainer(d, picture(d, "first"))
    model = {"checkpoint": f"{last(d, 'first')}/model.safetensors"}
    phases = [{"steps": 6, "train": "linear.*"}, {"epochs": 1, "train": ["layer3.*", "linear.*"]}, {"epochs": 1}]
    more = {"phases": phases, "distill": {"weight": 0.5}, "warm_start": {"optimizer": "moments"}, "seed": 3}
    ends = []
    for name, stops in ("whole", []), ("parts", [3, 6, 7, 8, 10]):
        for k, stop in enumerate([*stops, 0]):
            said = trainer(d, picture(d, name, model=model, **more), "--threads", str(1 + k % 2),
                           *(["--set", f"training.steps={stop}"] if stop else []))[0]
            if k == 0:
                has(said, "tensors that phase 1 does not train are left behind: what thaws begins with a first step")
        end = last(d, name)
        ends.append((os.path.basename(end), [sha(f"{end}/{f}.safetensors") for f in ("model", "optimizer")]))
    eq(ends[1], ends[0], "the last checkpoint")


@case("of a phase that never comes, and of a warm-up longer than its phase, a check tells before there is a run",
      "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    warmup = {"type": "cosine", "warmup_steps": 300}
    job = mlp(d, phases=[{"steps": 57, "train": "fc2.*", "schedule": warmup}, {"steps": 200}, {}])
    remarks = "\n".join(json.loads(trainer(d, job, "--check")[0])["remarks"])
    has(remarks, "phase 1: the warm-up of 300 steps is longer than the run of 57")
    has(remarks, "phase 3: nothing is trained: the training is over before it begins")


@case("a plan tells the phases of a fine-tuning, for people and as JSON")
def _(d):
    job = mlp(d)
    job["name"] = "first"
    trainer(d, job)
    more = dict(mlp(d, phases=[*HEAD, {"epochs": 1}]), name="second")
    more["model"] = dict(more["model"], checkpoint=f"{d.root}/first.run/checkpoints/step-000000228/model.safetensors")
    text = trainer(d, more, "--plan")[0]
    has(text, "phase 1 of 3, 57 steps from step 0: trains 2 of 6 tensors (99 of 323 parameters); frozen batch norms "
        "evaluate; constant, peak 0.0006")
    has(trainer(d, more, "--plan", "--json")[0], '"frozen_batch_norms_evaluate": true')


run()
