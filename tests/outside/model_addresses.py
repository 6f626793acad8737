#!/usr/bin/env python3
"""model://NAME@ALIAS and model://NAME/N where an address goes: a version is what a job begins from."""
import json
import os
import subprocess

import sharded
from mirrored import machine, machines, vanish, written
from hand_made import Versions, below, in_bucket, of_checkpoint, sha
from stub import No
from t import BUILD, case, eq, has, run, tiny, trainer, wait_for
from warm_files import resnet20


RESNET = {"name": "r", "model": {"arch": "resnet20", "classes": 10}, "training": {"epochs": 1},
          "data": {"train": {"type": "synthetic", "shape": [3, 32, 32], "samples": 64}}}


def trained(d, name="first", **more):
    """A job that has ended, and its newest checkpoint's folder."""
    i = d.submit(tiny(d, name, epochs=2, **more))
    d.wait_state(i, "succeeded")
    return i, sharded.steps(f"{d.state}/jobs/{i}")[-1]


def source(i):
    return {"kind": "job", "job": i, "name": "first", "checkpoint": "step-000000114", "step": 114, "epoch": 2}


def shut(st):
    """The store answers nobody any more."""
    def no(seen):
        raise No(503, "SlowDown")
    st.before = no


def from_model(d, at, name="second", epochs=2, **more):
    j = tiny(d, name, epochs=epochs, **more)
    j["model"]["checkpoint"] = at
    return j


def refused(d, job, *parts, path="model.checkpoint", status=422):
    r = d.post("/v1/jobs", job, want=status)
    if status == 422:
        (fault,) = [e for e in r.json["errors"] if e["path"] == path]
        text = fault["message"]
    else:
        text = r.json["detail"]
    for p in parts:
        has(text, p)


def cli(d, *args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True, cwd=d.root,
                       env={**os.environ, "TMPDIR": d.root})
    eq(r.returncode, want, f"rekindle {args} ({r.stdout[-300:]} {r.stderr[-300:]})")
    return r.stdout + r.stderr


@case("a job begins from the version that an alias is at when it is submitted, and says both")
def _(d):
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    files = of_checkpoint(step)
    v.add("tiny", files, source=source(i))
    v.alias("tiny", "production", 1)
    j = d.submit(from_model(d, "model://tiny@production", hold=True))
    shown = d.job(j)
    at = f"model://tiny/1#sha256={sha(files['model.safetensors'])}"
    eq(shown["spec"]["model"]["checkpoint"], at)
    eq(shown["said"], {"model.checkpoint": "model://tiny@production"})
    has(cli(d, "show", j), "checkpoint was said as model://tiny@production")
    # The alias moves; the job has what was meant.
    v.add("tiny", {"model.safetensors": b"another"})
    v.alias("tiny", "production", 2)
    d.post(f"/v1/jobs/{j}/start", want=202)
    done = d.wait_state(j, "succeeded")
    has(done["plan_summary"], "4 of 4")
    has(json.dumps(done["plan"]), at)
    # By its number, which was said; and what was settled, said again.
    k = d.submit(from_model(d, "model://tiny/1"))
    eq(d.job(k)["spec"]["model"]["checkpoint"], at)
    eq(d.job(k)["said"], {"model.checkpoint": "model://tiny/1"})
    again = d.job(j)["spec"]
    again.update(name="again", hold=False)
    k = d.submit(again)
    eq(d.job(k)["said"], {"model.checkpoint": "model://tiny@production"})
    d.wait_state(k, "succeeded")
    # A file in its place has nothing of it.
    again["model"]["checkpoint"] = f"{step}/model.safetensors"
    eq(d.job(d.submit(again))["said"], None)


@case("what is no version is refused with what there is")
def _(d):
    v = Versions(below(f"{d.state}/models"))
    v.add("tiny", {"model.safetensors": b"x"})
    v.alias("tiny", "production", 1)
    refused(d, from_model(d, "model://tiny@canary"), "model tiny has no alias canary", "production (version 1)")
    refused(d, from_model(d, "model://tiny/7"), "model tiny has no version 7; its newest is 1")
    refused(d, from_model(d, "model://none@production"), "there is no model none")
    refused(d, from_model(d, "model://tiny"), "model://NAME@ALIAS or model://NAME/N")
    refused(d, from_model(d, "model://../x@y"), "model://NAME@ALIAS or model://NAME/N")
    refused(d, from_model(d, f"model://tiny/1#sha256={'0' * 64}"), "version 1 of model tiny has the digest")
    v.entry("tiny", event="alias", alias="production", version=None, was=1, how="removed", note="")
    refused(d, from_model(d, "model://tiny@production"), "model tiny has no alias production")
    v.delete("tiny", 1)
    refused(d, from_model(d, "model://tiny/1"), "version 1 of model tiny was deleted")
    bad = from_model(d, "/x")
    bad["data"]["train"]["path"] = "model://tiny/1"
    refused(d, bad, "the place of no file", path="data.train.path")


