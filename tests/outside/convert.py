#!/usr/bin/env python3
"""rekindle weights convert: anyone's file of weights as another framework's."""
import glob
import gzip
import json
import os
import resource
import shutil
import struct
import subprocess
import tarfile

from leftovers import newest, npy
from t import BUILD, SHARED, Skip, case, eq, has, limit, run

FORMS = ("pdparams", "pt", "safetensors")
WEIGHTS = f"{SHARED}/data/weights"
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus")


def rekindle(d, *args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle", "weights", *args], capture_output=True, text=True, cwd=d.root,
                       timeout=limit(120))
    eq(r.returncode, want, f"exit of {args} ({r.stdout[-400:]} {r.stderr[-400:]})")
    return r.stdout if want == 0 else r.stderr


def show(d, path):
    return json.loads(rekindle(d, "show", path, "--statistics", "--json"))


def tensors(d, path):
    return {t["name"]: t for t in show(d, path)["tensors"]}


def digests(d, path):
    return {n: (t["dtype"], t["shape"], t["sha256"]) for n, t in tensors(d, path).items()}


def trainer(d, job, *args):
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    at = args.index("JOB")
    r = subprocess.run([f"{BUILD}/rekindle-train", "--threads", "1", *args[:at], path, *args[at + 1:]], cwd=d.root,
                       capture_output=True, text=True, timeout=limit(120))
    eq(r.returncode, 0, f"exit of {args} ({r.stderr[-500:]})")
    return r.stdout


def evaluated(d, job, path):
    e = json.loads(trainer(d, job, "--evaluate", path, "--logits", f"{d.root}/out.npy", "JOB"))
    return e["loss"], npy(f"{d.root}/out.npy")


def job(name, model, data):
    return {"name": name, "resources": {"threads": 1, "memory": "256MiB"}, "model": model,
            "training": {"steps": 3, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": 0.003}},
            "data": {"train": {"type": "synthetic", "samples": 40, **data}}}


RESNET = job("resnet", {"arch": "resnet20", "classes": 7}, {"shape": [3, 32, 32], "classes": 7})
# Square matrices.
LAYERS = job("layers", {"input": [4], "layers": [{"type": "linear", "out": 4}, "batch_norm", "relu",
                                                 {"type": "linear", "out": 4}]}, {"shape": [4], "classes": 4})
BERT = job("bert", {"arch": "bert", "vocabulary": 60, "hidden": 32, "depth": 2, "heads": 4, "intermediate": 64,
                    "positions": 24, "classes": 4}, {"tokens": 20, "vocabulary": 60, "classes": 4})


def trained(d, j):
    """The folder of a checkpoint, and each form of it."""
    trainer(d, j, "--run-dir", f"{d.root}/{j['name']}", "JOB")
    ckpt = newest(f"{d.root}/{j['name']}")
    for form in FORMS:
        trainer(d, j, "--export", ckpt, "JOB", f"{j['name']}.{form}")
    return ckpt


@case("with a model each form becomes each other, to the byte that an export of the checkpoint has", "stopped")
def _(d):
    for j, arch in ((RESNET, ["--arch", "{arch: resnet20, classes: 7}"]), (LAYERS, ["--job", "layers.json"]),
                    (BERT, ["--job", "bert.json"])):
        name = j["name"]
        ckpt = trained(d, j)
        want = evaluated(d, j, ckpt)
        for source in FORMS:
            for to in FORMS:
                out = f"{source}-{to}.{to}"
                said = rekindle(d, "convert", f"{name}.{source}", "--to", to, "-o", out, *arch)
                has(said, f"{out}: ")
                has(said, "0 missing")
                got, exported = digests(d, out), digests(d, f"{name}.{to}")
                counts = [n for n in exported if n.endswith("num_batches_tracked")]
                for n in counts:        # the file that is converted has none, or is not asked
                    eq(got.pop(n)[:2], exported.pop(n)[:2], n)
                eq(got, exported, f"{name}: {source} to {to}")
                eq({n: t["alias"] for n, t in tensors(d, out).items()},
                   {n: t["alias"] for n, t in tensors(d, f"{name}.{to}").items()}, f"{name}: {source} to {to}")
                eq(evaluated(d, j, f"{d.root}/{out}"), want, f"{name}: {source} to {to}")


@case("what a job says of its pictures is the sample's shape, though its data are elsewhere", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    trained(d, RESNET)
    want = None
    for k, (train, more) in enumerate((({"type": "synthetic", "shape": [3, 32, 32], "classes": 7, "samples": 9}, {}),
                                       ({"type": "image_folder", "path": "gone", "channels": 3, "size": 32}, {}),
                                       ({"type": "cifar", "path": "gone", "classes": 10}, {}),
                                       ({"type": "image_folder", "path": "gone"}, {"transforms": {
                                           x: [{"type": "center_crop", "size": 32}] for x in ("train", "validation")}}))):
        with open(f"{d.root}/said{k}.json", "w") as f:
            json.dump({**RESNET, "name": "said", "data": {"train": train, **more}}, f)
        has(rekindle(d, "convert", "resnet.pdparams", "--to", "safetensors", "-o", f"{k}.safetensors", "--job",
                     f"said{k}.json"), "0 missing")
        got = digests(d, f"{k}.safetensors")
        want = want or got
        eq(got, want)


@case("without a model names stay, and linear weights are turned where Paddle's own names tell them", "stopped")
def _(d):
    trained(d, LAYERS)
    said = rekindle(d, "convert", "layers.pdparams", "--to", "pt", "--force")
    has(said, "2 weights of linear layers are turned")
    paddle, torch, ours = (digests(d, f"layers.{x}") for x in ("pdparams", "pt", "safetensors"))
    eq(set(torch), set(paddle))
    eq((torch["0.weight"], torch["3.weight"]), (ours["0.weight"], ours["3.weight"]))
    assert torch["3.weight"] != paddle["3.weight"]
    eq(torch["1._mean"], paddle["1._mean"])
    # A safetensors file keeps the layout, and says whose it is.
    rekindle(d, "convert", "layers.pdparams", "--to", "safetensors", "-o", "pd.safetensors")
    eq((digests(d, "pd.safetensors"), show(d, "pd.safetensors")["framework"]), (paddle, "paddle"))
    has(rekindle(d, "convert", "pd.safetensors", "--to", "pt", want=1), "0.weight, 3.weight")


@case("a recurrent layer gets the second key that Paddle has, once, and is not turned", "stopped")
def _(d):
    head, data = {}, b""
    for k, (name, shape) in enumerate((("rnn.weight_ih_l0", [8, 2]), ("rnn.weight_hh_l0", [8, 2]),
                                       ("rnn.bias_ih_l0", [8]), ("rnn.weight_ih_l0_reverse", [8, 2]))):
        n = 4 * (shape[0] * (shape[1] if len(shape) > 1 else 1))
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + n]}
        data += bytes([k]) * n
    text = json.dumps(head).encode()
    with open(f"{d.root}/rnn.safetensors", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + data)
    rekindle(d, "convert", "rnn.safetensors", "--to", "pdparams")
    got = digests(d, "rnn.pdparams")
    eq(sorted(got), sorted([*head, "rnn.0.cell_fw.weight_ih", "rnn.0.cell.weight_hh", "rnn.0.cell.bias_ih",
                            "rnn.0.cell_bw.weight_ih"]))
    eq((got["rnn.0.cell_bw.weight_ih"], got["rnn.weight_ih_l0_reverse"][1]),
       (got["rnn.weight_ih_l0_reverse"], [8, 2]))
    rekindle(d, "convert", "rnn.pdparams", "--to", "pt")
    rekindle(d, "convert", "rnn.pt", "--to", "pdparams", "-o", "again.pdparams")
    eq(digests(d, "again.pdparams"), got)


