#!/usr/bin/env python3
"""Checkpoints of ours as files of PyTorch, loaded and trained on by real PyTorch.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_exports.py [part of a case]

"""
import ours
from ours import case

ours.under("TORCH_PYTHON")

import os
import subprocess

import numpy as np
import torch
from exported import job, logits, losses, trained, trainer


def load(path):
    # Before 2.0 weights_only=True takes no number with a fraction, of whomever.
    return torch.load(path, map_location="cpu", weights_only=int(torch.__version__.split(".")[0]) >= 2)


def same_logits(model, j, ckpt):
    if isinstance(model, torch.nn.Module):
        model.eval()
    with torch.no_grad():
        theirs = model(torch.from_numpy(np.load("x.npy"))).numpy()
    ours = logits(j, ckpt)
    worst = np.abs(theirs - ours).max() / max(1, np.abs(ours).max())
    assert worst < 1e-4, worst


LAYERS = {"layers": [
    {"type": "conv2d", "out": 4, "kernel": 3}, "batch_norm", "relu", "flatten", {"type": "linear", "out": 8},
    {"type": "layer_norm"}, {"type": "linear", "out": 8}, {"type": "linear", "out": 5}]}


def net():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(144, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 5))


@case
def a_network_of_layers_is_taken_by_a_strict_load_state_dict():
    j = job(LAYERS, (1, 8, 8))
    ckpt = trained(j)
    trainer(j, "--export", ckpt, "job.json", "best.pt")
    n = net()
    n.load_state_dict(load("best.pt"), strict=True)
    assert int(n[1].num_batches_tracked) == 3
    same_logits(n, j, ckpt)


@case
def networks_of_torchvision_are_taken_by_a_strict_load_state_dict():
    import torchvision.models as V
    for model, make in (({"arch": "resnet18"}, V.resnet18), ({"arch": "resnet50"}, V.resnet50),
                        ({"arch": "resnet50", "variant": "paddleclas"}, V.resnet50),
                        ({"arch": "mobilenet_v2"}, V.mobilenet_v2),
                        ({"arch": "mobilenet_v3_small"}, V.mobilenet_v3_small)):
        j = job({"classes": 5, **model}, (3, 64, 64))
        ckpt = trained(j)
        trainer(j, "--export", ckpt, "job.json", "best.pt")
        n = make(num_classes=5)
        n.load_state_dict(load("best.pt"), strict=True)
        same_logits(n, j, ckpt)
        subprocess.run(["rm", "-rf", "run"], check=True)


@case
def a_model_as_safetensors_has_the_metadata_and_the_names_that_readers_want():
    j = job(LAYERS, (1, 8, 8))
    ckpt = trained(j)
    trainer(j, "--export", ckpt, "job.json", "best.safetensors")
    try:
        from safetensors import safe_open
    except ImportError:
        print("    not with this interpreter: it has no safetensors")
        return
    with safe_open("best.safetensors", "pt") as f:
        assert f.metadata() == {"format": "pt"}, f.metadata()
        n = net()
        n.load_state_dict({k: f.get_tensor(k) for k in f.keys()}, strict=True)
    same_logits(n, j, ckpt)


@case
def transformers_takes_our_bert_by_a_strict_load_state_dict_and_as_a_folder():
    try:
        from transformers import BertConfig, BertForSequenceClassification
    except ImportError:
        print("    not with this interpreter: it has no transformers")
        return
    for variant in ("huggingface", "paddlenlp"):
        j = job({"arch": "bert", "vocabulary": 60, "hidden": 32, "depth": 2, "heads": 4, "intermediate": 64,
                 "positions": 24, "classes": 5, "variant": variant}, (20,))
        # No token is the one that fills up.
        np.save("x.npy", np.random.RandomState(3).randint(1, 60, (24, 20)))
        j["data"]["train"]["vocabulary"] = 60
        ckpt = trained(j)
        os.makedirs("hf", exist_ok=True)
        trainer(j, "--export", ckpt, "job.json", "best.pt")
        trainer(j, "--export", ckpt, "job.json", "hf/model.safetensors")
        config = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                            intermediate_size=64, max_position_embeddings=24, num_labels=5)
        config.save_pretrained("hf")
        n = BertForSequenceClassification(config)
        n.load_state_dict(load("best.pt"), strict=True)
        m, info = BertForSequenceClassification.from_pretrained("hf", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], info
        assert all(torch.equal(a, b) for a, b in zip(n.state_dict().values(), m.state_dict().values()))
        same_logits(lambda x: m.eval()(x).logits, j, ckpt)
        subprocess.run(["rm", "-rf", "run", "hf"], check=True)


OPTIMIZERS = [
    ({"type": "adam", "learning_rate": 0.002}, lambda p: torch.optim.Adam(p)),
    ({"type": "adamw", "learning_rate": 0.002, "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p)),
    ({"type": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True}, lambda p: torch.optim.SGD(p, 1)),
    ({"type": "rmsprop", "learning_rate": 0.001, "centered": True, "momentum": 0.5}, lambda p: torch.optim.RMSprop(p)),
    ({"type": "adagrad", "learning_rate": 0.01}, lambda p: torch.optim.Adagrad(p)),
]


@case
def pytorch_trains_on_from_our_model_and_optimiser_as_we_do():
    for ours, theirs in OPTIMIZERS:
        j = job(LAYERS, (1, 8, 8), 6, ours)
        ckpt = trained(j)
        trainer(j, "--export", ckpt, "job.json", "m.pt")
        trainer(j, "--export", ckpt, "job.json", "optimizer.pt")
        n = net()
        n.load_state_dict(load("m.pt"), strict=True)
        o = theirs(n.parameters())
        o.load_state_dict(load("optimizer.pt"))
        assert o.param_groups[0]["lr"] == ours["learning_rate"]
        n.train()
        x, y = torch.from_numpy(np.load("x.npy")), torch.from_numpy(np.load("y.npy"))
        got = []
        for i in range(6, 18):
            rows = slice(8 * (i % 3), 8 * (i % 3) + 8)
            o.zero_grad()
            loss = torch.nn.functional.cross_entropy(n(x[rows]), y[rows])
            loss.backward()
            o.step()
            got.append(float(loss.detach()))
        j["training"]["steps"] = 18
        trained(j)
        want = losses(6)
        worst = max(abs(a - b) / b for a, b in zip(got, want))
        assert len(want) == 12 and worst < 1e-4, (ours["type"], worst, got, want)
        subprocess.run(["rm", "-rf", "run"], check=True)


ours.main()
