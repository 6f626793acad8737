#!/usr/bin/env python3
"""make check-numerics: what a step of ours computes, against PyTorch in double precision.

    compare.py [part of a case's name]... [--list] [--keep FOLDER] [--threads N]

For each case: rekindle says its graph as a flat list of layers; weights and batches
are drawn and written as safetensors; build/unit/train_drive computes one training
step in float32 and one inference, PyTorch the same in double and in float.  The
error of a tensor is |g - g64| / max(|g64|, 1e-3 |all of g64|), norms over elements,
for the logits of training and inference, the loss, every gradient, and every
running statistic.

    smooth   no kinks (torch_graph.no_kinks): every error at most 3e-5, or 1e-4
             beyond 40 batch norms.  What is left is rounding: a step of float is
             6e-8, a sum of N terms errs by about sqrt(N) of that, and each batch
             norm behind it widens what it gets.  Where that is more than float can
             do (ResNet-101 has 104 of them): at most twice float PyTorch's.
    fast     the same with training.arithmetic fast: at most 1e-4, or 1e-3 beyond 40
             batch norms.  The two before are exact.
    as is    with kinks: the median error at most twice float PyTorch's, the worst
             at most four times its worst, on the same batches.  A kink between two
             roundings makes gradients differ by 1e-3 and more, in theirs as in ours,
             on one batch in some: so there are six of them, and where the graph has
             kinks more until float PyTorch has met KINKS of them and both bounds
             hold, eighty at most (over few batches the median itself tells who met
             more kinks, not who rounds more; over eighty of a deep ResNet it does not): one unit of vgg's 4,096 that one
             of both finds on the other side of 0 makes 2e-2, and a small graph's kinks
             are met by neither in most batches.  In two of eighty batches ours may have
             met such a one alone; who errs more on each batch is not let off by that.

Prints `ok`, `FAILED`, `skipped` lines (tests/run.sh).  Runs under Debian's
/usr/bin/python3 with python3-torch, or under each of the interpreters that
BENCH_PYTHON names, separated by spaces; each must have PyTorch.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(HERE, "../../build")))
DRIVE = f"{BUILD}/unit/train_drive"
sys.path.insert(0, HERE)

KINKS = 3               # batches with an error above 1e-3
MOST = 80               # batches
ALONE = 2               # batches of those in which a kink is met by ours alone
ROUNDING = 2.0 ** -24   # of a float

# --- cases --------------------------------------------------------------------
# name: model, shape of a sample (or tokens: vocabulary), classes, rows, batches


def image(model, size, rows=8, channels=3, **more):
    return dict(dict(model=model, shape=[channels, size, size], classes=10, rows=rows, batches=6), **more)


def text(model, length, tokens, rows=6, **more):
    return dict(dict(model=model, shape=[length], tokens=tokens, classes=5, rows=rows, batches=6), **more)


def small_chain():
    return {"layers": [
        {"type": "conv2d", "name": "c1", "out": 8, "kernel": 3, "padding": 1}, {"type": "batch_norm", "name": "b1"},
        {"type": "relu", "name": "r1"}, {"type": "max_pool2d", "name": "p1", "kernel": 2},
        {"type": "conv2d", "name": "c2", "out": 12, "kernel": [3, 5], "stride": [1, 2], "padding": [0, 2]},
        {"type": "gelu", "name": "g"}, {"type": "avg_pool2d", "name": "p2", "kernel": 3, "stride": 2, "padding": 1},
        {"type": "flatten", "name": "flat"}, {"type": "linear", "name": "l1", "out": 32},
        {"type": "tanh", "name": "t"}, {"type": "linear", "name": "l2", "out": 10}]}


CASES = {
    "chain": image(small_chain(), 16),
    "mlp": image({"arch": "mlp", "sizes": [784, 128, 64, 10]}, 28, channels=1, rows=32),
    "lenet5": image({"arch": "lenet5"}, 28, channels=1, rows=32),
}


def branched():
    """A graph of one's own: branches, squeeze and excitation, both kinds of concatenation."""
    return {"layers": [
        {"type": "conv2d", "name": "stem", "out": 16, "kernel": 3, "padding": 1, "bias": False},
        {"type": "batch_norm", "name": "bn"}, {"type": "hard_swish", "name": "act"},
        {"type": "conv2d", "name": "a1", "inputs": ["act"], "out": 12, "kernel": 1},
        {"type": "leaky_relu", "name": "a2", "slope": 0.1},
        {"type": "conv2d", "name": "b1", "inputs": ["act"], "out": 16, "kernel": 5, "padding": 2, "groups": 16},
        {"type": "relu6", "name": "b2"}, {"type": "conv2d", "name": "b3", "out": 12, "kernel": 3, "padding": 2,
                                          "dilation": 2, "groups": 4},
        {"type": "add", "name": "sum", "inputs": ["a2", "b3"]},
        {"type": "global_avg_pool2d", "name": "s1"}, {"type": "conv2d", "name": "s2", "out": 4, "kernel": 1},
        {"type": "relu", "name": "s3"}, {"type": "conv2d", "name": "s4", "out": 12, "kernel": 1},
        {"type": "hard_sigmoid", "name": "s5"}, {"type": "multiply", "name": "se", "inputs": ["sum", "s5"]},
        {"type": "max_pool2d", "name": "p", "inputs": ["act"], "kernel": 3, "stride": 1, "padding": 1},
        {"type": "concat", "name": "cat", "inputs": ["se", "p", "a1"]},
        {"type": "adaptive_avg_pool2d", "name": "pool", "size": [3, 2]},
        {"type": "flatten", "name": "flat"}, {"type": "layer_norm", "name": "ln"},
        {"type": "linear", "name": "fc", "out": 10}]}


