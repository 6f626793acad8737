#!/usr/bin/env python3
"""A daemon whose clock, keys, certificates, disk or line are wrong, or who dies at
a named moment: checkpoints go on where they were, nobody sees a secret, and what
is shown of them is so.

LONG=1: a daemon dies before and behind each stage.
"""
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import bucket
import s3
from clouds import Cloud, saved, utc
from metadata import Metadata
from proxy import answer, call, call_after, cut_up
from s3 import Proxy, Store
from t import BUILD, Patience, Skip, case, crowd, csv, eq, has, limit, run, tiny, wait_for

LONG = bool(os.environ.get("LONG"))
MIB = 1 << 20
SHIP = {"part_size": "5MiB", "retry_base": 0.2, "retry_max": 1}
TEAM = {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 1}


def said(d, words):
    return sum(1 for line in d.log().splitlines() if re.search(words, line))


def verified(d, id, seconds=60):
    """The newest checkpoint is."""
    def there():
        v = bucket.durability(d, id)
        return v and v[sorted(v)[-1]]["state"] == "verified" and sorted(v)[-1]
    return wait_for(seconds, f"the newest checkpoint is verified ({bucket.durability(d, id)})", there)


def once(d, *a, **kw):
    """A job that saves when it is told to, and not else."""
    job = bucket.big(d, *a, epochs=100000, every=100000, **kw)
    job["checkpoint"]["keep"] = {"last": 3, "best": 0}
    return job


def vanish(d, disk=False):
    """As a machine does."""
    d.proc.send_signal(signal.SIGSTOP)      # starts no more
    d.signal_trainers(signal.SIGKILL)
    d.kill()
    if disk:
        shutil.rmtree(d.state)


def owner(d):
    wait_for(30, "the jobs are its own", lambda: d.get("/v1/status").json["mirror"]["state"] == "owner")
    return d


# --- the clock ------------------------------------------------------------------------------

@case("a clock twenty minutes off, either way, costs checkpoints and records nothing", "stopped")
def _(d):
    for n, off in enumerate((1200, -1200)):
        st = Store()
        st.clock = off
        bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": SHIP, "mirror": TEAM})
        id = owner(d).submit(bucket.big(d, epochs=2, require=True))
        eq(d.wait_state(id, "succeeded", "failed")["state"], "succeeded")
        verified(d, id)
        wait_for(10, "every record is there", lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0)
        eq(said(d, "the clock of"), n + 1, "how often the log says it")
        refused = sum(s.code == "RequestTimeTooSkewed" for s in st.seen)
        assert 1 <= refused <= 4, f"{refused} requests were refused"
        eq({s.code for s in st.seen if s.status >= 400 and "/probe/" not in s.target} - {"RequestTimeTooSkewed", "NoSuchKey"}, set(), "trouble")
        d.stop()
        shutil.rmtree(d.state)
        st.stop()


@case("a notice counts by the clock that gave it, our own being twenty minutes off", "stopped")
def _(d):
    for off in (-1200, 1200):
        c = Cloud("aws")
        c.clock = off
        bucket.rekindled(d, c.config())
        id = d.submit(tiny(d, epochs=200000, checkpoint={"every": {"epochs": 1000}}))
        d.wait_state(id, "running")
        wait_for(10, "asked", lambda: c.asked("instance-action") > 1)
        c.notice(30)
        wait_for(10, "the notice is heard", lambda: "preempt: everything is to be saved" in d.log())
        within = float(re.findall(r"to be saved within ([0-9.]+) s", d.log())[-1])
        assert 20 < within <= 30, f"within {within} s"
        saved(d)
        eq(said(d, "warn preempt: AWS takes"), 1, "how often the log has the notice")
        d.stop()
        c.close()
        os.remove(f"{d.root}/daemon.log")
        shutil.rmtree(d.state)


# --- keys -----------------------------------------------------------------------------------

def looks(d, secrets, seen):
    """Where secrets stand that a trainer could read."""
    for p in d.trainers():
        for name in ("environ", "cmdline"):
            try:
                with open(f"/proc/{p}/{name}", "rb") as f:
                    text = f.read()
            except OSError:
                continue
            seen.add((name, any(s.encode() in text for s in secrets)))


