#!/usr/bin/env python3
"""Checkpoints and files that become versions of models: what lies in the store then, what is refused, what a kill, a
store that is silent or denies, retention, and another machine make of it.  With the gateway (s3.py) where a real store
matters, with one of our own and with the state directory else."""
import glob
import hashlib
import http.server
import json
import os
import random
import re
import threading
import time

import bucket
import s3
from buckets import stubbed
from json_schema import faults
from mirrored import machine, machines, vanish, written
from t import BUILD, case, csv, eq, has, run, safetensors, tiny, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("KILLS", 20))
with open(f"{HERE}/../../etc/model-version.schema.json") as schema_file:
    SCHEMA = json.load(schema_file)
LATER = {"Prefer": "respond-async"}


def sha(b):
    return hashlib.sha256(b).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Folder:
    """What lies below models/ where there is no mirror."""

    def __init__(self, d):
        self.root = f"{d.state}/models"

    def keys(self, prefix):
        return sorted(os.path.relpath(p, self.root) for p in glob.glob(f"{self.root}/{prefix}**", recursive=True)
                      if os.path.isfile(p))

    def get(self, key):
        return read(f"{self.root}/{key}")


class Stubbed:
    def __init__(self, st):
        self.b = st.buckets["b"]

    def keys(self, prefix):
        return sorted(k[len("team/models/"):] for k in self.b if k.startswith(f"team/models/{prefix}"))

    def get(self, key):
        return self.b[f"team/models/{key}"].body


class Rados:
    def __init__(self, g, b):
        self.g, self.b = g, b

    def keys(self, prefix):
        return sorted(k[len("team/models/"):] for k in self.g.keys_of(self.b, f"team/models/{prefix}"))

    def get(self, key):
        return self.g.get(self.b, f"team/models/{key}")


def whole(store, model):
    """The records of a model's versions, each of which must be whole, and all there is below versions/."""
    records, folders = {}, set()
    for key in store.keys(f"{model}/log/"):
        entry = json.loads(store.get(key))
        if entry["event"] != "version":
            continue
        r = entry["record"]
        eq(faults(SCHEMA, SCHEMA, r), [], f"what is wrong with the record of {model}/{entry['version']}")
        eq((r["model"], r["version"]), (model, entry["version"]))
        assert entry["version"] not in records, f"version {entry['version']} is there twice"
        base = f"{model}/versions/{r['id']}"
        folders.add(r["id"])
        for f in r["files"]:
            body = store.get(f"{base}/{f['name']}")
            eq((len(body), sha(body)), (f["size"], f["sha256"]), f"{base}/{f['name']}")
        eq(json.loads(store.get(f"{base}/version.json")), r, "version.json")
        eq(store.keys(f"{base}/"), sorted(f"{base}/{f['name']}" for f in [*r["files"], {"name": "version.json"}]),
           "what lies in the version's folder")
        eq(sum(f["size"] for f in r["files"]), r["bytes"], "bytes")
        records[entry["version"]] = r
    eq(sorted(records), list(range(1, len(records) + 1)), "numbers of versions")
    eq({k.split("/")[2] for k in store.keys(f"{model}/versions/")}, folders, "folders below versions/")
    return [records[n] for n in sorted(records)]


def trained(d, name="one", **more):
    i = d.submit(tiny(d, name, epochs=3, **more))
    eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded")
    return i


def registering(name="m", **more):
    return {"epochs": 3, "batch_size": 16, "register": {"name": name, **more}}


def registrations(d, model):
    return d.get(f"/v1/models/{model}/registrations?limit=500").json["registrations"]


def state_of(d, model, i):
    return d.get(f"/v1/models/{model}/registrations/{i}").json


def ended(d, model, i, *states, seconds=60):
    wait_for(seconds, f"{i} is {states} (it is {state_of(d, model, i)})",
             lambda: state_of(d, model, i)["state"] in states)
    return state_of(d, model, i)


def nothing_left(d):
    eq(glob.glob(f"{d.state}/models-staging/*"), [], "what is left of registrations")
    eq(glob.glob(f"{d.state}/jobs/*/checkpoints/.pin-*"), [], "pins that are left")


