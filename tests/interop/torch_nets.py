#!/usr/bin/env python3
"""Networks of torchvision, timm and transformers, with random weights, as ours, and back.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_nets.py [part of a case]

TORCH_PYTHON is an interpreter with torch, torchvision, timm, transformers and
safetensors.  For each row: the file that they save is planned whole, its names are told
without being said, and the logits of the same samples agree; then a checkpoint that we
have trained from it is loaded by them, strictly, and the logits agree again.
"""
import ours
from ours import case, rows

ours.under("TORCH_PYTHON")

import json
import os

import numpy as np
import safetensors.torch
import timm
import torch
import torchvision
import transformers

NEAR = 1e-4             # logits, of the largest
ROWS, CLASSES, VOCABULARY, WORDS = 4, 7, 120, 12
torch.set_num_threads(1)


def shaken(net, gain=1, seed=3):
    """Numbers that make samples look unalike, norms and running statistics as training leaves them."""
    torch.manual_seed(seed)
    for m in net.modules():
        if isinstance(m, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm)):
            torch.nn.init.uniform_(m.weight, 0.5 * gain, 1.5 * gain)
            torch.nn.init.normal_(m.bias, 0, 0.2)
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(m.running_mean, 0, 0.2)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)
            m.num_batches_tracked += 17
        if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)):
            torch.nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                torch.nn.init.normal_(m.bias, 0, 0.1)
    return net.eval()


# --- networks of ours that no library has ---------------------------------------------

class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (torch.nn.Linear(*s) for s in ((3072, 32), (32, 32), (32, CLASSES)))

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x.flatten(1))))))


class LeNet5(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(3, 6, 5, padding=2), torch.nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = (torch.nn.Linear(*s) for s in ((576, 120), (120, 84), (84, CLASSES)))

    def forward(self, x):
        for conv in self.conv1, self.conv2:
            x = torch.max_pool2d(torch.relu(conv(x)), 2)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


class Block(torch.nn.Module):
    """akamaster's, with shortcuts of option A."""
    def __init__(self, before, c):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(before, c, 3, c // before, 1, bias=False)
        self.conv2 = torch.nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.wider = torch.nn.BatchNorm2d(c), torch.nn.BatchNorm2d(c), c - before

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.wider:
            x = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.wider // 2, self.wider // 2))
        return torch.relu(x + y)


class ResNet20(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, before = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16), 16
        for i, c in enumerate((16, 32, 64), 1):
            setattr(self, f"layer{i}", torch.nn.Sequential(Block(before, c), Block(c, c), Block(c, c)))
            before = c
        self.linear = torch.nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class TextCnn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, 16, padding_idx=0)
        self.convs = torch.nn.ModuleList(torch.nn.Conv2d(1, 10, (k, 16)) for k in (2, 3))
        self.fc = torch.nn.Linear(20, CLASSES)

    def forward(self, x):
        x = self.embedding(x)[:, None]
        return self.fc(torch.cat([torch.relu(c(x)).amax((2, 3)) for c in self.convs], 1))


# --- transformers' ----------------------------------------------------------------------

class Logits(torch.nn.Module):
    """What a network of transformers gives, as a tensor."""
    def __init__(self, net, of="logits"):
        super().__init__()
        self.net, self.of = net, of

    def forward(self, x):
        if x.is_floating_point():
            return self.net(x)[self.of]
        return self.net(input_ids=x, attention_mask=(x != 0).long())[self.of]


def bert_config(**more):
    return transformers.BertConfig(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
                                   intermediate_size=40, max_position_embeddings=32, num_labels=CLASSES, **more)


def resnet_config(kind, depths, sizes):
    return transformers.ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=sizes, num_labels=CLASSES)


BERT = {"arch": "bert", "vocabulary": VOCABULARY, "hidden": 24, "depth": 2, "heads": 4, "intermediate": 40,
        "positions": 32, "classes": CLASSES}


# --- the table --------------------------------------------------------------------------

def saved_plain(net, state):
    torch.save(state, "theirs.pt")
    return "theirs.pt"


def saved_legacy(net, state):
    torch.save(state, "theirs.pth", _use_new_zipfile_serialization=False)
    return "theirs.pth"


def saved_nested(net, state):
    wrapped = {f"module.{k}": t for k, t in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "best_acc1": 71.5}, "theirs.tar")
    return "theirs.tar"


def saved_safetensors(net, state):
    safetensors.torch.save_file(state, "theirs.safetensors")
    return "theirs.safetensors"


