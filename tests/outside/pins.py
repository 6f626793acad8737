#!/usr/bin/env python3
"""What a job is about to begin from stays until it has begun: under the retention
of a trainer that goes on, under deletions, in the bucket, and over a dead daemon;
and no longer."""
import glob
import os

import bucket
from stub import Store
from t import case, eq, has, run, tiny, wait_for


def source(d, name="source", every=5, **more):
    """It runs for long, saves often, and keeps one."""
    job = tiny(d, name, epochs=100000, **more)
    job["model"]["sizes"] = [4, 8, 3]
    job["checkpoint"] = {"every": {"steps": every}, "keep": {"last": 1, "best": 0}}
    return job


def beginner(d, of, selector, name="beginner", **more):
    job = tiny(d, name, epochs=1, **more)
    job["model"].update(sizes=[4, 8, 3], checkpoint=f"job://{of}/{selector}")
    return job


def folders(d, id):
    return sorted(os.path.basename(p) for p in glob.glob(f"{d.state}/jobs/{id}/checkpoints/step-*"))


def pins(d):
    """Both ends of each."""
    return glob.glob(f"{d.state}/pins/*") + glob.glob(f"{d.state}/jobs/*/checkpoints/.pin-*")


def begins(d, id):
    """What the events of its starts say."""
    return [e["data"].get("begins_from") for e in d.get(f"/v1/jobs/{id}/events?limit=100").json["events"]
            if e["kind"] == "state" and e["data"]["to"] == "starting"]


def saved(d, id):
    wait_for(30, "a checkpoint", lambda: folders(d, id))
    return id


def moves_on(d, id, n=5):
    """Its trainer makes n more."""
    at = folders(d, id)[-1]
    for _ in range(n):
        wait_for(30, "a newer checkpoint", lambda: (folders(d, id) or [at])[-1] > at)
        at = folders(d, id)[-1]


@case("twelve jobs that begin from the latest of one that keeps but one all begin and say from which", "--threads", "3")
def _(d):
    a = saved(d, d.submit(source(d)))
    ids = [d.submit(beginner(d, a, "latest", f"b{i}")) for i in range(12)]
    for i in ids:
        j = d.wait_state(i, "succeeded", "failed")
        eq(j["state"], "succeeded", j["message"])
        (said,) = begins(d, i)
        has(said, f"job://{a}/step-")
    assert d.job(a)["state"] == "running"
    wait_for(10, f"no pin is left ({pins(d)})", lambda: not pins(d))
    wait_for(10, "the source keeps one again", lambda: len(folders(d, a)) <= 2)


@case("what a held job begins from outlives retention, deletion and a daemon, and goes when it has begun")
def _(d):
    a = saved(d, d.submit(source(d)))
    # Named until it is pinned: what is seen now may be gone at the next moment.
    name = d.post(f"/v1/jobs/{a}/checkpoints", {"name": "x"}, want=201).json["checkpoint"]
    step = int(name[5:])
    b = d.submit(beginner(d, a, f"step:{step}", hold=True))
    d.call("PATCH", f"/v1/jobs/{a}/checkpoints/x", {"name": None})
    moves_on(d, a)
    assert name in folders(d, a), (name, folders(d, a))
    r = d.call("DELETE", f"/v1/jobs/{a}/checkpoints/{name}")
    eq(r.status, 409, r.text)
    has(r.text, b)
    d.kill()
    wait_for(20, "its trainer leaves", lambda: not d.trainers())
    d.start()
    d.wait_state(a, "running")
    moves_on(d, a)
    assert name in folders(d, a), (name, folders(d, a))
    d.post(f"/v1/jobs/{b}/start", want=202)
    # The source has the only thread.
    d.post(f"/v1/jobs/{a}/cancel")
    d.wait_state(a, "cancelled")
    d.wait_state(b, "succeeded")
    eq(begins(d, b), [f"job://{a}/{name}"])
    eq(pins(d), [])
    d.post(f"/v1/jobs/{a}/retry", want=202)
    wait_for(20, "retention takes it", lambda: name not in folders(d, a))


