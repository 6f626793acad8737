#!/usr/bin/env python3
"""Checkpoints of ours as files of Paddle, loaded and trained on by real Paddle.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/paddle_exports.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle; one that has PaddleClas or PaddleNLP, too, is asked for their
networks alone.

"""
import ours
from ours import BUILD, case

ours.under("PADDLE_PYTHON")

import json
import os
import subprocess
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
from exported import job, logits, losses, trained, trainer


def plain(f):
    return f if CLAS or NLP else case(f)


def load(model, path):
    """As a strict user does; the names of the parameters are those of the file's table."""
    state = paddle.load(path)
    missing, unexpected = model.set_state_dict(state) or ([], [])
    assert (missing, unexpected) == ([], []), (missing, unexpected)
    table = paddle.load(path, keep_name_table=True)["StructuredToParameterName@@"]
    return {k: (t.name, table[k]) for k, t in model.state_dict().items()}


def same_logits(model, j, ckpt):
    model.eval()
    x, _ = np.load("x.npy"), None
    with paddle.no_grad():
        theirs = model(paddle.to_tensor(x)).numpy()
    ours = logits(j, ckpt)
    worst = np.abs(theirs - ours).max() / max(1, np.abs(ours).max())
    assert worst < 1e-4, worst


def fresh(make):
    """As in a new process: names of parameters begin at 0."""
    with paddle.utils.unique_name.guard():
        return make()


LAYERS = {"layers": [
    {"type": "conv2d", "out": 4, "kernel": 3, "name": "0"}, {"type": "batch_norm", "name": "1", "convention": "paddle",
                                                           "momentum": 0.9},
    {"type": "relu", "name": "2"}, {"type": "flatten", "name": "3"},
    {"type": "linear", "out": 8, "name": "4"}, {"type": "layer_norm", "name": "5"},
    {"type": "linear", "out": 8, "name": "6"}, {"type": "linear", "out": 5, "name": "7"}]}


def net():
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(1, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.ReLU(), paddle.nn.Flatten(),
        paddle.nn.Linear(144, 8), paddle.nn.LayerNorm(8), paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 5))


@plain
def a_network_of_layers_loads_with_every_name_of_its_parameters():
    j = job(LAYERS, (1, 8, 8))
    ckpt = trained(j)
    trainer(j, "--export", ckpt, "job.json", "best.pdparams")
    n = fresh(net)
    names = load(n, "best.pdparams")
    assert all(a == b for a, b in names.values()), names
    same_logits(n, j, ckpt)


@plain
def networks_of_paddle_vision_load_with_every_name_of_their_parameters():
    import paddle.vision.models as V
    for arch, make in (("resnet18", V.resnet18), ("resnet50", V.resnet50), ("mobilenet_v2", V.mobilenet_v2)):
        j = job({"arch": arch, "classes": 5}, (3, 64, 64))
        ckpt = trained(j)
        trainer(j, "--export", ckpt, "job.json", "best.pdparams")
        n = fresh(lambda: make(num_classes=5))
        names = load(n, "best.pdparams")
        wrong = {k: v for k, v in names.items() if v[0] != v[1]}
        assert not wrong, (arch, list(wrong.items())[:5])
        same_logits(n, j, ckpt)
        subprocess.run(["rm", "-rf", "run"], check=True)


def taken(make, model, data, own_names=False):
    """By a strict set_state_dict; the names of all parameters are those that the program gives them, but for a
    program that calls them by names of its own."""
    j = {"name": "j", "resources": {"threads": 1}, "model": model,
         "training": {"steps": 1, "batch_size": 2, "optimizer": {"type": "adam", "learning_rate": 0.001}},
         "data": {"train": {"type": "synthetic", "samples": 4, **data}}}
    ckpt = trained(j)
    trainer(j, "--export", ckpt, "job.json", "best.pdparams")
    names = load(fresh(make), "best.pdparams")
    wrong = {k: v for k, v in names.items() if v[0] != v[1]}
    assert bool(wrong) == own_names, (model, list(wrong.items())[:5])
    subprocess.run(["rm", "-rf", "run"], check=True)


