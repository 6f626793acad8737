#!/usr/bin/env python3
"""Whether the bytes of a job are those of a run that nothing interrupted: a fact
that the job keeps when daemon or machine change."""
import glob
import hashlib
import json
import os
import re
import sqlite3
import subprocess

from t import BUILD, Daemon, case, eq, has, run, tiny, wait_for

OTHER = ("env", "REKINDLE_GEMM=openblas", "REKINDLE_SIMD=plain")


def begun(d, **training):
    """A job with a checkpoint, paused."""
    job = tiny(d, "long", epochs=1000000)
    job["training"].update(training)
    i = d.submit(job)
    wait_for(30, "a checkpoint", lambda: (d.job(i)["progress"] or {}).get("checkpoint_step", 0) > 0)
    eq(d.job(i)["exact"], True, "exact")
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    return i


def goes_on(d, i, **body):
    n = d.job(i)["attempt"]
    d.post(f"/v1/jobs/{i}/resume", body, want=202)
    wait_for(30, "it goes on", lambda: d.job(i)["attempt"] > n and d.job(i)["state"] == "running")
    return d.job(i)


def restarted(d, prefix=()):
    eq(d.stop(), 0, "the daemon's exit")
    return d.start(prefix=prefix)


def rekindle(d, *args):
    return subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True,
                          check=True).stdout


@case("what another library computes is said with what was and what is, and stays with the job")
def _(d):
    i = begun(d)
    same = goes_on(d, i)
    eq((same["exact"], same["inexact"]), (True, None), "after a resume on the same")
    has(rekindle(d, "show", i), "\nexact        yes\n")
    d.post(f"/v1/jobs/{i}/pause")
    at = d.wait_state(i, "paused")["progress"]["checkpoint_step"]
    d.post(f"/v1/jobs/{i}/checkpoints", {"name": "before"}, want=201)
    restarted(d, OTHER)
    job = goes_on(d, i)
    said = [e for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == "arithmetic_changed"]
    eq(len(said), 1, "events that say so")
    for words in "gemm was own ", ", is OpenBLAS 0.", "loops was ", ", is plain":
        has(said[0]["message"], words)
    eq(job["exact"], False, "exact")
    why = job["inexact"]
    eq((why["reason"], why["attempt"], why["step"]), ("arithmetic_changed", 3, at), "why not")
    shown = rekindle(d, "show", i)
    has(shown, f"exact        no, since attempt 3, from step {at}: the arithmetic has changed")
    # Its checkpoints say so as well, and what each was computed with.
    def last():
        return d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]
    wait_for(30, "a checkpoint of this attempt", lambda: last()["attempt"] == 3)
    eq(last()["inexact"], why, "why not, of a checkpoint")
    has(last()["arithmetic"]["gemm"], "OpenBLAS")
    # Another daemon of the old kind: the first break counts.
    restarted(d)
    job = d.wait_state(i, "running")
    eq((job["exact"], job["inexact"]), (False, why), "after a restart")
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    # From before it changed the job is exact again.
    job = goes_on(d, i, **{"from": "before"})
    eq((job["exact"], job["inexact"]), (True, None), "on a branch from before")
    d.post(f"/v1/jobs/{i}/cancel")


