#!/usr/bin/python3
"""Arrays of NumPy as data: what numpy itself writes is read as it is, whatever its type, order and packing."""
import glob
import hashlib
import json
import os
import subprocess

from t import BUILD, Skip, case, eq, has, limit, run

try:
    import numpy as np
except ImportError:
    np = None


def train(d, job, *args, want=0, rundir="run", cwd="/", env=None):
    """rekindle-train on a dict; what it printed."""
    if np is None:
        raise Skip("needs python3-numpy")
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", *args, path], cwd=cwd,
                       capture_output=True, text=True, timeout=limit(60), env={**os.environ, **(env or {})})
    eq(p.returncode, want, f"exit of rekindle-train {args} ({p.stderr[-600:]})")
    return p.stdout if want == 0 else p.stderr


def job_of(source, **more):
    return {"name": "arrays", "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"arch": "mlp", "sizes": [12, 3]}, "training": {"epochs": 1, "batch_size": 4},
            "data": {"train": source, "normalize": "none"}, **more}


def newest(d, rundir="run"):
    return sorted(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*"))[-1]


def scored(d, source, *args, **more):
    """What --evaluate says of a source with the weights of a run before."""
    return json.loads(train(d, job_of(source, **more), "--evaluate", newest(d), "--logits", f"{d.root}/out.npy", *args))


def base(d):
    """Whole numbers that every type holds, as features [20, 3, 4] and labels."""
    if np is None:
        raise Skip("needs python3-numpy")
    x = np.random.default_rng(7).integers(0, 100, (20, 3, 4))
    y = np.arange(20) % 3
    np.save(f"{d.root}/x.npy", x.astype("<f4"))
    np.save(f"{d.root}/y.npy", y)
    train(d, job_of({"type": "npy", "path": f"{d.root}/x.npy", "labels": f"{d.root}/y.npy"}))
    return x, y


TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@case("arrays of every type, byte order and layout, alone or in an archive, give the same logits", "stopped")
def _(d):
    x, y = base(d)
    want = scored(d, {"type": "npy", "path": f"{d.root}/x.npy", "labels": f"{d.root}/y.npy"})
    eq(want["data"]["shape"], [3, 4], "shape")
    seen = set()
    for i, t in enumerate(TYPES):
        for order in "<>":
            a = np.asarray(x, dtype=order + t, order="CF"[i % 2])
            source = {"type": "npy", "path": f"{d.root}/a.npy", "labels": f"{d.root}/b.npy"}
            np.save(source["path"], a)
            np.save(source["labels"], y.astype(order + t).reshape((20, 1) if i % 2 else 20))
            if i % 3 == 0:
                source = {"type": "npz", "path": f"{d.root}/a.npz"}
                (np.savez if order == "<" else np.savez_compressed)(source["path"], x=a, y=y.astype(t))
            e = scored(d, source)
            eq(e["logits"]["sha256"], want["logits"]["sha256"], f"logits of {order}{t}")
            eq((e["loss"], e["accuracy"]), (want["loss"], want["accuracy"]), f"score of {order}{t}")
            seen.add(e["data"]["digest"])
    # Bytes are kept as bytes; all other types are one set of floats.
    eq(len(seen), 2, "digests")


@case("truth is 0 and 1, and names in an archive may be any", "stopped")
def _(d):
    x, y = base(d)
    np.savez(f"{d.root}/t.npz", **{"a b": x > 50, "\u6807\u7b7e": y})
    np.save(f"{d.root}/f.npy", (x > 50).astype("f4"))
    a = scored(d, {"type": "npz", "path": f"{d.root}/t.npz", "features": "a b", "labels": "\u6807\u7b7e"})
    b = scored(d, {"type": "npy", "path": f"{d.root}/f.npy", "labels": f"{d.root}/y.npy"})
    eq(a["data"]["digest"], b["data"]["digest"], "digest")


@case("a sample may be seen in another shape, and bytes are pixels", "stopped")
def _(d):
    x, y = base(d)
    np.savez(f"{d.root}/p.npz", x=x.astype("u1"), y=y)
    source = {"type": "npz", "path": f"{d.root}/p.npz", "shape": [1, 3, 4]}
    job = job_of(source, model={"input": [1, 3, 4], "layers": [
        {"type": "conv2d", "out": 2, "kernel": 3, "padding": 1}, "flatten", {"type": "linear", "out": 3}]})
    job["data"]["normalize"] = {"type": "scale", "mean": [0.5], "std": [0.25]}
    train(d, job, rundir="conv")
    s = json.loads(train(d, job, "--summary", rundir="conv"))
    eq(s["data"]["train"]["shape"] if "train" in s["data"] else s["data"]["shape"], [1, 3, 4], "shape")
    with open(f"{newest(d, 'conv')}/checkpoint.json") as f:
        n = json.load(f)["input"]["normalize"]
    assert abs(n["scale"][0] - 4 / 255) < 1e-7 and abs(n["shift"][0] + 2) < 1e-6, n
    source["shape"] = [1, 3, 5]
    has(train(d, job_of(source), want=3), "p.npz: x: is 20 x 3 x 4 of uint8, so a sample has 12 numbers, and the job's "
        "shape has 15")


@case("whole numbers are tokens where the network wants ids, and one outside the vocabulary is named", "stopped")
def _(d):
    base(d)
    x = np.random.default_rng(3).integers(0, 30, (40, 16))
    y = (x[:, 0] > 14).astype("i8")
    np.savez_compressed(f"{d.root}/ids.npz", ids=x, y=y)
    job = job_of({"type": "npz", "path": "ids.npz", "features": "ids", "vocabulary": 30},
                 model={"arch": "textcnn", "vocabulary": 30, "width": 8, "filters": 4})
    del job["data"]["normalize"]
    train(d, job, rundir="ids")         # the path is from the job's folder
    has(json.dumps(json.load(open(f"{newest(d, 'ids')}/checkpoint.json"))["input"]), '"i32"')
    x[7, 3] = 30
    np.savez(f"{d.root}/ids.npz", ids=x.astype(">u2"), y=y)
    err = train(d, job, rundir="ids2", want=3)
    has(err, "ids.npz: ids: element 3 of sample 7 (both from 0) is 30, want 0 to 29")
    np.savez(f"{d.root}/ids.npz", ids=x.astype("f4"), y=y)
    has(train(d, job, rundir="ids3", want=3), "tokens are whole numbers")


@case("what is no array of numbers is refused by its name", "stopped")
def _(d):
    x, y = base(d)
    nan = x.astype("f8")
    nan[4, 1, 2] = np.nan
    bad = {
        "objects of Python": np.array([None, "a"], dtype=object), "text": np.array(["a", "b"]),
        "complex numbers": np.ones(3, "c8"), "dates": np.zeros(3, "M8[s]"),
        "records": np.zeros(3, [("a", "i4"), ("b", "f4")]), "is one number": np.float32(3),
        "and that is none": np.zeros((0, 4)), "element 6 of sample 4 (both from 0) is nan": nan,
        "a type that is not taken": np.ones(3, "g"), "so a sample has 5 dimensions": np.ones((20, 1, 1, 1, 1, 12)),
        "has 3 samples, but": np.ones((3, 12)),
    }
    for i, (words, a) in enumerate(bad.items()):
        np.save(f"{d.root}/bad.npy", a, allow_pickle=True)
        has(train(d, job_of({"type": "npy", "path": f"{d.root}/bad.npy", "labels": f"{d.root}/y.npy"}),
                  rundir=f"bad{i}", want=3), words)
    source = {"type": "npy", "path": f"{d.root}/x.npy", "labels": f"{d.root}/z.npy"}
    np.save(source["labels"], np.zeros((20, 3)))
    has(train(d, job_of(source), rundir="two", want=3), "want a label a sample")
    np.savez(f"{d.root}/n.npz", features=x, y=y)
    err = train(d, job_of({"type": "npz", "path": f"{d.root}/n.npz"}), rundir="named", want=3)
    has(err, 'n.npz: has no array "x"; there is "features", "y"')
    has(err, "data.train.path")
    # A file that is cut anywhere.
    np.savez_compressed(f"{d.root}/c.npz", x=x, y=y)
    whole = open(f"{d.root}/c.npz", "rb").read()
    for n in (0, 30, len(whole) // 2, len(whole) - 1):
        with open(f"{d.root}/c.npz", "wb") as f:
            f.write(whole[:n])
        has(train(d, job_of({"type": "npz", "path": f"{d.root}/c.npz"}), rundir="cut", want=3), "no whole npz")


FROM_FILE = {"REKINDLE_TRAIN_ROWS_FROM": "0"}


def weights(d, rundir):
    with open(f"{newest(d, rundir)}/model.safetensors", "rb") as f:
        raw = f.read()
    return hashlib.sha256(raw[8 + int.from_bytes(raw[:8], "little"):]).hexdigest()


@case("arrays that are read when a batch needs them train to the weights of those that are held", "stopped")
def _(d):
    x, y = base(d)
    ids = np.random.default_rng(3).integers(0, 30, (40, 16))
    for i, (a, job) in enumerate([
            (x.astype("u1"), {}), (x.astype(">i2"), {}), (x.astype("f8") / 7, {}),
            (ids, {"model": {"arch": "textcnn", "vocabulary": 30, "width": 8, "filters": 4}})]):
        n = len(a)
        np.savez(f"{d.root}/a.npz", x=a, y=np.arange(n) % 2)
        job = job_of({"type": "npz", "path": f"{d.root}/a.npz"}, **job)
        if "model" in job and job["model"]["arch"] == "textcnn":
            job["data"] = {"train": {**job["data"]["train"], "vocabulary": 30}}
        else:
            job["data"]["normalize"] = {"type": "scale", "mean": 0.5, "std": 0.25}
        job["data"].update(validation_split=0.3)
        job["training"]["epochs"] = 3
        train(d, job, rundir=f"held{i}")
        train(d, job, rundir=f"file{i}", env=FROM_FILE)
        eq(weights(d, f"file{i}"), weights(d, f"held{i}"), f"weights with {a.dtype}")
        scores = [[json.loads(line) for line in open(f"{d.root}/{k}{i}/metrics.jsonl")] for k in ("held", "file")]
        eq(*([(m["loss"], m["accuracy"]) for m in s if m["split"] == "validation"] for s in scores))


@case("of an array in its file a bad number is named when it is read, one that was cut, and one that changed", "stopped")
def _(d):
    x, y = base(d)
    bad = x.astype("f4")
    bad[6, 2, 1] = np.inf
    path, labels = f"{d.root}/b.npy", f"{d.root}/y.npy"
    np.save(path, bad)
    job = job_of({"type": "npy", "path": path, "labels": labels})
    has(train(d, job, want=3, rundir="bad", env=FROM_FILE), "b.npy: element 9 of sample 6 (both from 0) is inf")
    job["data"]["normalize"] = "standard"
    has(train(d, job, want=3, rundir="std", env=FROM_FILE), "give scale with mean and std")
    job["data"]["normalize"] = "none"
    np.save(path, x.astype("f4"))
    train(d, job, rundir="good", env=FROM_FILE)
    bad[6, 2, 1] = 77
    np.save(path, bad)
    job["training"]["epochs"] = 2
    has(train(d, job, want=4, rundir="good", env=FROM_FILE), "the first that is not as it was is sample 6")
    np.save(path, x.astype("f4"))
    train(d, job, rundir="good", env=FROM_FILE)
    with open(path, "ab") as f:
        f.write(b"more")
    has(train(d, job, want=3, rundir="more", env=FROM_FILE), "has more bytes than its header says")


@case("an array of 20 times the memory limit trains", "stopped")
def _(d):
    base(d)
    n, width = 1400, 1 << 20            # with holes: it takes no room on the disk
    a = np.lib.format.open_memmap(f"{d.root}/big.npy", mode="w+", dtype="u1", shape=(n, width))
    del a
    np.save(f"{d.root}/y.npy", np.arange(n) % 2)
    job = job_of({"type": "npy", "path": f"{d.root}/big.npy", "labels": f"{d.root}/y.npy", "shape": [1, 1024, 1024]},
                 model={"input": [1, 1024, 1024], "layers": [
                     {"type": "avg_pool2d", "kernel": 64}, "flatten", {"type": "linear", "out": 2}]},
                 training={"steps": 4, "epochs": 1, "batch_size": 2})
    job["resources"]["memory"] = "70MiB"
    job["data"]["threads"] = 1
    train(d, job, rundir="big")


@case("a job submitted from a folder finds its archive, and the names in it stay names")
def _(d):
    x, y = base(d)
    np.savez(f"{d.root}/a.npz", x=x, y=y)
    job = job_of({"type": "npz", "path": "a.npz", "labels": "y"})
    with open(f"{d.root}/sub.json", "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "submit", "sub.json"], cwd=d.root, capture_output=True,
                       text=True, timeout=limit(30))
    eq(p.returncode, 0, f"exit of submit ({p.stderr})")
    i = d.get("/v1/jobs").json["jobs"][0]["id"]
    j = d.wait_state(i, "succeeded", "failed")
    eq(j["state"], "succeeded", j["message"])
    source = d.get(f"/v1/jobs/{i}").json["spec"]["data"]["train"]
    eq((source["path"], source["features"], source["labels"]), (os.path.realpath(f"{d.root}/a.npz"), "x", "y"), "source")


run()
