#!/usr/bin/env python3
"""Files that others read and write: safetensors in and out, digests, damage."""
import glob
import hashlib
import json
import math
import os
import resource
import shutil
import struct
import subprocess
import sys

from digests import sha256, xxh128
from leftovers import newest
from t import BUILD, SHARED, SLOW, Skip, case, eq, has, limit, run, safetensors, tiny, wait_for

SAMPLES = f"{SHARED}/data/samples/safetensors"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2,
         "I8": 1, "U8": 1, "BOOL": 1}


# --- safetensors, read and written from its description alone ------------------------

def read(path):
    """{name: (dtype, shape, bytes)}, every byte of the file accounted for."""
    with open(path, "rb") as f:
        raw = f.read()
    n, = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8:8 + n])
    data = raw[8 + n:]
    out, end = {}, 0
    meta = head.pop("__metadata__", {})
    assert all(isinstance(v, str) for v in meta.values()), meta
    for name, t in sorted(head.items(), key=lambda kv: kv[1]["data_offsets"]):
        a, b = t["data_offsets"]
        eq(a, end, f"where {name} begins")
        eq(b - a, math.prod(t["shape"]) * SIZES[t["dtype"]], f"bytes of {name}")
        out[name] = (t["dtype"], t["shape"], data[a:b])
        end = b
    eq(end, len(data), "bytes of all tensors")
    return out


def f32(raw):
    return struct.unpack(f"<{len(raw) // 4}f", raw)


# --- the trainer alone -----------------------------------------------------------------

def train(d, job, *args, rundir="run", bound=None):
    """rekindle-train on a dict; its result."""
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    return subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", *args, f"{d.root}/job.json"],
                          capture_output=True, text=True, timeout=limit(60), preexec_fn=bound)


def trained(d, job, *args, rundir="run"):
    r = train(d, job, *args, rundir=rundir)
    eq(r.returncode, 0, f"exit of rekindle-train ({r.stderr[-400:]})")
    return newest(f"{d.root}/{rundir}")


def weights(ckpt):
    return {os.path.basename(p): hashlib.sha256(open(p, "rb").read()).hexdigest()
            for p in sorted(glob.glob(f"{ckpt}/*.safetensors"))}


def little_memory():
    """At most 1 GiB of address space and 20 s of processor for a hostile file."""
    if SLOW == 1:           # sanitizers reserve terabytes
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (20 * SLOW, 20 * SLOW))


def samples(pattern):
    found = sorted(glob.glob(f"{SAMPLES}/{pattern}"))
    if not found:
        raise Skip(f"no samples: {SAMPLES} is not there")
    return found


# --- files of others ---------------------------------------------------------------------

@case("every good safetensors sample is opened and all its tensors are seen", "stopped")
def _(d):
    job = tiny(d)
    job["model"]["strict"] = True
    for path in samples("OK_*"):
        r = train(d, job, "--plan", "--json", "--model", path, bound=little_memory)
        if "all_dtypes" in path:        # floats of eight bits among them
            eq(r.returncode, 3, f"{path}: exit ({r.stderr})")
            has(r.stderr, "F8_E5M2: is of F8_E5M2, which is not taken")
            continue
        eq(r.returncode, 3, f"{path}: exit ({r.stderr})")
        plan = json.loads(r.stdout)
        eq(plan["accepted"], False, path)
        has(r.stderr, "the plan is refused: ")
        said = "\n".join(plan["refused"])
        with open(path, "rb") as f:
            n, = struct.unpack("<Q", f.read(8))
            head = json.loads(f.read(n))
        head.pop("__metadata__", None)
        for name, t in head.items():
            shape = "[" + ",".join(str(x) for x in t["shape"]) + "]"
            assert any(name in line and shape in line for line in plan["refused"]), f"{path}: {name} {shape} in {said}"
        if not head:
            has(said, "no tensors")


