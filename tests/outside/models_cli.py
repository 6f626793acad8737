#!/usr/bin/env python3
"""rekindle models, at a real daemon: versions, aliases, lineage, comparison, cards and files, as a person sees
them; of logs that others wrote, too."""
import hashlib
import json
import os
import subprocess

from t import BUILD, case, eq, has, limit, run, tiny

SPOKEN = "é\u202eevil\x1b[31m\nsecond line | `x` <b>"


def rk(d, *words, want=0, env=None):
    """rekindle models WORDS: stdout; of a refusal stderr."""
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "models", *words], capture_output=True, timeout=limit(60),
                       env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "200", **(env or {})})
    out, err = p.stdout.decode(), p.stderr.decode()
    eq(p.returncode, want, f"exit of models {words} ({out[-600:]} {err[-600:]})")
    return out if want == 0 else err


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Log:
    """A model's log in the state directory, as another machine may have written it."""

    def __init__(self, d, name):
        self.name, self.root, self.seq, self.versions = name, f"{d.state}/models/{name}", 0, 0

    def put(self, event, **fields):
        self.seq += 1
        os.makedirs(f"{self.root}/log", exist_ok=True)
        entry = {"format": 1, "seq": self.seq, "id": f"id-{self.name}-{self.seq}", "at": "2026-11-30T12:00:00.000Z",
                 "by": "ana", "instance": "gpu-a", "event": event, **fields}
        with open(f"{self.root}/log/{self.seq:010}.json", "w") as f:
            json.dump(entry, f)

    def version(self, files=None, tensors=None, **record):
        self.versions += 1
        ident = f"v{self.versions}"
        files = {"model.safetensors": b"m" * 5000} if files is None else files
        folder = f"{self.root}/versions/{ident}"
        os.makedirs(folder)
        for name, data in files.items():
            with open(f"{folder}/{name}", "wb") as f:
                f.write(data)
        if tensors is not None:
            with open(f"{folder}/tensors.json", "w") as f:
                json.dump({"tensors": tensors}, f)
        self.put("version", version=self.versions, record={
            "format": 1, "model": self.name, "version": self.versions, "id": ident,
            "created_at": "2026-11-30T12:00:00.000Z", "author": "ana", "instance": "gpu-a", "notes": "", "labels": {},
            "source": {"kind": "file", "address": "s3://b/m.pdparams", "sha256": "f" * 64}, "arch": None,
            "classes": None, "input": None, "spec": None, "metrics": {}, "per_class": None, "data": {},
            "lineage": {"kind": "file", "address": "s3://b/m.pdparams", "sha256": "f" * 64, "parents": []},
            "files": [{"name": n, "size": len(x), "sha256": sha(x)} for n, x in files.items()],
            "digest": sha(b"".join(files.values())), "bytes": sum(map(len, files.values())),
            "model_format": "safetensors", **record})
        return self.versions

    def alias(self, alias, version, how="moved", **more):
        self.put("alias", alias=alias, version=version, how=how, **more)


# --- what is refused before a daemon is asked ------------------------------------------------

@case("a version that is none is a wrong use and says what is wanted")
def _(d):
    for word in "", "a b", "../x", "m@", "m/", "m@a@b", "m/1/2", ".m", "m" * 65, "model://":
        has(rk(d, "show", word, want=2), "want NAME/N, NAME@ALIAS, or NAME")
    has(rk(d, "show", "m/production", want=2), "an alias stands behind @")
    has(rk(d, "show", "m@7", want=2), "a number stands behind a slash")
    has(rk(d, "promote", "m", "production", want=2), "want NAME/N or NAME@ALIAS")
    has(rk(d, "delete", "m@production", want=2), "want NAME/N")
    has(rk(d, "pull", "m", d.root, "--format", "onnx", want=2), "want safetensors, paddle or pytorch")
    has(rk(d, "register", "m", "job", "--label", "=x", want=2), "want KEY=VALUE")
    has(rk(d, "nothing", want=2), "models has no verb \"nothing\"")
    has(rk(d, "show", "none/1", want=4), "none")
    eq(rk(d), "none\n", "no models")


@case("every verb of models has its help, which names its options")
def _(d):
    verbs = [w.split()[1] for w in rk(d, "--help").splitlines() if w.startswith("  models ")]
    eq(len(verbs), 12, "verbs")
    for v in verbs:
        out = rk(d, v, "--help")
        has(out, f"usage: rekindle models {v}")


# --- lineage ---------------------------------------------------------------------------------

