#!/usr/bin/env python3
"""make accuracy: what networks learn, on real data, and whether it is what PyTorch's learn.

    accuracy.py [part of a row's name]...

Each row trains jobs under the real daemon, whose state directory stays in
build/accuracy: a call that was interrupted, in whatever way, is gone on with by the
next, and what was trained is not trained again unless its recipe is another
(FRESH=1: all anew).  A row says `ok` or `FAILED` with its figures, or `SKIPPED` where
something that it needs is not on this machine, and is kept in build/accuracy.json,
which table.py puts into measured.json and the README's table.  Trainings run one at a time, at niceness 10
or what the caller has, on THREADS (2) threads.  PyTorch is that of the first interpreter of BENCH_PYTHON that
has it, or Debian's.

build/accuracy.json is a list of {row, state: ok | failed | skipped, value, unit, goal,
conditions, seconds, when, commit, runs} and what a row has more; of one that is skipped
or came to nothing {row, state, why, when}.
"""
import functools
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")
sys.path.insert(0, f"{HERE}/../bench")
import peers                            # noqa: E402
from lab import THREADS, Absent, Failed, Lab, digest    # noqa: E402
from rows import load                   # noqa: E402
from t import BUILD                     # noqa: E402

FOLDER, OUT = f"{BUILD}/accuracy", f"{BUILD}/accuracy.json"


def commit():
    """What is measured, with a word when files differ from it; fit for a label."""
    def git(*args):
        return subprocess.run(["git", "-C", HERE, *args], capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "-uno")
    return (git("rev-parse", "--short=9", "HEAD") or "unknown") + ("-changed" if changed else "")


class Bench:
    """How rows train: by rekindle in the lab, by PyTorch beside it."""

    def __init__(self, lab):
        self.lab = lab

    def say(self, who, name, r):
        tail = " ".join(f"{x:.4f}" for x in r["epochs"][-3:])
        print(f"     {name}, {who}: {r['value']:.4f} after {len(r['epochs'])} epochs (... {tail}), {r['seconds']:.0f} s",
              flush=True)

    def ours(self, job):
        t = job["training"]
        r = self.lab.train({**job, "name": f"{job['name']}.{t['arithmetic']}.{t['seed']}"})
        self.say(f"rekindle {t['arithmetic']}", f"{job['name']} seed {t['seed']}", r)
        return {"seed": t["seed"], **r}

    @functools.cache
    def peer(self):
        for p in peers.find():
            if p.framework == "torch":
                return p
        raise Absent("no interpreter has PyTorch: apt-get install python3-torch, or BENCH_PYTHON")

    def theirs(self, peer, job):
        folder = f"{FOLDER}/torch/{digest([job, peer.name])}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/job.json", "w") as f:
            json.dump(job, f)
        if not os.path.exists(f"{folder}/result.json"):
            self.program([peer.python, f"{HERE}/peer_torch.py", f"{folder}/job.json", folder], f"{folder}/log",
                         {**peers.preloaded(peer.python), **peers.ENV["malloc tuned"]})
        with open(f"{folder}/result.json") as f:
            r = json.load(f)
        self.say(peer.name, f"{job['name']} seed {job['training']['seed']}", r)
        return {"seed": job["training"]["seed"], **r}

    def program(self, args, log, more):
        # Passive: other programs are at work here, and threads that spin keep them from it.
        env = dict(os.environ, OMP_NUM_THREADS=str(THREADS), OMP_WAIT_POLICY="passive", THREADS=str(THREADS), **more)
        # A compute program that outlives us would train beside the next call's.
        with open(log, "w") as f:
            rc = subprocess.run(["setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", *args], env=env, stdout=f,
                                stderr=f).returncode
        if rc:
            with open(log) as f:
                lines = f.read().strip().splitlines() or [""]
            raise Failed(f"{' '.join(args[:2])} ended with {rc}: {lines[-1]} ({log})")

    def evaluate(self, job, model, *more):
        """What rekindle-train --evaluate says of a model, and the time it took."""
        path = f"{FOLDER}/{job['name']}.json"
        with open(path, "w") as f:
            json.dump(job, f)
        begin = time.monotonic()
        p = subprocess.run(["nice", "-n", "10", f"{BUILD}/rekindle-train", "--threads", str(THREADS), "--evaluate",
                            model, *more, path], capture_output=True, text=True)
        if p.returncode:
            raise Failed(f"rekindle-train --evaluate {model}: {p.stderr.strip()}")
        return {**json.loads(p.stdout), "seconds": time.monotonic() - begin}


def measured(name, fn, bench, what):
    """A row of build/accuracy.json, printed."""
    row = {"row": name, "when": time.strftime("%Y-%m-%d", time.gmtime()), "commit": what}
    try:
        r = fn(bench)
    except Absent as e:
        print(f"SKIPPED {name}: {e}", flush=True)
        return {**row, "state": "skipped", "why": str(e)}
    except Failed as e:
        print(f"FAILED {name}: {e}", flush=True)
        return {**row, "state": "failed", "why": str(e)}
    row.update(r, state="ok" if r["holds"] else "failed")
    row["commit"] = ", ".join(sorted({x["commit"] for x in r["runs"] if "commit" in x})) or what
    print(f"{'ok  ' if r['holds'] else 'FAILED'} {name}: {r['value']:.4g} {r['unit']} (goal {r['goal']}) "
          f"[{r['conditions']}], {r['seconds']:.0f} s", flush=True)
    return row


def keep(row, order):
    """In the place of what an earlier call said of that row."""
    rows = []
    if os.path.exists(OUT):
        with open(OUT) as f:
            rows = [r for r in json.load(f) if r["row"] != row["row"]]
    rows.append(row)
    rows.sort(key=lambda r: order.index(r["row"]) if r["row"] in order else len(order))
    with open(f"{OUT}.new", "w") as f:
        json.dump(rows, f, indent=1)
    os.replace(f"{OUT}.new", OUT)


def main():
    rows, want = load(), sys.argv[1:]
    chosen = [name for name in rows if not want or any(w in name for w in want)]
    if not chosen:
        sys.exit(f"no row has {' or '.join(want)} in its name; there are {', '.join(rows)}")
    if os.environ.get("FRESH"):
        shutil.rmtree(FOLDER, ignore_errors=True)
    what, states = commit(), []
    try:
        with Lab(FOLDER, what) as lab:
            bench = Bench(lab)
            for name in chosen:
                row = measured(name, rows[name], bench, what)
                keep(row, list(rows))
                states.append(row["state"])
    except KeyboardInterrupt:
        print("\ninterrupted; the next call goes on with what was trained so far")
        sys.exit(130)
    print(f"\n{states.count('ok')} ok, {states.count('failed')} failed, {states.count('skipped')} skipped; written to "
          f"{os.path.relpath(OUT)}")
    sys.exit(1 if "failed" in states else 0)


main()