@case("plan, dry run and weights settle an address as a submission does, and keep nothing")
def _(d):
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    v.add("tiny", of_checkpoint(step), source=source(i))
    v.alias("tiny", "production", 1)
    job = from_model(d, "model://tiny@production")
    plan = d.post("/v1/warm-starts/plan", job, want=200).json
    has(plan["source"], "model://tiny/1#sha256=")
    assert d.post("/v1/jobs?dry_run=true", job, want=200).json["accepted"]
    eq(len(d.get("/v1/jobs").json["jobs"]), 1)
    r = d.post("/v1/warm-starts/plan", from_model(d, "model://tiny@x"), want=422)
    has(r.json["errors"][0]["message"], "no alias x")
    said = d.post("/v1/weights/inspect", {"address": "model://tiny@production"}, want=200).json
    has(said["path"], "model://tiny/1#sha256=")
    eq(len(said["tensors"]), 4)
    with open(f"{step}/model.safetensors", "rb") as f:
        eq(d.post("/v1/weights/fetch", {"address": "model://tiny/1"}, want=200).body, f.read())
    has(cli(d, "weights", "show", "model://tiny@production"), "fc1.weight")
    told = json.loads(cli(d, "weights", "diff", "model://tiny@production", f"{step}/model.safetensors", "--json"))
    eq(told["equal"], True)
    has(cli(d, "weights", "show", "model://tiny@x", want=1), "no alias x")


@case("a trainer that runs alone says that it has no registry", "stopped")
def _(d):
    _, err = trainer(d, from_model(d, "model://tiny@production"), want=3)
    has(err, "model.checkpoint is model://tiny@production, which only the daemon can find")


@case("the moments of a version's optimizer go along, and of one without them a note says so")
def _(d):
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    files = of_checkpoint(step)
    v.add("tiny", files, source=source(i))
    v.add("tiny", {k: b for k, b in files.items() if k != "optimizer.safetensors"}, source=source(i))
    for n, part in ((1, "the optimizer's state of 4 tensors is taken along, after 114 updates"),
                    (2, "skip the optimizer's state")):
        job = from_model(d, f"model://tiny/{n}", name=f"from{n}")
        job["training"]["warm_start"] = {"optimizer": "moments"}
        j = d.submit(job)
        d.wait_state(j, "succeeded")
        assert any(part in m for m in d.events(j)), d.events(j)


@case("a version in shards is one model")
def _(d):
    i = d.submit(sharded.job())
    d.wait_state(i, "succeeded")
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    files = of_checkpoint(step)
    assert "model.safetensors" not in files
    v = Versions(below(f"{d.state}/models"))
    v.add("wide", files, form="safetensors-shards", digest=sha(b"of all of it"), source=source(i))
    job = sharded.job("second", frozen=())
    job["model"]["checkpoint"] = "model://wide/1"
    j = d.submit(job)
    has(d.wait_state(j, "succeeded")["plan_summary"], "6 of 6")


@case("a job learns from a version, also when it goes on")
def _(d):
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    v.add("tiny", of_checkpoint(step), source=source(i))
    job = from_model(d, "model://tiny/1", name="taught", epochs=400)
    job["training"]["distill"] = {"weight": 0.5}
    j = d.submit(job)
    wait_for(60, "a checkpoint", lambda: d.get(f"/v1/jobs/{j}/checkpoints").json["checkpoints"])
    d.post(f"/v1/jobs/{j}/pause", want=202)
    d.wait_state(j, "paused")
    d.post(f"/v1/jobs/{j}/resume", {"overrides": {"training": {"epochs": 4}}})
    job = d.wait_state(j, "succeeded", "failed", "paused")
    eq((job["state"], job["message"][:0]), ("succeeded", ""), job["message"])


