#!/usr/bin/env python3
"""/openapi.json against the live server, so that neither can drift: every
documented operation is called well and badly, every answer is held against its
schema, and what the document does not know the server does not do."""
import copy
import functools
import http.client
import http.server
import json
import os
import re
import struct
import threading

from json_schema import faults, resolve
from openapi_models import walk_models
from t import Reply, case, eq, has, limit, run, tiny, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def schemas_in(node):
    """Every object in the document that may hold a $ref."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for x in node:
            yield from schemas_in(x)


def operations(doc):
    for path, item in doc["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item, item[method]


# --- calling what is documented -----------------------------------------------------------

class Caller:
    def __init__(self, d):
        self.d, self.doc = d, d.get("/openapi.json").json
        self.ops = {op["operationId"]: (m, p, op) for m, p, _, op in operations(self.doc)}
        self.good, self.bad = set(), set()

    def call(self, op, body=None, headers=None, query="", **params):
        """An operation by its id; the answer has been held against the document."""
        method, path, doc = self.ops[op]
        for k in re.findall(r"{(\w+)}", path):
            path = path.replace("{" + k + "}", params.pop(k))
        assert not params, params
        r = self.send(method, path + query, body, headers)
        at = f"{op} {query} ({method} {path})"
        assert str(r.status) in doc["responses"], f"{at}: {r.status} is not documented ({r.body[:300]})"
        answer = doc["responses"][str(r.status)]
        for h, what in answer.get("headers", {}).items():
            assert h in r.headers or not what["required"], f"{at}: no {h} with {r.status}"
        if "content" not in answer:
            eq(r.body, b"", f"{at}: body of {r.status}")
        else:
            kind = r.headers["Content-Type"].split(";")[0]
            assert kind in answer["content"], f"{at}: {kind} is not documented for {r.status}"
            if kind.endswith("json") and kind != "application/x-ndjson":
                wrong = faults(self.doc, answer["content"][kind]["schema"], r.json)
                assert not wrong, f"{at}: {wrong[:8]}"
            if kind == "application/problem+json":
                eq(r.json["status"], r.status, f"{at}: status in the problem")
        (self.good if r.status < 400 else self.bad).add(op)
        return r

    def send(self, method, path, body, headers):
        """As Daemon.call(), but of a stream only the beginning is read."""
        h = {"Content-Type": "application/json"} if method in ("POST", "PATCH") else {}
        h.update(headers or {})
        c = http.client.HTTPConnection(self.d.host, self.d.port, timeout=limit(20))
        try:
            c.request(method, path, json.dumps(body) if isinstance(body, (dict, list)) else body,
                      {k: v for k, v in h.items() if v is not None})
            r = c.getresponse()
            stream = r.headers.get("Content-Type", "").startswith("text/event-stream")
            return Reply(r.status, r.headers, b"" if stream else r.read())
        finally:
            c.close()

    def ok(self, op, want, **kw):
        r = self.call(op, **kw)
        eq(r.status, want, f"{op}: status ({r.body[:300]})")
        return r

    no = ok


@case("the document is OpenAPI 3.1 and all its parts are there")
def _(d):
    doc = d.get("/openapi.json").json
    assert doc["openapi"].startswith("3.1."), doc["openapi"]
    assert doc["info"]["title"] and doc["info"]["version"]
    ids, used = [], set()
    for node in schemas_in(doc):
        if "$ref" in node:
            resolve(doc, node)
            used.add(node["$ref"].split("/")[-1])
    eq(set(doc["components"]["schemas"]) - used, set(), "schemas that nothing uses")
    for method, path, item, op in operations(doc):
        at = f"{method} {path}"
        assert path.startswith("/"), path
        ids.append(op["operationId"])
        assert op["summary"], at
        params = item.get("parameters", []) + op.get("parameters", [])
        for p in params:
            assert p["name"] and p["in"] in ("path", "query", "header") and p["schema"], f"{at}: {p}"
            assert p["in"] != "path" or p["required"] is True, f"{at}: {p}"
        eq({p["name"] for p in params if p["in"] == "path"}, set(re.findall(r"{(\w+)}", path)), f"{at}: parameters")
        names = [(p["in"], p["name"]) for p in params]
        eq(len(names), len(set(names)), f"{at}: a parameter twice")
        assert op["responses"], at
        for status, r in op["responses"].items():
            assert re.match(r"^[1-5]\d\d$", status) and r["description"], f"{at}: {status}"
            for m in r.get("content", {}).values():
                assert "schema" in m, f"{at}: {status}"
        assert any(s < "400" for s in op["responses"]), f"{at}: no good answer"
        if "requestBody" in op:
            assert method in ("POST", "PATCH"), at
            assert "application/json" in op["requestBody"]["content"], at
    eq(len(ids), len(set(ids)), "an operationId twice")
    # Words that the validator here would pass over in silence.
    for s in doc["components"]["schemas"].values():
        faults(doc, s, None)


@case("the document has every route of the server's table and no other")
def _(d):
    with open(f"{HERE}/../../src/api/table.c") as f:
        text = f.read()
    for name in re.findall(r'^#include "(\w+_rows\.inc)"', text, re.M):
        with open(f"{HERE}/../../src/api/{name}") as f:
            text += f.read()
    macros = dict(re.findall(r"^#define\s+(\w+)\s+(.*)$", text, re.M))

    def expand(s):
        return "".join(lit if lit or not word else expand(macros[word]) for lit, word in
                       re.findall(r'"([^"]*)"|(\w+)', s))
    table = {(m, expand(p)) for m, p in re.findall(r'^\t\{ "([A-Z]+)", ([^,]+),', text, re.M)}
    assert len(table) >= 25, table
    doc = d.get("/openapi.json").json
    eq({(m, p) for m, p, _, _ in operations(doc)}, table)


def files_of(d):
    """A server of one file of weights, and its address."""
    os.makedirs(f"{d.root}/web")
    with open(f"{d.root}/web/m.safetensors", "wb") as f:
        head = b'{"a.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}'
        f.write(struct.pack("<Q", len(head)) + head + struct.pack("<2f", 1, -3))
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=f"{d.root}/web"))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return web, f"http://127.0.0.1:{web.server_port}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@case("every documented operation answers as documented, asked well and asked badly")
def _(d):
    c = Caller(d)
    ok, no = c.ok, c.no
    nobody = "01hzzzzzzzzzzzzzzzzzzzzzzz"

    # Jobs.
    r = ok("submitJob", 201, body=tiny(d, "a", epochs=3))
    a = r.json["id"]
    eq(r.headers["Location"], f"/v1/jobs/{a}")
    yaml = "\n".join(f"{k}: {json.dumps(v)}" for k, v in tiny(d, "held", hold=True).items())
    held = ok("submitJob", 201, body=yaml, headers={"Content-Type": "application/yaml"}).json["id"]
    no("submitJob", 422, body={})
    no("submitJob", 400, body="{")
    no("submitJob", 415, body="{}", headers={"Content-Type": "text/plain"})
    no("submitJob", 413, body=json.dumps({"name": "x" * (2 << 20)}))
    no("submitJob", 403, body=tiny(d), headers={"Origin": "http://evil.example"})
    no("listJobs", 421, headers={"Host": "evil.example"})
    d.wait_state(a, "succeeded")
    ok("submitJob", 200, body=tiny(d, "dry"), query="?dry_run=1")
    no("submitJob", 400, body=tiny(d, "dry"), query="?dry_run=maybe")
    warm = tiny(d, "warm", epochs=1)
    warm["model"]["checkpoint"] = f"job://{a}/latest"
    ok("submitJob", 200, body=warm, query="?dry_run=true")
    ok("planWarmStart", 200, body=warm)
    no("planWarmStart", 422, body=tiny(d, "cold"))
    ok("suggestWarmStart", 200, body=warm)
    ok("suggestWarmStart", 200, body=tiny(d, "cold"), query="?limit=1")
    no("suggestWarmStart", 400, body=warm, query="?limit=0")
    no("suggestWarmStart", 422, body={})
    w = ok("submitJob", 201, body=warm).json["id"]
    d.wait_state(w, "succeeded")
    ok("getPlan", 200, id=w)
    ok("suggestForJob", 200, query=f"?job={w}")
    no("suggestForJob", 400)
    no("suggestForJob", 404, query=f"?job={nobody}")
    no("getPlan", 404, id=a)
    ok("listJobs", 200)
    ok("listJobs", 200, query="?state=held,succeeded&label=x&name=a&id_prefix=0&limit=2")
    no("listJobs", 400, query="?limit=x")
    no("listJobs", 400, query="?cursor=..")
    tag = ok("getJob", 200, id=a).headers["ETag"]
    ok("getJob", 304, id=a, headers={"If-None-Match": tag})
    no("getJob", 404, id=nobody)
    ok("patchJob", 200, id=held, body={"priority": 3, "labels": {"k": "v"}, "checkpoint": {"keep": {"last": 5}}})
    no("patchJob", 422, id=held, body={"priority": "high"})
    no("patchJob", 412, id=held, body={"priority": 4}, headers={"If-Match": tag})
    no("patchJob", 404, id=nobody, body={"priority": 4})

    # A model that is used.
    p = ok("submitJob", 201, body={"name": "p", "kind": "predict", "model": {"checkpoint": f"job://{a}/best"},
                                   "data": {"inputs": [f"{d.root}/tiny.csv"]}}).json["id"]
    e = ok("submitJob", 201, body={"name": "e", "kind": "evaluate", "model": {"checkpoint": f"job://{a}/best"},
                                   "data": {"validation": {"path": f"{d.root}/tiny.csv"}}}).json["id"]
    for i in (p, e):
        d.wait_state(i, "succeeded")
        ok("getReport", 200, id=i)
        ok("getJob", 200, id=i)
    tag = ok("getPredictions", 200, id=p).headers["ETag"]
    ok("getPredictions", 304, id=p, headers={"If-None-Match": tag})
    ok("getPredictions", 206, id=e, headers={"Range": "bytes=0-9"})
    no("getPredictions", 416, id=p, headers={"Range": "bytes=99999999-"})
    no("getPredictions", 404, id=a)
    no("getReport", 404, id=a)
    no("checkpointNow", 409, id=p, body={})

    # Verbs.
    long = ok("submitJob", 201, body=tiny(d, "long", epochs=500000)).json["id"]
    d.wait_state(long, "running")
    wait_for(20, "a step", lambda: d.job(long)["progress"].get("step", 0) > 100)
    ok("getJob", 200, id=long)                  # with all that progress has
    ok("startJob", 202, id=held, body={})
    no("startJob", 409, id=long)
    no("startJob", 422, id=held, body={"now": True})
    ok("pauseJob", 202, id=long)
    d.wait_state(long, "paused")
    no("pauseJob", 409, id=a)
    ok("resumeJob", 202, id=long, body={"from": "latest", "overrides": {
        "training": {"optimizer": {"learning_rate": 0.001}}}})
    no("resumeJob", 422, id=a, body={"from": "no-such-checkpoint"})
    no("resumeJob", 409, id=long)
    ok("resumeJob", 200, id=a, body={}, query="?dry_run=1")
    no("resumeJob", 409, id=long, query="?dry_run=1")
    no("resumeJob", 400, id=a, query="?dry_run=maybe")
    ok("cancelJob", 202, id=long)
    d.wait_state(long, "cancelled")
    no("cancelJob", 409, id=a)
    ok("retryJob", 202, id=long)
    d.wait_state(long, "running")
    no("retryJob", 409, id=long)
    no("retryJob", 404, id=nobody)
    no("deleteJob", 409, id=long)

    # Checkpoints.
    ok("checkpointNow", 201, id=long, body={"name": "mine"})
    ok("checkpointNow", 201, id=long, body={})
    no("checkpointNow", 422, id=long, body={"name": "latest"})
    ok("listCheckpoints", 200, id=long)
    r = ok("listCheckpoints", 200, id=a, query="?limit=1")
    r = ok("listCheckpoints", 200, id=a, query=f"?limit=1&cursor={r.json['next']}")
    old = r.json["checkpoints"][0]["checkpoint"]
    no("listCheckpoints", 400, id=a, query="?limit=0")
    ok("getCheckpoint", 200, id=long, checkpoint="mine")
    no("getCheckpoint", 404, id=long, checkpoint="yours")
    ok("nameCheckpoint", 200, id=a, checkpoint=old, body={"name": "old"})
    ok("nameCheckpoint", 200, id=a, checkpoint="old", body={"name": None})
    no("nameCheckpoint", 422, id=a, checkpoint=old, body={"name": 3})
    no("nameCheckpoint", 404, id=a, checkpoint="old", body={"name": "older"})
    f = {"id": a, "checkpoint": "latest", "file": "model.safetensors"}
    whole = ok("getCheckpointFile", 200, **f).body
    eq(ok("getCheckpointFile", 206, headers={"Range": "bytes=8-19"}, **f).body, whole[8:20])
    no("getCheckpointFile", 416, headers={"Range": "bytes=99999999-"}, **f)
    no("getCheckpointFile", 404, **dict(f, file="passwd"))
    ok("deleteCheckpoint", 204, id=a, checkpoint=old)
    no("deleteCheckpoint", 409, id=a, checkpoint="latest")

    # A file that an address leads to: nobody there, and where nobody is sent to.
    web, at = files_of(d)
    ok("inspectWeights", 200, body={"address": f"{at}/m.safetensors", "statistics": True})
    no("inspectWeights", 422, body={"address": f"{at}/nothing"})
    no("inspectWeights", 422, body={"address": "/etc/passwd"})
    ok("fetchWeights", 200, body={"address": f"{at}/m.safetensors"})
    ok("fetchWeights", 206, body={"address": f"{at}/m.safetensors"}, headers={"Range": "bytes=0-7"})
    no("fetchWeights", 416, body={"address": f"{at}/m.safetensors"}, headers={"Range": "bytes=99999999-"})
    no("fetchWeights", 422, body={"address": "/etc/passwd"})
    web.shutdown()

    walk_models(d, ok, no, a)

    # What happened.
    ok("listMetrics", 200, id=a, query="?split=validation&attempt=1&limit=2")
    ok("listMetrics", 200, id=long, query="?follow=true")
    no("listMetrics", 400, id=a, query="?limit=501")
    ok("listEvaluations", 200, id=a, query="?limit=1")
    no("listEvaluations", 404, id=nobody)
    ok("getEvaluation", 200, id=a, evaluation="latest")
    no("getEvaluation", 404, id=a, evaluation="step:999999")
    ok("getLog", 200, id=a, query="?tail=2")
    ok("getLog", 200, id=long, headers={"Accept": "text/event-stream"})
    no("getLog", 400, id=a, query="?tail=-1")
    ok("listEvents", 200, id=a)
    ok("listEvents", 200, id=long, query="?follow=1")
    no("listEvents", 404, id=nobody)
    ok("listAttempts", 200, id=long)
    no("listAttempts", 404, id=nobody)
    ok("followEvents", 200)
    no("followEvents", 400, query="?after=x")

    # The daemon.
    for op in ("health", "ready", "status", "prometheus", "openapi"):
        ok(op, 200)
        no(op, 400, query="?verbose=1")
    ok("deleteJob", 204, id=a)
    no("deleteJob", 404, id=a)
    ok("adopt", 200, body={})
    no("adopt", 404, body={"job": "nobody"})
    no("adopt", 422, body={"resume": "yes"})
    ok("drain", 200, body={"rehearse": True})
    no("drain", 422, body={"deadline_seconds": "soon"})
    ok("drain", 202, body={"deadline_seconds": 20})
    no("ready", 503)
    no("submitJob", 503, body=tiny(d))
    eq((c.good, c.bad), (set(c.ops), set(c.ops)), "operations called well and badly")


@case("a method that is not documented answers 405 with those that are, an unknown path 404")
def _(d):
    doc = d.get("/openapi.json").json
    i = d.submit(tiny(d, hold=True))
    for path, item in doc["paths"].items():
        known = {m.upper() for m in METHODS if m in item}
        real = path.replace("{id}", i).replace("{checkpoint}", "latest").replace("{file}", "model.safetensors")
        for m in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if m in known:
                continue
            r = d.call(m, real, headers={"Content-Type": "application/json"})
            eq(r.status, 405, f"{m} {real}")
            eq({x.strip() for x in r.headers["Allow"].split(",")} - {"HEAD"}, known, f"Allow of {real}")
            eq(r.headers["Content-Type"], "application/problem+json", f"{m} {real}")
            assert not faults(doc, {"$ref": "#/components/schemas/Problem"}, r.json), r.text
        for more in (real + "/nothing", real + "/", real + "x"):
            if more.rstrip("/") != real and not re.match(r"^/v1/jobs/[^/]+(/checkpoints/[^/]+(/files/[^/]+)?)?$", more):
                r = d.call("GET", more)
                eq(r.status, 404, f"GET {more}")
                assert not faults(doc, {"$ref": "#/components/schemas/Problem"}, r.json), r.text


@case("a query parameter out of its documented range, or unknown, is refused")
def _(d):
    doc = d.get("/openapi.json").json
    i = d.submit(tiny(d, epochs=1))
    d.wait_state(i, "succeeded")
    tried = 0
    for method, path, item, op in operations(doc):
        real = path.replace("{id}", i).replace("{checkpoint}", "latest").replace("{file}", "checkpoint.json")
        if method != "GET":
            continue
        for p in op["parameters"]:
            s, bad = p["schema"], []
            if p["in"] != "query":
                continue
            bad += [s["minimum"] - 1] if "minimum" in s else []
            bad += [s["maximum"] + 1] if "maximum" in s else []
            bad += ["many", "1.5", ""] if s["type"] == "integer" else []
            bad += ["perhaps"] if s["type"] == "boolean" else []
            bad += ["%00", "A,!"] if "pattern" in s else []
            for v in bad:
                r = d.call("GET", f"{real}?{p['name']}={v}")
                eq(r.status, 400, f"{real}?{p['name']}={v}")
                tried += 1
        eq(d.call("GET", f"{real}?no_such_parameter=1").status, 400, f"{real} with an unknown parameter")
    assert tried > 20, tried


# --- the job specification ------------------------------------------------------------------

def jobs(d):
    """Jobs that are right, in the shapes that people write."""
    a = tiny(d, "a")
    yield a
    b = copy.deepcopy(a)
    b["model"] = {"input": [1, 2, 2], "layers": [
        {"type": "conv2d", "out": 4, "kernel": [2, 1], "padding": 1}, {"type": "batch_norm"}, "relu",
        {"type": "max_pool2d", "kernel": 2}, "flatten", {"type": "dropout", "p": 0.1}, {"type": "linear", "out": 3}]}
    b["training"].update(loss="cross_entropy", optimizer="adam", schedule="cosine")
    b["data"].update(normalize="standard")
    b["labels"], b["metadata"] = {"team": "qa"}, {"author": "ana"}
    yield b
    c = copy.deepcopy(a)
    c["training"].update(loss={"type": "cross_entropy", "label_smoothing": 0.1}, optimizer={
        "type": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, schedule={
        "type": "multistep", "milestones_epochs": [1, 2], "warmup_steps": 10}, gradient_clip_norm=1)
    c["data"]["train"].update(label=-1, header=True, delimiter=",")
    c["checkpoint"] = {"every": {"seconds": 1.5}, "keep": {"last": 2, "best": 2, "metric": "val_loss", "mode": "min"}}
    c["resources"] = {"threads": 2, "memory": 1 << 28}
    yield c


@case("jobs that the server takes fit the document, and so does their normal form")
def _(d):
    doc = d.get("/openapi.json").json
    spec = {"$ref": "#/components/schemas/JobSpec"}
    for job in jobs(d):
        job["hold"] = True
        i = d.submit(job)
        eq(faults(doc, spec, job), [], "the job as it was written")
        eq(faults(doc, spec, d.job(i)["spec"]), [], "its normal form")


def places(doc, schema, v, at=()):
    """(path, schema, value) of everything in v that the document describes."""
    schema = resolve(doc, schema)
    for one in schema.get("anyOf", []):
        if not faults(doc, one, v):
            yield from places(doc, one, v, at)
            return
    yield at, schema, v
    if isinstance(v, dict):
        for k, x in v.items():
            if k in schema.get("properties", {}):
                yield from places(doc, schema["properties"][k], x, at + (k,))
    if isinstance(v, list) and "items" in schema:
        for n, x in enumerate(v):
            yield from places(doc, schema["items"], x, at + (n,))


@case("what the document forbids in a job the server refuses at that place")
def _(d):
    doc = d.get("/openapi.json").json
    spec, tried = {"$ref": "#/components/schemas/JobSpec"}, 0
    for job in jobs(d):
        for at, schema, v in places(doc, spec, job):
            bad = []
            if schema.get("additionalProperties") is False and isinstance(v, dict):
                bad.append({**v, "no_such_field": 1})
            if "enum" in schema:
                bad.append("no-such-word")
            if "minimum" in schema:
                bad.append(schema["minimum"] - 1)
            if "maximum" in schema:
                bad.append(schema["maximum"] + 1)
            if schema.get("type") in ("integer", "number"):
                bad += ["many", True, [1]]
            if schema.get("type") == "integer":
                bad.append(1.5)
            if schema.get("type") == "string":
                bad += [{"a": 1}, ["x"]]
            if schema.get("type") == "object":
                bad += [7, ["x"]]
            for key in schema.get("required", []):
                if isinstance(v, dict):
                    bad.append({k: x for k, x in v.items() if k != key})
            for x in bad:
                wrong = copy.deepcopy(job)
                wrong["hold"] = True
                if not at:
                    wrong = x
                else:
                    to = wrong
                    for k in at[:-1]:
                        to = to[k]
                    to[at[-1]] = x
                if not faults(doc, spec, wrong):
                    continue        # another alternative allows it
                r = d.post("/v1/jobs", json.dumps(wrong))
                path = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in at)[1:]
                eq(r.status, 422, f"{path} = {json.dumps(x)[:80]} ({r.body[:200]})")
                at_fault = [e["path"] for e in r.json.get("errors", [])]
                # At the place, or in it; of an entry of a list, at the list.
                assert not path or any(p.startswith(path) or path.startswith(p + "[") for p in at_fault), \
                    f"{path} = {x}: {r.text}"
                tried += 1
    assert tried > 150, tried


@case("the defaults in the document are the server's")
def _(d):
    doc = d.get("/openapi.json").json
    job = {"name": "least", "model": {"arch": "mlp", "sizes": [4, 3]}, "training": {"epochs": 1}, "hold": True,
           "data": tiny(d)["data"]}
    normal = d.job(d.submit(job))["spec"]
    seen = 0
    for at, schema, v in places(doc, {"$ref": "#/components/schemas/JobSpec"}, normal):
        if "default" in schema and at != ("hold",):
            eq(v, schema["default"], ".".join(map(str, at)))
            seen += 1
    has(json.dumps(doc["components"]["schemas"]["JobSpec"]), '"default"')
    assert seen >= 8, seen


run()
