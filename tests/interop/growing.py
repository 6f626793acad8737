"""What torch_grows.py and paddle_grows.py have in common: the story of the magnetic tiles.

A framework trains a network on four of six classes, and saves it.  Its file does not say what
its classes are called: a file of names does.  rekindle-train grows it to six by these names,
in two phases, is killed with -9 in each, and ends with the bytes of a run that nobody disturbed.
"""
import glob
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time

import ours

TILES = os.path.join(os.environ.get("RK_SHARED", f"{os.path.dirname(os.path.abspath(__file__))}/../../../shared"),
                     "data/magnetic-tile/magnetic-tile-subset.tar")
LATE = "MT_Crack", "MT_Fray"            # by their names between the others
SIDE, EPOCHS, BATCH, RATE = 32, 15, 32, 1e-3
HEAD, ALL = 3, 6                        # epochs of the two phases
MEAN, STD = 0.4, 0.2
SECONDS = 600                           # at most, for what a run does next
FALL = 0.1                              # of the old classes' mean recall, on some 80 tiles


def there():
    if not os.path.exists(TILES):
        print(f"skipped: {TILES} is not there")
    return os.path.exists(TILES)


def write_tiles():
    """train/CLASS/N.png and test/CLASS/N.png, SIDE high and wide, a fifth of each class to test.
    The classes in order."""
    from PIL import Image
    by_class = {}
    with tarfile.open(TILES) as tar:
        for m in tar:
            if m.isfile() and m.name.endswith(".jpg"):
                by_class.setdefault(m.name.split("/")[-2], []).append((m.name, tar.extractfile(m).read()))
    for name, files in by_class.items():
        files.sort(key=lambda f: hashlib.sha256(f[0].encode()).digest())
        for i, (_, jpeg) in enumerate(files):
            folder = f"{'train' if i % 5 else 'test'}/{name}"
            os.makedirs(folder, exist_ok=True)
            Image.open(io.BytesIO(jpeg)).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR).save(f"{folder}/{i}.png")
    return sorted(by_class)


def read(part, classes):
    """(x, y) of these classes, as a network sees them: [n,3,SIDE,SIDE], numbers of classes."""
    import numpy as np
    from PIL import Image
    x, y = [], []
    for label, name in enumerate(classes):
        for path in sorted(glob.glob(f"{part}/{name}/*.png")):
            x.append(np.asarray(Image.open(path), "float32").transpose(2, 0, 1) / 255)
            y.append(label)
    return (np.stack(x) - np.float32(MEAN)) / np.float32(STD), np.array(y, "int64")


def batches(n):
    """Numbers of samples in another order each epoch, for who trains on four classes."""
    import numpy as np
    rng = np.random.RandomState(1)
    for _ in range(EPOCHS):
        order = rng.permutation(n)
        yield from (order[i:i + BATCH] for i in range(0, n - BATCH + 1, BATCH))


def recall(answers, y):
    """Of each class the share that is answered right."""
    return [float((answers[y == k] == k).mean()) for k in range(y.max() + 1)]


def grown_job(path, names, dialect_arch):
    def part(name):
        return {"type": "image_folder", "path": os.path.abspath(name)}
    return {"name": "grown", "resources": {"threads": ours.THREADS},
            "model": {**dialect_arch, "classes": 6, "checkpoint": os.path.abspath(path),
                      "checkpoint_classes": os.path.abspath(names), "grow": ["fc"]},
            "training": {"batch_size": BATCH, "optimizer": {"type": "adamw", "learning_rate": RATE},
                         "warm_start": {"learning_rate_scale": 1},
                         "phases": [{"train": ["fc.*"], "epochs": HEAD},
                                    {"train": ["*"], "epochs": ALL, "learning_rate_scale": 0.3,
                                     "schedule": {"type": "cosine"}}]},
            "data": {"train": part("train"), "validation": part("test"),
                     "normalize": {"type": "scale", "mean": MEAN, "std": STD}},
            "checkpoint": {"every": {"epochs": 1}, "keep": {"last": 1, "best": 0}}}


def lines(run):
    """Of validation, whole lines."""
    if not os.path.exists(f"{run}/metrics.jsonl"):
        return []
    with open(f"{run}/metrics.jsonl") as f:
        return [m for m in map(json.loads, (x for x in f if x.endswith("\n"))) if m["split"] == "validation"]


def killed_after(run, epoch):
    """Train until that epoch is over, and kill -9."""
    p = subprocess.Popen([f"{ours.BUILD}/rekindle-train", "--run-dir", run, "job.json"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
    end = time.monotonic() + SECONDS
    while max((m["epoch"] for m in lines(run)), default=0) < epoch:
        assert p.poll() is None, f"it has ended with {p.returncode}: {p.stderr.read()[-800:]}"
        assert time.monotonic() < end, f"epoch {epoch} is not over after {SECONDS} s"
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, f"it has ended before it was killed after epoch {epoch}"
    p.stderr.close()


def learned(run):
    """The bytes of the last checkpoint's model and optimizer."""
    newest = max(glob.glob(f"{run}/checkpoints/step-*"))
    out = {}
    for name in "model", "optimizer":
        with open(f"{newest}/{name}.safetensors", "rb") as f:
            out[name] = f.read()
    return out


def story(path, names, arch, before):
    """From their file, whose classes `names` has; before: the recall of each that they measured."""
    job = grown_job(path, names, arch)
    plan = json.loads(ours.trainer(job, "--plan", "--json", run="plan"))
    assert plan["accepted"] and plan["strict"], plan["refused"]
    assert plan["classes"]["new"] == list(LATE) and not plan["classes"]["dropped"], plan["classes"]
    grown = {t["name"] for t in plan["tensors"] if t["action"] == "grow"}
    assert grown == {"fc.weight", "fc.bias"}, grown
    assert plan["tensors_loaded"] == plan["tensors_total"], plan["summary"]
    ours.trainer(job, run="undisturbed")
    known = [m["knowledge"] for m in lines("undisturbed")]
    by_class = {c["name"]: c["before"] for c in known[0]["by_class"]}
    assert by_class == dict(zip(plan["classes"]["kept"], before)), (by_class, before)
    killed_after("killed", 1)                   # in the first phase
    killed_after("killed", HEAD + 2)            # in the second
    ours.trainer(job, run="killed")
    assert learned("killed") == learned("undisturbed"), "the bytes of the two runs differ"
    last = lines("undisturbed")[-1]
    fall = known[0]["before"] - last["knowledge"]["recall"]
    print(f"    recall of the old classes {known[0]['before']:.3f} -> {last['knowledge']['recall']:.3f}, macro F1 of all "
          f"six {last['macro_f1']:.3f}")
    assert fall <= FALL, f"the old classes' mean recall falls by {fall:.3f}"
