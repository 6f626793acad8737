#!/usr/bin/env python3
"""Kill trainer, daemon or both with -9 at random moments over a running queue.

KILLS=40 SEED=1 by default; any number by variable.  Then shown, each a case:
no acknowledged job lost, no checkpoint visible that fails its digests, every
job ends, final weights bit for bit those of the undisturbed run.
"""
import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from digests import wrong
from patience import SLOW, Patience, limit

BUILD = os.environ.get("BUILD", "build")
KILLS = int(os.environ.get("KILLS", "40"))
SEED = int(os.environ.get("SEED", "1"))
rng = random.Random(SEED)


def csv(path, rows, seed):
    r = random.Random(seed)
    with open(path, "w") as f:
        f.write("a,b,c,d,class\n")
        for _ in range(rows):
            a, b, c, d = (r.random() for _ in range(4))
            k = 2 if a + b > 1.2 else (1 if c > d else 0)
            f.write(f"{a:.4f},{b:.4f},{c:.4f},{d:.4f},{k}\n")


def jobs(data):
    """Different networks, optimisers and cadences; each a second or two."""
    base = {
        "resources": {"threads": 1, "memory": "128MiB"},
        "retries": 100,
        "data": {"train": {"type": "csv", "path": data, "label": "class"},
                 "validation_split": 0.1},
    }

    def job(name, model, optimizer, every, epochs, **training):
        return dict(base, name=name, model=model,
                    training=dict(epochs=epochs, batch_size=16, optimizer=optimizer, **training),
                    checkpoint={"every": every, "keep": {"last": 2, "best": 1}})

    mlp = {"arch": "mlp", "sizes": [4, 64, 64, 3]}
    stack = {"layers": [
        {"type": "linear", "out": 48}, {"type": "batch_norm"}, {"type": "relu"},
        {"type": "dropout", "p": 0.2}, {"type": "linear", "out": 3}]}
    conv = {"input": [1, 2, 2], "layers": [
        {"type": "conv2d", "out": 8, "kernel": 2, "padding": 1}, {"type": "batch_norm"},
        {"type": "tanh"}, {"type": "max_pool2d", "kernel": 2, "stride": 1},
        {"type": "flatten"}, {"type": "linear", "out": 3}]}
    return [
        job("adam", mlp, {"type": "adam", "learning_rate": 0.002}, {"steps": 40}, 120,
            schedule={"type": "cosine", "warmup_steps": 100}),
        job("nesterov", mlp, {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9,
                              "nesterov": True}, {"steps": 25}, 150),
        job("dropout", stack, {"type": "adamw", "learning_rate": 0.002}, {"steps": 33}, 100),
        job("conv", conv, {"type": "rmsprop", "learning_rate": 0.001}, {"epochs": 1}, 60),
    ]


class Daemon:
    def __init__(self, root):
        self.root, self.proc, self.url = root, None, None
        self.log = open(os.path.join(root, "daemon.log"), "ab")
        self.config = os.path.join(root, "rekindled.yaml")
        with open(self.config, "w") as f:
            f.write("preempt: {cloud: none}\n")     # whatever machine this is

    def start(self):
        self.proc = subprocess.Popen(
            [f"{BUILD}/rekindled", "--config", self.config, "--state-dir", f"{self.root}/state", "--listen", "127.0.0.1:0",
             "--socket", f"{self.root}/sock", "--trainer", f"{BUILD}/rekindle-train",
             "--threads", "2"],
            stdout=subprocess.PIPE, stderr=self.log)
        line = self.proc.stdout.readline().decode()
        self.url = re.search(r"http://[0-9.:]+", line).group(0)

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()

    def call(self, method, path, body=None, key=None):
        req = urllib.request.Request(self.url + path, method=method,
                                     data=json.dumps(body).encode() if body is not None else None)
        req.add_header("Content-Type", "application/json")
        if key:
            req.add_header("Idempotency-Key", key)
        with urllib.request.urlopen(req, timeout=limit(20)) as r:
            return json.load(r)

    def trainers(self):
        out = subprocess.run(["pgrep", "-f", "--", f"--run-dir {self.root}/state/jobs/"],
                             capture_output=True, text=True).stdout.split()
        return [int(p) for p in out]


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def visible_checkpoints(state):
    return sorted(p for p in glob.glob(f"{state}/jobs/*/checkpoints/step-*") if os.path.isdir(p))


def damaged(state):
    """Checkpoints that can be seen and are not what their record says."""
    bad = []
    for d in visible_checkpoints(state):
        try:
            record = json.load(open(f"{d}/checkpoint.json"))
            for f in record["files"]:
                what = wrong(f"{d}/{f['name']}", f)
                if what:
                    bad.append(what)
        except FileNotFoundError:
            if os.path.isdir(d):        # not merely retired while we looked
                bad.append(d)
        except (ValueError, KeyError) as e:
            bad.append(f"{d}: {e}")
    return bad


