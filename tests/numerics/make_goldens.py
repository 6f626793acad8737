#!/usr/bin/env python3
"""Write tests/unit/golden/OP.safetensors: what PyTorch in double precision computes.

    make_goldens.py [part of an op's name]...

A file for each op and each loss of a job, with a few cases.  A case is a small
network whose layer `op` is the op tested; a layer `pre` in front turns what the op
sends back into gradients of parameters, so that a training step shows all: output,
gradient towards the input, gradients of parameters, running statistics.  Tensors of
case N: `N.input`, `N.target`, `N.weight.NAME`, and the results `N.logits`, `N.loss`,
`N.infer`, `N.grad.NAME`, `N.buffer.NAME`, all float32 or int32; the metadata have
`cases` and `N.model`, `N.loss` (JSON, as in a job) and `N.what`.
tests/unit/train_golden.c computes them again.

Draws are taken anew until float PyTorch agrees with double within 2e-6, so that no
value lies at a kink.
"""
import json
import os
import sys

import torch

import tensors
import torch_graph

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "../unit/golden")
ROWS = 3
MSE = {"type": "mse"}
CASES = {}


def case(op, what, shape, *layers, loss=None, rows=ROWS, tokens=None, classes=None, target=None, nd=2):
    """nd: dimensions of the op's output, batch included; more than 2 are flattened for the loss."""
    layers = list(layers)
    if nd > 2:
        layers.append({"type": "flatten", "name": "flat"})
    # With named inputs a list is a graph of today, in which linear flattens nothing by itself.
    layers[0].setdefault("inputs", ["input"])
    CASES.setdefault(op, []).append(dict(what=what, shape=shape, layers=layers, loss=loss or MSE, rows=rows,
                                         tokens=tokens, classes=classes, target=target))


def pre(shape):
    """A layer with parameters that leaves the shape as it is."""
    if len(shape) == 3:
        return {"type": "conv2d", "name": "pre", "out": shape[0], "kernel": 1}
    return {"type": "linear", "name": "pre", "out": shape[-1]}


def one(op, what, shape, /, nd=None, rows=ROWS, behind=(), **fields):
    """The op alone behind pre."""
    layer = dict({"type": op, "name": "op"}, **fields)
    case(op, what, shape, pre(shape), layer, *behind, rows=rows, nd=nd or len(shape) + 1)


# linear, convolution
one("linear", "of vectors", [5], out=4)
one("linear", "without bias", [5], out=4, bias=False)
one("linear", "of sequences", [3, 5], out=4)
case("linear", "tied to an embedding", [4], {"type": "embedding", "name": "emb", "rows": 6, "width": 3},
     {"type": "linear", "name": "op", "out": 6, "tied": "emb"}, tokens=6, nd=3)
one("conv2d", "3x3, padding 1", [3, 5, 6], out=4, kernel=3, padding=1)
one("conv2d", "stride 2, no bias", [3, 7, 6], out=4, kernel=3, stride=2, padding=1, bias=False)
one("conv2d", "all of two numbers", [2, 8, 9], out=3, kernel=[2, 3], stride=[2, 1], padding=[1, 0], dilation=[1, 2])
one("conv2d", "dilation 2", [2, 7, 7], out=3, kernel=3, padding=2, dilation=2)
one("conv2d", "two groups", [4, 5, 5], out=6, kernel=3, padding=1, groups=2)
one("conv2d", "depthwise, stride 2", [9, 7, 7], out=9, kernel=5, stride=2, padding=2, groups=9)
one("conv2d", "depthwise, two for each", [4, 5, 5], out=8, kernel=3, padding=1, groups=4)
one("conv2d", "1x1, stride 2", [5, 5, 5], out=8, kernel=1, stride=2)
one("conv2d", "7x7 over more than it sees", [3, 9, 9], out=4, kernel=7, stride=2, padding=3)

# normalisation
for words in {}, {"convention": "paddle", "momentum": 0.9}:
    what = words.get("convention", "torch")
    one("batch_norm", f"of images, {what}", [4, 3, 3], **words)
    one("batch_norm", f"of vectors, {what}", [4], rows=6, eps=1e-3, **words)
one("layer_norm", "of sequences", [3, 6])
one("layer_norm", "of vectors, eps 1e-12", [7], eps=1e-12)
one("layer_norm", "over two dimensions", [2, 3, 4], dims=2)

# pools
for op in "max_pool2d", "avg_pool2d":
    one(op, "2x2", [3, 6, 6], kernel=2)
    one(op, "3x3, stride 2, padding 1", [3, 7, 8], kernel=3, stride=2, padding=1)
    one(op, "ceil_mode", [2, 6, 8], kernel=3, stride=2, ceil_mode=True)
    one(op, "all of two numbers", [2, 7, 8], kernel=[2, 3], stride=[1, 2], padding=[1, 0])
