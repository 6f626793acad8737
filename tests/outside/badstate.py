#!/usr/bin/env python3
"""A state directory that is full, read-only, damaged or littered: nothing that
was acknowledged is lost, and what cannot be used is refused with a sentence."""
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

from digests import wrong

from digests import sha256
from t import BUILD, Skip, case, eq, has, limit, run, tiny, wait_for


# --- a small disk ---------------------------------------------------------------------------

def mount(d, size, options=""):
    """A tmpfs over the state directory; run() takes it away."""
    os.makedirs(d.state, exist_ok=True)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=750{options}", "none", d.state],
                       capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip(f"a file system cannot be mounted here: {r.stderr.strip()}")


def remount(d, how):
    subprocess.run(["mount", "-o", f"remount,{how}", d.state], check=True)


def fill(d, leave=0):
    """Every byte but `leave`; frees by unlink of what it returns."""
    path = f"{d.state}/filler"
    with open(path, "ab", buffering=0) as f:
        for chunk in (1 << 16, 1 << 12, 1):
            try:
                while os.statvfs(d.state).f_bavail * os.statvfs(d.state).f_frsize - leave >= chunk:
                    f.write(b"x" * chunk)
            except OSError:
                pass
    return path


def config(d, text):
    path = f"{d.root}/config.yaml"
    with open(path, "w") as f:
        f.write(text)
    return ["--config", path]


@case("on a full disk a submit answers 507 and what was acknowledged is never lost", "stopped")
def _(d):
    mount(d, "6m")
    d.start(*config(d, "disk: {reserve: 0, check: 0.3}\n"))
    first = d.submit(tiny(d, "first", hold=True))
    filler = fill(d)
    acked, refused = [first], 0
    for n in range(2000):
        r = d.post("/v1/jobs", tiny(d, f"j{n}", hold=True, metadata={"notes": "y" * 3000}))
        if r.status == 201:
            acked.append(r.json["id"])
        else:
            eq(r.status, 507, r.text)
            eq(r.headers["Content-Type"], "application/problem+json")
            has(r.text, "disk")
            refused += 1
            if refused == 20:
                break
    assert refused == 20, f"{len(acked)} jobs were taken and the disk never filled"
    # It still answers, changes nothing it cannot keep, and says so.
    assert d.get("/healthz") and d.get("/v1/jobs?limit=500")
    assert d.post(f"/v1/jobs/{first}/cancel").status in (202, 507)
    # Killed while full, it starts again while full, with all that it said it had.
    d.kill()
    d.start(*config(d, "disk: {reserve: 0, check: 0.3}\n"))
    for i in acked:
        d.get(f"/v1/jobs/{i}")
    os.unlink(filler)
    wait_for(10, "room is used", lambda: d.post("/v1/jobs", tiny(d, "more", hold=True)).status == 201)
    listed, cursor = [], ""
    while cursor is not None:
        page = d.get("/v1/jobs?limit=500" + (f"&cursor={cursor}" if cursor else "")).json
        listed += [j["id"] for j in page["jobs"]]
        cursor = page["next"]
    assert set(acked) <= set(listed), f"lost: {set(acked) - set(listed)}"


def weights(folder):
    last = sorted(glob.glob(f"{folder}/checkpoints/step-*"))[-1]
    return [hashlib.sha256(open(p, "rb").read()).hexdigest() for p in sorted(glob.glob(f"{last}/*.safetensors"))]


@case("a disk that fills while training pauses the job, which goes on by itself and ends with the same bytes",
      "stopped")
def _(d):
    # 0.5 MB a checkpoint.
    job = tiny(d, epochs=100, model={"arch": "mlp", "sizes": [4, 4096, 3]})
    job["checkpoint"] = {"every": {"steps": 40}, "keep": {"last": 2, "best": 1}}
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/alone", f"{d.root}/job.json"], check=True,
                   capture_output=True, timeout=limit(120))
    mount(d, "12m")
    d.start(*config(d, "disk: {reserve: 1MiB, check: 0.2}\n"))
    i = d.submit(job)

    def saved_after(step):
        return lambda: d.job(i)["progress"].get("checkpoint_step", 0) > step
    wait_for(20, "a checkpoint", saved_after(0))
    filler = fill(d)
    wait_for(30, "it is paused for the disk",
             lambda: (d.job(i)["state"], d.job(i)["reason"]) == ("paused", "disk_full"))
    eq(d.job(i)["desired"], "run")
    time.sleep(0.5)
    eq(d.job(i)["state"], "paused", "while the disk is full")
    os.unlink(filler)
    wait_for(20, "it goes on", lambda: d.job(i)["state"] == "running")
    # Once more, and now even the database has no room left to say so.
    wait_for(20, "another checkpoint", saved_after(d.job(i)["progress"]["step"]))
    filler = fill(d)
    wait_for(30, "the trainer has left", lambda: not d.trainers())
    time.sleep(0.5)
    os.unlink(filler)
    j = d.wait_state(i, "succeeded")
    eq(j["failures"], 0, "failures")
    eq(weights(f"{d.state}/jobs/{i}"), weights(f"{d.root}/alone"), "weights")
    assert [m for m in d.events(i) if "room" in m], d.events(i)
    for c in glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"):
        for f in json.load(open(f"{c}/checkpoint.json"))["files"]:
            eq(wrong(f"{c}/{f['name']}", f), None)


