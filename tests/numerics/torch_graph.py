#!/usr/bin/env python3
"""A network of rekindle's, run by PyTorch: the reference that ours is compared with.

    torch_graph.py GRAPH.json WEIGHTS BATCH OUT [--dtype double|float] [--no-kinks]

GRAPH has `layers`, the flat list of a job's normal form ({type, name, inputs,
fields}; include/rekindle/ops.def has the fields and what they mean), and perhaps
`loss`.  WEIGHTS has the tensors by our names, BATCH has `input` [rows, ...] and
`target`.  OUT gets what one training step computes: `logits`, `loss`, `grad.NAME`
of each parameter, `buffer.NAME` as they are afterwards, and `infer`, the logits of
inference with the buffers of before.  All are safetensors files.

--no-kinks: see no_kinks().  Dropout needs p 0 or a mask of its own (`masks`).
"""
import argparse
import json
import math
import zlib

import torch
import torch.nn.functional as F

import tensors

# --- the graph ----------------------------------------------------------------

SMOOTH = {"relu": "silu", "relu6": "silu", "leaky_relu": "silu", "elu": "silu", "hard_swish": "silu",
          "hard_sigmoid": "sigmoid", "max_pool2d": "avg_pool2d", "global_max_pool2d": "global_avg_pool2d"}


def no_kinks(layers):
    """The layers with ops that have a derivative everywhere in place of those that have not.

    Where a value lies at a kink within the rounding of a float, two right programs
    differ by much; without kinks all that is left is rounding.
    """
    out = []
    for layer in layers:
        layer = dict(layer)
        word = SMOOTH.get(layer["type"])
        if word:
            layer["type"] = word
            for field in "slope", "offset", "alpha":
                layer.pop(field, None)
        out.append(layer)
    return out


def no_dropout(layers):
    """The layers with every dropout's probability at 0: draws are not compared here."""
    return [dict(x, p=0.0) if x["type"] in ("dropout", "attention") and x.get("p", 0.5) != 0 else dict(x)
            for x in layers]


def pair(v):
    return tuple(v) if isinstance(v, (list, tuple)) else (v, v)


# --- weights ------------------------------------------------------------------

def draw(name, shape, kind, seed):
    """A tensor that depends on its name, kind and seed alone, in values that a float can hold.

    Weights keep the size of what passes through; nothing is so round (1, 0) that a
    mistake could hide in it.
    """
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()) * 1000 + seed)
    fan = max(1, math.prod(shape[1:]))
    z = torch.randn(shape, generator=g, dtype=torch.float64)
    if kind == "conv":
        z *= math.sqrt(2 / fan)
    elif kind == "linear":
        z *= math.sqrt(1 / fan)
    elif kind == "scale":
        z = 1 + 0.1 * z
    elif kind == "var":
        z = 0.5 + torch.rand(shape, generator=g, dtype=torch.float64)
    elif kind != "table":           # biases, means
        z *= 0.1
    return z.float()


def is_buffer(name):
    return name.rpartition(".")[2] in ("running_mean", "running_var", "_mean", "_variance")


class Weights:
    """Tensors by name; with a seed, one that is asked for and not there is drawn."""

    def __init__(self, values=None, seed=None):
        self.values = values if values is not None else {}
        self.seed = seed

    def get(self, name, shape, kind):
        if name not in self.values:
            if self.seed is None:
                raise KeyError(f"no tensor {name} {list(shape)}; there are {sorted(self.values)[:8]}, ...")
            self.values[name] = draw(name, list(shape), kind, self.seed)
        t = self.values[name]
        if list(t.shape) != list(shape):
            raise ValueError(f"{name} is {list(t.shape)}, want {list(shape)}")
        return t

    def to(self, dtype):
        """Copies of another type, parameters as leaves that get gradients."""
        w = Weights({k: v.detach().to(dtype, copy=True) for k, v in self.values.items()})
        for k, v in w.values.items():
            v.requires_grad_(not is_buffer(k))
        return w


# --- ops: (run, layer, inputs) -> output; dimension 0 is the batch -------------

OPS = {}


def op(fn):
    OPS[fn.__name__.rstrip("_")] = fn
    return fn


@op
def linear(r, l, x):
    shape = (l["out"], x.shape[-1])
    w = r.of(l["tied"], "weight", shape, "table") if l.get("tied") else r.of(l, "weight", shape, "linear")
    return F.linear(x, w, r.of(l, "bias", shape[:1], "bias") if l.get("bias", True) else None)


