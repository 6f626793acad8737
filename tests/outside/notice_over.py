#!/usr/bin/env python3
"""Notices that are over: withdrawn, survived, or of a time before the daemon began.  Jobs go on, in the same
daemon; and the cloud is told only what it should know, and when all is saved."""
import json
import os
import time

import bucket
from clouds import Cloud, saved, utc
from s3 import Store
from t import Daemon, case, eq, has, run, tiny, wait_for

RFC = "%a, %d %b %Y %H:%M:%S GMT"


def start(d, c, more=None, **preempt):
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump({**c.config(**preempt), **(more or {})}, f)
    d.start("--config", path)


def training(d, **more):
    i = d.submit(tiny(d, "long", epochs=200000, checkpoint={"every": {"epochs": 1000}}, **more))
    d.wait_state(i, "running")
    wait_for(20, "it has done a step", lambda: step(d, i) > 0)
    return i


def step(d, i):
    return (d.job(i).get("progress") or {}).get("step") or 0


def notice(d):
    return d.get("/v1/status").json["preemption"]["notice"]


def goes_on(d, i, at):
    """The job trains beyond what it had done, and nobody started anything anew."""
    wait_for(20, "the daemon takes work", lambda: d.call("GET", "/readyz").status == 200)
    d.wait_state(i, "running")
    wait_for(20, "it trains on", lambda: step(d, i) > at)
    eq((d.alive(), d.get("/v1/status").json["draining"]), (True, False))


def several(c, part, n=6):
    """So many answers more."""
    have = c.asked(part)
    wait_for(20, f"asked for {part} again", lambda: c.asked(part) > have + n)


QUESTIONS = {"aws": "instance-action", "gcp": "preempted", "azure": "scheduledevents", "alibaba": "termination-time",
             "tencent": "termination-time", "volcengine": "termination_time"}

for kind, question in QUESTIONS.items():
    @case(f"a notice of {kind} that is withdrawn lets jobs go on, and another counts again", "stopped")
    def _(d, kind=kind, question=question):
        c = Cloud(kind)
        start(d, c, gcp_notice=120)
        i = training(d)
        for n in range(2):
            c.notice(120 + n)
            saved(d)
            has(d.job(i)["message"], "the machine is taken away")
            eq(notice(d)["kind"], "leave")
            eq(d.call("POST", "/v1/jobs", tiny(d, "new")).status, 503, "a job in the meantime")
            at = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]["step"]
            c.withdraw()
            goes_on(d, i, at)
            eq(notice(d), None)
        has(d.log(), "the notice was withdrawn; jobs go on")
        eq(d.get(f"/v1/jobs/{i}/attempts").json["attempts"][-1]["start_step"], at, "where it went on")
        d.wait_state(d.submit(tiny(d, "new", epochs=1)), "succeeded")
        c.close()


for kind in ("aws", "gcp", "azure"):
    @case(f"a machine of {kind} that is still here after its time takes work again, and is not told of it twice", "stopped")
    def _(d, kind=kind):
        c = Cloud(kind)
        start(d, c, gcp_notice=5, survived=1)
        i = training(d)
        c.notice(3)
        saved(d)
        goes_on(d, i, 0)
        has(d.log(), "this machine is still here; jobs go on")
        if kind == "azure":
            c.event = {"EventStatus": "Started", "NotBefore": ""}
        if kind != "gcp":               # its questions hang
            several(c, QUESTIONS[kind])
        eq((d.job(i)["state"], notice(d)), ("running", None))
        eq(d.log().count("everything is to be saved"), 1)
        if kind == "aws":               # another time is another notice
            c.notice(60)
            saved(d)
        c.close()