# --- what a version is ----------------------------------------------------------------------------

@case("a job's best checkpoint becomes a version: its files, a record as its schema has it, and the alias")
def _(d):
    job = tiny(d, epochs=3, metadata={"author": "eva", "data_source": "https://eva:secret@h/line-7?key=secret"})
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    r = d.post("/v1/models/tiles/versions", {"job": "tiny", "checkpoint": "best", "notes": "first", "author": "ana",
                                             "labels": {"line": "7"}, "alias": "production"}, want=201)
    eq(r.headers["Location"], "/v1/models/tiles/versions/1")
    v = r.json
    eq((v["version"], v["aliases"], v["author"], v["notes"]), (1, ["production"], "ana", "first"))
    record, = whole(Folder(d), "tiles")
    best = d.get(f"/v1/jobs/{i}/checkpoints/best").json
    eq(record["source"], {"kind": "job", "job": i, "name": "tiny", "checkpoint": best["checkpoint"],
                          "step": best["step"], "epoch": best["epoch"]})
    has(sorted(record["metrics"]), "val_macro_f1")
    eq(record["metrics"]["val_accuracy"], best["metrics"]["val_accuracy"])
    eq([c["support"] > 0 for c in record["per_class"]], [True] * 3)
    eq(record["data"]["source"], "https://h/line-7")
    eq(record["data"]["validation"]["samples"], 101)
    names = [f["name"] for f in record["files"]]
    eq(names, ["model.safetensors", "optimizer.safetensors", "checkpoint.json", "tensors.json"])
    folder = f"{d.state}/jobs/{i}/checkpoints/{best['checkpoint']}"
    eq(record["digest"], sha(read(f"{folder}/model.safetensors")), "digest")
    tensors = json.loads(Folder(d).get(f"tiles/versions/{record['id']}/tensors.json"))["tensors"]
    eq(tensors[0], {"name": "fc1.weight", "dtype": "F32", "shape": [32, 4], "file": "model.safetensors"})
    eq(record["lineage"]["parents"], [])
    for key in Folder(d).keys("tiles/"):
        assert b"secret" not in Folder(d).get(key), f"{key} has what is in no record"
    nothing_left(d)
    # Without the optimizer's state, and by another selector.
    v = d.post("/v1/models/tiles/versions", {"job": i, "checkpoint": "step:57", "optimizer": False}, want=201).json
    eq((v["version"], v["source"]["step"]), (2, 57))
    eq([f["name"] for f in v["files"]], ["model.safetensors", "checkpoint.json", "tensors.json"])
    eq(len(whole(Folder(d), "tiles")), 2)


class Web(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.body)

    do_HEAD = do_GET

    def log_message(self, *a):
        pass


