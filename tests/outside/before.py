#!/usr/bin/env python3
"""Jobs of before end with the bytes of before.

What the program of commit BEFORE made is in samples/before, by what it was computed with.  Where this machine computes
with something else, only `make check-before` can tell: it builds that program and compares.
"""
import json
import os
import shutil
import subprocess

import before_jobs as jobs
from t import BUILD, SANITIZED, Skip, case, eq, run

# What this machine computes with, and what all x86 machines can: the latter ever in the same way.
KINDS = {"as this machine does": {}, "as a machine of 2012 does": jobs.PLAIN}


def golden(name):
    with open(f"{jobs.SAMPLES}/{name}") as f:
        return json.load(f)


def known(arithmetic):
    """The row of the table that was computed with the same."""
    for row in golden("digests.json"):
        if arithmetic == row["arithmetic"]:
            return row["models"]
    return None


def unknown(arithmetic):
    raise Skip(f"NOT COMPARED: samples/before has no digests for {json.dumps(arithmetic)}; run `make check-before`, "
               f"which builds {jobs.BEFORE} and compares with it")


def not_as_shipped():
    """Of a * b + c the compiler makes one instruction in other places when it puts checks between; only where there is
    one, so not in the plain loops."""
    raise Skip("NOT COMPARED: the sanitizers' build rounds in other places; nothing was found by them")


def compare(d, env):
    args, at, wrong = jobs.write_jobs(d.root), {}, []
    if "fashion-mlp" not in args:
        print("    Debian's dataset-fashion-mnist is not installed: three jobs of etc/jobs are NOT COMPARED")
    for name, a in args.items():
        at[name] = jobs.train(BUILD, d.root, f"{name}.run", a, env)
        if name == "sgd":
            arithmetic = jobs.info(at[name])["arithmetic"]
            want = known(arithmetic)
            if want is None:
                unknown(arithmetic)
    for name, last in at.items():
        got = (os.path.basename(last), jobs.digest(f"{last}/model.safetensors"))
        if got != tuple(want[name]):
            wrong.append(f"{name}: {got}, want {want[name]}")
    if SANITIZED and env != jobs.PLAIN:
        not_as_shipped()
    assert not wrong, f"{len(wrong)} of {len(at)}: " + "; ".join(wrong)


for words, env in KINDS.items():
    @case(f"every job of before has the model of before, computed {words}", "stopped")
    def _(d, env=env):
        compare(d, env)


@case("a checkpoint of version 1, of an older arithmetic, goes on and says so", "stopped")
def _(d):
    jobs.write_data(d.root)
    shutil.copytree(f"{jobs.SAMPLES}/v1", d.root, dirs_exist_ok=True)
    begun = jobs.checkpoints(f"{d.root}/v1.run")[0]
    was = jobs.info(begun)
    assert "format" not in was and "program" not in was, "the sample is not of version 1"
    last = jobs.train(BUILD, d.root, "v1.run", ["v1.json"])
    now = jobs.info(last)
    eq(now["parent"], os.path.basename(begun), "where it went on from")
    eq((now["format"], now["data_digest"]), (3, was["data_digest"]), "format, and digest of the data")
    eq(now["inexact"]["reason"], "arithmetic_changed", "what is said of it")


@case("what jobs are known by is what it was", "stopped")
def _(d):
    rows = golden("specs.json")
    for form in "text", "normal":
        with open(f"{d.root}/list", "w") as f:
            json.dump([{"text": r["text"] if form == "text" else json.dumps(r["normal"]), "record": r["record"]}
                       for r in rows], f)
        p = subprocess.run([f"{BUILD}/unit/spec_drive", "--tell", f"{d.root}/list"], capture_output=True, text=True)
        eq(p.returncode, 0, f"exit ({p.stderr[-300:]})")
        lines = [json.loads(x) for x in p.stdout.splitlines()]
        eq(len(lines), len(rows), "jobs told of")
        for row, got in zip(rows, lines):
            name = f"{row['name']} ({form})"
            eq(got.get("fault"), None, f"fault of {name}")
            eq((got["digest"], got["again"]), (row["digest"], row["digest"]), f"digest of {name}, of its normal form")
            eq((got["changed"], got.get("refused")), ({}, None), f"what has changed of {name}")


run()
