#!/usr/bin/env python3
"""The job that users write first: somebody's weights in a bucket, the number of classes, `resume_from: latest`, and
nothing that has a default; and what may be meant of a file that is an archive."""
import gzip
import os
import shutil
import signal

import bucket
from buckets import first_job, object_store
from t import Daemon, case, eq, has, run, wait_for
from warm_files import sample, sha, tar_of


def stored(sentence):
    """A case with an object store and a daemon that knows it."""
    def add(fn):
        def one(d):
            store = object_store()
            try:
                bucket.rekindled(d, {"stores": [store.entry]})
                fn(d, store)
            finally:
                d.kill()
                store.stop()
        case(sentence, "stopped")(one)
        return fn
    return add


def loads(d, i):
    return [m for m in d.events(i) if m.startswith("loaded ")]


def goes_on(d, i):
    """The second attempt is from a checkpoint of the first."""
    a = d.get(f"/v1/jobs/{i}/attempts").json["attempts"]
    return len(a) == 2 and (a[1]["from"] or "").startswith("step-") and a[1]["start_step"] > 0


@stored("the job that users write first begins with the weights of Paddle in the bucket")
def _(d, store):
    i = d.submit(first_job(store.put("v3/best.pdparams", sample("resnet20/best.pdparams"))))
    d.wait_state(i, "succeeded", seconds=90)
    j = d.job(i)
    has(j["plan_summary"], "loaded ")
    has(j["plan_summary"], "(269,722 of 269,722 parameters); 0 new; 0 missing; 0 ignored")
    eq((j["plan"]["source"], j["plan"]["framework"], j["plan"]["learning_rate"]["scale"]),
       (j["spec"]["model"]["checkpoint"], "paddle", 0.2))
    # What nobody has said is there, and is what was meant.
    t = j["spec"]["training"]
    eq((t["optimizer"]["type"], t["optimizer"]["learning_rate"], t["batch_size"], j["spec"]["checkpoint"]["every"]),
       ("adam", 0.001, 64, {"epochs": 1, "seconds": 0, "steps": 0}))
    eq(len(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]), 1)


@stored("it goes on from its latest checkpoint, and starts warm no second time")
def _(d, store):
    i = d.submit(first_job(store.put("best.pdparams", sample("resnet20/best.pdparams")), samples=64, epochs=4000))
    wait_for(60, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) >= 2)
    d.signal_trainers(signal.SIGKILL)
    wait_for(60, "it goes on", lambda: goes_on(d, i))
    d.post(f"/v1/jobs/{i}/cancel", want=202)
    eq(len(loads(d, i)), 1, f"plans in {d.events(i)}")


