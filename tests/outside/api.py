#!/usr/bin/env python3
"""The REST API as its users meet it."""
import json
import os
import socket
import subprocess
import threading
import time

from digests import wrong
from t import BUILD, SLOW, case, cpu_of, eq, has, limit, raw, run, still_open, tiny, wait_for


@case("a job is taken as JSON and as YAML")
def _(d):
    r = d.post("/v1/jobs", tiny(d), want=201)
    eq(r.headers["Location"], f"/v1/jobs/{r.json['id']}")
    assert r.headers["ETag"]
    yaml = "\n".join(f"{k}: {json.dumps(v)}" for k, v in tiny(d, "as-yaml").items())
    r = d.post("/v1/jobs", yaml, headers={"Content-Type": "application/yaml"}, want=201)
    eq(r.json["name"], "as-yaml")


@case("a job with many faults has them all listed with their paths")
def _(d):
    job = tiny(d)
    job["training"]["batch_size"] = 0
    job["training"]["optimzer"] = {}
    job["model"]["sizes"] = [4, "x", 3]
    job["data"]["train"]["path"] = "/nowhere/at/all.csv"
    r = d.post("/v1/jobs", job, want=422)
    eq(r.headers["Content-Type"], "application/problem+json")
    p = r.json
    for k in ("type", "title", "detail", "errors"):
        assert k in p, f"{k} is not in {p}"
    eq(p["status"], 422)
    paths = [e["path"] for e in p["errors"]]
    for want in ("training.batch_size", "training.optimzer", "model.sizes[1]"):
        assert want in paths, f"{want} is not in {paths}"
    has(json.dumps(p), "optimizer")     # the nearest known name is offered


@case("a missing data file is named at submit")
def _(d):
    job = tiny(d)
    job["data"]["train"]["path"] = "/nowhere/at/all.csv"
    r = d.post("/v1/jobs", job, want=422)
    eq(r.json["errors"][0]["path"], "data.train.path")
    has(r.text, "/nowhere/at/all.csv")


@case("the same Idempotency-Key and body give the same answer, another body is refused")
def _(d):
    job, h = tiny(d), {"Idempotency-Key": "one"}
    a = d.post("/v1/jobs", job, headers=h, want=201)
    b = d.post("/v1/jobs", job, headers=h, want=201)
    eq(b.json["id"], a.json["id"])
    eq(b.body, a.body, "the second answer")
    eq(d.post("/v1/jobs", tiny(d, "other"), headers=h).status, 422)
    eq(len(d.get("/v1/jobs").json["jobs"]), 1)
    # Also after a crash of the daemon, and for a verb.
    d.kill()
    d.start()
    eq(d.post("/v1/jobs", job, headers=h, want=201).json["id"], a.json["id"])
    eq(d.post(f"/v1/jobs/{a.json['id']}/pause", headers={"Idempotency-Key": "two"}).status,
       d.post(f"/v1/jobs/{a.json['id']}/pause", headers={"Idempotency-Key": "two"}).status)


