"""Jobs whose checkpoints are in shards, and what lies in those.  Not a test."""
import glob
import hashlib
import json
import os

INDEX = "model.safetensors.index.json"


def job(name="frozen", epochs=4, frozen=("fc1.*",), **more):
    """A second layer and a head that are trained, over a first that is not."""
    j = {"name": name, "resources": {"threads": 1, "memory": "256MiB"},
         "model": {"arch": "mlp", "sizes": [784, 128, 16, 10]},
         "training": {"epochs": epochs, "batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003}},
         "data": {"train": {"type": "synthetic", "shape": [784], "classes": 10, "samples": 320},
                  "validation_split": 0.1},
         "checkpoint": {"every": {"steps": 10}, "keep": {"last": 4}}}
    if frozen:
        j["training"]["parameters"] = [{"match": f, "trainable": False} for f in frozen]
    j.update(more)
    return j


def steps(folder):
    return sorted(glob.glob(f"{glob.escape(folder)}/checkpoints/step-*"))


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def bytes_of(step):
    """{file: SHA-256} of all that a checkpoint has but checkpoint.json."""
    return {os.path.basename(p): digest(p) for p in glob.glob(f"{step}/*") if not p.endswith("checkpoint.json")}


def shard(step):
    (path,) = glob.glob(f"{glob.escape(step)}/frozen-*.safetensors")
    return path


def record(step):
    with open(f"{step}/checkpoint.json") as f:
        return json.load(f)


def tensors(path):
    """[{name, bytes}] of a safetensors file."""
    with open(path, "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return [{"name": k, "bytes": data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]}
            for k, v in head.items()]