def weights(state, job):
    last = sorted(glob.glob(f"{state}/jobs/{job}/checkpoints/step-*"))[-1]
    return tuple(sha(p) for p in sorted(glob.glob(f"{last}/*.safetensors"))), os.path.basename(last)


def wait_all(d, ids, seconds):
    p = Patience(seconds)
    while not p.spent():
        states = {i: d.call("GET", f"/v1/jobs/{i}") for i in ids}
        if all(s["state"] in ("succeeded", "failed", "cancelled") for s in states.values()):
            return states
        time.sleep(0.1)
    return states


def submit(d, spec, key):
    """Until acknowledged, with one key: a retry must not make a second job."""
    try:
        return d.call("POST", "/v1/jobs", spec, key)["id"]
    except (urllib.error.URLError, OSError, ValueError):
        return None


failures = []


def case(name, faults):
    name = name.replace(" ", "_")
    if faults:
        print(f"FAILED {name}")
        for f in faults[:10]:
            print(f"    {f}")
        failures.append(name)
    else:
        print(f"ok {name}")


def main():
    top = tempfile.mkdtemp(prefix="rk-crash-")
    d = None
    try:
        data = f"{top}/data.csv"
        csv(data, 1000, 7)
        specs = jobs(data)

        # Undisturbed.
        os.mkdir(f"{top}/calm")
        d = Daemon(f"{top}/calm")
        d.start()
        ids = [submit(d, s, None) for s in specs]
        states = wait_all(d, ids, 120)
        want = {}
        for s, i in zip(specs, ids):
            if states[i]["state"] != "succeeded":
                case("the undisturbed runs end", [f"{s['name']}: {states[i]['message']}"])
                return
            want[s["name"]] = weights(f"{d.root}/state", i)
        d.kill()

        # Disturbed.
        os.mkdir(f"{top}/storm")
        d = Daemon(f"{top}/storm")
        d.start()
        state = f"{d.root}/state"
        acked, lost, bad, pending = {}, [], [], None
        kills = {"trainer": 0, "daemon": 0, "both": 0}
        n = 0
        while sum(kills.values()) < KILLS:
            # Keep the queue fed: at most two not ended, one of them running.
            live = sum(1 for i in acked if d.call("GET", f"/v1/jobs/{i}")["state"] not in
                       ("succeeded", "failed", "cancelled"))
            if live < 3 or pending:
                spec, key = pending or (specs[n % len(specs)], f"key-{n}")
                i = submit(d, spec, key)
                if i:
                    if i in acked:
                        lost.append(f"{key} made {i} twice")
                    acked[i] = spec["name"]
                    pending, n = None, n + 1
            time.sleep(rng.uniform(0.0, 0.6) * SLOW)
            what = rng.choice(["trainer", "trainer", "daemon", "both"])
            victims = d.trainers() if what != "daemon" else []
            if what == "trainer" and not victims:
                continue
            if what != "trainer" and rng.random() < 0.5:
                # A request that may or may not be acknowledged when it dies.
                pending = (specs[n % len(specs)], f"key-{n}")
                p = os.fork()
                if p == 0:
                    submit(d, *pending)
                    os._exit(0)
                time.sleep(rng.uniform(0, 0.004))
                d.kill()
                os.waitpid(p, 0)
            elif what != "trainer":
                d.kill()
            for v in victims:
                try:
                    os.kill(v, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            kills[what] += 1
            bad += damaged(state)
            if what != "trainer":
                d.start()
            for i in acked:
                try:
                    d.call("GET", f"/v1/jobs/{i}")
                except urllib.error.HTTPError as e:
                    lost.append(f"{i} ({acked[i]}): {e}")
        if pending:
            i = submit(d, *pending)
            acked[i] = pending[0]["name"]
        states = wait_all(d, list(acked), 240)
        bad += damaged(state)
        print(f"{sum(kills.values())} kills ({kills}), {len(acked)} jobs, seed {SEED}")

        case("no acknowledged job is lost", lost)
        case("no checkpoint is visible that fails its digests", bad)
        case("every job ends", [f"{i} {acked[i]}: {s['state']} {s['message']}"
                                for i, s in states.items() if s["state"] != "succeeded"])
        case("the weights are bit for bit those of the undisturbed run",
             [f"{i} {name}: {weights(state, i)} want {want[name]}" for i, name in acked.items()
              if weights(state, i) != want[name]])
        total = d.call("GET", "/v1/jobs?limit=500")["jobs"]
        case("no request made two jobs", [f"{len(total)} jobs for {len(acked)} requests"]
             if len(total) != len(acked) else [])
    finally:
        if d is not None and d.proc is not None and d.proc.poll() is None:
            d.kill()
        if d is not None:
            for v in d.trainers():
                os.kill(v, signal.SIGKILL)
        if failures and os.environ.get("T_KEEP"):
            print(f"    kept: {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)


main()
sys.exit(1 if failures else 0)