@case("rows grow by the class names that a version's record has")
def _(d):
    """A file of somebody else, whose names were said when it was registered."""
    first = tiny(d, "first", epochs=2)
    i = d.submit(first)
    d.wait_state(i, "succeeded")
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    cli(d, "weights", "convert", f"{step}/model.safetensors", "--to", "pt", "-o", f"{d.root}/m.pt")
    with open(f"{d.root}/m.pt", "rb") as f:
        body = f.read()
    v = Versions(below(f"{d.state}/models"))
    v.add("theirs", {"model.pt": body}, model="model.pt", form="pytorch", classes=["0", "2", "1"])
    job = from_model(d, "model://theirs/1", name="grown")
    job["model"]["grow"] = ["fc2"]
    j = d.submit({**job, "hold": True})
    eq(d.job(j)["spec"]["model"]["checkpoint_classes"], ["0", "2", "1"])


@case("an object that is gone or is another is named, and the version says so until it is back", "stopped")
def _(d):
    d.start()
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    files = of_checkpoint(step)
    v.add("tiny", files, source=source(i))
    at = f"{d.state}/models/{v.folder('tiny', 1)}/model.safetensors"
    os.rename(at, f"{d.root}/away")
    j = d.submit(from_model(d, "model://tiny/1"))
    job = d.wait_state(j, "failed")
    eq(job["reason"], "fetch")
    has(job["message"], "versions/v1/model.safetensors")
    r = d.get("/v1/models/tiny/versions/1").json
    eq(list(r["missing"]), ["model.safetensors"])
    has(r["missing"]["model.safetensors"], "versions/v1/model.safetensors")
    # Of the same size.
    with open(at, "wb") as f:
        f.write(bytes(reversed(files["model.safetensors"])))
    d.post(f"/v1/jobs/{j}/retry", want=202)
    job = d.wait_state(j, "failed")
    has(job["message"], "its SHA-256 is")
    r = d.post("/v1/weights/inspect", {"address": "model://tiny/1"}, want=422).json
    has(json.dumps(r), "its SHA-256 is")
    d.kill()
    d.start()
    eq(list(d.get("/v1/models/tiny/versions/1").json["missing"]), ["model.safetensors"])
    os.rename(f"{d.root}/away", at)
    d.post(f"/v1/jobs/{j}/retry", want=202)
    d.wait_state(j, "succeeded")
    eq(d.get("/v1/models/tiny/versions/1").json["missing"], None)


@case("a version's files come as they lie, and its model as other frameworks have it")
def _(d):
    i, step = trained(d)
    v = Versions(below(f"{d.state}/models"))
    files = of_checkpoint(step)
    spec = d.job(i)["spec"]
    v.add("tiny", files, source=source(i), spec=spec)
    v.alias("tiny", "production", 1)
    at = "/v1/models/tiny/versions"
    for name, body in files.items():
        r = d.get(f"{at}/1/files/{name}")
        eq((r.body, r.headers["ETag"]), (body, f'"{sha(body)[:32]}"'), name)
    r = d.get(f"{at}/production/files/model.safetensors", want=206, headers={"Range": "bytes=10-29"})
    eq(r.body, files["model.safetensors"][10:30])
    eq(r.headers["Content-Range"], f"bytes 10-29/{len(files['model.safetensors'])}")
    d.get(f"{at}/1/files/model.safetensors", want=416, headers={"Range": "bytes=99999999-"})
    # As of the checkpoint itself.
    for form in "model.pdparams", "model.pt":
        r = d.get(f"{at}/1/files/{form}")
        eq(r.body, d.get(f"/v1/jobs/{i}/checkpoints/latest/files/{form}").body, form)
        d.get(f"{at}/1/files/{form}", want=304, headers={"If-None-Match": r.headers["ETag"]})
        part = d.get(f"{at}/1/files/{form}", want=206, headers={"Range": "bytes=100-"})
        eq(part.body, r.body[100:])
    wait_for(20, "nothing is left", lambda: not os.listdir(f"{d.state}/checks"))
    for name, words in (("none", "has no file none; there is checkpoint.json"), ("model.pdopt", "has no file")):
        has(d.get(f"{at}/1/files/{name}", want=404).text, words)
    d.get(f"{at}/1/files/..%2Flog", want=404)
    has(d.get(f"{at}/7/files/model.pt", want=404).text, "no version 7")
    has(d.get(f"{at}/x/files/model.pt", want=404).text, "no alias x")
    v.add("tiny", files, source=source(i))
    wait_for(10, "version 2 is known", lambda: d.call("GET", f"{at}/2").status == 200)
    has(d.get(f"{at}/2/files/model.pt", want=409).text, "does not say of which network")
    v.delete("tiny", 2)
    wait_for(10, "it is deleted", lambda: d.get(f"{at}/2").json["deleted"])
    has(d.get(f"{at}/2/files/model.pt", want=404).text, "was deleted")


