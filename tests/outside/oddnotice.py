#!/usr/bin/env python3
"""Metadata services on their odd days: two notices at once, a name that comes
late, an event of many machines, a hanging question that does not hang."""
import calendar
import json
import signal
import time

from clouds import Cloud, saved, utc
from t import case, eq, has, limit, run, tiny, wait_for


def start(d, c, **more):
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump(c.config(**more), f)
    d.start("--config", path)


def notices(d):
    """The texts of what was noticed so far, from the log."""
    return [line for line in d.log().splitlines() if " preempt: A" in line or " preempt: G" in line]


def stuck(d):
    """A trainer that does not yield, so that leaving takes its time."""
    i = d.submit(tiny(d, "stuck", epochs=200000))
    wait_for(20, "it has done a step", lambda: (d.job(i).get("progress") or {}).get("step", 0) > 0)
    d.signal_trainers(signal.SIGSTOP)
    return i


def event(id, *machines, kind="Preempt", seconds=120):
    return {"EventId": id, "EventType": kind, "ResourceType": "VirtualMachine",
            "Resources": list(machines), "EventStatus": "Scheduled",
            "NotBefore": utc(time.time() + seconds, "%a, %d %b %Y %H:%M:%S GMT")}


def events(*v):
    return json.dumps({"DocumentIncarnation": 1, "Events": list(v)})


@case("two early notices that stand for days are each said once", "stopped")
def _(d):
    c = Cloud("aws")
    later = utc(time.time() + 86400, "%d %b %Y %H:%M:%S GMT")
    c.extra["rebalance"] = json.dumps({"noticeTime": utc(time.time())})
    c.extra["scheduled"] = json.dumps([{"NotBefore": later, "Code": "system-reboot",
                                        "State": "active", "EventId": "instance-event-1"}])
    start(d, c)
    n = len(c.log)
    wait_for(10, "many questions", lambda: len(c.log) > n + 60)
    eq(len(notices(d)), 2, "notices")
    # The same is not said again when it was gone for a moment, another is.
    kept = c.extra.pop("scheduled")
    n = c.asked("scheduled")
    wait_for(5, "asked", lambda: c.asked("scheduled") > n + 3)
    c.extra["scheduled"] = kept
    c.extra["rebalance"] = json.dumps({"noticeTime": utc(time.time() + 1)})
    n = c.asked("scheduled")
    wait_for(5, "asked", lambda: c.asked("scheduled") > n + 3)
    eq(len(notices(d)), 3, "notices")
    c.close()


@case("two notices to leave are each said once, and the nearer one counts", "stopped")
def _(d):
    c = Cloud("aws")
    start(d, c)
    stuck(d)
    c.extra["target-lifecycle-state"] = "Terminated"
    wait_for(5, "the first", lambda: notices(d))
    c.notice(6)
    t0 = time.time()
    saved(d)
    assert time.time() - t0 < limit(12), time.time() - t0
    eq(len(notices(d)), 2, "notices")
    c.close()


@case("of several events of Azure the one that is under way counts, though another has a time", "stopped")
def _(d):
    for order in (1, -1):
        c = Cloud("azure")
        start(d, c)
        stuck(d)                                    # what is there at the first answer may be over
        wait_for(5, "asked", lambda: c.asked("scheduledevents") > 2)
        begun = {**event("E-2", "vm-7"), "EventStatus": "Started", "NotBefore": ""}
        c.extra["scheduledevents"] = events(*[event("E-1", "vm-7", kind="Redeploy", seconds=600), begun][::order])
        wait_for(5, "a notice", lambda: notices(d))
        has(notices(d)[0], "Azure takes this machine (Preempt)")
        d.kill()
        d.signal_trainers(signal.SIGKILL)
        c.close()


for kind in ("aws", "azure", "gcp", "alibaba", "tencent", "volcengine"):
    @case(f"a service of {kind} that answers and tells nothing is said once, and once that it does again", "stopped")
    def _(d, kind=kind):
        c = Cloud(kind)
        c.status = 403
        start(d, c)
        wait_for(10, "it is said", lambda: "which tells nothing" in d.log())
        has(d.log(), "answers 403 to /")
        has(d.log(), f"is the service switched on for this machine, and {kind} its cloud?")
        assert d.get("/v1/status").json["preemption"]["failed"] >= 5
        c.status = None
        wait_for(10, "it is said", lambda: "is answered again" in d.log())
        said = [line.split(" to /")[1].split(",")[0] for line in d.log().splitlines() if "which tells nothing" in line]
        eq(len(said), len(set(said)), "questions that are said")
        c.close()