def saved_pretrained(net, state):
    net.net.save_pretrained("theirs")
    return "theirs/model.safetensors"


def saved_in_shards(net, state):
    net.net.save_pretrained("theirs", max_shard_size="20KB")
    return "theirs/model.safetensors.index.json"


def tv(name, **more):
    return lambda: getattr(torchvision.models, name)(weights=None, num_classes=CLASSES, **more)


def timms(name):
    return lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES)


def hf(kind, config, of="logits"):
    return lambda: Logits(kind(config()), of)


BASIC = "basic", [2, 2, 2, 2], [64, 128, 256, 512]
WIDE = "bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]
IMAGES, TOKENS = (3, 64, 64), (WORDS,)
# name, their network, our model, a sample, how it is saved, whose names the plan says
NETS = [
    ("mlp", Mlp, {"arch": "mlp", "sizes": [3072, 32, 32, CLASSES], "activation": "tanh"}, (3, 32, 32), saved_plain,
     "pytorch"),
    ("lenet5", LeNet5, {"arch": "lenet5"}, (3, 32, 32), saved_legacy, "pytorch"),
    ("resnet20", ResNet20, {"arch": "resnet20"}, (3, 32, 32), saved_nested, "torchvision"),
    ("textcnn", TextCnn, {"arch": "textcnn", "vocabulary": VOCABULARY, "width": 16, "filters": 10, "kernels": [2, 3]},
     TOKENS, saved_plain, "pytorch"),
    ("resnet18", tv("resnet18"), {"arch": "resnet18"}, IMAGES, saved_plain, "torchvision"),
    ("resnet34", tv("resnet34"), {"arch": "resnet34"}, IMAGES, saved_nested, "torchvision"),
    ("resnet50", tv("resnet50"), {"arch": "resnet50"}, IMAGES, saved_legacy, "torchvision"),
    ("resnet101", tv("resnet101"), {"arch": "resnet101"}, IMAGES, saved_safetensors, "torchvision"),
    ("mobilenet_v2", tv("mobilenet_v2"), {"arch": "mobilenet_v2"}, IMAGES, saved_plain, "pytorch"),
    ("mobilenet_v3_small", tv("mobilenet_v3_small"), {"arch": "mobilenet_v3_small"}, IMAGES, saved_safetensors,
     "rekindle"),
    ("mobilenet_v3_large", tv("mobilenet_v3_large"), {"arch": "mobilenet_v3_large"}, IMAGES, saved_legacy, "pytorch"),
    ("vgg11_bn", tv("vgg11_bn"), {"arch": "vgg11", "batch_norm": True}, IMAGES, saved_legacy, "pytorch"),
    ("timm_resnet18", timms("resnet18"), {"arch": "resnet18"}, IMAGES, saved_plain, "torchvision"),
    ("timm_resnet18d", timms("resnet18d"), {"arch": "resnet18_vd", "variant": "torchvision"}, IMAGES, saved_nested,
     "timm"),
    ("timm_resnet34d", timms("resnet34d"), {"arch": "resnet34_vd", "variant": "torchvision"}, IMAGES,
     saved_safetensors, "timm"),
    ("timm_resnet50d", timms("resnet50d"), {"arch": "resnet50_vd", "variant": "torchvision"}, IMAGES, saved_plain,
     "timm"),
    ("hf_resnet18", hf(transformers.ResNetForImageClassification, lambda: resnet_config(*BASIC)), {"arch": "resnet18"},
     IMAGES, saved_pretrained, "huggingface"),
    ("hf_resnet50", hf(transformers.ResNetForImageClassification, lambda: resnet_config(*WIDE)), {"arch": "resnet50"},
     IMAGES, saved_plain, "huggingface"),
    ("hf_bert", hf(transformers.BertForSequenceClassification, bert_config), BERT, TOKENS, saved_pretrained,
     "huggingface"),
    ("hf_bert_shards", hf(transformers.BertForSequenceClassification, bert_config), BERT, TOKENS, saved_in_shards,
     "huggingface"),
    ("hf_bert_pt", hf(transformers.BertForSequenceClassification, bert_config), BERT, TOKENS, saved_plain,
     "huggingface"),
    ("hf_bert_pooler", hf(transformers.BertModel, bert_config, "pooler_output"), dict(BERT, classes=0), TOKENS,
     saved_pretrained, "huggingface"),
]
# Networks that begin with another head, or none: these are loaded all but their heads.
HEADLESS = [
    ("hf_bert_masked_lm", hf(transformers.BertForMaskedLM, bert_config), dict(BERT, pooler=False),
     ["classifier.weight", "classifier.bias"]),
    ("hf_resnet", hf(transformers.ResNetModel, lambda: resnet_config(*BASIC)), {"arch": "resnet18"},
     ["fc.weight", "fc.bias"]),
]