@case("pages stay right while jobs come and go")
def _(d):
    ids = [d.submit(tiny(d, f"j{n}", hold=True)) for n in range(25)]
    seen, cursor = [], None
    n = 0
    while True:
        p = d.get("/v1/jobs?limit=4" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [j["id"] for j in p["jobs"]]
        cursor = p["next"]
        if n < 4:
            d.submit(tiny(d, f"new{n}", hold=True))        # newer than the first page
            i = ids[10 - n]
            d.post(f"/v1/jobs/{i}/cancel")
            d.wait_state(i, "cancelled")
            eq(d.call("DELETE", f"/v1/jobs/{i}").status, 204)
        n += 1
        if not cursor:
            break
    eq(len(seen), len(set(seen)), "jobs seen once")
    left = set(ids[:7] + ids[11:])
    assert left <= set(seen), f"missed {left - set(seen)}"
    eq(seen, sorted(seen, reverse=True), "the order")


@case("the list is filtered by state, label and name")
def _(d):
    a = d.submit(tiny(d, "a", hold=True, labels={"team": "qa"}))
    b = d.submit(tiny(d, "b", hold=True, labels={"team": "ml"}))
    d.post(f"/v1/jobs/{b}/cancel")
    d.wait_state(b, "cancelled")
    eq([j["id"] for j in d.get("/v1/jobs?state=held").json["jobs"]], [a])
    eq([j["id"] for j in d.get("/v1/jobs?label=team=ml").json["jobs"]], [b])
    eq([j["id"] for j in d.get("/v1/jobs?name=a").json["jobs"]], [a])
    eq([j["id"] for j in d.get(f"/v1/jobs?id_prefix={a[:24]}").json["jobs"]], [a] if a[:24] != b[:24] else [b, a])
    eq(d.get("/v1/jobs?state=sleeping", want=400).json["status"], 400)
    eq(d.get("/v1/jobs?limit=0", want=400).status, 400)
    eq(d.get("/v1/jobs?limti=5", want=400).status, 400)


@case("what was refused under an Idempotency-Key may be tried again under it, and what was done is done once")
def _(d):
    i, h = d.submit(dict(tiny(d, epochs=1000000), hold=True)), {"Idempotency-Key": "later"}
    eq(d.post(f"/v1/jobs/{i}/resume", headers=h).status, 409, "a resume of what is held")
    job = dict(tiny(d, "early", epochs=1), data={"train": {"type": "csv", "path": f"{d.root}/later", "label": "class"}})
    d.post("/v1/jobs", job, headers={"Idempotency-Key": "data"}, want=422)
    os.link(f"{d.root}/tiny.csv", f"{d.root}/later")
    r = [d.post("/v1/jobs", job, headers={"Idempotency-Key": "data"}, want=201).json["id"] for _ in range(2)]
    eq(r[0], r[1], "the job of a second answer")
    d.post(f"/v1/jobs/{i}/start", want=202)
    d.wait_state(i, "running")
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    eq(d.post(f"/v1/jobs/{i}/resume", headers=h).status, 202, "a resume of what is paused")
    d.post(f"/v1/jobs/{i}/cancel")


@case("PATCH changes priority and labels under If-Match")
def _(d):
    i = d.submit(tiny(d, hold=True))
    r = d.get(f"/v1/jobs/{i}")
    tag = r.headers["ETag"]
    r = d.call("PATCH", f"/v1/jobs/{i}", {"priority": 7, "labels": {"x": "y"}}, {"If-Match": tag})
    eq(r.status, 200, r.text)
    eq((r.json["priority"], r.json["labels"]), (7, {"x": "y"}))
    eq(d.call("PATCH", f"/v1/jobs/{i}", {"priority": 8}, {"If-Match": tag}).status, 412)
    eq(d.call("PATCH", f"/v1/jobs/{i}", {"state": "running"}).status, 422)
    eq(d.get(f"/v1/jobs/{i}", headers={"If-None-Match": d.get(f"/v1/jobs/{i}").headers["ETag"]}, want=304).body, b"")


@case("a web page cannot forge a request")
def _(d):
    i = d.submit(tiny(d, hold=True))
    body = json.dumps(tiny(d, "forged"))
    for ct in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
        eq(d.post("/v1/jobs", body, headers={"Content-Type": ct}).status, 415, f"POST as {ct}")
    eq(d.post(f"/v1/jobs/{i}/cancel", headers={"Content-Type": None}).status, 415)
    eq(d.post("/v1/jobs", body, headers={"Origin": "http://evil.example"}).status, 403)
    eq(d.post("/v1/jobs", body, headers={"Sec-Fetch-Site": "cross-site"}).status, 403)
    for host in ("evil.example", f"evil.example:{d.port}", "127.0.0.1.evil.example", f"127.0.0.1:{d.port + 1}"):
        s = d.call("GET", "/v1/jobs", headers={"Host": host}).status
        assert s in (403, 421), f"Host {host}: {s}"
    for host in ("localhost", "127.0.0.1"):
        d.get("/v1/jobs", headers={"Host": f"{host}:{d.port}"})
    eq(len(d.get("/v1/jobs").json["jobs"]), 1, "jobs")


@case("an address that is not loopback is refused with a sentence", "stopped")
def _(d):
    import subprocess
    from t import BUILD
    for a in ("0.0.0.0:0", "[::]:0", "192.168.1.1:80"):
        r = subprocess.run([f"{BUILD}/rekindled", "--state-dir", f"{d.root}/s", "--listen", a, "--socket", "none"],
                           capture_output=True, text=True, timeout=20)
        assert r.returncode != 0, a
        has(r.stderr, "loopback")


@case("limits on body and headers are answered and cost nothing")
def _(d):
    big = json.dumps(dict(tiny(d), metadata={"x": "y" * (3 << 20)}))
    try:
        eq(d.post("/v1/jobs", big).status, 413)
    except (BrokenPipeError, ConnectionResetError):
        pass        # told to stop before all was sent
    out = raw(d, f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{d.port}\r\nContent-Type: application/json\r\n"
              f"Content-Length: 99999999999\r\n\r\n".encode())
    has(out.decode(), "413")
    out = raw(d, b"GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200000 + b"\r\n\r\n")
    assert b" 431 " in out or b" 413 " in out or b" 414 " in out or out == b"", out[:100]
    deep = "[" * 100000
    eq(d.post("/v1/jobs", deep).status, 400)
    d.get("/healthz")
    assert d.alive()


@case("half a request does not hold anybody up")
def _(d):
    socks = []
    for _ in range(20):
        s = socket.create_connection((d.host, d.port))
        s.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        socks.append(s)
    for _ in range(20):
        d.get("/healthz")
    assert all(still_open(s) for s in socks), "the others were answered only when the halves had been closed"
    for s in socks:
        s.close()


@case("a thousand idle connections leave the daemon responsive")
def _(d):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200 and hard != resource.RLIM_INFINITY:
        from t import Skip
        raise Skip("the limit on open files is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096) if hard > 0 else 4096), hard))
    socks = [socket.create_connection((d.host, d.port)) for _ in range(1000)]
    before = cpu_of(d.proc.pid)
    for _ in range(50):
        d.get("/v1/jobs")
    assert all(still_open(s) for s in socks[-100:]), "it answered only when the others had been closed"
    used = cpu_of(d.proc.pid) - before
    assert used < 1 * SLOW, f"{used:.1f} s of CPU for 50 requests"
    for s in socks:
        s.close()
    d.get("/healthz")


@case("unknown paths, methods and jobs are told apart")
def _(d):
    d.get("/v1/nothing", want=404)
    r = d.call("PUT", "/v1/jobs", {})
    eq(r.status, 405)
    has(r.headers["Allow"], "POST")
    d.get("/v1/jobs/01hzzzzzzzzzzzzzzzzzzzzzzz", want=404)
    for bad in ("..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "x" * 300, "a%00b"):
        r = d.call("GET", f"/v1/jobs/{bad}")
        assert r.status in (400, 404), f"{bad}: {r.status}"
        eq(r.headers["Content-Type"], "application/problem+json")


@case("no path leaves the job's directory")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    c = d.get(f"/v1/jobs/{i}/checkpoints/latest").json["checkpoint"]
    d.get(f"/v1/jobs/{i}/checkpoints/{c}/files/model.safetensors")
    for f in ("..%2fcheckpoint.json", "%2e%2e", "..", "....//x", "%2fetc%2fpasswd", "model.safetensors%00.x"):
        assert d.call("GET", f"/v1/jobs/{i}/checkpoints/{c}/files/{f}").status in (400, 404), f
        assert d.call("GET", f"/v1/jobs/{i}/checkpoints/{f}").status in (400, 404), f
    for n in ("../x", "latest", "best", "none", "step-000000001", ".hidden", "a/b", "x" * 65, "", "a b"):
        r = d.post(f"/v1/jobs/{i}/checkpoints", {"name": n})
        eq(r.status, 422, f"name {n!r}")


@case("a checkpoint can be named, renamed, fetched and deleted")
def _(d):
    i = d.submit(tiny(d, epochs=6))
    d.wait_state(i, "succeeded")
    # Not running: its latest one gets the name.
    r = d.post(f"/v1/jobs/{i}/checkpoints", {"name": "final"}, want=201)
    eq(r.headers["Location"], f"/v1/jobs/{i}/checkpoints/{r.json['checkpoint']}")
    eq(r.json["names"], ["final"])
    eq([sorted(x) for x in r.json["files"]], [["name", "sha256", "size", "xxh128"]] * 2, "digests of what has a name")
    listed = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]
    assert len(listed) >= 2, listed
    old = listed[0]["checkpoint"] if listed[0]["checkpoint"] != r.json["checkpoint"] else listed[-1]["checkpoint"]
    tag = d.get(f"/v1/jobs/{i}/checkpoints/{old}/files/model.safetensors").headers["ETag"]
    r = d.call("PATCH", f"/v1/jobs/{i}/checkpoints/{old}", {"name": "old-one"})
    eq(r.status, 200, r.text)
    has(" ".join(d.events(i)), f"{old} is named old-one")
    eq(d.get(f"/v1/jobs/{i}/checkpoints/old-one").json["checkpoint"], old)
    f = d.get(f"/v1/jobs/{i}/checkpoints/old-one/files/model.safetensors")
    want = [x for x in d.get(f"/v1/jobs/{i}/checkpoints/old-one").json["files"] if x["name"] == "model.safetensors"][0]
    path = f"{d.root}/fetched.safetensors"
    with open(path, "wb") as g:
        g.write(f.body)
    eq(wrong(path, want), None)
    eq(sorted(want), ["name", "sha256", "size", "xxh128"], "what is known")
    eq((tag, f.headers["ETag"]), (f'"{want["xxh128"]}"',) * 2, "ETag before and with the name")
    eq(d.call("DELETE", f"/v1/jobs/{i}/checkpoints/old-one").status, 204)
    d.get(f"/v1/jobs/{i}/checkpoints/{old}", want=404)
    eq(d.call("DELETE", f"/v1/jobs/{i}/checkpoints/latest").status, 409)


@case("what is not what was written gets no name, and the answer says why")
def _(d):
    i = d.submit(tiny(d, epochs=6))
    d.wait_state(i, "succeeded")
    dirs = [x["checkpoint"] for x in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]]
    with open(f"{d.state}/jobs/{i}/checkpoints/{dirs[-1]}/model.safetensors", "r+b") as f:
        f.seek(-1, 2)
        last = f.read(1)
        f.seek(-1, 2)
        f.write(bytes([last[0] ^ 1]))
    r = d.call("PATCH", f"/v1/jobs/{i}/checkpoints/{dirs[-1]}", {"name": "mine"})
    eq(r.status, 500, r.text)
    has(r.text, f"{dirs[-1]} gets no name: a file of it is not what was written")
    d.get(f"/v1/jobs/{i}/checkpoints/mine", want=404)


@case("a name that is given again says from which checkpoint it has moved")
def _(d):
    def moved(answer, old):
        eq(answer.get("moved_from"), old)
        eq(answer["message"], f"mine moved from {old}, which retention may delete now")
        has(" ".join(d.events(i)), answer["message"])
        return answer["checkpoint"]

    i = d.submit(tiny(d, epochs=100000))
    d.wait_state(i, "running")
    first = d.post(f"/v1/jobs/{i}/checkpoints", {"name": "mine"}, want=201).json
    assert "moved_from" not in first and "message" not in first, first
    step = lambda: d.job(i)["progress"]["step"]
    later = step() + 5
    wait_for(20, "five steps", lambda: step() > later)
    second = moved(d.post(f"/v1/jobs/{i}/checkpoints", {"name": "mine"}, want=201).json, first["checkpoint"])
    later = step() + 5
    wait_for(20, "five steps", lambda: step() > later)
    d.post(f"/v1/jobs/{i}/pause", {})
    d.wait_state(i, "paused")
    out = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "checkpoint", i, "--name", "mine"],
                         capture_output=True, text=True)
    has(out.stdout, f"  mine; mine moved from {second}, which retention may delete now")
    # The same again moves nothing.
    again = d.post(f"/v1/jobs/{i}/checkpoints", {"name": "mine"}, want=201).json
    assert "moved_from" not in again, again
    d.call("PATCH", f"/v1/jobs/{i}/checkpoints/{again['checkpoint']}", {"name": "other"})
    r = d.call("PATCH", f"/v1/jobs/{i}/checkpoints/{second}", {"name": "mine"})
    eq(r.status, 200, r.text)
    eq(r.json["message"], f"mine moved from {again['checkpoint']}, which has another name")


