#!/usr/bin/env python3
"""training.cache_features: a run has the bytes of one that keeps nothing, whatever becomes of what is kept - cold, in
part, lost, spoilt, by an attempt that was killed, on any number of threads - and samples are not read again."""
import glob
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess

import data_jobs
import pictures
from storm import Ordeal, sha
from t import BUILD, Skip, case, eq, has, run, trainer, wait_for

CLASSES = ["cat", "dog", "owl"]
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
# What a metric says of the attempt, and not of the training.
PASSING = ("attempt", "branch", "time_ms", "evaluation", "samples_per_second", "stall_ratio", "data_wait_ratio",
           "checkpoint_write_seconds", "checkpoint_overhead_ratio")
FROZEN = [{"match": "head.*"}, {"match": "*", "trainable": False}]


def conv(name, **more):
    return dict({"type": "conv2d", "name": name, "kernel": 3, "padding": 1}, **more)


def picture_job(d, name, epochs=6, training=None, **more):
    """Pictures that a loader reads; the last convolution and what is behind it are trained."""
    if not os.path.exists(f"{d.root}/in"):
        pictures.folder(f"{d.root}/in", CLASSES, [14, 9, 12], w=40, h=36)
        pictures.folder(f"{d.root}/valid", CLASSES, [4, 3, 4], w=40, h=36, seed=2)
    frozen = [{"match": p} for p in ("c3.*", "head.*")] + [{"match": "*", "trainable": False}]
    layers = [conv("c1", out=12), "relu", {"type": "max_pool2d", "kernel": 2}, conv("c2", out=20), "relu",
              {"type": "max_pool2d", "kernel": 2}, conv("c3", out=16), "relu", "global_avg_pool2d", "flatten",
              {"type": "dropout", "p": 0.2}, {"type": "linear", "name": "head", "out": 3}]
    resized = [{"type": "resize", "size": [32, 28]}]
    return dict({
        "name": name, "model": {"layers": layers},
        "training": dict({"epochs": epochs, "batch_size": 10, "micro_batch_size": 7, "log_every": 1,
                          "cache_features": True, "parameters": frozen,
                          "optimizer": {"type": "adam", "learning_rate": 0.003}}, **(training or {})),
        "data": {"train": {"type": "image_folder", "path": f"{d.root}/in"},
                 "validation": {"type": "image_folder", "path": f"{d.root}/valid"},
                 "transforms": {"train": resized, "validation": resized}},
        "checkpoint": {"every": {"steps": 3}, "keep": {"last": 2}},
    }, **more)


def numbers_job(name, **training):
    """Samples that lie in memory."""
    return {
        "name": name, "model": {"arch": "mlp", "sizes": [20, 48, 33, 17, 3], "init": "paddle"},
        "training": dict({"epochs": 5, "batch_size": 12, "log_every": 1, "cache_features": True,
                          "optimizer": {"type": "sgd", "learning_rate": 0.1},
                          "parameters": [{"match": "fc4.*"}, {"match": "*", "trainable": False}]}, **training),
        "data": {"train": {"type": "synthetic", "shape": [20], "samples": 100, "classes": 3},
                 "validation": {"type": "synthetic", "shape": [20], "samples": 31, "classes": 3, "seed": 2}},
    }


def text_job(d, name, **training):
    job = data_jobs.bert(d, data_jobs.sentences(d, 60), 60, 16, 4, 8, 2, 16, buckets=[6, 10])
    job["name"] = name
    job["model"]["dropout"] = 0
    job["data"]["transforms"] = {}
    job["training"].pop("steps", None)
    job["training"].update({"epochs": 4, "log_every": 1, "cache_features": True, "parameters": [
        {"match": "classifier.*"}, {"match": "*pooler*"}, {"match": "*", "trainable": False}]}, **training)
    return job


def left(d, name):
    """Tensors of the last checkpoint, and what was said of each step."""
    last = sorted(glob.glob(f"{d.root}/{name}.run/checkpoints/step-*"))[-1]
    said = {}
    with open(f"{d.root}/{name}.run/metrics.jsonl") as f:
        for line in f:
            x = json.loads(line)
            figures = {k: v for k, v in x.items() if k not in PASSING}
            key = x["step"], x["split"], x["over"]
            eq(said.setdefault(key, figures), figures, f"{key} of two attempts")
    tensors = {os.path.basename(p): sha(p) for p in glob.glob(f"{last}/*.safetensors")}
    return os.path.basename(last), tensors, sorted(said.items())