@case("an answer that cannot be read does not withdraw a notice, nor does one slip", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = training(d)
    c.notice(300)
    saved(d)
    for c.status, c.body in ((500, None), (429, None), (None, "<html>"), (None, '{"action":')):
        several(c, "instance-action")
    c.status = c.body = None
    at, answer = c.at, c.answer

    def slip(*a):
        # Two of any three answers know of none.
        c.at = at if c.asked("instance-action") % 3 == 0 else None
        return answer(*a)
    c.answer = slip
    several(c, "instance-action", 12)
    c.answer = answer
    eq((d.job(i)["state"], notice(d)["kind"]), ("queued", "leave"))
    c.close()


@case("a notice that is withdrawn while trainers still save lets all of it come to its end first", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = d.submit(tiny(d, "stuck", epochs=200000, checkpoint={"every": {"steps": 200}}))
    wait_for(20, "a checkpoint", lambda: d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    d.signal_trainers(19)
    c.notice(6)
    wait_for(10, "it leaves", lambda: d.get("/v1/status").json["draining"])
    c.withdraw()
    wait_for(10, "the daemon knows", lambda: notice(d) is None)
    goes_on(d, i, 0)
    assert any("had not saved in time" in e for e in d.events(i)), d.events(i)
    c.close()


@case("who drains by hand is not overruled by a notice that is withdrawn, and a signal ends a daemon that waits", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = training(d)
    c.notice(300)
    saved(d)
    d.post("/v1/drain", {"deadline_seconds": 30}, want=202)
    c.withdraw()
    wait_for(10, "the daemon knows", lambda: notice(d) is None)
    several(c, "instance-action")
    eq((d.job(i)["state"], d.get("/v1/status").json["draining"]), ("queued", True))
    eq(d.stop(), 0)
    c.notice(300)
    start(d, c)
    saved(d)
    eq(d.stop(), 0)
    c.close()


@case("a daemon that starts into a notice that stands saves once more and waits, however often it is started", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = training(d)
    c.notice(300)
    for _ in range(2):
        saved(d)
        several(c, "instance-action")
        eq(d.alive(), True)
        d.kill()
        start(d, c)
    saved(d)
    c.withdraw()
    goes_on(d, i, 0)
    c.close()


def aws_list(*v):
    return json.dumps([{"NotBefore": utc(t, "%d %b %Y %H:%M:%S GMT"), "Code": "system-reboot", "State": "active",
                        "EventId": f"instance-event-{n}"} for n, t in enumerate(v)])


@case("what AWS announced for a time before the daemon began is over", "stopped")
def _(d):
    c = Cloud("aws")
    now = time.time()
    with open("/proc/uptime") as f:
        booted = now - float(f.read().split()[0])
    c.extra["scheduled"] = aws_list(now - 20, now - 100)
    c.extra["instance-action"] = json.dumps({"action": "stop", "time": utc(now - 20)})
    c.extra["rebalance"] = json.dumps({"noticeTime": utc(booted - 60)})
    start(d, c)
    i = training(d)
    several(c, "rebalance")
    eq((d.job(i)["state"], notice(d)), ("running", None))
    # What comes now is none of it.
    c.extra["rebalance"] = json.dumps({"noticeTime": utc(time.time())})
    wait_for(10, "a recommendation", lambda: (notice(d) or {}).get("kind") == "early")
    c.extra["scheduled"] = aws_list(now - 20, time.time() + 30)
    saved(d)
    eq(notice(d)["kind"], "leave")
    c.close()


@case("an event of Azure that had started before the daemon's first question is over, one that starts now is not", "stopped")
def _(d):
    c = Cloud("azure")
    c.notice(0)
    c.event = {"EventId": "E-old", "EventType": "Reboot", "EventStatus": "Started", "NotBefore": ""}
    start(d, c)
    i = training(d)
    several(c, "scheduledevents")
    eq((d.job(i)["state"], notice(d)), ("running", None))
    c.notice(300)
    c.event = {"EventId": "E-new", "EventType": "Reboot"}
    saved(d)
    c.event.update(EventStatus="Started", NotBefore="")
    several(c, "scheduledevents")
    eq(notice(d)["kind"], "leave")
    at = step(d, i)
    c.withdraw()                        # the event is listed until it is done
    goes_on(d, i, at)
    c.close()


# --- what Azure is told ------------------------------------------------------------------------

for kind, word, told in (("Preempt", None, True), ("Terminate", None, True), ("Reboot", None, False), ("Redeploy", None, False),
                         ("Reboot", "all", True), ("Redeploy", "all", True), ("Preempt", "none", False)):
    @case(f"a {kind} of Azure is {'' if told else 'not '}acknowledged with acknowledge {word or 'unsaid'}", "stopped")
    def _(d, kind=kind, word=word, told=told):
        c = Cloud("azure")
        c.event = {"EventType": kind}
        start(d, c, **({"acknowledge": word} if word else {}))
        training(d)
        c.notice(120)
        saved(d)
        if told:
            wait_for(10, "the event is acknowledged", lambda: c.acks)
        several(c, "scheduledevents")
        eq(c.acks, [{"StartRequests": [{"EventId": "E-mine"}]}] if told else [])
        c.close()


@case("Azure is told once everything is in the bucket, and not before", "stopped")
def _(d):
    c, st = Cloud("azure"), Store()
    there, answer = [], c.answer

    def told(method, path, headers, body):
        if method == "POST":
            there.append([k for k in st.buckets["b"] if k.endswith("/checkpoint.json")])
        return answer(method, path, headers, body)
    c.answer = told
    more = {"stores": [st.store("s3://")], "ship": {"retry_base": 0.1, "retry_max": 0.3}}
    start(d, c, more)
    i = d.submit(bucket.big(d, epochs=200000, every=100000, push="s3://b/runs/"))
    wait_for(60, "it has done a step", lambda: step(d, i) > 0)
    c.notice(120)
    wait_for(60, "the event is acknowledged", lambda: c.acks)
    newest = max(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"], key=lambda c: c["step"])["checkpoint"]
    assert any(f"/{newest}/" in k for k in there[0]), f"{newest} was saved, Azure was told with {there[0]}"
    d.stop()
    # The store is gone: what cannot be sent is no reason to give the machine back.
    c.withdraw()
    del c.acks[:]
    st.stop()
    start(d, c, more)
    d.wait_state(i, "running")
    at = step(d, i)
    wait_for(60, "another step", lambda: step(d, i) > at)
    c.event = {"EventId": "E-2"}
    c.notice(8)
    saved(d, 60)
    several(c, "scheduledevents")
    eq(c.acks, [])
    c.close()


@case("an unknown word for what is acknowledged is refused with the list", "stopped")
def _(d):
    c = Cloud("azure")
    try:
        start(d, c, acknowledge="some")
    except AssertionError:
        pass
    has(d.log(), "preempt.acknowledge")
    has(d.log(), "ends")
    c.close()


# --- tokens --------------------------------------------------------------------------------------

for kind in ("aws", "alibaba"):
    for sentence, knobs in (("comes too late", {"token_hang": 60}), ("is answered with 403", {"tokens": 403}),
                            ("is answered with 405", {"tokens": 405}), ("is answered with 500", {"tokens": 500})):
        @case(f"a token of {kind} that {sentence} is gone without", "stopped")
        def _(d, kind=kind, knobs=knobs):
            c = Cloud(kind)
            for k, v in knobs.items():
                setattr(c, k, v)
            start(d, c)
            wait_for(20, "asked without a token", lambda: c.asked(QUESTIONS[kind]) > 3)
            eq(c.asked("/api/token"), 1, "how often a token was asked for")
            has(d.log(), "gives no token")
            i = training(d)
            c.notice(60)
            saved(d)
            eq(d.job(i)["state"], "queued")
            c.close()


# --- with a mirror -------------------------------------------------------------------------------

def mirror(d):
    return {"mirror": {"prefix": f"file://{d.root}/bucket/", "instance": "gpu-a", "check": 0.2}}


@case("after a notice that is withdrawn the mirror is its owner's as before, and goes on", "stopped")
def _(d):
    os.makedirs(f"{d.root}/bucket")
    c = Cloud("aws")
    start(d, c, mirror(d))
    i = training(d)
    c.notice(120)
    saved(d)
    epoch = d.get("/v1/status").json["mirror"]["epoch"]
    c.withdraw()
    goes_on(d, i, 0)
    m = d.get("/v1/status").json["mirror"]
    eq((m["state"], m["epoch"]), ("owner", epoch))
    cp = d.post(f"/v1/jobs/{i}/checkpoints", {"name": "after"}, want=201).json["checkpoint"]
    wait_for(60, "a checkpoint of after it is verified", lambda: any(
        x["checkpoint"] == cp and x["durability"]["state"] == "verified"
        for x in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]))
    # It leaves a second time as it did the first.
    c.notice(121)
    saved(d)
    eq(d.stop(), 0)
    c.close()


@case("who survives a notice and finds the jobs taken over leaves them to the other, with exit code 7", "stopped")
def _(d):
    os.makedirs(f"{d.root}/bucket")
    c = Cloud("aws")
    start(d, c, mirror(d))
    i = training(d)
    c.notice(120)
    saved(d)
    other = Daemon(f"{d.root}/other")
    os.makedirs(other.root)
    try:
        path = f"{other.root}/rekindled.yaml"
        with open(path, "w") as f:
            json.dump({**mirror(d), "preempt": {"cloud": "none"}}, f)
        other.start("--config", path)
        wait_for(60, "the other has the job", lambda: other.call("GET", f"/v1/jobs/{i}").status == 200 and
                 other.job(i)["state"] == "running")
        wait_for(60, "the first has left", lambda: not d.alive())
        eq(d.proc.returncode, 7)
        c.withdraw()
        eq(other.job(i)["state"], "running")
    finally:
        other.kill()
        other.signal_trainers(9)
    c.close()


run()
