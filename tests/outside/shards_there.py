#!/usr/bin/env python3
"""What is frozen goes to a bucket once, stays as long as a checkpoint there refers to it, and comes back with each."""
import glob
import hashlib
import json
import os
import shutil

import bucket
from sharded import INDEX, bytes_of, digest, job, record, shard, steps
from stub import Store
from t import Daemon, case, eq, has, run, trainer, wait_for

KEEP = {"every": {"steps": 10}, "keep": {"last": 2, "best": 0}}


class Scene:
    """A store, and machines that come and go under one name."""

    def __init__(self, d, **ship):
        self.root, self.st, self.n, self.all = d.root, Store(), 0, []
        self.config = {"stores": [self.st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1, **ship},
                       "mirror": {"prefix": "s3://b/runs/", "instance": "one", "check": 0.5}}

    def __enter__(self):
        return self

    def __exit__(self, *a):
        for d in self.all:
            self.vanish(d)
        self.st.stop()

    def machine(self):
        """With an empty disk."""
        self.n += 1
        root = f"{self.root}/m{self.n}"
        os.makedirs(root)
        d = Daemon(root)
        self.all.append(d)
        bucket.rekindled(d, self.config)
        wait_for(30, "the jobs are its own", lambda: d.get("/v1/status").json["mirror"]["state"] == "owner")
        return d

    def vanish(self, d, remove=False):
        if d.proc and d.alive():
            d.signal_trainers(9)
        d.kill()
        d.signal_trainers(9)
        if remove:
            shutil.rmtree(d.state)

    def objects(self):
        return self.st.buckets["b"]

    def sent(self, part):
        """Bytes of the PUTs of objects whose key has this in it."""
        return [s.length for s in list(self.st.seen)
                if s.method == "PUT" and part in s.target and s.status == 200]

    def whole(self, id):
        """Each checkpoint that the bucket has: every file that it refers to is there."""
        at, n = f"runs/jobs/{id}/checkpoints/", 0
        for key in [k for k in self.objects() if k.startswith(at) and k.endswith("/checkpoint.json")]:
            note = json.loads(self.objects()[key.replace("/checkpoint.json", "/remote.json")].body)
            for f in note["files"]:
                body = self.objects()[f"{at}{f['folder']}/{f['name']}"].body
                eq(hashlib.sha256(body).hexdigest(), f["sha256"], f["name"])
            n += 1
        return n


def verified(d, i):
    def last():
        v = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]
        return v["durability"]["state"] == "verified" and v
    return wait_for(30, "the last checkpoint is verified", last)


def written(d):
    wait_for(20, "records are there", lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0)


@case("a shard is sent once, and of each later checkpoint what is trained and its moments", "stopped")
def _(d):
    with Scene(d) as s:
        m = s.machine()
        i = m.submit(job(epochs=6, checkpoint=KEEP))
        m.wait_state(i, "succeeded")
        verified(m, i)
        wait_for(20, "what is kept there", lambda: len([k for k in s.objects() if k.endswith("/checkpoint.json")]) == 2)
        eq(len(s.sent("/frozen-")), 1, "shards sent")
        eq(len(s.sent(INDEX)), 1, "indexes sent")
        eq(s.whole(i), 2)
        # The folder that it was sent to may be gone but for it.
        eq(len([k for k in s.objects() if "/frozen-" in k]), 1)
        c = record(steps(f"{m.state}/jobs/{i}")[-1])
        head = {f["name"]: f["size"] for f in c["files"]}
        last = m.get(f"/v1/jobs/{i}/checkpoints/latest").json["checkpoint"]
        files = {k.rsplit("/", 1)[1]: len(o.body) for k, o in s.objects().items()
                 if f"/{last}-" in k or f"/{last}/" in k}
        files = {k: n for k, n in files.items() if k in head and not k.startswith("frozen-")}
        eq(set(files) - {INDEX}, {"trained.safetensors", "optimizer.safetensors"}, "of the last checkpoint")
        n = (128 * 16 + 16 + 16 * 10 + 10) * 4
        assert head["trained.safetensors"] <= n + 8192 and head["optimizer.safetensors"] <= 2 * n + 8192, head


def further(m, i, epochs):
    m.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": epochs}}}, want=202)
    m.wait_state(i, "succeeded")
    verified(m, i)


def first(s, epochs=10):
    """A machine, and a job that has come so far."""
    m = s.machine()
    i = m.submit(job(epochs=epochs, checkpoint=KEEP))
    m.wait_state(i, "succeeded")
    verified(m, i)
    written(m)
    return m, i


def calm(d, epochs):
    """The bytes at the end of one that nothing disturbed."""
    trainer(d, job("calm", epochs=epochs, checkpoint=KEEP))
    return bytes_of(steps(f"{d.root}/calm.run")[-1])