@case("events stream and go on behind Last-Event-ID")
def _(d):
    i = d.submit(tiny(d, epochs=3))
    all_ = []
    for ident, data in d.sse(f"/v1/jobs/{i}/events?follow=1"):      # ends with the job
        all_.append((int(ident), json.loads(data)["message"]))
    assert len(all_) >= 3, all_
    eq([a for a, _ in all_], sorted(a for a, _ in all_), "ids")
    again = [int(a) for a, _ in d.sse(f"/v1/jobs/{i}/events?follow=1", last=str(all_[1][0]))]
    eq(again, [a for a, _ in all_[2:]], "what comes behind the second")
    eq(d.job(i)["state"], "succeeded")


@case("the daemon's event stream tells of every job")
def _(d):
    seen, done = [], threading.Event()

    def listen():
        for _, data in d.sse("/v1/events", last="0"):
            seen.append(json.loads(data))
            if any(e["job"] == ids[1] and (e["data"] or {}).get("to") == "succeeded" for e in seen):
                break
        done.set()
    ids = [None, None]
    t = threading.Thread(target=listen, daemon=True)
    ids[0] = d.submit(tiny(d, "one", epochs=2))
    t.start()
    ids[1] = d.submit(tiny(d, "two", epochs=2))
    assert done.wait(limit(30)), seen
    assert {e.get("job") for e in seen} >= set(ids), seen


