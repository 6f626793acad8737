#!/usr/bin/env python3
"""Objects that are replaced under their key: who begins gets what is there now, who goes on keeps what it had."""
import hashlib
import http.server
import json
import shutil
import struct
import threading
import time

import bucket
from s3 import Store
from stub import Object
from t import case, eq, has, run, safetensors, tiny, wait_for

KEY = "v3/best.safetensors"


def weights(d, x):
    """A model of `warm` whose every number is x."""
    shapes = {"fc1.weight": (16, 4), "fc1.bias": (16,), "fc2.weight": (3, 16), "fc2.bias": (3,)}
    size = {n: s[0] * (s[1] if len(s) > 1 else 1) for n, s in shapes.items()}
    path = safetensors(f"{d.root}/w.st", {n: ("F32", s, struct.pack("<f", x) * size[n]) for n, s in shapes.items()})
    with open(path, "rb") as f:
        return f.read()


def warm(d, name, **more):
    job = tiny(d, name, checkpoint={"every": {"epochs": 1}}, **more)
    job["model"] = {"arch": "mlp", "sizes": [4, 16, 3], "checkpoint": f"s3://b/{KEY}"}
    job["training"] = {"steps": 1, "batch_size": 16, "optimizer": {"type": "sgd", "learning_rate": 1e-9}}
    return job


def first(d, i):
    """The first number of the job's last model: hardly trained, it is that of the file that it began from."""
    body = d.get(f"/v1/jobs/{i}/checkpoints/latest/files/model.safetensors").body
    n = struct.unpack("<Q", body[:8])[0]
    head = json.loads(body[8:8 + n])
    at = 8 + n + head["fc1.weight"]["data_offsets"][0]
    return round(struct.unpack("<f", body[at:at + 4])[0], 3)


class Plain:
    """A server that gives no ETag, only the time of the last change."""

    def __init__(self):
        self.body, self.at, self.asked, outer = b"", 0, [], self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.command)
                self.send_response(200)
                self.send_header("Last-Modified", self.date_time_string(outer.at))
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(outer.body)

            do_HEAD = do_GET

            def log_message(self, *a):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/m.safetensors"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, body, at):
        self.body, self.at = body, at

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Scene:
    def __init__(self, d):
        self.d, self.st = d, Store()

    def __enter__(self):
        bucket.rekindled(self.d, {"stores": [self.st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1}})
        return self

    def __exit__(self, *a):
        self.d.kill()
        self.st.stop()

    def put(self, body, key=KEY):
        self.st.buckets["b"][key] = Object(body, hashlib.md5(body).hexdigest(), 0, {})

    def count(self, method):
        return self.st.count(method, KEY)


def scene(sentence):
    def add(fn):
        def one(d):
            with Scene(d) as s:
                fn(s, d)
        case(sentence, "stopped")(one)
        return fn
    return add


@scene("a model that was replaced under its key is what the next job begins from, at one HEAD for each job")
def _(s, d):
    got = []
    for n, x in enumerate((0.25, 0.25, 0.5)):
        s.put(weights(d, x))
        i = d.submit(warm(d, f"j{n}"))
        d.wait_state(i, "succeeded")
        got.append(first(d, i))
    eq(got, [0.25, 0.25, 0.5], "what they began from")
    eq((s.count("HEAD"), s.count("GET")), (3 + 2, 2), "requests: HEAD for each job and before each download, GETs")


@scene("where there is no ETag an object is known by the time of its last change, unless that was just now")
def _(s, d):
    p, got, gets, now = Plain(), [], [], int(time.time())
    try:
        for n, (x, at) in enumerate(((0.25, now - 90), (0.25, now - 90), (0.5, now - 60), (0.75, now), (0.125, now))):
            p.put(weights(d, x), at)
            job = warm(d, f"j{n}")
            job["model"]["checkpoint"] = p.url
            i = d.submit(job)
            d.wait_state(i, "succeeded")
            got.append(first(d, i))
            gets.append(p.asked.count("GET"))
        eq(got, [0.25, 0.25, 0.5, 0.75, 0.125], "what they began from")
        assert gets[0] == gets[1] < gets[2] < gets[3] < gets[4], f"GETs after each job: {gets}"
    finally:
        p.stop()


