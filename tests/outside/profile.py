#!/usr/bin/env python3
"""rekindle-train --profile: where the time of a step goes.  How long anything takes is never judged."""
import json
import os
import subprocess

from t import BUILD, case, eq, has, limit, run

COPIES = {"(to plain)", "(to blocked)"}
GRAPH = {"input": [3, 16, 16], "layers": [
    {"type": "conv2d", "name": "0.st-em_..", "out": 8, "kernel": 3, "padding": 1, "bias": False},
    {"type": "batch_norm", "name": "NaN"},
    {"type": "relu", "name": "1e5"},
    {"type": "conv2d", "name": "x" * 200, "out": 16, "kernel": 3, "padding": 1},
    {"type": "global_avg_pool2d", "name": "pool"},
    "flatten",
    {"type": "linear", "name": "head", "out": 10}]}


def job(name="profiled", model=None, samples=64, shape=(3, 16, 16), **training):
    return {"name": name, "resources": {"threads": 2, "memory": "512MiB"}, "model": model or GRAPH,
            "training": {"epochs": 1, "batch_size": 8, "optimizer": "adam", **training},
            "data": {"train": {"type": "synthetic", "shape": list(shape), "samples": samples}}}


def ask(d, j, *args, want=0):
    """What rekindle-train says of a job; on failure its sentence."""
    path = f"{d.root}/{j['name']}.json"
    with open(path, "w") as f:
        json.dump(j, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", *args, path], capture_output=True, text=True, cwd=d.root,
                       timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train {args} ({p.stderr[-600:]})")
    return p.stdout if want == 0 else p.stderr


def profile(d, j, *args):
    return json.loads(ask(d, j, *(args or ("--profile=3",)), "--json"))


def layers(j):
    """A layer without a name is called by its place."""
    return [x["name"] if isinstance(x, dict) else str(i) for i, x in enumerate(j["model"]["layers"])]


@case("the rows of a profile add up to the step, and each layer has its two", "stopped")
def _(d):
    j = job()
    p = profile(d, j)
    eq((p["name"], p["steps"], p["samples"], p["threads"], p["arithmetic"]), ("profiled", 3, 8, 2, "fast"), "the head")
    rows = p["rows"]
    whole = sum(r["ms"] for r in rows)
    assert abs(whole - p["step_ms"]) <= 1e-6 * p["step_ms"], f"rows are {whole} ms, the step {p['step_ms']}"
    assert abs(sum(r["share"] for r in rows) - 1) < 1e-6, "shares do not add up to 1"
    for r in rows:
        assert r["ms"] >= 0 and -1e-9 <= r["waiting"] <= 1 + 1e-9, f"{r}"
        assert r["read"] >= 0 and r["written"] >= 0 and r["gflops"] >= 0, f"{r}"
    want = layers(j)
    forward = [r for r in rows if r["part"] == "forward"]
    eq(sorted({n for r in forward for n in (r["name"], *r["folded"])} - COPIES), sorted(want), "layers forward")
    # The first layer has weights, so each has a part of backward.
    eq([r["name"] for r in rows if r["part"] == "backward"], [r["name"] for r in forward][::-1], "layers backward")
    eq([r["part"] for r in rows if r["part"] not in ("forward", "backward")], ["loss", "data", "optimizer", "other"],
       "what is no layer")
    kinds = {k["type"]: k for k in p["kinds"]}
    eq(sorted(kinds), sorted({r["type"] for r in rows if r["part"] in ("forward", "backward")}), "kinds")
    eq((kinds["conv2d"]["layers"], kinds["linear"]["layers"]), (2, 1), "layers of a kind")
    for k in kinds.values():
        mine = sum(r["ms"] for r in rows if r["type"] == k["type"])
        assert abs(k["ms"] - mine) <= 1e-6 * whole and abs(k["forward_ms"] + k["backward_ms"] - mine) <= 1e-6 * whole
    assert p["peak_gflops"] > 0 and p["isa"] in ("plain", "avx2 fma", "avx512f"), "the peak"


@case("products and bytes of a profile are those of the shapes, however a batch is parted", "stopped")
def _(d):
    whole, parts = profile(d, job()), profile(d, job(micro_batch_size=2))

    def products(p):
        return {(r["name"], r["part"]): round(r["gflops"] * r["ms"] * 1e6) for r in p["rows"]}
    eq(products(parts), products(whole), "products")
    conv = 2 * 8 * 256 * 27 * 8
    eq(products(whole)[(GRAPH["layers"][0]["name"], "forward")], conv, "products of the first layer")
    eq(products(whole)[(GRAPH["layers"][0]["name"], "backward")], conv, "its gradient's: of the weights alone")

    def moved(p, part):
        return [(r["read"], r["written"]) for r in p["rows"] if (r["name"], r["part"]) == ("head", part)][0]
    eq(moved(whole, "forward"), (8 * 16 * 4 + 170 * 4, 8 * 10 * 4), "bytes of the head")
    # Weights are read for each part.
    eq(moved(parts, "forward"), (8 * 16 * 4 + 4 * 170 * 4, 8 * 10 * 4), "bytes of the head in four parts")


@case("an exact step has no Winograd, and a fast one has where there are such kernels", "stopped")
def _(d):
    j = job("cifar", {"arch": "resnet20"}, shape=(3, 32, 32))

    def ways(mode):
        j["training"]["arithmetic"] = mode
        return {r[k] for r in profile(d, j, "--profile=1")["rows"] for k in ("way", "way_dx") if k in r}
    assert "winograd" not in ways("exact") and ways("exact"), f"exact: {ways('exact')}"
    if "avx2" in open("/proc/cpuinfo").read():
        assert "winograd" in ways("fast"), f"fast: {ways('fast')}"


@case("a profile for people has a line for each layer, kind and part", "stopped")
def _(d):
    j = job()
    text = ask(d, j, "--profile")
    has(text, " ms a step of 8 samples, mean of 10 steps; 2 threads, arithmetic fast")
    # The longest name is cut at 56.
    first = [x[:56].rstrip() for x in text.split("kind of op")[0].splitlines()]
    for name in [*layers(j), "loss", "data", "optimizer", "other", "step"]:
        assert name[:56] in first, f"no line for {name!r}"
    for kind in "conv2d", "batch_norm", "linear":
        assert f"\n{kind} " in text.split("kind of op")[1], f"no line for {kind}"
    has(ask(d, j, "--profile=1", "--set", "training.arithmetic=exact", "--threads", "1"), "1 thread, arithmetic exact")


@case("a trace is what Chrome's viewer reads: a row a thread, every layer, pieces inside of instructions", "stopped")
def _(d):
    j, path = job(), f"{d.root}/trace.json"
    ask(d, j, "--profile=4", "--trace", path, "--threads", "3")
    with open(path, encoding="utf-8") as f:
        t = json.load(f)
    eq(t["otherData"]["left_out"], 0, "events left out")
    events = [e for e in t["traceEvents"] if e["ph"] == "X"]
    eq({e["args"]["name"] for e in t["traceEvents"] if e["name"] == "thread_name"}, {f"thread {i}" for i in range(3)},
       "threads")
    assert {e["tid"] for e in events} <= {0, 1, 2}, "rows"
    assert all(e["dur"] >= 0 and e["ts"] >= 0 and e["pid"] == 1 for e in events), "times"
    names = {n for e in events if e["cat"] == "forward" for n in (e["name"], *e["args"]["folded"])}
    for name in layers(j):
        # Long ones are cut.
        assert name[:80] in names, f"{name!r} is not there"
    eq(sum(e["name"] == "step" for e in events), 4, "steps")
    eq({e["name"] for e in events if e["cat"] == "loop"}, {"step", "data", "optimizer"}, "what is no instruction")
    # On the first row each event lies in those that it overlaps: that is what the viewers draw.
    row = sorted((e for e in events if e["tid"] == 0), key=lambda e: (e["ts"], -e["dur"]))
    ends = []
    for e in row:
        while ends and ends[-1] <= e["ts"] + 1e-3:
            ends.pop()
        assert not ends or e["ts"] + e["dur"] <= ends[-1] + 2e-3, f"{e} lies across another"
        ends.append(e["ts"] + e["dur"])


@case("a trace of many steps has its first events and says how many it has not", "stopped")
def _(d):
    path = f"{d.root}/trace.json"
    ask(d, job("many", {"arch": "mlp", "sizes": [8, 8, 10]}, shape=(8,)), "--profile=4000", "--trace", path)
    with open(path) as f:
        t = json.load(f)
    assert len(t["traceEvents"]) < 100100 and os.path.getsize(path) < 20 << 20, "the trace is not bounded"
    assert t["otherData"]["left_out"] > 0, "nothing was left out"


@case("a profile keeps nothing, and goes on over the ends of epochs", "stopped")
def _(d):
    before = {*os.listdir(d.root), "profiled.json"}
    eq(profile(d, job(samples=20), "--profile=7")["steps"], 7, "steps, of which an epoch has two whole ones")
    eq(set(os.listdir(d.root)), before, "files")


@case("what makes no sense beside a profile is refused in a sentence", "stopped")
def _(d):
    j = job()
    for args, words in ((("--json",), "--json without --profile"), (("--trace", "x"), "--trace without --profile"),
                        (("--profile=0",), '--profile is "0", want 1 to 100000'),
                        (("--profile=x",), '--profile is "x"'),
                        (("--profile", "--summary"), "two of --summary, --plan, --check,")):
        has(ask(d, j, *args, want=2), words)
    has(ask(d, j, "--profile=1", "--trace", f"{d.root}/none/t.json", want=1), "cannot write ")
    has(ask(d, j, "--profile=1", "--trace", f"{d.root}/", want=1), "it is a folder, want the name of a file")


run()