def shown_to_nobody(d, st, id, secrets):
    def absent(what, text):
        for n, s in enumerate(secrets):
            assert s.encode() not in text, f"secret {n} is in {what}"
    for path in ("/v1/status", "/metrics", f"/v1/jobs/{id}", f"/v1/jobs/{id}/events?limit=500", "/v1/jobs",
                 f"/v1/jobs/{id}/checkpoints", f"/v1/jobs/{id}/attempts"):
        absent(path, d.get(path).body)
    for key, o in list(st.buckets["b"].items()):
        absent(key, o.body + json.dumps(o.meta).encode())
    d.stop()
    for root, _, names in os.walk(d.root):
        for name in names:
            with open(f"{root}/{name}", "rb") as f:
                absent(f"{root}/{name}", f.read())


def token_expires(d, dialect):
    """Its keys come from the machine's role."""
    st = Store(region="cn-hangzhou" if dialect == "oss" else "us-east-1")
    first, second = st.session(3600), st.session(3600)
    m = Metadata(first.id, first.secret, first.token)
    cloud = "alibaba" if dialect == "oss" else "aws"

    def before(seen):
        if "partNumber=2" in seen.target and m.keys[0] == first.id:
            m.keys = (second.id, second.secret, second.token)
            st.expire(first)
    st.before = before
    bucket.rekindled(d, {"log_level": "debug", "metadata": {cloud: m.url}, "ship": SHIP, "stores": [
        {"match": f"{dialect}://", "endpoint": st.url, "region": st.region, "addressing": "path",
         "credentials": "instance"}]})
    secrets, seen = [k for s in (first, second) for k in (s.secret, s.token)], set()
    job = bucket.big(d, epochs=1, every=100000, push=f"{dialect}://b/runs/", require=True)
    job["model"]["sizes"] = [4, 820, 820, 3]        # two parts of the optimizer's
    id = d.submit(job)
    wait_for(60, "it has ended", lambda: looks(d, secrets, seen) or d.job(id)["state"] in ("succeeded", "failed"))
    eq(d.job(id)["state"], "succeeded", d.job(id)["message"])
    eq(m.keys[0], second.id, "the keys in use")
    expired = [s for s in st.seen if s.code in ("ExpiredToken", "SecurityTokenExpired")]
    assert 1 <= len(expired) <= 4, f"{len(expired)} answers that the token has expired"
    eq(said(d, "cannot send"), 0, "trouble in the log")
    eq(seen, {("environ", False), ("cmdline", False)}, "are secrets with the trainers")
    shown_to_nobody(d, st, id, secrets + sorted(m.sessions))
    m.close()
    st.stop()


@case("a role's token that expires within an upload is replaced, and seen by nobody (S3)", "stopped")
def _(d):
    token_expires(d, "s3")


@case("a role's token that expires within an upload is replaced, and seen by nobody (OSS)", "stopped")
def _(d):
    token_expires(d, "oss")


@case("a token that has expired stops no job, is said once, and is over when the file has others", "stopped")
def _(d):
    st = Store()
    first, second = st.session(3600), st.session(3600)

    def write(key):
        with open(f"{d.root}/new", "w") as f:
            f.write(f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
                    f"aws_session_token = {key.token}\n")
        os.rename(f"{d.root}/new", f"{d.root}/credentials")
    st.before = lambda seen: "partNumber=1" in seen.target and st.expire(first)
    write(first)
    bucket.rekindled(d, {"ship": SHIP, "stores": [
        {"match": "s3://", "endpoint": st.url, "addressing": "path", "credentials": "profile"}]},
        AWS_SHARED_CREDENTIALS_FILE=f"{d.root}/credentials")
    id = d.submit(bucket.big(d, epochs=4, push="s3://b/runs/"))
    d.wait_state(id, "succeeded")
    wait_for(20, "the checkpoint's error has it", lambda: "ExpiredToken" in str(bucket.durability(d, id)))
    eq(said(d, "cannot send.*ExpiredToken"), 1, "how often the log says it")
    eq([k for k in st.buckets["b"] if k.endswith("/checkpoint.json")], [], "what can be seen in the bucket")
    write(second)
    verified(d, id)
    eq(said(d, "works again"), 1, "how often the log says that it is over")
    st.stop()


