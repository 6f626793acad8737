#!/usr/bin/env python3
"""With a mirror the record of a job in the bucket is never ahead of the bytes that
it stands for: whoever takes the job over from a machine that vanished ends with the
bytes of an undisturbed run."""
import hashlib
import glob
import json
import os
import re
import shutil
import signal

import bucket
from proxy import Proxy, answer
from stub import Store
from t import Daemon, case, csv, eq, has, run, tiny, wait_for

CHECKPOINTS = "/jobs/[^/]+/checkpoints/"


class World:
    """A store behind a proxy, and machines that come and vanish."""

    def __init__(self, d):
        self.root, self.n, self.all = d.root, 0, []
        self.st = Store()
        self.p = Proxy(self.st.port)
        csv(f"{d.root}/tiny.csv")

    def machine(self, mirror=True):
        self.n += 1
        d = Daemon(f"{self.root}/m{self.n}")
        os.makedirs(d.root)
        self.all.append(d)
        c = {"stores": [self.st.store("s3://", endpoint=self.p.url)], "ship": {"retry_base": 0.2, "retry_max": 0.5}}
        if mirror:
            c["mirror"] = {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 0.5}
        bucket.rekindled(d, c)
        if mirror:
            wait_for(30, "the jobs are its own", lambda: status(d)["state"] == "owner")
        return d

    def job(self, name, **checkpoint):
        job = tiny(self, name, epochs=40)
        job["model"]["sizes"] = [4, 300, 300, 3]        # some seconds
        job["checkpoint"] = {"every": {"steps": 100}, "keep": {"last": 2, "best": 0}, **checkpoint}
        return job

    def bytes_stay_away(self):
        """Records go up, and nothing of a checkpoint."""
        for method in ("PUT", "POST"):
            self.p.rule(answer(503, "SlowDown"), method=method, match=CHECKPOINTS, times=None)

    def record(self, id):
        """The job's row as the bucket has it."""
        keys = sorted(k for k in self.st.buckets["b"] if re.search(f"/records/[0-9]+/{id}", k))
        return json.loads(self.st.buckets["b"][keys[-1]].body)["row"]

    def end(self):
        for d in self.all:
            vanish(d)
        self.p.stop()
        self.st.stop()


def status(d):
    return d.get("/v1/status").json["mirror"]


def written(d):
    wait_for(20, "every record is written", lambda: status(d)["unwritten"] == 0)


def vanish(d, disk=False):
    if d.alive():
        d.proc.send_signal(signal.SIGSTOP)      # starts no more
    d.signal_trainers(signal.SIGKILL)
    d.kill()
    if disk:
        shutil.rmtree(d.state)


def weights(d, id):
    last = sorted(glob.glob(f"{d.state}/jobs/{id}/checkpoints/step-*"))[-1]
    return os.path.basename(last), [hashlib.sha256(open(p, "rb").read()).hexdigest()
                                    for p in sorted(glob.glob(f"{last}/*.safetensors"))]


def remote(d, id):
    """Those in the bucket, oldest first."""
    return sorted(k for k, v in bucket.durability(d, id).items() if v["state"] in ("remote", "verified"))


def world(sentence):
    def add(fn):
        @case(sentence, "stopped")
        def _(d):
            w = World(d)
            try:
                fn(w)
            except BaseException:
                for x in w.all:
                    print(f"    --- {x.root}\n" + x.log()[-1500:])
                raise
            finally:
                w.end()
    return add


def undisturbed(w):
    d = w.machine(mirror=False)
    id = d.submit(w.job("calm"))
    d.wait_state(id, "succeeded")
    want = weights(d, id)
    vanish(d)
    return want


def vanishes(w, ended, **checkpoint):
    """It ends on a machine whose last checkpoint never gets to the bucket."""
    want = undisturbed(w)
    a = w.machine()
    id = a.submit(w.job("job", **checkpoint))
    wait_for(30, "a checkpoint in the bucket", lambda: remote(a, id))
    w.bytes_stay_away()
    j = a.wait_state(id, "succeeded", "paused", "failed")
    eq((j["state"], j["reason"]), ended)
    eq(weights(a, id), want, "the last checkpoint here")
    written(a)
    had = remote(a, id)[-1]
    assert had < want[0], (had, want)
    row = w.record(id)
    eq((row["state"], row["desired"], row["ended_ms"]), ("running", "run", 0), "what the bucket says")
    eq(json.loads(row["progress"])["checkpoint"], had, "how far, for the bucket")
    vanish(a, disk=True)
    w.p.clear()
    b = w.machine()
    eq(b.wait_state(id, "succeeded", "failed")["state"], "succeeded")
    eq(weights(b, id), want, "the last checkpoint of the next machine")
    eq([x["from"] for x in b.get(f"/v1/jobs/{id}/attempts").json["attempts"]], [None, had], "what it went on from")


@world("a machine that vanishes between the end of a job and its last upload costs no bytes")
def _(w):
    vanishes(w, ("paused", "uploading"))


@world("the same for a job that succeeds without waiting for the bucket")
def _(w):
    vanishes(w, ("succeeded", ""), require_remote=False)


@world("when the last checkpoint has come the record says so and the next machine has nothing to do")
def _(w):
    a = w.machine()
    w.bytes_stay_away()
    id = a.submit(w.job("job", require_remote=False))
    a.wait_state(id, "succeeded")
    written(a)
    eq(w.record(id)["state"], "running")
    w.p.clear()
    wait_for(20, "the record says it", lambda: w.record(id)["state"] == "succeeded")
    written(a)
    vanish(a, disk=True)
    b = w.machine()
    eq(b.job(id)["state"], "succeeded")
    eq(b.job(id)["attempt"], 1)


@world("with a mirror a job succeeds when its last checkpoint is verified unless it says otherwise")
def _(w):
    a = w.machine()
    said = {}
    for name, checkpoint in (("unsaid", {}), ("no", {"require_remote": False}), ("yes", {"require_remote": True})):
        said[name] = a.job(a.submit(w.job(name, **checkpoint)))["spec"]["checkpoint"]["require_remote"]
    eq(said, {"unsaid": True, "no": False, "yes": True})
    vanish(a)
    b = w.machine(mirror=False)
    eq(b.job(b.submit(w.job("plain")))["spec"]["checkpoint"]["require_remote"], False, "without a mirror")
    r = b.post("/v1/jobs", w.job("nowhere", require_remote=True), want=422)
    has(r.text, "checkpoint.require_remote")


run()
