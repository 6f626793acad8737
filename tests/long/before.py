#!/usr/bin/env python3
"""make check-before: the program of commit BEFORE is built and compared with this one, byte for byte.

That is for machines whose arithmetic is not in the tables of tests/outside/samples/before, and for what needs both
programs: runs and jobs that the old one paused, and the way back.  `before.py take` writes rows of digests.json for what
this machine computes with, by the old program.  specs.json and the checkpoint of version 1 stay as b0952f3 made them.
"""
import json
import os
import random
import shutil
import subprocess
import sys

ROOT = os.path.abspath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
sys.path.insert(0, f"{ROOT}/tests/outside")

import before_jobs as jobs      # noqa: E402
import t                        # noqa: E402
from t import BUILD, Skip, case, eq, run, wait_for     # noqa: E402

OLD = f"{BUILD}/before/build"
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
# Other CPUs as far as this one can stand in for them, and the other library.
KINDS = [{}, jobs.PLAIN, {"DNNL_MAX_CPU_ISA": "AVX2"}, {"DNNL_MAX_CPU_ISA": "AVX2", "REKINDLE_SIMD": "plain"},
         {"REKINDLE_GEMM": "openblas", "OPENBLAS_CORETYPE": "Haswell"}]


def build_old():
    """Once, in a git worktree of its own."""
    tree = f"{BUILD}/before"
    git = ["git", "-C", ROOT]
    if subprocess.run([*git, "cat-file", "-e", f"{jobs.BEFORE}^{{commit}}"], capture_output=True).returncode != 0:
        raise Skip(f"NOT COMPARED: commit {jobs.BEFORE} is not in this checkout's history (a shallow clone?)")
    if not os.path.exists(f"{tree}/Makefile"):
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "--detach", tree, jobs.BEFORE], check=True, capture_output=True)
    shutil.copy(f"{ROOT}/tests/unit/spec_drive.c", f"{tree}/tests/unit/")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "B", "BUILD", "SAN")}
    p = subprocess.run(["make", "-C", tree, "-j", str(os.cpu_count()), "all", "build/unit/spec_drive"], env=env,
                       capture_output=True, text=True)
    assert p.returncode == 0, f"{jobs.BEFORE} does not build: {p.stderr[-1500:]}"


def tell(build, rows, d):
    with open(f"{d}/list", "w") as f:
        json.dump(rows, f)
    p = subprocess.run([f"{build}/unit/spec_drive", "--tell", f"{d}/list"], capture_output=True, text=True, check=True)
    return [json.loads(x) for x in p.stdout.splitlines()]


def same_files(a, b, what):
    for name in "model.safetensors", "optimizer.safetensors":
        eq(os.path.exists(f"{a}/{name}"), os.path.exists(f"{b}/{name}"), f"{what}: is there {name}")
        if os.path.exists(f"{a}/{name}"):
            eq(jobs.digest(f"{b}/{name}"), jobs.digest(f"{a}/{name}"), f"{what}: {name}")


def begin_at(d, of, step, run):
    """A run folder that was stopped at a checkpoint of another."""
    os.makedirs(f"{d}/{run}/checkpoints")
    shutil.copytree(f"{d}/{of}/checkpoints/{step}", f"{d}/{run}/checkpoints/{step}")


# --- the cases ----------------------------------------------------------------

@case("every job of before ends with the bytes of before, undisturbed and stopped at a random checkpoint", "stopped")
def _(d):
    build_old()
    r = random.Random(SEED)
    for name, args in jobs.write_jobs(d.root).items():
        old = jobs.train(OLD, d.root, f"{name}.old", args)
        same_files(old, jobs.train(BUILD, d.root, f"{name}.new", args), name)
        steps = [os.path.basename(x) for x in jobs.checkpoints(f"{d.root}/{name}.old")[:-1]]
        if not steps:
            continue
        at = r.choice(steps)
        what = f"{name} from {at} (SEED={SEED})"
        begin_at(d.root, f"{name}.old", at, f"{name}.on")
        last = jobs.train(BUILD, d.root, f"{name}.on", args)
        same_files(old, last, what)
        was, now = jobs.info(old), jobs.info(last)
        eq((now["parent"], now["inexact"]), (at, None), f"{what}: where it went on from, and what is said of it")
        eq((now["spec_digest"], now["data_digest"]), (was["spec_digest"], was["data_digest"]), f"{what}: digests")


