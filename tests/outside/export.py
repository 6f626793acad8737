#!/usr/bin/env python3
"""Checkpoints as files of Paddle and PyTorch: what a daemon serves of them, and rekindle-train --export."""
import hashlib
import json
import os
import socket
import subprocess

from leftovers import newest, npy
from t import BUILD, case, eq, has, limit, run, tiny, wait_for

FORMS = ("model.pdparams", "model.pt", "model.safetensors")
# Batch norms, convolutions with and without bias, a square matrix.
MIXED = {"layers": [{"type": "conv2d", "out": 8, "kernel": 3, "bias": False}, "batch_norm", "relu",
                    {"type": "global_avg_pool2d"}, "flatten", {"type": "linear", "out": 8}, "batch_norm", "relu",
                    {"type": "linear", "out": 8}, {"type": "layer_norm"}, {"type": "linear", "out": 10}]}
STACK = {"layers": [{"type": "conv2d", "out": 8, "kernel": 3, "padding": 1}, "relu", "flatten",
                    {"type": "dropout", "p": 0.2}, {"type": "linear", "out": 10}]}
RESNET = {"arch": "resnet20", "classes": 10}
BERT = {
    "name": "bert", "resources": {"threads": 1, "memory": "256MiB"},
    "model": {"arch": "bert", "vocabulary": 60, "hidden": 32, "depth": 2, "heads": 4, "intermediate": 64,
              "positions": 24, "classes": 4},
    "training": {"epochs": 1, "batch_size": 16, "optimizer": {"type": "adamw", "learning_rate": 0.002}},
    "data": {"train": {"type": "synthetic", "tokens": 20, "vocabulary": 60, "classes": 4, "samples": 100},
             "validation_split": 0.1},
}


def trainer(d, job, *args, want=0):
    """rekindle-train on a dict, with words behind the job's file; what it printed."""
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    at = args.index("JOB") if "JOB" in args else len(args)
    r = subprocess.run([f"{BUILD}/rekindle-train", *args[:at], path, *args[at + 1:]], capture_output=True, text=True,
                       timeout=limit(120), cwd=d.root)
    eq(r.returncode, want, f"exit of {args} ({r.stderr[-500:]})")
    return r.stdout if want == 0 else r.stderr


def show(path):
    out = subprocess.run([f"{BUILD}/unit/format_drive", path], check=True, capture_output=True, text=True).stdout
    r = json.loads(out.splitlines()[0])
    assert "refused" not in r, f"{path}: {r['refused']}"
    return r


def files(i, which="latest"):
    return f"/v1/jobs/{i}/checkpoints/{which}/files"


def fetch(d, i, name, which="latest", to=None):
    r = d.get(f"{files(i, which)}/{name}")
    eq(int(r.headers["Content-Length"]), len(r.body), f"length of {name}")
    path = f"{d.root}/{to or name}"
    with open(path, "wb") as f:
        f.write(r.body)
    return path


def exporters(d):
    return subprocess.run(["pgrep", "-f", "--", f"--export {d.state}/"], capture_output=True, text=True).stdout.split()


def evaluated(d, job, path):
    e = json.loads(trainer(d, job, "--evaluate", path, "--logits", f"{d.root}/out.npy"))
    return e["loss"], npy(f"{d.root}/out.npy")


