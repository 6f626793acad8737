#!/usr/bin/env python3
"""Checkpoints on their way to a real object store, on bad days: the job goes
on, nothing is lost, no half checkpoint is visible here or there, the log says
what happened, and it recovers by itself.

LONG=1: a minute of silence where a few seconds do otherwise, more kills.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import bucket
import s3
from proxy import after, answer, call, call_after, cut_down, cut_up, drop, edit, flip_down, flip_up
from s3 import Proxy, Store
from t import Skip, case, eq, has, limit, run, tiny, wait_for

LONG = bool(os.environ.get("LONG"))
MIB = 1 << 20


class Scene:
    """A daemon whose bucket lies behind a proxy."""

    def __init__(self, d, user=None, **ship):
        self.d, self.g, self.user = d, s3.rgw(), user
        self.g.heal()
        self.b = self.g.bucket(user)
        self.p = Proxy(self.g.port)
        self.push = f"s3://{self.b}/runs/"
        self.config = {"stores": [self.g.store(self.p.url, user)],
                       "ship": {"part_size": "5MiB", "retry_base": 0.2, "retry_max": 1, **ship}}

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.d.kill()
        self.p.stop()
        self.g.heal()

    def start(self, **env):
        bucket.rekindled(self.d, self.config, **env)
        return self

    def job(self, name="big", **more):
        return self.d.submit(bucket.big(self.d, name, push=self.push, **more))

    def whole(self):
        bucket.local(self.d.state)
        return bucket.checkpoints(self.g, self.b, "runs/")

    def newest(self, id):
        v = bucket.durability(self.d, id)
        last = sorted(v)[-1]
        return last, v[last]

    def shipped(self, id, seconds=60):
        """The job has succeeded, and its last checkpoint is verified."""
        j = self.d.wait_state(id, "succeeded", "failed", seconds=seconds)
        eq(j["state"], "succeeded", f"state ({j['message']})")
        wait_for(seconds, f"the last checkpoint is verified (it is {self.newest(id)})",
                 lambda: self.newest(id)[1]["state"] == "verified")
        last = self.newest(id)[0]
        assert any(f.startswith(last) for f in self.whole().get(id, [])), f"{last} is not in the bucket"
        return last

    def uploading(self, id, match="partNumber="):
        n = self.p.count("PUT", match)
        wait_for(30, "a checkpoint is on its way", lambda: self.p.count("PUT", match) > n)


def scene(sentence, **ship):
    def add(fn):
        def one(d):
            with Scene(d, **ship) as s:
                fn(s)
        case(sentence, "stopped")(one)
        return fn
    return add


def said(d, words):
    """How many lines of the daemon's log say so."""
    return sum(1 for line in d.log().splitlines() if re.search(words, line))


# --- good days ------------------------------------------------------------------------------

@scene("checkpoints go up behind the training and are verified; the oldest go again")
def _(s):
    s.start()
    id = s.job(epochs=8)
    s.shipped(id)
    wait_for(20, "what is kept here is kept there", lambda: len(s.whole().get(id, [])) <= 4)
    eq(s.g.uploads(s.b), [], "uploads left behind")
    metrics = s.d.get("/metrics").text
    has(metrics, "rekindle_ship_verified_total")
    assert float(re.search(r"^rekindle_remote_sent_bytes_total (\S+)", metrics, re.M).group(1)) > 12e6


@scene("a job that wants it succeeds only when its last checkpoint is verified there")
def _(s):
    s.start()
    s.p.partition("refuse")
    id = s.job(epochs=2, require=True)
    eq(s.d.wait_state(id, "paused", "succeeded", "failed")["reason"], "uploading", "what it waits for")
    time.sleep(0.5)
    eq(s.d.job(id)["state"], "paused", "state, the bucket being away")
    s.p.heal()
    s.shipped(id)


def curl(s, method, key, *more):
    r = subprocess.run(["curl", "-sS", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                        f"{s.g.id}:{s.g.secret}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-X", method,
                        *more, f"{s.g.url}/{s.b}/{key}"], capture_output=True)
    eq(r.returncode, 0, f"curl {method} {key} ({r.stderr[-300:]!r} {r.stdout[:300]!r})")
    return r.stdout


