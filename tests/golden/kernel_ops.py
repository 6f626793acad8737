#!/usr/bin/python3
"""
Writes tests/unit/kernel_torch.h: what PyTorch, in double precision, says to the
questions of tests/unit/kernel_torch.c.  Needs Debian's python3-torch, the test
does not.

    /usr/bin/python3 tests/golden/kernel_ops.py > tests/unit/kernel_torch.h

The numbers that go in are made of their index, here as there, and are exact in
float: x[i] = ((37 i + 11 s) mod 101 - 50) / 16, the gradients of the results
g[i] = ((53 i + 7) mod 97 - 48) / 32; s tells arrays apart.
"""
import math

import torch
import torch.nn.functional as F


def x(s, *shape):
    n = math.prod(shape)
    v = [((37 * i + 11 * s) % 101 - 50) / 16 for i in range(n)]
    return torch.tensor(v, dtype=torch.float64).view(shape).requires_grad_()


def g(y):
    v = [((53 * i + 7) % 97 - 48) / 32 for i in range(y.numel())]
    return torch.tensor(v, dtype=torch.float64).view(y.shape)


def show(name, t):
    words = ["%.9g" % v for v in t.detach().reshape(-1).tolist()]
    lines, line = [], "\t"
    for w in words:
        if len(line) + len(w) + 2 > 72:
            lines.append(line.rstrip())
            line = "\t"
        line += w + ", "
    lines.append(line.rstrip())
    print("static const double %s[] = {\n%s\n};" % (name, "\n".join(lines)))


def op(name, y, **inputs):
    """The result and the gradients of the inputs."""
    y.backward(g(y))
    show(name + "_y", y)
    for k, v in inputs.items():
        show("%s_d%s" % (name, k), v.grad)


def loss(name, value, z):
    value.backward()
    show(name, value)
    show(name + "_dz", z.grad)


def main():
    print("/* Written by tests/golden/kernel_ops.py; see there. */")
    print("/* PyTorch %s */" % torch.__version__)
    a, w = x(1, 1, 4, 5, 6), x(2, 4, 2, 3, 3)
    op("groups", F.conv2d(a, w, stride=(1, 2), padding=(2, 1),
                          dilation=2, groups=2), x=a, w=w)
    a, w = x(1, 1, 3, 5, 4), x(2, 6, 1, 3, 3)
    op("depthwise", F.conv2d(a, w, padding=1, groups=3), x=a, w=w)
    for name, pad in (("with_pad", True), ("without_pad", False)):
        a = x(1, 1, 1, 6, 7)
        op(name, F.avg_pool2d(a, 3, 2, 1, True, pad), x=a)
    a = x(1, 1, 1, 6, 7)
    op("max_ceil", F.max_pool2d(a, 3, 2, 1, 1, True), x=a)
    a = x(1, 1, 1, 5, 7)
    op("adaptive", F.adaptive_avg_pool2d(a, (3, 4)), x=a)
    for name, f in (("relu6", F.relu6),
                    ("leaky_relu", lambda v: F.leaky_relu(v, 0.125)),
                    ("elu", lambda v: F.elu(v, 1.5)),
                    ("gelu_tanh", lambda v: F.gelu(v, approximate="tanh")),
                    ("silu", F.silu), ("hard_sigmoid", F.hardsigmoid),
                    ("hard_swish", F.hardswish)):
        a = (2.5 * x(1, 21)).detach().requires_grad_()
        op(name, f(a), x=a)
    a = x(1, 2, 9)
    op("softmax", F.softmax(a, -1), x=a)
    a, w, b = x(1, 3, 7), x(2, 7), x(3, 7)
    op("lnorm", F.layer_norm(a, (7,), w, b, 1e-5), x=a, w=w, b=b)
    # Two heads of three columns; the last two keys of sample 1 are left out.
    q, k, v = x(1, 2, 4, 6), x(2, 2, 4, 6), x(3, 2, 4, 6)
    out = torch.zeros(2, 1, 1, 4, dtype=torch.bool)
    out[1, 0, 0, 2:] = True
    heads = [t.view(2, 4, 2, 3).transpose(1, 2) for t in (q, k, v)]
    s = heads[0] @ heads[1].transpose(2, 3) / math.sqrt(3)
    y = F.softmax(s.masked_fill(out, -math.inf), -1) @ heads[2]
    op("attention", y.transpose(1, 2).reshape(2, 4, 6), q=q, k=k, v=v)
    a, w = x(1, 5, 4), x(2, 6, 3)
    ids = torch.tensor([1, 5, 1, 0, 2, 1])
    op("table", F.embedding(ids, w, padding_idx=2), w=w)
    y = torch.tensor([0, 3, 1, 2, 3])
    w = torch.tensor([0.5, 1, 2, 0.25], dtype=torch.float64)
    t = F.softmax(x(3, 5, 4).detach(), -1)
    show("chances", t)
    for name, args in (
            ("plain_ce", dict(target=y)),
            ("all_ce", dict(target=y, weight=w, ignore_index=1,
                            label_smoothing=0.1)),
            ("soft_ce", dict(target=t, weight=w, label_smoothing=0.1))):
        a = x(1, 5, 4)
        loss(name, F.cross_entropy(a, **args), a)
    for name, f in (("binary", F.binary_cross_entropy_with_logits),
                    ("l1", F.l1_loss),
                    ("smooth_l1",
                     lambda p, q: F.smooth_l1_loss(p, q, beta=2.0))):
        a = x(1, 5, 4)
        loss(name, f(a, x(2, 5, 4).detach()), a)


main()