def family(d):
    """tiles/1, which is deleted, of a file of others; tiles/2 of tiles/1 and of another model's version."""
    log = Log(d, "tiles")
    file = {"kind": "file", "address": "s3://others/resnet.pdparams", "sha256": "ab" * 32, "parents": []}
    four = {"kind": "job", "job": "01hzzzzzzzzzzzzzzzzzzzzzz1", "name": "four", "checkpoint": "step-000000010",
            "data": {"source": "line 7"}, "parents": [file]}
    one = {"kind": "version", "model": "tiles", "version": 1, "created_at": "2026-11-29T00:00:00.000Z", "author": "bo",
           "parents": [four]}
    other = {"kind": "version", "model": "others", "version": 9, "parents": []}
    six = {"kind": "job", "job": "01hzzzzzzzzzzzzzzzzzzzzzz2", "name": "six\u202e", "checkpoint": "step-000000020",
           "data": {}, "parents": [one, other]}
    log.version(lineage=four, tensors=[{"name": "x", "dtype": "F32", "shape": [4]}, {"name": "y", "dtype": "F32", "shape": [1]}],
                metrics={"val_accuracy": 0.5}, spec={"name": "four", "training": {"epochs": 60}},
                data={"train": {"digest": "a" * 64}, "validation": {"digest": "b" * 64}},
                per_class=[{"name": "crack", "recall": 0.5, "f1": 0.5}])
    log.version(lineage=six, tensors=[{"name": "x", "dtype": "F32", "shape": [6]}, {"name": "z", "dtype": "F32", "shape": []}],
                metrics={"val_accuracy": 0.75, "val_macro_f1": 0.7}, notes=SPOKEN, labels={"team": "qa"}, arch="resnet18",
                spec={"name": "six", "training": {"epochs": 20}}, author="bo\u202e",
                data={"train": {"digest": "c" * 64}, "validation": {"digest": "b" * 64}},
                per_class=[{"name": "crack", "recall": 0.75, "f1": 0.5}, {"name": "fray", "recall": 1, "f1": 1}])
    log.alias("production", 2)
    return log


@case("a lineage is drawn as a tree to the first ancestor, with files of others and deleted versions")
def _(d):
    log = family(d)
    log.put("deleted", version=1)
    out = rk(d, "lineage", "tiles@production").splitlines()
    eq(out[0], "tiles/2 (production), 2026-11-30 by bo???", "the version")
    eq(out[1], "└─ job six???, step-000000020", "its job")
    eq(out[2], "   ├─ tiles/1, 2026-11-29 by bo, deleted", "the version before")
    eq(out[3], "   │  └─ job four, step-000000010, on line 7", "the job before")
    eq(out[4], f"   │     └─ file s3://others/resnet.pdparams, sha256 {'ab' * 6}", "the first ancestor")
    eq(out[5], "   └─ others/9, of no log that is known here", "a version of elsewhere")
    plain = rk(d, "lineage", "model://tiles/2", env={"LC_ALL": "C"}).splitlines()
    eq(plain[2], "   |- tiles/1, 2026-11-29 by bo, deleted", "where there are no lines")
    eq(plain[3], "   |  `- job four, step-000000010, on line 7", "where there are no lines")
    tree = json.loads(rk(d, "lineage", "tiles", "--json"))
    eq(tree["version"], 2, "the newest")
    eq(tree["lineage"]["parents"][0]["parents"][0]["deleted"], True, "of the deleted one")


@case("a deleted version has a lineage and a card, and no files")
def _(d):
    log = family(d)
    log.put("deleted", version=1)
    eq(rk(d, "lineage", "tiles/1").splitlines()[0], "tiles/1, 2026-11-30 by ana, deleted")
    has(rk(d, "card", "tiles/1"), "**This version was deleted.**")
    has(rk(d, "pull", "tiles/1", f"{d.root}/out", want=1), "deleted")
    assert not os.path.exists(f"{d.root}/out/version.json")


# --- comparison and card -----------------------------------------------------------------------

@case("two versions are compared by metrics, classes, data, tensors and jobs")
def _(d):
    family(d)
    out = rk(d, "compare", "tiles/1", "tiles@production")
    words = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("METRIC tiles/1 tiles/2 DIFFERENCE", "val_accuracy 0.5000 0.7500 +0.2500", "val_macro_f1 - 0.7000 -",
                 "training data: not the same", "validation data: the same",
                 "crack 0.5000 0.7500 +0.2500 0.5000 0.5000 +0.0000", "fray - 1 - - 1 -",
                 "tensors: 0 of the same shape, 1 of another, 1 only in tiles/1, 1 only in tiles/2", "x [4] -> [6]",
                 "y [1], only in tiles/1", "z [], only in tiles/2", "training.epochs 60 20"):
        assert line in words, (line, out)
    c = json.loads(rk(d, "compare", "tiles/1", "tiles/2", "--json"))
    eq(c["same_data"][0]["metrics"][0], {"metric": "accuracy", "a": 0.5, "b": 0.75, "difference": 0.25}, "same data")
    has(rk(d, "compare", "tiles/1", "tiles/7", want=4), "7")
    has(rk(d, "compare", "tiles/1", "nobody", want=4), "nobody")


@case("a card is Markdown in which others' words are words, and says what is not recorded")
def _(d):
    family(d)
    card = rk(d, "card", "tiles")
    for part in ("# tiles, version 2\n", "**Aliases:** `production`", "**Author:** bo???\n", "`team=qa`",
                 "**Architecture:** `resnet18`", "**Classes:** not recorded", "| `val_accuracy` | 0.75 |",
                 "| `crack` | - | - | 0.75 | 0.5 |", "rekindle predict model://tiles/2", "torch.load(\"DIR/model.pt\")",
                 "paddle.load(\"DIR/model.pdparams\")", "| `model.safetensors` | 5,000 |", "`s3://others/resnet.pdparams`"):
        has(card, part)
    has(card, "> é???evil?\\[31m\n>\n> second line \\| \\`x\\` \\<b\\>\n")
    r = d.get("/v1/models/tiles/versions/2/card")
    eq(r.headers["Content-Type"], "text/markdown; charset=utf-8", "type of a card")
    eq(json.loads(rk(d, "card", "tiles/2", "--json"))["card"], card, "the card in JSON")


run()