@case("a file becomes a version: of this machine, of a server, a job:// and a version of another model")
def _(d):
    i = trained(d)
    path = f"{d.root}/own.bin"
    body = read(f"{d.state}/jobs/{i}/checkpoints/step-000000171/model.safetensors")
    with open(path, "wb") as f:
        f.write(body)
    v = d.post("/v1/models/m/versions", {"address": path, "spec": tiny(d)}, want=201).json
    eq((v["source"], v["arch"]), ({"kind": "file", "address": path, "sha256": sha(body)}, "mlp"))
    eq(v["lineage"], {"kind": "file", "address": path, "sha256": sha(body), "parents": []})
    eq([f["name"] for f in v["files"]], ["model.safetensors", "tensors.json"])
    with open(path, "r+b") as f:                # its owner writes into it: the version is a copy
        f.write(b"another")
    web = http.server.HTTPServer(("127.0.0.1", 0), type("W", (Web,), {"body": body}))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    at = f"http://127.0.0.1:{web.server_port}/m.safetensors"
    v = d.post("/v1/models/m/versions", {"address": f"{at}?token=secret#sha256={sha(body)}"}, want=201).json
    eq(v["source"], {"kind": "file", "address": at, "sha256": sha(body)})
    web.shutdown()
    v = d.post("/v1/models/m/versions", {"address": f"job://{i}/latest"}, want=201).json
    eq(v["source"]["job"], i)
    d.post("/v1/models/m/aliases/production", {"version": 3}, want=200)
    v = d.post("/v1/models/n/versions", {"address": "model://m@production"}, want=201).json
    eq((v["source"]["address"], v["digest"], v["arch"]), ("model://m/3", sha(body), "mlp"))
    eq((v["lineage"]["kind"], v["lineage"]["version"], v["lineage"]["parents"][0]["job"]), ("version", 3, i))
    eq((len(whole(Folder(d), "m")), len(whole(Folder(d), "n"))), (3, 1))
    for key in Folder(d).keys("m/"):
        assert b"secret" not in Folder(d).get(key), f"{key} has what is in no record"
    # Formats of others keep their bytes, and get the name of their format.
    for file, name, kind in (("model.pdparams", "model.pdparams", "paddle"), ("model.pt", "model.pt", "pytorch")):
        other = d.get(f"/v1/jobs/{i}/checkpoints/latest/files/{file}").body
        with open(f"{d.root}/other", "wb") as f:
            f.write(other)
        v = d.post("/v1/models/m/versions", {"address": f"{d.root}/other"}, want=201).json
        eq((v["model_format"], v["files"][0]["name"], v["digest"]), (kind, name, sha(other)))
    nothing_left(d)


@case("what cannot become a version is refused with its field, and leaves nothing")
def _(d):
    i = trained(d)
    held = d.submit(tiny(d, "held", hold=True))
    text, empty = f"{d.root}/a.txt", f"{d.root}/empty.safetensors"
    with open(text, "w") as f:
        f.write("no weights\n" * 100)
    safetensors(empty, {})
    good = f"{d.state}/jobs/{i}/checkpoints/step-000000171/model.safetensors"
    for body, path, words in (
            ({}, "job", "want job"), ({"job": i, "address": good}, "address", "one of both"),
            ({"job": i, "checkpoint": "none"}, "checkpoint", "is none"),
            ({"job": i, "checkpoint": "step:99"}, "checkpoint", "step"),
            ({"job": held}, "checkpoint", "best of job"),
            ({"address": good, "checkpoint": "best"}, "checkpoint", "goes with job"),
            ({"address": text}, "address", "not weights"), ({"address": empty}, "address", "no tensor"),
            ({"address": f"{good}#sha256={'0' * 64}"}, "address", "SHA-256"),
            ({"address": "rel/path"}, "address", "want an absolute path"),
            ({"address": d.root}, "address", "is no file"), ({"address": f"{d.root}/none"}, "address", "no such file"),
            ({"address": f"{good}#member=x"}, "address", "archive"), ({"address": "ftp://h/x"}, "address", "ftp"),
            ({"address": "model://nobody/1"}, "address", "no model"),
            ({"job": i, "alias": "12"}, "alias", "not digits alone"),
            ({"job": i, "notes": "x" * 16385}, "notes", "16384"),
            ({"job": i, "labels": {"a": 1}}, "labels", "no label"),
            ({"job": i, "spec": {}}, "spec", "is of a file"), ({"job": i, "tags": []}, "tags", "not a known field"),
            ({"address": good, "spec": {"name": "x"}}, "spec.model", "missing")):
        r = d.post("/v1/models/m/versions", body, want=422).json
        eq(r["errors"][0]["path"], path, f"path of {body} ({r})")
        has(r["detail"], words)
    has(d.post("/v1/models/m/versions", {"job": "nobody"}, want=404).json["detail"], "there is no job \"nobody\"")
    eq(d.post("/v1/models/..%2Fetc/versions", {"job": i}).status in (404, 422), True)
    d.post("/v1/models/.m/versions", {"job": i}, want=422)
    # A flipped bit is seen before anything is sent.
    with open(good, "r+b") as f:
        f.seek(2000)
        byte = f.read(1)
        f.seek(2000)
        f.write(bytes([byte[0] ^ 1]))
    r = d.post("/v1/models/m/versions", {"job": i, "checkpoint": "step-000000171"}, want=422).json
    has(r["detail"], "it is damaged: model.safetensors has the")
    eq(Folder(d).keys(""), [])
    nothing_left(d)


