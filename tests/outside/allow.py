#!/usr/bin/env python3
"""Records in the bucket are written by whoever may write there: what they name is not read, fetched or written before
this machine's configuration says so, and goes on once it does."""
import glob
import hashlib
import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading

import s3
from stub import Object
from t import BUILD, Daemon, case, csv, eq, has, limit, run, tiny, wait_for


class World:
    """A folder that is the bucket, folders `data` and `out`, and machines that come and go."""

    def __init__(self, d):
        self.root, self.all, self.n = d.root, [], 0
        for name in ("data", "out"):
            os.makedirs(f"{d.root}/{name}")
            csv(f"{d.root}/{name}/x.csv")
        self.data = f"{d.root}/data"

    def machine(self, name=None, allow=None, stores=None, env=None, wait=True):
        self.n += 1
        root = f"{self.root}/{name or f'm{self.n}'}"
        os.makedirs(root, exist_ok=True)
        config = {"paths": {"allow": allow}, "stores": stores,
                  "mirror": {"prefix": f"file://{self.root}/bucket/", "instance": "a", "check": 0.3},
                  "ship": {"retry_base": 0.2, "retry_max": 1}}
        with open(f"{root}/rekindled.yaml", "w") as f:
            json.dump(config, f)
        m = Daemon(root, "--config", f"{root}/rekindled.yaml")
        old = dict(os.environ)
        os.environ.update(env or {})
        try:
            m.start()
        finally:
            os.environ.clear()
            os.environ.update(old)
        self.all.append(m)
        if wait:
            wait_for(30, f"{root} has the jobs", lambda: mirror(m)["state"] == "owner")
        return m

    def job(self, name="job", **more):
        data = {"train": {"type": "csv", "path": f"{self.data}/x.csv", "label": "class"}, "validation_split": 0.1}
        return tiny(self, name, **{"data": data, **more})

    def edit(self, i, change):
        """The newest record of a job, as somebody else could write it."""
        path = max(glob.glob(f"{self.root}/bucket/instances/a/records/*/{i}.*.json"))
        with open(path) as f:
            record = json.load(f)
        spec = json.loads(record["row"]["spec"])
        change(record["row"], spec)
        record["row"]["spec"] = json.dumps(spec)
        with open(path, "w") as f:
            json.dump(record, f)

    def end(self):
        for m in self.all:
            vanish(m)


def world(sentence):
    def add(fn):
        @case(sentence, "stopped")
        def _(d):
            w = World(d)
            try:
                fn(w)
            except BaseException:
                for m in w.all:
                    print(f"    --- {m.root}\n" + m.log()[-1500:])
                raise
            finally:
                w.end()
        return fn
    return add


def mirror(m):
    return m.get("/v1/status").json["mirror"]


def vanish(m):
    m.signal_trainers(9)
    m.kill()


def job(m, i):
    return m.get(f"/v1/jobs/{i}").json


def written(m):
    wait_for(30, "records are in the bucket", lambda: mirror(m)["unwritten"] == 0)


def waits(m, i, reason):
    wait_for(30, f"job {i} waits: {reason} ({job(m, i)['state']} {job(m, i)['reason']} {job(m, i)['message']})",
             lambda: job(m, i)["reason"] == reason)
    eq(job(m, i)["state"], "queued")
    return job(m, i)["message"]


def put(spec, path, value):
    *way, last = path.split(".")
    for key in way:
        spec = spec.setdefault(key, {})
    spec[last] = value


def metric(m, name):
    for line in m.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no {name}")


def cli(m, *args, code=0):
    p = subprocess.run([f"{BUILD}/rekindle", "--server", m.url, *args], capture_output=True, text=True,
                       timeout=limit(60))
    eq(p.returncode, code, f"exit of rekindle {args} ({p.stdout} {p.stderr})")
    return p.stdout


class Web:
    """Counts who asks it."""

    def __init__(self):
        web = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.path)
                self.send_error(404)
            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


# --- what a job names ------------------------------------------------------------------------