@case("matrices of which nobody tells what they are are refused, or left as they lie where that is asked for",
      "stopped")
def _(d):
    trained(d, LAYERS)
    os.unlink(f"{d.root}/layers.pdparams")
    err = rekindle(d, "convert", "layers.pt", "--to", "pdparams", "--force", want=1)
    has(err, "which of its matrices are such weights: 0.weight, 3.weight; say --arch or --job, or --as-is")
    assert not os.path.exists(f"{d.root}/layers.pdparams")
    has(rekindle(d, "convert", "layers.pt", "--to", "pdparams", "--as-is", "--force"), "2 matrices are left as they lie")
    eq(digests(d, "layers.pdparams")["3.weight"], digests(d, "layers.pt")["3.weight"])
    # Nothing to tell: the layout is the same.
    before = digests(d, "layers.pt")
    rekindle(d, "convert", "layers.pt", "--to", "safetensors", "-o", "same.safetensors")
    eq((digests(d, "same.safetensors"), show(d, "same.safetensors")["framework"]), (before, "pytorch"))


@case("a model that is not the file's, a form that is none, the file itself: refused, and nothing is written", "stopped")
def _(d):
    trained(d, LAYERS)
    there = sorted(os.listdir(d.root))
    err = rekindle(d, "convert", "layers.pt", "--to", "pdparams", "-o", "x.pdparams", "--arch", "resnet18", want=1)
    has(err, "layers.pt is not of this network: ")
    has(rekindle(d, "convert", "layers.pt", "--to", "pdparams", "-o", "x", "--arch", "resnet19", want=1), "--arch: ")
    has(rekindle(d, "convert", "layers.pt", "--to", "pt", "--force", want=1), "would replace layers.pt itself")
    os.symlink("layers.pt", "{}/link.pt".format(d.root))
    has(rekindle(d, "convert", "link.pt", "--to", "pt", "-o", "./layers.pt", want=1), "would replace ./layers.pt itself")
    os.unlink(f"{d.root}/link.pt")
    # What nobody named is not replaced unasked, what is no file never.
    has(rekindle(d, "convert", "layers.pt", "--to", "safetensors", want=1), "layers.safetensors is there already: say -o")
    os.mkfifo(f"{d.root}/pipe")
    has(rekindle(d, "convert", "layers.pt", "--to", "safetensors", "-o", "pipe", want=1), "pipe: it is a pipe")
    os.unlink(f"{d.root}/pipe")
    for args in (["--to", "npz"], [], ["--to", "pdopt"]):
        has(rekindle(d, "convert", "layers.pt", *args, want=2), "--to safetensors, pdparams or pt")
    has(rekindle(d, "convert", "layers.pt", "--to", "pdparams", "-o", "x", "--arch", "resnet18", "--as-is", want=2),
        "together")
    has(rekindle(d, "convert", "nowhere.pt", "--to", "pdparams", "-o", "x", want=1), "nowhere.pt")
    has(rekindle(d, "show", "layers.pt", "--to", "pt", want=2), "usage: ")
    has(rekindle(d, "convert", "layers.pt", "--to", "safetensors", "-o", "no/where", want=1), "cannot write no/where")
    # Of two paths the one that is meant is named.
    head = json.dumps({"a": {"dtype": "U8", "shape": [8 << 20], "data_offsets": [0, 8 << 20]}}).encode()
    with open(f"{d.root}/large", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + bytes(8 << 20))
    r = subprocess.run([f"{BUILD}/rekindle", "weights", "convert", "large", "--to", "pt", "-o", "x"],
                       capture_output=True, text=True, cwd=d.root,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)))
    eq(r.returncode, 1)
    has(r.stderr, "cannot convert large: x cannot be written: File too large")
    os.unlink(f"{d.root}/large")
    eq(sorted(os.listdir(d.root)), there)