@case("every bad safetensors sample is refused with a sentence in bounded time and memory", "stopped")
def _(d):
    # What the sentence must speak of, where the sample's name says it.
    about = {
        "bytes_overflow": "more", "dup_key_differs": "twice", "end_before_begin": "before they begin",
        "header_len_100MB_plus": "100000001", "header_len_u64max": "18446744073709551615",
        "header_len_zero": "length is 0", "hole_start": "belong to no tensor", "lowercase_dtype": "type",
        "metadata_not_string": "metadata", "missing_bytes": "cut short", "not_utf8": "UTF-8", "overlap": "overlap",
        "shape_overflow": "2^63", "short_file": "too few", "trailing_bytes": "38 bytes", "unknown_dtype": "type",
    }
    job, seen = tiny(d), 0
    for path in samples("BAD_*"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        r = train(d, job, "--plan", "--json", "--model", path, bound=little_memory)
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        eq(r.returncode, 3, f"{path}: exit ({r.stderr})")
        eq(r.stdout, "", f"{path}: stdout")
        eq(len(r.stderr.splitlines()), 1, f"{path}: lines of {r.stderr}")
        has(r.stderr, path)
        key = os.path.basename(path)[4:].split(".")[0]
        if key in about:
            has(r.stderr, about[key])
            seen += 1
        assert used < 5 * SLOW, f"{path}: {used:.1f} s of CPU"
    assert seen >= 10, f"only {seen} of the samples are known by name"


@case("a file that Python wrote warm starts a job with exactly its values", "stopped")
def _(d):
    job = tiny(d)
    # A rate so small that no step changes a weight.
    job["training"].update(steps=1, optimizer={"type": "sgd", "learning_rate": 1e-30})
    job["model"].update(checkpoint=f"{d.root}/mine.safetensors", strict=True)
    v = [(2 * i + 1) / 128 - 1 for i in range(128)]     # exact in every type of float, none 0
    raw = struct.pack("<128f", *v)
    half = struct.pack("<32e", *v[:32])
    brain = b"".join(struct.pack("<f", x)[2:] for x in v[:96])
    double = struct.pack("<3d", *v[:3])
    safetensors(f"{d.root}/mine.safetensors", {
        "fc2.bias": ("F64", [3], double), "fc1.weight": ("F32", [32, 4], raw),
        "fc1.bias": ("F16", [32], half), "fc2.weight": ("BF16", [3, 32], brain)})
    got = read(f"{trained(d, job)}/model.safetensors")
    for name, shape, want in (("fc1.weight", [32, 4], v), ("fc1.bias", [32], v[:32]),
                              ("fc2.weight", [3, 32], v[:96]), ("fc2.bias", [3], v[:3])):
        eq(got[name][:2], ("F32", shape), name)
        eq(list(f32(got[name][2])), list(want), name)
    actions = {t["name"]: t["action"] for t in json.load(open(f"{d.root}/run/plan.json"))["tensors"]}
    eq(actions, {"fc1.weight": "copy", "fc1.bias": "convert", "fc2.weight": "convert", "fc2.bias": "convert"})


# --- our files ------------------------------------------------------------------------------

@case("our files are safetensors by its description and hold the parameters and moments", "stopped")
def _(d):
    c = trained(d, tiny(d, epochs=3))
    model, optim = read(f"{c}/model.safetensors"), read(f"{c}/optimizer.safetensors")
    shapes = {"fc1.weight": [32, 4], "fc1.bias": [32], "fc2.weight": [3, 32], "fc2.bias": [3]}
    eq({k: v[1] for k, v in model.items()}, shapes)
    eq(len(optim), 2 * len(shapes), "tensors of Adam")
    for name, (dtype, shape, raw) in {**model, **optim}.items():
        eq(dtype, "F32", name)
        assert all(math.isfinite(x) for x in f32(raw)), name
        of = [p for p in shapes if name.startswith(p)]
        eq(shape, shapes[of[0]], name)
    assert any(any(f32(t[2])) for t in optim.values()), "all moments are 0"


@case("the safetensors package reads our files with the same values", "stopped")
def _(d):
    lib = f"{BUILD}/tools/python"
    env = dict(os.environ, PYTHONPATH=lib)
    probe = [sys.executable, "-c", "import numpy, safetensors.numpy"]
    if subprocess.run(probe, env=env, capture_output=True).returncode != 0:
        try:
            r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                                "--retries", "0", "--timeout", "10", "--target", lib, "numpy", "safetensors"],
                               capture_output=True, text=True, timeout=100)
            why = (r.stderr.strip().splitlines() or [""])[-1][:200]
        except subprocess.TimeoutExpired:
            why = "it took too long"
        if subprocess.run(probe, env=env, capture_output=True).returncode != 0:
            raise Skip(f"pip could not get numpy and safetensors: {why}")
    c = trained(d, tiny(d, epochs=2))
    for name in ("model.safetensors", "optimizer.safetensors"):
        r = subprocess.run([sys.executable, "-c", f"""
import json
from safetensors.numpy import load_file
print(json.dumps({{k: [list(v.shape), str(v.dtype), v.tobytes().hex()]
                  for k, v in load_file({c + '/' + name!r}).items()}}))
"""], env=env, capture_output=True, text=True)
        eq(r.returncode, 0, f"load_file of {name} ({r.stderr[-300:]})")
        ours = {k: [s, "float32", raw.hex()] for k, (_, s, raw) in read(f"{c}/{name}").items()}
        eq(json.loads(r.stdout), ours, name)