@case("metrics stream while training and page afterwards")
def _(d):
    i = d.submit(tiny(d, epochs=5))
    live = [json.loads(x) for _, x in d.sse(f"/v1/jobs/{i}/metrics?follow=1")]
    page = d.get(f"/v1/jobs/{i}/metrics?limit=500").json["metrics"]
    eq(live, page, "what was streamed")
    val = [m for m in page if m["split"] == "validation"]
    eq(len(val), 5)
    eq([m["epoch"] for m in val], [1, 2, 3, 4, 5])
    for k in ("loss", "accuracy", "step", "attempt"):
        assert k in val[0], f"no {k} in {val[0]}"
    eq(d.get(f"/v1/jobs/{i}/metrics?split=validation").json["metrics"], val)
    # What stays in sight of a job that has ended is its end, not what was said when it last was asked.
    whole = [m for m in page if m["split"] == "train" and m.get("over") == "epoch"]
    eq(d.job(i)["progress"]["loss"], whole[-1]["loss"], "the loss of the last epoch")


@case("the log can be read, by its tail, and followed")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    r = d.get(f"/v1/jobs/{i}/log")
    has(r.headers["Content-Type"], "text/plain")
    assert len(r.text.splitlines()) >= 2, r.text
    eq(d.get(f"/v1/jobs/{i}/log?tail=1").text, r.text.splitlines(True)[-1])
    eq("\n".join(x for _, x in d.sse(f"/v1/jobs/{i}/log?follow=1")).strip(), r.text.strip())