def source(**given):
    """How data.train or data.validation, of which `given` is all, names what is in another folder: @ is the folder."""
    def change(spec, side, data, out):
        def filled(folder):
            return json.loads(json.dumps(given).replace("@", folder))
        spec["checkpoint"].pop("keep", None)
        spec["data"] = {"train": filled(out if side == "train" or "tokenizer" in given else data)}
        if side == "validation":
            spec["data"]["validation"] = filled(out)
            for key in [k for k in given if "@" not in json.dumps(given[k])]:
                spec["data"]["validation"][key] = given[key]
    return change


def model(**given):
    def change(spec, data, out):
        spec["model"] = json.loads(json.dumps({**spec["model"], "checkpoint": f"{data}/m.safetensors", **given})
                                   .replace("@", out))
    return change


SOURCES = {
    "images": source(type="idx", images="@/i", labels="/dev/null"),
    "labels": source(type="npy", path="/dev/null", labels="@/l"),
    "path": source(type="csv", path="@/x.csv", label="class"),
    "path[]": source(type="cifar", path=["@/one", "@/two"]),
    "list": source(type="image_folder", path="/dev", list="@/list", size=8),
    "classes[]": source(type="text", classes={"a": "@/a", "b": "@/b"}, tokenizer={"type": "bytes"}),
    "tokenizer.vocabulary": source(type="text", path="/dev/null", text="a", label="b",
                                   tokenizer={"type": "words", "vocabulary": "@/v"}),
}
def inputs(spec, data, out):
    spec.update(kind="predict", model={**spec["model"], "checkpoint": f"{data}/m.safetensors"})
    spec["data"]["inputs"] = [f"{data}/x.csv", f"{out}/x.csv"]


PLACES = {
    **{f"data.{side}.{key}": (lambda spec, data, out, fn=fn, side=side: fn(spec, side, data, out))
       for side in ("train", "validation") for key, fn in SOURCES.items()},
    "model.checkpoint": model(checkpoint="@/m.pt"),
    "model.checkpoint_classes": model(checkpoint_classes="@/c"),
    "model.checkpoint_vocabulary": model(checkpoint_vocabulary="@/v"),
    "data.inputs[]": inputs,
    "checkpoint.push": lambda spec, data, out: spec["checkpoint"].update(push=f"file://{out}/"),
}

# Texts of a job that are no path and no address.
NO_PLACE = """
data.train.delimiter data.train.features data.train.label data.train.pair data.train.text
data.input.columns[] data.input.tokenizer
data.validation.delimiter data.validation.features data.validation.label data.validation.pair data.validation.text
labels[] metadata[] model.checkpoint_classes[] model.checkpoint_said model.grow[] model.layers[].inputs
model.layers[].inputs[] model.layers[].name model.layers[].tied model.outputs[] model.producer[] model.rename[] model.rename[][] name
resources.memory training.cache_features.max_bytes training.optimizer.no_decay[] training.parameters[].match
training.phases[].cache_features.max_bytes training.phases[].train training.phases[].train[] training.resume_from
training.register.alias training.register.if training.register.name training.register.notes training.warm_start.plan
""".split()


def texts(schema, defs, path, seen, out):
    """The fields below a schema that may be a text of a person's own."""
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        if name not in seen:
            texts(defs[name], defs, path, seen | {name}, out)
        return
    for way in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(way, []):
            texts(one, defs, path, seen, out)
    kind = schema.get("type")
    if (kind == "string" or (isinstance(kind, list) and "string" in kind)) and "enum" not in schema and \
            "const" not in schema:
        out.add(path)
    for key, one in schema.get("properties", {}).items():
        texts(one, defs, f"{path}.{key}" if path else key, seen, out)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            texts(schema[key], defs, f"{path}[]", seen, out)


