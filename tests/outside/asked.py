#!/usr/bin/env python3
"""Tables and arrays that a model is asked about: columns by their names, archives, and what a line is of."""
import glob
import json
import os
import random
import struct
import zipfile

from t import case, eq, has, run, trainer


def asked(d, job, model, *inputs, want=0):
    return [json.loads(x) for x in trainer(d, job, "--predict", model, inputs=inputs, want=want)[0].splitlines()]


def job_of(source, width):
    return {"name": "asked", "resources": {"threads": 1, "memory": "128MiB"},
            "model": {"arch": "mlp", "sizes": [width, 2]},
            "training": {"epochs": 2, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": 0.1}},
            "data": {"train": source}}


def newest(d):
    return sorted(glob.glob(f"{d.root}/asked.run/checkpoints/step-*"))[-1]


def table(d, name, header, rows):
    with open(f"{d.root}/{name}", "w") as f:
        f.write("\n".join([header] * bool(header) + [",".join(str(x) for x in r) for r in rows]) + "\n")
    return f"{d.root}/{name}"


def people(d):
    rng = random.Random(1)
    rows = [(rng.uniform(-1, 1), rng.uniform(0, 90)) for _ in range(40)]
    rows = [(a, b, int(a > 0)) for a, b in rows]
    return rows, job_of({"type": "csv", "path": table(d, "t.csv", "age,income,y", rows), "label": "y"}, 2)


def values(lines):
    return [[t["probability"] for t in sorted(x["top"], key=lambda t: t["class"])] for x in lines]


@case("columns that stand elsewhere are found by their names, and others are refused by them", "stopped")
def _(d):
    rows, job = people(d)
    trainer(d, job)
    ckpt = newest(d)
    with open(f"{ckpt}/checkpoint.json") as f:
        eq(json.load(f)["input"]["columns"], ["age", "income"], "columns in the checkpoint")
    want = values(asked(d, job, ckpt, "t.csv"))
    more = [(table(d, "turned.csv", "income,age", [(b, a) for a, b, _ in rows])),
            (table(d, "more.csv", "id,income,y,age", [(7, b, y, a) for a, b, y in rows])),
            (table(d, "plain.csv", "", [(a, b) for a, b, _ in rows]))]
    wrong = table(d, "wrong.csv", "foo,bar", [(a, b) for a, b, _ in rows])
    for model in (ckpt, f"{ckpt}/model.safetensors"):
        for path in more:
            eq(values(asked(d, job, model, path)), want, f"{path} by {model}")
        said = asked(d, job, model, wrong, want=1)
        eq(said, [{"input": wrong, "error": f'{wrong}: has no columns "age", "income", which the network\'s own data '
                                            'have; it has "foo", "bar"'}], "other names")
    # The same of what is scored.
    score = json.loads(trainer(d, job, "--evaluate", ckpt, "--data-set", "path=t.csv")[0])
    turned = table(d, "scored.csv", "income,y,age", [(b, y, a) for a, b, y in rows])
    out, err = trainer(d, job, "--evaluate", ckpt, "--data-set", f"path={turned}")
    eq([json.loads(out)[k] for k in ("loss", "accuracy")], [score[k] for k in ("loss", "accuracy")], "scores")
    has(err, "are taken by their names")
    wrong = table(d, "wrong.csv", "foo,y,bar", [(b, y, a) for a, b, y in rows])
    has(trainer(d, job, "--evaluate", ckpt, "--data-set", f"path={wrong}", want=3)[1], 'wrong.csv: has no columns "age"')
    # And of the job's own data, whose order decides who validates.
    os.rename(turned, f"{d.root}/t.csv")
    has(trainer(d, job, "--evaluate", ckpt, want=3)[1], 'data.train: feature 1 is "income", in the data of the '
        'checkpoint it is "age"')
    # A checkpoint from before there were names goes by the job's file.
    eq(values(asked(d, job, ckpt, *more[:1])), want, "by the checkpoint's own names")


@case("a first row that may be a sample is said wherever a table is read, or refused", "stopped")
def _(d):
    _, job = people(d)
    job["data"]["train"].update(path=table(d, "x.csv", "1,x2,0", [(i, i % 3, i % 2) for i in range(20)]), label=-1)
    words = 'x.csv: the first line is taken for a header, because column 2 has "x2", though 2 of its 3 fields are numbers'
    has(trainer(d, job)[0], words)
    out, err = trainer(d, job, "--evaluate", newest(d))
    has(err, words)
    json.loads(out)
    has(trainer(d, job, "--predict", newest(d), inputs=["x.csv"])[1], words)
    table(d, "x.csv", "1,x2,1", [(i, i % 3, i % 2) for i in range(20)])
    has(trainer(d, job, want=3)[1], 'line 1, column 2: "x2" is not a number, and 2 of the 3 fields of the line are')


# --- archives ----------------------------------------------------------------------------------

def npy(shape, kind, numbers):
    head = f"{{'descr': '<{kind}4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return (b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() +
            struct.pack(f"<{len(numbers)}{kind}", *numbers))


def npz(path, n, names=("x", "y")):
    rng = random.Random(n)
    x = [rng.uniform(-1, 1) for _ in range(3 * n)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(f"{names[0]}.npy", npy((n, 3), "f", x))
        z.writestr(f"{names[1]}.npy", npy((n,), "i", [int(x[3 * i] > 0) for i in range(n)]))
    return path


@case("an archive of arrays is asked about and scored, by the names that its arrays have", "stopped")
def _(d):
    job = job_of({"type": "npz", "path": npz(f"{d.root}/t.npz", 40)}, 3)
    trainer(d, job)
    ckpt = newest(d)
    own, got = asked(d, job, ckpt), asked(d, job, ckpt, "t.npz")
    eq((values(got), [x["row"] for x in got]), (values(own), list(range(40))), "of the archive")
    npz(f"{d.root}/o.npz", 10, ("x", "answers"))
    e = json.loads(trainer(d, job, "--evaluate", ckpt, "--data-set", "path=o.npz", "--data-set", "labels=answers")[0])
    eq(e["samples"], 10, "samples")
    has(trainer(d, job, "--evaluate", ckpt, "--data-set", "path=o.npz", want=3)[1], 'has no array "y"; there is "x", "answers"')
    npz(f"{d.root}/other.npz", 10, ("features", "y"))
    has(asked(d, job, ckpt, "other.npz", want=1)[0]["error"], 'other.npz: has no array "x"; there is "features", "y"')
    with open(f"{d.root}/t.npz", "wb") as f:
        f.write(b"no archive at all" * 10)
    eq(trainer(d, job, "--run-dir", "new", want=3)[1].count("is no whole npz"), 1, "how often it is said")


@case("a line says of which input it is, letter by letter", "stopped")
def _(d):
    rows, job = people(d)
    trainer(d, job)
    for name in ("two\nlines.csv", "tab\there.csv", "\u732b.csv"):
        table(d, name, "age,income", [r[:2] for r in rows[:2]])
        eq([x["input"] for x in asked(d, job, newest(d), name)], [name] * 2, "input")
    eq(asked(d, job, newest(d), "no\nwhere.csv", want=1)[0]["input"], "no\nwhere.csv", "of what is not there")


run()