def small(name, model):
    def samples(seed):
        return {"type": "synthetic", "shape": [3, 16, 16], "classes": 10, "samples": 60, "seed": seed}
    return {"name": name, "resources": {"threads": 1, "memory": "256MiB"}, "model": model,
            "training": {"steps": 20, "batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003}},
            "data": {"train": samples(3), "validation": samples(4)}}


# --- what comes out ----------------------------------------------------------------------------

@case("each form of a checkpoint opens again, starts a job warm with a full plan and evaluates the same")
def _(d):
    jobs = [small("mixed", MIXED), small("stack", STACK), small("resnet", RESNET), BERT]
    ids = [d.submit(j) for j in jobs]
    for job, i in zip(jobs, ids):
        d.wait_state(i, "succeeded", seconds=120)
        where = f"{d.state}/jobs/{i}/checkpoints/{d.get(f'/v1/jobs/{i}/checkpoints/latest').json['checkpoint']}"
        want = evaluated(d, job, where)
        for name in FORMS:
            path = fetch(d, i, name, to=f"{job['name']}-{name}")
            eq(evaluated(d, job, path), want, f"{job['name']} by {name}")
            warm = json.loads(json.dumps(job))
            warm["model"]["checkpoint"] = path
            plan = json.loads(trainer(d, warm, "--plan", "--json"))
            eq((plan["accepted"], plan["tensors_loaded"]), (True, plan["tensors_total"]), f"{job['name']} by {name}")


@case("a job that takes the moments of a .pdopt along ends where one that was never cut ends, to the bit")
def _(d):
    for optimizer in ({"type": "adam", "learning_rate": 0.003}, {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
                      {"type": "adagrad", "learning_rate": 0.05}):
        def job(name, epochs, **model):
            j = tiny(d, name, epochs=epochs)
            j["model"].update(model)
            j["training"].update(shuffle=False, optimizer=optimizer,
                                 schedule={"type": "linear", "length_epochs": 4, "end_factor": 0.1})
            return j

        def moments(i):
            return {f["name"]: f["xxh128"] for f in d.get(f"/v1/jobs/{i}/checkpoints/latest").json["files"]}[
                "optimizer.safetensors"]
        whole, half = d.submit(job("whole", 4)), d.submit(job("half", 2))
        d.wait_state(half, "succeeded")
        path = fetch(d, half, "model.pdparams")
        fetch(d, half, "model.pdopt")
        taken = job("taken", 2, checkpoint=path)
        taken["training"]["warm_start"] = {"optimizer": "all", "schedule": "continue", "learning_rate_scale": 1}
        i = d.submit(taken)
        d.wait_state(i, "succeeded")
        d.wait_state(whole, "succeeded")
        eq(moments(i), moments(whole), optimizer["type"])


@case("names are those of the framework: Paddle's parameters, PyTorch's counts of batches, bert's by library")
def _(d):
    i, b = d.submit(small("mixed", MIXED)), d.submit(BERT)
    d.wait_state(i, "succeeded")
    found = {t["name"]: t for t in show(fetch(d, i, "model.pdparams"))["tensors"]}
    eq({n: t["alias"] for n, t in found.items()},
       {"0.weight": "conv2d_0.w_0", "1.weight": "batch_norm2d_0.w_0", "1.bias": "batch_norm2d_0.b_0",
        "1._mean": "batch_norm2d_0.w_1", "1._variance": "batch_norm2d_0.w_2", "5.weight": "linear_0.w_0",
        "5.bias": "linear_0.b_0", "6.weight": "batch_norm1d_0.w_0", "6.bias": "batch_norm1d_0.b_0",
        "6._mean": "batch_norm1d_0.w_1", "6._variance": "batch_norm1d_0.w_2", "8.weight": "linear_1.w_0",
        "8.bias": "linear_1.b_0", "9.weight": "layer_norm_0.w_0", "9.bias": "layer_norm_0.b_0",
        "10.weight": "linear_2.w_0", "10.bias": "linear_2.b_0"})
    eq((found["10.weight"]["shape"], found["0.weight"]["shape"]), ([8, 10], [8, 3, 3, 3]))
    torch = {t["name"]: t for t in show(fetch(d, i, "model.pt"))["tensors"]}
    eq(torch["1.num_batches_tracked"]["dtype"], "I64")
    eq((torch["10.weight"]["shape"], "1.running_var" in torch), ([10, 8], True))
    # A square matrix is turned as well.
    assert torch["8.weight"]["sha256"] != found["8.weight"]["sha256"]
    eq(torch["8.bias"]["sha256"], found["8.bias"]["sha256"])

    d.wait_state(b, "succeeded")
    names = {form: {t["name"] for t in show(fetch(d, b, form))["tensors"]} for form in ("model.pt", "model.pdparams")}
    assert "bert.encoder.layer.1.attention.self.query.weight" in names["model.pt"], names["model.pt"]
    assert "bert.encoder.layers.1.self_attn.q_proj.weight" in names["model.pdparams"], names["model.pdparams"]


@case("the state of an optimiser is that of the framework: accumulators by parameter, or one group")
def _(d):
    job = small("mixed", MIXED)
    job["training"].update(schedule={"type": "linear", "end_factor": 0.5}, parameters=[
        {"match": "10.*", "trainable": True}, {"match": "8.*", "trainable": False}])
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    r = show(fetch(d, i, "model.pdopt"))
    parts = {(t["of"], t["slot"]): t for t in r["tensors"]}
    eq({slot for of, slot in parts if of == "linear_2.w_0"},
       {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"})
    eq((parts["linear_2.w_0", "moment1"]["shape"], parts["linear_2.w_0", "beta1_pow_acc"]["shape"]), ([8, 10], [1]))
    eq(r["values"]["LR_Scheduler.last_epoch"], 20)
    # Behind the end of a schedule its last rate goes on.
    assert abs(r["values"]["LR_Scheduler.last_lr"] - 0.003 * (1 - 0.5 * 19 / 20)) < 1e-9, r["values"]
    # What was never trained has had no update.
    same = parts["linear_2.w_0", "beta1_pow_acc"]["sha256"]
    eq(parts["conv2d_0.w_0", "beta1_pow_acc"]["sha256"], same)
    assert parts["linear_1.w_0", "beta1_pow_acc"]["sha256"] != same
    r = show(fetch(d, i, "optimizer.pt"))
    parts = {(t["of"], t["slot"]): t for t in r["tensors"]}
    eq({slot for of, slot in parts if of == "0"}, {"step", "exp_avg", "exp_avg_sq"})
    # 13 parameters, in the order of the model's.
    eq({of for of, _ in parts}, {str(k) for k in range(13)})
    eq(parts["11", "exp_avg"]["shape"], [10, 8])
    values = r["values"]
    eq((values["param_groups.0.betas.0"], values["param_groups.0.eps"]), (0.9, 1e-8))


# --- how it is served --------------------------------------------------------------------------

@case("a file that is made has a length, an ETag, parts and a HEAD, as one that is there")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    url = f"{files(i)}/model.pt"
    whole = d.get(url)
    eq((d.get(url).body, whole.headers["Content-Type"]), (whole.body, "application/octet-stream"))
    head = d.call("HEAD", url)
    eq((head.status, head.headers["Content-Length"], head.body), (200, str(len(whole.body)), b""))
    etag = whole.headers["ETag"]
    eq(d.call("GET", url, headers={"If-None-Match": etag}).status, 304)
    assert d.get(f"{files(i)}/model.pdparams").headers["ETag"] != etag
    n = len(whole.body)
    for asked, (a, b) in (("bytes=0-0", (0, 1)), ("bytes=100-299", (100, 300)), (f"bytes={n - 5}-", (n - 5, n))):
        r = d.call("GET", url, headers={"Range": asked})
        eq((r.status, r.body), (206, whole.body[a:b]), asked)
        eq((r.headers["Content-Range"], r.headers["ETag"]), (f"bytes {a}-{b - 1}/{n}", etag))
    eq(d.call("GET", url, headers={"Range": f"bytes={n}-"}).status, 416)
    r = d.call("GET", url, headers={"Range": "bytes=-7"})
    eq((r.status, r.body), (200, whole.body), "of the end, which is not known before")
    wait_for(10, "no exporter is left", lambda: not exporters(d))


@case("what there is no form of, and what is no form, is refused with a sentence")
def _(d):
    job = tiny(d, epochs=1)
    job["training"]["optimizer"] = {"type": "rmsprop", "learning_rate": 0.001}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    has(d.get(f"{files(i)}/model.pdopt", want=409).json["detail"], "RMSProp of Paddle")
    d.get(f"{files(i)}/optimizer.pt")
    for name in ("model.pth", "x.pdparams", "model.npz", "..%2fmodel.pt"):
        d.get(f"{files(i)}/{name}", want=404)
    d.get(f"{files(i, 'step:7')}/model.pt", want=404)
    held = d.submit(tiny(d, "held", hold=True))
    d.get(f"{files(held)}/model.pt", want=404)
    path = f"{d.state}/jobs/{i}/checkpoints/{d.get(f'/v1/jobs/{i}/checkpoints/latest').json['checkpoint']}"
    with open(f"{path}/model.safetensors", "r+b") as f:
        f.seek(-3, 2)
        f.write(b"\x3f")
    has(d.get(f"{files(i)}/model.pt", want=500).json["detail"], "model.safetensors")


def big(d):
    """Two checkpoints of a model of 40 MB, much more than what lies between the process and the client."""
    job = {"name": "big", "model": {"arch": "mlp", "sizes": [512, 4096, 2048, 10]},
           "resources": {"threads": 1, "memory": "1GiB"},
           "training": {"steps": 40, "batch_size": 4, "optimizer": {"type": "sgd", "learning_rate": 0.01}},
           "data": {"train": {"type": "synthetic", "shape": [512], "classes": 10, "samples": 8}},
           "checkpoint": {"every": {"steps": 20}, "keep": {"last": 2}}}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    return i


def begun(d, url):
    """A download of which the first bytes were read."""
    s = socket.create_connection((d.host, d.port), timeout=limit(30))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost:{d.port}\r\nConnection: close\r\n\r\n".encode())
    return s, s.recv(4096)


@case("a client that goes away ends the process, and of those that are slow there are four at most")
def _(d):
    i = big(d)
    url = f"{files(i)}/model.pdparams"
    open_ones = []
    for _ in range(4):
        s, first = begun(d, url)
        has(first.decode("latin-1"), "HTTP/1.1 200 ")
        open_ones.append(s)
    eq(len(exporters(d)), 4)
    r = d.call("GET", url)
    eq((r.status, r.headers["Retry-After"]), (503, "5"))
    has(r.json["detail"], "4 checkpoints are being exported")
    d.get("/healthz")
    for s in open_ones:
        s.close()
    wait_for(20, "their processes have gone", lambda: not exporters(d))
    d.get(url)
    # One that is killed closes the connection short of its length.
    s, got = begun(d, url)
    subprocess.run(["kill", "-9", *exporters(d)], check=True)
    while True:
        more = s.recv(1 << 20)
        if not more:
            break
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = int([x for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")][0].split(b":")[1])
    assert len(body) < length, f"{len(body)} of {length}"
    s.close()


@case("a checkpoint that is deleted while it is downloaded arrives whole")
def _(d):
    i = big(d)
    first = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][-1]["checkpoint"]
    url = f"{files(i, first)}/model.pt"
    want = hashlib.sha256(d.get(url).body).hexdigest()
    s, got = begun(d, url)
    eq(d.call("DELETE", f"/v1/jobs/{i}/checkpoints/{first}").status, 204)
    while True:
        more = s.recv(1 << 20)
        if not more:
            break
        got += more
    s.close()
    eq(hashlib.sha256(got.partition(b"\r\n\r\n")[2]).hexdigest(), want)
    d.get(url, want=404)


@case("the daemon leaves in time while a download stands still")
def _(d):
    i = big(d)
    s, _ = begun(d, f"{files(i)}/model.pt")
    eq(d.stop(), 0)
    s.close()
    wait_for(10, "no exporter is left", lambda: not exporters(d))


@case("rekindle export brings a file whole or not at all")
def _(d):
    def rekindle(*args, want=0):
        r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "export", *args], capture_output=True, text=True,
                           cwd=d.root, timeout=limit(60))
        eq(r.returncode, want, f"exit of {args} ({r.stderr})")
        return r.stdout + r.stderr
    job = tiny(d, epochs=2)
    job["training"]["optimizer"] = {"type": "rmsprop", "learning_rate": 0.001}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    for name, served in (("best.pdparams", "model.pdparams"), ("best.pt", "model.pt"), ("optimizer.pt", "optimizer.pt"),
                         ("best.safetensors", "model.safetensors"), ("checkpoint.json", "checkpoint.json")):
        has(rekindle("tiny", name, "--from", "best"), f"{name}: ")
        with open(f"{d.root}/{name}", "rb") as f:
            eq(f.read(), d.get(f"{files(i, 'best')}/{served}").body, name)
    there = sorted(os.listdir(d.root))
    has(rekindle("tiny", "best.pdopt", want=1), "RMSProp of Paddle")
    has(rekindle("tiny", "x.pt", "--from", "step:7", want=4), "step:7")
    has(rekindle("nobody", "x.pt", want=4), "nobody")
    has(rekindle("tiny", "x.npz", want=2), "x.npz")
    has(rekindle("tiny", "no/where.pt", want=1), "cannot write no/where.pt")
    eq(sorted(os.listdir(d.root)), there)
    with open(f"{d.root}/best.pt", "w") as f:
        f.write("mine")
    has(rekindle("tiny", "best.pt", want=1), "best.pt is there already; --force replaces it")
    with open(f"{d.root}/best.pt") as f:
        eq(f.read(), "mine")
    rekindle("tiny", "best.pt", "--force")
    with open(f"{d.root}/best.pt", "rb") as f:
        eq(f.read(), d.get(f"{files(i, 'latest')}/model.pt").body)
    eq(sorted(os.listdir(d.root)), there)


# --- the trainer alone -------------------------------------------------------------------------

@case("rekindle-train --export writes a file whole or not at all, in the form that its name says", "stopped")
def _(d):
    job = small("mixed", MIXED)
    trainer(d, job, "--run-dir", f"{d.root}/run")
    ckpt = newest(f"{d.root}/run")
    want = evaluated(d, job, ckpt)
    for name in ("best.pdparams", "best.pt", "best.safetensors"):
        has(trainer(d, job, "--export", ckpt, "JOB", name), f"{name}: ")
        eq(evaluated(d, job, f"{d.root}/{name}"), want, name)
    trainer(d, job, "--export", ckpt, "JOB", "best.pdopt")
    eq(show(f"{d.root}/best.pdopt")["values"]["LR_Scheduler.last_epoch"], 20)
    trainer(d, job, "--export", ckpt, "JOB", "optimizer.pt")
    assert show(f"{d.root}/optimizer.pt")["optimizer"] is not None
    eq(open(f"{d.root}/best.safetensors", "rb").read(4096).count(b'"format":"pt"'), 1)

    for name in ("best.npz", "best"):
        has(trainer(d, job, "--export", ckpt, "JOB", name, want=3), f"{name} is not what weights can be written as")
    has(trainer(d, job, "--export", f"{d.root}/run", "JOB", "x.pt", want=3), "no folder with a checkpoint.json")
    has(trainer(d, job, "--export", ckpt, "JOB", "no/where.pt", want=1), "cannot write no/where.pt")
    other = small("other", STACK)
    has(trainer(d, other, "--export", ckpt, "JOB", "x.pt", want=3), "in the shape that the job's network has it")
    assert not os.path.exists(f"{d.root}/x.pt") and not [x for x in os.listdir(d.root) if x.startswith(".rk-tmp")]
    has(trainer(d, job, "--export", ckpt, want=2), "--export wants the name of a file")
    has(trainer(d, job, "--to", "model.pt", want=2), "--to without --export")
    has(trainer(d, job, "--export", ckpt, "--plan", "JOB", "x.pt", want=2), "together")


@case("checkpoints of each format are exported, those that do not say what their network takes, too", "stopped")
def _(d):
    samples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")
    table = {"name": "old", "model": {"arch": "mlp", "sizes": [4, 6, 3]},
             "training": {"epochs": 4, "batch_size": 8, "optimizer": {"type": "adam", "learning_rate": 0.01}},
             "data": {"train": {"type": "csv", "path": "train.csv", "label": "class"}}}
    with open(f"{samples}/before/v1/v1.json") as f:
        layers = json.load(f)
    for job, where in ((table, "old-split/old.run"), (table, "checkpoints/split"), (table, "checkpoints/2"),
                       (table, "checkpoints/3"), (layers, "before/v1/v1.run")):
        ckpt = newest(f"{samples}/{where}")
        own = {t["name"]: t for t in show(f"{ckpt}/model.safetensors")["tensors"]}
        trainer(d, job, "--export", ckpt, "JOB", "m.pdparams")
        trainer(d, job, "--export", ckpt, "JOB", "m.pt")
        trainer(d, job, "--export", ckpt, "JOB", "m.pdopt")
        torch = {t["name"]: t for t in show(f"{d.root}/m.pt")["tensors"]}
        eq({n: t["sha256"] for n, t in torch.items() if "num_batches" not in n},
           {n: t["sha256"] for n, t in own.items()}, where)
        paddle = show(f"{d.root}/m.pdparams")["tensors"]
        eq((len(paddle), all(t["alias"] for t in paddle)), (len(own), True), where)


run()