def off(job, name):
    job = json.loads(json.dumps(job))
    job["name"] = name
    del job["training"]["cache_features"]
    return job


def begin(d, job, *args, limit=None):
    """A trainer of its own, in the background."""
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    with open(f"{d.root}/{job['name']}.log", "a") as log:
        return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{job['name']}.run", *args, path],
                                stdout=log, stderr=log, cwd=d.root)


def log(d, job):
    with open(f"{d.root}/{job['name']}.log") as f:
        return f.read()


def steps(d, job):
    """How many lines of metrics there are by now: no less than there were steps."""
    try:
        with open(f"{d.root}/{job['name']}.run/metrics.jsonl") as f:
            return f.read().count("\n")
    except FileNotFoundError:
        return 0


def killed(d, job, rng, spoil, most=400):
    """Killed with -9 again and again, and spoil() in between, on another number of threads each time; how often."""
    kills = 0
    while True:
        p = begin(d, job, "--threads", str(rng.choice((1, 2, 3))))
        until = steps(d, job) + rng.randrange(1, most)
        wait_for(60, "steps are made", lambda: p.poll() is not None or steps(d, job) >= until)
        if p.poll() is not None:
            eq(p.returncode, 0, f"exit ({log(d, job)[-600:]}), SEED={SEED}")
            return kills
        p.send_signal(signal.SIGKILL)
        p.wait()
        kills += 1
        spoil(f"{d.root}/{job['name']}.run/features")


def one_and_the_other(d, job):
    """With the cache, and without."""
    out, err = trainer(d, job, "--threads", "2")
    has(out + err, " samples are kept in features/")
    other = off(job, f"{job['name']}-off")
    trainer(d, other, "--threads", "1")
    eq(left(d, job["name"]), left(d, other["name"]), "with and without")
    assert not os.path.exists(f"{d.root}/{job['name']}.run/features"), "what was kept is still there at the end"


@case("samples in memory: a run has the bytes of one that keeps nothing", "stopped")
def _(d):
    one_and_the_other(d, numbers_job("numbers"))
    # Samples stand in a batch twice, and the last batch is left out.
    one_and_the_other(d, numbers_job("balanced", sampler="balanced", drop_last=True, micro_batch_size=5))


@case("pictures that a loader reads: a run has the bytes of one that keeps nothing", "stopped")
def _(d):
    one_and_the_other(d, picture_job(d, "pictures"))


@case("a picture that cannot be read is left out in each epoch", "stopped")
def _(d):
    job = picture_job(d, "broken")
    pictures.write(f"{d.root}/in/dog/broken.png", pictures.GIF)
    job["data"]["broken"] = "skip"
    one_and_the_other(d, job)


@case("texts in buckets: a run has the bytes of one that keeps nothing", "stopped")
def _(d):
    one_and_the_other(d, text_job(d, "texts"))


@case("beside an average of the model the training has the same bytes, too", "stopped")
def _(d):
    one_and_the_other(d, picture_job(d, "average", training={"ema": {"decay": 0.9}}))


@case("killed again and again, with what was kept as it was left, lost or spoilt, it ends with the same bytes",
      "stopped")
def _(d):
    rng = random.Random(SEED)
    calm = picture_job(d, "calm", epochs=60)
    trainer(d, calm, "--threads", "1")

    def lose(path):
        shutil.rmtree(path, ignore_errors=True)

    def flip(path):
        for name in glob.glob(f"{path}/*"):
            with open(name, "r+b") as f:
                size = os.path.getsize(name)
                for _ in range(300):
                    f.seek(rng.randrange(size))
                    f.write(bytes([rng.randrange(256)]))

    def cut(path):
        for name in glob.glob(f"{path}/*"):
            os.truncate(name, rng.randrange(os.path.getsize(name)))

    def swap(path):
        for name in glob.glob(f"{path}/*"):
            os.remove(name)
            os.symlink("/dev/zero", name)

    for how in (lambda path: None, lose, flip, cut, swap):
        job = picture_job(d, "stormy", epochs=60)
        for _ in range(20):
            shutil.rmtree(f"{d.root}/stormy.run", ignore_errors=True)
            if killed(d, job, rng, how) > 0:
                break
        eq(left(d, "stormy"), left(d, "calm"), f"killed, SEED={SEED}")


