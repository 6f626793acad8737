#!/usr/bin/env python3
"""Write files as PyTorch saves them, and what PyTorch reads out of all that are there.

    make_weights.py        into tests/outside/samples/torch

By Debian's PyTorch 1.13 most of them, by a PyTorch from 2.5 on those that 1.13 cannot make
(those there are made with 2.15); what is there already under another name stays.
expected.json has for each file that PyTorch loads {path: [dtype, shape, SHA-256 of the
elements in C order]}; tests/outside/torch_files.py compares.
"""
import argparse
import collections
import datetime
import glob
import hashlib
import json
import os
import pathlib
import warnings

import numpy as np
import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../outside/samples/torch")
WORDS = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
         torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128"}
NEW = int(torch.__version__.split(".")[0]) >= 2
if NEW:
    WORDS.update({torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64"})


def save(name, what, **how):
    torch.save(what, f"{FOLDER}/{name}", **how)


def training(net, state, optimizer):
    """All that loops of training put into a checkpoint beside the weights."""
    return {
        "epoch": np.int64(7), "best": np.float32(0.5), "half": np.float16(0.25), "byte": np.uint8(200),
        "negative": np.int32(-5), "truth": np.bool_(True), "history": [1.5] * 5,
        "args": argparse.Namespace(lr=0.1, name="x", sub=argparse.Namespace(k=3)), "path": pathlib.Path("/a/b"),
        "when": datetime.datetime(2020, 1, 1), "dtype": torch.float16, "device": torch.device("cuda:1"),
        "size": torch.Size([1, 2]), "default": collections.defaultdict(int, {"a": 1}),
        "counter": collections.Counter("abca"), "set": {1}, "frozen": frozenset([1]), "complex": 1 + 2j,
        "bytes": b"abc\xff", "none": None, "big": 2**70, "small": -2**70,
        "array": np.arange(6, dtype=np.float64).reshape(2, 3).T,
        "fortran": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)),
        "texts": np.array(["a", "b"]), "objects": np.array([1, "x"], dtype=object),
        "records": np.zeros(2, dtype=[("a", "f4")]), "model": net.state_dict(),
        "model_ema": {"module." + k: v + 1 for k, v in state.items()}, "optimizer": optimizer.state_dict(),
        "scaler": {"scale": 1024.0}, "best_acc": torch.tensor(0.75),
    }


def make():
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    state = net.state_dict()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    adam = torch.optim.Adam(net.parameters(), amsgrad=True)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    adam.step()
    save("protocol4.pt", state, pickle_protocol=4)
    save("protocol5.pt", state, pickle_protocol=5)
    save("protocol4_legacy.pt", state, pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("one_tensor.pt", torch.arange(6.).reshape(2, 3).t())
    save("list.pt", [torch.ones(2), (torch.zeros(3), {"a": torch.ones(1)})])
    save("training.pt", training(net, state, sgd))
    save("two_models.pt", {"G": state, "D": state, "opt_G": sgd.state_dict(), "opt_D": adam.state_dict()})
    save("optimizer.pt", adam.state_dict())
    save("nested.pt", {"model": {"state_dict": {"_orig_mod.module." + k: v for k, v in state.items()}}})
    save("only_average.pt", {"ema": {"module": state, "updates": 4}})
    save("lightning.ckpt", {"state_dict": state, "optimizer_states": [adam.state_dict()],
                            "pytorch-lightning_version": "1.9.0", "hyper_parameters": {"lr": 0.1}})
    save("views.pt", {"spread": torch.ones(1, 1).expand(3, 4), "empty": torch.zeros(0, 3), "one": torch.tensor(3),
                      "cut": torch.arange(24.).reshape(2, 3, 4).permute(2, 0, 1)[1:, :, ::2],
                      "complex": torch.ones(3, dtype=torch.complex64)})
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.extra = 5
    save("parameter_state.pt", {"p": parameter})
    save("keys.pt", {(1, 2): torch.ones(2), 1: torch.ones(3), "ok": torch.ones(1)})
    save("BAD_sparse.pt", {"a": torch.eye(3).to_sparse()})
    save("BAD_quantised.pt", {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)})
    save("complex128.pt", {"a": torch.ones(3, 2, dtype=torch.complex128).cumsum(0).t()})
    save("BAD_meta.pt", {"a": torch.ones(3, device="meta")})
    save("BAD_module_legacy.pt", torch.nn.Linear(1, 1), _use_new_zipfile_serialization=False)
    save("BAD_storage_alone.pt", torch.FloatStorage(3))
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), f"{FOLDER}/BAD_script.pt")


def make_new():
    torch.manual_seed(2)
    four = torch.arange(4)
    save("new_unsigned.pt", {"u16": four.to(torch.uint16), "u32": four.to(torch.uint32)[1:],
                             "u64": four.to(torch.uint64).view(2, 2).t()})
    net = torch.nn.Linear(2, 1)
    adamw = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    adamw.step()
    save("new_adamw.pt", {"model": net.state_dict(), "optimizer": adamw.state_dict(), "torch": torch.__version__,
                          "buffer": torch.nn.Buffer(torch.ones(2))})
    save("BAD_new_float8.pt", {"a": torch.ones(3).to(torch.float8_e4m3fn)})
    save("BAD_new_conjugate.pt", {"a": torch.tensor([1 + 2j]).conj()})
    save("BAD_new_csr.pt", {"a": torch.eye(2).to_sparse_csr()})


def tensors_of(what, path=""):
    if isinstance(what, torch.Tensor):
        yield path or "tensor", what
    elif isinstance(what, np.ndarray) and what.dtype.kind in "fiu":
        yield path, torch.from_numpy(np.ascontiguousarray(what).astype(what.dtype.newbyteorder("=")))
    elif isinstance(what, (dict, list, tuple)):
        for key, value in what.items() if isinstance(what, dict) else enumerate(what):
            if isinstance(key, (str, int)):
                yield from tensors_of(value, f"{path}.{key}" if path else str(key))


def digest(t):
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return hashlib.sha256(t.numpy().tobytes()).hexdigest()


def main():
    warnings.simplefilter("ignore")
    with open(f"{FOLDER}/expected.json") as f:
        expected = json.load(f)
    how = {"weights_only": False} if NEW else {}
    make_new() if NEW else make()
    for path in sorted(glob.glob(f"{FOLDER}/*.*t*")):
        name = os.path.basename(path)
        if name.startswith("new_") == NEW and not name.startswith("BAD_") and name != "expected.json":
            expected[name] = {k: [WORDS[t.dtype], list(t.shape), digest(t)]
                              for k, t in tensors_of(torch.load(path, map_location="cpu", **how))}
    with open(f"{FOLDER}/expected.json", "w") as f:
        lines = (f"{json.dumps(name)}: {json.dumps(v, sort_keys=True)}" for name, v in sorted(expected.items()))
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
