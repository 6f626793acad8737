#!/usr/bin/env python3
"""What is frozen lies in a shard that checkpoints share: written once, read by all who read a checkpoint, exact."""
import glob
import json
import os
import shutil
import signal
import subprocess

from json_schema import faults
from leftovers import npy
from sharded import INDEX, bytes_of, digest, job, record, shard, steps, tensors
from t import BUILD, Skip, case, eq, has, limit, run, trainer, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


def succeeded(d, j):
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    return i, f"{d.state}/jobs/{i}"


def fetch(d, i, name):
    path = f"{d.root}/{name}"
    with open(path, "wb") as f:
        f.write(d.get(f"/v1/jobs/{i}/checkpoints/latest/files/{name}").body)
    return path


# --- exact ------------------------------------------------------------------------------------

@case("a run with a shard that is killed goes on to the bytes of one that was not, on other threads", "stopped")
def _(d):
    j = job("calm", epochs=30)
    trainer(d, j)
    want = bytes_of(steps(f"{d.root}/calm.run")[-1])
    j["name"] = "killed"
    with open(f"{d.root}/killed.json", "w") as f:
        json.dump(j, f)
    for threads in (2, 1):
        had = len(steps(f"{d.root}/killed.run")[-1:])
        at = steps(f"{d.root}/killed.run")[-1] if had else ""
        p = subprocess.Popen([f"{BUILD}/rekindle-train", "--threads", str(threads), "--run-dir",
                              f"{d.root}/killed.run", f"{d.root}/killed.json"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        wait_for(20, "a newer checkpoint",
                 lambda at=at: steps(f"{d.root}/killed.run") and steps(f"{d.root}/killed.run")[-1] > at)
        p.send_signal(signal.SIGKILL)
        p.wait()
    trainer(d, j)
    eq(bytes_of(steps(f"{d.root}/killed.run")[-1]), want, "bytes at the end")


@case("in phases what rests is in the shard, with its running statistics, and each checkpoint leads to the same bytes",
      "stopped")
def _(d):
    j = job("calm", model={"layers": [{"type": "conv2d", "out": 64, "kernel": 3}, "batch_norm", "relu",
                                      {"type": "conv2d", "out": 128, "kernel": 3}, "batch_norm", "relu",
                                      {"type": "global_avg_pool2d"}, "flatten", {"type": "linear", "out": 10}]})
    j["data"]["train"]["shape"] = [3, 8, 8]
    j["checkpoint"] = {"every": {"steps": 10}, "keep": {"last": 100}}
    j["training"].update(epochs=3, phases=[{"steps": 60, "train": ["8.*"]}, {"steps": 60, "train": ["4.*", "8.*"]},
                                           {"steps": 60}], steps=180)
    del j["training"]["parameters"], j["training"]["epochs"]
    trainer(d, j)
    calm = {record(s)["step"]: s for s in steps(f"{d.root}/calm.run")}
    head = {"8.weight", "8.bias"}
    # Not each that is due is taken: the one before it may still be written.
    inside = [[at for at in calm if 60 * k < at < 60 * k + 60] for k in range(3)]
    for at, trained in ((inside[0][0], head),
                        (inside[1][0], head | {"4.weight", "4.bias", "4.running_mean", "4.running_var"})):
        eq({t["name"] for t in tensors(f"{calm[at]}/trained.safetensors")}, trained, f"trained at step {at}")
        at_rest = {t["name"] for t in tensors(shard(calm[at]))}
        eq(({"0.weight", "1.running_mean", "3.weight"} - at_rest, at_rest & trained), (set(), set()), f"at step {at}")
    assert os.path.exists(f"{calm[inside[2][0]]}/model.safetensors")
    for n, at in enumerate([v[-1] for v in inside] + [at for at in (60, 120) if at in calm]):
        # As a kill right behind that checkpoint leaves it.
        run_dir = f"{d.root}/killed{n}.run"
        shutil.copytree(f"{d.root}/calm.run", run_dir, symlinks=True)
        for s in steps(run_dir):
            if record(s)["step"] > at:
                shutil.rmtree(s)
        trainer(d, dict(j, name=f"killed{n}", resources={"threads": 1 + n % 2, "memory": "256MiB"}))
        eq(bytes_of(steps(run_dir)[-1]), bytes_of(calm[180]), f"bytes at the end, from step {at}")


@case("from an older checkpoint with a name, at another rate, a branch shares the shard and ends with the same bytes")
def _(d):
    i, folder = succeeded(d, job(epochs=6))
    older = os.path.basename(steps(folder)[0])
    r = d.call("PATCH", f"/v1/jobs/{i}/checkpoints/{older}", {"name": "older"})
    eq(r.status, 200, r.body)
    alone = job("alone", epochs=6, resources={"threads": 2, "memory": "256MiB"})
    alone["training"]["optimizer"]["learning_rate"] = 0.001
    shutil.copytree(f"{folder}/checkpoints", f"{d.root}/alone.run/checkpoints", symlinks=True)
    d.post(f"/v1/jobs/{i}/resume", {"from": "older", "overrides": {"training": {"optimizer": {
        "learning_rate": 0.001}}}}, want=202)
    d.wait_state(i, "succeeded")
    end = [s for s in steps(folder) if s.endswith("-b2")][-1]
    eq(os.stat(shard(end)).st_ino, os.stat(shard(f"{folder}/checkpoints/{older}")).st_ino, "file on the disk")
    trainer(d, alone, "--from", "older")
    eq(bytes_of(f"{d.root}/alone.run/checkpoints/{os.path.basename(end)}"), bytes_of(end), "bytes at the end")


@case("the weights are those of a run that made no shard")
def _(d):
    # A moving average makes none, and trains the same weights.
    trainer(d, job("shard"))
    trainer(d, job("none", training=dict(job()["training"], ema={"decay": 0.9})))
    a, b = steps(f"{d.root}/shard.run")[-1], steps(f"{d.root}/none.run")[-1]
    assert not glob.glob(f"{b}/frozen-*") and os.path.exists(f"{b}/model.safetensors")
    one = {t["name"]: t for t in tensors(f"{a}/trained.safetensors")}
    raw = {t["name"]: t for t in tensors(f"{b}/optimizer.safetensors")}
    eq(set(one), {"fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"})
    for name, t in one.items():
        eq(t["bytes"], raw[f"{name}.raw"]["bytes"], name)


@case("a thaw stops the sharing, and what thaws starts its own moments and count of updates")
def _(d):
    def goes_on(epochs, parameters):
        d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"parameters": parameters, "epochs": epochs}}},
               want=202)
        d.wait_state(i, "succeeded")
        return steps(folder)[-1]
    i, folder = succeeded(d, job(epochs=1, frozen=()))
    whole = steps(folder)[-1]
    last = goes_on(2, job()["training"]["parameters"])
    moments = {t["name"] for t in tensors(f"{last}/optimizer.safetensors")}
    eq(moments, {f"{n}.{s}" for n in ("fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias")
                 for s in ("exp_avg", "exp_avg_sq")}, "the optimizer's tensors")
    eq(record(last)["state"]["updates"], {"fc1.weight": 0, "fc1.bias": 0})
    new = goes_on(3, [])
    assert os.path.exists(f"{new}/model.safetensors") and not glob.glob(f"{new}/frozen-*"), os.listdir(new)
    eq(record(new)["state"]["updates"]["fc1.weight"], record(new)["step"] - record(last)["step"], "since the thaw")
    eq([record(s)["version"] for s in (whole, last, new)], [1, 2, 1])


