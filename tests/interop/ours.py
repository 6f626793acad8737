"""What the programs of this folder have in common: cases, and how rekindle is asked.

A program begins with under("TORCH_PYTHON"), which runs it again under the interpreter
that the variable names, and ends with main().  Each case runs in a folder of its own.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

BUILD = os.environ["BUILD"]
THREADS = 1
CASES = []


def under(variable):
    """Go on under the interpreter that the variable names; one that could not be made is left out, loudly."""
    python = os.environ.get(variable)
    if not python or sys.executable == python or "INTEROP" in os.environ:
        return
    if not os.access(python, os.X_OK):
        print(f"skipped {os.path.basename(sys.argv[0])}: there is no {python} (tests/interop/environments.sh)")
        sys.exit(0)
    os.environ["INTEROP"] = "1"
    os.execv(python, [python] + sys.argv)


def case(f):
    CASES.append(f)
    return f


def rows(table):
    """A case for each row (name, ...) of a table."""
    def add(f):
        for row in table:
            def one(row=row):
                f(*row)
            one.__name__ = f"{f.__name__}_{row[0]}"
            CASES.append(one)
        return f
    return add


def main():
    failed = 0
    for f in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in f.__name__:
            continue
        with tempfile.TemporaryDirectory() as d:
            os.chdir(d)
            try:
                f()
                print("ok", f.__name__, flush=True)
            except Exception:
                traceback.print_exc()
                print("FAILED", f.__name__, flush=True)
                failed += 1
            os.chdir("/")
    sys.exit(failed > 0)


def drive(what, kind, path, to):
    subprocess.run([f"{BUILD}/unit/format_out_drive", what, kind, path, to], check=True)


# --- jobs ---------------------------------------------------------------------------

def drawn(shape, rows, classes, vocabulary):
    """rows samples of a shape, numbers or (one dimension) words, two of them padded with 0: written, and given."""
    import numpy as np
    rng = np.random.RandomState(5)
    if len(shape) > 1:
        x = rng.randn(rows, *shape).astype("float32")
    else:
        x = rng.randint(1, vocabulary, (rows,) + shape).astype("int64")
        x[1, 8:], x[2, 5:] = 0, 0
    arrays(x, np.arange(rows) % classes)
    return x


def arrays(x, y):
    """The samples of a job, as files in this folder."""
    import numpy as np
    np.save("x.npy", x)
    np.save("y.npy", np.asarray(y, dtype="int64"))


def a_job(model, rows, vocabulary=0, normalize="none", **training):
    """All samples in one batch, one step."""
    source = {"type": "npy", "path": "x.npy", "labels": "y.npy"}
    if vocabulary:
        source["vocabulary"] = vocabulary
        normalize = None
    job = {"name": "interop", "resources": {"threads": THREADS}, "model": dict(model),
           "training": dict({"steps": 1, "batch_size": rows, "shuffle": False, "log_every": 1,
                             "optimizer": {"type": "sgd", "learning_rate": 0.01},
                             "warm_start": {"learning_rate_scale": 1}}, **training),
           "data": {"train": source}}
    if normalize:
        job["data"]["normalize"] = normalize
    return job


def trainer(job, *args, run="run"):
    with open("job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", run, *args, "job.json"], capture_output=True, text=True)
    assert r.returncode == 0, f"rekindle-train {args}: {r.returncode}: {r.stdout[-1500:]}{r.stderr[-1500:]}"
    return r.stdout


def plan(job, path):
    """The plan of a start from the file, in which each tensor of the model is loaded whole."""
    p = json.loads(trainer(job, "--plan", "--json", "--model", path))
    assert p["accepted"] and p["strict"], f"{path}: {p['refused']}"
    for t in p["tensors"]:
        assert "model_shape" not in t or t["loaded"] == t["elements"], t
    assert p["tensors_loaded"] == p["tensors_total"] and p["parameters_loaded"] == p["parameters_total"], p["summary"]
    return p


def logits(job, path):
    import numpy as np
    trainer(job, "--evaluate", path, "--logits", "logits.npy")
    return np.load("logits.npy")


def train(job, path=None, run="run"):
    """Train, from the file or on from where the run is; the checkpoint's folder, and the losses of all steps."""
    trainer(job, *(["--model", path] if path else []), run=run)
    with open(f"{run}/metrics.jsonl") as f:
        losses = [m["loss"] for m in map(json.loads, f) if m["over"] == "steps"]
    folder = f"{run}/checkpoints"
    newest = max(n for n in os.listdir(folder) if n.startswith("step-"))
    return f"{folder}/{newest}", losses


def export(job, checkpoint, path):
    """A checkpoint's folder as a file of another framework."""
    if os.path.exists(path):
        os.remove(path)
    with open("job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([f"{BUILD}/rekindle-train", "--export", checkpoint, "job.json", path], capture_output=True,
                       text=True)
    assert r.returncode == 0, f"--export {path}: {r.returncode}: {r.stdout[-1500:]}{r.stderr[-1500:]}"
    return path


def forget(run="run"):
    shutil.rmtree(run, ignore_errors=True)


def safetensors(path):
    """A file of ours, of floats, by the format's description alone: {name: array}."""
    import numpy as np
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        at = f.tell()
        head.pop("__metadata__", None)
        out = {}
        for name, t in head.items():
            assert t["dtype"] == "F32", (name, t)
            f.seek(at + t["data_offsets"][0])
            n = t["data_offsets"][1] - t["data_offsets"][0]
            out[name] = np.frombuffer(f.read(n), "<f4").reshape(t["shape"])
    return out


# --- what is equal --------------------------------------------------------------------

def near(ours, theirs, tolerance, what):
    """By the largest of theirs."""
    import numpy as np
    a, b = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert a.shape == b.shape, (what, a.shape, b.shape)
    worst = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
    assert worst <= tolerance, f"{what}: {worst:.3g} apart, at most {tolerance}"
    return worst


def near_gradients(ours, theirs, tolerance, what):
    """{name: array} by the rule of make check-numerics: |g - g64| / max(|g64|, 1e-3 |all of g64|)."""
    import numpy as np
    assert set(ours) == set(theirs), (what, sorted(set(ours) ^ set(theirs)))
    norm = np.linalg.norm
    whole = np.sqrt(sum(norm(g) ** 2 for g in theirs.values()))
    assert whole > 0, what
    for name, g in theirs.items():
        e = norm(np.asarray(ours[name], "float64") - g) / max(norm(g), 1e-3 * whole)
        assert e <= tolerance, f"{what}: {name} {e:.3g} apart, at most {tolerance}"
