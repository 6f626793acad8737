#!/usr/bin/env python3
"""Notices of the clouds: every job saved in time, and the daemon ready to go."""
import json
import signal
import time

from clouds import Cloud, saved, utc
from t import case, eq, has, limit, run, tiny, wait_for

CLOUDS = ("aws", "gcp", "azure", "alibaba", "tencent", "volcengine")


def start(d, c, **more):
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump(c.config(**more), f)
    d.start("--config", path)


def training(d, name="long"):
    i = d.submit(tiny(d, name, epochs=200000, checkpoint={"every": {"epochs": 1000}}))
    d.wait_state(i, "running")
    wait_for(20, "it has done a step", lambda: d.job(i)["progress"].get("step", 0) > 0)
    return i


def gone(d, seconds):
    """The daemon has saved everything, and ends when it is asked to; its exit code."""
    saved(d, seconds)
    eq(d.trainers(), [], "trainers that are left")
    eq(d.call("GET", "/readyz").status, 503, "is it ready?")
    return d.stop()


for kind in CLOUDS:
    @case(f"a notice of {kind} makes every job save in time, and the daemon may go", "stopped")
    def _(d, kind=kind):
        c = Cloud(kind)
        start(d, c, gcp_notice=30)
        i = training(d)
        time.sleep(0.3)
        eq(d.job(i)["state"], "running", "state before the notice")
        t0 = time.time()
        c.notice(30)
        eq(gone(d, 20), 0, "exit code")
        assert time.time() - t0 < 30, time.time() - t0
        has(d.log(), "preempted")
        if kind == "azure":
            wait_for(3, "the event is acknowledged", lambda: c.acks)
            eq(c.acks[0], {"StartRequests": [{"EventId": "E-mine"}]})
        c.close()
        d.start()
        j = d.wait_state(i, "running", "starting", "queued")
        has(" ".join(d.events(i)), "the machine is taken away")
        assert any(json.loads(e)["kind"] == "notice" for _, e in zip(range(60), (x for _, x in d.sse("/v1/events?after=0")))), "no event of it"
        cp = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]
        assert cp and cp[0]["step"] > 0, cp
        assert j["attempt"] >= 1


@case("an event of another machine of the set is nobody's business here", "stopped")
def _(d):
    c = Cloud("azure")
    start(d, c)
    i = training(d)
    wait_for(5, "asked a few times", lambda: c.asked("scheduledevents") > 5)
    eq(d.job(i)["state"], "running")
    eq(d.get("/v1/status").json["preemption"]["notice"], None)
    c.close()


@case("a service without tokens is asked the older way, one that drops ours gives another", "stopped")
def _(d):
    c = Cloud("aws")
    c.tokens = False
    start(d, c)
    wait_for(5, "asked", lambda: c.asked("instance-action") > 2)
    c.tokens = True
    c.issued.clear()
    wait_for(5, "a token", lambda: c.issued)
    c.issued.clear()            # every token is refused from now on
    wait_for(5, "another token", lambda: c.issued)
    training(d)
    c.notice(30)
    eq(gone(d, 20), 0)
    c.close()


@case("a leftover time in the past and garbage are no notice", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = training(d)
    c.notice(30)
    for body in ('{"action":"terminate","time":"2015-01-05T18:02:00Z"}', "<html>", '{"action":', "\xff\xfe" * 999,
                 "[" * 100000, '{"action":"terminate"' + " " * 70000 + "}"):
        c.body = body
        n = c.asked("instance-action")
        wait_for(5, "asked again", lambda: c.asked("instance-action") > n + 2)
    eq(d.job(i)["state"], "running")
    c.body = None
    eq(gone(d, 20), 0)
    c.close()


@case("a service that hangs, answers slowly at first or not at all costs nothing", "stopped")
def _(d):
    c = Cloud("azure")
    c.slow_first = 3
    start(d, c)
    i = training(d)
    c.hang = 30
    t0 = time.time()
    d.get(f"/v1/jobs/{i}")
    assert time.time() - t0 < c.hang
    eq(d.stop(), 0)             # a question on its way holds nobody up
    c.close()
    c = Cloud("tencent")
    url = c.url
    c.close()
    cfg = {"preempt": {"cloud": "tencent", "url": {"tencent": url}, "poll": 0.05}}
    with open(f"{d.root}/rekindled.yaml", "w") as f:
        json.dump(cfg, f)
    d.start("--config", f"{d.root}/rekindled.yaml")
    wait_for(10, "it says so once", lambda: "does not answer" in d.log())
    time.sleep(0.5)
    eq(d.log().count("does not answer"), 1)
    d.wait_state(i, "running")


@case("a rebalance recommendation leaves the jobs alone and is an event", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = training(d)
    c.extra["rebalance"] = json.dumps({"noticeTime": utc(time.time())})
    wait_for(5, "the daemon has heard", lambda: (d.get("/v1/status").json["preemption"]["notice"] or {}).get("kind") == "early")
    eq(d.job(i)["state"], "running")
    c.notice(30)
    eq(gone(d, 20), 0)
    c.close()


@case("a trainer that does not yield is killed at its half, and its last checkpoint counts", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    i = d.submit(tiny(d, "stuck", epochs=200000, checkpoint={"every": {"steps": 200}}))
    wait_for(20, "a checkpoint", lambda: d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    d.signal_trainers(signal.SIGSTOP)
    have = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]["step"]
    t0 = time.time()
    c.notice(6)
    gone(d, 20)
    assert time.time() - t0 < limit(12), time.time() - t0
    c.close()
    d.start()
    d.wait_state(i, "running")
    wait_for(10, "it goes on from there", lambda: any(f"at step {have:,}" in e or "goes on from" in e for e in d.events(i)))


@case("the configuration is checked: an unknown cloud is refused with the list", "stopped")
def _(d):
    with open(f"{d.root}/rekindled.yaml", "w") as f:
        f.write("preempt: {cloud: moon}\n")
    try:
        d.start("--config", f"{d.root}/rekindled.yaml")
    except AssertionError:
        pass
    has(d.log(), "preempt.cloud")
    has(d.log(), "volcengine")


run()