def phased_job(d, name, **training):
    """A network with batch norms, of which more and more is trained."""
    job = picture_job(d, name, epochs=30)
    norm = [{"type": "batch_norm", "name": f"n{i}"} for i in range(3)]
    job["model"]["layers"] = [
        conv("c0", out=10), norm[0], "relu", {"type": "max_pool2d", "kernel": 2}, conv("c1", out=18), norm[1], "relu",
        {"type": "max_pool2d", "kernel": 2}, conv("c2", out=16), norm[2], "relu", "global_avg_pool2d", "flatten",
        {"type": "linear", "name": "head", "out": 3}]
    del job["training"]["parameters"], job["training"]["epochs"]
    job["training"]["phases"] = [
        {"epochs": 12, "train": ["head.*"]}, {"epochs": 12, "train": ["head.*", "c2.*", "n2.*"],
                                              "learning_rate_scale": 0.5},
        {"epochs": 3, "train": ["head.*"], "cache_features": False}, {"epochs": 3, "train": ["*"]}]
    job["training"].update(training)
    return job


@case("in phases each keeps its own, and killed again and again it ends with the same bytes", "stopped")
def _(d):
    rng = random.Random(SEED)
    out, err = trainer(d, phased_job(d, "phased"))
    eq(len(re.findall("the frozen part of the network gives", out + err)), 2, "caches")
    trainer(d, off(phased_job(d, "phased"), "phased-off"))
    eq(left(d, "phased"), left(d, "phased-off"), "with and without")
    for _ in range(20):
        shutil.rmtree(f"{d.root}/stormy.run", ignore_errors=True)
        if killed(d, phased_job(d, "stormy"), rng, lambda path: None, most=60) > 1:
            break
    eq(left(d, "stormy"), left(d, "phased"), f"killed, SEED={SEED}")


@case("from the second epoch on no sample is read", "stopped")
def _(d):
    calm, job = picture_job(d, "calm", epochs=60), picture_job(d, "unread", epochs=60)
    trainer(d, calm)

    def judged():
        try:
            with open(f"{d.root}/unread.run/metrics.jsonl") as f:
                return '"validation"' in f.read()
        except FileNotFoundError:
            return False

    for _ in range(20):
        shutil.rmtree(f"{d.root}/unread.run", ignore_errors=True)
        p = begin(d, job)
        wait_for(60, "an epoch is through", lambda: p.poll() is not None or judged())
        p.send_signal(signal.SIGSTOP)
        if p.poll() is None:
            break
    assert p.poll() is None, "it always ended too soon"
    for name in glob.glob(f"{d.root}/in/*/*.png") + glob.glob(f"{d.root}/valid/*/*.png"):
        with open(name, "r+b") as f:
            f.write(b"no picture")
    p.send_signal(signal.SIGCONT)
    eq(p.wait(), 0, log(d, job)[-500:])
    eq(left(d, "unread"), left(d, "calm"))


@case("a sample that has changed is found where nothing of it is kept", "stopped")
def _(d):
    job = picture_job(d, "changed", epochs=60)
    for _ in range(20):
        shutil.rmtree(f"{d.root}/changed.run", ignore_errors=True)
        p = begin(d, job)
        wait_for(60, "it trains", lambda: p.poll() is not None or steps(d, job) > 40)
        p.send_signal(signal.SIGKILL)
        if p.wait() == -signal.SIGKILL:
            break
    shutil.rmtree(f"{d.root}/changed.run/features")
    name = sorted(glob.glob(f"{d.root}/in/cat/*.png"))[0]
    with open(name, "rb") as f:
        data = f.read()
    other = pictures.png(40, 36, pictures.noise(random.Random(5), 40, 36, 10))
    pictures.write(name, other + bytes(max(0, len(data) - len(other))))
    p = begin(d, job)
    p.wait()
    has(log(d, job), os.path.basename(name))
    has(log(d, job), "changed")


@case("no more is kept than max_bytes, and the bytes are the same", "stopped")
def _(d):
    job = picture_job(d, "small", training={"cache_features": {"max_bytes": 1 << 20}},
                      model={"layers": [conv("c1", out=12), "relu", conv("head", out=3), "flatten",
                                        {"type": "linear", "name": "head2", "out": 3}]})
    job["training"]["parameters"] = [{"match": "head*"}, {"match": "*", "trainable": False}]
    out, err = trainer(d, job)
    # 12 x 32 x 28 numbers of 4 bytes, or 16 x 32 x 28, as they lie in memory.
    kept, of = re.search(r"those of (\d+) of the (\d+) samples are kept", out + err).groups()
    assert 10 < int(kept) < 30, kept
    eq(int(of), 46, "samples of both sets")
    trainer(d, off(job, "small-off"))
    eq(left(d, "small"), left(d, "small-off"))