@case("where a list of folders is allowed, a file elsewhere is refused with the line to add", "stopped")
def _(d):
    with open(f"{d.root}/c.yaml", "w") as f:
        json.dump({"paths": {"allow": [f"{d.root}/in"]}}, f)
    os.makedirs(f"{d.root}/in")
    d.start("--config", f"{d.root}/c.yaml")
    for where in ("in", "."):
        safetensors(f"{d.root}/{where}/m.safetensors", {"a": ("F32", [1], bytes(4))})
    d.post("/v1/models/m/versions", {"address": f"{d.root}/in/m.safetensors"}, want=201)
    r = d.post("/v1/models/m/versions", {"address": f"{d.root}/m.safetensors"}, want=422).json
    has(r["detail"], "this would: paths: {allow: [")


@case("a checkpoint in shards keeps its files, and its digest is that of the one file that they stand for")
def _(d):
    job = tiny(d, epochs=2)
    job["model"] = {"arch": "mlp", "sizes": [4, 300, 300, 3]}
    job["training"]["parameters"] = [{"match": "fc2.*", "trainable": False}]
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    v = d.post("/v1/models/m/versions", {"job": i}, want=201).json
    eq(v["model_format"], "safetensors-shards")
    eq(sorted(f["name"].split("-")[0] for f in v["files"]),
       ["checkpoint.json", "frozen", "model.safetensors.index.json", "optimizer.safetensors", "tensors.json",
        "trained.safetensors"])
    one = d.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.safetensors").body
    eq(v["digest"], sha(one))
    whole(Folder(d), "m")


# --- where it comes from --------------------------------------------------------------------------

@case("a version's lineage goes to the first ancestor, also when jobs on the way are deleted and files gone")
def _(d):
    seed = f"{d.root}/seed.safetensors"
    a = trained(d, "a")
    body = read(f"{d.state}/jobs/{a}/checkpoints/step-000000171/model.safetensors")
    with open(seed, "wb") as f:
        f.write(body)
    more = {"arch": "mlp", "sizes": [4, 32, 3]}
    b = trained(d, "b", model={**more, "checkpoint": seed}, metadata={"data_source": "line 7"})
    c = trained(d, "c", model={**more, "checkpoint": f"job://{b}/best"})
    d.post("/v1/models/m/versions", {"job": c, "alias": "production"}, want=201)
    e = trained(d, "e", model={**more, "checkpoint": "model://m@production"})
    wait_for(10, "what the jobs were begun from is kept",
             lambda: all(os.path.exists(f"{d.state}/jobs/{i}/lineage.json") for i in (b, c, e)))
    best = d.get(f"/v1/jobs/{b}/checkpoints/best").json["checkpoint"]
    os.unlink(seed)
    for i in (b, c):
        d.call("DELETE", f"/v1/jobs/{i}")
    node = d.post("/v1/models/m/versions", {"job": e}, want=201).json["lineage"]
    seen = []
    while True:
        seen.append((node["kind"], node.get("job") or node.get("version") or node["address"], node.get("checkpoint"),
                     (node.get("data") or {}).get("source")))
        if not node["parents"]:
            break
        node, = node["parents"]
    eq([s[:2] for s in seen], [("job", e), ("version", 1), ("job", c), ("job", b), ("file", seed)])
    eq((seen[3][2], seen[3][3]), (best, "line 7"), "what is known of a job that is deleted")
    eq(node["sha256"], sha(body), "digest of a file that is gone")
    whole(Folder(d), "m")


# --- training.register ----------------------------------------------------------------------------