@case("an empty machine goes on with a shard from the bucket, sends it no more, and ends with the same bytes",
      "stopped")
def _(d):
    with Scene(d) as s:
        a, i = first(s)
        s.vanish(a, remove=True)
        b = s.machine()
        further(b, i, 20)
        eq(len(s.sent("/frozen-")), 1, "shards sent by both")
        here = steps(f"{b.state}/jobs/{i}")
        eq(bytes_of(here[-1]), calm(d, 20), "bytes at the end")
        eq(len({os.stat(shard(p)).st_ino for p in here}), 1, "files on the disk")
        written(b)
        # The one after that has them as well: what it needs is referred to over two epochs.
        s.vanish(b, remove=True)
        c = s.machine()
        further(c, i, 30)
        eq(len(s.sent("/frozen-")), 1, "shards sent by all three")
        s.whole(i)


def damaged(m, i):
    """A sector of the shard has gone bad."""
    bad = shard(steps(f"{m.state}/jobs/{i}")[-1])
    with open(bad, "r+b") as f:
        f.seek(9000)
        f.write(b"\0\0\0\0")
    return bad


def mended(m, i):
    folder = f"{m.state}/jobs/{i}"
    assert not glob.glob(f"{folder}/checkpoints/bad-*"), os.listdir(f"{folder}/checkpoints")
    said = [e for e in m.events(i) if "is whole again" in e]
    assert said and "from the bucket or the cache" in said[-1], m.events(i)
    for c in steps(folder):
        name = os.path.basename(shard(c))
        eq(digest(shard(c)), {x["name"]: x["sha256"] for x in record(c)["files"]}[name], c)


@case("a damaged shard comes again from the bucket, and no checkpoint that shares it is lost", "stopped")
def _(d):
    with Scene(d) as s:
        a, i = first(s)
        damaged(a, i)
        further(a, i, 20)
        mended(a, i)
        eq(bytes_of(steps(f"{a.state}/jobs/{i}")[-1]), calm(d, 20), "bytes at the end")


@case("where the cache's file is a link of the damaged one, the shard is fetched anew", "stopped")
def _(d):
    with Scene(d) as s:
        a, i = first(s)
        s.vanish(a, remove=True)
        b = s.machine()
        further(b, i, 20)
        bad = damaged(b, i)
        eq(len([p for p in glob.glob(f"{b.state}/cache/sha256/*") if os.path.samefile(p, bad)]), 1, "the cache's file")
        further(b, i, 30)
        mended(b, i)


@case("a job begins from a checkpoint in shards that only the bucket has, by job:// and by its address", "stopped")
def _(d):
    with Scene(d) as s:
        a, i = first(s, epochs=2)
        folder = verified(a, i)["durability"]["uri"]
        whole = a.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.safetensors").body
        s.vanish(a, remove=True)
        b = s.machine()

        def begins(name, address):
            w = b.submit(job(name, epochs=1, model=dict(job()["model"], checkpoint=address)))
            b.wait_state(w, "succeeded")
            has(b.job(w)["plan_summary"], "6 of 6")
        for n, address in enumerate((f"job://{i}/latest", f"{folder}checkpoint.json",
                                     f"{folder}checkpoint.json#sha256={hashlib.sha256(whole).hexdigest()}")):
            begins(f"warm{n}", address)
        eq(len([x for x in s.st.seen if x.method == "GET" and "/frozen-" in x.target and x.status in (200, 206)]), 1,
           "times that the shard was fetched")
        cached = {os.path.basename(p) for p in glob.glob(f"{b.state}/cache/sha256/*")}
        assert hashlib.sha256(whole).hexdigest() in cached, "the file is that which the API gives"
        wrong = f"{folder}checkpoint.json#sha256={'0' * 64}"
        bad = b.submit(job("other", epochs=1, model=dict(job()["model"], checkpoint=wrong)))
        b.wait_state(bad, "failed", "paused")
        has(b.job(bad)["message"], "its model has the digest")


@case("a job takes the moments and their counts along of a checkpoint that only the bucket has", "stopped")
def _(d):
    def taken(m, a):
        i = m.submit(job("child", epochs=2, frozen=(), model={"arch": "mlp", "sizes": [784, 128, 16, 10],
                                                              "checkpoint": f"job://{a}/latest"},
                         training={"epochs": 2, "batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003},
                                   "warm_start": {"optimizer": "moments"}}))
        m.wait_state(i, "succeeded")
        has(str(m.events(i)), "the optimizer's state of 4 tensors is taken along, after 90 updates")
        return bytes_of(steps(f"{m.state}/jobs/{i}")[-1])
    with Scene(d) as s:
        m, a = first(s, epochs=5)
        here = taken(m, a)
        written(m)
        s.vanish(m, remove=True)
        eq(taken(s.machine(), a), here, "bytes on a machine that has the checkpoint in the bucket alone")


run()
