#!/usr/bin/env python3
"""The learning rate over a resume: a request that would make it leap is refused
with three choices; each choice does what it says, over crashes too."""
import glob
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess

from t import BUILD, case, eq, has, run, tiny, wait_for

PEAK = 0.01
SPE = 57                # steps of an epoch of t.py's tiny job


def cosine(t, length):
    return PEAK * (1 + math.cos(math.pi * t / length)) / 2


def job(d, name="cosine", epochs=4, schedule=None, **more):
    j = tiny(d, name, epochs, **more)
    j["training"]["optimizer"]["learning_rate"] = PEAK
    j["training"]["schedule"] = schedule or {"type": "cosine", "warmup_steps": 10}
    j["training"]["log_every"] = 1
    return j


def finished(d, **kw):
    i = d.submit(job(d, **kw))
    d.wait_state(i, "succeeded")
    return i


def resume(d, i, training, want=202, **body):
    return d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": training}, **body}, want=want)


def rates(d, i, attempt):
    """{step: rate} of the training lines of an attempt; the rate of line N made step N."""
    with open(f"{d.state}/jobs/{i}/metrics.jsonl") as f:
        lines = [json.loads(x) for x in f]
    return {m["step"]: m["learning_rate"] for m in lines
            if m["attempt"] == attempt and m["split"] == "train" and m["over"] == "steps"}


def near(got, want, what):
    assert abs(got - want) <= 1e-12 * abs(want), f"{what} is {got!r}, want {want!r}"


def weights(d, i):
    newest = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))[-1]
    h = hashlib.sha256()
    for name in ("model.safetensors", "optimizer.safetensors"):
        with open(f"{newest}/{name}", "rb") as f:
            h.update(f.read())
    return os.path.basename(newest), h.hexdigest()


def errors(r):
    return {e["path"]: e["message"] for e in r.json["errors"]}


@case("a finished cosine that is given more epochs is refused with three choices and their rates")
def _(d):
    i = finished(d)
    before = d.job(i)
    r = resume(d, i, {"epochs": 6}, want=422)
    eq(list(errors(r)), ["overrides.training.epochs"], "paths")
    said = errors(r)["overrides.training.epochs"]
    total, last = 4 * SPE - 10, 4 * SPE - 11
    for part in (f"leap from {cosine(last, total):.3g} to {cosine(total, 6 * SPE - 10):.3g} at step 228",
                 f"keep (the old schedule goes on, with {cosine(last, total):.3g} there)",
                 f"stretch (the new one as if it had been so from the beginning, {cosine(total, 6 * SPE - 10):.3g})",
                 f"restart (the new one begins here, {PEAK / 10:.3g})",
                 "training.optimizer.learning_rate"):
        has(said, part)
    after = d.job(i)
    eq((after["version"], after["spec"]), (before["version"], before["spec"]), "the job")
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "resume", i, "--set", "training.epochs=6"],
                       capture_output=True, text=True)
    eq(r.returncode, 1, "exit of rekindle resume")
    has(r.stderr, "training.schedule.on_resume: keep")
    # Another schedule is the same kind of request as another length.
    r = resume(d, i, {"epochs": 6, "schedule": "constant"}, want=422)
    eq(list(errors(r)), ["overrides.training.schedule.type"], "paths")


@case("each choice has the rates of its formula, and events and show say so")
def _(d):
    total = 4 * SPE - 10
    want = {
        "keep": lambda t: cosine(total - 1, total),
        "stretch": lambda t: cosine(t - 10, 6 * SPE - 10),
        "restart": lambda t: PEAK * (t - 228 + 1) / 10 if t < 238 else cosine(t - 238, 2 * SPE - 10),
    }
    jobs = {how: d.submit(job(d, how)) for how in want}
    for i in jobs.values():
        d.wait_state(i, "succeeded")
    for how, i in jobs.items():
        resume(d, i, {"epochs": 6, "schedule": {"on_resume": how}})
    for how, i in jobs.items():
        d.wait_state(i, "succeeded")
        got = rates(d, i, 2)
        eq(sorted(got), list(range(229, 343)), "steps")
        for step, rate in got.items():
            near(rate, want[how](step - 1), f"{how}: rate of step {step}")
        event = [e for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"]
                 if e["message"].startswith("resumed by a person")][-1]
        near(event["data"]["learning_rate"]["was"], cosine(total - 1, total), "the old rate")
        near(event["data"]["learning_rate"]["is"], want[how](228), "the new rate")
        if how != "keep":
            has(event["message"], f"the learning rate at step 228 is {want[how](228):.3g}, where the schedule so far "
                f"has {cosine(total - 1, total):.3g}")
        has(" ".join(d.events(i)), f"the schedule from step 228 on, by {how}: cosine over ")
        shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True)
        has(shown.stdout, {
            "keep": "schedule     cosine over 228 steps from step 0, peak 0.01; since step 228 (keep)\n",
            "stretch": "schedule     cosine over 342 steps from step 0, peak 0.01\n",
            "restart": "schedule     cosine over 114 steps from step 228, peak 0.01; since step 228 (restart)\n",
        }[how])


