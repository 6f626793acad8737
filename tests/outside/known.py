#!/usr/bin/env python3
"""What a job has known is not lost without a word: its checkpoints are gone, or
its data have changed, and it waits and says so."""
import glob
import hashlib
import os
import re
import shutil
import subprocess

from t import BUILD, case, csv, eq, has, run, tiny, wait_for


def cli(d, *args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True)
    eq(r.returncode, want, f"exit of rekindle {' '.join(args)}: {r.stdout}{r.stderr}")
    return r.stdout + r.stderr


def long_job(d, path, **more):
    # Long enough to be paused, short enough to be finished.
    return tiny(d, epochs=400, data={"train": {"type": "csv", "path": path, "label": "class"}}, **more)


def paused(d, i):
    wait_for(60, "a checkpoint", lambda: d.job(i)["newest_known"])
    d.post(f"/v1/jobs/{i}/pause", want=202)
    return d.wait_state(i, "paused")


def waits(d, i, reason):
    wait_for(60, f"it waits: {reason}", lambda: (d.job(i)["state"], d.job(i)["reason"]) == ("paused", reason))
    return d.job(i)


def metric(d, name):
    return float(re.search(rf"^{name} (\S+)$", d.get("/metrics").text, re.M).group(1))


def event(d, i, kind, **data):
    found = [e for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"]
             if e["kind"] == kind and data.items() <= (e["data"] or {}).items()]
    assert found, f"no event {kind} {data}"
    return found[-1]


def weights(d, i):
    last = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))[-1]
    return os.path.basename(last), hashlib.sha256(open(f"{last}/model.safetensors", "rb").read()).hexdigest()


def change(path, line=5):
    """One digit of one row."""
    rows = open(path).read().split("\n")
    rows[line] = ("0.1234" if not rows[line].startswith("0.1234") else "0.4321") + rows[line][6:]
    with open(path, "w") as f:
        f.write("\n".join(rows))


@case("data that changed while a job was paused make it wait, with both digests, until a person accepts them")
def _(d):
    path = csv(f"{d.root}/own.csv")
    i = d.submit(long_job(d, path))
    was = paused(d, i)
    change(path)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    j = waits(d, i, "data_changed")
    eq((j["desired"], j["failures"]), ("run", 0))
    eq(j["progress"]["step"], was["newest_known"]["step"], "the step it is at")
    e = event(d, i, "state", reason="data_changed")
    digests = [e["data"][k]["train"]["digest"] for k in ("was", "is")]
    assert digests[0] != digests[1]
    for text in (j["message"], e["message"], cli(d, "show", i)):
        for part in [*digests, f"rekindle resume {i} --accept data", "1,000 samples of 4 then"]:
            has(text, part)
    has(cli(d, "list"), "paused (data_changed)")
    # not by itself, not by a plain resume, not by a word nobody knows
    d.post(f"/v1/jobs/{i}/resume", want=202)
    waits(d, i, "data_changed")
    for body, where in (({"accept": ["weather"]}, "accept[0]"), ({"accept": "data"}, "accept"),
                        ({"accept": ["data", 7]}, "accept[1]")):
        r = d.post(f"/v1/jobs/{i}/resume", body, want=422)
        eq(r.json["errors"][0]["path"], where)
    has(cli(d, "resume", i, "--accept", "weather", want=1), "accept[0]")
    cli(d, "resume", i, "--accept", "data")
    eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded")
    has("\n".join(d.events(i)), "which was accepted: the training data")
    j = d.job(i)
    eq((j["exact"], j["inexact"]["reason"]), (False, "data_changed"), "exactness")
    has(j["inexact"]["message"], f"since {was['newest_known']['checkpoint']} was taken")


