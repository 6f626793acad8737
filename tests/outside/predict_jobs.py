#!/usr/bin/env python3
"""Jobs of kind predict and evaluate with the real trainer: a model that was trained here, used on data, killed again
and again, gives what it gives undisturbed, and what rekindle-train gives by itself."""
import json
import os
import random
import signal
import subprocess

from t import BUILD, case, csv, eq, has, limit, run, tiny, wait_for


def wide(d, name="wide", epochs=1, **more):
    """A network of which a sample takes a while."""
    job = tiny(d, name, epochs=epochs, **more)
    job["model"]["sizes"] = [4, 2000, 2000, 3]
    job["training"]["batch_size"] = 32
    job["training"]["optimizer"] = {"type": "sgd", "learning_rate": 0.01}
    job["resources"] = {"threads": 1, "memory": "1GiB"}
    job["checkpoint"] = {"every": {"epochs": 1}}
    return job


def trained(d, job=None):
    i = d.submit(job or tiny(d, "model", epochs=3))
    d.wait_state(i, "succeeded", seconds=180)
    return i


def predict(i, *inputs, name="p", **more):
    return {"name": name, "kind": "predict", "model": {"checkpoint": f"job://{i}/best"}, "data": {"inputs": list(inputs)},
            "resources": {"threads": 1}, **more}


def evaluate(at, source, name="e", **more):
    return {"name": name, "kind": "evaluate", "model": {"checkpoint": at}, "data": {"validation": source},
            "resources": {"threads": 1}, **more}


def lines(d, i):
    return d.get(f"/v1/jobs/{i}/predictions").text


def report(d, i):
    return d.get(f"/v1/jobs/{i}/report").json


def step(d, i):
    return d.job(i)["progress"].get("step", 0)


def best(d, i):
    """The folder that best means."""
    name = d.get(f"/v1/jobs/{i}/checkpoints/best").json["checkpoint"]
    return f"{d.state}/jobs/{i}/checkpoints/{name}"


def alone(d, i, *args, inputs=()):
    """What rekindle-train prints of that job."""
    r = subprocess.run([f"{BUILD}/rekindle-train", "--threads", "1", *args, f"{d.state}/jobs/{i}/job.json", *inputs],
                       capture_output=True, text=True, timeout=limit(120), cwd=d.root)
    eq(r.returncode, 0, r.stderr[-500:])
    return r.stdout


@case("killed twenty times, trainer and daemon, the predictions are those of a run that nothing interrupted", "stopped")
def _(d):
    d.start()
    i = trained(d, wide(d))
    files = [csv(f"{d.root}/many-{k}.csv", rows=4000, seed=k) for k in range(4)]
    calm = d.submit(predict(i, *files, name="calm"))
    d.wait_state(calm, "succeeded", seconds=300)
    want = lines(d, calm)
    eq(want.count("\n"), 16000, "lines")
    # A machine that has nothing else to do kills it again before it has got further.
    p = d.submit({**predict(i, *files), "retries": 100})
    r, kills = random.Random(14), 0
    while kills < 20 and d.job(p)["state"] != "succeeded":
        # Before anything is kept, or after some of it was.
        if r.random() < 0.3:
            was = step(d, p)
            wait_for(60, "it gets further", lambda: step(d, p) > was or d.job(p)["state"] == "succeeded")
        else:
            wait_for(60, "it runs", lambda: d.job(p)["state"] in ("running", "succeeded"))
        if kills % 3 == 2:
            d.kill()
            d.start()
        else:
            d.signal_trainers(signal.SIGKILL, p)
            wait_for(60, "another attempt", lambda: d.job(p)["state"] in ("running", "succeeded"))
        kills += 1
    d.wait_state(p, "succeeded", seconds=300)
    eq(kills, 20, "kills")
    assert lines(d, p) == want, "other predictions than undisturbed"
    a, b = report(d, calm), report(d, p)
    eq({**b, "name": ""}, {**a, "name": ""}, "report")
    assert d.job(p)["attempt"] > 5, d.job(p)["attempt"]


