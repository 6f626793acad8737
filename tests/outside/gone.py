#!/usr/bin/env python3
"""What was verified in a bucket goes missing there: it is noticed, sent again where it is here, and else said to be
lost; nothing relies on it meanwhile."""
import json
import shutil
import time

import bucket
from stub import Store
from t import case, eq, has, run, tiny, wait_for

EVERY = 0.6                     # seconds between two looks


class Scene:
    def __init__(self, d, **ship):
        self.d, self.st = d, Store()
        self.config = {"stores": [self.st.store("s3://")],
                       "ship": {"retry_base": 0.2, "retry_max": 1, "recheck": EVERY, **ship}}

    def __enter__(self):
        bucket.rekindled(self.d, self.config)
        return self

    def __exit__(self, *a):
        self.d.kill()
        self.st.stop()

    def objects(self):
        return self.st.buckets["b"]

    def job(self, epochs=2, last=3, **more):
        job = tiny(self.d, "j", epochs=epochs, **more)
        job["checkpoint"] = {"every": {"epochs": 1}, "keep": {"last": last}, "push": "s3://b/runs/"}
        i = self.d.submit(job)
        self.d.wait_state(i, "succeeded")
        self.verified(i)
        return i

    def state(self, i):
        return {c: x["state"] for c, x in bucket.durability(self.d, i).items()}

    def verified(self, i):
        wait_for(30, "all is verified", lambda: set(self.state(i).values()) == {"verified"})

    def missing(self, i):
        return [e for e in self.d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == "remote_missing"]

    def lose(self, part):
        """Objects whose keys have this in them; how many."""
        keys = [k for k in self.objects() if part in k]
        for k in keys:
            del self.objects()[k]
        return len(keys)

    def forget_here(self, i):
        """The local checkpoints; as of a machine that took the job over."""
        shutil.rmtree(f"{self.d.root}/state/jobs/{i}/checkpoints")


def metric(d, name):
    return next(float(line.split()[1]) for line in d.get("/metrics").text.splitlines() if line.startswith(name + " "))


def scene(sentence, **ship):
    def add(fn):
        def one(d):
            with Scene(d, **ship) as s:
                fn(s, d)
        case(sentence, "stopped")(one)
        return fn
    return add


@scene("a bucket that was emptied is noticed, and all checkpoints that are here are sent again")
def _(s, d):
    i = s.job()
    n = len(s.state(i))
    before = {k.split("/")[-1] for k in s.objects()}
    s.objects().clear()
    wait_for(30, "it is noticed", lambda: len(s.missing(i)) == n)
    has(s.missing(i)[0]["message"], "it is here, and is sent again")
    s.verified(i)
    eq({k.split("/")[-1] for k in s.objects()}, before, "objects that are there again")
    wait_for(30, "nothing is missing any more", lambda: metric(d, "rekindle_ship_missing_checkpoints") == 0)
    eq(metric(d, "rekindle_ship_missing_total"), n, "how many were found to be missing")


@scene("one object is enough: whoever refers to it is missing, the others stay as they are")
def _(s, d):
    i = s.job()
    last = sorted(s.state(i))[-1]
    eq(s.lose(f"{last}/checkpoint.json"), 1, "objects lost")
    wait_for(30, "it is noticed", lambda: s.missing(i))
    s.verified(i)
    eq([e["data"]["checkpoint"] for e in s.missing(i)], [last], "what was missing")
    eq(s.lose("model") > 0, True, "objects lost")
    wait_for(30, "it is noticed", lambda: len(s.missing(i)) > 1)
    s.verified(i)


@scene("an object that became other bytes is noticed by its length or digest, and is sent again")
def _(s, d):
    i = s.job()
    for k, o in s.objects().items():
        if k.endswith(".safetensors"):
            o.body = b"x" + o.body[1:-1]
    wait_for(30, "it is noticed", lambda: s.missing(i))
    has(s.missing(i)[0]["message"], "another length or digest")
    s.verified(i)


@scene("what is missing and not here either is said to be lost, is listed so, and counts for nothing")
def _(s, d):
    i = s.job()
    names = sorted(s.state(i))
    s.forget_here(i)
    s.objects().clear()
    wait_for(30, "it is noticed", lambda: len(s.missing(i)) == len(names))
    eq(s.state(i), {n: "missing" for n in names}, "states")
    has(s.missing(i)[-1]["message"], "lost unless it is put back")
    has(s.missing(i)[-1]["message"], "no checkpoint of the job is left")
    one = d.get(f"/v1/jobs/{i}/checkpoints/{names[0]}").json
    eq((one["local"], one["durability"]["state"]), (False, "missing"), "one of them")
    has(one["durability"]["error"], "is missing")
    d.get(f"/v1/jobs/{i}/checkpoints/latest", want=404)
    eq(metric(d, "rekindle_ship_missing_checkpoints"), len(names), "missing")
    eq(d.get("/v1/status").json["checkpoints"]["missing"], len(names), "missing, by status")


@scene("what is put back counts again")
def _(s, d):
    i = s.job()
    s.forget_here(i)
    kept = dict(s.objects())
    s.objects().clear()
    wait_for(30, "it is noticed", lambda: set(s.state(i).values()) == {"missing"})
    s.objects().update(kept)
    s.verified(i)


@scene("a daemon that is started looks, too, soon after its start", recheck=3600)
def _(s, d):
    i = s.job()
    d.stop()
    s.objects().clear()
    s.config["ship"]["recheck"] = EVERY
    bucket.rekindled(d, s.config)
    wait_for(30, "it is noticed", lambda: s.missing(i))
    s.verified(i)


@scene("retention takes no older copy away on the strength of one that is gone", recheck=3600)
def _(s, d):
    i = s.job(epochs=3)
    names = sorted(s.state(i))
    d.call("PATCH", f"/v1/jobs/{i}", {"checkpoint": {"keep": {"last": 1, "best": 0}}})
    d.stop()
    shutil.rmtree(f"{d.root}/state/jobs/{i}/checkpoints/{names[-1]}")
    lost = {k: o for k, o in s.objects().items() if f"{names[-1]}/" in k}
    s.lose(f"{names[-1]}/")
    time.sleep(EVERY)
    s.config["ship"]["recheck"] = EVERY
    bucket.rekindled(d, s.config)
    wait_for(30, "it is noticed", lambda: s.missing(i))
    wait_for(30, "the oldest goes", lambda: not any(f"{names[0]}/checkpoint.json" in k for k in s.objects()))
    eq(s.state(i)[names[-2]], "verified", "the newest that is left")
    assert any(f"{names[-2]}/checkpoint.json" in k for k in s.objects()), "the newest that is left was deleted"
    assert lost


@scene("a store that does not answer is no reason to believe that anything is missing")
def _(s, d):
    i = s.job()
    s.st.slow_every = 1
    time.sleep(2 * EVERY)
    eq(s.missing(i), [], "said to be missing")


@scene("looks are few: each object of a checkpoint once a round, the ones that it shares with others too")
def _(s, d):
    i = s.job()
    seen = len(s.st.seen)
    wait_for(30, "a look", lambda: len(s.st.seen) > seen)
    time.sleep(6 * EVERY)
    keys = [x.target for x in s.st.seen[seen:]]
    eq({x.method for x in s.st.seen[seen:]}, {"HEAD"}, "requests")
    most = max(keys.count(k) for k in keys)
    assert most <= 8, f"{most} HEADs of one object in six rounds"


if __name__ == "__main__":
    run()