@case("a request that sets a rate, or leaves schedule and length alone, is taken")
def _(d):
    i = finished(d, checkpoint={"every": {"steps": 50}, "keep": {"last": 100}})
    early = min(c["step"] for c in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    assert early < 200, early
    # From an older checkpoint, with what is no schedule: never refused.
    for body in ({"from": f"step:{early}"}, {"from": f"step:{early}", "overrides": {"priority": 3, "retries": 1}},
                 {"overrides": {"training": {"gradient_clip_norm": 5}}}):
        d.post(f"/v1/jobs/{i}/resume", body, want=202)
        d.wait_state(i, "succeeded")
    resume(d, i, {"epochs": 6}, want=422)
    resume(d, i, {"epochs": 6, "optimizer": {"learning_rate": 0.005}})
    d.wait_state(i, "succeeded")
    near(rates(d, i, 5)[229], cosine(218, 6 * SPE - 10) / 2, "the rate of step 229")
    # The old schedule's rate is taken at the checkpoint that is named.
    resume(d, i, {"epochs": 7}, want=422)
    resume(d, i, {"epochs": 7}, **{"from": f"step:{early}"})
    d.wait_state(i, "succeeded")
    # Begun anew, no old schedule counts.
    resume(d, i, {"epochs": 8}, **{"from": "none"})
    d.wait_state(i, "succeeded")
    near(rates(d, i, 7)[1], PEAK / 2 / 10, "the first rate")


@case("another schedule is refused where the old one is kept")
def _(d):
    i = finished(d)
    r = resume(d, i, {"epochs": 6, "schedule": {"min_learning_rate": 0.001, "on_resume": "keep"}}, want=422)
    has(errors(r)["overrides.training.schedule.min_learning_rate"], "would not be used")
    # And what was kept once is kept until somebody says otherwise.
    resume(d, i, {"epochs": 5, "schedule": {"on_resume": "keep"}})
    d.wait_state(i, "succeeded")
    resume(d, i, {"epochs": 6})
    d.wait_state(i, "succeeded")
    near(rates(d, i, 3)[300], cosine(4 * SPE - 11, 4 * SPE - 10), "the rate of step 300")


@case("killed behind each choice, trainer and daemon, it ends with the bytes of an undisturbed run")
def _(d):
    calm, torn = d.submit(job(d, "calm")), d.submit(job(d, "torn"))
    for i in (calm, torn):
        d.wait_state(i, "succeeded")
    epochs = 4
    for how in ("restart", "keep", "stretch"):
        epochs += 30
        for i in (calm, torn):
            resume(d, i, {"epochs": epochs, "schedule": {"on_resume": how}})
        at = d.job(torn)["progress"]["step"]

        def step():
            j = d.job(torn)
            return j["progress"]["step"] if j["state"] == "running" else 0
        # Before the first checkpoint behind the resume, and behind it.
        for more in (5, 400):
            wait_for(60, f"step {at + more} of torn", lambda: step() >= at + more or
                     d.job(torn)["state"] == "succeeded")
            if how == "keep":
                d.kill()
                d.start()
            else:
                d.signal_trainers(signal.SIGKILL, torn)
        for i in (calm, torn):
            d.wait_state(i, "succeeded", seconds=120)
        eq(weights(d, torn), weights(d, calm), f"what {how} ended with")
        eq(d.job(torn)["progress"]["schedule"], d.job(calm)["progress"]["schedule"], "the schedule")


@case("the refusal knows a checkpoint that only the bucket has")
def _(d):
    os.mkdir(f"{d.root}/bucket")
    i = finished(d, checkpoint={"every": {"steps": 50}, "push": f"file://{d.root}/bucket/", "require_remote": True})
    shutil.rmtree(f"{d.state}/jobs/{i}/checkpoints")
    r = resume(d, i, {"epochs": 6}, want=422)
    has(errors(r)["overrides.training.epochs"], "leap from")


@case("what reduce_on_plateau has come to is shown as it is now")
def _(d):
    # No loss is less than nothing: each epoch behind the first halves the rate.
    i = finished(d, name="plateau", epochs=4, schedule={"type": "reduce_on_plateau", "factor": 0.5, "patience": 0,
                                                        "threshold": 1},
                 checkpoint={"keep": {"metric": "loss"}})
    seen = d.job(i)["progress"]["schedule"]
    eq((seen["type"], seen["learning_rate"], seen["scale"]), ("reduce_on_plateau", PEAK, 0.125))
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "show", i], capture_output=True, text=True)
    has(shown.stdout, "peak 0.01, times 0.125 so far\n")


@case("a warm-up that is longer than the run is said in its events")
def _(d):
    i = finished(d, schedule={"type": "cosine", "warmup_steps": 5000})
    has(" ".join(d.events(i)), "the warm-up of 5,000 steps is longer than the run of 228")


run()