@op
def conv2d(r, l, x):
    groups = l.get("groups", 1)
    w = r.of(l, "weight", (l["out"], x.shape[1] // groups, *pair(l["kernel"])), "conv")
    b = r.of(l, "bias", (l["out"],), "bias") if l.get("bias", True) else None
    return F.conv2d(x, w, b, pair(l.get("stride", 1)), pair(l.get("padding", 0)), pair(l.get("dilation", 1)), groups)


def window(l):
    return pair(l["kernel"]), pair(l.get("stride", l["kernel"])), pair(l.get("padding", 0))


@op
def max_pool2d(r, l, x):
    k, s, p = window(l)
    return F.max_pool2d(x, k, s, p, ceil_mode=l.get("ceil_mode", False))


@op
def avg_pool2d(r, l, x):
    k, s, p = window(l)
    return F.avg_pool2d(x, k, s, p, l.get("ceil_mode", False), l.get("count_include_pad", True))


@op
def adaptive_avg_pool2d(r, l, x):
    return F.adaptive_avg_pool2d(x, pair(l["size"]))


@op
def global_avg_pool2d(r, l, x):
    return x.mean((2, 3), keepdim=True)


@op
def global_max_pool2d(r, l, x):
    return F.adaptive_max_pool2d(x, 1)


@op
def batch_norm(r, l, x):
    """torch: running += m (batch - running), unbiased; paddle: running = m running + (1 - m) batch, biased."""
    c, paddle = x.shape[1], l.get("convention", "torch") == "paddle"
    w, b = r.of(l, "weight", (c,), "scale"), r.of(l, "bias", (c,), "bias")
    mean_name, var_name = ("_mean", "_variance") if paddle else ("running_mean", "running_var")
    mean, var = r.of(l, mean_name, (c,), "mean"), r.of(l, var_name, (c,), "var")
    eps, momentum = l.get("eps", 1e-5), l.get("momentum", 0.9 if paddle else 0.1)
    if not r.train:
        return F.batch_norm(x, mean, var, w, b, False, 0.0, eps)
    others = [d for d in range(x.dim()) if d != 1]
    n = x.numel() // c
    share = 1 - momentum if paddle else momentum
    bias = 1.0 if paddle else n / (n - 1)
    with torch.no_grad():
        r.after[f"{l['name']}.{mean_name}"] = mean + share * (x.mean(others) - mean)
        r.after[f"{l['name']}.{var_name}"] = var + share * (x.var(others, unbiased=False) * bias - var)
    return F.batch_norm(x, None, None, w, b, True, 0.0, eps)


@op
def layer_norm(r, l, x):
    shape = tuple(x.shape[x.dim() - l.get("dims", 1):])
    return F.layer_norm(x, shape, r.of(l, "weight", shape, "scale"), r.of(l, "bias", shape, "bias"), l.get("eps", 1e-5))


@op
def dropout(r, l, x):
    p, up = l.get("p", 0.5), l.get("scaling", "upscale_in_train") == "upscale_in_train"
    if not r.train:
        return x if up else x * (1 - p)
    if p == 0:
        return x
    kept = r.masks[l["name"]].to(x.dtype)
    return x * kept / (1 - p) if up else x * kept


@op
def flatten(r, l, x):
    return x.flatten(1 + l.get("start", 0))


def plain(name, fn):
    OPS[name] = lambda r, l, x: fn(x)


plain("relu", F.relu)
plain("relu6", F.relu6)
plain("silu", F.silu)
plain("sigmoid", torch.sigmoid)
plain("tanh", torch.tanh)
plain("hard_swish", F.hardswish)
plain("identity", lambda x: x)
plain("softmax", lambda x: F.softmax(x, -1))


@op
def gelu(r, l, x):
    if l.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return F.gelu(x)


@op
def leaky_relu(r, l, x):
    return F.leaky_relu(x, l.get("slope", 0.01))


@op
def elu(r, l, x):
    return F.elu(x, l.get("alpha", 1.0))


@op
def hard_sigmoid(r, l, x):
    return torch.clamp(x * l.get("slope", 1 / 6) + l.get("offset", 0.5), 0, 1)


@op
def reshape(r, l, x):
    return x.reshape(x.shape[0], *l["shape"])


@op
def transpose(r, l, x):
    return x.permute(0, *[1 + d for d in l["order"]])


@op
def slice_(r, l, x):
    d, end = 1 + l.get("dim", 0), l.get("end", 0)
    return x[(slice(None),) * d + (slice(l.get("start", 0), end if end != 0 else None),)]


@op
def pad(r, l, x):
    d, value = 1 + l.get("dim", 0), l.get("value", 0.0)

    def block(n):
        return torch.full((*x.shape[:d], n, *x.shape[d + 1:]), value, dtype=x.dtype)
    return torch.cat([block(l.get("before", 0)), x, block(l.get("after", 0))], d)


@op
def concat(r, l, *xs):
    return torch.cat(xs, 1 + l.get("dim", 0))


@op
def add(r, l, x, *others):
    for y in others:
        x = x + y
    return x


@op
def multiply(r, l, x, y):
    return x * y


@op
def embedding(r, l, x):
    none = l.get("padding_index", -1)
    w = r.of(l, "weight", (l["rows"], l["width"]), "table")
    if none >= 0 and r.w.seed is not None:
        w[none] = 0
    ids = x.long()
    if l.get("index", "input") == "position":
        ids = torch.arange(x.shape[1]).expand(x.shape[0], -1)
    elif l.get("index", "input") == "zero":
        ids = torch.zeros_like(ids)
    elif l.get("index", "input") == "segment":
        ends = (ids == l["separator"]).long()
        ids = (ends.cumsum(1) - ends).clamp(max=l["rows"] - 1)
    return F.embedding(ids, w, padding_idx=none if none >= 0 else None)


@op
def token_mask(r, l, x):
    return (x != l.get("padding_index", 0)).to(r.dtype)


@op
def attention(r, l, q, k, v, mask=None):
    """In each head softmax(q k^T / sqrt(d)) v over the keys whose mask is not 0; 0 where there are none."""
    heads = l["heads"]

    def split(x):
        return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        keep = (mask != 0)[:, None, None, :]
        some = keep.any(-1, keepdim=True)
        s = s.masked_fill(~keep & some, -math.inf)
        a = F.softmax(s, -1) * some
    else:
        a = F.softmax(s, -1)
    return (a @ v).transpose(1, 2).flatten(2)


@op
def shortcut_a(r, l, x):
    s, more = l.get("stride", 2), l["out"] - x.shape[1]
    return F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, more // 2, more - more // 2))


class Run:
    """One pass over the layers."""

    def __init__(self, layers, weights, train, dtype=torch.float64, masks=None):
        self.layers, self.w, self.train, self.dtype = layers, weights, train, dtype
        self.masks = masks or {}
        self.after = {}                 # buffers as they are after the step

    def of(self, layer, field, shape, kind):
        name = layer if isinstance(layer, str) else layer["name"]
        return self.w.get(f"{name}.{field}", shape, kind)

    def __call__(self, x):
        if x.is_floating_point():
            x = x.to(self.dtype)
        values, last = {"input": x}, x
        for i, layer in enumerate(self.layers):
            layer = dict(layer, name=layer.get("name", str(i)))
            xs = [values[k] for k in layer["inputs"]] if layer.get("inputs") else [last]
            last = values[layer["name"]] = OPS[layer["type"]](self, layer, *xs)
        return last


# --- losses -------------------------------------------------------------------

def loss_of(spec, y, t):
    """The mean loss of logits y [rows, ..., classes]; spec as a job's training.loss."""
    spec = {"type": spec} if isinstance(spec, str) else spec or {}
    kind = spec.get("type", "cross_entropy")
    if kind == "cross_entropy":
        weight = spec.get("class_weights")
        y = y.reshape(-1, y.shape[-1])
        t = t.to(y.dtype).reshape(y.shape) if t.is_floating_point() else t.long().reshape(-1)
        ignored = spec.get("ignore_index")
        return F.cross_entropy(y, t, None if not weight else torch.tensor(weight, dtype=y.dtype),
                               ignore_index=-100 if ignored is None else ignored,
                               label_smoothing=spec.get("label_smoothing", 0.0))
    t = t.to(y.dtype).reshape(y.shape)
    if kind == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(y, t)
    if kind == "mse":
        return F.mse_loss(y, t)
    if kind == "l1":
        return F.l1_loss(y, t)
    if kind == "smooth_l1":
        return F.smooth_l1_loss(y, t, beta=spec.get("beta", 1.0))
    raise ValueError(f"no loss {kind}")


def step(layers, loss, weights, batch, dtype=torch.float64, masks=None):
    """What one training step computes, as tensors by the names of OUT (see above)."""
    w = weights.to(dtype)
    out = {}
    with torch.no_grad():
        out["infer"] = Run(layers, w, False, dtype)(batch["input"])
    run = Run(layers, w, True, dtype, masks)
    y = run(batch["input"])
    value = loss_of(loss, y, batch["target"])
    value.backward()
    out["logits"], out["loss"] = y.detach(), value.detach()
    for k, v in w.values.items():
        if is_buffer(k):
            out[f"buffer.{k}"] = run.after.get(k, v)
        else:
            out[f"grad.{k}"] = torch.zeros_like(v) if v.grad is None else v.grad
    return out


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    for name in "graph", "weights", "batch", "out":
        a.add_argument(name)
    a.add_argument("--dtype", choices=["double", "float"], default="double")
    a.add_argument("--no-kinks", action="store_true")
    o = a.parse_args()
    with open(o.graph) as f:
        graph = json.load(f)
    layers = no_kinks(graph["layers"]) if o.no_kinks else graph["layers"]
    weights = Weights(tensors.load(o.weights)[0])
    tensors.save(o.out, step(layers, graph.get("loss"), weights, tensors.load(o.batch)[0], getattr(torch, o.dtype)))


if __name__ == "__main__":
    main()