@case("a job that others are to begin from is not deleted, and no pin outlives who waited", "--threads", "2")
def _(d):
    a = saved(d, d.submit(source(d)))
    waiting = d.submit(beginner(d, a, "latest", hold=True))
    d.post(f"/v1/jobs/{a}/cancel")
    d.wait_state(a, "cancelled")
    r = d.call("DELETE", f"/v1/jobs/{a}")
    eq(r.status, 409, r.text)
    has(r.text, waiting)
    # One that fails at its start, one that is cancelled before, one that ends.
    other = beginner(d, a, "latest", "other")
    other["model"]["sizes"] = [4, 9, 3]
    bad = d.submit(other)
    eq(d.wait_state(bad, "failed", "succeeded")["state"], "failed")
    held = d.submit(beginner(d, a, folders(d, a)[-1], "held", hold=True))
    eq(len(pins(d)), 3, f"pins ({pins(d)})")
    d.post(f"/v1/jobs/{held}/cancel")
    d.post(f"/v1/jobs/{waiting}/cancel")
    d.wait_state(waiting, "cancelled")
    eq(pins(d), [])
    # What a daemon that died in between left behind is swept.
    os.symlink(f"{a}/{folders(d, a)[-1]}", f"{d.state}/pins/{waiting}")
    os.symlink(folders(d, a)[-1], f"{d.state}/jobs/{a}/checkpoints/.pin-{waiting}")
    d.kill()
    d.start()
    eq(pins(d), [])
    eq(d.call("DELETE", f"/v1/jobs/{a}").status, 204)


@case("after a crash before its first checkpoint a job begins again from the same", "--threads", "2")
def _(d):
    a = saved(d, d.submit(source(d)))
    job = beginner(d, a, "latest")
    job["training"]["epochs"] = 100000
    job["checkpoint"] = {"every": {"epochs": 100000}, "keep": {"last": 1, "best": 0}}     # nor when it is better
    b = d.submit(job)
    d.wait_state(b, "running")
    moves_on(d, a, 2)
    pid = d.get(f"/v1/jobs/{b}/attempts").json["attempts"][-1]["pid"]
    os.kill(pid, 9)
    wait_for(30, "a second attempt", lambda: d.job(b)["attempt"] == 2 and d.job(b)["state"] == "running")
    first, second = begins(d, b)
    eq(second, first, "what it begins from")
    d.post(f"/v1/jobs/{b}/checkpoints", {}, want=201)
    wait_for(10, f"no pin is left ({pins(d)})", lambda: not pins(d))


@case("the checkpoint that a job is to be resumed from is not deleted under it", "--threads", "1")
def _(d):
    a = d.submit(dict(source(d), checkpoint={"every": {"steps": 50}, "keep": {"last": 3}}))
    wait_for(30, "checkpoints", lambda: len(folders(d, a)) >= 3)
    d.post(f"/v1/jobs/{a}/pause")
    d.wait_state(a, "paused")
    d.wait_state(d.submit(source(d, "busy", priority=9)), "running")
    old = folders(d, a)[0]
    d.post(f"/v1/jobs/{a}/resume", {"from": f"step:{int(old[5:])}"}, want=202)
    eq(d.call("DELETE", f"/v1/jobs/{a}/checkpoints/{old}").status, 409)
    eq(d.call("DELETE", f"/v1/jobs/{a}/checkpoints/{folders(d, a)[1]}").status, 204, "another")


@case("retention in the bucket leaves what a held job begins from, too", "stopped")
def _(d):
    st = Store()
    bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1}}, "--threads", "2")
    job = source(d, every=50000000)       # when it is told to, and not else
    job["checkpoint"].update(push="s3://b/runs/")
    a = d.submit(job)
    d.wait_state(a, "running")

    def save():
        name = d.post(f"/v1/jobs/{a}/checkpoints", {}, want=201).json["checkpoint"]
        wait_for(20, "it is verified", lambda: bucket.durability(d, a)[name]["state"] == "verified")
        return name

    def there(name):
        return any(f"/{name}/checkpoint.json" in k for k in st.buckets["b"])
    first = save()
    b = d.submit(beginner(d, a, first, hold=True))
    second = save()
    save()
    wait_for(20, "retention takes one", lambda: not there(second))
    assert there(first), "what a job is to begin from went"
    d.post(f"/v1/jobs/{b}/start", want=202)
    d.wait_state(b, "succeeded")
    save()
    wait_for(20, "it goes when the job has begun", lambda: not there(first))
    st.stop()


run()
