#!/usr/bin/env python3
"""What goes first, and what has to wait for what: copies in a bucket, uploads, and files in the cache."""
import hashlib
import os
import re

import bucket
from buckets import stubbed
from stub import No, Object
from t import csv, eq, has, run, tiny, wait_for

SHIP = {"retry_base": 0.1, "retry_max": 0.3}
FOLDER = r"/checkpoints/(step-[^/]+)/"


def started(d, st, **ship):
    bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {**SHIP, **ship}})


def on_demand(d, name="job", **more):
    """A job that saves when it is told to, and keeps one checkpoint."""
    return tiny(d, name, epochs=1000000, **more, checkpoint={
        "every": {"steps": 1000000000}, "keep": {"last": 1, "best": 0}, "push": "s3://b/runs/"})


def save(d, i):
    """A checkpoint now: its name."""
    return d.post(f"/v1/jobs/{i}/checkpoints", {}, want=201).json["checkpoint"]


def is_(d, i, ckpt, *states):
    return (bucket.durability(d, i).get(ckpt) or {}).get("state") in states


def folders(st):
    return {m.group(1) for k in list(st.buckets["b"]) for m in [re.search(FOLDER + "checkpoint.json$", "/" + k)] if m}


@stubbed("what is verified in the bucket stays there until a newer one is verified")
def _(d, st):
    started(d, st)
    i = d.submit(on_demand(d))
    d.wait_state(i, "running")
    first = save(d, i)
    wait_for(20, "the first is verified", lambda: is_(d, i, first, "verified"))
    asked = []

    def closed(seen):
        """What is written cannot be looked at."""
        m = re.search(FOLDER + r".*\.safetensors", seen.target)
        if m and m.group(1) in folders(st) - {first}:
            asked.append(seen)
            raise No(503, "SlowDown")
    st.before = closed
    second = save(d, i)
    wait_for(20, "the second is there", lambda: is_(d, i, second, "remote"))
    save(d, i)                          # makes it think about what may go
    n = len(asked)
    wait_for(20, "it has looked often enough", lambda: len(asked) > n + 4)
    eq(is_(d, i, second, "verified"), False)
    eq(st.count("DELETE"), 0, "deletions")
    assert first in folders(st), folders(st)
    st.before = None
    wait_for(20, "the first goes when another is verified", lambda: first not in folders(st))
    d.post(f"/v1/jobs/{i}/cancel")


@stubbed("an object of the right length and another digest is no copy: it is sent again")
def _(d, st):
    started(d, st)
    i = d.submit(on_demand(d))
    d.wait_state(i, "running")
    done = []

    def replaced(seen):
        """Behind the last object, before all are looked at."""
        key = seen.target.split("?")[0][len("/b/"):]
        if seen.method == "HEAD" and key.endswith("model.safetensors") and folders(st) and not done:
            done.append(key)
            body = bytes(len(st.buckets["b"][key].body))
            st.buckets["b"][key] = Object(body, hashlib.md5(body).hexdigest(), 0, {
                "x-amz-meta-sha256": hashlib.sha256(body).hexdigest()})
    st.before = replaced
    one = save(d, i)
    wait_for(20, "it is verified", lambda: is_(d, i, one, "verified"))
    eq(len(done), 1, "how often it was replaced")
    d.post(f"/v1/jobs/{i}/cancel")
    with open(f"{d.state}/jobs/{i}/checkpoints/{one}/model.safetensors", "rb") as f:
        eq(hashlib.sha256(st.buckets["b"][done[0]].body).hexdigest(), hashlib.sha256(f.read()).hexdigest(), "digest")
    has(d.log(), "another length or digest")


@stubbed("what is deleted in the bucket is invisible first, and says to the end whose it is")
def _(d, st):
    started(d, st)
    i = d.submit(on_demand(d))
    d.wait_state(i, "running")
    all_ = [save(d, i)]
    while len(all_) < 3:
        wait_for(20, "it is verified", lambda: is_(d, i, all_[-1], "verified"))
        all_.append(save(d, i))
    wait_for(20, "the first two have gone", lambda: folders(st) == {all_[2]} and st.count("DELETE", "remote.json") == 2)
    d.post(f"/v1/jobs/{i}/cancel")
    for one in all_[:2]:
        gone = [s.target.split("/")[-1] for s in st.seen if s.method == "DELETE" and f"/{one}/" in s.target]
        eq((gone[0], gone[-1]), ("checkpoint.json", "remote.json"), f"the first and last of {gone}")


