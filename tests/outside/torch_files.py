#!/usr/bin/env python3
"""Files that torch.save wrote, read by our own reader: what PyTorch reads out of them
(tests/numerics/make_weights.py stored it), which part is the model, and what is refused.
"""
import glob
import json
import os
import resource
import struct
import subprocess
import zipfile

from t import BUILD, SANITIZED, SHARED, Skip, case, eq, has, run

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples/torch")


def read(*paths):
    """What format_drive prints of each file; the most memory that it had, in bytes; its seconds of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    p = subprocess.run([f"{BUILD}/unit/format_drive", *paths], capture_output=True, text=True)
    eq(p.returncode, 0, f"what format_drive exits with ({p.stderr})")
    *files, peak = map(json.loads, p.stdout.splitlines())
    return files, peak << 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def one(name):
    return read(f"{SAMPLES}/{name}")[0][0]


def names(told, role):
    return [t["name"] for t in told["tensors"] if t["role"] == role]


@case("each file of PyTorch gives the tensors that PyTorch reads out of it", "stopped")
def _(d):
    with open(f"{SAMPLES}/expected.json") as f:
        expected = json.load(f)
    eq(sorted(expected), sorted(os.path.basename(p) for p in glob.glob(f"{SAMPLES}/*.*t*")
                                if "BAD_" not in p and not p.endswith(".json")), "files with expected tensors")
    told, _, _ = read(*(f"{SAMPLES}/{name}" for name in sorted(expected)))
    for name, file in zip(sorted(expected), told):
        assert "refused" not in file, f"{name}: {file}"
        got = {t["path"]: [t["dtype"], t["shape"], t["sha256"]] for t in file["tensors"]}
        for path in set(got) | set(expected[name]):
            eq(got.get(path), expected[name].get(path), f"{path} of {name}")


@case("each bad file of PyTorch is refused with its reason", "stopped")
def _(d):
    reasons = {
        "legacy_magic.pt": "its magic number is another",
        "legacy_truncated_storage.pt": "is cut off",
        "meta.pt": "a: is a tensor without data",
        "missing_storage0.pt": 'fc.weight: its storage, "0", is not in the archive',
        "module_legacy.pt": "the file asks for torch.nn.modules.linear.Linear; nothing was run",
        "negative_stride.pt": "fc.weight: has a negative stride, -1",
        "new_conjugate.pt": "a: is to be negated or conjugated when it is read",
        "new_csr.pt": "a: is a sparse tensor",
        "new_float8.pt": "a: is of F8_E4M3, which is not taken",
        "os_system_legacy.pt": "the file asks for posix.system; nothing was run: it is no file of weights",
        "os_system_zip.pt": "the file asks for posix.system; nothing was run: it is no file of weights",
        "quantised.pt": "a: is a quantised tensor, which is not taken: save it again as float32",
        "script.pt": "is a TorchScript archive",
        "size_too_big.pt": "fc.weight: is [255,6] from element 0 on, which reaches out of its storage of 24",
        "sparse.pt": "a: is a sparse tensor, which is not taken: save it again dense",
        "storage_alone.pt": "has no tensor",
        "storage_short.pt": "fc.weight: its storage has 8 bytes in the archive, the pickle says 24 elements of 4",
        "unknown_global.pt": "the file asks for posix.system",
        "whole_module_zip.pt": "the file asks for __main__.M; nothing was run",
    }
    eq(sorted(reasons), sorted(os.path.basename(p)[4:] for p in glob.glob(f"{SAMPLES}/BAD_*")), "bad files")
    for name, part in reasons.items():
        has(one(f"BAD_{name}").get("refused", "taken"), part)


@case("the model of a checkpoint is found by its name and the rest keeps its role", "stopped")
def _(d):
    told = one("training.pt")
    weights = ["0.weight", "0.bias", "1.weight", "1.bias"]
    eq(told["model"], "model", "model")
    eq(names(told, "model"), weights, "tensors of the model")
    eq(names(told, "average"), weights, "tensors of the average")
    eq(sorted(names(told, "other")), ["array", "best_acc", "fortran"], "tensors of nothing")
    eq([(t["of"], t["slot"]) for t in told["tensors"] if t["role"] == "optimizer"],
       [(str(i), "momentum_buffer") for i in range(4)], "state of the optimiser")
    has(told["notes"][0], 'the weights are "model"; beside it are what no part has (other, 3 tensors), "model_ema" '
                          '(average, 4 tensors), "optimizer" (optimizer, 4 tensors)')

    told = one("two_models.pt")
    eq(names(told, "model"), [f"{m}.{n}" for m in "GD" for n in weights], "tensors of two models")
    has(told["notes"][0], "no part of the file is called as a model is, so all are taken")
    eq(told["optimizer"], "opt_G", "the first optimiser")
    eq(len(names(told, "other")), 16, "tensors of the second optimiser")
    eq([t["same_as"] for t in told["tensors"]][:8], [-1] * 4 + [0, 1, 2, 3], "which are the same")

    told = one("nested.pt")
    eq((told["model"], names(told, "model")), ("model.state_dict", weights), "model in a model")
    has(told["notes"][0], 'all names began with "_orig_mod.module."')

    told = one("only_average.pt")
    eq((told["model"], names(told, "model")), ("ema.module", weights), "an average alone")
    has(told["notes"][0], 'the weights are the moving average "ema.module"')

    told = one("optimizer.pt")
    eq((told["model"], told["optimizer"]), (None, ""), "model and optimiser")
    eq([(t["of"], t["slot"]) for t in told["tensors"]][:4],
       [("0", "step"), ("0", "exp_avg"), ("0", "exp_avg_sq"), ("0", "max_exp_avg_sq")], "state of a parameter")
    eq(told["values"]["param_groups.0.betas.1"], 0.999, "beta")

    told = one("lightning.ckpt")
    eq((told["model"], told["optimizer"]), ("state_dict", "optimizer_states.0"), "parts of Lightning's checkpoint")

    told = one("new_adamw.pt")
    eq([(t["of"], t["slot"]) for t in told["tensors"] if t["role"] == "optimizer"],
       [(str(i), slot) for i in range(2) for slot in ("step", "exp_avg", "exp_avg_sq")], "state of AdamW")
    eq(told["values"]["torch"][:2], "2.", "version that the user put there")

    told = one("keys.pt")
    has(told["notes"][0], "1 key that is neither text nor a whole number is passed over")


@case("numbers and texts beside the weights are listed by their paths", "stopped")
def _(d):
    told = one("training.pt")
    for path, want in {
        "epoch": 7, "best": 0.5, "half": 0.25, "byte": 200, "negative": -5, "truth": 1, "history.4": 1.5,
        "args.lr": 0.1, "args.name": "x", "args.sub.k": 3, "device": "cuda", "size.1": 2, "default.a": 1,
        "counter.a": 2, "none": None, "big": 2.0**70, "small": -2.0**70, "scaler.scale": 1024,
        "optimizer.param_groups.0.momentum": 0.9, "optimizer.param_groups.0.params.3": 3,
    }.items():
        assert path in told["values"], f"{path} is not listed"
        eq(told["values"][path], want, path)


@case("of real weights each format gives the same tensors", "stopped")
def _(d):
    weights = f"{SHARED}/data/weights"
    if not os.path.exists(weights):
        raise Skip(f"no weights at {weights}")
    files, _, _ = read(*(f"{weights}/{name}" for name in ("resnet20.safetensors", "resnet20_zip.pt",
                                                       "resnet20-12fca82f.th")))
    want = {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in files[0]["tensors"]}
    eq(len(want), 97, "tensors of ResNet-20")
    for file in files[1:]:
        eq({t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in file["tensors"]}, want, "tensors")


def archive(path, pickle, members=(), compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as z:
        z.writestr("archive/data.pkl", pickle)
        for name, data in members:
            z.writestr(name, data)


def tensor(size, stride, numel, key=b"0", cls=b"FloatStorage"):
    """The pickle of a tensor."""
    def tuple_of(v):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", x) for x in v) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n" + cls + b"\nU" + bytes([len(key)]) + key +
            b"U\x03cpu" + b"\x8a\x08" + struct.pack("<q", numel) + b"tQK\0" + tuple_of(size) + tuple_of(stride) +
            b"\x89NtR")


@case("what is made to take time or memory takes neither", "stopped")
def _(d):
    if SANITIZED:
        raise Skip("memory is not the program's own under a sanitizer")
    hostile = {}

    def add(name, want, pickle, members=(), compress=zipfile.ZIP_STORED):
        hostile[name] = want
        archive(f"{d.root}/{name}", b"\x80\x02" + pickle + b".", members, compress)

    # Lists of ten times the list before: 10^20 items to whoever goes through all.
    bomb = b"]q\0(" + b"K\1" * 10 + b"e"
    for i in range(20):
        bomb += b"]q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 10 + b"e"
    add("bomb", "again and again", b"(" + bomb + b"t")
    add("deep", "more than 100 deep", b"N" + b"\x85" * 200000)
    add("lists", "takes more than", b"(" + b"]" * 5000000 + b"t")
    add("nones", "takes more than", b"(" + b"N" * 50000000 + b"t", compress=zipfile.ZIP_DEFLATED)
    add("cycle", "holds itself", b"]q\0h\0a")
    add("dict", "holds itself", b"}q\0U\1ah\0s")
    add("twice", 'has a key twice: the text \\"a\\"', b"}(U\1aK\1U\1aK\2u")
    add("overflow", "more elements than can be counted", b"}U\1a" + tensor([2**62, 8], [1, 1], 4) + b"s",
        [("archive/data/0", b"\0" * 16)])
    add("spread", "made of a storage of only 4 elements", b"}U\1a" + tensor([2**40], [0], 4) + b"s",
        [("archive/data/0", b"\0" * 16)])
    add("reach", "reaches out of its storage", b"}U\1a" + tensor([2], [2**62], 4) + b"s",
        [("archive/data/0", b"\0" * 16)])
    add("numel", "its storage has 16 bytes", b"}U\1a" + tensor([2], [1], 2**62) + b"s",
        [("archive/data/0", b"\0" * 16)])
    add("many", "takes more than", b"}" + b"".join(b"U\7%07d" % i + tensor([1], [1], 1) + b"s" for i in range(100000)),
        [("archive/data/0", b"\0" * 4)])
    add("zeros", "unpack to 381.5 MiB", b"}U\1a" + tensor([10000, 10000], [1, 10000], 10**8) + b"s",
        [("archive/data/0", b"\0" * (4 * 10**8))], zipfile.ZIP_DEFLATED)
    for name, want in hostile.items():
        (told,), peak, seconds = read(f"{d.root}/{name}")
        has(json.dumps(told)[:400], want)
        size = os.path.getsize(f"{d.root}/{name}")
        assert peak <= size + (64 << 20), f"{name}: {size} bytes took {peak}"
        # 0.1 s where it was written.
        assert seconds < 5, f"{name}: took {seconds} s"


run()
