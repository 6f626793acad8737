#!/usr/bin/env python3
"""A machine vanishes, or freezes and comes back: another goes on with its jobs
from the bucket, and they end with the bytes of undisturbed runs.

ROUNDS=2 SEED=1 by default, any number by variable.  The bucket is a real object
store's where one is installed, else a folder (file://); BUCKET=file for that.
"""
import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import time

import s3
from shared_bucket import Folder, bucket
from stub import Object
from t import SLOW, Daemon, Skip, case, csv, eq, has, limit, run, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "2"))
SEED = int(os.environ.get("SEED", "1"))
TAKEN = 7                       # what a daemon ends with whose jobs another has


def jobs(data):
    """Three that last some seconds, with different optimisers and cadences."""
    def job(name, model, optimizer, every, epochs, **training):
        return {"name": name, "model": model, "retries": 100, "resources": {"threads": 1, "memory": "128MiB"},
                "data": {"train": {"type": "csv", "path": data, "label": "class"}, "validation_split": 0.1},
                "training": dict(epochs=epochs, batch_size=32, optimizer=optimizer, **training),
                "checkpoint": {"every": every, "keep": {"last": 2, "best": 1}}}

    mlp = {"arch": "mlp", "sizes": [4, 320, 320, 3]}
    stack = {"layers": [{"type": "linear", "out": 2000}, {"type": "batch_norm"}, {"type": "relu"},
                        {"type": "dropout", "p": 0.2}, {"type": "linear", "out": 3}]}
    return [job("adam", mlp, {"type": "adam", "learning_rate": 0.002}, {"steps": 150}, 100,
                schedule={"type": "cosine", "warmup_steps": 100}),
            job("nesterov", mlp, {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
                {"steps": 100}, 130),
            job("dropout", stack, {"type": "adamw", "learning_rate": 0.002}, {"steps": 130}, 90)]


class World:
    def __init__(self, d):
        self.root, self.n, self.all = d.root, 0, []
        self.bucket = bucket(d.root)
        self.data = csv(f"{d.root}/data.csv", rows=1200)

    def daemon(self, name=None, mirror=True, stores=None, **more):
        """Started; on a directory of that name, or on a new one."""
        self.n += 1
        root = f"{self.root}/{name or f'm{self.n}'}"
        os.makedirs(root, exist_ok=True)
        config = {"stores": stores or self.bucket.stores, "ship": {"retry_base": 0.2, "retry_max": 1}}
        if mirror:
            config["mirror"] = {"prefix": self.bucket.uri, "instance": "gpu-a", "check": 0.5, **more}
        with open(f"{root}/rekindled.yaml", "w") as f:
            json.dump(config, f)
        d = Daemon(root, "--config", f"{root}/rekindled.yaml", "--threads", "3")
        self.all.append(d)
        return d.start()

    def owner(self, *a, **kw):
        d = self.daemon(*a, **kw)
        wait_for(60, "the jobs are its own", lambda: mirror(d)["state"] == "owner")
        return d

    def end(self):
        for d in self.all:
            vanish(d)


def mirror(d):
    return d.get("/v1/status").json["mirror"]


def vanish(d, remove=False):
    """As a machine does: daemon and trainers at once, perhaps the disk."""
    if d.proc and d.alive():
        d.proc.send_signal(signal.SIGSTOP)      # starts no more
    d.signal_trainers(signal.SIGKILL)
    d.kill()
    if remove:
        shutil.rmtree(d.state)


def weights(w, d, job):
    """Step and digests of the last checkpoint; from the bucket, if the job had
    ended before this machine got it."""
    at = f"jobs/{job}/checkpoints/"
    here = sorted(glob.glob(f"{d.state}/jobs/{job}/checkpoints/step-*"))
    there = sorted(k for k in w.bucket.keys(at) if k.endswith("/checkpoint.json"))
    if here and not (there and there[-1][len(at):][:14] > os.path.basename(here[-1])[:14]):
        return os.path.basename(here[-1])[:14], tuple(
            hashlib.sha256(open(p, "rb").read()).hexdigest() for p in sorted(glob.glob(f"{here[-1]}/*.safetensors")))
    note = there[-1].replace("/checkpoint.json", "/remote.json")
    files = sorted((f["name"], f["folder"]) for f in json.loads(w.bucket.get(note))["files"])
    return note[len(at):][:14], tuple(
        hashlib.sha256(w.bucket.get(f"{at}{folder}/{name}")).hexdigest() for name, folder in files)


_undisturbed = {}


def undisturbed(w):
    if not _undisturbed:
        d = w.daemon(mirror=False)
        ids = {j["name"]: d.submit(j) for j in jobs(w.data)}
        for name, i in ids.items():
            eq(d.wait_state(i, "succeeded", "failed", seconds=120)["state"], "succeeded")
            _undisturbed[name] = weights(w, d, i)
        vanish(d)
    return _undisturbed


def submit(w, d):
    return {j["name"]: d.submit(j) for j in jobs(w.data)}


def known(d, ids):
    """Every record and a checkpoint of each job is in the bucket."""
    def there():
        return mirror(d)["unwritten"] == 0 and all(
            any(c["durability"]["state"] in ("remote", "verified")
                for c in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]) for i in ids.values())
    wait_for(60, "records and checkpoints are in the bucket", there)


