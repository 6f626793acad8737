"""PyTorch's side of the rows about networks: a network of tests/bench/jobs, written
as its users write it, trained on one batch in memory.

    peer_torch.py NETWORK [channels_last] [fused] [sdpa] [compile]

channels_last and fused (the optimiser's loop) are settings of newer versions; sdpa
is its attention in one call rather than two products and a softmax; compile is
torch.compile.  THREADS (2), SECONDS (3) to measure for and STEPS (3) to measure at
least are the environment's.  Prints a line of JSON: {ms, the median of a step;
steps; memory, the largest resident set in MB; parameters, how many}.
"""
import json
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clock                            # noqa: E402

NETWORK, HOW = sys.argv[1], set(sys.argv[2:])


def conv(channels, out, kernel, stride=1):
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """A residual block: convolutions with batch norm, (out, kernel, stride) each."""

    def __init__(self, channels, convs):
        super().__init__()
        self.convs, self.norms, n, stride = nn.ModuleList(), nn.ModuleList(), channels, 1
        for out, kernel, step in convs:
            self.convs.append(conv(n, out, kernel, step))
            self.norms.append(nn.BatchNorm2d(out))
            n, stride = out, stride * step
        self.shortcut = None
        if stride != 1 or n != channels:
            self.shortcut = nn.Sequential(conv(channels, n, 1, stride), nn.BatchNorm2d(n))

    def forward(self, x):
        y, last = x, len(self.convs) - 1
        for i, (c, norm) in enumerate(zip(self.convs, self.norms)):
            y = norm(c(y))
            if i < last:
                y = F.relu(y, inplace=True)
        y += x if self.shortcut is None else self.shortcut(x)
        return F.relu(y, inplace=True)


def resnet(stem, depths, bottleneck, classes):
    layers, channels = stem, 64
    for i, depth in enumerate(depths):
        width = 64 << i
        for k in range(depth):
            stride = 2 if i > 0 and k == 0 else 1
            convs = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck else \
                [(width, 3, stride), (width, 3, 1)]
            layers.append(Block(channels, convs))
            channels = convs[-1][0]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Encoder(nn.Module):
    def __init__(self, width, heads, wide):
        super().__init__()
        self.heads = heads
        self.qkv, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, wide), nn.Linear(wide, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if "sdpa" in HOW:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1) @ v
        x = self.norm1(x + self.attended(y.transpose(1, 2).reshape(n, length, width)))
        return self.norm2(x + self.narrow(F.gelu(self.wide(x))))


class Bert(nn.Module):
    def __init__(self, words, width, depth, heads, wide, length):
        super().__init__()
        self.word, self.position = nn.Embedding(words, width), nn.Parameter(0.02 * torch.randn(length, width))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Encoder(width, heads, wide) for _ in range(depth)))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.layers(self.norm(self.word(x) + self.position))[:, 0])


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def stem(*layers):
    return [layers[0], nn.BatchNorm2d(64), nn.ReLU(True), *layers[1:]]


# Batch, shape (or tokens), classes, optimiser, network.
NETWORKS = {
    "mlp": (64, (784,), 10, "adam", lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))),
    "lenet5": (64, (1, 28, 28), 10, "adam", lenet5),
    "resnet18_32": (64, (3, 32, 32), 10, "sgd", lambda: resnet(stem(conv(3, 64, 3)), (2, 2, 2, 2), False, 10)),
    "resnet50_224": (8, (3, 224, 224), 1000, "sgd", lambda: resnet(
        stem(conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)), (3, 4, 6, 3), True, 1000)),
    "bert6x384": (16, 128, 2, "adam", lambda: Bert(8000, 384, 6, 12, 1536, 128)),
}


def main():
    torch.set_num_threads(clock.THREADS)
    torch.manual_seed(0)
    batch, shape, classes, optimizer, make = NETWORKS[NETWORK]
    net = make()
    x = torch.randint(0, 8000, (batch, shape)) if isinstance(shape, int) else torch.randn(batch, *shape)
    y = torch.randint(0, classes, (batch,))
    if "channels_last" in HOW:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    more = {"fused": True} if "fused" in HOW else {}
    if optimizer == "sgd":
        opt = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, **more)
    else:
        opt = torch.optim.Adam(net.parameters(), 1e-3, **more)
    run = torch.compile(net) if "compile" in HOW else net

    def step():
        opt.zero_grad(set_to_none=True)
        F.cross_entropy(run(x), y).backward()
        opt.step()

    parameters = sum(v.numel() for v in net.parameters())
    print(json.dumps(dict(clock.measure(step), parameters=int(parameters))))


main()