one("avg_pool2d", "padding does not count", [2, 7, 7], kernel=3, stride=2, padding=1, count_include_pad=False)
one("avg_pool2d", "ceil_mode and padding", [2, 6, 6], kernel=3, stride=2, padding=1, ceil_mode=True)
one("avg_pool2d", "ceil_mode, padding does not count", [2, 6, 6], kernel=3, stride=2, padding=1, ceil_mode=True,
    count_include_pad=False)
one("avg_pool2d", "the last window begins in the padding", [2, 5, 5], kernel=2, stride=2, ceil_mode=True,
    count_include_pad=False)
one("adaptive_avg_pool2d", "to a divisor", [2, 6, 8], size=[3, 4])
one("adaptive_avg_pool2d", "to what overlaps", [2, 7, 5], size=[3, 2])
one("adaptive_avg_pool2d", "to more than there is", [2, 3, 4], size=7)
one("global_avg_pool2d", "of images", [4, 5, 3])
one("global_max_pool2d", "of images", [4, 5, 3])

# maps
for op in "relu", "relu6", "silu", "sigmoid", "tanh", "hard_swish", "identity":
    one(op, "of vectors", [16])
    one(op, "of images", [2, 3, 5])
for fields in {}, {"approximate": "tanh"}:
    one("gelu", f"{fields.get('approximate', 'erf')}", [16], **fields)
for slope in 0.01, 0.2:
    one("leaky_relu", f"slope {slope}", [16], slope=slope)
for alpha in 1.0, 0.4:
    one("elu", f"alpha {alpha}", [16], alpha=alpha)
one("hard_sigmoid", "slope 1/6", [16])
one("hard_sigmoid", "slope 0.2", [16], slope=0.2, offset=0.5)
one("softmax", "of vectors", [7])
one("softmax", "of sequences", [3, 6])
for scaling in "upscale_in_train", "downscale_in_infer":
    one("dropout", f"p 0, {scaling}", [6], p=0.0, scaling=scaling)

# shapes
one("flatten", "of images", [2, 3, 4], nd=2)
one("flatten", "from dimension 1 on", [2, 3, 4], nd=3, start=1, behind=[{"type": "linear", "name": "l", "out": 3}])
one("reshape", "with -1", [2, 3, 4], nd=3, shape=[4, -1], behind=[{"type": "linear", "name": "l", "out": 3}])
one("transpose", "of images", [2, 3, 4], order=[2, 0, 1], behind=[{"type": "linear", "name": "l", "out": 3}])
one("transpose", "of sequences", [3, 4], order=[1, 0], behind=[{"type": "linear", "name": "l", "out": 2}])
one("slice", "of channels", [5, 3, 3], dim=0, start=1, end=4)
one("slice", "from the end", [4, 6], dim=1, start=-3)
one("slice", "to before the end", [4, 6], dim=1, start=1, end=-2)
one("slice", "the first of a sequence", [4, 6], dim=0, start=0, end=1)
one("pad", "channels with zeros", [2, 3, 3], dim=0, before=1, after=2)
one("pad", "rows with a value", [2, 3, 3], dim=1, before=2, value=1.5)
one("shortcut_a", "to twice the channels", [4, 6, 6], out=8, stride=2)
one("shortcut_a", "of an odd size", [3, 5, 7], out=6, stride=2)

# several inputs
def branches(op, what, shape, second, **fields):
    case(op, what, shape, pre(shape), dict(second, name="second", inputs=["pre"]),
         dict({"type": op, "name": "op", "inputs": ["pre", "second"]}, **fields), nd=len(shape) + 1)


branches("concat", "of channels", [3, 4, 4], {"type": "conv2d", "out": 2, "kernel": 3, "padding": 1}, dim=0)
branches("concat", "of rows", [3, 4, 4], {"type": "max_pool2d", "kernel": [2, 1]}, dim=1)
branches("concat", "of vectors", [5], {"type": "linear", "out": 3}, dim=0)
branches("add", "of images", [3, 4, 4], {"type": "conv2d", "out": 3, "kernel": 3, "padding": 1})
branches("add", "of a value for each channel", [3, 4, 4], {"type": "global_avg_pool2d"})
case("add", "of three, one of them twice", [6], pre([6]), {"type": "tanh", "name": "t"},
     {"type": "add", "name": "op", "inputs": ["pre", "t", "t"]})
branches("multiply", "of images", [3, 4, 4], {"type": "conv2d", "out": 3, "kernel": 3, "padding": 1})
branches("multiply", "squeeze and excitation", [3, 4, 4], {"type": "global_avg_pool2d"})
case("multiply", "a square", [6], pre([6]), {"type": "multiply", "name": "op", "inputs": ["pre", "pre"]})

# tokens
def table(**more):
    return dict({"type": "embedding", "name": "op", "rows": 9, "width": 4}, **more)


