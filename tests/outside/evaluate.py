#!/usr/bin/env python3
"""rekindle-train --evaluate: a model file or a checkpoint scored on the job's data; and the sources without files."""
import glob
import gzip
import json
import math
import os
import struct
import subprocess

from leftovers import newest, npy
from digests import sha256
from t import BUILD, SHARED, Skip, case, eq, has, limit, run, tiny, wait_for


def begun(d, job, *args, threads=1, rundir="run", cwd=None):
    """rekindle-train on a dict, running."""
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", "--threads", str(threads),
                             *args, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd or d.root)


def train(d, job, *args, want=0, **kw):
    """Its exit code is `want`; what it printed: on success stdout, else stderr."""
    p = begun(d, job, *args, **kw)
    out, err = p.communicate(timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train {args} ({err[-600:]})")
    return (out if args[:1] == ("--evaluate",) else out + err) if want == 0 else err


def evaluate(d, job, path, *args, **kw):
    return json.loads(train(d, job, "--evaluate", path, *args, **kw))


def tensors(path):
    with open(path, "rb") as f:
        raw = f.read()
    n, = struct.unpack("<Q", raw[:8])
    head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
    head.pop("__metadata__", None)
    return {k: (t["shape"], struct.unpack(f"<{(t['data_offsets'][1] - t['data_offsets'][0]) // 4}f",
                                          data[t["data_offsets"][0]:t["data_offsets"][1]])) for k, t in head.items()}


def write(path, named):
    """A safetensors file of {name: (shape, numbers)}."""
    head, data = {}, b""
    for name, (shape, v) in named.items():
        raw = struct.pack(f"<{len(v)}f", *v)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def own_files(d):
    """A job whose validation is five rows of a file of its own."""
    rows = [(0.5, -1, 2, 0, 1), (1, 1, 1, 1, 2), (-2, 0.25, 0, 3, 0), (0, 0, 0, 0, 1), (4, -3, 2, -1, 0)]
    for name, some in (("t.csv", rows * 8), ("v.csv", rows)):
        with open(f"{d.root}/{name}", "w") as f:
            f.write("a,b,c,d,class\n" + "".join(",".join(str(x) for x in r) + "\n" for r in some))
    return rows, {
        "name": "own", "resources": {"threads": 1, "memory": "128MiB"},
        "model": {"arch": "mlp", "sizes": [4, 3, 3]}, "training": {"epochs": 1, "batch_size": 2},
        "data": {"train": {"type": "csv", "path": f"{d.root}/t.csv", "label": "class"},
                 "validation": {"type": "csv", "path": f"{d.root}/v.csv", "label": "class"}, "normalize": "none"},
    }


# --- what is computed ---------------------------------------------------------------------

@case("logits, loss and accuracy of weights made by hand are those computed by hand", "stopped")
def _(d):
    rows, job = own_files(d)
    w1 = [[1, 0, 0.5, 0], [0, -1, 0, 0.25], [0.5, 0.5, 0.5, 0.5]]
    w2 = [[1, 0, -1], [0, 2, 0], [-0.5, 0, 1]]
    b1, b2 = [0.5, 0, -0.25], [0, 1, -1]
    write(f"{d.root}/m.safetensors", {"fc1.weight": ([3, 4], sum(w1, [])), "fc1.bias": ([3], b1),
                                      "fc2.weight": ([3, 3], sum(w2, [])), "fc2.bias": ([3], b2)})
    e = evaluate(d, job, f"{d.root}/m.safetensors", "--logits", f"{d.root}/out.npy")
    got, loss, right = npy(f"{d.root}/out.npy"), 0, 0
    eq(len(got), 5, "rows")
    for r, z in zip(rows, got):
        h = [max(sum(a * b for a, b in zip(w, r)) + b, 0) for w, b in zip(w1, b1)]
        want = [sum(a * b for a, b in zip(w, h)) + b for w, b in zip(w2, b2)]
        eq(list(z), want, f"logits of {r}")     # all of it can be written in 24 bits
        loss += math.log(sum(math.exp(x) for x in want)) - want[r[4]]
        right += max(range(3), key=lambda k: want[k]) == r[4]
    assert abs(e["loss"] - loss / 5) < 1e-6, (e["loss"], loss / 5)
    eq(e["accuracy"], right / 5, "accuracy")
    eq((e["samples"], e["outputs"], e["data"]["of"], e["data"]["samples"]), (5, 3, "validation", 5), "what was scored")
    eq(e["model"]["sha256"], sha256(f"{d.root}/m.safetensors"), "digest of the model")
    eq(e["logits"], {"file": f"{d.root}/out.npy", "sha256": sha256(f"{d.root}/out.npy")}, "logits")
    assert not glob.glob(f"{d.root}/run*") and not glob.glob(f"{d.root}/.rk-tmp*"), os.listdir(d.root)


@case("a job's own checkpoint gets the score that the job gave it, bit for bit", "stopped")
def _(d):
    job = tiny(d, epochs=2)
    train(d, job)
    ckpt = newest(f"{d.root}/run")
    with open(f"{ckpt}/checkpoint.json") as f:
        kept = json.load(f)
    before = {p: sha256(p) for p in glob.glob(f"{d.root}/run/**", recursive=True) if os.path.isfile(p)}
    e = evaluate(d, job, ckpt)
    eq((e["loss"], e["accuracy"]), (kept["metrics"]["val_loss"], kept["metrics"]["val_accuracy"]), "loss and accuracy")
    eq(e["model"]["checkpoint"], {"dir": os.path.basename(ckpt), "step": kept["step"], "epoch": 2}, "checkpoint")
    eq(e["data"]["split"]["trained_on"], 0, "validation samples that it was trained on")
    eq(e["samples"], kept["split"]["validation"], "samples")
    eq({p: sha256(p) for p in glob.glob(f"{d.root}/run/**", recursive=True) if os.path.isfile(p)}, before, "the run")
    # The file alone is the same model, and knows what it was trained on.
    alone = evaluate(d, job, f"{ckpt}/model.safetensors")
    eq((alone["loss"], alone["data"]), (e["loss"], e["data"] | {"summary": alone["data"]["summary"]}), "of the file")
    assert "checkpoint" not in alone["model"], alone
    # What the model held out is held out, where the job does not say otherwise.
    train(d, job, "--set", "data.split_seed=7", rundir="seven")
    seven = newest(f"{d.root}/seven")
    with open(f"{seven}/checkpoint.json") as f:
        eq(evaluate(d, job, seven)["loss"], json.load(f)["metrics"]["val_loss"], "loss by the model's seed")
    # With a seed of its own the job holds out others, and is told.
    job["data"]["split_seed"] = 5
    other = evaluate(d, job, ckpt)
    assert other["data"]["split"]["trained_on"] > 50, other["data"]
    has(other["data"]["summary"], "better than what it will do elsewhere")


@case("without validation data the training data are scored", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    del job["data"]["validation_split"], job["data"]["split"]
    train(d, job)
    e = evaluate(d, job, newest(f"{d.root}/run"))
    eq((e["data"]["of"], e["samples"]), ("train", 1000), "what was scored")
    assert "split" not in e["data"], e["data"]


def synthetic(name, model, steps, **more):
    job = {
        "name": name, "resources": {"threads": 1, "memory": "256MiB"}, "model": model,
        "training": {"steps": steps, "batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003},
                     "log_every": 10},
        "data": {"train": {"type": "synthetic", "shape": [1, 28, 28], "classes": 10, "samples": 600, "seed": 3},
                 "validation": {"type": "synthetic", "shape": [1, 28, 28], "classes": 10, "samples": 230, "seed": 4}},
        "checkpoint": {"every": {"steps": 20}, "keep": {"last": 2}},
    }
    job.update(more)
    return job


STACK = {"layers": [{"type": "conv2d", "out": 8, "kernel": 3, "padding": 1}, {"type": "batch_norm"}, "relu",
                    {"type": "max_pool2d", "kernel": 4}, "flatten", {"type": "dropout", "p": 0.2},
                    {"type": "linear", "out": 10}]}
MODELS = [("mlp", {"arch": "mlp", "sizes": [784, 40, 10]}), ("lenet", {"arch": "lenet5"}), ("stack", STACK)]


@case("threads change no bit of an evaluation, and batches round at most", "stopped")
def _(d):
    for name, model in MODELS:
        job = synthetic(name, model, 20)
        train(d, job, rundir=name)
        ckpt, one = newest(f"{d.root}/{name}"), None
        for threads in (1, 2, 5):
            e = evaluate(d, job, ckpt, "--logits", f"{d.root}/{name}.npy", threads=threads)
            one = one or (e, npy(f"{d.root}/{name}.npy"))
            eq(e, one[0], f"{name} with {threads} threads")
        eq(len(one[1]), 230, "rows")
        e = evaluate(d, job, ckpt, "--logits", f"{d.root}/{name}.npy", "--set", "training.batch_size=600")
        # Each row is a sum of some hundred products in single precision, which another kernel may add in another
        # order: as many roundings of what is about 1.
        worst = max(abs(a - b) for x, y in zip(npy(f"{d.root}/{name}.npy"), one[1]) for a, b in zip(x, y))
        assert worst < 1e-4, f"{name}: {worst}"
        assert abs(e["loss"] - one[0]["loss"]) < 1e-5, (e["loss"], one[0]["loss"])


# --- what is refused ------------------------------------------------------------------------

@case("a model that is not the job's, tensor for tensor, is refused with both shapes", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    train(d, job)
    model = f"{newest(f'{d.root}/run')}/model.safetensors"
    job["model"] = {"arch": "mlp", "sizes": [4, 32, 5], "strict": False}
    err = train(d, job, "--evaluate", model, "--logits", f"{d.root}/out.npy", want=3)
    has(err, f"{model} is not of the job's network: ")
    has(err, "fc2.weight: does not match: file [3,32], model [5,32]")
    assert not os.path.exists(f"{d.root}/out.npy"), "logits of nothing"


@case("what is no model, no checkpoint or a damaged one is refused with a sentence", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    train(d, job)
    ckpt = newest(f"{d.root}/run")
    for path, want in ((f"{d.root}/nowhere", "there is no such file"), (f"{d.root}/tiny.csv", "tiny.csv"),
                       (os.path.join(os.path.dirname(ckpt), "step-1"), f"beside it is {os.path.basename(ckpt)}"),
                       (d.root, "is a folder without checkpoint.json"), ("/dev/null", "/dev/null")):
        err = train(d, job, "--evaluate", path, want=3)
        has(err, "cannot evaluate")
        has(err, want)
        eq(len(err.splitlines()), 1, f"lines of {err!r}")
    with open(f"{ckpt}/model.safetensors", "r+b") as f:
        f.seek(-3, 2)
        f.write(b"\x3f")
    has(train(d, job, "--evaluate", ckpt, want=3), "model.safetensors is damaged: the digest is not the one in")
    with open(f"{ckpt}/checkpoint.json", "r+b") as f:
        f.seek(40)
        f.write(b"}")
    has(train(d, job, "--evaluate", ckpt, want=3), f"cannot evaluate {ckpt}: ")


@case("logits that cannot be written are said, and what was there stays", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    train(d, job)
    ckpt = newest(f"{d.root}/run")
    os.mkdir(f"{d.root}/folder.npy")
    for path in (f"{d.root}/no/where.npy", f"{d.root}/folder.npy", "/dev/full/x.npy"):
        has(train(d, job, "--evaluate", ckpt, "--logits", path, want=1), f"cannot write {path}: ")
    assert not glob.glob(f"{d.root}/.rk-tmp*"), os.listdir(d.root)
    # A name in the folder where it is run.
    train(d, job, "--evaluate", ckpt, "--logits", "here.npy")
    assert len(npy(f"{d.root}/here.npy")) > 90


@case("options that do not go together are wrong usage", "stopped")
def _(d):
    job = tiny(d, epochs=1)
    has(train(d, job, "--logits", "x.npy", want=2), "--logits without --evaluate")
    for other in ("--summary", "--plan"):
        has(train(d, job, "--evaluate", "m", other, want=2), "together")
    has(train(d, job, "--evaluate", "m", "--model", "n", want=2), "--evaluate and --model together")


# --- sources ----------------------------------------------------------------------------------

def cifar(d, name, n, labels=1, first=0):
    """n records whose planes tell their class."""
    out = b""
    for i in range(first, first + n):
        k = i % 10
        out += bytes([k] if labels == 1 else [k, k * 10])
        for c in range(3):
            out += bytes([(k * 25 + c * 40 + i) % 256]) * 1024
    with (gzip.open if name.endswith(".gz") else open)(f"{d.root}/{name}", "wb") as f:
        f.write(out)
    return f"{d.root}/{name}"


def cifar_job(path, **source):
    return {
        "name": "cifar", "resources": {"threads": 1, "memory": "256MiB"},
        "model": {"layers": [{"type": "conv2d", "out": 4, "kernel": 3, "stride": 2}, "relu",
                             {"type": "avg_pool2d", "kernel": 15}, {"type": "linear", "out": 10}]},
        "training": {"epochs": 2, "batch_size": 20},
        "data": {"train": {"type": "cifar", "path": path, **source}, "validation_split": 0.2,
                 "normalize": {"type": "scale", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    }


@case("records of CIFAR in several files train, and another path to them is no change")
def _(d):
    job = cifar_job([cifar(d, "a.bin", 60), cifar(d, "b.bin.gz", 60, first=60)])
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    eq(d.job(i)["spec"]["data"]["train"]["classes"], 10, "classes in the normal form")
    # The same records in one file elsewhere.
    path = cifar(d, "all.bin", 120)
    n = d.job(i)["attempt"]
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"train": {"path": path}}, "training": {"epochs": 3}}},
           want=202)
    wait_for(30, "it goes on", lambda: d.job(i)["attempt"] > n and d.job(i)["state"] == "succeeded")
    # And others are one.
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"train": {"path": cifar(d, "c.bin", 110)}},
                                                  "training": {"epochs": 4}}}, want=202)
    wait_for(30, "it waits", lambda: d.job(i)["state"] == "paused" and d.job(i)["reason"] == "data_changed")


