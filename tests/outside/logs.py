#!/usr/bin/env python3
"""The log of a trainer: bounded, whole where it can be, and what is missing is
said in it."""
import glob
import os
import re
import subprocess

from t import BUILD, Skip, case, eq, has, run, tiny, wait_for

MIB = 1 << 20
# A trainer that says more than others, then trains.  {lines} of {width} bytes,
# numbered, {pause} seconds after each thousand; `go` in its folder: it waits.
TALKER = r'''#!/usr/bin/env python3
import fcntl, os, sys, time
train = "{build}/rekindle-train"
if "--wire" in sys.argv:
    lock = open("lock", "w")            # as the trainer does
    fcntl.flock(lock, fcntl.LOCK_EX)
    for i in range({lines}):
        os.write(2, (b"line %08d" % i).ljust({width} - 1, b".") + b"\n")
        if i % 1000 == 999:
            time.sleep({pause})
    open("talked", "w").close()
os.execv(train, [train] + sys.argv[1:])
'''


def talker(d, lines, width=200, pause=0.0):
    path = f"{d.root}/talker"
    with open(path, "w") as f:
        f.write(TALKER.format(build=BUILD, lines=lines, width=width, pause=pause))
    os.chmod(path, 0o755)
    return path


def start(d, limit="4MiB", files=4, **kw):
    with open(f"{d.root}/config.yaml", "w") as f:
        f.write(f"log: {{max: {limit}, files: {files}}}\nstop_timeout: 5\n")
    d.start("--config", f"{d.root}/config.yaml", "--trainer", talker(d, **kw))


def files(d, i):
    return {os.path.basename(p): os.path.getsize(p) for p in glob.glob(f"{d.state}/jobs/{i}/train.log*")}


def numbers(text):
    return [int(x) for x in re.findall(r"^line (\d+)", text, re.M)]


def lost(text):
    return sum(int(x.replace(",", "")) for x in re.findall(r": ([0-9,]+) bytes of the log are not here", text))


def whole_or_counted(text, first, n, width=200):
    """Lines first..n in order, each once; what is missing is counted in the log."""
    got = numbers(text)
    assert got and got == sorted(set(got)), "lines are out of order, or twice"
    gone = n - first - len(got)
    told, cuts = lost(text), text.count("bytes of the log are not here") + text.count("may not be here")
    if "may not be here" not in text:
        assert abs(gone * width - told) <= cuts * width, f"{gone} lines are missing, {told} bytes are counted"
    assert not gone or cuts, f"{gone} lines are missing, and nothing is said"


@case("a trainer that writes 60 MB at once has a log of 16 MiB a file, and all of it is there or counted", "stopped")
def _(d):
    d.start("--trainer", talker(d, 300000))
    i = d.submit(tiny(d, epochs=1))
    d.wait_state(i, "succeeded", seconds=90)
    f = files(d, i)
    assert f["train.log"] < 20 * MIB and sum(f.values()) < 80 * MIB, f
    assert len(f) > 2, f
    text = d.get(f"/v1/jobs/{i}/log", timeout=120).text
    dropped = "more was written at a time" in text
    whole_or_counted(text, 0 if dropped else numbers(text)[0], 300000)


@case("who follows a log that is rotated gets each line once", "stopped")
def _(d):
    start(d, "1536KiB", 16, lines=5000, pause=0.1)
    i = d.submit(tiny(d, epochs=1))
    got = "\n".join(x for _, x in d.sse(f"/v1/jobs/{i}/log?follow=1", timeout=60))
    whole_or_counted(got, 0, 5000)
    assert len(files(d, i)) > 8, files(d, i)
    # Whole, from a place on, and its end.
    r = d.get(f"/v1/jobs/{i}/log")
    whole_or_counted(r.text, 0, 5000)
    eq(numbers(got), numbers(r.text))
    end = int(r.headers["Rekindle-Offset"])
    eq(end, len(r.body))
    assert d.get(f"/v1/jobs/{i}/log?offset=300000").body == r.body[300000:]
    assert d.get(f"/v1/jobs/{i}/log?tail=4000").text == "".join(r.text.splitlines(True)[-4000:])
    eq(d.get(f"/v1/jobs/{i}/log?offset={end}").text, "")
    out = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "log", i], capture_output=True)
    assert out.stdout == r.body, f"{len(out.stdout)} bytes by the CLI, {len(r.body)} by the API"
    # The next attempt's last word is found, and its place goes on.
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 2}}}, want=202)
    d.wait_state(i, "succeeded", seconds=60)
    more = d.get(f"/v1/jobs/{i}/log?offset={end}").text
    has(more.splitlines()[0], "--- attempt 2")
    d.call("DELETE", f"/v1/jobs/{i}")
    wait_for(10, "its folder has gone", lambda: not os.path.exists(f"{d.state}/jobs/{i}"))