@case("a slow reader of a stream holds up nobody")
def _(d):
    i = d.submit(tiny(d, epochs=100000))
    d.wait_state(i, "running")
    slow = []
    for _ in range(30):                 # ask for streams and never read
        s = socket.create_connection((d.host, d.port))
        s.sendall(f"GET /v1/jobs/{i}/metrics?follow=1 HTTP/1.1\r\nHost: 127.0.0.1:{d.port}\r\n\r\n".encode())
        slow.append(s)
    time.sleep(1)
    step = d.job(i)["progress"]["step"]
    for _ in range(50):
        d.get("/v1/jobs")
    assert all(still_open(s) for s in slow), "they were answered only when the slow readers had been closed"
    wait_for(10, "training goes on", lambda: d.job(i)["progress"]["step"] > step)
    for s in slow:
        s.close()


@case("the Prometheus page passes promtool and counts what happened")
def _(d):
    import shutil
    import subprocess
    from t import BUILD, Skip
    i = d.submit(tiny(d, epochs=3))
    d.wait_state(i, "succeeded")
    text = d.get("/metrics").text
    has(text, 'rekindle_jobs{state="succeeded"} 1')
    tool = shutil.which("promtool") or f"{BUILD}/tools/promtool"
    if not os.path.exists(tool):
        raise Skip("no promtool: make check installs it where Debian's packages can be had")
    r = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True)
    eq((r.returncode, r.stdout + r.stderr), (0, ""), "promtool")


@case("health and readiness are told")
def _(d):
    eq(d.get("/healthz").status, 200)
    eq(d.get("/readyz").status, 200)
    d.post("/v1/drain", {"deadline_seconds": 5})
    wait_for(5, "a drained daemon is not ready", lambda: d.call("GET", "/readyz").status == 503)
    eq(d.get("/healthz").status, 200)


@case("a rehearsed drain says what would be saved and changes nothing")
def _(d):
    i = d.submit(tiny(d, epochs=100000))
    d.wait_state(i, "running")
    r = d.post("/v1/drain", {"deadline_seconds": 30, "rehearse": True})
    eq(r.status, 200, r.text)
    has(r.text, i)
    time.sleep(0.3)
    eq(d.job(i)["state"], "running")
    d.post("/v1/jobs", tiny(d, "more", hold=True), want=201)


@case("the Unix socket serves the same")
def _(d):
    i = d.submit(tiny(d, hold=True))
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{d.root}/sock")
    s.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
    out = b""
    while True:
        got = s.recv(65536)
        if not got:
            break
        out += got
    has(out.decode(), i)


@case("wrong transitions are refused with the state in the sentence")
def _(d):
    i = d.submit(tiny(d, epochs=2))
    d.wait_state(i, "succeeded")
    for verb in ("pause", "start", "cancel", "retry"):
        r = d.post(f"/v1/jobs/{i}/{verb}")
        eq(r.status, 409, f"{verb} of a succeeded job ({r.text})")
        has(r.text, "succeeded")
    r = d.post(f"/v1/jobs/{i}/resume", {"from": "no-such-name"})
    eq(r.status, 422, r.text)
    has(r.text, "no-such-name")
    r = d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"batch_size": 8, "epochs": "many"}}})
    eq(r.status, 422, r.text)


run()
