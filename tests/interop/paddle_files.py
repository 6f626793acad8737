#!/usr/bin/env python3
"""Files of real Paddle read by us, and ours by real Paddle.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/paddle_files.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle 2 or 3.
"""
import ours
from ours import BUILD, case, drive

ours.under("PADDLE_PYTHON")

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import paddle

HERE = os.path.dirname(os.path.abspath(__file__))


def show(path):
    out = subprocess.run([f"{BUILD}/unit/format_drive", path], check=True, capture_output=True, text=True).stdout
    r = json.loads(out.splitlines()[0])
    assert "refused" not in r, f"{path}: {r['refused']}"
    return r


TYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "uint16": "BF16", "int64": "I64",
         "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64",
         "complex128": "C128"}


def array(t):
    return t.numpy() if hasattr(t, "numpy") else np.asarray(t)


def same(tensor, t):
    """A tensor of ours against one of Paddle's."""
    a = array(t)
    assert tensor["shape"] == list(a.shape), (tensor, a.shape)
    assert tensor["dtype"] == TYPES[str(a.dtype)], (tensor, a.dtype)
    assert tensor["sha256"] == hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest(), tensor["name"]


def same_all(r, state, role="model"):
    found = {t["name"]: t for t in r["tensors"] if t["role"] == role}
    assert set(found) == set(state), (sorted(found), sorted(state))
    for name, t in state.items():
        same(found[name], t)
    return found


def net():
    """A new one in the same process has the same names of parameters."""
    with paddle.utils.unique_name.guard():
        paddle.seed(1)
        return paddle.nn.Sequential(
            paddle.nn.Conv2D(1, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.ReLU(), paddle.nn.Flatten(),
            paddle.nn.Linear(144, 8), paddle.nn.LayerNorm(8), paddle.nn.Linear(8, 3))


OPTIMIZERS = {
    "adam": lambda lr, p: paddle.optimizer.Adam(lr, parameters=p),
    "adamw": lambda lr, p: paddle.optimizer.AdamW(lr, parameters=p, weight_decay=0.1),
    "momentum": lambda lr, p: paddle.optimizer.Momentum(lr, parameters=p),
    "rmsprop": lambda lr, p: paddle.optimizer.RMSProp(lr, parameters=p, centered=True),
    "sgd": lambda lr, p: paddle.optimizer.SGD(lr, parameters=p),
    "adagrad": lambda lr, p: paddle.optimizer.Adagrad(lr, parameters=p),
    "lamb": lambda lr, p: paddle.optimizer.Lamb(lr, parameters=p),
    "adamax": lambda lr, p: paddle.optimizer.Adamax(lr, parameters=p),
    "adadelta": lambda lr, p: paddle.optimizer.Adadelta(lr, parameters=p),
}


def step(n, o, i):
    rng = np.random.RandomState(i)
    x = paddle.to_tensor(rng.randn(5, 1, 8, 8).astype("float32"))
    y = paddle.to_tensor(rng.randint(0, 3, 5))
    loss = paddle.nn.functional.cross_entropy(n(x), y)
    loss.backward()
    o.step()
    o.clear_grad()
    if not isinstance(o._learning_rate, float):
        o._learning_rate.step()
    return float(loss)


def trained(name, steps=5):
    n = net()
    o = OPTIMIZERS[name](paddle.optimizer.lr.StepDecay(0.01, 3), n.parameters())
    # What the optimiser makes in its first step has names as in a new process.
    with paddle.utils.unique_name.guard():
        for i in range(steps):
            step(n, o, i)
    return n, o


@case
def a_state_dict_of_each_protocol_is_read():
    n, _ = trained("adam")
    for protocol in (2, 3, 4):
        paddle.save(n.state_dict(), f"n{protocol}.pdparams", protocol=protocol)
        found = same_all(show(f"n{protocol}.pdparams"), n.state_dict())
        for name, t in n.state_dict().items():
            assert found[name]["alias"] == t.name, found[name]


@case
def the_state_of_each_optimiser_is_read_by_parameter():
    for name in OPTIMIZERS:
        n, o = trained(name)
        paddle.save(o.state_dict(), "o.pdopt")
        r = show("o.pdopt")
        state = {k: t for k, t in o.state_dict().items() if k != "LR_Scheduler"}
        found = same_all(r, state, "optimizer")
        params = {p.name for p in n.parameters()}
        for t in found.values():
            assert t["of"] in params, t
            assert t["name"].startswith(f"{t['of']}_{t['slot']}_"), t
        assert r["optimizer"] is not None and r["model"] is None, (name, r["optimizer"], r["model"])
        assert r["values"]["LR_Scheduler.last_epoch"] == 5, r["values"]


@case
def a_checkpoint_in_any_structure_is_read():
    n, o = trained("adam")
    paddle.save({"model": n.state_dict(), "opt": o.state_dict(), "epoch": 3, "names": ["a", "b"]}, "c.pdparams")
    r = show("c.pdparams")
    same_all(r, n.state_dict())
    assert r["model"] == "model" and r["optimizer"] == "opt" and r["values"]["epoch"] == 3
    paddle.save([o.state_dict()], "list.pdopt")
    r = show("list.pdopt")
    assert r["model"] is None and len(r["tensors"]) == len(o.state_dict()) - 1
    paddle.save(n[0].weight, "one.pdtensor")
    (one,) = show("one.pdtensor")["tensors"]
    same(one, n[0].weight)
    assert one["name"] == n[0].weight.name
    paddle.save(n[0].weight, "raw.pdtensor", use_binary_format=True)
    (one,) = show("raw.pdtensor")["tensors"]
    same(one, n[0].weight)


@case
def each_type_is_read():
    base = paddle.to_tensor(np.array([[1.5, -2], [0, 3]], "float32"))
    kinds = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
             "complex64", "complex128"]
    state = {k: base.astype(k) for k in kinds}
    state["scalar"] = paddle.to_tensor(2.5)
    for protocol in (2, 4):
        paddle.save(state, "types.pdparams", protocol=protocol)
        same_all(show("types.pdparams"), state)