@case("a file that is named by nobody has the name of the file that is converted, in the form that it has", "stopped")
def _(d):
    head = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    body = struct.pack("<Q", len(head)) + head + b"x"
    os.mkdir(f"{d.root}/in")
    for name, made in (("a.safetensors", "in/a.pt"), ("b.best.safetensors.gz", "in/b.best.pt"), ("c", "in/c.pt"),
                       ("d.safetensors.index.json", "in/d.pt"), (".hidden", "in/.hidden.pt")):
        with (gzip.open if name.endswith(".gz") else open)(f"{d.root}/in/{name}", "wb") as f:
            f.write(b'{"weight_map": {"a": "a.safetensors"}}' if name.endswith(".json") else body)
        has(rekindle(d, "convert", f"in/{name}", "--to", "pt"), f"{made}: 1 tensor, ")
        assert os.path.exists(f"{d.root}/{made}"), made
    with tarfile.open(f"{d.root}/in/all.tar", "w") as t:
        t.add(f"{d.root}/in/a.safetensors", "best/e.safetensors")
    has(rekindle(d, "convert", "in/all.tar#member=best/e.safetensors", "--to", "pt"), "in/e.pt: 1 tensor, ")


@case("files of others of each form are converted, types and numbers as they are", "stopped")
def _(d):
    n = 0
    for path in sorted(glob.glob(f"{CORPUS}/paddle/*.pd*") + glob.glob(f"{CORPUS}/torch_*/*") +
                       glob.glob(f"{CORPUS}/safetensors/*.safetensors")):
        r = subprocess.run([f"{BUILD}/rekindle", "weights", "show", path, "--statistics", "--json"],
                           capture_output=True, text=True)
        if r.returncode != 0:
            continue
        before = {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in json.loads(r.stdout)["tensors"]
                  if t["role"] == "model"}
        if not before or any(t[0].startswith(("F4", "F6", "F8", "C128")) for t in before.values()):
            continue
        rekindle(d, "convert", path, "--to", "safetensors", "-o", "out.safetensors")
        eq(digests(d, "out.safetensors"), before, path)
        n += 1
    assert n >= 5, f"{n} files"


@case("resnet20 of the samples is the same from each of its files by --arch", "stopped")
def _(d):
    sources = [f"{WEIGHTS}/{x}" for x in ("resnet20.safetensors", "resnet20_zip.pt", "resnet20_paddle_p2.pdparams",
                                          "resnet20_paddle_p4.pdparams")]
    if not all(os.path.exists(x) for x in sources):
        raise Skip(f"no {WEIGHTS}")
    for to in FORMS:
        found = []
        for k, source in enumerate(sources):
            rekindle(d, "convert", source, "--to", to, "-o", f"{k}.{to}", "--arch", "resnet20")
            found.append(digests(d, f"{k}.{to}"))
        assert all(f == found[0] for f in found), to
        eq(tensors(d, f"0.{to}")["linear.weight"]["shape"], [64, 10] if to == "pdparams" else [10, 64])


run()