@case("each text of a job is known to be a place that a record must not name, or to be none")
def _(d):
    defs, found = d.get("/openapi.json").json["components"]["schemas"], set()
    texts(defs["JobSpec"], defs, "", frozenset(["JobSpec"]), found)
    # A new field that is a path or an address belongs into spec_places() and into PLACES, any other into NO_PLACE.
    eq(sorted(found - set(PLACES) - set(NO_PLACE)), [], "fields of which nobody has said what they are")
    eq(sorted((set(PLACES) | set(NO_PLACE)) - found), [], "fields that there are no more")


@case("each test that SECURITY names is there", "stopped")
def _(d):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(f"{here}/../../SECURITY.md") as f:
        named = re.findall(r"\[`([a-z_]+\.py)`: ([^]]+)\]", f.read())
    assert len(named) > 15, f"{len(named)} tests are named"
    for name, sentence in named:
        with open(f"{here}/{name}") as f:
            has(f.read(), '("' + " ".join(sentence.split()))


# --- each place ---------------------------------------------------------------------------------

@world("what a record names outside of what this machine allows is neither read nor fetched nor written")
def _(w):
    st, web = s3.Store(), Web()
    st.buckets["evil"] = {}
    os.symlink(f"{w.root}/out/x.csv", f"{w.data}/link.csv")
    os.symlink(f"{w.root}/out", f"{w.data}/way")
    out = f"{w.root}/out"
    # field, what the record says there, reason, the line (None: there is none)
    table = [
        ("checkpoint.push", f"file://{out}/", "path", out),
        ("checkpoint.push", f"file://localhost{out}/deep/", "path", f"{out}/deep"),
        ("checkpoint.push", f"file://{w.data}/../out/", "path", None),
        ("checkpoint.push", f"file://{w.data}/%2e%2e/out/", "path", None),
        ("checkpoint.push", f"file://{w.data}/way/new/", "path", f"{w.data}/way/new"),
        ("checkpoint.push", "s3://evil/team/", "store", "s3://evil/"),
        ("data.train.path", f"{out}/x.csv", "path", out),
        ("data.train.path", f"{w.data}/link.csv", "path", out),
        ("data.train.path", f"{w.data}/way/x.csv", "path", out),
        ("data.train.path", f"{w.data}-other/x.csv", "path", f"{w.data}-other"),
        ("data.train.path", f"{out}/..2026/x.csv", "path", f"{out}/..2026"),    # as a Kubernetes volume has it
        ("data.train.path", "x.csv", "path", None),
        ("data.train.path", f"file://{out}/x.csv", "path", out),
        ("data.train.path", "s3://evil/x.csv", "store", "s3://evil/"),
        ("data.train.path", f"{web.url}/x.csv", "store", web.url.replace("http", "https") + "/"),
        ("model.checkpoint", f"{out}/m.safetensors", "path", out),
        ("model.checkpoint", f"file://{out}/m.tar#member=m.safetensors", "path", out),
        ("model.checkpoint", "s3://evil/m.pdparams", "store", "s3://evil/"),
        ("model.checkpoint", "oss://evil/m.pdparams", "store", "oss://evil/"),
    ]
    # and each field there is, with all else as it may be
    table += [(field, None, "path", out) for field in PLACES]
    a = w.machine(allow=["/"])
    ids = [a.submit(w.job(f"j{k}", hold=True)) for k in range(len(table) + 1)]
    written(a)
    vanish(a)
    for i, (field, value, _, _) in zip(ids, table):
        def change(row, spec):
            if value is not None:
                put(spec, field, value)
            else:
                PLACES[field](spec, w.data, out)
            row.update(state="queued", reason="")
        w.edit(i, change)
    w.edit(ids[-1], lambda row, spec: row.update(state="queued", reason=""))
    before = sorted(glob.glob(f"{out}/**", recursive=True))
    # the environment has keys that would do anywhere
    env = {"AWS_ENDPOINT_URL": st.url, "AWS_ACCESS_KEY_ID": st.id, "AWS_SECRET_ACCESS_KEY": st.secret}
    b = w.machine(allow=[w.data], env=env)
    for i, (field, value, reason, line) in zip(ids, table):
        said = waits(b, i, f"{reason}_not_allowed")
        has(b.log(), f"job={i} waits ({reason}_not_allowed): {said}")
        has(said, field.partition("[")[0] + ("" if "[" in field else " is "))
        if reason == "store":
            has(said, f'add to {b.root}/rekindled.yaml: stores: [{{match: "{line}"}}]')
        elif line:
            has(said, f'say in {b.root}/rekindled.yaml: paths: {{allow: ')
            has(said, f'"{line}"')
        else:
            has(said, "no setting lets a path that is relative or has .. in it")
    # they hold nobody up
    eq(b.wait_state(ids[-1], "succeeded", "failed")["state"], "succeeded")
    eq(metric(b, 'rekindle_jobs_not_allowed{reason="store_not_allowed"}'), sum(t[2] == "store" for t in table))
    eq(metric(b, 'rekindle_jobs_not_allowed{reason="path_not_allowed"}'), sum(t[2] == "path" for t in table))
    eq(sorted(glob.glob(f"{out}/**", recursive=True)), before, "the other folder")
    eq(web.asked, [], "what a web server was asked")
    eq(len(st.seen), 0, "requests with this machine's keys")
    # for people
    has(cli(b, "list"), "queued (path_not_allowed)")
    has(cli(b, "show", ids[0]), "paths: {allow: ")
    cli(b, "watch", ids[0], code=6)
    events = b.get(f"/v1/jobs/{ids[0]}/events").json["events"]
    eq(len([e for e in events if e["kind"] == "not_allowed"]), 1, "events that say it")
    web.server.shutdown()
    st.stop()