case("embedding", "rows by token", [5], table(), tokens=9, nd=3)
case("embedding", "a padding index", [5], table(padding_index=0), tokens=9, nd=3)
case("embedding", "rows by position", [5], table(index="position"), tokens=9, nd=3)
case("embedding", "row 0", [5], table(index="zero"), tokens=9, nd=3)
case("embedding", "rows by segment", [5], table(index="segment", separator=3, rows=2), tokens=9, nd=3)


def attend(what, length, width, heads, mask, rows=ROWS):
    qkv = [{"type": "linear", "name": x, "inputs": ["emb"], "out": width} for x in "qkv"]
    layers = [{"type": "embedding", "name": "emb", "inputs": ["input"], "rows": 9, "width": width}, *qkv]
    if mask:
        layers.append({"type": "token_mask", "name": "mask", "inputs": ["input"]})
    case("attention", what, [length], *layers, {"type": "attention", "name": "op", "heads": heads, "p": 0.0,
                                                "inputs": ["q", "k", "v"] + ["mask"] * mask}, tokens=9, nd=3, rows=rows)


attend("one head", 4, 6, 1, False)
attend("three heads", 5, 6, 3, False)
attend("a key mask, one row all masked", 5, 8, 2, True, rows=4)
case("token_mask", "of what is padding", [5], {"type": "token_mask", "name": "op"},
     {"type": "linear", "name": "l", "out": 3}, tokens=4)

# losses
def losses(what, classes=4, rows=5, target="classes", **spec):
    case(f"loss_{spec['type']}", what, [classes], {"type": "linear", "name": "pre", "out": classes},
         loss=spec, rows=rows, classes=classes, target=target)


losses("plain", type="cross_entropy")
losses("label smoothing", type="cross_entropy", label_smoothing=0.1)
losses("class weights", type="cross_entropy", class_weights=[0.5, 1.0, 2.0, 0.25])
losses("class weights and label smoothing", type="cross_entropy", class_weights=[0.5, 1.0, 2.0, 0.25],
       label_smoothing=0.2)
losses("an ignored index", type="cross_entropy", ignore_index=2)
losses("soft labels", type="cross_entropy", target="soft")
losses("soft labels and label smoothing", type="cross_entropy", target="soft", label_smoothing=0.1)
losses("of logits", type="binary_cross_entropy", target="share")
losses("plain", type="mse", target="any")
losses("plain", type="l1", target="any")
losses("beta 1", type="smooth_l1", target="any")
losses("beta 0.5", type="smooth_l1", target="any", beta=0.5)


# --- computing and writing ------------------------------------------------------

def batch_of(c, width, seed):
    g = torch.Generator().manual_seed(seed)
    shape = [c["rows"], *c["shape"]]
    if c["tokens"]:
        x = torch.randint(0, c["tokens"], shape, generator=g, dtype=torch.int32)
        x[0, -2:] = 0
        x[-1] = 0                       # nothing but padding
    else:
        x = torch.randn(shape, generator=g) * 2
    t = torch.randn([c["rows"], width], generator=g)
    if c["target"] == "classes":
        t = torch.randint(0, c["classes"], [c["rows"]], generator=g, dtype=torch.int32)
    elif c["target"] == "soft":
        t = torch.softmax(t, -1)
    elif c["target"] == "share":
        t = torch.sigmoid(t)
    return {"input": x, "target": t}


def compute(c):
    """(weights, batch, results) of the first draw that lies at no kink."""
    for seed in range(1, 200):
        w = torch_graph.Weights(seed=seed)
        batch = batch_of(c, 1, seed)
        width = torch_graph.Run(c["layers"], w, True, torch.float32)(batch["input"]).shape[-1]
        batch = batch_of(c, width, seed)
        w = torch_graph.Weights(w.values)
        exact = torch_graph.step(c["layers"], c["loss"], w, batch, torch.float64)
        near = torch_graph.step(c["layers"], c["loss"], w, batch, torch.float32)
        if all((near[k].double() - v).abs().max() <= 2e-6 * max(1, v.abs().max()) for k, v in exact.items()):
            return w, batch, exact
    raise SystemExit(f"no draw of {c} keeps clear of the kinks")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    chosen = [op for op in CASES if not sys.argv[1:] or any(p in op for p in sys.argv[1:])]
    for op in chosen:
        out, meta = {}, {"cases": str(len(CASES[op]))}
        for i, c in enumerate(CASES[op]):
            w, batch, results = compute(c)
            meta.update({f"{i}.model": json.dumps({"layers": c["layers"]}), f"{i}.loss": json.dumps(c["loss"]),
                         f"{i}.what": c["what"]})
            out.update({f"{i}.{k}": v for k, v in batch.items()})
            out.update({f"{i}.weight.{k}": v for k, v in w.values.items()})
            out.update({f"{i}.{k}": v.float() for k, v in results.items()})
        tensors.save(f"{FOLDER}/{op}.safetensors", out, meta)
    print(f"{len(chosen)} files in {os.path.normpath(FOLDER)}")


if __name__ == "__main__":
    main()