@case("on a machine that replaces another one it goes on from the latest checkpoint in the bucket", "stopped")
def _(d):
    store = object_store()
    config = {"stores": [store.entry], "mirror": {"prefix": f"file://{d.root}/bucket/", "instance": "a", "check": 0.5}}
    bucket.rekindled(d, config)
    job = first_job(store.put("best.pdparams", sample("resnet20/best.pdparams")), samples=64, epochs=4000)
    i = d.submit(job)
    wait_for(60, "a checkpoint in the bucket, and the record that knows it", lambda: any(
        c["durability"]["state"] == "verified" for c in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
        and d.get("/v1/status").json["mirror"]["unwritten"] == 0)
    d.kill()
    d.signal_trainers(signal.SIGKILL)
    shutil.rmtree(d.state)
    other = Daemon(d.root)
    bucket.rekindled(other, config)
    try:
        wait_for(60, "it has the jobs", lambda: other.call("GET", "/readyz").status == 200)
        wait_for(60, "it goes on", lambda: goes_on(other, i))
        eq(len(loads(other, i)), 0, f"plans in {other.events(i)}")
        # The same job submitted anew is another one, and begins warm.
        twin = other.submit(job)
        assert twin != i
        other.post(f"/v1/jobs/{i}/cancel", want=202)
        wait_for(60, "the other one's plan", lambda: other.job(twin)["plan_summary"] != "")
    finally:
        other.kill()
        other.signal_trainers(signal.SIGKILL)
        store.stop()


# --- archives -------------------------------------------------------------------------------

NAME = "./rec_v4_train/best_accuracy.pdparams"


@stored("a file in an archive is named behind the address of it, here and in the bucket, packed or not")
def _(d, store):
    body = sample("resnet20/best.pdparams")
    tars = {p: tar_of({"rec_v4_train/train.log": b"x", NAME: body}, p) for p in (False, True)}
    for packed, tar in tars.items():
        path = f"{d.root}/rec{'.tar.gz' if packed else '.tar'}"
        with open(path, "wb") as f:
            f.write(tar)
        for at in (path, f"file://{path}", store.put(os.path.basename(path), tar)):
            for part in ("#member=rec_v4_train/best_accuracy.pdparams", f"#member={NAME}&sha256={sha(body)}"):
                p = d.post("/v1/warm-starts/plan", first_job(at + part), want=200).json
                eq((p["accepted"], p["source"], p["parameters_loaded"]), (True, at + part, 269722))
    i = d.submit(dict(first_job(at + part, samples=64), name="rec"))
    d.wait_state(i, "succeeded")
    eq(d.job(i)["spec"]["model"]["checkpoint"], at + part, "in the normal form")
    eq(d.job(i)["plan"]["source"], at + part)


@stored("what is not in the archive, or other bytes than were meant, is refused with what there is")
def _(d, store):
    body = sample("resnet20/best.pdparams")
    tar = tar_of({"a/train.log": b"x", "a/latest.pdparams": body, "a/best_accuracy.pdparams": body, "z.pdopt": b"y"})
    local = f"{d.root}/rec.tar"
    with open(local, "wb") as f:
        f.write(tar)
    for at in (local, store.put("rec.tar", tar)):
        for part, words in (
                ("#member=best_acuracy.pdparams", 'has no file "best_acuracy.pdparams"; there is '
                 '"a/best_accuracy.pdparams", "a/latest.pdparams", '),
                ("", "is a tar archive: say which file of it is meant, #member=NAME; there is "),
                ("#member=a/train.log", "is text, not weights"),
                ("#member=a/latest.pdparams&sha256=" + "0" * 64, f"its SHA-256 is {sha(body)}, want 000000")):
            r = d.post("/v1/warm-starts/plan", first_job(at + part), want=422).json
            eq([e["path"] for e in r["errors"]], ["model.checkpoint"])
            has(r["errors"][0]["message"], words)
            has(r["errors"][0]["message"], at)
    # Of the file itself, where it is no archive.
    path = f"{d.root}/best.pdparams"
    with open(path, "wb") as f:
        f.write(body)
    eq(d.post("/v1/warm-starts/plan", first_job(f"{path}#sha256={sha(body)}"), want=200).json["accepted"], True)
    r = d.post("/v1/warm-starts/plan", first_job(f"{path}#sha256={sha(tar)}"), want=422).json
    has(r["errors"][0]["message"], f"its SHA-256 is {sha(body)}, want {sha(tar)}")


# --- the optimizer's state beside it ----------------------------------------------------------

def simplenet(checkpoint):
    job = first_job(checkpoint, samples=128)
    job["model"] = {"layers": ["flatten", {"type": "linear", "out": 256, "name": "linear1"}, "relu",
                               {"type": "linear", "out": 10, "name": "linear2"}], "checkpoint": checkpoint}
    job["training"]["warm_start"] = {"optimizer": "moments"}
    job["data"]["train"]["shape"] = [1, 28, 28]
    return job


def pdopt(at):
    return at.replace(".pdparams", ".pdopt")


def carried(d, at):
    i = d.submit(simplenet(at))
    d.wait_state(i, "succeeded")
    return d.get(f"/v1/jobs/{i}/plan").json["optimizer"]


@stored("the .pdopt beside an address is fetched with it, and said by its address where there is none")
def _(d, store):
    body, state = sample("simplenet/model.pdparams"), sample("simplenet/model.pdopt")
    at = store.put("both/model.pdparams", body)
    store.put("both/model.pdopt", state)
    o = carried(d, at)
    eq((o["tensors"], o["updates"]), (4, 200))
    at = store.put("alone/model.pdparams", body)
    o = carried(d, at)
    eq((o["tensors"], o["notes"]), (0, [f"skip the optimizer's state: there is no {pdopt(at)}"]))
    at = store.put("packed.gz", gzip.compress(body))
    has(carried(d, at)["notes"][0], f"{at} does not end in .pdparams")
    # In an archive it is beside it in there.
    at = store.put("a.tar", tar_of({"m/model.pdparams": body, "m/model.pdopt": state})) + "#member=m/model.pdparams"
    o = carried(d, at)
    eq((o["tensors"], o["updates"]), (4, 200))
    # And a broken one is said by its address, too.
    at = store.put("broken/model.pdparams", body)
    store.put("broken/model.pdopt", b"<html>")
    has(carried(d, at)["notes"][0], f"skip the optimizer's state: {pdopt(at)}: ")


run()