@case("a job that wants its bytes exact waits where they would not be, and goes on where they are")
def _(d):
    i = begun(d, exact="require")
    at = d.job(i)["progress"]["checkpoint_step"]
    restarted(d, OTHER)
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    wait_for(30, "it waits", lambda: d.job(i)["reason"] == "arithmetic_changed")
    job = d.job(i)
    eq((job["state"], job["desired"], job["failures"]), ("paused", "run", 0), "state")
    for words in "gemm was own ", ", is OpenBLAS 0.", f"rekindle resume {i} --set training.exact=prefer":
        has(job["message"], words)
    eq((job["exact"], job["inexact"], job["progress"]["checkpoint_step"]), (True, None, at), "what it was")
    data = [e["data"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"]
            if (e["data"] or {}).get("reason") == "arithmetic_changed"]
    has(data[0]["was"]["gemm"], "own")
    has(data[0]["is"]["gemm"], "OpenBLAS")
    # It waits for a person; on the right machine the person need say no more.
    restarted(d)
    eq(d.job(i)["state"], "paused", "state after a restart")
    eq(goes_on(d, i)["exact"], True, "exact on the same arithmetic")
    # Or the person does not mind.
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    restarted(d, OTHER)
    job = goes_on(d, i, overrides={"training": {"exact": "prefer"}})
    eq((job["exact"], job["inexact"]["reason"]), (False, "arithmetic_changed"), "after an override")
    d.post(f"/v1/jobs/{i}/cancel")


@case("a job that is not exact is not so on the machine that takes it over", "stopped")
def _(d):
    def machine(name, prefix=()):
        root = f"{d.root}/{name}"
        os.makedirs(root)
        with open(f"{root}/c.yaml", "w") as f:
            json.dump({"mirror": {"prefix": f"file://{d.root}/bucket/", "instance": "gpu-a", "check": 0.5}}, f)
        m = Daemon(root, "--config", f"{root}/c.yaml")
        m.start(prefix=prefix)
        return m

    a = machine("a", OTHER)
    b = None
    try:
        wait_for(30, "the jobs are its own", lambda: a.get("/v1/status").json["mirror"]["state"] == "owner")
        i = begun(a)
        eq(a.stop(), 0, "the daemon's exit")
        b = machine("b")
        wait_for(20, "it has the job", lambda: b.get("/v1/status").json["mirror"]["state"] == "owner" and
                 b.call("GET", f"/v1/jobs/{i}").status == 200)
        eq(b.job(i)["exact"], True, "exact before it goes on")
        eq(goes_on(b, i)["exact"], False, "exact on another arithmetic")
        b.post(f"/v1/jobs/{i}/pause")
        why = b.wait_state(i, "paused")["inexact"]
        eq(b.stop(), 0, "the daemon's exit")
        c = b = machine("c")
        wait_for(20, "it has the job", lambda: c.get("/v1/status").json["mirror"]["state"] == "owner" and
                 c.call("GET", f"/v1/jobs/{i}").status == 200)
        eq((c.job(i)["exact"], c.job(i)["inexact"]), (False, why), "after another take-over")
    finally:
        for m in a, b:
            if m:
                m.signal_trainers(9)
                m.kill()


def of_before(d, i):
    """The job as the version before training.arithmetic stored it, and its checkpoints with the identity of then.  The
    daemon is down."""
    db = sqlite3.connect(f"{d.root}/state/rekindle.db")
    spec = json.loads(db.execute("SELECT spec FROM texts WHERE job = ?", (i,)).fetchone()[0])
    spec["training"].pop("arithmetic")
    db.execute("UPDATE texts SET spec = ? WHERE job = ?", (json.dumps(spec, separators=(",", ":")), i))
    db.commit()
    db.close()
    for path in glob.glob(f"{d.root}/state/jobs/{i}/checkpoints/step-*/checkpoint.json"):
        with open(path) as f:
            text = re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda m: m.group(1) or "", f.read())
        # In a record exact is not there anyway.  Numbers stay the texts that they are: the digest is over these.
        for field in r'"check":"\w+",', r'"identity":"\w+",', r'"mode":"exact",':
            text, n = re.subn(field, "", text)
            eq(n, 1, f"fields like {field}")
        check = hashlib.sha256(text.encode()).hexdigest()
        with open(path, "w") as f:
            f.write('{"check":"' + check + '",' + text[1:])


@case("a job that is submitted now is fast unless it says exact")
def _(d):
    i = d.submit(tiny(d, "said-nothing"))
    exact = tiny(d, "exact")
    exact["training"]["arithmetic"] = "exact"
    j = d.submit(exact)
    for job, mode in (i, "fast"), (j, "exact"):
        done = d.wait_state(job, "succeeded")
        eq((done["arithmetic"], done["spec"]["training"]["arithmetic"]), (mode, mode), "arithmetic of the job")
        eq(d.get(f"/v1/jobs/{job}/checkpoints").json["checkpoints"][0]["arithmetic"]["mode"], mode, "of a checkpoint")
        has(rekindle(d, "show", job), f"\narithmetic   {mode}\n")


@case("a job of the version before goes on exact, says that the arithmetic changed, and may be made fast")
def _(d):
    i = begun(d, arithmetic="exact")
    digest = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]["spec_digest"]
    d.stop()
    of_before(d, i)
    d.start()
    job = d.job(i)
    assert "arithmetic" not in job["spec"]["training"], "the stored job is not of before"
    job = goes_on(d, i)
    eq((job["arithmetic"], job["exact"]), ("exact", False), "arithmetic, and whether it is exact")
    has(job["inexact"]["message"], "identity was 1, is 2")

    def said(kind):
        return [e["message"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == kind]
    eq(len(said("arithmetic_changed")), 1, "events that say so")
    eq(said("spec_changed"), [], "events of another job")
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    newest = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]
    eq(newest["spec_digest"], digest, "the job's digest")
    job = goes_on(d, i, overrides={"training": {"arithmetic": "fast"}})
    eq((job["arithmetic"], job["spec"]["training"]["arithmetic"]), ("fast", "fast"), "after the override")
    has(said("arithmetic_chosen")[0], f"training.arithmetic is fast now, as the job says; {newest['checkpoint']} was "
        "computed exact")
    assert any('training.arithmetic "exact" -> "fast"' in m for m in said("resumed") + said("resume")), "not told"
    d.post(f"/v1/jobs/{i}/cancel")


@case("a job of the version before that wants its bytes exact waits")
def _(d):
    i = begun(d, arithmetic="exact", exact="require")
    d.stop()
    of_before(d, i)
    d.start()
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    wait_for(30, "it waits", lambda: d.job(i)["reason"] == "arithmetic_changed")
    has(d.job(i)["message"], "identity was 1, is 2")
    job = goes_on(d, i, overrides={"training": {"exact": "prefer"}})
    eq((job["exact"], job["arithmetic"]), (False, "exact"), "after an override")
    d.post(f"/v1/jobs/{i}/cancel")


run()
