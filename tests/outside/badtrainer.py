#!/usr/bin/env python3
"""Trainers that die, lie, hang or speak nonsense: the job says so in the end,
and the daemon goes on with the others."""
import json
import os
import re
import subprocess
import time

from t import BUILD, SLOW, case, eq, has, limit, run, tiny, wait_for

# What stands in for rekindle-train.  What it does is the job's name; all jobs
# with another name are trained.
TRAINER = r'''#!/usr/bin/env python3
import json, os, random, re, sys, time
job = json.load(open(sys.argv[-1]))["name"]

def say(text):
    b = text if isinstance(text, bytes) else (json.dumps(text) + "\n").encode()
    while b:
        b = b[os.write(3, b):]
hello = {"type": "hello", "version": 1, "pid": os.getpid(), "producer": "liar", "from": "", "step": 0, "epoch": 0,
         "steps_total": 100, "epochs_total": 1, "parameters": 1, "branch": 1}
def checkpoint(name, step=50):
    say({"type": "checkpoint", "checkpoint": name, "name": "", "step": step, "epoch": 0, "digest": "0" * 64,
         "bytes": 1, "metrics": {}, "stall_seconds": 0, "write_seconds": 0})

def garbage():
    say(random.Random(1).randbytes(5000) + b"\n"); time.sleep(60)
def no_newline():
    say(b"x" * (2 << 20)); time.sleep(60)
def long_line():
    say(hello); say({"type": "log", "level": "info", "message": "y" * (2 << 20)}); time.sleep(60)
def wrong_types():
    say({"type": "hello", "version": "one"}); time.sleep(60)
def version_99():
    say(dict(hello, version=99)); time.sleep(60)
def no_hello():
    say({"type": "progress", "step": 1, "epoch": 0}); time.sleep(60)
def two_hellos():
    say(hello); say(hello); time.sleep(60)
def not_finite():
    say(hello); say(b'{"type": "progress", "step": 1, "loss": NaN}\n'); time.sleep(60)
def negative_step():
    say(hello); say({"type": "progress", "step": -5, "epoch": 0}); time.sleep(60)
def no_object():
    say(hello); say(b'[1, 2]\n'); time.sleep(60)
def path_in_name():
    say(hello); checkpoint("../../../etc"); time.sleep(60)
def lying_checkpoint():
    say(hello); checkpoint("step-000000050"); sys.exit(1)
def hangs():
    time.sleep(60)
def mute():
    say(hello); time.sleep(60)
def closes():
    say(hello); os.close(3); time.sleep(60)
def leaves():
    sys.exit(0)
def dies():
    say(hello); os.kill(os.getpid(), 11)
def talks_and_dies():
    say(hello)
    for n in range(3000):
        say({"type": "event", "kind": "noise", "message": "z" * 100})
    sys.stderr.write("a last \x1b[31mwish\x00\n"); sys.exit(5)
def leaves_a_child():
    say(hello)
    if os.fork() == 0:
        time.sleep(300)
    sys.exit(1)

def told():
    say(hello)
    for line in os.fdopen(3, "rb"):
        with open("@ROOT@/told", "ab") as f:
            f.write(line)

known = {k: v for k, v in globals().items() if callable(v) and k not in ("say", "checkpoint")}
if job in known:
    known[job]()
else:
    os.execv("@BUILD@/rekindle-train", ["rekindle-train"] + sys.argv[1:])
'''
# What the job's last sentence must have, by what its trainer does.
SAID = {
    "garbage": "not the protocol", "no_newline": "not the protocol", "long_line": "not the protocol",
    "wrong_types": "version", "version_99": "99", "no_hello": "hello", "two_hellos": "second hello",
    "not_finite": "not the protocol", "negative_step": "step", "no_object": "not the protocol",
    "path_in_name": "checkpoint", "lying_checkpoint": "not there", "hangs": "hello", "mute": "silent",
    "closes": "closed", "leaves": "without a word", "dies": "signal 11", "talks_and_dies": "exit code 5", "leaves_a_child": "exit code 1",
}
OTHERS = {"told"}


def trainer(d):
    path = f"{d.root}/trainer.py"
    with open(path, "w") as f:
        f.write(TRAINER.replace("@BUILD@", BUILD).replace("@ROOT@", d.root))
    os.chmod(path, 0o755)
    with open(f"{d.root}/config.yaml", "w") as f:
        f.write("start_timeout: 3\nstall_timeout: 3\nstop_timeout: 2\nretry: {base: 0.05}\n")
    d.start("--trainer", path, "--config", f"{d.root}/config.yaml", "--threads", "4")


def children(pid):
    out = subprocess.run(["ps", "-A", "-o", "ppid=,pid=,stat=,args="], capture_output=True, text=True).stdout
    return [x for x in out.splitlines() if int(x.split()[0]) == pid]


@case("each trainer that dies, lies or speaks nonsense fails its job with a sentence, and the good ones train",
      "stopped")