def a_net(make):
    torch.manual_seed(1)
    net = shaken(make())
    return net, getattr(net, "net", net).state_dict()


def samples(shape):
    return torch.from_numpy(ours.drawn(shape, ROWS, CLASSES, VOCABULARY))


def whole(model):
    classes = {} if model["arch"] == "mlp" or "classes" in model else {"classes": CLASSES}
    return dict(model, **classes)


def a_job(model, shape, **training):
    return ours.a_job(whole(model), ROWS, VOCABULARY if len(shape) == 1 else 0, **training)


@rows(NETS)
def the_same_logits_there_and_back(name, make, model, shape, save, dialect):
    net, state = a_net(make)
    x = samples(shape)
    job = a_job(model, shape)
    path = save(net, state)
    before = {k: t.clone() for k, t in state.items()}
    p = ours.plan(job, path)
    assert p["dialect"] == dialect, (p["dialect"], p["runner_up"])
    with torch.no_grad():
        theirs = net(x).numpy()
    assert theirs.std(0).max() > 1e-3 * np.abs(theirs).max(), "samples that look alike show nothing"
    there = ours.near(ours.logits(job, path), theirs, NEAR, "logits of their file")
    checkpoint, _ = ours.train(job, path)
    for back in back_again(job, checkpoint, p):
        assert set(back) == set(state), sorted(set(back) ^ set(state))
        assert any(not torch.equal(back[k], before[k]) for k in back), "nothing was trained"
        getattr(net, "net", net).load_state_dict(back, strict=True)
    with torch.no_grad():
        theirs = net(x).numpy()
    here = ours.near(ours.logits(job, checkpoint), theirs, NEAR, "logits of our checkpoint")
    print(f"    {name}: {p['summary'].split(';')[0]}; logits {there:.1e} and {here:.1e} apart")


def back_again(job, checkpoint, p):
    """A checkpoint's tensors by the names that their file has, out of each kind of file."""
    names = {t["name"]: t.get("from", t["name"]).removeprefix("module.") for t in p["tensors"] if "model_shape" in t}
    stem = {k.rpartition(".")[0]: v.rpartition(".")[0] for k, v in names.items()}

    def called(k):
        at, _, last = k.rpartition(".")
        return f"{stem[at]}.{last}" if last == "num_batches_tracked" else names[k]

    for loaded in (torch.load(ours.export(job, checkpoint, "ours.pt"), weights_only=True),
                   safetensors.torch.load_file(ours.export(job, checkpoint, "ours.safetensors"))):
        names.update({k.replace("._mean", ".running_mean").replace("._variance", ".running_var"): v
                      for k, v in names.items()})
        yield {called(k): t for k, t in loaded.items()}


@rows(HEADLESS)
def all_but_the_head_is_loaded(name, make, model, new):
    net, _ = a_net(make)
    shape = TOKENS if model["arch"] == "bert" else IMAGES
    samples(shape)
    job = a_job(dict(model, strict=False), shape)
    net.net.save_pretrained("theirs")
    p = json.loads(ours.trainer(job, "--plan", "--json", "--model", "theirs/model.safetensors"))
    assert p["accepted"] and p["dialect"] == "huggingface", p
    left = [t["name"] for t in p["tensors"] if "model_shape" in t and t["loaded"] < t["elements"]]
    assert left == new, left


@case
def transformers_opens_our_bert():
    net, state = a_net(hf(transformers.BertForSequenceClassification, bert_config))
    x = samples(TOKENS)
    job = a_job(BERT, TOKENS)
    checkpoint, _ = ours.train(job, saved_pretrained(net, state))
    os.makedirs("folder")
    ours.export(job, checkpoint, "folder/model.safetensors")
    bert_config().save_pretrained("folder")
    for kind, of in ((transformers.BertForSequenceClassification, "logits"), (transformers.BertModel, None)):
        back, said = kind.from_pretrained("folder", output_loading_info=True)
        assert not said["missing_keys"] and not said["mismatched_keys"], said
        if of:
            assert not said["unexpected_keys"], said
            with torch.no_grad():
                theirs = Logits(back.eval())(x).numpy()
            ours.near(ours.logits(job, checkpoint), theirs, NEAR, "logits of what from_pretrained opened")


ours.main()