@case("the digests in checkpoint.json are those of xxhsum, and of sha256sum with --sha256", "stopped")
def _(d):
    job = tiny(d, epochs=4)
    trained(d, job)
    digests_agree(d, False)
    shutil.rmtree(f"{d.root}/run")
    trained(d, job, "--sha256")
    digests_agree(d, True)


def digests_agree(d, sha):
    found = sorted(glob.glob(f"{d.root}/run/checkpoints/step-*"))
    assert len(found) >= 2, found
    for c in found:
        record = json.load(open(f"{c}/checkpoint.json"))
        files = {f["name"]: f for f in record["files"]}
        eq(sorted(files), sorted(set(os.listdir(c)) - {"checkpoint.json"}), "the files")
        for name, f in files.items():
            path = f"{c}/{name}"
            eq((f["xxh128"], f["size"]), (xxh128(path), os.path.getsize(path)), name)
            eq(f.get("sha256"), sha256(path) if sha else None, name)


@case("one thread and two train to the same bytes", "stopped")
def _(d):
    job = tiny(d, epochs=3)
    # Layers wide enough that two threads do share the work.
    job["model"]["sizes"] = [4, 512, 512, 3]
    one = weights(trained(d, job, "--threads", "1", rundir="one"))
    two = weights(trained(d, job, "--threads", "2", rundir="two"))
    eq(two, one)
    # The same answer twice would also come from a job that never trained.
    job["training"]["seed"] = 2
    other = weights(trained(d, job, "--threads", "2", rundir="other"))
    assert other != one, "another seed made the same weights"


# --- damage ----------------------------------------------------------------------------------

def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        b = f.read(1)
        f.seek(at)
        f.write(bytes([b[0] ^ 1]))


def paused_with_two(d):
    """A job paused somewhere behind its second checkpoint: its id, folder, checkpoints."""
    i = d.submit(tiny(d, epochs=2000))
    wait_for(20, "120 steps", lambda: d.job(i)["progress"].get("step", 0) >= 120)
    d.post(f"/v1/jobs/{i}/pause")
    d.wait_state(i, "paused")
    folder = f"{d.state}/jobs/{i}/checkpoints"
    found = sorted(os.path.basename(p) for p in glob.glob(f"{folder}/step-*"))
    assert len(found) >= 2, found
    return i, folder, found


@case("a damaged newest checkpoint is set aside and the job ends with the undisturbed bytes")
def _(d):
    alone = weights(trained(d, tiny(d, epochs=2000), rundir="alone"))
    for what, at in (("model.safetensors", -1), ("optimizer.safetensors", -99), ("checkpoint.json", 100)):
        i, folder, found = paused_with_two(d)
        path = f"{folder}/{found[-1]}/{what}"
        flip(path, at % os.path.getsize(path))
        d.post(f"/v1/jobs/{i}/resume", {}, want=202)
        d.wait_state(i, "succeeded")
        bad = [x for x in os.listdir(folder) if x.startswith("bad-")]
        eq(len(bad), 1, f"set aside for {what}: {os.listdir(folder)}")
        has(bad[0], found[-1])
        said = d.events(i)
        assert any(found[-1] in m and "damaged" in m for m in said), said
        assert any("goes on from " + found[-2] in m for m in said), said
        eq(weights(newest(f"{d.state}/jobs/{i}")), alone, f"weights after damage of {what}")


@case("a damaged checkpoint asked for by its name is an error and stays where it is")
def _(d):
    i, folder, found = paused_with_two(d)
    d.post(f"/v1/jobs/{i}/checkpoints", {"name": "precious"}, want=201)
    path = f"{folder}/precious/model.safetensors"
    flip(path, os.path.getsize(path) - 2)       # a weight: only its digest tells
    d.post(f"/v1/jobs/{i}/resume", {"from": "precious"}, want=202)
    j = d.wait_state(i, "failed")
    eq(j["reason"], "bad_checkpoint")
    has(j["message"], "precious")
    has(j["message"], "model.safetensors")
    assert os.path.isdir(f"{folder}/{found[-1]}") and os.path.islink(f"{folder}/precious"), os.listdir(folder)
    # Nothing is lost: it can be taken up from the one before.
    d.post(f"/v1/jobs/{i}/resume", {"from": found[-2]}, want=202)
    d.wait_state(i, "succeeded")


run()
