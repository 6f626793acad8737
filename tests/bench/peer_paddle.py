"""Paddle's side of the rows about networks: as peer_torch.py, in its dynamic graph.

    peer_paddle.py NETWORK

Whether its layers use oneDNN is FLAGS_use_mkldnn of the environment; how many
threads it has, OMP_NUM_THREADS.
"""
import json
import os
import sys

os.environ.setdefault("GLOG_minloglevel", "3")
import paddle                           # noqa: E402
import paddle.nn as nn                  # noqa: E402
import paddle.nn.functional as F        # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clock                            # noqa: E402


def conv(channels, out, kernel, stride=1):
    return nn.Conv2D(channels, out, kernel, stride, kernel // 2, bias_attr=False)


class Block(nn.Layer):
    """A residual block: convolutions with batch norm, (out, kernel, stride) each."""

    def __init__(self, channels, convs):
        super().__init__()
        self.convs, self.norms, n, stride = nn.LayerList(), nn.LayerList(), channels, 1
        for out, kernel, step in convs:
            self.convs.append(conv(n, out, kernel, step))
            self.norms.append(nn.BatchNorm2D(out))
            n, stride = out, stride * step
        self.shortcut = None
        if stride != 1 or n != channels:
            self.shortcut = nn.Sequential(conv(channels, n, 1, stride), nn.BatchNorm2D(n))

    def forward(self, x):
        y, last = x, len(self.convs) - 1
        for i, (c, norm) in enumerate(zip(self.convs, self.norms)):
            y = norm(c(y))
            if i < last:
                y = F.relu(y)
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


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
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(channels, classes))


class Encoder(nn.Layer):
    def __init__(self, width, heads, wide):
        super().__init__()
        self.heads = heads
        self.qkv, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, wide), nn.Linear(wide, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape([n, length, 3, self.heads, width // self.heads]).transpose(
            [2, 0, 3, 1, 4]).unbind(0)
        y = F.softmax(paddle.matmul(q, k, transpose_y=True) * (width // self.heads) ** -0.5, -1) @ v
        x = self.norm1(x + self.attended(y.transpose([0, 2, 1, 3]).reshape([n, length, width])))
        return self.norm2(x + self.narrow(F.gelu(self.wide(x))))


class Bert(nn.Layer):
    def __init__(self, words, width, depth, heads, wide, length):
        super().__init__()
        self.word, self.position = nn.Embedding(words, width), self.create_parameter([length, width])
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Encoder(width, heads, wide) for _ in range(depth)))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.layers(self.norm(self.word(x) + self.position))[:, 0])


def lenet5():
    return nn.Sequential(
        nn.Conv2D(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2D(2, 2), nn.Conv2D(6, 16, 5), nn.ReLU(),
        nn.MaxPool2D(2, 2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10))


def stem(*layers):
    return [layers[0], nn.BatchNorm2D(64), nn.ReLU(), *layers[1:]]


# Batch, shape (or tokens), classes, optimiser, network.
NETWORKS = {
    "mlp": (64, (784,), 10, "adam", lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))),
    "lenet5": (64, (1, 28, 28), 10, "adam", lenet5),
    "resnet18_32": (64, (3, 32, 32), 10, "sgd", lambda: resnet(stem(conv(3, 64, 3)), (2, 2, 2, 2), False, 10)),
    "resnet50_224": (8, (3, 224, 224), 1000, "sgd", lambda: resnet(
        stem(conv(3, 64, 7, 2), nn.MaxPool2D(3, 2, 1)), (3, 4, 6, 3), True, 1000)),
    "bert6x384": (16, 128, 2, "adam", lambda: Bert(8000, 384, 6, 12, 1536, 128)),
}


def main():
    paddle.set_device("cpu")
    paddle.seed(0)
    batch, shape, classes, optimizer, make = NETWORKS[sys.argv[1]]
    net = make()
    x = paddle.randint(0, 8000, [batch, shape]) if isinstance(shape, int) else paddle.randn([batch, *shape])
    y = paddle.randint(0, classes, [batch])
    if optimizer == "sgd":
        opt = paddle.optimizer.Momentum(0.01, 0.9, parameters=net.parameters())
    else:
        opt = paddle.optimizer.Adam(1e-3, parameters=net.parameters())

    def step():
        F.cross_entropy(net(x), y).backward()
        opt.step()
        opt.clear_grad()

    parameters = sum(v.size for v in net.parameters() if not v.stop_gradient)
    print(json.dumps(dict(clock.measure(step), parameters=int(parameters))))


main()