@case("paused, resumed and drained in its midst it gives the same", "stopped")
def _(d):
    d.start()
    i = trained(d, wide(d))
    file = csv(f"{d.root}/some.csv", rows=12000, seed=9)
    calm = d.submit(predict(i, file, name="calm"))
    d.wait_state(calm, "succeeded", seconds=180)
    p = d.submit(predict(i, file))
    wait_for(60, "some samples", lambda: step(d, p) > 100)
    d.post(f"/v1/jobs/{p}/pause", {}, want=202)
    at = d.wait_state(p, "paused")
    has(at["message"], "paused by a person at sample ")
    eq(lines(d, p).count("\n"), at["progress"]["step"], "lines at the pause")
    d.post(f"/v1/jobs/{p}/resume", {}, want=202)
    wait_for(60, "more", lambda: step(d, p) > at["progress"]["step"])
    eq(d.stop(), 0, "exit of the daemon")
    d.start()
    d.wait_state(p, "succeeded", seconds=180)
    assert lines(d, p) == lines(d, calm), "other predictions than undisturbed"


@case("predictions are those of rekindle-train --predict, and its own preprocessing and class names count")
def _(d):
    i = trained(d)
    file = csv(f"{d.root}/new.csv", rows=300, seed=5)
    p = d.submit(predict(i, file))
    d.wait_state(p, "succeeded")
    got = [json.loads(x) for x in lines(d, p).splitlines()]
    want = [json.loads(x) for x in alone(d, i, "--predict", best(d, i), inputs=[file]).splitlines()]
    eq(got, want, "predictions")
    r = report(d, p)
    eq((r["kind"], r["samples"], r["failed"]), ("predict", 300, 0), "report")
    eq(sum(c["samples"] for c in r["classes"]), 300, "samples by class")
    # Files that cannot be read are named, and the others predicted.
    with open(f"{d.root}/broken.csv", "w") as f:
        f.write("a,b\n1,2\n")
    q = d.submit(predict(i, file, f"{d.root}/broken.csv", name="q"))
    d.wait_state(q, "succeeded")
    r = report(d, q)
    eq((r["samples"], r["failed"], r["failed_inputs"][0]["input"]), (300, 1, f"{d.root}/broken.csv"), "report")
    # Names of another order of columns, and none of the labels.
    with open(f"{d.root}/turned.csv", "w") as f:
        f.write("d,c,b,a\n0.1,0.2,0.9,0.8\n")
    t = d.submit(predict(i, f"{d.root}/turned.csv", name="t"))
    d.wait_state(t, "succeeded")
    eq(json.loads(lines(d, t))["class"], 2, "class of a large sum")


@case("an evaluation's figures are those of rekindle-train --evaluate, with every class and the worst")
def _(d):
    i = trained(d)
    file = csv(f"{d.root}/new.csv", rows=400, seed=6)
    e = d.submit(evaluate(f"job://{i}/best", {"path": file}))
    d.wait_state(e, "succeeded")
    r = report(d, e)
    want = json.loads(alone(d, i, "--evaluate", best(d, i), "--data-set", f"path={file}", "--json"))
    eq((r["loss"], r["accuracy"], r["samples"]), (want["loss"], want["accuracy"], 400), "loss and accuracy")
    for k in ("metrics", "classes", "confusion", "calibration"):
        eq(r[k], want[k], k)
    eq(r["data"]["digest"], want["data"]["digest"], "digest of the data")
    got = [json.loads(x) for x in lines(d, e).splitlines()]
    eq(len(got), 400, "lines")
    wrong = [x["row"] for x in got if x["class"] != x["label"]]
    assert {w["row"] for w in r["worst"]} <= set(wrong), "samples among the worst that are right"
    eq([w["loss"] for w in r["worst"]], sorted((w["loss"] for w in r["worst"]), reverse=True), "losses of the worst")
    eq(d.job(e)["progress"]["metrics"]["val_accuracy"], want["accuracy"], "figure of the job")
    # A label that the model does not know.
    with open(f"{d.root}/odd.csv", "w") as f:
        f.write("a,b,c,d,class\n0.1,0.2,0.3,0.4,7\n")
    odd = d.submit(evaluate(f"job://{i}/best", {"path": f"{d.root}/odd.csv"}, name="odd"))
    d.wait_state(odd, "failed")
    has(d.job(odd)["message"], "7")