def sequence():
    """Tokens, the embedding's table used again for the logits."""
    return {"layers": [
        {"type": "embedding", "name": "words", "rows": 40, "width": 24, "padding_index": 0},
        {"type": "embedding", "name": "places", "inputs": ["input"], "rows": 16, "width": 24, "index": "position"},
        {"type": "add", "name": "x", "inputs": ["words", "places"]},
        {"type": "token_mask", "name": "mask", "inputs": ["input"]},
        {"type": "linear", "name": "q", "inputs": ["x"], "out": 24},
        {"type": "linear", "name": "k", "inputs": ["x"], "out": 24},
        {"type": "linear", "name": "v", "inputs": ["x"], "out": 24},
        {"type": "attention", "name": "attend", "inputs": ["q", "k", "v", "mask"], "heads": 4},
        {"type": "add", "name": "more", "inputs": ["x", "attend"]}, {"type": "layer_norm", "name": "ln"},
        {"type": "gelu", "name": "g"}, {"type": "slice", "name": "first", "end": 1},
        {"type": "flatten", "name": "flat"}, {"type": "linear", "name": "vocab", "out": 40, "tied": "words"}]}


CASES["branched"] = image(branched(), 16, rows=16)
CASES["sequence"] = text(sequence(), 12, 40, classes=40)
for depth in 20, 32, 44, 56:
    CASES[f"resnet{depth}"] = image({"arch": f"resnet{depth}"}, 32)
for name in "resnet18", "resnet34", "resnet50", "resnet101":
    CASES[name] = image({"arch": name, "classes": 10}, 64, rows=16, batches=3)
CASES["resnet18_cifar"] = image({"arch": "resnet18", "classes": 10, "stem": "cifar"}, 32)
for name in "resnet18", "resnet50":
    CASES[f"{name}_paddleclas"] = image({"arch": name, "classes": 10, "variant": "paddleclas"}, 64, rows=16)
for name in "resnet18_vd", "resnet34_vd", "resnet50_vd", "pplcnet_x0_5", "pplcnet_x1_0":
    CASES[name] = image({"arch": name, "classes": 10}, 64, rows=16)
for name in "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large":
    for variant in "torchvision", "paddleclas":
        CASES[f"{name}_{variant}"] = image({"arch": name, "classes": 10, "variant": variant}, 64, rows=16)
for name in "vgg11", "vgg16":
    for norm in False, True:
        CASES[name + "_bn" * norm] = image({"arch": name, "classes": 10, "batch_norm": norm}, 64, batches=2)
CASES["bert_small"] = text({"arch": "bert", "vocabulary": 100, "hidden": 48, "depth": 2, "heads": 3,
                            "intermediate": 96, "positions": 32, "classes": 5}, 24, 100)
CASES["bert_no_types"] = text({"arch": "bert", "vocabulary": 100, "hidden": 32, "depth": 2, "heads": 2,
                               "intermediate": 64, "positions": 32, "token_types": 0, "pooler": False, "classes": 5},
                              16, 100)
for name, words in ("ernie-3.0-nano-zh", 40000), ("bert-base-uncased", 30522):
    CASES[name] = text({"arch": name, "classes": 5}, 32, words, rows=4, batches=2)
CASES["textcnn"] = text({"arch": "textcnn", "vocabulary": 500, "classes": 5}, 30, 500, rows=12)

# --- interpreters ---------------------------------------------------------------


