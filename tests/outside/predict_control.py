#!/usr/bin/env python3
"""Jobs of kind predict and evaluate as the daemon sees them: queued, paused, killed, drained and moved like any
other, without checkpoints.  Their trainer here is one of our own, which takes as long for a sample as it is told;
predict_jobs.py has the real one."""
import json
import os
import signal
import subprocess
import time

import sharded
from hand_made import Versions, below, in_bucket, of_checkpoint
from mirrored import machines, machine, owner, vanish, written
from stub import No, Object
from t import BUILD, case, eq, has, limit, run, tiny, wait_for

# What stands in for rekindle-train where a job does not train: a line a sample, so many and so slow as its metadata
# says.
TRAINER = r'''#!/usr/bin/env python3
import fcntl, json, os, select, sys, time
args = sys.argv[1:]
job = json.load(open(args[-1])) if args[-1].endswith(".json") else {}
if "--wire" not in args or job.get("kind", "train") == "train":
    os.execv(os.environ["REKINDLE_TRAIN_REAL"], ["rekindle-train", *args])
at = lambda flag: args[args.index(flag) + 1]
os.chdir(at("--run-dir"))
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
say = lambda **v: os.write(3, (json.dumps(v) + "\n").encode())
n, pace = int(job["metadata"]["samples"]), int(job["metadata"]["ms"]) / 1000
f = open("predictions.jsonl", "a+b" if at("--from") != "none" else "w+b")
f.seek(0)
text = f.read()
done = text.count(b"\n")
f.truncate(text.rfind(b"\n") + 1)
f.seek(0, 2)
say(type="hello", version=1, pid=os.getpid(), producer="ours", step=done, steps_total=n)
while done < n:
    if select.select([3], [], [], pace)[0]:
        got = os.read(3, 65536)
        if not got:
            sys.exit(0)
        if b'"pause"' in got or b'"stop"' in got:
            say(type="done", outcome="paused", step=done)
            sys.exit(0)
        continue
    f.write(b'{"input": "x", "row": %d}\n{"half' % done)
    f.flush()
    f.truncate(f.tell() - 6)
    f.seek(0, 2)
    os.fsync(f.fileno())
    done += 1
    say(type="progress", step=done, epoch=0, samples_per_second=1 / pace)
report = {"kind": job["kind"], "samples": n, "data": {"digest": "d1", "source": "here"}, "metrics": {"accuracy": 0.5}}
with open(".report", "w") as r:
    json.dump(report, r)
os.rename(".report", "report.json")
say(type="done", outcome="succeeded", step=n)
'''


def begin(d, *flags):
    os.environ["REKINDLE_TRAIN_REAL"] = f"{BUILD}/rekindle-train"
    path = f"{d.root}/trainer.py"
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write(TRAINER)
        os.chmod(path, 0o755)
    d.start("--trainer", path, *flags)


def trained(d):
    """A job to take a model of."""
    i = d.submit(tiny(d, "model", epochs=1))
    d.wait_state(i, "succeeded")
    return i


def use(d, i, samples=20, ms=20, name="p", kind="predict", **more):
    data = {"inputs": [f"{d.root}/tiny.csv"]} if kind == "predict" else {"validation": {"path": f"{d.root}/tiny.csv"}}
    return {"name": name, "kind": kind, "model": {"checkpoint": f"job://{i}/best"}, "data": data,
            "metadata": {"samples": samples, "ms": ms}, **more}


def step(d, i):
    return d.job(i)["progress"].get("step", 0)


def lines(d, i):
    return [json.loads(x) for x in d.get(f"/v1/jobs/{i}/predictions").text.splitlines()]


def whole(d, i, n):
    eq([x["row"] for x in lines(d, i)], list(range(n)), "rows")


