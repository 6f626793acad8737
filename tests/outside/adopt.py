#!/usr/bin/env python3
"""The database is lost: folders of jobs are named, and taken back from what lies in them."""
import json
import os
import shutil
import subprocess

import bucket
from t import BUILD, case, eq, has, run, tiny, wait_for


def state(d):
    return f"{d.root}/state"


def folder(d, i):
    return f"{state(d)}/jobs/{i}"


def lose(d, *flags):
    """The daemon dies, the database goes, and another daemon starts."""
    d.kill()
    wait_for(30, "its trainers have left", lambda: not d.trainers())
    for f in os.listdir(state(d)):
        if f.startswith("rekindle.db"):
            os.unlink(f"{state(d)}/{f}")
    d.start(*flags)


def unrecorded(d):
    u = d.get("/v1/status").json["unrecorded"]
    return u["count"], {j["id"]: j for j in u["jobs"]}


def adopt(d, want=200, **body):
    return d.post("/v1/adopt", body, want=want).json


def rekindle(d, *words):
    return subprocess.run([f"{BUILD}/rekindle", "--server", f"{d.root}/sock", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def weights(d, i):
    return d.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.safetensors").body


def long(d, name="long", epochs=100000, **more):
    return tiny(d, name, epochs=epochs, checkpoint={"every": {"epochs": 1}, "keep": {"last": 2}}, **more)


def checkpointed(d, i):
    wait_for(30, "a checkpoint", lambda: (d.job(i)["progress"].get("checkpoint_step") or 0) > 0)


@case("folders without a record are named at a start: in the log, in the status and the metrics")
def _(d):
    i, k = d.submit(tiny(d, "one")), d.submit(long(d, "two"))
    d.wait_state(i, "succeeded")
    checkpointed(d, k)
    eq(unrecorded(d), (0, {}), "before")
    lose(d)
    eq(d.get("/v1/jobs").json["jobs"], [], "jobs")
    n, jobs = unrecorded(d)
    eq((n, {x: j["name"] for x, j in jobs.items()}), (2, {i: "one", k: "two"}), "folders that are named")
    has(d.log(), f"2 folders in {state(d)}/jobs that the database has no record of")
    has(d.log(), i)
    has(d.get("/metrics").text, "rekindle_folders_without_record 2")
    has(rekindle(d, "status").stdout, i)


@case("all come back as they were: ids, names, priority, labels, attempts; what had ended has ended, others are paused")
def _(d):
    i = d.submit(tiny(d, "one", priority=3, labels={"team": "qa"}))
    d.wait_state(i, "succeeded")
    k = d.submit(long(d, "two"))
    checkpointed(d, k)
    d.call("PATCH", f"/v1/jobs/{k}", {"priority": 7, "labels": {"x": "y"}})
    was = {x: d.job(x) for x in (i, k)}
    lose(d)
    got = adopt(d)
    eq(({j["id"] for j in got["adopted"]}, got["refused"], got["next"]), ({i, k}, [], None), "what was adopted")
    for x in (i, k):
        j = d.job(x)
        for f in ("id", "name", "priority", "labels", "created", "spec"):
            eq(j.get(f), was[x].get(f), f)
    eq((d.job(i)["state"], d.job(i)["progress"]["step"]), ("succeeded", was[i]["progress"]["step"]), "what had ended")
    eq((d.job(k)["state"], d.job(k)["reason"]), ("paused", "adopted"), "what had not")
    eq([a["outcome"] for a in d.get(f"/v1/jobs/{k}/attempts").json["attempts"]], ["interrupted"], "its attempts")
    has(" ".join(d.events(k)), "taken back from its folder")
    eq(unrecorded(d), (0, {}), "folders that are left")
    d.kill()
    d.start()
    eq((d.job(i)["state"], d.job(k)["state"]), ("succeeded", "paused"), "after another start")


@case("a job that was taken back and resumed ends with the bytes of one that nothing disturbed")
def _(d):
    whole = d.submit(tiny(d, "whole", epochs=150))
    d.wait_state(whole, "succeeded")
    want = weights(d, whole)
    i = d.submit(tiny(d, "cut", epochs=150, checkpoint={"every": {"epochs": 5}}))
    checkpointed(d, i)
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused", "succeeded")
    lose(d)
    eq([j["id"] for j in adopt(d, job="cut", resume=True)["adopted"]], [i], "adopted by its name")
    d.wait_state(i, "succeeded")
    assert weights(d, i) == want, "other bytes"
    n = [a["attempt"] for a in d.get(f"/v1/jobs/{i}/attempts").json["attempts"]]
    eq(n, sorted(set(n)), "numbers of attempts")


@case("a folder of before, with job.json alone, is taken back from that and its newest checkpoint")
def _(d):
    i = d.submit(long(d, "old", priority=4, labels={"a": "b"}))
    checkpointed(d, i)
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    step = d.job(i)["progress"]["checkpoint_step"]
    lose(d)
    os.unlink(f"{folder(d, i)}/record.json")
    j = adopt(d, job=i)["adopted"][0]
    eq((j["name"], j["priority"], j["labels"], j["state"]), ("old", 4, {"a": "b"}, "paused"), "what came back")
    d.post(f"/v1/jobs/{i}/resume", want=202)
    wait_for(30, "it goes on", lambda: (d.job(i)["progress"].get("checkpoint_step") or 0) > step)
    assert d.job(i)["attempt"] >= 2, "an attempt of before is not counted"
    d.post(f"/v1/jobs/{i}/cancel")


@case("what is wrong with a folder is said by name, and nothing of it gets into the database")
def _(d):
    ids = [d.submit(tiny(d, f"j{n}", epochs=1)) for n in range(8)]
    for i in ids:
        d.wait_state(i, "succeeded")
    a, b, newer, other, link, pipe, many, dup = ids
    lose(d)
    for f in ("record.json", "job.json"):
        os.unlink(f"{folder(d, a)}/{f}")
    with open(f"{folder(d, b)}/record.json", "w") as f:
        f.write('{"record": 1, "row": {"id"')
    r = json.load(open(f"{folder(d, newer)}/record.json"))
    with open(f"{folder(d, newer)}/record.json", "w") as f:
        json.dump(dict(r, record=99), f)
    r = json.load(open(f"{folder(d, many)}/record.json"))
    r["row"]["version"] = 2 ** 63 - 1
    with open(f"{folder(d, many)}/record.json", "w") as f:
        json.dump(r, f)
    shutil.copy(f"{folder(d, a)}/../{newer}/record.json", f"{folder(d, other)}/record.json")
    shutil.move(folder(d, link), f"{d.root}/elsewhere")
    os.symlink(f"{d.root}/elsewhere", folder(d, link))
    os.unlink(f"{folder(d, pipe)}/record.json")
    os.mkfifo(f"{folder(d, pipe)}/record.json")
    got = adopt(d)
    eq([j["id"] for j in got["adopted"]], [dup], "adopted")
    why = {x["job"]: x["reason"] for x in got["refused"]}
    has(why[a], "neither record.json nor job.json")
    has(why[b], "its record.json cannot be used")
    has(why[newer], "is 99, this rekindled reads 1")
    has(why[other], f'its record.json is of job "{newer}"')
    has(why[link], "is no folder of a job")
    has(why[pipe], "it is no file")
    has(why[many], "row.version")
    eq({x: j["refused"] is not None for x, j in unrecorded(d)[1].items()}[a], True, "said in the status, too")
    r = d.post("/v1/adopt", {"job": a})
    eq(r.status, 422, "status of one that cannot be used")
    has(r.json["detail"], "nothing says what it trains")
    eq([j["id"] for j in d.get("/v1/jobs").json["jobs"]], [dup], "jobs")
    os.unlink(folder(d, link))


@case("twice, of a job that is there, of none, of a name that two have: each has its sentence")
def _(d):
    i, k = d.submit(tiny(d, "same", epochs=1)), d.submit(tiny(d, "same", epochs=1))
    for x in (i, k):
        d.wait_state(x, "succeeded")
    r = d.post("/v1/adopt", {"job": i})
    eq(r.status, 409, "status of a job that is there")
    has(r.json["detail"], "nothing to take back")
    eq(adopt(d)["adopted"], [], "where nothing was lost")
    eq(d.post("/v1/adopt", {"job": "nobody"}).status, 404, "status of a name that none has")
    eq(d.post("/v1/adopt", {"job": "0" * 26}).status, 404, "status of an id that none has")
    lose(d)
    r = d.post("/v1/adopt", {"job": "same"})
    eq(r.status, 409, "status of a name that two have")
    has(r.json["detail"], "2 folders have a job")
    has(r.json["detail"], i)
    eq(len(adopt(d, job=i)["adopted"]), 1, "by its id")
    eq(d.post("/v1/adopt", {"job": i}).status, 409, "status of the second time")
    eq(adopt(d, job="same")["adopted"][0]["id"], k, "the other, which now has the name alone")


@case("an Idempotency-Key outlives the database: the same submit gives the job that was taken back")
def _(d):
    job = tiny(d, "keyed", epochs=1)
    key = {"Idempotency-Key": "k-1"}
    i = d.post("/v1/jobs", job, headers=key).json["id"]
    d.wait_state(i, "succeeded")
    lose(d)
    adopt(d)
    r = d.post("/v1/jobs", job, headers=key)
    eq((r.status, r.json["id"]), (201, i), "the answer to the same key")


@case("an older copy of the database: what it does not know is named and taken back, what it knows stays")
def _(d):
    i = d.submit(tiny(d, "first", epochs=1))
    d.wait_state(i, "succeeded")
    d.stop()
    shutil.copy(f"{state(d)}/rekindle.db", f"{d.root}/copy.db")
    d.start()
    k = d.submit(tiny(d, "second", epochs=1))
    d.wait_state(k, "succeeded")
    d.stop()
    shutil.copy(f"{d.root}/copy.db", f"{state(d)}/rekindle.db")
    d.start()
    eq((unrecorded(d)[0], list(unrecorded(d)[1])), (1, [k]), "named")
    adopt(d)
    eq([(j["id"], j["state"]) for j in d.get("/v1/jobs").json["jobs"]], [(k, "succeeded"), (i, "succeeded")], "jobs")


@case("the command line: adopt takes back one or all, says what it could not, and ends with 1 then")
def _(d):
    i, k = d.submit(tiny(d, "one", epochs=1)), d.submit(tiny(d, "two", epochs=1))
    for x in (i, k):
        d.wait_state(x, "succeeded")
    lose(d)
    p = rekindle(d, "adopt", "one")
    eq((p.returncode, p.stderr), (0, ""), "exit status")
    has(p.stdout, i)
    for f in ("record.json", "job.json"):
        os.unlink(f"{folder(d, k)}/{f}")
    p = rekindle(d, "adopt")
    eq(p.returncode, 1, "exit status where one is refused")
    has(p.stderr, f"{k}: it has neither")
    has(rekindle(d, "adopt", "--help").stdout, "taken\nback")


@case("its checkpoints in a bucket are found to be there, and are not sent again", "stopped")
def _(d):
    from stub import Store
    st = Store()
    try:
        bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1}})
        job = tiny(d, "shipped", epochs=2)
        job["checkpoint"] = {"every": {"epochs": 1}, "push": "s3://b/runs/"}
        i = d.submit(job)
        d.wait_state(i, "succeeded")
        verified = lambda: set(x["state"] for x in bucket.durability(d, i).values()) == {"verified"}
        wait_for(30, "verified", verified)
        keys = set(st.buckets["b"])
        lose(d, "--config", f"{d.root}/rekindled.yaml")
        puts = st.count("PUT")
        adopt(d)
        wait_for(30, "verified", verified)
        eq((st.count("PUT"), set(st.buckets["b"])), (puts, keys), "what was put, and what is there")
    finally:
        d.kill()
        st.stop()