@case("files of a list are from the job's folder, or where --file says that an address is", "stopped")
def _(d):
    job = cifar_job(["a.bin", "s3://b/k"])
    cifar(d, "a.bin", 60)
    path = cifar(d, "b.bin.gz", 60, first=60)
    has(train(d, job, want=3, cwd="/"), "data.train.path[1] is s3://b/k, which only the daemon can find")
    train(d, job, "--file", f"s3://b/k={path}", cwd="/")
    with open(f"{newest(f'{d.root}/run')}/checkpoint.json") as f:
        files = json.load(f)["state"]["data"]["files"]
    eq(files, {"data.train.path[0]": f"{os.path.realpath(d.root)}/a.bin", "data.train.path[1]": "s3://b/k"}, "files")
    # With a field set the job is read another way, and goes on from where it was.
    said = train(d, job, "--file", f"s3://b/k={path}", "--set", "training.epochs=3", cwd="/")
    has(said, "goes on from step-")
    assert "moved" not in said and "have changed" not in said, said


@case("a missing, a short and a wrong file of records are each refused by name")
def _(d):
    r = d.post("/v1/jobs", cifar_job([cifar(d, "a.bin", 3), f"{d.root}/none.bin"]), want=422).json
    has(json.dumps(r), "data.train.path[1]")
    short = cifar(d, "short.bin", 3)
    os.truncate(short, 5000)
    wrong = cifar(d, "wrong.bin", 3, labels=2)
    bad = cifar(d, "bad.bin", 3)
    with open(bad, "r+b") as f:
        f.seek(3073)
        f.write(b"\x0a")
    i = d.submit(cifar_job([short, wrong, bad]))
    d.wait_state(i, "failed")
    said = d.job(i)["message"]
    has(said, "short.bin: has 5000 bytes, which are 1 record of CIFAR-10 (3073 bytes each) and 1927 bytes more")
    has(said, "of CIFAR-100 it would be whole records: classes: 100")
    has(said, "bad.bin: record 1 (from 0): the label is 10, want 0 to 9")