@case("a job that succeeds registers its best checkpoint; a condition that is not met is an event with both numbers")
def _(d):
    i = trained(d, training=registering(alias="candidate", notes="by itself", **{"if": "val_accuracy >= 0.5"}),
                metadata={"author": "eva"})
    wait_for(30, "it is registered", lambda: [r["state"] for r in registrations(d, "m")] == ["registered"])
    record, = whole(Folder(d), "m")
    eq((record["author"], record["notes"], record["source"]["job"]), ("eva", "by itself", i))
    eq(d.get("/v1/models/m/versions/candidate").json["version"], 1)
    wait_for(10, "an event says so", lambda: any(s.endswith("is version 1 of model m; candidate is at it")
                                                 for s in d.events(i)))
    j = trained(d, "two", training=registering(**{"if": "val_loss < 0.001"}))
    words = "it is not registered as a version of model m: val_loss of step-"
    wait_for(30, "an event says so", lambda: any(s.startswith(words) and s.endswith("wants val_loss < 0.001")
                                                 for s in d.events(j)))
    eq([r["state"] for r in registrations(d, "m")], ["unmet", "registered"])
    eq(d.job(j)["state"], "succeeded")
    # Taken further it is another version; started again it is the same.
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 4}}}, want=202)
    wait_for(60, "it is registered again",
             lambda: sorted(r["state"] for r in registrations(d, "m")) == ["registered", "registered", "unmet"])
    eq(len(whole(Folder(d), "m")), 2)
    n = len(registrations(d, "m"))
    d.stop()
    d.start()
    time.sleep(1)
    eq((len(whole(Folder(d), "m")), len(registrations(d, "m"))), (2, n))
    has(d.post("/v1/jobs", tiny(d, "bad", training=registering("a/b")), want=422).text, "training.register.name")


@case("a kill between a job's end and its registration makes one version all the same", "stopped")
def _(d):
    rnd = random.Random(SEED)
    d.start()
    for k in range(6):
        i = d.submit(tiny(d, f"j{k}", epochs=1, training=registering(f"m{k}") | {"epochs": 1}))
        wait_for(60, "it is about to succeed", lambda: d.job(i)["state"] in ("running", "succeeded"))
        wait_for(60, "it ends", lambda: d.job(i)["state"] == "succeeded" or d.job(i)["progress"].get("step", 0) > 40)
        time.sleep(rnd.random() * 0.3)
        d.kill()
        d.start()
        d.wait_state(i, "succeeded")
        wait_for(60, "it is registered", lambda: [r["state"] for r in registrations(d, f"m{k}")] == ["registered"])
        eq(len(whole(Folder(d), f"m{k}")), 1, "versions")
    nothing_left(d)


@machines("two machines that find a job succeeded make one version; the second one knows the condition, too")
def _(d, st):
    store = Stubbed(st)
    a = machine(d, st, "a")
    i = a.submit(tiny(a, epochs=3, training=registering(), checkpoint={"require_remote": True}))
    a.wait_state(i, "succeeded")
    wait_for(30, "it is registered", lambda: [r["state"] for r in registrations(a, "m")] == ["registered"])
    j = a.submit(tiny(a, "two", epochs=3, training=registering("n"), checkpoint={"require_remote": True}))
    a.wait_state(j, "succeeded")
    written(a)
    vanish(a)
    b = machine(d, st, "b")
    for model, job in (("m", i), ("n", j)):
        b.wait_state(job, "succeeded")
        wait_for(60, "the other machine has it, too",
                 lambda: [r["state"] for r in registrations(b, model)] == ["registered"])
        record, = whole(store, model)
        eq((record["source"]["job"], record["version"]), (job, 1))
        eq(len(b.get(f"/v1/models/{model}/versions").json["versions"]), 1)


# --- the store ------------------------------------------------------------------------------------

@machines("a checkpoint that only the bucket has becomes a version, and its job may be gone from here")
def _(d, st):
    a = machine(d, st, "a")
    i = a.submit(tiny(a, epochs=3, checkpoint={"require_remote": True}))
    a.wait_state(i, "succeeded")
    written(a)
    vanish(a)
    b = machine(d, st, "b")
    b.wait_state(i, "succeeded")
    eq(glob.glob(f"{b.state}/jobs/{i}/checkpoints/step-*"), [])
    v = b.post("/v1/models/m/versions", {"job": i, "checkpoint": "best"}, want=201).json
    eq(v["source"]["job"], i)
    record, = whole(Stubbed(st), "m")
    eq(record["instance"], "gpu-a")
    nothing_left(b)