def finish(w, d, ids):
    want = undisturbed(w)
    for name, i in ids.items():
        j = d.wait_state(i, "succeeded", "failed", seconds=180)
        eq(j["state"], "succeeded", f"{name} ({j['message']})")
        eq(weights(w, d, i), want[name], f"the last checkpoint of {name}")


def each_round(name, fn):
    @case(name, "stopped")
    def _(d):
        rng = random.Random(f"{SEED} {name}")
        for n in range(ROUNDS):
            os.makedirs(f"{d.root}/{n}")
            d2 = Daemon(f"{d.root}/{n}")
            w = World(d2)
            try:
                fn(w, rng)
            except BaseException:
                print(f"    round {n} of SEED={SEED}")
                for x in w.all:
                    print(f"    --- {x.root}\n" + x.log()[-1800:])
                raise
            finally:
                w.end()
            if not os.environ.get("T_KEEP"):
                shutil.rmtree(d2.root)


def lineage(d, ids):
    """Which checkpoints each job has gone on from, and how far each got."""
    return {name: [(a["from"], a["start_step"]) for a in d.get(f"/v1/jobs/{i}/attempts").json["attempts"]]
            for name, i in ids.items()}


def machine_is_gone(w, rng):
    undisturbed(w)
    a = w.owner()
    ids = submit(w, a)
    known(a, ids)
    time.sleep(rng.uniform(0, 2.5) * SLOW)
    vanish(a, remove=True)
    b = w.owner()
    eq(mirror(b)["epoch"], 2)
    has(str(b.events(ids["adam"])), "taken over")
    finish(w, b, ids)
    for name, steps in lineage(b, ids).items():
        assert len(steps) == 1 or steps[-1][1] > 0, f"{name} began anew: {steps}"


def base(w, n):
    """{job: folders that count} of base n."""
    lines = [json.loads(x) for x in w.bucket.get(f"instances/gpu-a/base/{n:010d}.jsonl").decode().splitlines()]
    eq(lines[-1]["end"], len(lines) - 2)
    return {x["record"]["row"]["id"]: set(x["checkpoints"]) for x in lines if "record" in x}


def ends_without_the_first(w, b, ids):
    """b, the second owner, ends the jobs; what the first wrote late counts for
    nobody after it."""
    finish(w, b, ids)
    wait_for(60, "all is in the bucket", lambda: mirror(b)["unwritten"] == 0)
    vanish(b, remove=True)
    c = w.owner()
    before, after = base(w, 2), base(w, 3)
    for i in ids.values():
        late = {u for u in after[i] if "-e1/" in u} - before[i]
        assert not late, f"late checkpoints count: {late}"
        eq(c.job(i)["state"], "succeeded")


def machine_comes_back(w, rng):
    undisturbed(w)
    a = w.owner()
    ids = submit(w, a)
    known(a, ids)
    time.sleep(rng.uniform(0, 1.5) * SLOW)
    a.proc.send_signal(signal.SIGSTOP)          # its trainers go on
    b = w.owner()
    time.sleep(rng.uniform(0, 1.5) * SLOW)
    a.proc.send_signal(signal.SIGCONT)
    eq(a.proc.wait(limit(30)), TAKEN, "exit status of the one that came back")
    has(a.log(), "were taken over: epoch 2")
    wait_for(20, "its trainers leave", lambda: not a.trainers())
    ends_without_the_first(w, b, ids)


