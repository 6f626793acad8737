#!/usr/bin/env python3
"""Names with marks of direction, which turn round what a terminal shows: they are kept, and shown as what they are."""
import json
import struct
import subprocess

from t import BUILD, case, eq, has, run, safetensors, tiny

MARK = "\u202e"
NAME = f"good{MARK}dab"
ALL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def rk(d, *args, code=0):
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True)
    eq(p.returncode, code, f"exit of {args} ({p.stdout} {p.stderr})")
    return p.stdout + p.stderr


def hides_none(text):
    shown = [c for c in text if c in ALL]
    assert not shown, f"{shown} in {text!r}"


@case("names of classes and notes of a job are shown without their marks, and kept with them")
def _(d):
    with open(f"{d.root}/v.txt", "w") as f:
        f.write("[PAD]\n[UNK]\ncat\ndog\nant\n")
    with open(f"{d.root}/texts.tsv", "w") as f:
        f.write("".join(f"cat {n} cat\tplain\ndog {n} dog\t{NAME}\n" for n in range(200)))
    job = tiny(d, "marks", epochs=1, metadata={"notes": f"n{MARK}m"})
    job["model"] = {"layers": [{"type": "embedding", "name": "words", "rows": 5, "width": 4}, "flatten",
                               {"type": "linear", "name": "fc", "out": 2}]}
    job["data"] = {"train": {"type": "text", "path": f"{d.root}/texts.tsv", "text": 0, "label": 1, "length": 4, "header": False,
                             "tokenizer": {"type": "words", "vocabulary": f"{d.root}/v.txt"}}, "validation_split": 0.2}
    i = d.submit(job)
    eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded", d.job(i)["message"])
    shown = ""
    for args in (["show", i], ["list"], ["events", i], ["log", i], ["checkpoints", i], ["attempts", i], ["evaluations", i], ["evaluations", i, "latest"],
                 ["show", i, "--spec"]):
        p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True)
        hides_none(p.stdout + p.stderr)
        shown += p.stdout
    has(shown, "good???dab")
    for args in (["show", i, "--json"], ["list", "--json"]):
        hides_none(rk(d, *args))
    has(rk(d, "show", i, "--json"), "\\u202e")
    said = json.loads(rk(d, "show", i, "--json"))
    eq(said["spec"]["metadata"]["notes"], f"n{MARK}m")
    hides_none(d.log())
    with open(f"{d.state}/jobs/{i}/train.log") as f:
        hides_none(f.read())


@case("a daemon's refusal has no marks", "stopped")
def _(d):
    d.start()
    job = tiny(d, "x")
    job["model"]["arch"] = NAME
    with open(f"{d.root}/x.json", "w") as f:
        json.dump(job, f)
    text = rk(d, "submit", f"{d.root}/x.json", code=1)
    hides_none(text)
    has(text, "good???dab")


@case("tensors of a file of weights whose names have marks are shown as what they are", "stopped")
def _(d):
    path = safetensors(f"{d.root}/m.safetensors", {NAME: ("F32", (2,), struct.pack("<2f", 1, 2)),
                                                   "plain": ("F32", (1,), struct.pack("<f", 3))})
    other = safetensors(f"{d.root}/o.safetensors", {NAME: ("F32", (2,), struct.pack("<2f", 1, 3))})

    def out(*args):
        return subprocess.run([f"{BUILD}/rekindle", "weights", *args], capture_output=True, text=True).stdout
    for args in (["show", path], ["show", path, "--statistics"], ["diff", path, other]):
        hides_none(out(*args))
        has(out(*args), "good???dab")
    for args in (["show", path, "--json"], ["diff", path, other, "--json"]):
        hides_none(out(*args))
        has(out(*args), "good\\u202edab")
    eq([t["name"] for t in json.loads(out("show", path, "--json"))["tensors"]][0], NAME)


run()