# --- a directory that cannot be used -----------------------------------------------------------

def refusal(d, *flags, state=None):
    """The exit code and the words of a daemon that does not start."""
    r = subprocess.run([f"{BUILD}/rekindled", "--state-dir", state or d.state, "--listen", "127.0.0.1:0", "--socket",
                        f"{d.root}/sock", "--trainer", f"{BUILD}/rekindle-train", *flags],
                       capture_output=True, text=True, timeout=limit(30))
    eq(r.stdout, "", "stdout")
    return r.returncode, r.stderr


@case("a state directory that is read-only, a file, or full is refused with a sentence", "stopped")
def _(d):
    with open(f"{d.root}/file", "w") as f:
        f.write("x")
    for state in (f"{d.root}/file", f"{d.root}/file/below", "/proc/rekindle"):
        rc, said = refusal(d, state=state)
        eq(rc, 3, f"exit with {state} ({said})")
        has(said, state)
    mount(d, "6m")
    d.start()
    i = d.submit(tiny(d, hold=True))
    eq(d.stop(), 0)
    remount(d, "ro")
    rc, said = refusal(d)
    eq(rc, 3, f"exit ({said})")
    has(said, d.state)
    has(said.lower(), "read-only")
    remount(d, "rw")
    d.start()
    eq(d.job(i)["state"], "held")


def database(d):
    """The one SQLite file, checkpointed: what the daemon left when it ended."""
    found = [p for p in glob.glob(f"{d.state}/*") if os.path.isfile(p) and
             open(p, "rb").read(16) == b"SQLite format 3\0"]
    eq(len(found), 1, f"databases in {os.listdir(d.state)}")
    return found[0]