@case("the words of an event of Azure count however they are capitalised", "stopped")
def _(d):
    c = Cloud("azure")
    start(d, c)
    wait_for(5, "asked", lambda: c.asked("scheduledevents") > 2)
    c.extra["scheduledevents"] = events(event("E", "VM-7", kind="PREEMPT"))
    saved(d)
    c.close()


@case("a machine whose name comes late leaves the others' events alone from then on", "stopped")
def _(d):
    c = Cloud("azure")
    c.extra["/compute/name"] = ""                   # an answer, and no name
    c.extra["scheduledevents"] = events()
    start(d, c)
    wait_for(5, "asked", lambda: c.asked("scheduledevents") > 3)
    del c.extra["/compute/name"]
    n = c.asked("/compute/name")
    wait_for(15, "asked for its name again", lambda: c.asked("/compute/name") > n)
    n = c.asked("scheduledevents")
    c.extra["scheduledevents"] = events(event("E", "vm-8"))
    wait_for(5, "asked", lambda: c.asked("scheduledevents") > n + 3)
    eq(d.get("/v1/status").json["preemption"]["notice"], None)
    c.close()


for sentence, name, machines in (
        ("an event that may be of another machine is left to Azure", "", ("vm-8",)),
        ("an event of several machines is not acknowledged for the others",
         "vm-7", ("vm-7", "vm-8"))):
    @case(sentence, "stopped")
    def _(d, name=name, machines=machines):
        c = Cloud("azure", name)
        c.extra["scheduledevents"] = events(event("E", *machines, seconds=8))
        start(d, c)
        saved(d)
        eq(c.asked("scheduledevents") > 0, True)
        eq([p for m, p in c.log if m == "POST"], [])
        c.close()


@case("a hanging question that is answered at once is not asked without pause", "stopped")
def _(d):
    c = Cloud("gcp")
    c.gcp = lambda method, path, headers, body: (
        200, "NONE" if "maintenance" in path else "FALSE", {"ETag": "%x" % len(c.log)})
    start(d, c, poll=0)
    wait_for(5, "asked", lambda: len(c.log) >= 2)
    n = len(c.log)
    time.sleep(3)
    assert len(c.log) - n <= 8, f"{len(c.log) - n} questions in 3 s"
    c.close()


@case("Google's maintenance is an hour away, and a preemption in it comes nearer", "stopped")
def _(d):
    c = Cloud("gcp")
    value = {"maintenance": "NONE", "preempted": "FALSE"}
    c.gcp = lambda method, path, headers, body: (
        200, value["maintenance" if "maintenance" in path else "preempted"], {})
    start(d, c, gcp_notice=6)
    i = stuck(d)
    value["maintenance"] = "MIGRATE_ON_HOST_MAINTENANCE"
    n = c.asked("maintenance")
    wait_for(10, "asked", lambda: c.asked("maintenance") > n + 3)
    eq(d.get("/v1/status").json["preemption"]["notice"], None, "what a move is")
    t0, value["maintenance"] = time.time(), "TERMINATE_ON_HOST_MAINTENANCE"
    told = wait_for(10, "the notice", lambda: d.get("/v1/status").json["preemption"]["notice"])
    eq(told["kind"], "early")
    ahead = calendar.timegm(time.strptime(told["deadline"][:19], "%Y-%m-%dT%H:%M:%S")) - t0
    assert 3598 <= ahead <= 3600 + limit(10), f"{ahead} s ahead"
    n = c.asked("maintenance")
    wait_for(10, "asked", lambda: c.asked("maintenance") > n + 3)
    eq(d.get("/v1/status").json["preemption"]["notice"], told, "it keeps its time")
    eq(d.job(i)["state"], "running", "an hour is no reason to stop")
    value["preempted"] = "TRUE"
    t0 = time.time()
    saved(d)
    assert time.time() - t0 < limit(12), time.time() - t0
    eq(len(notices(d)), 2, "notices")
    c.close()


@case("a service that was silent is asked again before a notice is half over", "stopped")
def _(d):
    c = Cloud("azure")
    start(d, c, poll=1)
    wait_for(5, "asked", lambda: c.asked("scheduledevents") > 1)
    answer, c.status = c.answer, None
    c.answer = lambda *a: (_ for _ in ()).throw(OSError("cut"))
    wait_for(20, "it says so", lambda: "does not answer" in d.log())
    c.answer = answer
    t0 = time.time()
    wait_for(15, "it answers again", lambda: "answers again" in d.log())
    assert time.time() - t0 < limit(13), time.time() - t0
    c.close()


run()
