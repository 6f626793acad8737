#!/usr/bin/env python3
"""Signals at all three programs while the layers are wide, whose matrix products
run on a stack that is not the thread's own; and who takes them."""
import hashlib
import json
import os
import random
import signal
import subprocess
import time

from t import BUILD, SANITIZED, SLOW, Skip, case, csv, eq, has, run, tiny, wait_for

ROUNDS = 8
OWN = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
WAITING = sum(1 << (s - 1) for s in range(1, 32) if s not in OWN | {signal.SIGKILL, signal.SIGSTOP})


def wide(d, epochs, steps=1000000):
    csv(f"{d.root}/wide.csv", rows=320)
    return tiny(d, "wide", epochs, resources={"threads": 1, "memory": "512MiB"},
                model={"arch": "mlp", "sizes": [4, 1200, 1200, 3]},
                data={"train": {"type": "csv", "path": f"{d.root}/wide.csv", "label": "class"}},
                checkpoint={"every": {"steps": steps}, "keep": {"last": 1000}})


class Trainer:
    """rekindle-train by hand, in a folder under d.root."""
    def __init__(self, d, job, name, **env):
        self.dir, self.out, path = f"{d.root}/{name}", f"{d.root}/{name}.out", f"{d.root}/{name}.yaml"
        with open(path, "w") as f:
            json.dump(job, f)
        self.proc = subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", self.dir, path],
                                     stdout=open(self.out, "w"), stderr=subprocess.STDOUT, env={**os.environ, **env})

    def said(self):
        with open(self.out, errors="replace") as f:
            return f.read()

    def begun(self):
        wait_for(30, "it trains", lambda: " loss " in self.said() or self.proc.poll() is not None)
        return self

    def end(self):
        return self.proc.wait(120 * SLOW)

    def saved(self):
        try:
            return sorted(n for n in os.listdir(f"{self.dir}/checkpoints") if n.startswith("step-"))
        except FileNotFoundError:
            return []

    def weights(self):
        h = hashlib.sha256()
        for name in "model", "optimizer":
            with open(f"{self.dir}/checkpoints/{self.saved()[-1]}/{name}.safetensors", "rb") as f:
                h.update(f.read())
        return h.hexdigest()


def masks(pid):
    """(name, blocked, caught) of each thread."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/status") as f:
                v = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield v["Name"], int(v["SigBlk"], 16), int(v["SigCgt"], 16)


@case("each SIGTERM amid wide layers ends in a checkpoint, and all of them change no byte", "stopped")
def _(d):
    job = wide(d, 60)
    calm = Trainer(d, job, "calm")
    eq(calm.end(), 0, "exit")
    for i in range(ROUNDS):
        t = Trainer(d, job, "told").begun()
        before = t.saved()
        time.sleep(random.random() * 0.05)
        t.proc.send_signal(random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
        eq(t.end(), 0, f"exit in round {i} ({t.said()[-300:]!r})")
        has(t.said(), "stopped at step")
        assert t.saved()[-1:] > before[-1:], f"round {i} saved nothing: {t.said()[-300:]!r}"
    eq(Trainer(d, job, "told").end(), 0, "exit")
    t = Trainer(d, job, "told")
    eq(t.end(), 0, "exit")
    eq(t.weights(), calm.weights(), "weights")


@case("a job whose trainer somebody tells to leave goes on, and it was no crash")
def _(d):
    i = d.submit(wide(d, 1000000))
    for k in range(3):
        step = wait_for(30, "it is one step further", lambda: d.job(i)["state"] == "running" and
                        (d.job(i)["progress"] or {}).get("step", 0) > k and d.job(i)["progress"]["step"])
        d.signal_trainers(signal.SIGTERM)
        wait_for(30, "the next attempt runs", lambda: d.job(i)["attempt"] > k + 1 and d.job(i)["state"] == "running")
        eq(d.job(i)["failures"], 0, "failures")
        assert d.job(i)["progress"]["step"] >= step, d.job(i)
    d.post(f"/v1/jobs/{i}/cancel")


@case("no program of ours has a handler, and only the thread that waits takes a signal")
def _(d):
    i = d.submit(wide(d, 1000000, steps=1))
    wait_for(30, "a checkpoint", lambda: (d.job(i)["progress"] or {}).get("checkpoint"))
    names = []
    for p in d.trainers():
        for name, blocked, caught in masks(p):
            names.append(name)
            assert name == "rk-signals" or not WAITING & ~blocked, f"{name} takes {WAITING & ~blocked:x}"
            eq(WAITING & caught, 0, f"handlers of the trainer's {name}")
    eq(names.count("rk-signals"), 1, "threads that wait")
    for name, blocked, caught in masks(d.proc.pid):
        eq(WAITING & caught, 0, f"handlers of the daemon's {name}")
    others = [b for name, b, _ in masks(d.proc.pid) if not name.startswith("rekindled")]
    assert all(not WAITING & ~b for b in others), f"{others}"
    d.post(f"/v1/jobs/{i}/cancel")


EARLY = """
#include <pthread.h>
#include <unistd.h>
static void *wait_here(void *p) { for (;;) pause(); return p; }
__attribute__((constructor)) static void begin(void)
{ pthread_t t; pthread_create(&t, 0, wait_here, 0); }
"""


@case("a thread that a library starts when it is loaded takes no signal either", "stopped")
def _(d):
    if SANITIZED:
        raise Skip("the sanitizer's library has to be the first")
    with open(f"{d.root}/early.c", "w") as f:
        f.write(EARLY)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-pthread", "-o", f"{d.root}/early.so",
                    f"{d.root}/early.c"], check=True)
    t = Trainer(d, wide(d, 1000000), "early", LD_PRELOAD=f"{d.root}/early.so").begun()
    threads = list(masks(t.proc.pid))
    assert len(threads) >= 4, f"{threads}"
    for name, blocked, _ in threads:
        assert name == "rk-signals" or not WAITING & ~blocked, f"{name} takes {WAITING & ~blocked:x}"
    t.proc.send_signal(signal.SIGTERM)
    eq(t.end(), 0, "exit")
    has(t.said(), "stopped at step")


run()
