#!/usr/bin/env python3
"""A checkpoint in shards is a folder that Hugging Face's libraries load as it is.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_shards.py [part of a case]

TORCH_PYTHON is an interpreter with torch, transformers and safetensors.
"""
import glob
import json
import os
import subprocess

import ours
from ours import case

ours.under("TORCH_PYTHON")

import torch
import transformers
from huggingface_hub import load_torch_model
from safetensors.torch import load_file

JOB = {"name": "job", "model": {"arch": "mlp", "sizes": [784, 128, 16, 10]},
       "training": {"epochs": 1, "parameters": [{"match": "fc1.*", "trainable": False}]},
       "data": {"train": {"type": "synthetic", "shape": [784], "classes": 10, "samples": 320}}}
SIZES = ((784, 128), (128, 16), (16, 10))


def checkpoint():
    """Its folder, and its tensors as our own whole file has them."""
    with open("job.json", "w") as f:
        json.dump(JOB, f)
    train = f"{ours.BUILD}/rekindle-train"
    subprocess.run([train, "--run-dir", "run", "job.json"], check=True, capture_output=True)
    folder = os.path.abspath(sorted(glob.glob("run/checkpoints/step-*"))[-1])
    assert len(glob.glob(f"{folder}/frozen-*.safetensors")) == 1, os.listdir(folder)
    subprocess.run([train, "--export", folder, "job.json", "whole.safetensors"], check=True,
                   stdout=subprocess.DEVNULL)
    return folder, load_file("whole.safetensors")


def same(net, want):
    have = net.state_dict()
    assert set(have) == set(want), f"{set(have)} is not {set(want)}"
    for name, x in want.items():
        assert torch.equal(have[name], x), name


@case
def the_hub_loads_all_of_it():
    folder, want = checkpoint()
    net = torch.nn.Module()
    for k, (a, b) in enumerate(SIZES):
        net.add_module(f"fc{k + 1}", torch.nn.Linear(a, b))
    load_torch_model(net, folder, strict=True, safe=True)
    same(net, want)


class Config(transformers.PretrainedConfig):
    model_type = "ours"


class Net(transformers.PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        for k, (a, b) in enumerate(SIZES):
            self.add_module(f"fc{k + 1}", torch.nn.Linear(a, b))
        self.post_init()


@case
def transformers_load_the_folder():
    folder, want = checkpoint()
    same(Net.from_pretrained(folder, config=Config()), want)


ours.main()
