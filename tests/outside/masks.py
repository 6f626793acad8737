#!/usr/bin/env python3
"""Other CPUs, as far as this one can be made to look like them: a narrow member of each family, one step.

Instruction sets are masked by DNNL_MAX_CPU_ISA (oneDNN), OPENBLAS_CORETYPE (OpenBLAS) and REKINDLE_SIMD (our own
kernels).  Last bits differ then; gradients agree, and nothing crashes.  The number of threads changes no bit at all.
"""
import array
import glob
import itertools
import json
import os
import random
import re
import struct
import subprocess

from t import BUILD, SANITIZED, Skip, case, eq, has, limit, run

SEED = int(os.environ.get("SEED", "1"))
IMAGE = {"type": "synthetic", "shape": [3, 32, 32], "classes": 10, "samples": 6}
TOKENS = {"type": "synthetic", "tokens": 24, "vocabulary": 50, "classes": 2, "samples": 6}
DIGIT = dict(IMAGE, shape=[1, 28, 28])

# VGG has no narrow member: its parts, as layers.
VGG = [{"type": "conv2d", "out": 16, "kernel": 3, "padding": 1}, "relu", {"type": "max_pool2d", "kernel": 2},
       {"type": "conv2d", "out": 24, "kernel": 3, "padding": 1}, "relu", {"type": "max_pool2d", "kernel": 2},
       "flatten", {"type": "linear", "out": 32}, "relu", {"type": "linear", "out": 10}]

NETS = {
    "mlp": ({"arch": "mlp", "sizes": [784, 64, 10]}, dict(IMAGE, shape=[784])),
    "lenet5": ({"arch": "lenet5"}, DIGIT),
    "vgg": ({"layers": VGG}, IMAGE),
    "resnet20": ({"arch": "resnet20"}, IMAGE),
    "mobilenet_v2": ({"arch": "mobilenet_v2", "classes": 10}, IMAGE),
    "mobilenet_v3": ({"arch": "mobilenet_v3_small", "classes": 10}, IMAGE),
    "pplcnet": ({"arch": "pplcnet_x0_5", "classes": 10}, IMAGE),
    "bert": ({"arch": "bert", "vocabulary": 50, "hidden": 48, "depth": 2, "heads": 4, "intermediate": 96,
              "positions": 32}, TOKENS),
    "textcnn": ({"arch": "textcnn", "vocabulary": 50}, TOKENS),
}
# Where rounding has many a value cross a kink, gradients do not tell: a smooth function instead.
SMOOTH = {"resnet20": ("type: relu,", "type: silu,"), "mobilenet_v2": ("type: relu6,", "type: silu,")}
# Beyond 40 batch norms errors grow tenfold.
WITHIN = {net: 1e-3 if net == "mobilenet_v2" else 1e-4 for net in NETS}
# The machines: of 2008, 2011 and 2013; without our fast loops; without oneDNN and the kernels beside it.
MASKS = {
    "sse4.1": {"DNNL_MAX_CPU_ISA": "SSE41", "REKINDLE_SIMD": "plain"},
    "avx": {"DNNL_MAX_CPU_ISA": "AVX", "REKINDLE_SIMD": "plain"},
    "avx2": {"DNNL_MAX_CPU_ISA": "AVX2", "REKINDLE_SIMD": "avx2"},
    "plain loops": {"REKINDLE_SIMD": "plain"},
    "openblas": {"REKINDLE_GEMM": "openblas"},
    "openblas of 2004": {"REKINDLE_GEMM": "openblas", "OPENBLAS_CORETYPE": "Prescott", "REKINDLE_SIMD": "plain",
                         "DNNL_MAX_CPU_ISA": "SSE41"},
    "openblas of 2013": {"REKINDLE_GEMM": "openblas", "OPENBLAS_CORETYPE": "Haswell"},
}


def smoothed(path, job, kink, smooth):
    """The job with its network written out, and a function of that replaced."""
    text = subprocess.run([f"{BUILD}/rekindle-train", "--summary", "--yaml", path], capture_output=True, text=True,
                          check=True, timeout=limit(60)).stdout
    has(text, kink)
    with open(f"{path}.yaml", "w") as f:
        f.write(text.replace(kink, smooth))
        for key in job.keys() - {"model"}:
            f.write(f"{key}: {json.dumps(job[key])}\n")
    return f"{path}.yaml"


def start(d, net, rundir, threads=2, mask=(), **training):
    model, data = NETS[net]
    job = {"name": net, "resources": {"memory": "1GiB"}, "model": model, "data": {"train": data},
           "training": {"epochs": 1, "batch_size": 6, "optimizer": {"type": "sgd", "learning_rate": 1}, **training}}
    path = f"{d.root}/{rundir}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    if net in SMOOTH:
        path = smoothed(path, job, *SMOOTH[net])
    return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", "--threads", str(threads),
                             path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, **dict(mask)})


def end(d, p, rundir):
    """The folder of the checkpoint behind its only step, at a rate of 1: what has changed is the gradient."""
    out, _ = p.communicate(timeout=limit(120))
    eq(p.returncode, 0, f"exit of {rundir} ({out[-600:]})")
    last, = glob.glob(f"{d.root}/{rundir}/checkpoints/step-*")
    return last