@stubbed("a folder whose remote.json is of another checkpoint is not ours, and is not deleted")
def _(d, st):
    started(d, st)
    i = d.submit(on_demand(d))
    d.wait_state(i, "running")
    first = save(d, i)
    wait_for(20, "it is verified", lambda: is_(d, i, first, "verified"))
    key = next(k for k in st.buckets["b"] if k.endswith(f"/{first}/remote.json"))
    body = re.sub(rb'("digest": *)"[0-9a-f]{64}"', rb'\1"' + b"0" * 64 + b'"', st.buckets["b"][key].body)
    assert body != st.buckets["b"][key].body, body
    st.buckets["b"][key] = Object(body, hashlib.md5(body).hexdigest(), 0, {})
    second = save(d, i)
    wait_for(20, "another is verified", lambda: is_(d, i, second, "verified"))
    wait_for(20, "it is said", lambda: "is not ours and is left alone" in d.log() or st.count("DELETE"))
    eq(st.count("DELETE"), 0, "deletions")
    d.post(f"/v1/jobs/{i}/cancel")


@stubbed("a job goes on from what lies here where that is newer than what the bucket has, and fetches nothing")
def _(d, st):
    started(d, st)
    i = d.submit(on_demand(d))
    d.wait_state(i, "running")
    first = save(d, i)
    wait_for(20, "it is verified", lambda: is_(d, i, first, "verified"))

    def no_more(seen):
        if seen.method in ("PUT", "POST"):
            raise No(503, "SlowDown")
    st.before = no_more
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    here = sorted(os.listdir(f"{d.state}/jobs/{i}/checkpoints"))
    last = [x for x in here if x.startswith("step-")]
    assert len(last) == 1 and last[0] > first, f"{here} behind {first}"
    d.post(f"/v1/jobs/{i}/resume", want=202)
    d.wait_state(i, "running")
    eq(d.get(f"/v1/jobs/{i}/attempts").json["attempts"][-1]["from"], last[0], "what it goes on from")
    eq(st.count("GET", "safetensors"), 0, "files that were fetched")
    d.post(f"/v1/jobs/{i}/cancel")


@stubbed("of what waits the most important job's goes up first, though another has waited for longer")
def _(d, st):
    def down(seen):
        raise No(503, "SlowDown")
    st.before = down
    started(d, st, uploads=1)
    ids = {}
    for name, priority in (("first", 0), ("low", 1), ("high", 9), ("middle", 5)):
        i = ids[name] = d.submit(on_demand(d, name, priority=priority, resources={"threads": 1, "memory": "32MiB"}))
        wait_for(30, f"{name} runs", lambda: d.job(i)["state"] == "running")
        one = save(d, i)
        wait_for(20, "it waits", lambda: is_(d, i, one, "queued", "uploading"))
        d.post(f"/v1/jobs/{i}/pause", want=202)
        d.wait_state(i, "paused")
    st.before = None                    # the first was being tried
    wait_for(30, "all are there", lambda: st.count("PUT", "/checkpoint.json", 200) >= 4)
    first = []
    for s in st.seen:
        if s.method == "PUT" and s.status == 200 and "/checkpoint.json" in s.target:
            first += [n for n in ids if ids[n] in s.target and n not in first]
    eq(first, ["first", "high", "middle", "low"], "who was first")


@stubbed("the file that nobody has used for longest leaves the cache first")
def _(d, st):
    digests = []
    for n in range(3):
        with open(csv(f"{d.root}/{n}.csv", rows=1000, seed=n), "rb") as f:
            body = f.read()
        digests.append(hashlib.sha256(body).hexdigest())
        st.buckets["b"][f"{n}.csv"] = Object(body, hashlib.md5(body).hexdigest(), 0, {})
    bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {**SHIP, "cache": str(5 * len(body) // 2)}})

    def has_been_used(n):
        job = tiny(d, f"n{n}", epochs=1)
        job["data"]["train"]["path"] = f"s3://b/{n}.csv"
        d.wait_state(d.submit(job), "succeeded")

    def there():
        return [n for n in range(3) if os.path.exists(f"{d.state}/cache/sha256/{digests[n]}")]
    for n in range(3):
        has_been_used(n)
    eq(there(), [1, 2], "what is in the cache")
    has_been_used(0)
    eq(there(), [0, 2], "what is in the cache")


run()
