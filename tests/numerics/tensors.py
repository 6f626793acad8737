"""safetensors files to tensors of PyTorch and back, with nothing but PyTorch.

The format: u64 LE header length, a JSON header {name: {dtype, shape,
data_offsets}}, the bytes.  These files are the tests' own: nothing is checked
that our own readers and writers promise.
"""
import ctypes
import json
import struct

import torch

TYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "I64": torch.int64}
WORDS = {v: k for k, v in TYPES.items()}


def load(path):
    """({name: tensor}, {key: text}) of a file."""
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = bytearray(f.read())
    meta = header.pop("__metadata__", {})
    out = {}
    for name, t in header.items():
        count = 1
        for d in t["shape"]:
            count *= d
        dtype, start = TYPES[t["dtype"]], t["data_offsets"][0]
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=start) if count else torch.empty(0, dtype=dtype)
        out[name] = flat.clone().reshape(t["shape"])
    return out, meta


def save(path, tensors, meta=None):
    """Write {name: tensor}; the larger types first, so that all lie aligned."""
    header, at, order = {}, 0, sorted(tensors, key=lambda k: -tensors[k].element_size())
    if meta:
        header["__metadata__"] = meta
    flat = {k: tensors[k].detach().contiguous() for k in order}
    for k in order:
        size = flat[k].numel() * flat[k].element_size()
        header[k] = {"dtype": WORDS[flat[k].dtype], "shape": list(flat[k].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for k in order:
            f.write(ctypes.string_at(flat[k].data_ptr(), flat[k].numel() * flat[k].element_size()))