@case("with a mirror the bucket goes first: its jobs come from there, and what it says was deleted stays away", "stopped")
def _(d):
    os.mkdir(f"{d.root}/bucket")
    config = {"mirror": {"prefix": f"file://{d.root}/bucket/", "instance": "gpu-a", "check": 0.5}}
    owner = lambda: d.get("/v1/status").json["mirror"]["state"] == "owner"
    written = lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0
    bucket.rekindled(d, config)
    wait_for(30, "its own", owner)
    i, k = d.submit(tiny(d, "kept", epochs=1)), d.submit(tiny(d, "deleted", epochs=1))
    for x in (i, k):
        d.wait_state(x, "succeeded")
    wait_for(30, "the bucket knows", written)       # what it never knew, it need not know to be gone
    shutil.copytree(folder(d, k), f"{d.root}/old")
    eq(d.call("DELETE", f"/v1/jobs/{k}").status, 204, "status of the delete")
    wait_for(30, "the bucket knows", written)
    shutil.copytree(f"{d.root}/old", folder(d, k))
    lose(d, "--config", f"{d.root}/rekindled.yaml")
    wait_for(30, "its own", owner)
    eq([j["id"] for j in d.get("/v1/jobs").json["jobs"]], [i], "jobs, from the bucket")
    eq(list(unrecorded(d)[1]), [k], "named")
    r = d.post("/v1/adopt", {"job": k})
    eq(r.status, 409, "status")
    has(r.json["detail"], "it was deleted, as the bucket says")
    d.kill()


if __name__ == "__main__":
    run()