@case("a database that is damaged, newer or another program's is refused and left as it is", "stopped")
def _(d):
    d.start()
    i = d.submit(tiny(d, hold=True))
    eq(d.stop(), 0)
    db = database(d)
    shutil.copy(db, f"{d.root}/good.db")

    def newer(path):
        c = sqlite3.connect(path)
        c.execute("PRAGMA user_version = 9999")
        c.commit()
        c.close()

    def others(path):
        os.unlink(path)
        c = sqlite3.connect(path)
        c.execute("CREATE TABLE bookmarks (url TEXT)")
        c.commit()
        c.close()

    def overwrite(at, data):
        def change(path):
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(data)
        return change

    def cut(path):
        os.truncate(path, os.path.getsize(path) // 2)
    for what, change, parts in (("newer", newer, ["newer", "9999"]), ("another program's", others, ["another program"]),
                                ("no database", overwrite(0, b"not a database at all, but text\n" * 8), []),
                                ("damaged from its second page on", overwrite(4096, b"\xa5" * 8192), []),
                                ("cut in half", cut, [])):
        shutil.copy(f"{d.root}/good.db", db)
        change(db)
        before = sha256(db)
        rc, said = refusal(d)
        eq(rc, 5, f"{what}: exit ({said})")
        has(said, db)
        for part in parts:
            has(said, part)
        eq(sha256(db), before, f"{what}: the file")
    shutil.copy(f"{d.root}/good.db", db)
    d.start()
    eq(d.job(i)["name"], "tiny")


# --- a job's folder -----------------------------------------------------------------------------

@case("a job whose log, metrics or checkpoints are gone is still shown, and can be run again")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    folder = f"{d.state}/jobs/{i}"
    for name in os.listdir(folder):
        p = f"{folder}/{name}"
        shutil.rmtree(p) if os.path.isdir(p) else os.unlink(p)
    eq(d.get(f"/v1/jobs/{i}/metrics").json["metrics"], [])
    eq(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"], [])
    eq(d.get(f"/v1/jobs/{i}/log").text, "")
    d.get(f"/v1/jobs/{i}/checkpoints/latest", want=404)
    eq(d.post(f"/v1/jobs/{i}/checkpoints", {"name": "x"}).status, 409)
    eq(d.job(i)["state"], "succeeded")
    d.post(f"/v1/jobs/{i}/resume", {"from": "none"}, want=202)    # anew: only because a person says so
    wait_for(20, "the second end", lambda: d.job(i)["attempt"] == 2 and d.job(i)["state"] == "succeeded")
    shutil.rmtree(folder)
    d.get(f"/v1/jobs/{i}/log")
    d.get(f"/v1/jobs/{i}/metrics")
    eq(d.call("DELETE", f"/v1/jobs/{i}").status, 204)


@case("a job whose folder is a file or a link elsewhere harms nothing but itself")
def _(d):
    os.mkdir(f"{d.root}/elsewhere")
    with open(f"{d.root}/elsewhere/precious", "w") as f:
        f.write("x")
    ids = [d.submit(tiny(d, n, hold=True, epochs=2, retries=0)) for n in ("file", "link", "good")]
    for i, make in zip(ids, (lambda p: open(p, "w").close(), lambda p: os.symlink(f"{d.root}/elsewhere", p))):
        shutil.rmtree(f"{d.state}/jobs/{i}", ignore_errors=True)
        make(f"{d.state}/jobs/{i}")
    for i in ids:
        d.post(f"/v1/jobs/{i}/start", want=202)
    d.wait_state(ids[2], "succeeded")
    wait_for(20, f"the job without a folder comes to rest ({d.job(ids[0])['message']})",
             lambda: d.job(ids[0])["state"] in ("failed", "paused") or d.job(ids[0])["message"].count("folder"))
    assert len(d.job(ids[0])["message"]) > 10, d.job(ids[0])
    wait_for(20, "the job behind a link comes to rest",
             lambda: d.job(ids[1])["state"] in ("failed", "paused", "succeeded"))
    for i in ids[:2]:
        d.get(f"/v1/jobs/{i}/log")
        if d.job(i)["state"] not in ("failed", "succeeded"):
            d.post(f"/v1/jobs/{i}/cancel", want=202)
            d.wait_state(i, "cancelled")
        eq(d.call("DELETE", f"/v1/jobs/{i}").status, 204)
    assert os.path.exists(f"{d.root}/elsewhere/precious"), "deletion went through the link"


@case("a checkpoints folder full of litter is read past")
def _(d):
    i = d.submit(tiny(d, epochs=1000))
    wait_for(20, "120 steps", lambda: d.job(i)["progress"].get("checkpoint_step", 0) >= 100)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    folder = f"{d.state}/jobs/{i}/checkpoints"
    good = d.get(f"/v1/jobs/{i}/checkpoints/latest").json["checkpoint"]
    count = len(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    for name in ("step-999999999", "step-abc", "step-000000000000000000099", "step--1", ".tmp-step-000000001-xyz",
                 ".del-step-000000002", "x" * 200, "step-000000100-b99", "bad-step-000000001"):
        os.mkdir(f"{folder}/{name}")
    for name, text in (("step-999999998", "a file"), ("checkpoint.json", "{}"), ("notes.txt", "mine"),
                       (".tmp-file", "half"), ("\udcff\udcfe", "no UTF-8")):
        with open(os.fsencode(f"{folder}/{name}"), "w") as f:
            f.write(text)
    with open(f"{folder}/step-999999999/checkpoint.json", "w") as f:
        f.write('{"version": 1, "step": 999999999')
    with open(f"{folder}/step-abc/checkpoint.json", "w") as f:
        f.write("[" * 100000)
    os.mkfifo(f"{folder}/step-999999997")
    os.symlink("nowhere", f"{folder}/dangling")
    os.symlink("/etc", f"{folder}/outside")
    os.symlink("loop", f"{folder}/loop")
    eq(len(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]), count)
    for name in ("outside", "dangling", "loop", "notes.txt", "step-999999998"):
        d.get(f"/v1/jobs/{i}/checkpoints/{name}", want=404)
    assert d.call("GET", f"/v1/jobs/{i}/checkpoints/outside/files/passwd").status in (400, 404)
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    d.wait_state(i, "succeeded")
    a = d.get(f"/v1/jobs/{i}/attempts").json["attempts"][1]
    eq(a["from"], good, "what it went on from")
    assert os.path.exists(f"{folder}/notes.txt") and os.path.exists("/etc/passwd")


run()
