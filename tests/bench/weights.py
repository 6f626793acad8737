"""The rows of files of weights: planning a large one, loading ResNet-50 from Paddle's
beside safetensors and beside Paddle itself, and conversion.

The large files have no elements of their own: their tensors lie in holes, so that what is
measured is the describing, not the disk.
"""
import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import time

import peers

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
HERE = os.path.dirname(os.path.abspath(__file__))
TRAINER = f"{BUILD}/rekindle-train"
SIZES = [20000, 20000, 5000, 784, 10]
med = statistics.median


def written(path, value):
    with open(path, "w") as f:
        json.dump(value, f)
    return path


# --- a large file -------------------------------------------------------------

def wide(path):
    """A job on the network of SIZES that begins from a file."""
    return {"name": "wide", "model": {"arch": "mlp", "sizes": SIZES, "checkpoint": path},
            "training": {"epochs": 1, "batch_size": 8},
            "data": {"train": {"type": "synthetic", "shape": [SIZES[0]], "classes": SIZES[-1], "samples": 64}}}


def make_wide(path):
    """Its safetensors; the bytes of it."""
    head, at = {}, 0
    for i, (a, b) in enumerate(zip(SIZES, SIZES[1:]), 1):
        for name, shape in ((f"fc{i}.weight", [b, a]), (f"fc{i}.bias", [b])):
            n = 4 * b * (a if len(shape) == 2 else 1)
            head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + n]}
            at += n
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)
    return 8 + len(text) + at


def ran(*command):
    """Seconds and peak MB of a program that must succeed, with what it started itself."""
    begin = time.time()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    took = time.time() - begin
    p.returncode = os.waitstatus_to_exitcode(status)
    p.stderr.close()
    if p.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {p.returncode}: {said[-500:]}")
    return took, usage.ru_maxrss * 1024 / 1e6


def plan(top, row, rounds):
    files = {"safetensors": f"{top}/wide.safetensors", ".pt": f"{top}/wide.pt"}
    size = make_wide(files["safetensors"])
    convert(files["safetensors"], "pt", files[".pt"])
    for name, path in files.items():
        job = written(f"{top}/wide.json", wide(path))
        took, peak = zip(*[ran(TRAINER, "--plan", job) for _ in range(rounds)])
        row(f"plan of a large {name}", 1000 * med(took), "ms", "< 100", med(took) < 0.1 and max(peak) < 64,
            f"{size / 1e9:.1f} GB, {2 * (len(SIZES) - 1)} tensors: from the start of rekindle-train --plan to its end, "
            f"the file read in a process of its own; median of {rounds}, worst {1000 * max(took):.0f} ms; at most "
            f"{max(peak):.0f} MB in either process, the mapping's pages that were touched among them", s=took)


# --- conversion ---------------------------------------------------------------

def convert(source, to, path):
    return ran(f"{BUILD}/rekindle", "weights", "convert", source, "--to", to, "-o", path)


def conversion(top, row, rounds):
    """Against cp and sync of the same file, in turn: both write it to the disk."""
    source, size = f"{top}/elements.safetensors", 512 << 20
    head = json.dumps({"a.weight": {"dtype": "F32", "shape": [size >> 2], "data_offsets": [0, size]}}).encode()
    head += b" " * (-len(head) % 8)
    with open(source, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for _ in range(size >> 20):
            f.write(os.urandom(1 << 20))
    ours, copies, peaks = [], [], []
    for _ in range(rounds):
        begin = time.time()
        subprocess.run(["dd", f"if={source}", f"of={top}/copy", "bs=1M", "conv=fsync", "status=none"], check=True)
        copies.append(time.time() - begin)
        os.unlink(f"{top}/copy")
        took, peak = convert(source, "pt", f"{top}/elements.pt")
        ours.append(took)
        peaks.append(peak)
        os.unlink(f"{top}/elements.pt")
    ratio = med(copies) / med(ours)
    row("conversion", ratio, "times the speed of a copy", ">= 0.5", ratio >= 0.5,
        f"{size >> 20} MiB of safetensors to .pt: {size / 1e6 / med(ours):.0f} MB/s, synced, in a process of its own, "
        f"at most {max(peaks):.0f} MB; dd with fsync {size / 1e6 / med(copies):.0f} MB/s; medians of {rounds} in turn",
        s=ours, copy_s=copies)


# --- ResNet-50 ----------------------------------------------------------------

def resnet50(path):
    """A job that begins from a file, or cold, and whose first step is soon there."""
    return {"name": "resnet50", "resources": {"threads": 2},
            "model": {"arch": "resnet50", **({"checkpoint": path} if path else {})},
            "training": {"steps": 10**9, "batch_size": 1, "log_every": 1,
                         "optimizer": {"type": "sgd", "learning_rate": 0.001, "momentum": 0.9}},
            "data": {"train": {"type": "synthetic", "shape": [3, 64, 64], "classes": 1000, "samples": 2}},
            "checkpoint": {"every": {"steps": 10**9}, "keep": {"best": 0}}}


def first_step(top, path):
    """Seconds from the start of the trainer until its first step began."""
    run, job = f"{top}/run", written(f"{top}/resnet50.json", resnet50(path))
    begin = time.time()
    p = subprocess.Popen([TRAINER, "--run-dir", run, job], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True)
    try:
        while True:
            time.sleep(0.02)
            if p.poll() is not None:
                raise RuntimeError(f"rekindle-train ended with {p.returncode}: {p.stderr.read()[-500:]}")
            try:
                with open(f"{run}/metrics.jsonl") as f:
                    a = json.loads(f.readline())
                break
            except (FileNotFoundError, ValueError):
                pass
    finally:
        p.send_signal(signal.SIGKILL)
        p.wait()
        p.stderr.close()
        shutil.rmtree(run, ignore_errors=True)
    return a["time_ms"] / 1e3 - a["steps"] / a["samples_per_second"] - begin


def theirs(peer, *args):
    """The lines that peer_load.py prints."""
    out = subprocess.run([peer.python, f"{HERE}/peer_load.py", *args], check=True, capture_output=True, text=True,
                         env=dict(peers.surroundings(), **peers.preloaded(peer.python)))
    return out.stdout.splitlines()


def loading(top, row, rounds, everyone):
    paddle = next((p for p in everyone if p.framework == "paddle"), None)
    if paddle is None:
        print("skip loading ResNet-50: no Paddle (make bench-deps)")
        return
    pd, st = f"{top}/resnet50.pdparams", f"{top}/resnet50.safetensors"
    theirs(paddle, "save", pd, st)
    took = {"cold": [], pd: [], st: []}
    load = []
    for _ in range(rounds):
        for path in took:
            took[path].append(first_step(top, None if path == "cold" else path))
        load.append(json.loads(theirs(paddle, "load", pd)[-1])["seconds"])
    cold, ours, safe, best = med(took["cold"]), med(took[pd]), med(took[st]), med(load)
    row("first step from Paddle's file", ours / safe, "times safetensors' time", "<= 1.5, and no slower than Paddle",
        ours <= 1.5 * safe and ours - cold <= best,
        f"ResNet-50, 25.6 million parameters that {paddle.name} saved; from the start of rekindle-train to its first "
        f"step: {ours:.3f} s, from safetensors {safe:.3f} s, cold {cold:.3f} s, so {ours - cold:.3f} s are the file's; "
        f"paddle.load and set_state_dict take {best:.3f} s, without their import; medians of {rounds} in turn",
        s=took[pd], safetensors_s=took[st], cold_s=took["cold"], paddle_s=load)