def trained(s):
    """best.safetensors of a job of this daemon, and the job."""
    id = s.d.submit(tiny(s.d, "teacher", epochs=4))
    s.d.wait_state(id, "succeeded")
    best = s.d.get(f"/v1/jobs/{id}/checkpoints/best").json["checkpoint"]
    return f"{s.d.state}/jobs/{id}/checkpoints/{best}/model.safetensors"


@scene("curl reads what we wrote, and what curl puts warm-starts a job by s3://")
def _(s):
    s.start()
    id = s.job(epochs=2)
    last = s.shipped(id)
    folder = [f for f in s.whole()[id] if f.startswith(last)][0]
    key = f"runs/jobs/{id}/checkpoints/{folder}/model.safetensors"
    with open(f"{s.d.state}/jobs/{id}/checkpoints/{last}/model.safetensors", "rb") as f:
        assert curl(s, "GET", key) == f.read(), "curl reads something else"
    path = trained(s)
    curl(s, "PUT", "models/best.safetensors", "--upload-file", path)
    job = tiny(s.d, "pupil", epochs=1)
    job["model"]["checkpoint"] = f"s3://{s.b}/models/best.safetensors"
    job["training"]["resume_from"] = "latest"
    pupil = s.d.submit(job)
    s.d.wait_state(pupil, "succeeded")
    actions = {t["action"] for t in s.d.job(pupil)["plan"]["tensors"]}
    eq(actions, {"copy"}, "what was done with the tensors")


@scene("awscli reads what we wrote, and what it puts warm-starts a job by s3://")
def _(s):
    if not shutil.which("aws"):
        raise Skip("awscli is not in PATH")
    s.start()
    id = s.job(epochs=2)
    s.shipped(id)

    def aws(*argv):
        r = subprocess.run(["aws", "s3", *argv], env=s.g.env(), capture_output=True, text=True)
        eq(r.returncode, 0, f"aws s3 {argv} ({r.stderr})")
    aws("sync", f"s3://{s.b}/runs/", f"{s.d.root}/copy", "--quiet")
    for folder in s.whole()[id]:
        for name in ("checkpoint.json", "remote.json"):
            assert os.path.exists(f"{s.d.root}/copy/jobs/{id}/checkpoints/{folder}/{name}")
    aws("cp", trained(s), f"s3://{s.b}/models/best.safetensors", "--quiet")
    job = tiny(s.d, "pupil", epochs=1)
    job["model"]["checkpoint"] = f"s3://{s.b}/models/best.safetensors"
    s.d.wait_state(s.d.submit(job), "succeeded")


@case("a checkpoint that is in the bucket alone is shown by its folder's name and by the names that people gave", "stopped")
def _(d):
    bucket.rekindled(d, {})
    job = tiny(d, epochs=3, checkpoint={"every": {"steps": 50}, "push": f"file://{d.root}/bucket/"})
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    wait_for(20, "all are verified", lambda: {x["state"] for x in bucket.durability(d, i).values()} == {"verified"})
    newest = d.get(f"/v1/jobs/{i}/checkpoints/latest").json
    at = f"/v1/jobs/{i}/checkpoints"
    eq(d.call("PATCH", f"{at}/latest", {"name": "good"}).status, 200)
    names = f"{d.root}/bucket/jobs/{i}/checkpoints/{newest['checkpoint']}/names.json"
    wait_for(20, "the name is there", lambda: os.path.exists(names))
    shutil.rmtree(f"{d.state}/jobs/{i}/checkpoints/{newest['checkpoint']}")
    os.unlink(f"{d.state}/jobs/{i}/checkpoints/good")
    for name in (newest["checkpoint"], "good", "latest"):
        r = d.get(f"{at}/{name}").json
        if name != "latest":
            eq((r["checkpoint"], r["local"], r["digest"]), (newest["checkpoint"], False, newest["digest"]), name)
    shutil.rmtree(f"{d.state}/jobs/{i}/checkpoints")
    eq(d.get(f"{at}/latest").json["checkpoint"], newest["checkpoint"], "latest of a job without any of its own")
    d.get(f"{at}/other", want=404)