@case
def weights_of_higher_precision_are_read():
    n, o = trained("adam")
    state = o.state_dict()
    # As multi_precision has it, which takes a GPU.
    state["master_weights"] = {}
    for p in n.parameters():
        master = paddle.to_tensor(p.numpy())
        master.name = p.name + "_fp32_master_0"
        state["master_weights"][p.name] = master
    paddle.save(state, "o.pdopt")
    r = show("o.pdopt")
    params = {p.name for p in n.parameters()}
    for t in r["tensors"]:
        assert t["role"] == "optimizer" and t["of"] in params, t
    masters = {t["of"]: t for t in r["tensors"] if t["slot"] == "master_weights"}
    assert set(masters) == params
    for p in n.parameters():
        same(masters[p.name], p)
    n.to(dtype="bfloat16")
    paddle.save(n.state_dict(), "n.pdparams")
    same_all(show("n.pdparams"), n.state_dict())


@case
def both_names_of_a_recurrent_layer_are_one_tensor():
    m = paddle.nn.LSTM(4, 8, num_layers=2, direction="bidirect")
    paddle.save(m.state_dict(), "m.pdparams")
    r = show("m.pdparams")
    found = same_all(r, m.state_dict())
    assert sum(t["same_as"] >= 0 for t in found.values()) == len(found) // 2
    drive("write", "pdparams", "m.pdparams", "ours.pdparams")
    back = paddle.nn.LSTM(4, 8, num_layers=2, direction="bidirect")
    assert back.set_state_dict(paddle.load("ours.pdparams")) in (None, ([], []))
    for a, b in zip(m.parameters(), back.parameters()):
        assert (a.numpy() == b.numpy()).all()


@case
def what_jit_saves_has_its_names():
    n, _ = trained("adam")
    n.eval()
    spec = [paddle.static.InputSpec([None, 1, 8, 8], "float32")]
    paddle.jit.save(n, "inference", input_spec=spec)
    # Paddle 3 leaves out the structured names.
    info = os.path.exists("inference.pdiparams.info")
    state = {k if info else t.name: t for k, t in n.state_dict().items()}
    found = same_all(show("inference.pdiparams"), state)
    assert all(found[k]["alias"] == t.name for k, t in state.items())
    if info:
        return
    # The form of Paddle 2, which 3 writes where it is told before it begins.
    env = dict(os.environ, FLAGS_enable_pir_api="0")
    code = """if True:
        import paddle
        n = paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))
        n.eval()
        paddle.jit.save(n, "old", input_spec=[paddle.static.InputSpec([None, 3], "float32")])
        paddle.save(n.state_dict(), "n.pdparams")"""
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    assert os.path.exists("old.pdmodel") and os.path.exists("old.pdiparams.info")
    state = paddle.load("n.pdparams")
    same_all(show("old.pdiparams"), state)
    os.remove("old.pdmodel")
    same_all(show("old.pdiparams"), state)