@case("a store whose certificate another signed stops no job and gets nothing until it is trusted", "stopped")
def _(d):
    g = s3.rgw()
    b, door = g.bucket(), g.gateway(tls=True)
    config = {"stores": [g.store(door.url, ca_file=s3.certificate(d.root, "other"))], "ship": SHIP}
    bucket.rekindled(d, config)
    id = d.submit(bucket.big(d, epochs=4, push=f"s3://{b}/runs/"))
    d.wait_state(id, "succeeded")
    wait_for(20, "the checkpoint's error has it", lambda: "certificate" in str(bucket.durability(d, id)).lower())
    time.sleep(1)
    eq(said(d, "(?i)cannot send.*certificate"), 1, "how often the log says it")
    t = time.monotonic()
    eq(d.stop(), 0)
    assert time.monotonic() - t < limit(10), "it waited for what is refused"
    eq(g.keys_of(b), [])
    config["stores"] = [g.store(door.url, ca_file=door.ca)]
    bucket.rekindled(d, config)
    last = verified(d, id)
    assert any(f.startswith(last) for f in bucket.checkpoints(g, b, "runs/")[id])
    door.kill()


# --- the disk -------------------------------------------------------------------------------

@case("a disk that is full while a checkpoint comes down is a pause, and it goes on by itself", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    config = {"stores": [g.store()], "ship": SHIP, "disk": {"reserve": "1MiB", "check": 0.3},
              "mirror": dict(TEAM, prefix=f"s3://{b}/team/")}
    bucket.rekindled(d, config)
    job = bucket.big(d, epochs=100000, every=40)
    job["model"]["sizes"] = [4, 1600, 1600, 3]      # 31 MB with Adam's moments
    job["checkpoint"]["keep"] = {"last": 1, "best": 0}
    id = owner(d).submit(job)
    verified(d, id)
    wait_for(20, "its record is there", lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0)
    vanish(d, disk=True)
    os.mkdir(d.state, 0o750)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=750", "none", d.state],
                       capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip(f"a file system cannot be mounted here: {r.stderr.strip()}")
    owner(bucket.rekindled(d, config))
    j = d.wait_state(id, "paused", "failed")
    eq((j["state"], j["reason"]), ("paused", "disk_full"), j["message"])
    eq(bucket.local(d.state), {}, "what is here")
    subprocess.run(["mount", "-o", "remount,size=200m", d.state], check=True)
    wait_for(30, f"it goes on ({d.job(id)['message']})", lambda: d.job(id)["state"] == "running")
    a = d.get(f"/v1/jobs/{id}/attempts").json["attempts"][-1]
    assert a["start_step"] > 0, f"it began anew: {a}"
    eq(said(d, "paused.*disk_full|disk_full.*paused|-> paused"), 1, "how often the log says it")
    d.post(f"/v1/jobs/{id}/cancel")
    d.wait_state(id, "cancelled", "succeeded")
    bucket.checkpoints(g, b, "team/")


# --- what is shown --------------------------------------------------------------------------

class Line:
    """A daemon whose bucket lies behind a proxy."""

    def __init__(self, d, mirror=False, **more):
        self.d, self.g = d, s3.rgw()
        self.b = self.g.bucket()
        self.p = Proxy(self.g.port)
        self.push = None if mirror else f"s3://{self.b}/runs/"
        self.config = {"stores": [self.g.store(self.p.url)], "ship": SHIP, **more}
        if mirror:
            self.config["mirror"] = dict(TEAM, prefix=f"s3://{self.b}/team/")

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.d.kill()
        self.p.stop()

    def start(self, *flags, **env):
        return bucket.rekindled(self.d, self.config, *flags, **env)

    def gauge(self, name):
        m = re.search(rf"^{name} (\S+)$", self.d.get("/metrics").text, re.M)
        return float(m.group(1)) if m else None


def line(sentence, mirror=False, **more):
    def add(fn):
        def one(d):
            with Line(d, mirror, **more) as s:
                fn(s)
        case(sentence, "stopped")(one)
        return fn
    return add


@line("a checkpoint shows how far it is, and /metrics the bytes, retries, throughput and age")
def _(s):
    s.start()
    s.p.rate = 12e6
    for n in (100000, 300000):
        s.p.rule(cut_up(n), "PUT", "partNumber=")
    job = once(s.d, push=s.push)
    job["model"]["sizes"] = [4, 2000, 2000, 3]      # 48 MB with Adam's moments
    id = s.d.submit(job)
    s.d.wait_state(id, "running")
    eq(s.gauge("rekindle_ship_verified_total"), 0)
    s.d.post(f"/v1/jobs/{id}/checkpoints", {"name": "now"}, want=201)
    seen, cli, state, end = [], None, "", Patience(60)
    while state != "verified" and not end.spent():
        v = list(bucket.durability(s.d, id).values())
        state = v[0]["state"] if v else "local"
        if not v or seen[-1:] != [(state, v[0]["percent"])]:
            seen.append((state, v[0]["percent"] if v else None))
        if state == "uploading" and v[0]["percent"] > 0 and not cli:
            eq(s.gauge(r'rekindle_ship_checkpoints\{state="uploading"\}'), 1)
            cli = subprocess.Popen([f"{BUILD}/rekindle", "checkpoints", id], stdout=subprocess.PIPE, text=True,
                                   env=dict(os.environ, REKINDLE_SERVER=s.d.url))
        time.sleep(0.02)
    order = [x for n, (x, _) in enumerate(seen) if n == 0 or seen[n - 1][0] != x]
    assert order[-1] == "verified" and "uploading" in order, order
    eq(order, [x for x in ("local", "queued", "uploading", "remote", "verified") if x in order], "states")
    percents = [p for x, p in seen if x == "uploading"]
    assert len({p for p in percents if 0 < p < 100}) >= 4, f"percents {percents}"
    eq([p for x, p in seen if x != "uploading"], [None] * (len(seen) - len(percents)), "percents of the others")
    has(cli.communicate()[0], "uploading ")
    for name in ("rekindle_remote_sent_bytes_total", "rekindle_ship_pushed_bytes_total"):
        assert s.gauge(name) > 48e6, f"{name} is {s.gauge(name)}"
    eq((s.gauge("rekindle_ship_pushed_total"), s.gauge("rekindle_ship_verified_total")), (1, 1))
    assert s.gauge("rekindle_remote_retries_total") >= 2, "the retries are not counted"
    assert 2e6 < s.gauge("rekindle_remote_upload_bytes_per_second") < 18e6, "it is not as fast as the line"
    age = s.gauge("rekindle_remote_checkpoint_age_seconds")
    assert 0 <= age < 20, age
    wait_for(10, "it grows older", lambda: s.gauge("rekindle_remote_checkpoint_age_seconds") > age + 0.5)
    s.p.rate = None
    s.d.post(f"/v1/jobs/{id}/checkpoints", {"name": "again"}, want=201)
    wait_for(20, "a newer one is younger", lambda: s.gauge("rekindle_remote_checkpoint_age_seconds") < age)


@line("a running job that never got anything into the bucket is as old as it is, not young")
def _(s):
    s.start()
    s.p.partition("refuse")
    id = s.d.submit(bucket.big(s.d, epochs=100000, push=s.push))
    s.d.submit(tiny(s.d, "goes-nowhere", epochs=100000))
    s.d.wait_state(id, "running")
    wait_for(10, "its age grows", lambda: (s.gauge("rekindle_remote_checkpoint_age_seconds") or 0) > 4)
    s.p.heal()
    wait_for(30, "a checkpoint makes it younger", lambda: s.gauge("rekindle_remote_checkpoint_age_seconds") < 4)


# --- the way out ----------------------------------------------------------------------------

@line("what cannot be sent in time is the least important, and events and the bucket say so", mirror=True)
def _(s):
    s.start("--threads", "3")
    owner(s.d)
    slower = crowd()
    s.p.rate = 6e6 / slower
    ids = {}
    for name, priority in (("low", 1), ("high", 9), ("middle", 5)):
        job = once(s.d, name)
        job["priority"] = priority
        ids[name] = s.d.submit(job)
    for id in ids.values():
        s.d.wait_state(id, "running")
    s.d.post(f"/v1/jobs/{ids['low']}/checkpoints", {"name": "first"}, want=201)
    wait_for(30, "the line's rate is known", lambda: [
        v for v in bucket.durability(s.d, ids["low"]).values() if v["state"] == "verified"])
    t = time.monotonic()
    s.d.post("/v1/drain", {"deadline_seconds": 6 * slower}, want=202)
    wait_for(20, "it has decided", lambda: "preempt: left after" in s.d.log())
    took = time.monotonic() - t
    assert took < 7.5 * slower, f"{took:.1f} s of {6 * slower:.1f}"
    newest = {n: os.path.basename(sorted(glob.glob(f"{s.d.state}/jobs/{i}/checkpoints/step-*"))[-1])
              for n, i in ids.items()}
    there = bucket.checkpoints(s.g, s.b, "team/")
    for name, yes in (("high", True), ("low", False)):      # two, if all goes well
        found = any(f.startswith(newest[name]) for f in there.get(ids[name], []))
        eq(found, yes, f"is the last checkpoint of {name} in the bucket ({took:.1f} s)")
        has(" ".join(s.d.events(ids[name])), "is in the bucket" if yes else "stays on this machine")
    has(" ".join(s.d.events(ids["low"])), "the bucket has step")
    # The last word goes up behind the decision.
    left = json.loads(wait_for(20, "how it left", lambda: s.g.get(
        s.b, "team/instances/gpu-a/left/0000000001.json")))["text"]
    for words in ("high: step [0-9,]+ is in the bucket", "low: step [0-9,]+ stays on this machine"):
        assert re.search(words, left), f"{words!r} is not in {left!r}"


@case("a recommendation to leave sends at once what waits for another try", "stopped")
def _(d):
    c = Cloud("aws")
    with Line(d, **c.config()) as s:
        s.config["ship"] = dict(SHIP, retry_base=60, retry_max=60)
        s.start()
        s.p.partition("refuse")
        id = d.submit(bucket.big(d, epochs=2, push=s.push))
        d.wait_state(id, "succeeded")
        wait_for(20, "it could not be sent", lambda: said(d, "cannot send"))
        s.p.heal()
        time.sleep(0.5)
        eq(s.g.keys_of(s.b), [], "what is there before")
        c.extra["rebalance"] = json.dumps({"noticeTime": utc(time.time())})
        verified(d, id, 20)
    c.close()


# --- killed at a named moment ---------------------------------------------------------------

STAGES = [("GET", r"/checkpoint\.json"), ("PUT", r"/remote\.json"), ("POST", r"\?uploads"), ("PUT", "partNumber=1"),
          ("PUT", "partNumber=2"), ("POST", "uploadId="), ("HEAD", "optimizer"), ("PUT", r"/metrics\.jsonl"),
          ("PUT", r"/checkpoint\.json"), ("GET", r"/remote\.json"), ("DELETE", r"/checkpoint\.json"),
          ("DELETE", "optimizer"), ("DELETE", r"/remote\.json")]


@line("a daemon killed before or behind each stage of a push and of a deletion goes on with it")
def _(s):
    s.start()
    job = bucket.big(s.d, epochs=100000, every=60, push=s.push)
    job["checkpoint"]["keep"] = {"last": 1, "best": 0}
    id = s.d.submit(job)
    for n, (method, match) in enumerate(STAGES * (2 if LONG else 1)):
        behind = (n + n // len(STAGES)) % 2
        hit = []

        def die(seen):
            if not hit:
                s.d.proc.kill()
                hit.append(seen)
        s.p.rule((call_after if behind else call)(die), method, match)
        wait_for(40, f"{method} {match}", lambda: hit)
        s.p.clear()
        s.d.proc.wait()
        s.d.kill()
        bucket.local(s.d.state)
        bucket.checkpoints(s.g, s.b, "runs/")
        s.start()
    wait_for(60, f"one is verified ({bucket.durability(s.d, id)})",
             lambda: any(v["state"] == "verified" for v in bucket.durability(s.d, id).values()))
    s.d.post(f"/v1/jobs/{id}/cancel")
    s.d.wait_state(id, "cancelled")
    # Of those that went nothing is left behind.
    wait_for(30, "one checkpoint is left, and no other folder", lambda:
             len(bucket.checkpoints(s.g, s.b, "runs/").get(id, [])) == 1 and
             len({k.split("/")[4] for k in s.g.keys_of(s.b)}) == 1)


def model_of(s, id):
    """The digest of the last checkpoint's model."""
    path = sorted(glob.glob(f"{s.d.state}/jobs/{id}/checkpoints/step-*/model.safetensors"))[-1]
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@line("a daemon killed at each request of a take-over leaves all of it to the next", mirror=True)
def _(s):
    d = s.d

    def job(name, epochs):
        return tiny(d, name, epochs=epochs, checkpoint={"every": {"steps": 5000}, "keep": {"last": 2, "best": 0}})
    s.start()
    owner(d)
    for epochs in (4000, 12000, 36000):
        alone = d.submit(job("undisturbed", epochs))
        d.wait_state(alone, "succeeded")
        want = model_of(s, alone)
        id = d.submit(job("taken", epochs))
        wait_for(20, "a checkpoint is in the bucket", lambda: [
            v for v in bucket.durability(d, id).values() if v["state"] == "verified"])
        # Records follow half a second behind; without the job's own nobody takes it over.
        wait_for(20, "so is the job's record", lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0)
        # One that is through already leaves nothing to go on with.
        if d.job(id)["state"] == "running":
            break
    vanish(d, disk=True)
    had = max(bucket.checkpoints(s.g, s.b, "team/")[id])
    n, kills = 0, 0
    while True:
        hit = []

        def die(seen):
            if not hit:
                d.proc.kill()
                hit.append(seen)
        rule = s.p.rule((call_after if n % 2 else call)(die), skip=n)
        s.start()
        wait_for(30, f"request {n}", lambda: hit or rule.skip > 0 and d.alive() and running(d, id))
        if not hit:
            break
        d.proc.wait()
        vanish(d, disk=n % 3 == 2)          # the same directory, half way, or an empty one
        s.p.clear()
        bucket.checkpoints(s.g, s.b, "team/")
        kills += 1
        n += 1 if n < 10 or LONG else 3
    s.p.clear()
    assert kills >= 10, f"killed only {kills} times"
    eq(d.wait_state(id, "succeeded", "failed")["state"], "succeeded")
    steps = [a["start_step"] for a in d.get(f"/v1/jobs/{id}/attempts").json["attempts"]]
    assert steps[-1] >= int(had[5:14]), f"it went on from {steps}, and {had} was there"
    eq(model_of(s, id), want, "the last model, against that of an undisturbed run")
    eq(d.job(alone)["state"], "succeeded")


def running(d, id):
    try:
        r = d.call("GET", f"/v1/jobs/{id}")
    except OSError:
        return False                        # killed meanwhile
    return r.status == 200 and r.json["state"] in ("running", "succeeded")


# --- pulls ----------------------------------------------------------------------------------

@line("data come by s3://, once for two jobs, and kill -9 costs the ranges under way alone")
def _(s):
    with open(csv(f"{s.d.root}/rows.csv")) as f:
        head, rows = f.readline(), f.read()
    body = (head + rows * (12 * MIB // len(rows))).encode()
    s.g.put(s.b, "data/train.csv", body)
    s.start()
    s.p.rate = 4e6
    ids = []
    for n in range(2):
        job = tiny(s.d, f"reader{n}", epochs=1)
        job["data"]["train"]["path"] = f"s3://{s.b}/data/train.csv"
        job["training"]["batch_size"] = 512
        ids.append(s.d.submit(job))

    def notes():
        for p in glob.glob(f"{s.d.state}/cache/partial/*.json"):
            with open(p) as f:
                return json.load(f)["have"]
    have = wait_for(30, "a range is here", notes)
    vanish(s.d)
    have = notes() or have
    asked = [x.headers.get("range") for x in s.p.seen if x.method == "GET" and "train.csv" in x.target]
    assert len(asked) <= 4, f"{asked}: fetched for each"
    s.p.seen.clear()
    s.p.rate = None
    s.start()
    for id in ids:
        eq(s.d.wait_state(id, "succeeded", "failed")["state"], "succeeded", s.d.job(id)["message"])
    ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", x.headers["range"]) for x in s.p.seen
              if x.method == "GET" and "train.csv" in x.target]
    asked = sum(int(m.group(2)) + 1 - int(m.group(1)) for m in ranges)
    eq(asked, len(body) - sum(n for _, n in have), "bytes asked for again")
    with open(glob.glob(f"{s.d.state}/cache/sha256/*")[0], "rb") as f:
        assert f.read() == body, "the cache has other bytes"


@case("a proxy of the environment is asked for stores, and never for a metadata service", "stopped")
def _(d):
    m, c = Metadata("AKID", "hush-hush-hush", "token-token"), Cloud("aws")
    p = Proxy(m.port)
    p.rule(answer(503, "SlowDown"), times=None)
    bucket.rekindled(d, {"metadata": {"aws": m.url}, "ship": SHIP, **c.config(), "stores": [
        {"match": "s3://", "endpoint": "http://store.invalid", "credentials": "instance"}]},
        http_proxy=p.url, HTTP_PROXY=p.url, all_proxy=p.url)
    d.submit(bucket.big(d, epochs=1, push="s3://b/runs/"))
    wait_for(20, "the proxy is asked for the store", lambda: p.count())
    wait_for(10, "the notices are asked for", lambda: c.asked("instance-action"))
    assert m.served, "keys came by no other way"
    others = [x.target for x in p.seen if not x.target.startswith("http://store.invalid/")]
    eq(others, [], "what the proxy was asked for beside")
    p.stop()
    m.close()
    c.close()


run()