@case("a version in shards comes as one file, and one of others by its own names or by those of its job")
def _(d):
    i = d.submit(sharded.job())
    d.wait_state(i, "succeeded")
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    v = Versions(below(f"{d.state}/models"))
    files = of_checkpoint(step)
    v.add("wide", files, form="safetensors-shards", digest=sha(b"all"), source=source(i), spec=d.job(i)["spec"])
    for form in "model.safetensors", "model.pdparams":
        eq(d.get(f"/v1/models/wide/versions/1/files/{form}").body,
           d.get(f"/v1/jobs/{i}/checkpoints/latest/files/{form}").body, form)
    body = resnet20()
    at = f"{d.root}/theirs.pdparams"
    with open(at, "wb") as f:
        f.write(body)
    v.add("theirs", {"model.pdparams": body}, model="model.pdparams", form="paddle")
    v.add("theirs", {"model.pdparams": body}, model="model.pdparams", form="paddle",
          spec=d.job(d.submit({**RESNET, "hold": True}))["spec"])
    eq(d.get("/v1/models/theirs/versions/1/files/model.pdparams").body, body)
    for n, form, more in ((1, "safetensors", []), (2, "pt", ["--arch", "resnet20"])):
        out = f"{d.root}/want.{form}"
        cli(d, "weights", "convert", at, "--to", form, "-o", out, *more)
        with open(out, "rb") as f:
            eq(d.get(f"/v1/models/theirs/versions/{n}/files/model.{form}").body, f.read(), f"version {n}")
    has(d.get("/v1/models/theirs/versions/1/files/model.pt", want=409).text,
        "cannot convert model.pdparams: Paddle has the weight of a linear layer as")
    v.add("theirs", {"model.pdparams": b"nonsense"}, model="model.pdparams", form="paddle")
    wait_for(10, "version 3 is known", lambda: d.call("GET", "/v1/models/theirs/versions/3").status == 200)
    r = d.get("/v1/models/theirs/versions/3/files/model.pt", want=409)
    assert d.state not in r.text, r.text
    wait_for(20, "nothing is left", lambda: not os.listdir(f"{d.state}/checks"))


@case("a version whose record names what is not below its folder is none")
def _(d):
    with open(f"{d.root}/secret", "wb") as f:
        f.write(b"s" * 100)
    v = Versions(below(f"{d.state}/models"))
    for k, name in enumerate(("../../../../secret", "/etc/passwd", "a/b", "..")):
        v.add("bad", {"model.safetensors": b"x"})
        log = f"{d.state}/models/bad/log/{k + 1:010}.json"
        with open(log) as f:
            e = json.load(f)
        e["record"]["files"] = [{"name": name, "size": 100, "sha256": sha(b"s" * 100)}]
        e["record"]["digest"] = sha(b"s" * 100)
        with open(log, "w") as f:
            json.dump(e, f)
    v.add("bad", {"model.safetensors": b"y"}, id="../../..")
    for n in range(1, 6):
        refused(d, from_model(d, f"model://bad/{n}"), "model bad has no version")
        d.get(f"/v1/models/bad/versions/{n}/files/..%2F..%2F..%2F..%2Fsecret", want=404)


@case("a version is not deleted while a job that has not ended begins from it")
def _(d):
    v = Versions(below(f"{d.state}/models"))
    v.add("tiny", {"model.safetensors": b"x"})
    for _ in range(9):
        v.add("tiny", {"model.safetensors": b"x"})
    j = d.submit(from_model(d, "model://tiny/10", hold=True))
    eq(d.call("DELETE", "/v1/models/tiny/versions/1").status, 204)
    r = d.call("DELETE", "/v1/models/tiny/versions/10")
    eq(r.status, 409, r.text)
    has(r.json["detail"], f"job {j} (second), which has not ended")
    d.post(f"/v1/jobs/{j}/cancel", want=202)
    d.wait_state(j, "cancelled")
    eq(d.call("DELETE", "/v1/models/tiny/versions/10").status, 204)
    refused(d, from_model(d, "model://tiny/10"), "was deleted")


def damage(path):
    with open(path, "r+b") as f:
        f.seek(-1, os.SEEK_END)
        b = f.read(1)
        f.seek(-1, os.SEEK_END)
        f.write(bytes([b[0] ^ 1]))