@case("where the disk is full, less is kept and the bytes are the same", "stopped")
def _(d):
    calm, job = picture_job(d, "calm"), picture_job(d, "full")
    for j in (calm, job):
        j["data"]["train"] = {"type": "synthetic", "shape": [3, 32, 28], "samples": 600, "classes": 3}
        del j["data"]["validation"]
        del j["data"]["transforms"]
    trainer(d, calm)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        p = begin(d, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    eq(p.wait(), 0, log(d, job)[-500:])
    eq(log(d, job).count("are computed in each epoch from here on"), 1)
    eq(left(d, "full"), left(d, "calm"))


@case("room for checkpoints is left on a disk that would be full", "stopped")
def _(d):
    os.mkdir(d.state)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=750", "none", d.state],
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip("no right to mount")
    job = numbers_job("roomy", epochs=2, batch_size=64)
    job["model"]["sizes"] = [20, 12000, 3]
    job["training"]["parameters"] = [{"match": "fc2.*"}, {"match": "*", "trainable": False}]
    job["data"]["train"]["samples"] = 2000
    trainer(d, off(job, "roomy-off"))
    path = f"{d.root}/roomy.json"
    with open(path, "w") as f:
        json.dump(job, f)
    os.symlink(f"{d.state}/run", f"{d.root}/roomy.run")
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.state}/run", path], capture_output=True, text=True)
    eq(p.returncode, 0, p.stderr[-500:])
    has(p.stdout, "are computed in each epoch from here on")
    eq(left(d, "roomy"), left(d, "roomy-off"))


@case("a job whose trainer and daemon are killed ends with the bytes of the one that was not", "stopped")
def _(d):
    storm = Ordeal(d, picture_job(d, "storm", epochs=120), random.Random(SEED))
    storm.calm()
    has("\n".join(d.events(storm.first)), " samples are kept in features/")
    storm.rage(["trainer", "daemon", "writing", "judging"])
    storm.over(SEED)


@case("what is kept is in no checkpoint, and its folder goes with the run's end", "stopped")
def _(d):
    job = picture_job(d, "kept", epochs=60)
    seen = set()
    for _ in range(20):
        shutil.rmtree(f"{d.root}/kept.run", ignore_errors=True)
        p = begin(d, job)
        wait_for(60, "files", lambda: p.poll() is not None or
                 seen.update(glob.glob(f"{d.root}/kept.run/features/*")) or len(seen) > 1)
        eq(p.wait(), 0, log(d, job)[-500:])
        if seen:
            break
    eq(sorted(os.path.basename(x) for x in seen), ["train", "validation"])
    assert "features" not in os.listdir(f"{d.root}/kept.run")
    for path in glob.glob(f"{d.root}/kept.run/checkpoints/*/*"):
        assert "feature" not in os.path.basename(path), path


@case("a summary says how much is kept at most", "stopped")
def _(d):
    for more, want in (({}, 2 * 4096 + 131 * (16 + 4 * 17)), ({"ema": {"decay": 0.9}}, 4096 + 100 * (16 + 4 * 17)),
                       ({"cache_features": False}, None)):
        out, _ = trainer(d, numbers_job("summary", **more), "--summary")
        eq(json.loads(out).get("feature_bytes"), want, f"feature_bytes ({more})")
    p = begin(d, numbers_job("summary", epochs=3000))
    files = f"{d.root}/summary.run/features"
    wait_for(60, "all are kept", lambda: p.poll() is not None or sum(map(os.path.getsize, glob.glob(f"{files}/*"))) ==
             2 * 4096 + 131 * (16 + 4 * 17))
    assert p.poll() is None, log(d, numbers_job("summary"))
    p.kill()
    p.wait()


@case("a network of which nothing can be kept says so, and trains", "stopped")
def _(d):
    job = numbers_job("nothing", parameters=[{"match": "fc1.*"}, {"match": "*", "trainable": False}])
    out, err = trainer(d, job)
    has(out + err, "training.cache_features keeps nothing: no layer with parameters lies below all that is trained")


run()