# --- the files --------------------------------------------------------------------------------

@case("what thaws has no moments of before, also where it is too small for a shard, or beside an average", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    for name, more in ("small", {}), ("average", {"ema": {"decay": 0.9}}):
        j = job(name, frozen=(), model={"arch": "mlp", "sizes": [784, 8, 10]})
        j["training"].update(more)
        ends = []
        for epochs, frozen in (1, False), (2, True), (3, False):
            trainer(d, dict(j, training={**j["training"], "epochs": epochs, "parameters": [
                {"match": "fc1.*", "trainable": False}] if frozen else []}))
            ends.append(steps(f"{d.root}/{name}.run")[-1])
            assert os.path.exists(f"{ends[-1]}/model.safetensors"), "no shard"
        moments = [t["bytes"] for t in tensors(f"{ends[1]}/optimizer.safetensors")
                   if t["name"].startswith("fc1.") and ".exp_avg" in t["name"]]
        eq((len(moments), set(b"".join(moments))), (4, {0}), "moments of what rests")
        last, thawed = (record(x) for x in (ends[2], ends[1]))
        eq(last["state"]["updates"]["fc1.weight"], last["step"] - thawed["step"], "updates since the thaw")


@case("checkpoints share the shard, by a hard link, and each is what the schema says")
def _(d):
    i, folder = succeeded(d, job())
    all_of = steps(folder)
    assert len(all_of) >= 3
    eq(len({os.stat(shard(s)).st_ino for s in all_of}), 1, "files on the disk")
    with open(f"{HERE}/../../etc/checkpoint.schema.json") as f:
        schema = json.load(f)
    for s in all_of:
        eq(faults(schema, schema, record(s)), [])
        with open(f"{s}/{INDEX}") as f:
            index = json.load(f)["weight_map"]
        eq(index["fc1.weight"], os.path.basename(shard(s)))
        eq(index["fc3.bias"], "trained.safetensors")
        eq(list(index), ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"])
    # A small one is no file of its own.
    _, other = succeeded(d, job("small", epochs=1, frozen=("fc2.*",)))
    assert os.path.exists(f"{steps(other)[-1]}/model.safetensors")


@case("a client that takes the files of checkpoint.json has all of it, and model.safetensors is the whole model")
def _(d):
    i, folder = succeeded(d, job())
    c = d.get(f"/v1/jobs/{i}/checkpoints/latest").json
    path = f"/v1/jobs/{i}/checkpoints/latest/files"
    for f in c["files"]:
        r = d.get(f"{path}/{f['name']}")
        eq((len(r.body), r.headers["ETag"]), (f["size"], f'"{f["xxh128"]}"'), f["name"])
    assert "model.safetensors" not in [f["name"] for f in c["files"]]
    whole = fetch(d, i, "model.safetensors")
    size = os.path.getsize(whole)
    with open(whole, "rb") as f:
        data = f.read()
    r = d.get(f"{path}/model.safetensors", headers={"Range": "bytes=5000-"}, want=206)
    eq((r.status, r.body), (206, data[5000:]))
    eq(r.headers["Content-Range"], f"bytes 5000-{size - 1}/{size}")
    eq([t["name"] for t in tensors(whole)],
       ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"])
    last = steps(folder)[-1]
    parts = {t["name"]: t["bytes"] for p in (f"{last}/trained.safetensors", shard(last)) for t in tensors(p)}
    eq({t["name"]: t["bytes"] for t in tensors(whole)}, parts, "tensors")
    out = f"{d.root}/by-cli.safetensors"
    subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "export", i, out], check=True, stdout=subprocess.DEVNULL,
                   timeout=limit(30))
    eq(digest(out), digest(whole), "by the CLI")


# --- who reads it -----------------------------------------------------------------------------

@case("a checkpoint in shards is evaluated, exported and begun from like any other")
def _(d):
    i, folder = succeeded(d, job())
    last = steps(folder)[-1]

    def evaluated(path):
        e = json.loads(trainer(d, job("judge"), "--evaluate", path, "--logits", f"{d.root}/out.npy")[0])
        return e, (e["loss"], npy(f"{d.root}/out.npy"))
    e, want = evaluated(last)
    whole = fetch(d, i, "model.safetensors")
    eq((e["model"]["sha256"], e["model"]["bytes"]), (digest(whole), os.path.getsize(whole)), "what was evaluated")
    for path in (f"{last}/{INDEX}", f"{last}/model.safetensors"):
        e, got = evaluated(path)
        eq((got, e["model"]["sha256"]), (want, digest(whole)), path)
    for path in [fetch(d, i, n) for n in ("model.safetensors", "model.pt", "model.pdparams")]:
        eq(evaluated(path)[1], want, path)
    # The state of what is in the shard is that before its first update.
    plan = json.loads(trainer(d, job("torch", model=dict(job()["model"], checkpoint=fetch(d, i, "model.pdparams"))),
                              "--plan", "--json")[0])
    eq(plan["tensors_loaded"], 6)
    assert os.path.getsize(fetch(d, i, "optimizer.pt")) > 2 * 784 * 128 * 4
    warm = job("warm", epochs=1, model=dict(job()["model"], checkpoint=f"job://{i}/latest"))
    warm["training"]["warm_start"] = {"optimizer": "all"}
    w = d.submit(warm)
    d.wait_state(w, "succeeded")
    has(d.job(w)["plan_summary"], "6 of 6")
    has("\n".join(d.events(w)), "the optimizer's state of 4 tensors is taken along")
    # A script that has named the file goes on to.
    w = d.submit(dict(warm, name="file", model=dict(job()["model"], checkpoint=f"{last}/model.safetensors")))
    d.wait_state(w, "succeeded")
    has(d.job(w)["plan_summary"], "6 of 6")


@case("who shows a checkpoint's folder is told which file of it has the weights")
def _(d):
    _, folder = succeeded(d, job(epochs=1))
    p = subprocess.run([f"{BUILD}/rekindle", "weights", "show", steps(folder)[-1]], capture_output=True, text=True)
    assert p.returncode != 0, p
    has(p.stderr, f"is a folder: want {INDEX} in it")


@case("without a bucket a damaged shard is mended from another job's copy, whatever the directory is called", "stopped")
def _(d):
    d.state = f"{d.root}/st[a]te-*?"
    d.start()
    other, _ = succeeded(d, job(epochs=2))
    i, folder = succeeded(d, job(epochs=2))
    had = steps(folder)
    one, two = shard(steps(f"{d.state}/jobs/{other}")[-1]), shard(had[-1])
    eq(os.path.basename(one), os.path.basename(two))
    assert os.stat(one).st_ino != os.stat(two).st_ino
    with open(two, "r+b") as f:
        f.seek(100000)
        f.write(b"\xff\x00\xff\x00")
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 3}}}, want=202)
    d.wait_state(i, "succeeded")
    has(d.get(f"/v1/jobs/{i}/events").body.decode(), "its bytes came from another job")
    eq(open(two, "rb").read(), open(one, "rb").read(), "bytes of the shard")
    eq([s for s in os.listdir(f"{folder}/checkpoints") if s.startswith((".bad", "bad"))], [], "checkpoints set aside")