@scene("of jobs that are submitted at once each gets the bytes, and the object comes once")
def _(s, d):
    s.put(weights(d, 0.25))
    ids = [d.submit(warm(d, f"j{n}")) for n in range(6)]
    for i in ids:
        d.wait_state(i, "succeeded")
        eq(first(d, i), 0.25)
    eq(s.count("GET"), 1, "GETs")
    assert s.count("HEAD") <= 7, f"{s.count('HEAD')} HEADs"


@scene("a job that failed on a damaged file asks again, and begins with the repaired one")
def _(s, d):
    s.put(b"this is no model at all" * 9)
    i = d.submit(warm(d, "j"))
    d.wait_state(i, "failed")
    s.put(weights(d, 0.5))
    d.post(f"/v1/jobs/{i}/retry", want=202)
    d.wait_state(i, "succeeded")
    eq(first(d, i), 0.5)


@scene("data that were repaired under their key are what a failed job begins anew with")
def _(s, d):
    job = tiny(d, "j", epochs=1)
    with open(job["data"]["train"]["path"], "rb") as f:
        good = f.read()
    job["data"]["train"]["path"] = f"s3://b/{KEY}"
    s.put(good.replace(b"\n", b"\nbroken,", 3))
    i = d.submit(job)
    d.wait_state(i, "failed")
    s.put(good)
    d.post(f"/v1/jobs/{i}/retry", want=202)
    d.wait_state(i, "succeeded")


@scene("a job with a checkpoint of its own goes on with the data it had, and asks for nothing")
def _(s, d):
    job = tiny(d, "j", epochs=100000)
    with open(job["data"]["train"]["path"], "rb") as f:
        good = f.read()
    job["data"]["train"]["path"] = f"s3://b/{KEY}"
    s.put(good)
    i = d.submit(job)
    wait_for(30, "a checkpoint", lambda: (d.job(i)["progress"].get("checkpoint_step") or 0) > 0)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    s.put(b"other,names\n1,2\n")
    seen = len(s.st.seen)
    d.post(f"/v1/jobs/{i}/resume", want=202)
    wait_for(30, "it goes on", lambda: d.job(i)["state"] == "running" and d.job(i)["attempt"] == 2)
    eq(len(s.st.seen), seen, "requests")
    d.post(f"/v1/jobs/{i}/cancel", want=202)


@scene("a job that has run begins again with the bytes it had, where the store has them no more or is away")
def _(s, d):
    s.put(weights(d, 0.25))
    jobs = [warm(d, "gone"), warm(d, "away")]
    path = jobs[0]["data"]["train"]["path"]
    with open(path) as f:
        good = f.read()
    with open(path, "w") as f:
        f.write(good + "1,2,x,4,0\n")
    ids = [d.submit(j) for j in jobs]
    for i in ids:
        d.wait_state(i, "failed")
    with open(path, "w") as f:
        f.write(good)
    for i, trouble in zip(ids, (lambda: s.st.buckets["b"].clear(), s.st.stop)):
        trouble()
        d.post(f"/v1/jobs/{i}/retry", want=202)
        d.wait_state(i, "succeeded")
        eq(first(d, i), 0.25)
    eq(d.log().count("cannot fetch"), 2, d.log())


@scene("what a job learns from is fetched again where the cache has lost it, and waited for where the bucket has, too")
def _(s, d):
    s.put(weights(d, 0.25))
    job = warm(d, "learns")
    job["training"].update(steps=200000, distill={"weight": 0.5})
    job["checkpoint"]["every"] = {"steps": 100}
    i = d.submit(job)
    wait_for(30, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) > 0)

    def pause_and_lose():
        d.post(f"/v1/jobs/{i}/pause", want=202)
        d.wait_state(i, "paused")
        d.stop()
        shutil.rmtree(f"{d.state}/cache")
        d.start("--config", f"{d.root}/rekindled.yaml")
        d.post(f"/v1/jobs/{i}/resume", {}, want=202)

    gets = s.count("GET")
    pause_and_lose()
    d.wait_state(i, "running")
    eq(s.count("GET"), gets + 1)
    wait_for(30, "it is saved again", lambda: d.job(i)["progress"].get("checkpoint_step", 0) > 0)
    del s.st.buckets["b"][KEY]
    pause_and_lose()
    wait_for(30, "it waits", lambda: d.job(i)["reason"] == "ancestor_missing")
    has(d.job(i)["message"], f"model.checkpoint: s3://b/{KEY} cannot be had (any more)")
    d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"distill": None, "steps": 1}}}, want=202)
    d.wait_state(i, "succeeded")


run()
