#!/usr/bin/env python3
"""Networks of paddle.vision, PaddleClas and PaddleNLP, with random weights, as ours, and back.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/paddle_nets.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle; one that has PaddleClas or PaddleNLP
(tests/interop/environments.sh) is asked for theirs, any other for paddle.vision's.  As
torch_nets.py: the file is planned whole, its names are told without being said, and
the logits of the same samples agree; then a checkpoint that we have trained from it is
loaded by them, nothing missing and nothing left, and the logits agree again.
"""
import ours
from ours import rows

ours.under("PADDLE_PYTHON")

import os
import re
import sys
from importlib.util import find_spec

CLAS, NLP = find_spec("paddleclas"), find_spec("paddlenlp")
if CLAS:
    import sklearn.metrics      # noqa: F401: behind paddle it crashes
    # The package is the source's folder, which it expects on the path.
    sys.path.insert(0, os.path.dirname(CLAS.origin))
if NLP:
    import datasets, pandas, scipy.linalg, scipy.special, sklearn.metrics     # noqa: E401, F401: likewise

import numpy as np
import paddle

nn = paddle.nn
NEAR = 1e-4             # logits, of the largest
ROWS, CLASSES, VOCABULARY, WORDS = 4, 7, 120, 12
NORMS = (nn.BatchNorm, nn.BatchNorm1D, nn.BatchNorm2D)


def put(p, draw):
    p.set_value(draw(p.shape).astype("float32"))


def shaken(net, gain, seed=3):
    """Numbers that make samples look unalike, norms and running statistics as training leaves them."""
    rng = np.random.RandomState(seed)
    for m in net.sublayers(include_self=True):
        if isinstance(m, NORMS + (nn.LayerNorm,)):
            put(m.weight, lambda s: gain * rng.uniform(0.5, 1.5, s))
            put(m.bias, lambda s: rng.randn(*s) * 0.2)
        if isinstance(m, NORMS):
            put(m._mean, lambda s: rng.randn(*s) * 0.2)
            put(m._variance, lambda s: rng.uniform(0.5, 2, s))
        if isinstance(m, (nn.Linear, nn.Conv2D)):
            inputs = m.weight.shape[0] if isinstance(m, nn.Linear) else np.prod(m.weight.shape[1:])
            put(m.weight, lambda s: rng.randn(*s).astype("float32") * (2 / inputs) ** 0.5)
            if m.bias is not None:
                put(m.bias, lambda s: rng.randn(*s) * 0.1)
    net.eval()
    return net


# --- networks of ours that no library has ---------------------------------------------

class Mlp(nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3072, 32), nn.Linear(32, 32), nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.fc3(paddle.tanh(self.fc2(paddle.tanh(self.fc1(x.flatten(1))))))