@case("what is known of the model is laid under the job, whose stored form is complete", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    spec, p = d.job(i)["spec"], d.submit(use(d, i))
    job = d.job(p)
    eq(job["kind"], "predict", "kind")
    eq(d.job(i)["kind"], "train", "kind of what trains")
    s = job["spec"]
    eq((s["model"]["arch"], s["model"]["sizes"]), ("mlp", [4, 32, 3]), "network")
    eq(s["data"]["train"]["label"], "class", "form of the data")
    eq(s["data"]["input"]["columns"], ["a", "b", "c", "d"], "columns")
    eq(len(s["data"]["input"]["normalize"]["scale"]), 4, "normalisation")
    eq(s["training"]["batch_size"], spec["training"]["batch_size"], "batch")
    assert "checkpoint" not in s, s
    eq(s["model"]["checkpoint"], f"job://{i}/best", "model")
    d.wait_state(p, "succeeded")
    # A name stands for the job, and what is said counts before what is known.
    named = use(d, "model", name="q")
    named["training"] = {"batch_size": 3}
    q = d.submit(named)
    eq(d.job(q)["spec"]["model"]["checkpoint"], f"job://{i}/best", "model by the job's name")
    eq(d.job(q)["spec"]["training"]["batch_size"], 3, "batch that was said")
    # A checkpoint's folder tells the same.
    folder = use(d, i, name="f")
    at = f"{d.state}/jobs/{i}/checkpoints"
    folder["model"]["checkpoint"] = f"{at}/{sorted(x for x in os.listdir(at) if x.startswith('step-'))[-1]}"
    f = d.submit(folder)
    eq(d.job(f)["spec"]["data"]["input"], s["data"]["input"], "input by the folder")
    eq(d.job(f)["spec"]["model"]["arch"], "mlp", "network by the folder")


@case("a model of which nothing is known is refused with what to give, and works when it is given", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    at = f"{d.state}/jobs/{i}/checkpoints"
    weights = f"{at}/{sorted(x for x in os.listdir(at) if x.startswith('step-'))[-1]}/model.safetensors"
    with open(weights, "rb") as f, open(f"{d.root}/foreign.safetensors", "wb") as to:
        to.write(f.read())
    job = use(d, i)
    job["model"]["checkpoint"] = f"{d.root}/foreign.safetensors"
    r = d.post("/v1/jobs", job, want=422).json
    eq([e["path"] for e in r["errors"]], ["model.arch"], "faults")
    for word in ("foreign.safetensors", "model.arch", "model.layers", "data.normalize", "checkpoint_classes"):
        has(r["detail"], word)
    job["model"].update(arch="mlp", sizes=[4, 32, 3], checkpoint_classes=["x", "y", "z"])
    job["data"]["train"] = {"type": "csv", "path": f"{d.root}/tiny.csv", "label": "class"}
    job["data"]["normalize"] = "none"
    d.wait_state(d.submit(job), "succeeded")


@case("bad requests are refused with a sentence each", "stopped")
def _(d):
    begin(d)
    i = trained(d)

    def no(path, job, *words, status=422):
        r = d.post("/v1/jobs", job, want=status)
        for w in words:
            has(r.text, w)
        if path:
            has([e["path"] for e in r.json["errors"]], path)
    no("data.inputs", {**use(d, i), "data": {}}, "is missing")
    no("data.inputs", {**use(d, i), "data": {"inputs": []}}, "1 to 64")
    no("data.inputs[0]", {**use(d, i), "data": {"inputs": [f"{d.root}/no.csv"]}}, "no.csv")
    no("data.inputs[0]", {**use(d, i), "data": {"inputs": ["tiny.csv"]}}, "tiny.csv")
    no("model.checkpoint", {**use(d, i), "model": {}}, "is missing")
    no("model.checkpoint", use(d, "nobody"), 'no job')
    no("kind", {**use(d, i), "kind": "guess"}, "predict")
    no("data.inputs", {**tiny(d), "data": {**tiny(d)["data"], "inputs": [f"{d.root}/tiny.csv"]}}, "kind predict")
    empty = d.submit(tiny(d, "empty", hold=True))
    no("model.checkpoint", use(d, empty), "no checkpoint yet")
    other = use(d, i)
    other["model"]["checkpoint"] = f"job://{i}/step:123456"
    no("model.checkpoint", other, "123456")


@case("killed again and again, trainer and daemon, it goes on at the sample where it was", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    p = d.submit(use(d, i, samples=60))
    for k in range(8):
        was = step(d, p)
        wait_for(30, "it gets further", lambda: step(d, p) > was + 2)
        if k % 2:
            d.signal_trainers(signal.SIGKILL, p)
            wait_for(30, "the next attempt", lambda: d.job(p)["attempt"] > k // 2 + 1 or step(d, p) >= 60)
        else:
            d.kill()
            begin(d)
    d.wait_state(p, "succeeded")
    whole(d, p, 60)
    job = d.job(p)
    eq((job["failures"], job["message"], job["newest_known"]), (0, "60 samples are done", None), "at its end")
    has(" ".join(d.events(p)), "goes on at sample ")
    has(" ".join(d.events(p)), "signal 9 after sample ")
    assert job["attempt"] > 5, job["attempt"]


@case("one that gets no further fails after its retries, and goes on when it is tried again", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    job = use(d, i, samples=1, ms="never", retries=2)
    p = d.submit(job)
    d.wait_state(p, "failed")
    has(d.job(p)["message"], "3 in a row without a new sample, and retries is 2")
    r = d.call("POST", f"/v1/jobs/{p}/resume", {"from": "none", "overrides": {"metadata": {"ms": 10}}})
    eq(r.status, 202, r.text)
    d.wait_state(p, "succeeded")
    whole(d, p, 1)


@case("pause, resume, cancel, retry, priority and drain are as for any job", "stopped")
def _(d):
    begin(d, "--threads", "1")
    i = trained(d)
    p = d.submit(use(d, i, samples=100, resources={"threads": 1}))
    wait_for(30, "some samples", lambda: step(d, p) > 3)
    d.post(f"/v1/jobs/{p}/pause", {}, want=202)
    at = d.wait_state(p, "paused")
    has(at["message"], "paused by a person at sample ")
    n = len(lines(d, p))
    eq(at["progress"]["step"], n, "samples that are done")
    d.post(f"/v1/jobs/{p}/resume", {}, want=202)
    wait_for(30, "more of them", lambda: step(d, p) > n)
    # One of higher priority has its turn, and it goes on by itself.
    urgent = d.submit(use(d, i, samples=5, name="urgent", priority=5, resources={"threads": 1}))
    d.wait_state(urgent, "succeeded")
    d.wait_state(p, "running", "starting")
    has(" ".join(d.events(p)), "for a job of higher priority")
    d.post(f"/v1/jobs/{p}/cancel", {}, want=202)
    d.wait_state(p, "cancelled")
    n = len(lines(d, p))
    assert 0 < n < 100, n
    d.post(f"/v1/jobs/{p}/retry", {}, want=202)
    wait_for(30, "more of them", lambda: step(d, p) > n)
    d.post("/v1/drain", {"deadline_seconds": 20}, want=202)
    wait_for(30, "it is drained", lambda: d.job(p)["state"] == "queued")
    has(d.job(p)["message"], "goes on from sample ")
    eq(d.stop(), 0, "exit of the daemon")
    begin(d, "--threads", "1")
    d.wait_state(p, "succeeded")
    whole(d, p, 100)


@case("what asks for a checkpoint of it is refused, and says why", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    p = d.submit(use(d, i, samples=10000))
    wait_for(30, "some samples", lambda: step(d, p) > 2)
    has(d.post(f"/v1/jobs/{p}/checkpoints", {}, want=409).text, "is of kind predict: it has no checkpoints")
    eq(d.get(f"/v1/jobs/{p}/checkpoints").json["checkpoints"], [], "its checkpoints")
    r = d.call("PATCH", f"/v1/jobs/{p}", {"checkpoint": {"keep": {"last": 2}}})
    eq(r.status, 409, r.text)
    has(r.text, "has no checkpoints")
    eq(d.call("PATCH", f"/v1/jobs/{p}", {"priority": 3, "labels": {"a": "b"}}).status, 200, "a change of others")
    d.post(f"/v1/jobs/{p}/pause", {}, want=202)
    d.wait_state(p, "paused")
    for bad in ("best", "step:3"):
        has(d.post(f"/v1/jobs/{p}/resume", {"from": bad}, want=422).text, "at the sample where it was")
    has(d.post(f"/v1/jobs/{p}/resume", {"overrides": {"data": {"inputs": ["/x"]}}}, want=422).text,
        "the predictions so far are of these")
    begun = d.job(p)["progress"]["step"]
    d.post(f"/v1/jobs/{p}/resume", {"from": "none"}, want=202)
    wait_for(30, "it begins anew", lambda: 0 < step(d, p) < begun or d.job(p)["attempt"] > 1)
    wait_for(30, "from the first", lambda: d.job(p)["state"] == "running" and step(d, p) > 1)
    eq(lines(d, p)[0]["row"], 0, "first row")
    d.post(f"/v1/jobs/{p}/cancel", {}, want=202)
    d.wait_state(p, "cancelled")


@case("predictions are read while it runs, by parts, and have a name when it has ended", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    held = d.submit({**use(d, i), "hold": True})
    for what in ("predictions", "report"):
        has(d.get(f"/v1/jobs/{held}/{what}", want=404).text, "is held, and has no")
        has(d.get(f"/v1/jobs/{i}/{what}", want=404).text, "is of kind train")
        d.get(f"/v1/jobs/{'0' * 26}/{what}", want=404)
    p = d.submit(use(d, i, samples=60))
    wait_for(30, "some samples", lambda: step(d, p) > 3)
    seen = 0
    while d.job(p)["state"] == "running":
        r = d.get(f"/v1/jobs/{p}/predictions")
        assert r.text.endswith("\n"), r.text[-50:]
        if "ETag" in r.headers:     # it has ended since
            assert d.job(p)["state"] != "running", r.headers
            break
        eq([json.loads(x)["row"] for x in r.text.splitlines()], list(range(r.text.count("\n"))), "rows so far")
        assert r.text.count("\n") >= seen, "fewer than before"
        seen = r.text.count("\n")
    d.wait_state(p, "succeeded")
    r = d.get(f"/v1/jobs/{p}/predictions")
    eq(r.headers["Content-Type"], "application/x-ndjson", "type")
    whole(d, p, 60)
    tag = r.headers["ETag"]
    d.get(f"/v1/jobs/{p}/predictions", want=304, headers={"If-None-Match": tag})
    part = d.get(f"/v1/jobs/{p}/predictions", want=206, headers={"Range": "bytes=5-20"})
    eq(part.body, r.body[5:21], "a part")
    d.get(f"/v1/jobs/{p}/predictions", want=416, headers={"Range": "bytes=999999-"})
    eq(d.get(f"/v1/jobs/{p}/report").json["samples"], 60, "report")


def rk(d, *args, **kw):
    return subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True, cwd=d.root,
                          timeout=limit(60), **kw)


@case("rekindle predict and evaluate queue it, wait for it, and say what it found", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    pace = ("--set", "metadata.samples=7", "--set", "metadata.ms=10")
    r = rk(d, "predict", f"job://{i}/best", "tiny.csv", *pace)
    eq(r.returncode, 0, r.stderr)
    p = r.stdout.split()[0]
    has(r.stdout, f"predict-{i}-best")
    eq(d.job(p)["spec"]["data"]["inputs"], [f"{os.path.realpath(d.root)}/tiny.csv"], "absolute path")
    d.wait_state(p, "succeeded")
    r = rk(d, "predict", f"job://{i}/best", "tiny.csv", "-o", "out.jsonl", "--name", "mine", *pace)
    eq(r.returncode, 0, r.stderr)
    has(r.stdout, "7 samples")
    has(r.stdout, "out.jsonl")
    with open(f"{d.root}/out.jsonl") as f:
        eq(len(f.readlines()), 7, "lines written")
    r = rk(d, "predict", f"job://{i}/best", "tiny.csv", "-o", "-", *pace)
    eq((r.returncode, len([json.loads(x) for x in r.stdout.splitlines()])), (0, 7), "lines on standard output")
    r = rk(d, "predict", f"job://{i}/best", "tiny.csv", "--watch", "--json", *pace)
    eq((r.returncode, json.loads(r.stdout)["samples"]), (0, 7), "report on standard output")
    has(r.stderr, "succeeded")
    r = rk(d, "evaluate", f"job://{i}/best", "tiny.csv", "--watch", *pace)
    eq(r.returncode, 0, r.stderr)
    has(r.stdout, "accuracy")
    r = rk(d, "predict", f"job://{i}/best", "tiny.csv", "--watch", "--set", "metadata.ms=never",
           "--set", "metadata.samples=1", "--set", "retries=0")
    eq(r.returncode, 5, r.stderr)
    r = rk(d, "predict", f"job://{i}/best", "no-such.csv")
    eq(r.returncode, 1, r.stdout)
    has(r.stderr, "no-such.csv")
    eq(rk(d, "predict", f"job://{i}/best").returncode, 2, "exit without data")
    has(rk(d, "predict", "--help").stdout, "MODEL is model://NAME@ALIAS")
    out = rk(d, "list").stdout
    has(out.splitlines()[0], "KIND")
    for word in ("predict", "evaluate", "train"):
        has(out, word)
    has(rk(d, "show", p).stdout, "kind         predict")


# --- versions ------------------------------------------------------------------------------

def version(d, i, put, name="tiny", **more):
    """What a job has made, as version 1 of a model, in production."""
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    with open(f"{step}/checkpoint.json") as f:
        c = json.load(f)
    v = Versions(put)
    v.add(name, of_checkpoint(step), **{"spec": d.job(i)["spec"], "input": c["input"], "classes": c.get("classes"),
                                        **more})
    v.alias(name, "production", 1)
    return v


def evaluated(d, name="tiny"):
    return [e for e in d.get(f"/v1/models/{name}/history").json["entries"] if e["event"] == "evaluated"]


def told(d, i):
    wait_for(30, "an event says that it is told", lambda: "its figures are in the log of model" in " ".join(d.events(i)))


@case("of a version its record is laid under the job, and what an evaluation found is in the model's log once", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    version(d, i, below(f"{d.state}/models"))
    p = use(d, i)
    p["model"]["checkpoint"] = "model://tiny@production"
    r = rk(d, "predict", "tiny@production", "tiny.csv", "--set", "metadata.samples=3", "--set", "metadata.ms=10")
    eq(r.returncode, 0, r.stderr)
    p = d.job(r.stdout.split()[0])
    has(p["name"], "predict-tiny-production")
    eq(p["said"], {"model.checkpoint": "model://tiny@production"}, "what was said")
    has(p["spec"]["model"]["checkpoint"], "model://tiny/1#sha256=")
    eq((p["spec"]["model"]["arch"], p["spec"]["data"]["input"]["columns"]), ("mlp", ["a", "b", "c", "d"]), "laid under")
    d.wait_state(p["id"], "succeeded")
    e = use(d, i, samples=3, ms=10, name="e", kind="evaluate")
    e["model"]["checkpoint"] = "model://tiny@production"
    e["metadata"]["author"] = "ana"
    e = d.submit(e)
    d.wait_state(e, "succeeded")
    told(d, e)
    one, = evaluated(d)
    eq((one["version"], one["job"], one["by"], one["metrics"]), (1, e, "ana", {"accuracy": 0.5}), "entry")
    eq(one["data"], {"digest": "d1", "source": f"{d.root}/tiny.csv"}, "what it was measured on")
    d.kill()
    begin(d)
    time.sleep(0.5)
    eq(len(evaluated(d)), 1, "entries after another start")
    eq(len([x for x in d.events(e) if "its figures" in x]), 1, "events")
    # One of a job is of no model.
    f = d.submit(use(d, i, samples=3, ms=10, name="f", kind="evaluate"))
    d.wait_state(f, "succeeded")


@case("a version of a foreign file is refused with what to give, one that is not there with what there is", "stopped")
def _(d):
    begin(d)
    i = trained(d)
    v = version(d, i, below(f"{d.state}/models"), spec=None, input=None, classes=None)

    def no(at, *words):
        job = use(d, i)
        job["model"]["checkpoint"] = at
        r = d.post("/v1/jobs", job, want=422)
        for w in words:
            has(r.text, w)
    no("model://tiny@production", "model.arch", "nothing is known of model://tiny/1")
    no("model://tiny/7", "tiny")
    no("model://nobody@production", "nobody")
    no("model://tiny@candidate", "candidate")
    job = use(d, i)
    job["model"].update(checkpoint="model://tiny/1", arch="mlp", sizes=[4, 32, 3])
    job["data"].update(train={"type": "csv", "path": f"{d.root}/tiny.csv", "label": "class"}, normalize="none")
    d.wait_state(d.submit(job), "succeeded")
    # Deleted by somebody else while the job waits.
    job["hold"] = True
    held = d.submit(job)
    v.delete("tiny", 1)
    subprocess.run(["rm", "-r", f"{d.state}/models/{v.folder('tiny', 1)}"], check=True)
    subprocess.run(["rm", "-r", f"{d.state}/cache"], check=True)
    d.kill()
    begin(d)
    d.post(f"/v1/jobs/{held}/start", {}, want=202)
    d.wait_state(held, "failed", seconds=90)
    has(d.job(held)["message"], "cannot fetch model://tiny/1")


@machines("figures of an evaluation reach the log when the store answers again, also by the machine after it")
def _(d, st):
    a = moving(d, st, "a")
    i = trained(a)
    version(a, i, in_bucket(st))
    shut = [True]

    def before(seen):
        if shut[0] and "/models/tiny/log/" in seen.target and seen.method == "PUT":
            raise No(503, "SlowDown")
    st.before = before
    e = use(a, i, samples=3, ms=10, name="e", kind="evaluate")
    e["model"]["checkpoint"] = "model://tiny@production"
    e = a.submit(e)
    a.wait_state(e, "succeeded")
    wait_for(30, "its results are there", lambda: "results" in a.job(e)["progress"])
    written(a)
    vanish(a)
    b = moving(d, st, "b")
    time.sleep(1)
    eq(evaluated(b), [], "entries while the store refuses them")
    shut[0] = False
    told(b, e)
    eq([x["job"] for x in evaluated(b)], [e], "entries")


# --- other machines -----------------------------------------------------------------------

def moving(d, st, name, **more):
    """A machine whose trainer is ours."""
    os.makedirs(f"{d.root}/{name}", exist_ok=True)
    os.environ["REKINDLE_TRAIN_REAL"] = f"{BUILD}/rekindle-train"
    with open(f"{d.root}/{name}/trainer.py", "w") as f:
        f.write(TRAINER)
    os.chmod(f"{d.root}/{name}/trainer.py", 0o755)
    return machine(d, st, name, flags=("--trainer", f"{d.root}/{name}/trainer.py"), **more)


def kept(st, p):
    return sorted(k for k in st.buckets["b"] if f"jobs/{p}/results/" in k)


@machines("results are in the bucket when it has succeeded, and read on the machine after it; deleted they are gone")
def _(d, st):
    a = moving(d, st, "a")
    i = trained(a)
    p = a.submit(use(a, i, samples=9))
    e = a.submit(use(a, i, samples=4, name="e", kind="evaluate"))
    for job in (p, e):
        a.wait_state(job, "succeeded")
    wait_for(30, "their results are there", lambda: "results" in a.job(p)["progress"] and
             "results" in a.job(e)["progress"])
    eq([k.rpartition("/")[2] for k in kept(st, p)], ["predictions.jsonl", "report.json"], "objects")
    has(" ".join(a.events(p)), "its results are at s3://b/team/jobs/")
    written(a)
    want = a.get(f"/v1/jobs/{p}/predictions").text
    vanish(a)
    b = moving(d, st, "b")
    eq(b.job(p)["state"], "succeeded", "state on the next machine")
    eq(b.get(f"/v1/jobs/{p}/predictions").text, want, "predictions on the next machine")
    eq(b.get(f"/v1/jobs/{e}/report").json["samples"], 4, "report on the next machine")
    assert not os.path.exists(f"{b.state}/jobs/{e}/.rk-tmp-results"), os.listdir(f"{b.state}/jobs/{e}")
    eq(b.job(p)["attempt"], 1, "attempts")
    eq(b.call("DELETE", f"/v1/jobs/{p}").status, 204, "deletion")
    wait_for(30, "its objects are gone", lambda: not kept(st, p))
    assert kept(st, e), "those of the other"


@machines("a job whose results never got to the bucket is done again by the next machine")
def _(d, st):
    a = moving(d, st, "a")
    i = trained(a)
    written(a)
    wait_for(30, "the model is there", lambda: a.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0][
        "durability"]["state"] == "verified")
    broken = [True]

    def before(seen):
        if broken[0] and "/results/" in seen.target and seen.method in ("PUT", "POST"):
            raise No(503, "SlowDown")
    st.before = before
    p = a.submit(use(a, i, samples=9))
    half = a.submit(use(a, i, samples=100000, name="half"))
    a.wait_state(p, "succeeded")
    wait_for(30, "some of the other", lambda: step(a, half) > 3)
    wait_for(30, "it is told", lambda: "its results stay here for now" in " ".join(a.events(p)))
    written(a)
    want = a.get(f"/v1/jobs/{p}/predictions").text
    vanish(a)
    broken[0] = False
    b = moving(d, st, "b")
    b.wait_state(p, "succeeded")
    eq(b.job(p)["attempt"], 2, "attempts")
    eq(b.get(f"/v1/jobs/{p}/predictions").text, want, "predictions, done again")
    wait_for(30, "the other begins anew", lambda: b.job(half)["state"] == "running" and step(b, half) > 1)
    eq(lines(b, half)[0]["row"], 0, "its first row")
    wait_for(30, "its results are there", lambda: kept(st, p))


@machines("a store that is away makes nothing of it late but the sending, which goes on after a kill")
def _(d, st):
    a = moving(d, st, "a")
    i = trained(a)
    broken = [True]

    def before(seen):
        if broken[0] and "/results/" in seen.target and seen.method in ("PUT", "POST"):
            raise No(503, "SlowDown")
    st.before = before
    p = a.submit(use(a, i, samples=9))
    a.wait_state(p, "succeeded")
    wait_for(30, "it is told", lambda: "its results stay here for now" in " ".join(a.events(p)))
    a.kill()
    broken[0] = False
    b = moving(d, st, "a")
    wait_for(30, "its results are there", lambda: "results" in b.job(p)["progress"])
    eq(b.job(p)["attempt"], 1, "attempts")
    eq(len(kept(st, p)), 2, "objects")


@machines("a record that says that results lie elsewhere is not believed")
def _(d, st):
    a = moving(d, st, "a")
    i = trained(a)
    p = a.submit(use(a, i, samples=3, ms=10))
    a.wait_state(p, "succeeded")
    wait_for(30, "its results are there", lambda: "results" in a.job(p)["progress"])
    written(a)
    vanish(a)
    at, elsewhere = f"team/jobs/{p}/results/e1-a1/", f"team/jobs/{i}/results/e1-a1/"
    for name in ("predictions.jsonl", "report.json"):
        st.buckets["b"][elsewhere + name] = st.buckets["b"].pop(at + name)
    n = 0
    for key, o in st.buckets["b"].items():
        if "/instances/" in key and at.encode() in o.body:
            n += 1
            st.buckets["b"][key] = Object(o.body.replace(at.encode(), elsewhere.encode()), "0" * 32, 0, {})
    assert n > 0, "no record says where the results are"
    b = moving(d, st, "b")
    has(b.get(f"/v1/jobs/{p}/predictions", want=404).text, "has no results here, nor in a bucket")
    eq(b.call("DELETE", f"/v1/jobs/{p}").status, 204, "deletion")
    time.sleep(1)
    assert elsewhere + "report.json" in st.buckets["b"], "another job's object"


run()
