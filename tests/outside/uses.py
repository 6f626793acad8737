"""Jobs of kind predict and evaluate, for the tests that run them with the trainer alone.  Not a test itself."""
import glob
import json
import os
import random
import signal
import struct
import subprocess
import time

from t import BUILD, eq, limit, trainer


def npy(path, shape, values, kind="<f4"):
    """An array of NumPy."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        f.write(values if isinstance(values, bytes) else struct.pack(f"<{len(values)}f", *values))
    return path


def floats(n, seed=3):
    """Bytes of n floats that are none of the odd ones."""
    b = bytearray(random.Random(seed).randbytes(4 * n))
    b[3::4] = b"\x3f" * n
    return bytes(b)


def newest(d, job):
    return sorted(glob.glob(f"{d.root}/{job['name']}.run/checkpoints/step-*"))[-1]


def of(job, kind, name, model, data, **more):
    """A training's job as one that uses its model: by its kind alone."""
    return {**job, "kind": kind, "name": name, "model": {**job["model"], "checkpoint": model},
            "data": {**job["data"], **data}, **more}


def results(d, name):
    with open(f"{d.root}/{name}.run/predictions.jsonl", "rb") as f, open(f"{d.root}/{name}.run/report.json", "rb") as g:
        return f.read(), g.read()


def lines(d, name):
    return [json.loads(x) for x in results(d, name)[0].decode().splitlines()]


def report(d, name):
    return json.loads(results(d, name)[1])


def state(d, name):
    """What the state says; None while there is none."""
    try:
        with open(f"{d.root}/{name}.run/predictions.state") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def start(d, job, *args, keep_ms=1000):
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{job['name']}.run", *args, path],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=d.root,
                            env={**os.environ, "REKINDLE_TRAIN_KEEP_MS": str(keep_ms)})


def end(p, want=0):
    said = p.communicate(timeout=limit(120))[1].decode()
    eq(p.returncode, want, f"exit ({said[-800:]})")
    return said


def killed(d, job, rng, times, total):
    """Run it to its end of so many lines, killed so often behind some of its own; how far it was each time."""
    at = []
    while len(at) < times:
        p = start(d, job, "--threads", str(1 + len(at) % 2), keep_ms=rng.choice([1, 10, 40]))
        before = (state(d, job["name"]) or {"lines": 0})["lines"]
        until = time.monotonic() + limit(60)
        # some lines more, here and there of another file, and then at any moment
        more = before + rng.choice([0, 0, total // times])
        while p.poll() is None and (state(d, job["name"]) or {"lines": 0})["lines"] <= more:
            assert time.monotonic() < until, "no line is kept"
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.06))
        p.send_signal(signal.SIGKILL)
        p.communicate()
        at.append(state(d, job["name"])["lines"])
        # What was written behind the state, torn in its midst.
        if rng.random() < 0.5:
            with open(f"{d.root}/{job['name']}.run/predictions.jsonl", "ab") as f:
                f.write(b'{"input":"x","row":7}\n{"inp')
    end(start(d, job, "--threads", "2"))
    return at


def train(d, job):
    trainer(d, job)
    return newest(d, job)