@machines("where the store ignores put-if-absent nothing is registered, and the refusal says why")
def _(d, st):
    st.conditional = False
    a = machine(d, st, "a", wait=False)
    i = trained(a)
    wait_for(30, "the store is known", lambda: a.get("/v1/status").json["mirror"]["put_if_absent"] != "unknown")
    r = a.post("/v1/models/m/versions", {"job": i})
    assert r.status >= 400, r.text
    has(r.json["detail"], "put-if-absent")
    eq(Stubbed(st).keys("m/versions/"), [])


def gateway(d, g, b, **more):
    config = {"stores": [g.store()], "ship": {"retry_base": 0.1, "retry_max": 0.5, "part_size": "5MiB", **more},
              "mirror": {"prefix": f"s3://{b}/team/", "instance": "gpu-a", "check": 0.3}}
    return bucket.rekindled(d, config)


def large(d, name="large"):
    """A job whose model has several parts: 16 MB, and 32 MB of state."""
    job = tiny(d, name, epochs=1)
    job["model"] = {"arch": "mlp", "sizes": [4, 2000, 2000, 3]}
    job["resources"] = {"threads": 1, "memory": "512MiB"}
    job["checkpoint"] = {"every": {"steps": 40}, "keep": {"last": 1}}
    return job


@case("a store that does not answer is waited for, and said; retention and the job's deletion take nothing", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    gateway(d, g, b)
    i = d.submit(tiny(d, epochs=3, checkpoint={"keep": {"last": 2}, "every": {"steps": 50}, "require_remote": False}))
    d.wait_state(i, "succeeded")
    old = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][-1]["checkpoint"]
    wait_for(60, "all is in the bucket", lambda: d.get("/v1/status").json["mirror"]["unwritten"] == 0)
    g.kill_gateway()
    try:
        r = d.post("/v1/models/m/versions", {"job": i, "checkpoint": old, "alias": "p"}, headers=LATER, want=202)
        k = r.json["id"]
        eq(r.headers["Location"], f"/v1/models/m/registrations/{k}")
        wait_for(60, "it says what it waits for", lambda: "127.0.0.1" in (state_of(d, "m", k)["message"] or ""))
        eq(state_of(d, "m", k)["state"], "sending")
        eq(d.call("DELETE", f"/v1/jobs/{i}/checkpoints/{old}").status, 204)
        eq(d.call("DELETE", f"/v1/jobs/{i}").status, 204)
        d.kill()
        gateway(d, g, b)
        eq(state_of(d, "m", k)["state"], "sending")
    finally:
        g.start_gateway()
    ended(d, "m", k, "registered")
    record, = whole(Rados(g, b), "m")
    eq((record["source"]["checkpoint"], record["source"]["job"]), (old, i))
    eq(d.get("/v1/models/m/versions/p").json["version"], 1)
    nothing_left(d)