def _(d):
    modes = set(re.findall(r"^def (\w+)", TRAINER, re.M)) - {"say", "checkpoint"} - OTHERS
    eq(modes, set(SAID))
    trainer(d)
    jobs = {m: d.submit(tiny(d, m, retries=1)) for m in SAID}
    good = [d.submit(tiny(d, "good", epochs=3)) for _ in range(3)]
    for i in good:
        d.wait_state(i, "succeeded", seconds=90)
    for mode, i in jobs.items():
        wait_for(60, f"the job {mode} ends ({d.job(i)['state']}: {d.job(i)['message']})",
                 lambda: d.job(i)["state"] in ("failed", "succeeded", "cancelled"))
        j = d.job(i)
        eq(j["state"], "failed", f"{mode}: state ({j['message']})")
        has(j["message"], SAID[mode])
        assert len(j["message"]) < 2000 and j["message"].isprintable(), f"{mode}: {j['message'][:300]!r}"
        assert j["reason"], mode
        attempts = d.get(f"/v1/jobs/{i}/attempts").json["attempts"]
        eq(len(attempts), 2, f"{mode}: attempts with retries 1 ({[a['message'] for a in attempts][:5]})")
        assert all(a["ended"] and a["outcome"] for a in attempts), f"{mode}: {attempts}"
        eq(d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"], [], f"{mode}: checkpoints")
        d.get(f"/v1/jobs/{i}/log")
    # What a trainer left behind went with it.
    wait_for(10, f"no trainer is left: {children(d.proc.pid)}", lambda: not children(d.proc.pid))
    left = subprocess.run(["pgrep", "-f", "--", f"{d.root}/trainer.py --wire"], capture_output=True, text=True)
    eq(left.stdout, "", "processes left behind")
    # A talker does not fill the database.
    said = d.get(f"/v1/jobs/{jobs['talks_and_dies']}/events?limit=500").json["events"]
    assert len(said) < 450, len(said)
    with open(f"/proc/{d.proc.pid}/status") as f:
        rss = int([x for x in f if x.startswith("VmHWM")][0].split()[1])
    assert SLOW > 1 or rss < 64 << 10, f"{rss} KiB were resident"


@case("a trainer that dies at once fails the job after its retries", "stopped")
def _(d):
    with open(f"{d.root}/config.yaml", "w") as f:
        f.write("retry: {base: 0.1}\n")
    d.start("--trainer", "/bin/false", "--config", f"{d.root}/config.yaml")
    start = time.time()
    i = d.submit(tiny(d, retries=3))
    j = d.wait_state(i, "failed")
    assert time.time() - start > 0.3, "no back-off: want waits of 0, 0.1 and 0.2 s"
    eq((j["attempt"], j["failures"]), (4, 4))
    for part in ("exit code 1", "4 in a row", "retries is 3"):
        has(j["message"], part)
    # And with a trainer that works the same job can be tried again.
    eq(d.stop(), 0)
    d.start()
    d.post(f"/v1/jobs/{i}/retry", want=202)
    d.wait_state(i, "succeeded")


@case("a trainer that is no program is said at the start or by each job", "stopped")
def _(d):
    with open(f"{d.root}/text", "w") as f:
        f.write("just text")
    for path in ("/nowhere/rekindle-train", d.root, f"{d.root}/text"):
        r = subprocess.run([f"{BUILD}/rekindled", "--state-dir", f"{d.root}/s", "--listen", "none", "--socket",
                            f"{d.root}/sock", "--trainer", path], capture_output=True, text=True, timeout=limit(20))
        assert r.returncode not in (0, -6, -11), f"{path}: exit {r.returncode}"
        has(r.stderr, path)


@case("pause and cancel reach a job whose trainer does not listen", "stopped")
def _(d):
    trainer(d)
    a, b = d.submit(tiny(d, "mute", retries=50)), d.submit(tiny(d, "mute", retries=50))
    d.wait_state(a, "running")
    d.wait_state(b, "running")
    d.post(f"/v1/jobs/{a}/pause", want=202)
    d.post(f"/v1/jobs/{b}/cancel", want=202)
    d.wait_state(a, "paused", seconds=15)
    d.wait_state(b, "cancelled", seconds=15)
    c = d.submit(tiny(d, "hangs", retries=50))
    d.wait_state(c, "starting")
    d.post(f"/v1/jobs/{c}/cancel", want=202)
    d.wait_state(c, "cancelled", seconds=15)


def is_sleep(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return "sleep" in f.read()
    except OSError:
        return False


@case("what a trainer has started ends with it, also when it has done its work", "stopped")
def _(d):
    path = f"{d.root}/trainer.sh"
    with open(path, "w") as f:
        f.write(f'#!/bin/sh\nsleep 100 & echo $! >>{d.root}/children\nexec {BUILD}/rekindle-train "$@"\n')
    os.chmod(path, 0o755)
    d.start("--trainer", path)
    d.wait_state(d.submit(tiny(d, epochs=2)), "succeeded")
    i = d.submit(tiny(d, "long", epochs=1000000))
    d.wait_state(i, "running")
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    with open(f"{d.root}/children") as f:
        children = f.read().split()
    eq(len(children), 2)
    wait_for(10, f"all of {children} have ended", lambda: not [p for p in children if is_sleep(p)])


@case("a trainer has nine tenths of the time that there is, and the way out the rest", "stopped")
def _(d):
    trainer(d)
    for deed in ("pause", "cancel"):
        i = d.submit(tiny(d, "told"))
        d.wait_state(i, "running")
        d.post(f"/v1/jobs/{i}/{deed}", want=202)
        d.wait_state(i, "paused", "cancelled")
    with open(f"{d.root}/told") as f:
        said = [json.loads(x) for x in f]
    left = [m["deadline_seconds"] for m in said if m["type"] in ("pause", "stop")]
    assert len(left) >= 2 and all(1 < x <= 1.8 for x in left), f"{left} of stop_timeout: 2"


run()