def older_directory_comes_back(w, rng):
    undisturbed(w)
    a = w.owner("first")
    ids = submit(w, a)
    known(a, ids)
    vanish(a)
    b = w.owner("second")
    known(b, ids)
    time.sleep(rng.uniform(0, 1.5) * SLOW)
    vanish(b)
    a = w.owner("first")
    eq(mirror(a)["epoch"], 3)
    finish(w, a, ids)
    for name, steps in lineage(a, ids).items():
        eq(sorted(s for _, s in steps), [s for _, s in steps], f"steps that {name} went on from")


def killed_while_it_takes_over(w, rng):
    undisturbed(w)
    a = w.owner()
    ids = submit(w, a)
    known(a, ids)
    vanish(a, remove=True)
    for _ in range(4):
        b = w.daemon(rng.choice(["half", "other", None]))
        time.sleep(rng.uniform(0, 0.4) * SLOW)
        vanish(b)
    c = w.owner()
    for i in ids.values():
        has(str(c.events(i)), "taken over")
    finish(w, c, ids)


def cut_off(w, rng):
    """Two daemons of one name; the first one sees the bucket no more."""
    if isinstance(w.bucket, Folder):
        raise Skip("a folder cannot be cut off")
    undisturbed(w)
    p = s3.Proxy(w.bucket.g.port)
    try:
        a = w.owner(stores=[w.bucket.g.store(url=p.url)])
        ids = submit(w, a)
        known(a, ids)
        p.partition(rng.choice(["refuse", "hang"]))
        b = w.owner()
        time.sleep(rng.uniform(0.5, 2) * SLOW)
        assert a.alive(), "it cannot know yet"
        p.heal()
        eq(a.proc.wait(limit(60)), TAKEN, "exit status of the one that was cut off")
        has(a.log(), "were taken over: epoch 2")
        wait_for(20, "its trainers leave", lambda: not a.trainers())
        ends_without_the_first(w, b, ids)
    finally:
        p.stop()


each_round("a machine that is gone is replaced and all jobs end with the same bytes", machine_is_gone)
each_round("a machine that was frozen stops by itself and nothing of it counts", machine_comes_back)
each_round("of two with one name the one that was cut off stops when it sees the bucket again", cut_off)
each_round("a directory that was replaced and comes back goes on from the bucket", older_directory_comes_back)
each_round("a daemon killed while it takes over leaves everything to the next", killed_while_it_takes_over)


@case("taken over from a machine that had sent no checkpoint a job waits, and begins anew only when told to", "stopped")
def _(d):
    w = World(d)
    w.bucket = Folder(d.root)
    try:
        a = w.owner()
        i = a.submit(dict(jobs(w.data)[0], hold=True))
        # nothing of its checkpoints gets through
        os.makedirs(f"{w.bucket.root}/jobs/{i}", exist_ok=True)
        with open(f"{w.bucket.root}/jobs/{i}/checkpoints", "w"):
            pass
        a.post(f"/v1/jobs/{i}/start", want=202)
        wait_for(60, "a checkpoint", lambda: a.job(i)["newest_known"])
        wait_for(60, "that is in the record", lambda: mirror(a)["unwritten"] == 0)
        vanish(a, remove=True)
        os.unlink(f"{w.bucket.root}/jobs/{i}/checkpoints")
        b = w.owner()
        wait_for(60, "it waits for its checkpoints", lambda: b.job(i)["reason"] == "checkpoints_missing")
        j = b.job(i)
        eq((j["state"], j["desired"]), ("paused", "run"))
        assert j["newest_known"]["step"] >= 150, j["newest_known"]
        b.post(f"/v1/jobs/{i}/resume", {"from": "none"}, want=202)
        wait_for(60, "it trains", lambda: b.job(i)["state"] == "running" and b.job(i)["newest_known"])
        eq(b.job(i)["lost_steps"], 0)
    finally:
        w.end()