@case("real CIFAR records are learned from", "stopped")
def _(d):
    folder = f"{SHARED}/data/cifar10"
    if not os.path.isdir(folder):
        raise Skip(f"{folder} is not there")
    job = cifar_job(f"{folder}/train_2000.bin.gz")
    job["training"] = {"epochs": 3, "batch_size": 50, "optimizer": {"type": "adam", "learning_rate": 0.003}}
    job["model"] = {"layers": [{"type": "conv2d", "out": 16, "kernel": 5, "stride": 2}, "relu",
                               {"type": "max_pool2d", "kernel": 2}, {"type": "linear", "out": 10}]}
    job["data"] = {"train": job["data"]["train"], "normalize": job["data"]["normalize"],
                   "validation": {"type": "cifar", "path": f"{folder}/test_1000.bin.gz"}}
    train(d, job, threads=2)
    e = evaluate(d, job, newest(f"{d.root}/run"), threads=2)
    eq((e["samples"], e["data"]["shape"]), (1000, [3, 32, 32]), "what was scored")
    assert e["accuracy"] > 0.3, e["accuracy"]


@case("a job on synthetic data that is killed goes on to the bytes of one that is not", "stopped")
def _(d):
    job, killed = synthetic("syn", STACK, 600), 0
    train(d, job, rundir="calm")
    want = sha256(f"{newest(f'{d.root}/calm')}/model.safetensors")
    for threads in (2, 3, 1):
        p = begun(d, job, threads=threads)
        n = len(glob.glob(f"{d.root}/run/checkpoints/step-*"))
        last = newest(f"{d.root}/run") if n else ""
        wait_for(30, "another checkpoint", lambda: p.poll() is not None or (
            glob.glob(f"{d.root}/run/checkpoints/step-*") and newest(f"{d.root}/run") > last))
        killed += p.poll() is None
        p.kill()
        p.communicate()
    assert killed >= 2, f"{killed} of 3 were killed before they ended"
    has(train(d, job, threads=2), "goes on from step-")
    eq(sha256(f"{newest(f'{d.root}/run')}/model.safetensors"), want, "weights")
    assert evaluate(d, job, newest(f"{d.root}/run"))["accuracy"] > 0.9
    # Another seed is other data.
    job["data"]["train"]["seed"] = 9
    has(train(d, job, "--set", "training.steps=620", want=4), "the data has changed since")


@case("token data are refused where a network takes floats", "stopped")
def _(d):
    job = synthetic("tok", {"arch": "mlp", "sizes": [16, 2]}, 10)
    job["data"] = {"train": {"type": "synthetic", "tokens": 16, "vocabulary": 50, "classes": 2, "samples": 100}}
    has(train(d, job, want=3), "wants numbers with a fraction (f32), but input is of whole numbers (i32)")


run()