@case("of a log that outgrew its limit the oldest lines are gone and the others keep their places", "stopped")
def _(d):
    start(d, "1MiB", 4, lines=20000, pause=0.03)
    i = d.submit(tiny(d, epochs=1))
    d.wait_state(i, "succeeded", seconds=60)
    assert sum(files(d, i).values()) < 2 * MIB, files(d, i)
    r = d.get(f"/v1/jobs/{i}/log")
    end = int(r.headers["Rekindle-Offset"])
    got = numbers(r.text)
    assert got[0] > 10000 and got[-1] == 19999, (got[0], got[-1])
    at = end - len(r.body)
    assert d.get(f"/v1/jobs/{i}/log?offset={at + 1000}").body == r.body[1000:]
    assert d.get(f"/v1/jobs/{i}/log?offset=7").body == r.body


@case("the daemon that comes after a kill takes the log of the trainer on", "stopped")
def _(d):
    start(d, "1MiB", 4, lines=60000, pause=0.05)
    i = d.submit(tiny(d, epochs=1, retries=0))
    wait_for(20, "it talks", lambda: files(d, i).get("train.log.1"))
    d.kill()
    wait_for(20, "it goes on without a daemon", lambda: files(d, i).get("train.log", 0) > 2 * MIB)
    d.start("--config", f"{d.root}/config.yaml", "--trainer", f"{BUILD}/rekindle-train")
    wait_for(20, "the log is bounded", lambda: sum(files(d, i).values()) < 1.5 * MIB)
    d.wait_state(i, "succeeded", seconds=90)
    has(d.get(f"/v1/jobs/{i}/log").text, "--- attempt 2")
    assert sum(files(d, i).values()) < 1.5 * MIB, files(d, i)


@case("a log that finds no room on the disk is cut all the same, and says so", "stopped")
def _(d):
    os.makedirs(d.state)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=750", "none", d.state], capture_output=True)
    if r.returncode:
        raise Skip("a file system cannot be mounted here")
    start(d, "4MiB", 2, lines=20000, pause=0.1)
    i = d.submit(tiny(d, epochs=1))
    wait_for(60, "it talks", lambda: files(d, i).get("train.log", 0) > 1.2 * MIB)
    fs = os.statvfs(d.state)
    with open(f"{d.state}/ballast", "wb") as f:
        f.write(bytes(fs.f_bavail * fs.f_bsize - int(3.6 * MIB) + os.path.getsize(f"{d.state}/jobs/{i}/train.log")))
    wait_for(5, "it has talked", lambda: os.path.exists(f"{d.state}/jobs/{i}/talked"))
    os.unlink(f"{d.state}/ballast")
    d.wait_state(i, "succeeded", seconds=60)
    text = d.get(f"/v1/jobs/{i}/log").text
    assert "could not be copied to train.log.1: No space left" in text, text[:300]
    m = re.search(r"\nrekindle_log_lost_bytes_total (\S+)", d.get("/metrics").text)
    assert float(m.group(1)) > MIB, m.group(0)


@case("wrong limits of the log are refused by their paths", "stopped")
def _(d):
    for text, said in (("log: {max: 1000}", "log.max: is "), ("log: {files: 1}", "log.files: is 1, want an integer 2 to 16"),
                       ("log: {files: 17}", "log.files: is 17"), ("log: {size: 1MiB}", "log.size: is not a known field")):
        with open(f"{d.root}/config.yaml", "w") as f:
            f.write(text + "\n")
        p = subprocess.run([f"{BUILD}/rekindled", "--config", f"{d.root}/config.yaml", "--state-dir", d.state],
                           capture_output=True, text=True)
        eq(p.returncode, 2)
        has(p.stderr, said)


run()