@case("of a checkpoint that a newer rekindle sent the job says that it is passed over, and why", "stopped")
def _(d):
    w = World(d)
    w.bucket = Folder(d.root)
    try:
        a = w.owner()
        i = a.submit(dict(jobs(w.data)[0], training=dict(jobs(w.data)[0]["training"], epochs=12)))
        a.wait_state(i, "succeeded", seconds=60)
        wait_for(60, "that is in the record", lambda: mirror(a)["unwritten"] == 0)
        sent = [k for k in w.bucket.keys(f"jobs/{i}/") if k.endswith("/checkpoint.json")]
        assert len(sent) > 1, sent
        vanish(a, remove=True)
        record = json.loads(w.bucket.get(sent[-1]))
        record["version"], record["heads"] = 9, ["of a rekindle to come"]
        with open(f"{w.bucket.root}/{sent[-1]}", "w") as f:
            json.dump(record, f)
        b = w.owner()

        def told():
            events = b.get(f"/v1/jobs/{i}/events?limit=100").json["events"]
            return [e["message"] for e in events if e["kind"] == "remote_newer"]
        wait_for(60, "the event", told)
        has(told()[0], os.path.basename(os.path.dirname(sent[-1])))
        has(told()[0], "may go on from an older checkpoint: checkpoint.json: is of version 9, and this rekindle (")
    finally:
        w.end()


@case("a daemon that is replaced while it runs says by whom and is not started again by systemd", "stopped")
def _(d):
    w = World(d)
    try:
        a = w.owner()
        b = w.owner()
        eq(a.proc.wait(limit(30)), TAKEN)
        has(a.log(), f"by {os.uname().nodename}")
        eq(mirror(b)["epoch"], 2)
        here = os.path.dirname(os.path.abspath(__file__))
        unit = open(f"{here}/../../systemd/rekindled.service").read()
        assert re.search(rf"^RestartPreventExitStatus=.*\b{TAKEN}\b", unit, re.M), unit
    finally:
        w.end()


@case("a daemon that went on alone behind its own claim leaves to be started again, and then takes over", "stopped")
def _(d):
    # Its claim stops whoever went on meanwhile: with the exit code of a lost one nobody would have the jobs.
    w = World(d)
    st = s3.Store()
    w.bucket.uri, w.bucket.stores = "s3://b/team/", [st.store("s3://")]
    objects, at = st.buckets["b"], "team/instances/gpu-a/"
    try:
        a = w.owner("first")
        i = a.submit(dict(jobs(w.data)[0], hold=True))
        wait_for(30, "its record is there", lambda: mirror(a)["unwritten"] == 0)
        vanish(a)
        claim = objects[f"{at}epochs/0000000001.json"].body
        st.buckets["b"][f"{at}epochs/0000000002.json"] = Object(claim, "2", 0, {})
        gate = []

        def before(seen):
            while "0000000003" in "".join(objects) and not gate:
                time.sleep(0.02)
        st.before = before
        b = w.daemon("first", start_wait=0.5)
        wait_for(30, "it goes on alone", lambda: mirror(b)["state"] == "alone")
        assert f"{at}epochs/0000000003.json" in objects, "it has not claimed"
        line, rest = objects[f"{at}base/0000000001.jsonl"].body.split(b"\n", 1)
        head = dict(json.loads(line), epoch=2, claim="01hzzzzzzzzzzzzzzzzzzzzzzz")
        with st.lock:
            objects[f"{at}base/0000000002.jsonl"] = Object(json.dumps(head).encode() + b"\n" + rest, "b2", 0, {})
        gate.append(True)
        eq(b.proc.wait(limit(60)), 1, "exit status, upon which it is started again")
        has(b.log(), "started again, it takes them over")
        c = w.owner("first")
        eq((mirror(c)["epoch"], c.job(i)["state"]), (4, "held"))
        has(c.log(), "taking_over -> owner")
    finally:
        w.end()
        st.stop()


@case("an empty machine that cannot reach the bucket is not ready and says why", "stopped")
def _(d):
    w = World(d)
    w.bucket.uri = "s3://nobody/here/"
    w.bucket.stores = [{"match": "s3://", "endpoint": "http://127.0.0.1:1", "region": "us-east-1",
                        "access_key_id": "x", "secret_access_key": "y"}]
    try:
        a = w.daemon(start_wait=1)
        wait_for(60, "an error", lambda: mirror(a)["error"])
        eq(mirror(a)["state"], "claiming")
        r = a.call("GET", "/readyz")
        eq(r.status, 503, r.text)
        has(r.text, "127.0.0.1")
        assert "\"y\"" not in r.text + a.log()
    finally:
        w.end()


run()