@case("a shard that is linked costs nothing: what is written is said, and a disk with room for the rest is enough", "stopped")
def _(d):
    os.makedirs(d.state)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=750", "none", d.state], stderr=subprocess.DEVNULL).returncode:
        raise Skip("a file system of one's own wants root")
    with open(f"{d.root}/c.json", "w") as f:
        json.dump({"disk": {"reserve": "1MiB", "check": 0.2}}, f)
    d.start("--config", f"{d.root}/c.json")
    # 6.4 MB that are frozen, and 0.4 MB with its moments that are not.
    wide = {"model": {"arch": "mlp", "sizes": [784, 2048, 16, 10]}, "resources": {"threads": 1, "memory": "512MiB"}}
    i, folder = succeeded(d, job(epochs=10, **wide))
    last = steps(folder)[-1]
    size = os.path.getsize(shard(last))
    all_ = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]
    assert len(all_) > 1, all_
    for c in all_:
        eq(c["shared_bytes"], size)
        eq(c["bytes"] - c["shared_bytes"], sum(f["size"] for f in c["files"]) - size)
    said = [e for e in d.get(f"/v1/jobs/{i}/events?limit=500").json["events"] if e["kind"] == "checkpoint"]
    eq([e["data"]["bytes"] > size for e in said], [True] + [False] * (len(said) - 1), "is the shard among what was written?")
    # Room for some of the rest, and not for another shard.
    st = os.statvfs(d.state)
    with open(f"{d.state}/fill", "wb") as f:
        f.write(b"\0" * (st.f_bavail * st.f_frsize - size // 2))
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 12}}}, want=202)
    d.wait_state(i, "succeeded", "paused", "failed")
    eq(d.job(i)["state"], "succeeded", d.job(i)["message"])
    # A job that waits for room goes on with as little.
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 200000}}}, want=202)
    d.wait_state(i, "running")
    with open(f"{d.state}/more", "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass
    d.wait_state(i, "paused")
    eq(d.job(i)["reason"], "disk_full")
    os.unlink(f"{d.state}/more")
    d.wait_state(i, "running")


@case("a bit that flips in a shard is seen by who evaluates and who exports")
def _(d):
    i, folder = succeeded(d, job())
    last = steps(folder)[-1]
    with open(shard(last), "r+b") as f:
        f.seek(9000)
        f.write(b"\0\0\0\0")
    said = trainer(d, job("judge"), "--evaluate", last, want=3)[1]
    has(said, os.path.basename(shard(last)))
    has(said, "is not what was written")
    has(said, "a resume of its job mends it, where another job, the bucket or the cache has a copy")
    has(d.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.pt", want=500).json["detail"], "is not what was written")


run()