def interpreters():
    return os.environ.get("BENCH_PYTHON", "/usr/bin/python3").split()


def hand_over():
    """Run under each interpreter that is asked for; the exit status."""
    worst = 0
    for python in interpreters():
        env = dict(os.environ, RK_NUMERICS="1")
        if subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode:
            said = "BENCH_PYTHON" in os.environ
            print(f"{'FAILED' if said else 'skipped'} numerics: {python} has no PyTorch: apt-get install "
                  "python3-torch, or name interpreters in BENCH_PYTHON")
            worst |= said
            continue
        worst |= subprocess.run([python, __file__, *sys.argv[1:]], env=env).returncode != 0
    return worst


# --- our side -------------------------------------------------------------------

def drive(*args):
    p = subprocess.run([DRIVE, *map(str, args)], capture_output=True, text=True)
    if p.returncode:
        raise AssertionError(f"train_drive {args[0]}: {p.stderr.strip() or p.returncode}")
    return p.stdout


def job(case, model, arithmetic="exact"):
    """A job file's text; its data are never read."""
    return json.dumps({
        "name": "numerics", "model": model, "resources": {"memory": "16GiB"},
        "training": {"steps": 1, "batch_size": case["rows"], "loss": case.get("loss", "cross_entropy"),
                     "arithmetic": arithmetic},
        "data": {"train": {"type": "idx", "images": "/none", "labels": "/none"}}})


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def graph_of(case, folder):
    """The layers of the case's model, as rekindle expands it."""
    path = write(f"{folder}/job.json", job(case, case["model"]))
    shape = ",".join(map(str, case["shape"])) + (":i32" if "tokens" in case else "")
    return json.loads(drive("--graph", path, shape))["layers"]


# --- weights and batches --------------------------------------------------------