@case("data that were put back are gone on with by a plain resume, and end with the bytes of an undisturbed run")
def _(d):
    path = csv(f"{d.root}/own.csv")
    whole = d.submit(long_job(d, path))
    i = d.submit(long_job(d, path))
    paused(d, i)
    shutil.copy(path, f"{d.root}/kept.csv")
    change(path)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    waits(d, i, "data_changed")
    os.rename(f"{d.root}/kept.csv", path)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    for k in (i, whole):
        eq(d.wait_state(k, "succeeded", "failed")["state"], "succeeded")
    eq(weights(d, i), weights(d, whole))


@case("data that moved to another path are the same data, and others under a new path are not")
def _(d):
    path = csv(f"{d.root}/own.csv")
    i = d.submit(long_job(d, path))
    paused(d, i)
    there = f"{d.root}/moved.csv"
    os.rename(path, there)

    def resume(to, **more):
        return d.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"train": {"path": to}}}, **more})
    r = resume(f"{d.root}/nowhere.csv")
    eq((r.status, r.json["errors"][0]["path"]), (422, "overrides.data.train.path"))
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"normalize": "none"}}}, want=422)
    eq(r.json["errors"][0]["path"], "overrides.data.normalize.type")
    eq(resume(there).status, 202)
    d.wait_state(i, "running", "succeeded")
    has("\n".join(d.events(i)), "the data have other paths")
    paused(d, i)
    eq(resume(csv(f"{d.root}/other.csv", seed=2)).status, 202)
    waits(d, i, "data_changed")
    eq(resume(there).status, 202)
    eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded")


@case("a job whose folder is moved away while it runs waits, and back it ends with the bytes of an undisturbed run")
def _(d):
    path = csv(f"{d.root}/own.csv")
    whole = d.submit(long_job(d, path))
    i = d.submit(long_job(d, path))
    folder, away = f"{d.state}/jobs/{i}", f"{d.root}/away"
    wait_for(60, "a checkpoint", lambda: d.job(i)["newest_known"])
    os.rename(folder, away)
    j = waits(d, i, "checkpoints_missing")
    eq((j["desired"], j["failures"]), ("run", 0))
    step = j["newest_known"]["step"]
    has(j["message"], f"the newest that it has had was {j['newest_known']['checkpoint']} (step {step:,}")
    has(cli(d, "list"), "paused (checkpoints_missing)")
    has(cli(d, "show", i), f"newest known {j['newest_known']['checkpoint']}, step {step},")
    eq(metric(d, "rekindle_jobs_checkpoints_missing"), 1)
    assert not os.path.exists(folder), "something was made where the folder was"
    for one in ("best", "step:50", "before"):
        r = d.post(f"/v1/jobs/{i}/resume", {"from": one}, want=422).json["errors"][0]
        eq(r["path"], "from")
        for part in (f'is "{one}"', f"had was {j['newest_known']['checkpoint']}", "latest waits", "none begins anew"):
            has(r["message"], part)
    has(d.post(f"/v1/jobs/{i}/checkpoints", {"name": "now"}, want=409).text, "its checkpoints are gone")
    # resume and a new daemon do not begin anew either
    d.post(f"/v1/jobs/{i}/resume", {"from": "latest"}, want=202)
    waits(d, i, "checkpoints_missing")
    d.stop()
    d.start()
    waits(d, i, "checkpoints_missing")
    eq(metric(d, "rekindle_jobs_checkpoints_missing"), 1)
    os.rename(away, folder)
    for k in (i, whole):
        eq(d.wait_state(k, "succeeded", "failed")["state"], "succeeded")
    assert "runs from the start" not in "\n".join(d.events(i)[2:]).split("attempt 1", 1)[1].split("\n", 1)[1]
    eq(weights(d, i), weights(d, whole))
    eq(metric(d, "rekindle_jobs_checkpoints_missing"), 0)