class LeNet5(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2D(3, 6, 5, padding=2), nn.Conv2D(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(576, 120), nn.Linear(120, 84), nn.Linear(84, CLASSES)

    def forward(self, x):
        for conv in self.conv1, self.conv2:
            x = nn.functional.max_pool2d(nn.functional.relu(conv(x)), 2)
        x = nn.functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(nn.functional.relu(self.fc2(x)))


class Block(nn.Layer):
    def __init__(self, before, c):
        super().__init__()
        self.conv1 = nn.Conv2D(before, c, 3, c // before, 1, bias_attr=False)
        self.conv2 = nn.Conv2D(c, c, 3, 1, 1, bias_attr=False)
        self.bn1, self.bn2, self.wider = nn.BatchNorm2D(c), nn.BatchNorm2D(c), c - before

    def forward(self, x):
        y = self.bn2(self.conv2(nn.functional.relu(self.bn1(self.conv1(x)))))
        if self.wider:
            x = x[:, :, ::2, ::2]
            none = paddle.zeros_like(x[:, :self.wider // 2])
            x = paddle.concat([none, x, none], 1)
        return nn.functional.relu(x + y)


class ResNet20(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, before = nn.Conv2D(3, 16, 3, 1, 1, bias_attr=False), nn.BatchNorm2D(16), 16
        for i, c in enumerate((16, 32, 64), 1):
            setattr(self, f"layer{i}", nn.Sequential(Block(before, c), Block(c, c), Block(c, c)))
            before = c
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(nn.functional.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean([2, 3]))


class TextCnn(nn.Layer):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16, padding_idx=0)
        self.convs = nn.LayerList([nn.Conv2D(1, 10, (k, 16)) for k in (2, 3)])
        self.fc = nn.Linear(20, CLASSES)

    def forward(self, x):
        x = self.embedding(x).unsqueeze(1)
        return self.fc(paddle.concat([nn.functional.relu(c(x)).max([2, 3]) for c in self.convs], 1))


# --- the tables -------------------------------------------------------------------------

def saved_plain(net):
    paddle.save(net.state_dict(), "theirs.pdparams")
    return "theirs.pdparams"


def saved_protocol_2(net):
    paddle.save(net.state_dict(), "theirs.pdparams", protocol=2)
    return "theirs.pdparams"


def saved_nested(net):
    paddle.save({"epoch": 3, "state_dict": net.state_dict(), "metric": 0.715}, "theirs.pdparams")
    return "theirs.pdparams"


def vision(name):
    return lambda: getattr(paddle.vision.models, name)(pretrained=False, num_classes=CLASSES)


def clas(name):
    def make():
        from ppcls.utils import logger
        logger.init_logger()
        import ppcls.arch.backbone as zoo
        return getattr(zoo, name)(class_num=CLASSES)
    return make


def nlp(kind, **more):
    def make():
        import paddlenlp.transformers as zoo
        config = dict(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=40, max_position_embeddings=32, num_labels=CLASSES, **more)
        return getattr(zoo, f"{kind}ForSequenceClassification")(getattr(zoo, f"{kind}Config")(**config))
    return make


IMAGES, LARGE, TOKENS, SMALL = (3, 64, 64), (3, 224, 224), (WORDS,), (3, 32, 32)
BERT = {"arch": "bert", "vocabulary": VOCABULARY, "hidden": 24, "depth": 2, "heads": 4, "intermediate": 40,
        "positions": 32}
P = {"variant": "paddleclas"}
# name, their network, our model, a sample, how it is saved, whose names the plan says
VISION = [
    ("mlp", Mlp, {"arch": "mlp", "sizes": [3072, 32, 32, CLASSES], "activation": "tanh"}, SMALL, saved_plain, "paddle"),
    ("lenet5", LeNet5, {"arch": "lenet5"}, SMALL, saved_protocol_2, "paddle"),
    ("resnet20", ResNet20, {"arch": "resnet20"}, SMALL, saved_nested, "paddle"),
    ("textcnn", TextCnn, {"arch": "textcnn", "vocabulary": VOCABULARY, "width": 16, "filters": 10, "kernels": [2, 3]},
     TOKENS, saved_plain, "paddle"),
    ("resnet18", vision("resnet18"), {"arch": "resnet18"}, IMAGES, saved_plain, "paddle"),
    ("resnet34", vision("resnet34"), {"arch": "resnet34"}, IMAGES, saved_protocol_2, "paddle"),
    ("resnet50", vision("resnet50"), {"arch": "resnet50"}, IMAGES, saved_nested, "paddle"),
    ("resnet50_as_paddleclas", vision("resnet50"), dict(P, arch="resnet50"), IMAGES, saved_plain, "paddle"),
    ("mobilenet_v2", vision("mobilenet_v2"), {"arch": "mobilenet_v2"}, IMAGES, saved_plain, "paddle"),
    ("mobilenet_v3_small", vision("mobilenet_v3_small"), {"arch": "mobilenet_v3_small"}, IMAGES, saved_plain, "paddle"),
    ("mobilenet_v3_large", vision("mobilenet_v3_large"), {"arch": "mobilenet_v3_large"}, IMAGES, saved_nested,
     "paddle"),
    ("vgg11", vision("vgg11"), {"arch": "vgg11"}, IMAGES, saved_plain, "paddle"),
]
CLASSIFIERS = [
    ("paddleclas_resnet18", clas("ResNet18"), dict(P, arch="resnet18"), IMAGES, saved_plain, "paddleclas"),
    ("paddleclas_resnet50_as_torchvision", clas("ResNet50"), {"arch": "resnet50"}, IMAGES, saved_plain, "paddleclas"),
    ("paddleclas_resnet50", clas("ResNet50"), dict(P, arch="resnet50"), IMAGES, saved_nested, "paddleclas"),
    ("paddleclas_resnet18_vd", clas("ResNet18_vd"), {"arch": "resnet18_vd"}, IMAGES, saved_plain, "paddleclas"),
    ("paddleclas_resnet34_vd", clas("ResNet34_vd"), {"arch": "resnet34_vd"}, IMAGES, saved_protocol_2, "paddleclas"),
    ("paddleclas_resnet50_vd", clas("ResNet50_vd"), {"arch": "resnet50_vd"}, IMAGES, saved_plain, "paddleclas"),
    ("paddleclas_mobilenet_v2", clas("MobileNetV2"), dict(P, arch="mobilenet_v2"), IMAGES, saved_plain, "paddle"),
    ("paddleclas_mobilenet_v3_small", clas("MobileNetV3_small_x1_0"), dict(P, arch="mobilenet_v3_small"), IMAGES,
     saved_plain, "paddle"),
    ("paddleclas_mobilenet_v3_large", clas("MobileNetV3_large_x1_0"), dict(P, arch="mobilenet_v3_large"), IMAGES,
     saved_nested, "paddle"),
    ("paddleclas_pplcnet_x0_5", clas("PPLCNet_x0_5"), {"arch": "pplcnet_x0_5"}, IMAGES, saved_plain, "paddle"),
    ("paddleclas_pplcnet_x1_0", clas("PPLCNet_x1_0"), {"arch": "pplcnet_x1_0"}, IMAGES, saved_protocol_2, "paddle"),
    ("paddleclas_vgg11", clas("VGG11"), dict(P, arch="vgg11"), LARGE, saved_plain, "paddle"),
]
TEXTS = [
    ("paddlenlp_bert", nlp("Bert", type_vocab_size=2), dict(BERT, variant="paddlenlp"), TOKENS, saved_plain, "paddlenlp"),
    ("paddlenlp_bert_as_huggingface", nlp("Bert", type_vocab_size=2), BERT, TOKENS, saved_nested, "paddlenlp"),
    ("paddlenlp_ernie", nlp("Ernie", type_vocab_size=4, task_type_vocab_size=3, use_task_id=True),
     dict(BERT, variant="paddlenlp", token_types=4), TOKENS, saved_plain, "paddlenlp"),
]


def samples(shape):
    return paddle.to_tensor(ours.drawn(shape, ROWS, CLASSES, VOCABULARY))


def logits(net, x):
    with paddle.no_grad():
        y = net(x)
    return (y[0] if isinstance(y, (tuple, list)) else y).numpy()


@rows(CLASSIFIERS if CLAS else TEXTS if NLP else VISION)
def the_same_logits_there_and_back(name, make, model, shape, save, dialect):
    paddle.seed(1)
    with paddle.utils.unique_name.guard():
        net = make()
    x = samples(shape)
    for gain in 1, 1.5, 2, 3:
        theirs = logits(shaken(net, gain), x)
        if theirs.std(0).max() > 1e-2 * np.abs(theirs).max():
            break
    else:
        raise AssertionError("samples that look alike show nothing")
    model = model if model["arch"] == "mlp" else dict(model, classes=CLASSES)
    job = ours.a_job(model, ROWS, VOCABULARY if len(shape) == 1 else 0)
    path = save(net)
    p = ours.plan(job, path)
    assert p["dialect"] == dialect, (p["dialect"], p["runner_up"])
    there = ours.near(ours.logits(job, path), theirs, NEAR, "logits of their file")
    before = {k: t.numpy() for k, t in net.state_dict().items()}
    checkpoint, _ = ours.train(job, path)
    loaded = paddle.load(ours.export(job, checkpoint, "ours.pdparams"), keep_name_table=True)
    table = loaded.pop("StructuredToParameterName@@")
    names = {by_paddle(t["name"]): t.get("from", t["name"]) for t in p["tensors"] if "model_shape" in t}
    if any(t.get("added") for t in p["tensors"]):       # ERNIE's tasks, which ours has among its positions
        net.ernie.embeddings.use_task_id = False
        before.pop("ernie.embeddings.task_type_embeddings.weight")
    loaded = {names.get(k, k): t for k, t in loaded.items()}
    assert set(loaded) == set(before), sorted(set(loaded) ^ set(before))
    assert any((loaded[k].numpy() != a).any() for k, a in before.items()), "nothing was trained"
    net.set_state_dict(loaded)
    here = ours.near(ours.logits(job, checkpoint), logits(net, x), NEAR, "logits of our checkpoint")
    # The names by which an optimiser's state goes, where the model is called as theirs is and theirs are Paddle's own.
    if all(k == v for k, v in names.items()):
        other = {k: (table[k], t.name) for k, t in net.state_dict().items() if table.get(k) != t.name}
        given = {k: v for k, v in other.items() if not re.fullmatch(r"[a-z0-9_]+_\d+\.[wb]_\d", v[1])}
        assert not other or len(given) == len(net.state_dict()), other
        if other:
            print(f"    {name}: it names its parameters itself, as {next(iter(other.values()))[1]}: a .pdopt does not fit")
    print(f"    {name}: {p['summary'].split(';')[0]}; logits {there:.1e} and {here:.1e} apart")


def by_paddle(name):
    return name.replace(".running_mean", "._mean").replace(".running_var", "._variance")


ours.main()