@case
def big_arrays_in_pieces_are_read():
    import paddle.framework.io_utils as io
    state = {"w": np.arange(12, dtype="float32").reshape(3, 4), "b": np.ones(2, "float32")}
    split = io._unpack_saved_dict(dict(state), 2)
    assert set(split) == set(state)         # too small: what follows does as it does with 2^30 bytes
    import pickle
    flat = state["w"].reshape(-1)
    split = {"w@@.0": flat[:7], "w@@.1": flat[7:], "b": state["b"],
             "UnpackBigParamInfor@@": {"w": {"OriginShape": (3, 4), "slices": ["w@@.0", "w@@.1"]}}}
    with open("split.pdparams", "wb") as f:
        pickle.dump(split, f, protocol=2)
    assert (io._pack_loaded_dict(pickle.load(open("split.pdparams", "rb")))["w"] == state["w"]).all()
    same_all(show("split.pdparams"), state)


def arrays(o, path=""):
    """Each array of what paddle.load gives, with its path as we write one."""
    items = o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, (list, tuple)) else ()
    for k, v in items:
        yield from arrays(v, f"{path}.{k}" if path else str(k))
    if hasattr(o, "numpy") or isinstance(o, np.ndarray):
        yield path, array(o)


@case
def samples_give_what_paddle_load_gives():
    folders = [f"{HERE}/../fuzz/corpus/paddle", f"{os.environ.get('RK_SHARED')}/data/weights",
               f"{os.environ.get('RK_SHARED')}/data/samples/golden/paddle-3.3.1/simplenet"]
    paths = [os.path.join(d, f) for d in folders if os.path.isdir(d) for f in sorted(os.listdir(d))
             if ".pd" in f and "BAD_" not in f and f != "WARN_duplicate_key.pdparams"]
    assert len(paths) > 15
    for path in paths:
        theirs = dict(arrays(paddle.load(path, return_numpy=True)))
        tensors = {t["path"]: t for t in show(path)["tensors"]}
        if list(theirs) == [""]:
            theirs = {list(tensors)[0]: theirs[""]}
        assert set(tensors) == set(theirs), path
        for name, a in theirs.items():
            a = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<")))
            assert tensors[name]["shape"] == list(theirs[name].shape), (path, name)
            assert tensors[name]["sha256"] == hashlib.sha256(a.tobytes()).hexdigest(), (path, name)


@case
def paddle_loads_what_we_write():
    n, _ = trained("adam")
    paddle.save(n.state_dict(), "theirs.pdparams")
    drive("write", "pdparams", "theirs.pdparams", "ours.pdparams")
    loaded = paddle.load("ours.pdparams")
    for name, t in n.state_dict().items():
        assert isinstance(loaded[name], paddle.Tensor), type(loaded[name])
        assert (loaded[name].numpy() == t.numpy()).all(), name
    table = paddle.load("ours.pdparams", keep_name_table=True)["StructuredToParameterName@@"]
    assert table == {k: t.name for k, t in n.state_dict().items()}
    m = net()
    got = m.set_state_dict(loaded)
    assert got in (None, ([], [])), got
    same_all(show("ours.pdparams"), m.state_dict())
    by_name = {t.name: t for t in loaded.values()}
    assert paddle.load("ours.pdparams", return_numpy=True)["0.weight"].flags.c_contiguous
    del by_name


@case
def each_type_that_we_write_is_loaded():
    base = paddle.to_tensor(np.array([[1.5, -2], [0, 3]], "float32"))
    kinds = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
             "complex64", "complex128"]
    state = {k: base.astype(k) for k in kinds}
    paddle.save(state, "theirs.pdparams")
    drive("write", "pdparams", "theirs.pdparams", "ours.pdparams")
    loaded, theirs = paddle.load("ours.pdparams"), paddle.load("theirs.pdparams")
    for k in kinds:
        assert loaded[k].dtype == theirs[k].dtype and (array(loaded[k]) == array(theirs[k])).all(), k


@case
def training_goes_on_from_our_model_and_optimiser_bit_for_bit():
    for name in OPTIMIZERS:
        n, o = trained(name)
        paddle.save(n.state_dict(), "n.pdparams")
        paddle.save(o.state_dict(), "o.pdopt")
        drive("write", "pdparams", "n.pdparams", "ours.pdparams")
        drive("state", "pdopt", "o.pdopt", "ours.pdopt")
        m, p = trained(name, 1)
        m.set_state_dict(paddle.load("ours.pdparams"))
        p.set_state_dict(paddle.load("ours.pdopt"))
        for i in range(5, 9):
            assert step(n, o, i) == step(m, p, i), (name, i)
        for a, b in zip(n.parameters(), m.parameters()):
            assert (a.numpy() == b.numpy()).all(), (name, a.name)


ours.main()