# --- the line ------------------------------------------------------------------------------------

def the_line(said):
    return json.loads(said[said.index("{allow: ") + len("{allow: "):said.index("}; and restart")])


def digests(state, i):
    last = max(glob.glob(f"{state}/jobs/{i}/checkpoints/step-*"))
    return os.path.basename(last)[:14], [hashlib.sha256(open(f, "rb").read()).hexdigest()
                                         for f in sorted(glob.glob(f"{last}/*.safetensors"))]


@world("with the line and a restart the job goes on from its checkpoints there, also two machines later")
def _(w):
    a = w.machine(allow=["/"])
    away = w.job("away", epochs=6, checkpoint={"every": {"steps": 50}, "push": f"file://{w.root}/other/"})
    i = a.submit(away)
    whole = a.submit({**away, "name": "whole", "checkpoint": {"every": {"steps": 50}}})
    for k in (i, whole):
        eq(a.wait_state(k, "succeeded", "failed")["state"], "succeeded")
    a.post(f"/v1/jobs/{whole}/resume", {"overrides": {"training": {"epochs": 9}}}, want=202)
    wait_for(60, "the other one has gone on", lambda: job(a, whole)["state"] == "succeeded" and
             job(a, whole)["attempt"] == 2)
    want = digests(a.state, whole)
    written(a)
    vanish(a)
    shutil.rmtree(a.state)

    def longer(row, spec):
        row.update(state="queued", reason="", ended_ms=0)
        put(spec, "training.epochs", 9)
    w.edit(i, longer)
    there = sorted(glob.glob(f"{w.root}/other/**", recursive=True))
    for _ in range(2):
        b = w.machine(allow=[w.data])
        said = waits(b, i, "path_not_allowed")
        written(b)
        vanish(b)
        eq(sorted(glob.glob(f"{w.root}/other/**", recursive=True)), there, "the other folder")
    c = w.machine(os.path.basename(b.root), allow=the_line(said))
    eq(c.wait_state(i, "succeeded", "failed")["state"], "succeeded")
    froms = [x["from"] for x in c.get(f"/v1/jobs/{i}/attempts").json["attempts"]]
    assert froms[-1].startswith("step-"), f"its last attempt began from {froms}"
    eq(digests(c.state, i), want, "last checkpoint")
    eq(metric(c, 'rekindle_jobs_not_allowed{reason="path_not_allowed"}'), 0)


