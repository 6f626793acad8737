#!/usr/bin/env python3
"""The database is removed or replaced under a running daemon: nothing is acknowledged into a file that nobody will
find, and jobs are taken back from their folders."""
import glob
import json
import os
import shutil
import time

from t import case, eq, has, run, tiny, wait_for


def files(d):
    return sorted(glob.glob(f"{d.root}/state/rekindle.db*"))


def remove(d):
    for f in files(d):
        os.unlink(f)


def away(d):
    """Moved aside, and what puts them back."""
    os.mkdir(f"{d.root}/aside")
    names = [os.path.basename(f) for f in files(d)]
    for n in names:
        os.rename(f"{d.root}/state/{n}", f"{d.root}/aside/{n}")

    def back():
        for n in names:
            os.replace(f"{d.root}/aside/{n}", f"{d.root}/state/{n}")
    return back


def refused(r):
    eq(r.status, 503, "status")
    has(r.json["detail"], "removed or replaced")
    return r


def writes(d, i):
    """Every route that would acknowledge something."""
    yield d.post("/v1/jobs", tiny(d, "late"))
    for verb in ("start", "pause", "resume", "cancel", "retry"):
        yield d.post(f"/v1/jobs/{i}/{verb}")
    yield d.post(f"/v1/jobs/{i}/checkpoints", {"name": "mine"})
    yield d.call("PATCH", f"/v1/jobs/{i}", {"priority": 3})
    yield d.call("PATCH", f"/v1/jobs/{i}/checkpoints/latest", {"name": "mine"})
    yield d.call("DELETE", f"/v1/jobs/{i}/checkpoints/latest")
    yield d.call("DELETE", f"/v1/jobs/{i}")


@case("a database that is removed under the daemon: not ready, and no route that writes acknowledges anything")
def _(d):
    i = d.submit(tiny(d))
    d.wait_state(i, "succeeded")
    d.get("/readyz", want=200)
    remove(d)
    has(d.get("/readyz", want=503).json["detail"], "removed or replaced")
    for r in writes(d, i):
        refused(r)
    eq(d.job(i)["state"], "succeeded", "what it knows can be read")
    has(d.log(), "nothing is acknowledged until it is put back")
    eq(d.log().count("was removed or replaced: nothing"), 1, "lines about it")


@case("the same where another file is at its path, its -wal file alone is gone, or all of the directory")
def _(d):
    i = d.submit(tiny(d))
    d.wait_state(i, "succeeded")
    back = away(d)
    with open(f"{d.root}/state/rekindle.db", "wb") as f:
        f.write(b"another")
    refused(d.post("/v1/jobs", tiny(d, "late")))
    back()
    d.get("/readyz", want=200)
    os.rename(f"{d.root}/state/rekindle.db-wal", f"{d.root}/aside/wal")
    refused(d.post("/v1/jobs", tiny(d, "late")))
    os.rename(f"{d.root}/aside/wal", f"{d.root}/state/rekindle.db-wal")
    d.get("/readyz", want=200)
    data = tiny(d, "late")
    os.rename(f"{d.root}/state", f"{d.root}/moved")
    try:
        refused(d.post("/v1/jobs", data))
        d.get("/readyz", want=503)
    finally:
        os.rename(f"{d.root}/moved", f"{d.root}/state")
    d.get("/readyz", want=200)


@case("a database that is put back is used again, and what was acknowledged before and behind it is there after kill -9")
def _(d):
    i = d.submit(tiny(d, "before"))
    d.wait_state(i, "succeeded")
    back = away(d)
    refused(d.post("/v1/jobs", tiny(d, "late")))
    back()
    k = d.submit(tiny(d, "behind"))
    d.kill()
    d.start()
    d.wait_state(k, "succeeded")
    eq(sorted(j["name"] for j in d.get("/v1/jobs").json["jobs"]), ["before", "behind"], "jobs")


@case("a job that runs goes on while the database is away, and what it did is written when it is back")
def _(d):
    os.mkdir(f"{d.root}/up")
    i = d.submit(tiny(d, epochs=400, checkpoint={"every": {"epochs": 40}, "push": f"file://{d.root}/up/"}))
    d.wait_state(i, "running")
    back = away(d)
    wait_for(60, "its trainer is done", lambda: not d.trainers(i))
    assert d.job(i)["state"] != "succeeded", "an end that is not kept is not said"
    has(d.log(), "which its row does not say yet")
    eq(d.log().count("cannot write that"), 0, "lines of each checkpoint that cannot be recorded")
    back()
    d.wait_state(i, "succeeded")


@case("a figure says whether the database is there")
def _(d):
    def here():
        return next(x for x in d.get("/metrics").text.splitlines() if x.startswith("rekindle_store_here "))
    eq(here(), "rekindle_store_here 1")
    back = away(d)
    eq(here(), "rekindle_store_here 0")
    back()
    eq(here(), "rekindle_store_here 1")


@case("a daemon whose database is gone leaves when its trainers have saved, and says once that it has left", "stopped")
def _(d):
    os.makedirs(f"{d.root}/up")
    with open(f"{d.root}/slow.yaml", "w") as f:
        json.dump({"stop_timeout": 300}, f)
    d.start("--config", f"{d.root}/slow.yaml")
    i = d.submit(tiny(d, epochs=100000, checkpoint={"every": {"epochs": 40}, "push": f"file://{d.root}/up/"}))
    d.wait_state(i, "running")
    wait_for(60, "a checkpoint", lambda: d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    remove(d)
    began = time.monotonic()
    eq(d.stop(), 0, "exit code")
    took = time.monotonic() - began
    assert took < 150, f"it took {took:.0f} s of stop_timeout's 300"
    eq(d.log().count("preempt: left after"), 1, "lines of its leaving")


if __name__ == "__main__":
    run()