def networks_of_paddleclas_load_with_every_name_of_their_parameters():
    from ppcls.utils import logger
    logger.init_logger()
    import ppcls.arch.backbone as zoo
    clas = {"variant": "paddleclas", "classes": 5}
    for model, name, own in (
            ({"arch": "resnet50", **clas}, "ResNet50", False), ({"arch": "resnet18_vd", **clas}, "ResNet18_vd", False),
            ({"arch": "mobilenet_v3_small", **clas}, "MobileNetV3_small_x1_0", False),
            ({"arch": "pplcnet_x1_0", "classes": 5}, "PPLCNet_x1_0", False),
            ({"arch": "mobilenet_v2", **clas}, "MobileNetV2", True)):
        taken(lambda: getattr(zoo, name)(class_num=5), model, {"shape": [3, 64, 64], "classes": 5}, own)


def networks_of_paddlenlp_load_with_every_name_of_their_parameters():
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification
    config = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=24, type_vocab_size=2, num_labels=4)
    for variant in ("huggingface", "paddlenlp"):
        taken(lambda: BertForSequenceClassification(config),
              {"arch": "bert", "vocabulary": 60, "hidden": 32, "depth": 2, "heads": 4, "intermediate": 64,
               "positions": 24, "classes": 4, "variant": variant}, {"tokens": 20, "vocabulary": 60, "classes": 4})


if CLAS:
    case(networks_of_paddleclas_load_with_every_name_of_their_parameters)
if NLP:
    case(networks_of_paddlenlp_load_with_every_name_of_their_parameters)


OPTIMIZERS = [
    ({"type": "adam", "learning_rate": 0.002}, lambda lr, p: paddle.optimizer.Adam(lr, parameters=p)),
    ({"type": "adamw", "learning_rate": 0.002, "weight_decay": 0.1},
     lambda lr, p: paddle.optimizer.AdamW(lr, parameters=p, weight_decay=0.1)),
    ({"type": "sgd", "learning_rate": 0.01, "momentum": 0.9},
     lambda lr, p: paddle.optimizer.Momentum(lr, parameters=p, momentum=0.9)),
    ({"type": "adagrad", "learning_rate": 0.01, "eps": 1e-6},
     lambda lr, p: paddle.optimizer.Adagrad(lr, parameters=p, epsilon=1e-6)),
]


def train_on(ours, theirs):
    """Losses of the steps behind the sixth."""
    n, got = net(), []
    load(n, "m.pdparams")
    lr = paddle.optimizer.lr.StepDecay(ours["learning_rate"], 4, 0.5)
    o = theirs(lr, n.parameters())
    o.set_state_dict(paddle.load("m.pdopt"))
    assert abs(o.get_lr() - ours["learning_rate"] * 0.5) < 1e-9, o.get_lr()
    n.train()
    x, y = np.load("x.npy"), np.load("y.npy")
    for i in range(6, 18):
        rows = slice(8 * (i % 3), 8 * (i % 3) + 8)
        loss = paddle.nn.functional.cross_entropy(n(paddle.to_tensor(x[rows])), paddle.to_tensor(y[rows]))
        loss.backward()
        o.step()
        o.clear_grad()
        lr.step()
        got.append(float(loss))
    return got


@plain
def paddle_trains_on_from_our_model_and_optimiser_as_we_do():
    for ours, theirs in OPTIMIZERS:
        j = job(LAYERS, (1, 8, 8), 6, ours, schedule={"type": "step", "step_size": 4, "gamma": 0.5})
        ckpt = trained(j)
        trainer(j, "--export", ckpt, "job.json", "m.pdparams")
        trainer(j, "--export", ckpt, "job.json", "m.pdopt")
        got = fresh(lambda: train_on(ours, theirs))
        j["training"]["steps"] = 18
        trained(j)
        want = losses(6)
        worst = max(abs(a - b) / b for a, b in zip(got, want))
        assert len(want) == 12 and worst < 1e-4, (ours["type"], worst, got, want)
        subprocess.run(["rm", "-rf", "run"], check=True)


@plain
def a_recurrent_layer_of_pytorchs_names_is_converted_with_both_names_that_paddle_has():
    import struct

    def make():
        return paddle.nn.Sequential(("rnn", paddle.nn.LSTM(4, 8, num_layers=2, direction="bidirect")))
    first = fresh(make)
    flat = {k: t.numpy() for k, t in first.state_dict().items() if ".cell_" not in k}
    assert len(flat) == 16, list(flat)
    head, data = {}, b""
    for k, a in flat.items():
        head[k] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(head).encode()
    with open("rnn.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    subprocess.run([f"{BUILD}/rekindle", "weights", "convert", "rnn.safetensors", "--to", "pdparams"], check=True)
    second = fresh(make)
    load(second, "rnn.pdparams")
    for k, t in first.state_dict().items():
        assert (t.numpy() == second.state_dict()[k].numpy()).all(), k


ours.main()