def draw_batch(case, number):
    import torch
    g = torch.Generator().manual_seed(1000 + number)
    shape = [case["rows"], *case["shape"]]
    if "tokens" in case:
        # Token 0 is padding: rows end in some of it, and one row in much.
        x = torch.randint(1, case["tokens"], shape, generator=g, dtype=torch.int32)
        for i in range(shape[0]):
            x[i, shape[1] - i * shape[1] // (2 * shape[0]):] = 0
    else:
        x = torch.randn(shape, generator=g)
    loss = case.get("loss", "cross_entropy")
    if (loss if isinstance(loss, str) else loss["type"]) == "cross_entropy":
        t = torch.randint(0, case["classes"], shape[:1], generator=g, dtype=torch.int32)
    else:
        t = torch.rand([shape[0], case["classes"]], generator=g)
    return {"input": x, "target": t}


def draw_weights(layers, batch, seed):
    """Weights for a graph; running statistics near to what the batch has, as after training."""
    import torch
    import torch_graph
    w = torch_graph.Weights(seed=seed)
    with torch.no_grad():
        torch_graph.Run(layers, w, True, torch.float32)(batch["input"])
        eager = [dict(x, momentum=0.0 if x.get("convention") == "paddle" else 1.0) if x["type"] == "batch_norm" else x
                 for x in layers]
        run = torch_graph.Run(eager, w, True, torch.float32)
        run(batch["input"])
        g = torch.Generator().manual_seed(seed)
        for name, v in run.after.items():
            z = torch.rand(v.shape, generator=g)
            w.values[name] = v * (0.8 + 0.4 * z) if name.rpartition(".")[2] in ("running_var", "_variance") \
                else v + 0.2 * (z - 0.5)
    return torch_graph.Weights(w.values)


# --- the comparison -------------------------------------------------------------

def errors(got, want):
    """{name: error} of the tensors of a step; norms in double."""
    def groups(name):
        return name.split(".")[0] if name.startswith(("grad.", "buffer.")) else name
    total = {}
    for k, v in want.items():
        total[groups(k)] = total.get(groups(k), 0) + v.double().norm().item() ** 2
    out = {}
    for k, v in want.items():
        if k not in got:
            raise AssertionError(f"ours has no {k}")
        if list(got[k].shape) != list(v.shape):
            raise AssertionError(f"{k} is {list(got[k].shape)}, want {list(v.shape)}")
        d = (got[k].double() - v.double()).norm().item()
        scale = max(v.double().norm().item(), 1e-3 * total[groups(k)] ** 0.5)
        out[k] = d / scale if scale > 0 else d
        if out[k] != out[k]:
            out[k] = float("inf")
    for k in got:
        if k not in want:
            raise AssertionError(f"only ours has {k}")
    return out


def beyond(ours, theirs):
    """How many batches have an error of more than four times PyTorch's worst."""
    # Float PyTorch may be exact by luck in a tiny graph; a rounding is allowed.
    most = 4 * max(max(theirs)[0], ROUNDING)
    return len({where.rpartition(" ")[2] for e, where in ours if e > most})


def near_enough(ours, theirs):
    """Whether the median error is at most twice PyTorch's."""
    return median(ours) <= 2 * max(median(theirs), ROUNDING)


def median(errors):
    return sorted(errors)[len(errors) // 2][0]


def compute(case, layers, folder, batches, threads, floats, arithmetic="exact"):
    """The errors of ours, and of float PyTorch if asked, over all batches: two lists of (error, name)."""
    import torch
    import tensors
    import torch_graph
    path = write(f"{folder}/layers.json", job(case, {"layers": layers}, arithmetic))
    loss, ours, theirs, w = case.get("loss"), [], [], None
    met, n = 0, -1
    kinked = floats and torch_graph.no_kinks(layers) != layers
    while (n := n + 1) < batches or kinked and n < MOST and not (
            met >= KINKS and near_enough(ours, theirs) and not beyond(ours, theirs)):
        batch = draw_batch(case, n)
        if w is None:
            w = draw_weights(layers, batch, 1)
            tensors.save(f"{folder}/weights", w.values)
        tensors.save(f"{folder}/batch", batch)
        drive("--step", path, f"{folder}/weights", f"{folder}/batch", f"{folder}/out", threads)
        exact = torch_graph.step(layers, loss, w, batch, torch.float64)
        got, _ = tensors.load(f"{folder}/out")
        ours += [(e, f"{k} of batch {n}") for k, e in errors(got, exact).items()]
        if floats:
            near = torch_graph.step(layers, loss, w, batch, torch.float32)
            of_batch = errors(near, exact)
            theirs += [(e, f"{k} of batch {n}") for k, e in of_batch.items()]
            met += max(of_batch.values()) > 1e-3
    return sorted(ours), sorted(theirs)


def smooth(case, layers, folder, threads, arithmetic="exact"):
    import torch_graph
    layers = torch_graph.no_kinks(layers)
    norms = sum(x["type"] == "batch_norm" for x in layers)
    bound = {"exact": (3e-5, 1e-4), "fast": (1e-4, 1e-3)}[arithmetic][norms > 40]
    ours, _ = compute(case, layers, folder, 2, threads, False, arithmetic)
    said = f"{len(ours)} tensors, worst {ours[-1][0]:.1e} ({ours[-1][1]}), at most {bound:.0e}"
    if ours[-1][0] <= bound or arithmetic == "fast":
        return ours[-1][0] <= bound, said
    _, theirs = compute(case, layers, folder, 2, threads, True)
    return ours[-1][0] <= 2 * theirs[-1][0], said + f" or twice PyTorch's {theirs[-1][0]:.1e}"


def fast(case, layers, folder, threads):
    return smooth(case, layers, folder, threads, "fast")


def as_is(case, layers, folder, threads):
    ours, theirs = compute(case, layers, folder, case["batches"], threads, True)
    alone = ALONE if len({where.rpartition(" ")[2] for _, where in theirs}) == MOST else 0
    ok = near_enough(ours, theirs) and beyond(ours, theirs) <= alone
    return ok, (f"median {median(ours):.1e}, PyTorch's {median(theirs):.1e}; "
                f"worst {ours[-1][0]:.1e} ({ours[-1][1]}), PyTorch's {theirs[-1][0]:.1e}")


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("part", nargs="*")
    a.add_argument("--list", action="store_true")
    a.add_argument("--keep")
    a.add_argument("--threads", type=int, default=2)
    o = a.parse_args()
    chosen = [n for n in CASES if not o.part or any(p in n for p in o.part)]
    if o.list:
        print("\n".join(chosen))
        return 0
    if "RK_NUMERICS" not in os.environ:
        return hand_over()
    import torch
    import torch_graph
    torch.set_num_threads(o.threads)
    print(f"# PyTorch {torch.__version__} of {sys.executable}", flush=True)
    bad = 0
    for name in chosen:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            folder = o.keep or folder
            for kind, fn in ("smooth", smooth), ("fast", fast), ("as_is", as_is):
                try:
                    layers = torch_graph.no_dropout(graph_of(case, folder))
                    ok, text = fn(case, layers, folder, o.threads)
                except Exception as e:
                    if not isinstance(e, AssertionError):
                        traceback.print_exc()
                    ok, text = False, str(e)
                bad += not ok
                print(f"{'ok' if ok else 'FAILED'} {name}_{kind}: {text}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