@case("a damaged shard comes again from a version that has it")
def _(d):
    i = d.submit(sharded.job(epochs=200))
    wait_for(60, "checkpoints", lambda: len(sharded.steps(f"{d.state}/jobs/{i}")) > 2)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    v = Versions(below(f"{d.state}/models"))
    v.add("other", {"model.safetensors": b"x"})
    v.add("wide", of_checkpoint(step), form="safetensors-shards", digest=sha(b"all"), source=source(i))
    d.get("/v1/models/wide/versions/1")
    good = sharded.digest(sharded.shard(step))
    damage(sharded.shard(step))
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 220}}}, want=202)
    wait_for(60, "it was mended", lambda: any("is whole again" in m for m in d.events(i)))
    d.wait_state(i, "running", "succeeded")
    eq(sharded.digest(sharded.shard(step)), good)
    d.post(f"/v1/jobs/{i}/cancel")


def registered(d, name, **body):
    r = d.post(f"/v1/models/{name}/versions", body, headers={"Prefer": "wait"})
    assert r.status in (201, 202), r.text
    wait_for(60, "it is registered", lambda: d.call("GET", f"/v1/models/{name}/versions/1").status == 200)
    return d.get(f"/v1/models/{name}/versions/1").json


@case("what was registered of a job, in shards or not, and of a file is what a job begins from")
def _(d):
    i, _ = trained(d)
    one = registered(d, "tiny", job=i, checkpoint="best", alias="production")
    j = d.submit(from_model(d, "model://tiny@production"))
    has(d.wait_state(j, "succeeded")["plan_summary"], "4 of 4")
    eq(d.job(j)["spec"]["model"]["checkpoint"], f"model://tiny/1#sha256={one['digest']}")
    i = d.submit(sharded.job())
    d.wait_state(i, "succeeded")
    step = sharded.steps(f"{d.state}/jobs/{i}")[-1]
    registered(d, "wide", job=i, checkpoint=os.path.basename(step))
    job = sharded.job("second", frozen=())
    job["model"]["checkpoint"] = "model://wide/1"
    job["training"]["warm_start"] = {"optimizer": "moments"}
    j = d.submit(job)
    has(d.wait_state(j, "succeeded")["plan_summary"], "6 of 6")
    eq(d.get("/v1/models/wide/versions/1/files/model.safetensors").body,
       d.get(f"/v1/jobs/{i}/checkpoints/{os.path.basename(step)}/files/model.safetensors").body)
    path = f"{d.root}/theirs.pdparams"
    with open(path, "wb") as f:
        f.write(resnet20())
    registered(d, "theirs", address=f"file://{path}", spec=RESNET)
    assert d.get("/v1/models/theirs/versions/1/files/model.pt").body[:2] == b"PK"


@machines("a machine that takes over finds the version again by its number")
def _(d, st):
    a = machine(d, st, "a")
    i = a.submit(sharded.job("first", epochs=1, frozen=()))
    a.wait_state(i, "succeeded")
    v = Versions(in_bucket(st))
    v.add("wide", of_checkpoint(sharded.steps(f"{a.state}/jobs/{i}")[-1]), source=source(i))
    v.alias("wide", "production", 1)
    job = sharded.job("second", epochs=1, frozen=(), hold=True)
    job["model"]["checkpoint"] = "model://wide@production"
    j = a.submit(job)
    at = a.job(j)["spec"]["model"]["checkpoint"]
    written(a)
    vanish(a)
    v.add("wide", {"model.safetensors": b"x"})
    v.alias("wide", "production", 2)
    b = machine(d, st, "b")
    wait_for(30, "the job is here", lambda: b.call("GET", f"/v1/jobs/{j}").status == 200)
    eq(b.job(j)["said"], {"model.checkpoint": "model://wide@production"})
    b.post(f"/v1/jobs/{j}/start", want=202)
    done = b.wait_state(j, "succeeded", "failed")
    has(done["plan_summary"] or done["message"], "6 of 6")
    has(json.dumps(done["plan"]), at)


@machines("where the store does not answer a number that is known will do, and an alias will not")
def _(d, st):
    a = machine(d, st, "a")
    v = Versions(in_bucket(st))
    v.add("tiny", {"model.safetensors": b"x"})
    v.alias("tiny", "production", 1)
    at = a.job(a.submit(from_model(a, "model://tiny@production", hold=True)))["spec"]["model"]["checkpoint"]
    shut(st)
    eq(a.job(a.submit(from_model(a, "model://tiny/1", hold=True)))["spec"]["model"]["checkpoint"], at)
    refused(a, from_model(a, "model://tiny@production"), "the registry cannot be asked which version "
            "model://tiny@production is", status=503)
    refused(a, from_model(a, "model://none/1"), "the registry cannot be asked", status=503)


run()