@case("a foreign file works with what it needs, and without preprocessing it is refused by a sentence")
def _(d):
    i = trained(d)
    foreign = f"{d.root}/foreign.safetensors"
    with open(f"{best(d, i)}/model.safetensors", "rb") as f, open(foreign, "wb") as to:
        to.write(f.read())
    job = predict(i, f"{d.root}/tiny.csv")
    job["model"] = {"checkpoint": foreign, "arch": "mlp", "sizes": [4, 32, 3]}
    job["data"]["train"] = {"type": "csv", "path": f"{d.root}/tiny.csv", "label": "class"}
    r = d.call("POST", "/v1/jobs", job)
    if r.status == 201:
        d.wait_state(r.json["id"], "failed")
        text = d.job(r.json["id"])["message"]
    else:
        text = r.text
    has(text, "data.input")
    job["data"]["input"] = d.job(d.submit({**predict(i, f"{d.root}/tiny.csv"), "hold": True}))["spec"]["data"]["input"]
    job["model"]["checkpoint_classes"] = ["low", "turned", "high"]
    p = d.submit(job)
    d.wait_state(p, "succeeded")
    q = d.submit(predict(i, f"{d.root}/tiny.csv", name="q"))
    d.wait_state(q, "succeeded")
    a, b = ([json.loads(x) for x in lines(d, j).splitlines()] for j in (p, q))
    eq([x["probability"] for x in a], [x["probability"] for x in b], "probabilities")
    eq({x["name"] for x in a} <= {"low", "turned", "high"}, True, "names")
    # Of another network.
    job["model"]["sizes"] = [4, 16, 3]
    o = d.submit(job)
    d.wait_state(o, "failed")
    has(d.job(o)["message"], "not of the job's network")


@case("two evaluations on the same data let the better one be promoted, and no other")
def _(d):
    # They held out other samples, so that their own figures say nothing.
    worse = tiny(d, "worse", epochs=1)
    worse["data"]["split_seed"] = 7
    good, bad = trained(d), trained(d, worse)
    for n, i in enumerate((bad, good), 1):
        d.post("/v1/models/tiny/versions", {"job": i, "checkpoint": "best"})
        wait_for(30, "it is registered", lambda: d.call("GET", f"/v1/models/tiny/versions/{n}").status == 200)
    d.post("/v1/models/tiny/aliases/production", {"version": 1}, want=200)
    d.post("/v1/models/tiny/aliases/candidate", {"version": 2}, want=200)

    def promote(**body):
        return d.post("/v1/models/tiny/aliases/production", {"from": "candidate", "if_better": "macro_f1", **body})
    r = promote()
    eq(r.status, 409, r.text)
    has(r.text, "rekindle evaluate")
    file = csv(f"{d.root}/same.csv", rows=400, seed=7)
    for n in (1, 2):
        e = d.submit(evaluate(f"model://tiny/{n}", {"path": file}, name=f"e{n}"))
        d.wait_state(e, "succeeded")
        wait_for(30, "it is told", lambda: "its figures are in the log" in " ".join(d.events(e)))
    r = promote()
    eq(r.status, 200, r.text)
    eq(r.json["version"], 2, "version in production")
    d.post("/v1/models/tiny/aliases/candidate", {"version": 1}, want=200)
    r = promote()
    eq(r.status, 409, r.text)
    has(r.text, "macro_f1")


run()