def train(d, net, rundir, **kw):
    return end(d, start(d, net, rundir, **kw), rundir)


def model(folder):
    with open(f"{folder}/model.safetensors", "rb") as f:
        raw = f.read()
    n, = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    out = {}
    for name, t in head.items():
        a, b = t["data_offsets"]
        out[name] = array.array("f", raw[8 + n + a:8 + n + b])
    return out


def arithmetic(folder):
    with open(f"{folder}/checkpoint.json") as f:
        return json.load(f)["arithmetic"]


def distance(a, b):
    """Of two tensors, to the largest number of either; of large ones every seventh number is looked at.  A bias in front
    of a batch norm has the gradient 0, of which rounding leaves less than 1e-5."""
    step = 7 if len(a) > 20000 else 1
    most = max(max(map(abs, a)), max(map(abs, b)), 1e-2)
    return max(map(abs, map(float.__sub__, map(float, a[::step]), map(float, b[::step])))) / most


def compare(net, what, a, b):
    eq(a.keys(), b.keys(), "tensors")
    within = WITHIN[net]
    far = {k: d for k in a if not (d := distance(a[k], b[k])) <= within}
    assert not far, f"{what}: {len(far)} of {len(a)} tensors differ by more than {within}: {dict(list(far.items())[:4])}"


for net in NETS:
    @case(f"the gradients of {net} are the same on CPUs that have less", "stopped")
    def _(d, net=net):
        runs = {"": start(d, net, "whole"), "exact": start(d, net, "exact", arithmetic="exact")}
        want = model(end(d, runs[""], "whole"))
        compare(net, "exact", model(end(d, runs["exact"], "exact")), want)
        for i, (name, mask) in enumerate(MASKS.items()):
            compare(net, name, model(train(d, net, f"mask{i}", mask=mask)), want)


@case("a mask that is set is what a checkpoint says it was computed with", "stopped")
def _(d):
    for name, key, word in (("sse4.1", "conv", " sse41"), ("avx", "conv", " avx"), ("avx", "loops", "plain"),
                            ("openblas of 2004", "gemm_isa", "Prescott"), ("openblas of 2004", "conv", "own")):
        has(arithmetic(train(d, "mlp", f"{name} {key}".replace(" ", "-"), mask=MASKS[name]))[key], word)


@case("1, 3 and 128 threads give the same bytes on each such CPU, exact and fast", "stopped")
def _(d):
    for net, name in (("vgg", None), ("bert", "avx2"), ("resnet20", "plain loops"), ("mobilenet_v3", "openblas")):
        for mode in "exact", "fast":
            kw = {"mask": MASKS.get(name, {}), "arithmetic": mode}
            want = model(train(d, net, f"{net}-{mode}-1", threads=1, **kw))
            for threads in 3, 32 if SANITIZED else 128:
                got = model(train(d, net, f"{net}-{mode}-{threads}", threads=threads, **kw))
                assert got == want, f"{net}, {mode}, {name}: {threads} threads change the bytes"


@case("a library that was told to be for a CPU that this one is not is refused in a sentence", "stopped")
def _(d):
    # AMD has built no CPU that says it has FMA4 since 2015, Intel none; the first Zens have
    # it and do not say so.
    mask = {"REKINDLE_GEMM": "openblas", "OPENBLAS_CORETYPE": "Bulldozer"}
    cpu = open("/proc/cpuinfo").read()
    if "fma4" in cpu or ("AuthenticAMD" in cpu and re.search(r"cpu family\s*: 23\n", cpu)):
        raise Skip("this is such a CPU")
    p = start(d, "mlp", "refused", mask=mask)
    out, _ = p.communicate(timeout=limit(60))
    eq(p.returncode, 3, f"exit ({out})")
    has(out, 'OPENBLAS_CORETYPE is "Bulldozer", and this CPU has not the instructions that OpenBLAS takes for it')
    # Where it does not compute with that library, it may be set to anything.
    train(d, "mlp", "other", mask={"OPENBLAS_CORETYPE": "Bulldozer"})


@case("no mixture of masks and threads crashes, words that the libraries do not know among them", "stopped")
def _(d):
    choices = {"DNNL_MAX_CPU_ISA": [None, "SSE41", "AVX", "AVX2", "AVX512_CORE", "ALL", "none", ""],
               "REKINDLE_GEMM": [None, "own", "openblas", "onednn", ""],
               "OPENBLAS_CORETYPE": [None, "Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen", "nothing"],
               "REKINDLE_SIMD": [None, "plain", "avx2", "avx512", ""],
               "OMP_NUM_THREADS": [None, "7"], "OPENBLAS_NUM_THREADS": [None, "5"]}
    rng = random.Random(SEED)
    for k, net in enumerate(itertools.islice(itertools.cycle(NETS), 18)):
        mask = {key: v for key, words in choices.items() if (v := rng.choice(words)) is not None}
        threads, mode = rng.choice((1, 2, 3, 5, 8)), rng.choice(("exact", "fast"))
        print(f"    {net}: {mask}, {threads} threads, {mode}")
        train(d, net, f"mix{k}", threads=threads, mask=mask, arithmetic=mode)


run()