@world("a store that the line names is asked, with this machine's keys, after a restart")
def _(w):
    st = s3.Store()
    with open(f"{w.data}/x.csv", "rb") as f:
        body = f.read()
    st.buckets["models"] = {"x.csv": Object(body, hashlib.md5(body).hexdigest(), 0, {})}
    env = {"AWS_ENDPOINT_URL": st.url, "AWS_ACCESS_KEY_ID": st.id, "AWS_SECRET_ACCESS_KEY": st.secret}
    a = w.machine(allow=["/"])
    i = a.submit(w.job(epochs=1, hold=True))
    written(a)
    vanish(a)

    def elsewhere(row, spec):
        row.update(state="queued", reason="")
        put(spec, "data.train.path", "s3://models/x.csv")
    w.edit(i, elsewhere)
    b = w.machine("b", stores=[{"match": "s3://others/"}], env=env)
    said = waits(b, i, "store_not_allowed")
    has(said, f'add to {b.root}/rekindled.yaml, in `stores`: - {{match: "s3://models/"}}; and restart')
    eq(len(st.seen), 0, "requests before")
    written(b)
    vanish(b)
    b = w.machine("b", stores=[{"match": "s3://others/"}, {"match": "s3://models/"}], env=env)
    eq(b.wait_state(i, "succeeded", "failed")["state"], "succeeded")
    st.stop()


# --- who said it ----------------------------------------------------------------------------------

@world("what was submitted on a machine goes on there, after a restart and after having been elsewhere")
def _(w):
    a = w.machine("a")
    i = a.submit(w.job(epochs=10000000))
    a.wait_state(i, "running")
    written(a)
    vanish(a)
    a = w.machine("a")
    a.wait_state(i, "running")
    written(a)
    vanish(a)
    b = w.machine("b")
    waits(b, i, "path_not_allowed")
    written(b)
    vanish(b)
    a = w.machine("a")
    a.wait_state(i, "running")


@world("what another machine's record has changed meanwhile was not said here")
def _(w):
    a = w.machine("a")
    i = a.submit(w.job(hold=True))
    written(a)
    vanish(a)
    b = w.machine("b")
    b.post(f"/v1/jobs/{i}/start", {}, want=202)
    waits(b, i, "path_not_allowed")
    written(b)
    vanish(b)
    w.edit(i, lambda row, spec: put(spec, "checkpoint.push", f"file://{w.root}/out/"))
    a = w.machine("a")
    has(waits(a, i, "path_not_allowed"), "checkpoint.push is")
    assert "data.train" not in job(a, i)["message"], job(a, i)["message"]


@world("what a person says in a resume is said here")
def _(w):
    a = w.machine(allow=["/"])
    i = a.submit(w.job(hold=True))
    written(a)
    vanish(a)
    w.edit(i, lambda row, spec: row.update(state="queued", reason=""))
    b = w.machine()
    waits(b, i, "path_not_allowed")
    b.post(f"/v1/jobs/{i}/pause", {}, want=202)
    b.wait_state(i, "paused")
    r = b.post(f"/v1/jobs/{i}/resume?dry_run=true", {}, want=422)
    has(r.text, "paths: {allow: ")
    # an override of something else says nothing of it
    b.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"epochs": 2}}}, want=202)
    waits(b, i, "path_not_allowed")
    b.post(f"/v1/jobs/{i}/pause", {}, want=202)
    b.wait_state(i, "paused")
    b.post(f"/v1/jobs/{i}/resume", {"overrides": {"data": {"train": {"path": f"{w.data}/x.csv"}}}}, want=202)
    eq(b.wait_state(i, "succeeded", "failed")["state"], "succeeded")