@case("a checkpoint that is the best here and not in the bucket, which knows one as good, is sent once", "stopped")
def _(d):
    bucket.rekindled(d, {})
    job = tiny(d, epochs=100000, checkpoint={"every": {"epochs": 40}, "push": f"file://{d.root}/bucket/", "keep": {
        "last": 1, "best": 1, "metric": "val_top5"}})       # of three classes: it is 1 from the start
    i = d.submit(job)
    wait_for(30, "it has some", lambda: (d.job(i)["newest_known"] or {"step": 0})["step"] > 57 * 80)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    paused = d.wait_state(i, "paused")
    wait_for(20, "all are verified", lambda: {x["state"] for x in bucket.durability(d, i).values()} == {"verified"})
    eq(d.stop(), 0)
    oldest, *rest = bucket.local(d.state)[i]
    assert rest, "the best is the newest, too"
    shutil.rmtree(f"{d.state}/jobs/{i}/checkpoints/{oldest}")
    bucket.rekindled(d, {})
    epochs = paused["newest_known"]["step"] // 57 + 200
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": epochs}}}, want=202)
    d.wait_state(i, "succeeded", seconds=60)
    wait_for(20, "all are verified", lambda: {x["state"] for x in bucket.durability(d, i).values()} == {"verified"})
    other = d.submit(tiny(d, "other", checkpoint=job["checkpoint"]))
    d.wait_state(other, "succeeded", seconds=60)
    wait_for(20, "and of another job", lambda: {x["state"] for x in bucket.durability(d, other).values()} == {"verified"})
    pushed = [e["data"]["checkpoint"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"]
              if e["kind"] == "pushed"]
    eq({x: pushed.count(x) for x in pushed}, {x: 1 for x in pushed}, "how often each was sent")
    there = bucket.durability(d, i)
    eq((oldest in there, len(there)), (True, 3), f"the bucket's best, the best here and the last ({there})")


@case("an OSS bucket gets checkpoints, too, whole and by its own signature", "stopped")
def _(d):
    st = Store(region="cn-hangzhou")
    bucket.rekindled(d, {"stores": [st.store("oss://")], "ship": {"part_size": "5MiB"}})
    id = d.submit(bucket.big(d, epochs=2, push="oss://b/runs/", require=True))
    d.wait_state(id, "succeeded", "failed")
    keys = [k for k in st.buckets["b"] if k.endswith("/checkpoint.json")]
    assert keys, "no checkpoint in the bucket"
    for k in keys:
        folder = k.rsplit("/", 1)[0]
        for f in json.loads(st.buckets["b"][k].body)["files"]:
            o = st.buckets["b"].get(f"{folder}/{f['name']}")
            assert o is None or bucket.sha(o.body) == f["sha256"], f"{folder}/{f['name']} is damaged"
    put = [s for s in st.seen if s.method == "PUT" and s.target.endswith("/checkpoint.json")]
    assert all(s.headers.get("x-oss-forbid-overwrite") == "true" for s in put), "not put if absent"
    eq({s.dialect for s in st.seen}, {"oss4"}, "dialects")
    st.stop()


# --- bad days -------------------------------------------------------------------------------

@scene("a gateway that is killed and comes back, again and again, costs freshness alone")
def _(s):
    s.start()
    id = s.job(epochs=7)
    for _ in range(3):
        s.uploading(id)
        s.g.kill_gateway()
        time.sleep(0.7)
        s.g.start_gateway()
        s.whole()
    s.shipped(id)
    bad, good = said(s.d, "cannot send"), said(s.d, "works again")
    assert bad <= 3 and good == bad, f"the log says {bad} times that it began, {good} times that it ended"


@scene("a store that is silent (LONG: for a minute) does not hold up the training")
def _(s):
    s.start()
    id = s.job(epochs=7)
    s.uploading(id)
    s.g.stop_osd()
    step = s.d.job(id)["progress"]["step"]
    time.sleep(60 if LONG else 3)
    went = s.d.job(id)
    s.g.cont_osd()
    assert went["state"] == "succeeded" or went["progress"]["step"] > step + 20, f"it stood still at {step}"
    s.shipped(id)


@scene("a partition, closed or silent, and then it goes on by itself")
def _(s):
    s.start()
    id = s.job(epochs=7)
    for how in ("refuse", "hang"):
        s.uploading(id)
        s.p.partition(how)
        time.sleep(1.5)
        s.whole()
        s.p.heal()
    s.shipped(id)


@scene("SlowDown by the gateway's own limit is lived with")
def _(s):
    door = s.g.gateway(max_concurrent=1)
    s.p.to = ("127.0.0.1", door.port)
    s.start()
    ids = [s.job(f"j{n}", epochs=4) for n in range(3)]
    for id in ids:
        s.shipped(id, seconds=90)
    assert s.p.count(status=503) > 0, "the gateway never said SlowDown"
    door.kill()


@case("a full quota stops no job, is said, and is over when there is room", "stopped")
def _(d):
    g = s3.rgw()
    u = g.user()
    with Scene(d, user=u) as s:
        g.quota(1 * MIB, u)
        s.start()
        id = s.job(epochs=4)
        d.wait_state(id, "succeeded")
        wait_for(20, f"the quota is in the checkpoint's error ({s.newest(id)})",
                 lambda: "QuotaExceeded" in str(s.newest(id)[1]))
        eq(said(d, "QuotaExceeded"), 1, "how often the log says it")
        g.quota(None, u)
        wait_for(60, f"it is verified ({s.newest(id)})", lambda: s.newest(id)[1]["state"] == "verified")


@case("a wrong secret stops no job, is said, and is shown to nobody", "stopped")
def _(d):
    with Scene(d) as s:
        secret = "wrong-secret-" + "z" * 20
        s.config["stores"][0]["secret_access_key"] = secret
        s.start(REKINDLE_TEST="1", AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=secret)
        id = s.job(epochs=6)
        seen = set()
        while d.job(id)["state"] != "succeeded":
            for p in d.trainers():
                try:
                    with open(f"/proc/{p}/environ", "rb") as f:
                        seen.add(secret.encode() in f.read())
                except OSError:
                    pass
            time.sleep(0.05)
        eq(seen, {False}, "is the secret in a trainer's environment")
        wait_for(20, f"the refusal is in the checkpoint's error ({s.newest(id)})",
                 lambda: "SignatureDoesNotMatch" in str(s.newest(id)[1]))
        eq(said(d, "SignatureDoesNotMatch"), 1, "how often the log says it")
        d.proc.send_signal(signal.SIGTERM)
        d.proc.wait(limit(15))          # it does not wait for what is refused
        for root, _, names in os.walk(d.root):
            for name in names:
                if name == "rekindled.yaml":
                    continue
                with open(f"{root}/{name}", "rb") as f:
                    assert secret.encode() not in f.read(), f"the secret is in {root}/{name}"
        eq(bucket.checkpoints(s.g, s.b), {})


@scene("every kind of trouble at random, for as long as the job runs, and then all is there")
def _(s):
    r = random.Random(5)
    lie = answer(200, "InternalError")

    def trouble(seen):
        if r.random() > 0.25:
            return None
        up = int(seen.headers.get("content-length", 0))
        return r.choice([cut_up(r.randrange(max(up, 1))), flip_up(r.randrange(max(up, 1))), drop(), cut_down(10),
                         answer(503, "SlowDown"), answer(500, "InternalError"), after(answer(500, "InternalError")),
                         lie if seen.method == "POST" else drop(),
                         edit({"Content-Length": "7"}) if seen.method == "HEAD" else cut_down(0)])
    s.p.rule(call(trouble), times=None)
    s.start()
    id = s.job(epochs=8)
    while s.d.job(id)["state"] not in ("succeeded", "failed"):
        s.whole()
        time.sleep(0.3)
    s.p.clear()
    s.shipped(id)


@scene("a daemon killed with -9 at every stage of an upload goes on where it was")
def _(s):
    """Skips counts requests, so that each restart dies one request later."""
    s.start()
    kills, n, id = 0, 0, s.job(epochs=400, every=200)
    rng = random.Random(int(os.environ.get("SEED", "3")))
    while kills < (60 if LONG else 14):
        n = n + 1 if kills < 9 else rng.randrange(1, 30)
        s.p.clear()
        hit = threading.Event()

        def die(seen):
            if not hit.is_set():
                hit.set()
                s.d.proc.kill()
        s.p.rule(call(die) if rng.random() < 0.5 else call_after(die), skip=n)
        if not hit.wait(limit(40)):
            break
        s.d.proc.wait()
        s.d.kill()
        kills += 1
        s.whole()
        s.start()
    assert kills >= 10, f"killed only {kills} times"
    s.p.clear()
    wait_for(60, f"one is verified ({bucket.durability(s.d, id)})",
             lambda: any(v["state"] == "verified" for v in bucket.durability(s.d, id).values()))
    s.d.post(f"/v1/jobs/{id}/cancel")
    s.d.wait_state(id, "cancelled", "succeeded")
    s.whole()


@case("a large upload goes on after kill -9 at the part where it was", "stopped")
def _(d):
    with Scene(d) as s:
        s.start()
        s.p.rate = 8e6
        job = bucket.big(d, epochs=1, every=10000, push=s.push)
        job["model"]["sizes"] = [4, 2400, 2400, 3]      # 23 MB, and twice that of moments
        id = d.submit(job)
        wait_for(60, "four parts are there", lambda: s.p.count("PUT", "optimizer.*partNumber=", 200) >= 4)
        d.kill()
        part = re.compile(r"partNumber=(\d+).*uploadId=([^&]+)")
        done = {part.search(x.target).groups() for x in s.p.seen if part.search(x.target) and x.status == 200}
        s.p.rate = None
        s.p.seen.clear()
        s.start()
        s.shipped(id)
        again = {part.search(x.target).groups() for x in s.p.seen if part.search(x.target)}
        assert not done & again, f"sent again: {sorted(done & again)}"
        assert {u for _, u in done} & {u for _, u in again}, "the upload was begun anew"


# --- pulls ----------------------------------------------------------------------------------

@scene("a model that comes over a line that breaks is fetched once, by range, and is right")
def _(s):
    s.start()
    path = trained(s)
    with open(path, "rb") as f:
        body = f.read()
    s.g.put(s.b, "m.safetensors", body)
    for n in (0, 100, 1000):
        s.p.rule(cut_down(n), "GET", "m.safetensors")
    s.p.rule(flip_down(50), "GET", "m.safetensors")
    ids = []
    for n in range(3):
        job = tiny(s.d, f"pupil{n}", epochs=1)
        job["model"]["checkpoint"] = f"s3://{s.b}/m.safetensors#sha256={bucket.sha(body)}"
        ids.append(s.d.submit(job))
    for id in ids:
        j = s.d.wait_state(id, "succeeded", "failed")
        eq(j["state"], "succeeded", f"state ({j['message']})")
    assert s.p.count("GET", "m.safetensors", 200) + s.p.count("GET", "m.safetensors", 206) <= 8, "fetched for each"


@scene("a model that is not there, or other than promised, fails the job with a sentence")
def _(s):
    s.start()
    for uri, words in ((f"s3://{s.b}/nothing", "nothing"),
                       ("s3://no-such-bucket-here/x", "no-such-bucket-here"),
                       (f"s3://{s.b}/other#sha256={'0' * 64}", "SHA-256")):
        s.g.put(s.b, "other", b"something else")
        job = tiny(s.d, "pupil", epochs=1)
        job["model"]["checkpoint"] = uri
        id = s.d.submit(job)
        j = s.d.wait_state(id, "failed", "paused")
        has(j["message"], words)


@case("a disk that fills while a model comes down pauses that job alone, and it goes on with room", "stopped")
def _(d):
    with Scene(d) as s:
        os.makedirs(d.state, exist_ok=True)
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=750", "none", d.state],
                           capture_output=True, text=True)
        if r.returncode != 0:
            raise Skip(f"a file system cannot be mounted here: {r.stderr.strip()}")
        s.config["disk"] = {"reserve": "1MiB", "check": 0.3}
        body = random.Random(1).randbytes(64 * MIB)
        s.g.put(s.b, "large", body)
        s.start()
        job = tiny(d, "pupil", epochs=1)
        job["model"]["checkpoint"] = f"s3://{s.b}/large"
        id = d.submit(job)
        other = d.submit(tiny(d, "other", epochs=2))
        d.wait_state(other, "succeeded")
        j = d.wait_state(id, "paused", "failed")
        eq((j["state"], j["reason"]), ("paused", "disk_full"), j["message"])
        has(j["message"], "are free")
        subprocess.run(["mount", "-o", "remount,size=200m", d.state], check=True)
        # It is no model, and that is what is said when it could be fetched.
        j = d.wait_state(id, "failed", seconds=60)
        assert not re.search("disk|room|space", j["message"]), j["message"]


run()
