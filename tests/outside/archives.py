#!/usr/bin/env python3
"""Folders, tars and gzipped tars of images: the same samples by whatever way they come, a gzipped one unpacked once,
and images that change named, in a run and after any number of resumes."""
import glob
import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import tarfile
import time
import zlib

from t import BUILD, case, eq, has, limit, run, wait_for

NAMES = ["cats", "dogs", "\u732b and more"]


def png(rgb, w=8, h=8):
    """A picture of one colour, stored and not deflated, so that all are of one size."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(rgb) * w) * h
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b""))


def folder(path, each=20, seed=1):
    r = random.Random(seed)
    for c, name in enumerate(NAMES):
        os.makedirs(f"{path}/{name}")
        for i in range(each):
            rgb = [r.randrange(80) + (150 if k == c else 0) for k in range(3)]
            with open(f"{path}/{name}/{i:03}.png", "wb") as f:
                f.write(png(rgb))
    return path


def tar(path, out, mode="w", **more):
    with tarfile.open(out, mode, **more) as t:
        for name in sorted(os.listdir(path), reverse=True):
            t.add(f"{path}/{name}", name)
    return out


def job_of(path, epochs=3, **more):
    return {"name": "images", "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"input": [3, 8, 8], "layers": ["flatten", {"type": "linear", "out": 3}]},
            "training": {"epochs": epochs, "batch_size": 6, "optimizer": {"type": "sgd", "learning_rate": 0.1}},
            "data": {"train": {"type": "image_folder", "path": path}},
            "checkpoint": {"every": {"epochs": 1}}, **more}


def train(d, job, *args, want=0, rundir="run"):
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", *args, path],
                       capture_output=True, text=True, timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train {args} ({p.stderr[-800:]})")
    return p.stdout + p.stderr


def newest(d, rundir="run"):
    return sorted(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*"))[-1]


def weights(d, rundir="run"):
    with open(f"{newest(d, rundir)}/model.safetensors", "rb") as f:
        raw = f.read()
    return hashlib.sha256(raw[8 + struct.unpack("<Q", raw[:8])[0]:]).hexdigest()


def known(d, rundir="run"):
    """What the newest checkpoint has of the samples: {name: list}."""
    with open(f"{newest(d, rundir)}/data.safetensors", "rb") as f:
        raw = f.read()
    n, = struct.unpack("<Q", raw[:8])
    head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
    return {k: struct.unpack(f"<{t['shape'][0]}Q", data[slice(*t["data_offsets"])])
            for k, t in head.items() if k != "__metadata__"}


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


# --- archives ----------------------------------------------------------------------------

@case("a folder, a tar of it and a gzipped one train to the same weights", "stopped")
def _(d):
    folder(f"{d.root}/in")
    ways = {"folder": f"{d.root}/in", "tar": tar(f"{d.root}/in", f"{d.root}/in.tar"),
            "gnu": tar(f"{d.root}/in", f"{d.root}/gnu.tar", format=tarfile.GNU_FORMAT),
            "gz": tar(f"{d.root}/in", f"{d.root}/in.tar.gz", "w:gz")}
    for name, path in ways.items():
        train(d, job_of(path), rundir=name)
        eq(weights(d, name), weights(d, "folder"), f"weights of {name}")
        eq(known(d, name), known(d, "folder"), f"what is known of {name}")


@case("a gzipped tar is unpacked once, and again when it is another", "stopped")
def _(d):
    packed = tar(folder(f"{d.root}/in"), f"{d.root}/in.tar.gz", "w:gz")
    out = f"{packed}.unpacked/data.tar"
    has(train(d, job_of(packed)), f"unpacks {packed}, once")
    was = os.stat(out)
    assert "unpacks" not in train(d, job_of(packed, epochs=4))
    eq(os.stat(out).st_ino, was.st_ino, "the tar's inode")
    # What a kill in the middle leaves is no hindrance.
    os.mkdir(f"{packed}.unpacking")
    write(f"{packed}.unpacking/data.tar", b"half")
    shutil.rmtree(f"{d.root}/in")
    tar(folder(f"{d.root}/in", each=21), packed, "w:gz")
    has(train(d, job_of(packed), want=4), "60 samples of 3x8x8 then")
    assert os.stat(out).st_size > was.st_size, "the tar of the new one"
    assert not os.path.exists(f"{packed}.unpacking")


@case("two that want the same archive at once unpack it once", "stopped")
def _(d):
    packed = tar(folder(f"{d.root}/in", each=200), f"{d.root}/in.tar.gz", "w:gz")
    with open(f"{d.root}/images.json", "w") as f:
        json.dump(job_of(packed, epochs=1), f)
    ps = [subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run{i}", f"{d.root}/images.json"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for i in range(3)]
    said = [p.communicate(timeout=limit(60))[0] for p in ps]
    eq([p.returncode for p in ps], [0, 0, 0], f"exits {said}")
    eq(sum("unpacks" in s for s in said), 1, "how many unpacked it")
    eq(len({weights(d, f"run{i}") for i in range(3)}), 1, "weights")


@case("an archive in a folder that cannot be written to is unpacked in the run's own", "stopped")
def _(d):
    packed = tar(folder(f"{d.root}/in"), f"{d.root}/in.tar.gz", "w:gz")
    with open(packed, "rb") as f:
        there = f"/proc/{os.getpid()}/fd/{f.fileno()}"
        train(d, job_of(there))
        eq(len(glob.glob(f"{d.root}/run/*.unpacked/data.tar")), 1, "tars in the run's folder")
        assert "unpacks" in train(d, job_of(there, epochs=4), rundir="other")


@case("what is packed and no tar, or cut off, is refused and leaves nothing behind", "stopped")
def _(d):
    folder(f"{d.root}/in")
    packed = f"{d.root}/x.tar.gz"
    whole = open(tar(f"{d.root}/in", f"{d.root}/ok.tar.gz", "w:gz"), "rb").read()
    links = io.BytesIO()
    with tarfile.open(fileobj=links, mode="w:gz") as t:
        i = tarfile.TarInfo("../out.png")
        i.size = 3
        t.addfile(i, io.BytesIO(b"abc"))
    gz = zlib.compressobj(9, zlib.DEFLATED, 31)
    for data, words in ((gz.compress(b"no tar " * 1000) + gz.flush(), "is no tar"),
                        (whole[:-100], "ends early: the file is cut off"),
                        (whole[:200] + b"\xff" * 50 + whole[250:], "gzip stream is corrupt"),
                        (links.getvalue(), "has .. in it")):
        write(packed, data)
        said = train(d, job_of(packed), want=3)
        has(said, words)
        has(said, "data.train.path: ")
        eq(glob.glob(f"{packed}.*"), [], "what is left")


# --- what samples were --------------------------------------------------------------------

@case("what each image was when it was read goes into the checkpoints", "stopped")
def _(d):
    folder(f"{d.root}/in")
    job = job_of(f"{d.root}/in", epochs=2)
    job["checkpoint"] = {"every": {"steps": 3}, "keep": {"last": 100}}
    train(d, job)
    paths = sorted(glob.glob(f"{d.root}/run/checkpoints/step-*"))
    k = known(d)
    eq(sorted(k), ["train.content", "train.file"])
    eq(len(k["train.content"]), 60)
    assert all(k["train.content"]) and len(set(k["train.file"])) == 60
    files = {f["name"] for f in json.load(open(f"{paths[0]}/checkpoint.json"))["files"]}
    has(files, "data.safetensors")


@case("an image that changed while a run was away is named when it is read next, and accepted where a person says so",
      "stopped")
def _(d):
    folder(f"{d.root}/in")
    job = job_of(f"{d.root}/in", epochs=2)
    train(d, job)
    victim = f"{d.root}/in/{NAMES[2]}/007.png"
    kept = open(victim, "rb").read()
    other = png([9, 9, 9])
    eq(len(other), len(kept), "bytes of the picture")
    write(victim, other)
    job["training"]["epochs"] = 4
    err = train(d, job, want=4)
    has(err, f"{NAMES[2]}/007.png is not what it was when it was first read")
    write(victim, kept)                 # put back it is the same again
    train(d, job)
    write(victim, other)
    job["training"]["epochs"] = 6
    has(train(d, job, "--accept", "data"), "which was accepted")
    job["training"]["epochs"] = 8
    train(d, job)                       # and is what counts from there on
    eq(json.load(open(f"{newest(d)}/checkpoint.json"))["inexact"]["reason"], "data_changed")


@case("images of another size, or more or fewer of them, are found before a step, by a name", "stopped")
def _(d):
    folder(f"{d.root}/in")
    job = job_of(f"{d.root}/in", epochs=2)
    train(d, job)
    job["training"]["epochs"] = 4
    victim = f"{d.root}/in/dogs/003.png"
    kept = open(victim, "rb").read()
    write(victim, kept + b"more")
    has(train(d, job, want=4), "the first that is not as it was is dogs/003.png")
    os.unlink(victim)
    has(train(d, job, want=4), "the first that is not as it was is dogs/004.png")
    write(victim, kept)
    write(f"{d.root}/in/dogs/003b.png", kept)
    has(train(d, job, want=4), "the first that is not as it was is dogs/003b.png")
    os.unlink(f"{d.root}/in/dogs/003b.png")
    train(d, job)


@case("a checkpoint of before there was such a file is gone on from", "stopped")
def _(d):
    folder(f"{d.root}/in")
    job = job_of(f"{d.root}/in", epochs=2)
    train(d, job)
    # As it would have been: the file is not there, and checkpoint.json does not name it.
    at = newest(d)
    c = json.load(open(f"{at}/checkpoint.json"))
    c["files"] = [f for f in c["files"] if f["name"] != "data.safetensors"]
    del c["check"]
    c["check"] = hashlib.sha256(json.dumps(c, sort_keys=True, separators=(",", ":"),
                                           ensure_ascii=False).encode()).hexdigest()
    with open(f"{at}/checkpoint.json", "w") as f:
        json.dump(c, f)
    os.unlink(f"{at}/data.safetensors")
    job["training"]["epochs"] = 4
    said = train(d, job)
    if "is not what was written" in said:       # another way to write a number
        raise AssertionError("the case's own checkpoint.json is no good")
    eq(len(known(d)["train.content"]), 60)


@case("a daemon's job waits for a person when an image has changed, and sends what it knows with its checkpoints")
def _(d):
    folder(f"{d.root}/in")
    job = job_of(f"{d.root}/in", epochs=2000)
    job["checkpoint"] = {"every": {"steps": 100}, "push": f"file://{d.root}/store/"}
    i = d.submit(job)
    wait_for(60, "a checkpoint", lambda: d.job(i)["newest_known"])
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    victim = f"{d.root}/in/cats/000.png"
    kept = open(victim, "rb").read()
    write(victim, png([1, 2, 3]))
    d.post(f"/v1/jobs/{i}/resume", want=202)
    wait_for(60, "it waits", lambda: (d.job(i)["state"], d.job(i)["reason"]) == ("paused", "data_changed"))
    has(d.job(i)["message"], "cats/000.png is not what it was")
    write(victim, kept)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    d.wait_state(i, "running")
    wait_for(60, "data.safetensors in the store",
             lambda: glob.glob(f"{d.root}/store/jobs/{i}/checkpoints/*/data.safetensors"))
    d.post(f"/v1/jobs/{i}/cancel", want=202)


@case("killed with -9 a run of files goes on within a second, and reads none before it needs it", "stopped")
def _(d):
    path = folder(f"{d.root}/in", each=700)
    job = job_of(path, epochs=500)
    job["checkpoint"] = {"every": {"steps": 50}}
    with open(f"{d.root}/images.json", "w") as f:
        json.dump(job, f)

    def begin():
        return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run", f"{d.root}/images.json"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p = begin()
    wait_for(30, "a checkpoint", lambda: glob.glob(f"{d.root}/run/checkpoints/step-*"))
    p.kill()
    p.wait()
    # One that no step after the kill needs at once would end the run if all were read first.
    lines = open(f"{d.root}/run/metrics.jsonl").read().count("\n")
    p, t0 = begin(), time.monotonic()
    wait_for(30, "a step", lambda: open(f"{d.root}/run/metrics.jsonl").read().count("\n") > lines)
    took = time.monotonic() - t0
    p.kill()
    p.wait()
    print(f"    from the start to a line of metrics {took:.2f} s", flush=True)


run()