@case("a list of folders is for what is submitted, too, and null lets it have any", "stopped")
def _(d):
    with open(f"{d.root}/c.yaml", "w") as f:
        f.write(f"paths: {{allow: [{d.root}/data]}}\n")
    os.makedirs(f"{d.root}/data")
    os.makedirs(f"{d.root}/out")
    d.start("--config", f"{d.root}/c.yaml")
    bad = tiny(d, checkpoint={"push": f"file://{d.root}/out/"})
    r = d.post("/v1/jobs", bad, want=422)
    has(r.text, "data.train.path")
    has(r.text, "checkpoint.push")
    has(r.json["errors"][0]["message"], f'this would: paths: {{allow: ["{d.root}/data","{d.root}"]}}')
    csv(f"{d.root}/data/x.csv")
    good = tiny(d, epochs=1, data={"train": {"type": "csv", "path": f"{d.root}/data/x.csv", "label": "class"}})
    eq(d.wait_state(d.submit(good), "succeeded", "failed")["state"], "succeeded")
    d.stop()
    with open(f"{d.root}/c.yaml", "w") as f:
        f.write("paths: {allow: null}\n")
    d.start("--config", f"{d.root}/c.yaml")
    eq(d.wait_state(d.submit(tiny(d, epochs=1)), "succeeded", "failed")["state"], "succeeded")


# --- hostile hands --------------------------------------------------------------------------------

@world("names in a record that lead out of the directory are refused, and nothing outside of it is touched")
def _(w):
    edits = [lambda row, spec: row.update(known_dir="../../../../out"),
             lambda row, spec: row.update(resume_from="../../../out/step-000000001"),
             lambda row, spec: row.update(resume_from="--evaluate"),
             lambda row, spec: row.update(id="../../out")]
    a = w.machine(allow=["/"])
    ids = [a.submit(w.job(f"j{k}", hold=True)) for k in range(len(edits) + 2)]
    written(a)
    vanish(a)
    for i, change in zip(ids, edits):
        w.edit(i, change)
    progress = json.dumps({"checkpoint": "../../../../out", "checkpoint_step": 3})
    w.edit(ids[-2], lambda row, spec: row.update(state="paused", desired="run", reason="uploading", progress=progress))
    folder = glob.glob(f"{w.root}/bucket/instances/a/records/*")[0]
    for name in ("..%2f..%2fout.0000000001.json", "x.json", "....0000000001.json"):
        with open(f"{folder}/{name}", "w") as f:
            f.write("{}")
    before = sorted(p for p in glob.glob(f"{w.root}/**", recursive=True) if "/bucket/" not in p)
    b = w.machine("b", allow=["/"])
    eq({job(b, i)["state"] for i in ids[-1:]}, {"held"})
    for i in ids[:len(edits)]:
        eq(b.call("GET", f"/v1/jobs/{i}").status, 404, "status of a job whose record is no good")
    eq(b.log().count(" is not taken over: "), len(edits), "lines that say so")
    b.wait_state(ids[-2], "queued", "starting", "running", "succeeded", "paused")
    after = sorted(p for p in glob.glob(f"{w.root}/**", recursive=True)
                   if "/bucket/" not in p and not p.startswith(f"{w.root}/b"))
    eq(after, [p for p in before if not p.startswith(f"{w.root}/b")], "what lies outside of its directory")


@world("counts in a record that are at their end are refused, and who goes on can be gone on from")
def _(w):
    a = w.machine(allow=["/"])
    ids = [a.submit(w.job(f"j{k}", hold=True)) for k in range(4)]
    written(a)
    vanish(a)
    last = 9999999998                   # the next one would say that the job was deleted
    for i, key in zip(ids, ("version", "attempt", "failures")):
        w.edit(i, lambda row, spec, key=key: row.update({key: last}))
    path = glob.glob(f"{w.root}/bucket/instances/a/records/*/{ids[0]}.*.json")[0]
    os.rename(path, f"{os.path.dirname(path)}/{ids[0]}.{last}.json")
    b = w.machine("b", allow=["/"])
    for i, key in zip(ids, ("version", "attempt", "failures")):
        eq(b.call("GET", f"/v1/jobs/{i}").status, 404, "status of a job whose record is no good")
        has(b.log(), f"row.{key}: is {last}")
    b.call("PATCH", f"/v1/jobs/{ids[3]}", {"priority": 5})
    written(b)
    vanish(b)
    eq(job(w.machine("c", allow=["/"]), ids[3])["priority"], 5)


if __name__ == "__main__":
    run()