@case("a store that denies is told, and goes on when it is mended; one under way is given up without a trace",
      "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    gateway(d, g, b)
    path = safetensors(f"{d.root}/m.safetensors", {"a": ("F32", [3000000], os.urandom(12000000))})
    d.post("/v1/models/m/versions", {"address": path}, want=201)
    g.quota(1 << 20)
    try:
        k, n = (d.post("/v1/models/m/versions", {"address": path}, headers=LATER, want=202).json["id"]
                for _ in range(2))
        for x in (k, n):
            wait_for(90, "the refusal is told", lambda: "Quota" in (state_of(d, "m", x)["message"] or ""))
        eq(d.call("DELETE", f"/v1/models/m/registrations/{n}").status, 204)
        ended(d, "m", n, "cancelled")
        eq(d.call("DELETE", f"/v1/models/m/registrations/{n}").status, 204)
        d.get(f"/v1/models/m/registrations/{n}", want=404)
    finally:
        g.quota(None)
    ended(d, "m", k, "registered", seconds=120)
    eq(len(whole(Rados(g, b), "m")), 2)
    eq(g.uploads(b), [], "multipart uploads that are left")
    eq(d.call("DELETE", f"/v1/models/m/registrations/{k}").status, 204)
    nothing_left(d)


@case("an Idempotency-Key makes one version, answered before or after a kill", "stopped")
def _(d):
    d.start()
    i = trained(d)
    one = {"Idempotency-Key": "one"}
    a = d.post("/v1/models/m/versions", {"job": i}, headers=one, want=201)
    b = d.post("/v1/models/m/versions", {"job": i}, headers=one, want=201)
    eq((a.json["version"], b.json["version"], b.headers["Idempotent-Replayed"]), (1, 1, "true"))
    d.post("/v1/models/m/versions", {"job": i, "notes": "x"}, headers=one, want=422)
    two = {"Idempotency-Key": "two"}
    t = threading.Thread(target=lambda: d.call("POST", "/v1/models/m/versions", {"job": i}, two))

    def quietly():
        try:
            d.call("POST", "/v1/models/m/versions", {"job": i}, two)
        except Exception:
            pass                        # nobody heard the answer

    t = threading.Thread(target=quietly)
    t.start()
    wait_for(30, "it has begun", lambda: len(registrations(d, "m")) == 2)
    d.kill()
    t.join()
    d.start()
    eq(d.post("/v1/models/m/versions", {"job": i}, headers=two, want=201).json["version"], 2)
    eq(len(whole(Folder(d), "m")), 2)


@stubbed("an upload that a kill has cut goes on with the parts that are not there yet")
def _(d, st):
    config = {"stores": [st.store("s3://")], "ship": {"retry_base": 0.1, "part_size": "5MiB", "upload_rate": "8MB"},
              "mirror": {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 0.3}}
    bucket.rekindled(d, config)
    path = safetensors(f"{d.root}/m.safetensors", {"a": ("F32", [10000000], os.urandom(40000000))})
    k = d.post("/v1/models/m/versions", {"address": path}, headers=LATER, want=202).json["id"]

    def parts():
        return [re.search(r"partNumber=(\d+)", s.target).group(1) for s in list(st.seen)
                if s.method == "PUT" and "partNumber=" in s.target and s.status == 200]

    wait_for(60, "some parts are there", lambda: len(parts()) >= 3)
    d.kill()
    before = parts()
    os.unlink(path)
    bucket.rekindled(d, config)
    ended(d, "m", k, "registered", seconds=120)
    after = parts()[len(before):]
    eq(sorted(map(int, set(before) | set(after))), list(range(1, 9)), "parts")
    # What was on the wire when it was killed may have arrived unseen.
    eq(set(before) & set(after), set(), "parts that were sent again")
    eq(st.count("POST", "uploads", 200), 1, "multipart uploads that were begun")
    eq(len(whole(Stubbed(st), "m")), 1)


@case("a daemon that is killed at random while it registers makes one version each time, and leaves no upload",
      "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    rnd = random.Random(SEED)
    gateway(d, g, b, upload_rate="60MB")
    i = d.submit(large(d))
    d.wait_state(i, "succeeded", seconds=120)
    kills, seen = 0, set()
    while kills < KILLS:
        n = 1 + len(registrations(d, "m"))
        k = d.post("/v1/models/m/versions", {"job": i, "alias": "p"}, headers=LATER, want=202).json["id"]
        while kills < KILLS:
            time.sleep(rnd.random() * 1.2)
            seen.add(state_of(d, "m", k)["state"])
            if state_of(d, "m", k)["state"] == "registered":
                break
            d.kill()
            kills += 1
            gateway(d, g, b, upload_rate="60MB")
        ended(d, "m", k, "registered", seconds=180)
        records = whole(Rados(g, b), "m")
        eq(len(records), n, "versions")
        eq(d.get("/v1/models/m/versions/p").json["version"], n)
    eq(g.uploads(b), [], "multipart uploads that are left")
    nothing_left(d)
    print(f"    {kills} kills, {len(records)} versions, killed while {sorted(seen)}, seed {SEED}")


if __name__ == "__main__":
    assert os.path.exists(f"{BUILD}/rekindled") and csv
    run()