@case("with all checkpoints damaged a job waits, with one repaired it goes on, and says how many steps are lost")
def _(d):
    i = d.submit(long_job(d, csv(f"{d.root}/own.csv")))
    wait_for(60, "two checkpoints", lambda: (d.job(i)["newest_known"] or {"step": 0})["step"] >= 100)
    newest = paused(d, i)["newest_known"]
    here = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))
    assert len(here) > 1
    shutil.copytree(here[0], f"{d.root}/kept")
    for at in here:
        with open(f"{at}/model.safetensors", "r+b") as f:
            f.seek(-1, 2)
            f.write(b"\xff")
    d.post(f"/v1/jobs/{i}/retry", want=409)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    j = waits(d, i, "checkpoints_missing")
    has(j["message"], f"bad-{os.path.basename(here[-1])} is set aside")
    eq(j["newest_known"], newest)
    os.rename(f"{d.root}/kept", here[0])
    d.post(f"/v1/jobs/{i}/resume", want=202)
    d.wait_state(i, "running", "succeeded")
    lost = newest["step"] - int(os.path.basename(here[0])[5:])
    eq(d.job(i)["lost_steps"], lost)
    eq(event(d, i, "steps_lost")["data"]["lost_steps"], lost)
    eq(metric(d, "rekindle_lost_steps_total"), lost)
    has(cli(d, "show", i), f"lost         {lost} steps")


@case("a resume that would make the learning rate leap is refused while the checkpoints are gone, too")
def _(d):
    job = long_job(d, csv(f"{d.root}/own.csv"))
    job["training"].update(epochs=6, schedule={"type": "cosine"})
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    os.rename(f"{d.state}/jobs/{i}/checkpoints", f"{d.root}/away")
    longer = {"epochs": 12}
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": longer}}, want=422).json["errors"][0]
    eq(r["path"], "overrides.training.epochs")
    has(r["message"], "leap")
    longer["schedule"] = {"on_resume": "keep"}
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": longer}}, want=202)
    waits(d, i, "checkpoints_missing")
    os.rename(f"{d.root}/away", f"{d.state}/jobs/{i}/checkpoints")
    d.wait_state(i, "succeeded")
    has("\n".join(d.events(i)), "by keep")
    warm = {**job, "name": "warm", "model": {**job["model"], "checkpoint": f"job://{i}/latest"}}
    os.rename(f"{d.state}/jobs/{i}/checkpoints", f"{d.root}/away")
    has(d.post("/v1/jobs", warm, want=422).text, "its checkpoints are gone")


def in_the_bucket(d, i):
    return {os.path.basename(os.path.dirname(p)) for p in glob.glob(f"{d.root}/bucket/**/{i}/**/checkpoint.json",
                                                                    recursive=True)}


@case("checkpoints that are gone here and missing in the bucket are gone on from when the bucket has them again")
def _(d):
    os.mkdir(f"{d.root}/bucket")
    path = csv(f"{d.root}/own.csv")
    whole = d.submit(long_job(d, path))
    push = {"push": f"file://{d.root}/bucket/", "every": {"steps": 50}}
    i = d.submit(long_job(d, path, checkpoint=push))
    newest = paused(d, i)["newest_known"]["checkpoint"]
    wait_for(30, "the newest is in the bucket", lambda: newest in in_the_bucket(d, i))
    wait_for(30, "nothing is on its way", lambda: {c["durability"]["state"] for c in d.get(
        f"/v1/jobs/{i}/checkpoints").json["checkpoints"]} <= {"verified", "local"})
    shutil.rmtree(f"{d.state}/jobs/{i}")
    os.rename(f"{d.root}/bucket", f"{d.root}/away")
    os.mkdir(f"{d.root}/bucket")
    d.post(f"/v1/jobs/{i}/resume", want=202)
    waits(d, i, "checkpoints_missing")
    shutil.rmtree(f"{d.root}/bucket")
    os.rename(f"{d.root}/away", f"{d.root}/bucket")
    for k in (i, whole):
        eq(d.wait_state(k, "succeeded", "failed")["state"], "succeeded")
    eq(len([e for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == "cold_start"]), 1,
       "cold starts")
    event(d, i, "remote_again")
    eq(weights(d, i), weights(d, whole))


run()
