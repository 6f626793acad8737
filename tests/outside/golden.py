#!/usr/bin/env python3
"""rekindle-train --evaluate gives the numbers that others give with the same weights: logits of an arithmetic
written out here, and those of ResNet-20 on CIFAR-10 as PyTorch has them."""
import gzip
import json
import math
import os
import random
import struct
import subprocess

from leftovers import npy
from t import BUILD, SHARED, Skip, case, eq, run

IMAGENET = {"type": "scale", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def evaluate(d, model, job, *more):
    """What it says, and the logits, a list a sample."""
    path, out = f"{d.root}/job.json", f"{d.root}/out.npy"
    with open(path, "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--evaluate", model, path, "--logits", out, *more],
                       capture_output=True, text=True)
    eq(p.returncode, 0, f"exit code ({p.stderr[-600:]})")
    return json.loads(p.stdout), npy(out)


def farthest(a, b):
    eq((len(a), len(a[0])), (len(b), len(b[0])), "shape of the logits")
    return max(abs(x - y) for r, s in zip(a, b) for x, y in zip(r, s))


def classifier(model, path):
    return {"name": "scored", "resources": {"memory": "1GiB"}, "model": model,
            "training": {"epochs": 1, "batch_size": 64},
            "data": {"train": {"type": "cifar", "path": path}, "normalize": IMAGENET}}


def safetensors(path, tensors):
    head, at, data = {}, 0, b""
    for name, (shape, v) in tensors.items():
        eq(len(v), math.prod(shape), name)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(v)]}
        data += struct.pack(f"<{len(v)}f", *v)
        at += 4 * len(v)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    return path


def by_hand(pixels, t):
    """conv 3 -> 4, 3x3, stride 4; batch norm; relu; mean of each channel; linear, in double precision."""
    x = [[[(pixels[1024 * c + 32 * i + j] / 255 - IMAGENET["mean"][c]) / IMAGENET["std"][c] for j in range(32)]
          for i in range(32)] for c in range(3)]
    w, pooled = t["conv.weight"][1], []
    for o in range(4):
        total = 0
        for i in range(0, 32, 4):
            for j in range(0, 32, 4):
                y = t["conv.bias"][1][o]
                for c in range(3):
                    for k in range(9):
                        at = i + k // 3 - 1, j + k % 3 - 1
                        if 0 <= at[0] < 32 and 0 <= at[1] < 32:
                            y += w[27 * o + 9 * c + k] * x[c][at[0]][at[1]]
                y = (y - t["bn.running_mean"][1][o]) / math.sqrt(t["bn.running_var"][1][o] + 1e-5)
                total += max(0, y * t["bn.weight"][1][o] + t["bn.bias"][1][o])
        pooled.append(total / 64)
    return [t["head.bias"][1][k] + sum(t["head.weight"][1][4 * k + o] * pooled[o] for o in range(4))
            for k in range(10)]


@case("logits are those of the arithmetic written out, with normalisation by channel", "stopped")
def _(d):
    r = random.Random(3)
    labels, images = [r.randrange(10) for _ in range(7)], [r.randbytes(3072) for _ in range(7)]
    path = f"{d.root}/seven.bin.gz"
    with gzip.open(path, "wb") as f:
        f.write(b"".join(bytes([k]) + x for k, x in zip(labels, images)))

    def some(*shape, at=0.0):
        # Exact as 32-bit floats, so that both sides have the same weights.
        return list(shape), [at + r.randrange(-512, 512) / 1024 for _ in range(math.prod(shape))]
    t = {"conv.weight": some(4, 3, 3, 3), "conv.bias": some(4), "bn.weight": some(4, at=1.0), "bn.bias": some(4),
         "bn.running_mean": some(4), "bn.running_var": some(4, at=1.5), "head.weight": some(10, 4),
         "head.bias": some(10)}
    model = {"input": [3, 32, 32], "layers": [
        {"type": "conv2d", "name": "conv", "out": 4, "kernel": 3, "stride": 4, "padding": 1},
        {"type": "batch_norm", "name": "bn"}, "relu", "global_avg_pool2d", "flatten",
        {"type": "linear", "name": "head", "out": 10}]}
    file = safetensors(f"{d.root}/w.safetensors", t)
    said, got = evaluate(d, file, classifier(model, path), "--threads", "1")
    want = [by_hand(x, t) for x in images]
    # Sums of 27 and 64 terms of size 1: a few 1e-6.
    assert farthest(got, want) < 2e-5, f"logits are {farthest(got, want)} off: {got[0]}, want {want[0]}"
    right = sum(max(range(10), key=row.__getitem__) == k for row, k in zip(want, labels))
    loss = sum(math.log(sum(map(math.exp, row))) - row[k] for row, k in zip(want, labels)) / 7
    eq(round(said["accuracy"] * 7), right, "right ones")
    assert abs(said["loss"] - loss) < 1e-4, f"loss is {said['loss']}, want {loss}"
    eq(evaluate(d, file, classifier(model, path), "--threads", "2"), (said, got), "on two threads")


@case("resnet20 of the samples gives the golden logits", "stopped")
def _(d):
    data = f"{SHARED}/data"
    model, golden = f"{data}/weights/resnet20.safetensors", f"{data}/samples/golden/resnet20_logits_test_1000.npy"
    if not os.path.exists(model) or not os.path.exists(golden):
        raise Skip(f"no {model}, or no golden of it")
    said, got = evaluate(d, model, classifier({"arch": "resnet20"}, f"{data}/cifar10/test_1000.bin.gz"))
    off = farthest(got, npy(golden))
    assert off < 1e-4, f"logits are {off} off"
    eq((said["samples"], said["accuracy"]), (1000, 0.804), "samples and accuracy")
    print(f"resnet20: logits within {off:.1e} of PyTorch's, accuracy {said['accuracy']}")


run()