@case("the program of before goes on from a checkpoint of version 2 with the same bytes", "stopped")
def _(d):
    build_old()
    all_of = jobs.write_jobs(d.root)
    for name in "dropouts", "images":
        new = jobs.train(BUILD, d.root, f"{name}.new", all_of[name])
        at = os.path.basename(jobs.checkpoints(f"{d.root}/{name}.new")[1])
        begin_at(d.root, f"{name}.new", at, f"{name}.back")
        same_files(new, jobs.train(OLD, d.root, f"{name}.back", all_of[name]), f"{name} from {at}")


def with_daemon(build, d):
    t.BUILD = build
    try:
        return d.start()
    finally:
        t.BUILD = BUILD


@case("a job that the daemon of before paused goes on under this one, on its state, to the bytes of before", "stopped")
def _(d):
    build_old()
    jobs.write_data(d.root)
    job = jobs.small_job("dropouts")
    job["data"]["train"]["path"] = f"{d.root}/classes.csv"
    job["training"].update(steps=20000, epochs=1000000)
    job["checkpoint"] = {"every": {"steps": 500}}
    with open(f"{d.root}/whole.json", "w") as f:
        json.dump(job, f)
    whole = jobs.train(OLD, d.root, "whole", ["whole.json"])
    with_daemon(OLD, d)
    i = d.submit(job)
    wait_for(60, "a checkpoint", lambda: (d.job(i)["progress"] or {}).get("checkpoint_step", 0) > 0)
    d.post(f"/v1/jobs/{i}/pause")
    before = d.wait_state(i, "paused")
    at = before["progress"]["checkpoint_step"]
    assert at < 20000, "it was done before it could be paused"
    eq(d.stop(), 0, "the old daemon's exit")
    with_daemon(BUILD, d)
    eq((d.job(i)["state"], d.job(i)["progress"]["checkpoint_step"]), ("paused", at), "the job under the new daemon")
    d.post(f"/v1/jobs/{i}/resume", {}, want=202)
    job = d.wait_state(i, "succeeded")
    eq((job["exact"], job["inexact"]), (True, None), "exact")
    kinds = [e["kind"] for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"]]
    eq([k for k in kinds if k.endswith("_changed")], [], "events that something has changed")
    last = jobs.checkpoints(f"{d.state}/jobs/{i}")[-1]
    same_files(whole, last, f"from step {at}")
    eq((jobs.info(last)["spec_digest"], jobs.info(last)["attempt"]), (jobs.info(whole)["spec_digest"], 2),
       "the specification's digest, and the attempt")


@case("what the program of before knows jobs by is what this one does", "stopped")
def _(d):
    build_old()
    texts = jobs.spec_texts()
    old = tell(OLD, [{"text": x} for x in texts.values()], d.root)
    new = tell(BUILD, [{"text": x, "record": o["record"]} for x, o in zip(texts.values(), old)], d.root)
    for name, was, now in zip(texts, old, new):
        eq(now["digest"], was["digest"], f"digest of {name}")
        eq((now["changed"], now.get("refused")), ({}, None), f"what has changed of {name}")


# --- the tables ---------------------------------------------------------------

def take_models(root):
    rows = []
    for n, env in enumerate(KINDS):
        d = f"{root}/{n}"
        os.makedirs(d)
        models, arithmetic = {}, None
        for name, args in jobs.write_jobs(d).items():
            last = jobs.train(OLD, d, f"{name}.run", args, env)
            arithmetic = jobs.info(last)["arithmetic"]
            models[name] = [os.path.basename(last), jobs.digest(f"{last}/model.safetensors")]
        assert len(models) == len(jobs.SMALL) + len(jobs.SHIPPED), "dataset-fashion-mnist is not installed"
        if arithmetic not in [r["arithmetic"] for r in rows]:
            rows.append({"arithmetic": arithmetic, "models": models})
    return rows


def merge(rows):
    """With the rows that are there of other arithmetic, but those of another numeric identity."""
    path = f"{jobs.SAMPLES}/digests.json"
    if os.path.exists(path):
        with open(path) as f:
            new = [r["arithmetic"] for r in rows]
            rows = [r for r in json.load(f) if r["arithmetic"] not in new and
                    r["arithmetic"].get("identity") == new[0]["identity"]] + rows
    return rows


def write(name, rows):
    """A row a line, so that a change of one shows as one."""
    with open(f"{jobs.SAMPLES}/{name}", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n")


def take():
    build_old()
    root = f"{BUILD}/before-tables"
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    write("digests.json", merge(take_models(root)))
    shutil.rmtree(root)


if sys.argv[1:] == ["take"]:
    take()
else:
    run()
