#!/usr/bin/env python3
"""Files that we write, loaded by real PyTorch.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_files.py [part of a case]

That we read PyTorch's files is tests/outside's.
"""
import ours
from ours import case, drive

ours.under("TORCH_PYTHON")

import zipfile

import torch


def load(path):
    # Before 2.0 weights_only=True takes no number with a fraction, of whomever.
    return torch.load(path, map_location="cpu", weights_only=int(torch.__version__.split(".")[0]) >= 2)


def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
                               torch.nn.Linear(144, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 3))


OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, centered=True, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
}


def step(n, o, i):
    g = torch.Generator().manual_seed(i)
    x, y = torch.randn(5, 1, 8, 8, generator=g), torch.randint(0, 3, (5,), generator=g)
    o.zero_grad()
    loss = torch.nn.functional.cross_entropy(n(x), y)
    loss.backward()
    o.step()
    return float(loss.detach())


def trained(name, steps=5):
    n = net()
    o = OPTIMIZERS[name](n.parameters())
    for i in range(steps):
        step(n, o, i)
    return n, o


@case
def a_state_dict_that_we_write_is_loaded():
    n, _ = trained("adam")
    torch.save(n.state_dict(), "theirs.pt")
    drive("write", "pt", "theirs.pt", "ours.pt")
    loaded = load("ours.pt")
    assert list(loaded) == list(n.state_dict())
    for k, t in n.state_dict().items():
        assert torch.equal(loaded[k], t) and loaded[k].dtype == t.dtype and loaded[k].shape == t.shape, k
        assert loaded[k].is_contiguous() and loaded[k].stride() == t.stride(), k
    net().load_state_dict(loaded)
    assert zipfile.ZipFile("ours.pt").testzip() is None


@case
def each_type_that_we_write_is_loaded():
    base = torch.tensor([[1.5, -2], [0, 3]])
    kinds = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
             torch.int8, torch.uint8, torch.bool, torch.complex64]
    state = {str(k)[6:]: base.to(k) for k in kinds}
    state.update(scalar=torch.tensor(2.5), empty=torch.zeros(0, 3), one=torch.zeros(3, 1, 2))
    torch.save(state, "theirs.pt")
    drive("write", "pt", "theirs.pt", "ours.pt")
    loaded = load("ours.pt")
    assert list(loaded) == list(state)
    for k, t in state.items():
        assert loaded[k].dtype == t.dtype and loaded[k].shape == t.shape and torch.equal(loaded[k], t), k


@case
def training_goes_on_from_our_model_and_optimiser_bit_for_bit():
    for name, make in OPTIMIZERS.items():
        n, o = trained(name)
        # Below 2.0 some keep their step as a number of Python's, which format_out_drive does not carry.
        if not all(torch.is_tensor(v) or v is None for s in o.state_dict()["state"].values() for v in s.values()):
            print("    not with this version:", name)
            continue
        torch.save(n.state_dict(), "n.pt")
        torch.save(o.state_dict(), "o.pt")
        drive("write", "pt", "n.pt", "ours.pt")
        drive("state", "pt", "o.pt", "ours_o.pt")
        m, p = trained(name, 1)
        m.load_state_dict(load("ours.pt"))
        p.load_state_dict(load("ours_o.pt"))
        theirs, group = o.state_dict()["param_groups"][0], p.state_dict()["param_groups"][0]
        assert group == theirs, (group, theirs)
        for i in range(5, 9):
            assert step(n, o, i) == step(m, p, i), (name, i)
        for a, b in zip(n.parameters(), m.parameters()):
            assert torch.equal(a, b), name


@case
def thousands_of_tensors_are_loaded():
    state = {f"t{i}": torch.full((i % 5,), float(i)) for i in range(5000)}
    torch.save(state, "theirs.pt")
    drive("write", "pt", "theirs.pt", "ours.pt")
    loaded = load("ours.pt")
    assert all(torch.equal(loaded[k], t) for k, t in state.items()) and len(loaded) == len(state)


ours.main()
