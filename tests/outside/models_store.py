#!/usr/bin/env python3
"""The registry on stores that are odd, silent or spoilt, and a daemon that is killed while it deletes."""
import hashlib
import os
import time

from mirrored import machine, machines, mirror, vanish
from registry import Root
from stub import No, Object
from t import case, eq, has, run, wait_for


def root(st):
    """Somebody else who writes to the bucket."""
    return Root(put=lambda key, data: st.buckets["b"].__setitem__(
        f"team/models/{key}", Object(data, hashlib.md5(data).hexdigest(), 0, {})))


def refused(r, status, part):
    eq(r.status, status, f"status ({r.body[:300]!r})")
    has(r.json["detail"], part)


@machines("where put-if-absent is ignored or unknown nothing is promoted, which is said; reading works")
def _(d, st):
    r = root(st)
    r.version("tiles", val_accuracy=0.5)
    for conditional, word, part in ((False, "ignored", "ignores the condition of a put-if-absent"),
                                    (501, "by_head", "has no put-if-absent")):
        st.conditional = conditional
        a = machine(d, st, word, wait=False, start_wait=0.3)
        wait_for(30, "it knows", lambda: mirror(a)["put_if_absent"] == word)
        n = st.count("PUT", "models/")
        no = a.post("/v1/models/tiles/aliases/p", {"version": 1})
        refused(no, 409, part)
        eq(no.json["type"], "/problems/no-put-if-absent")
        refused(a.call("DELETE", "/v1/models/tiles/versions/1"), 409, "nothing is registered or promoted there")
        refused(a.call("PATCH", "/v1/models/tiles/versions/1", {"notes": "n"}), 409, "reading works")
        eq(a.get("/v1/models/tiles/versions/1").json["metrics"], {"val_accuracy": 0.5})
        eq(st.count("PUT", "models/"), n, "objects that were put")
        vanish(a)


@machines("before the store has said whether it has put-if-absent nobody is told that it has none")
def _(d, st):
    def silent(seen):
        raise No(503, "SlowDown", "Please reduce your request rate.")
    st.before = silent
    a = machine(d, st, "a", wait=False)
    r = a.post("/v1/models/tiles/aliases/p", {"version": 1})
    eq((r.status, r.json["type"]), (503, "/problems/store-unreachable"))
    st.before = None
    root(st).version("tiles")
    wait_for(60, "it is moved", lambda: a.post("/v1/models/tiles/aliases/p", {"version": 1}).status == 200)


@machines("a store that is silent leaves lists as they were, with their age and why; nobody is told that a model is none")
def _(d, st):
    r = root(st)
    r.version("tiles")
    a = machine(d, st, "a")
    eq(len(a.get("/v1/models").json["models"]), 1)

    def silent(seen):
        if "/models/" in seen.target or "models%2F" in seen.target:
            raise No(503, "SlowDown", "Please reduce your request rate.")
    st.before = silent
    r.version("tiles")
    time.sleep(2.1)
    m = a.get("/v1/models/tiles").json
    eq(m["newest"]["version"], 1)
    has(m["error"], "SlowDown")
    assert m["age_seconds"] > 2, m
    t = time.monotonic()
    has(a.get("/v1/models/tiles/versions/1").json["error"], "SlowDown")
    assert time.monotonic() - t < 5, "the second who asks waits as well"
    refused(a.call("GET", "/v1/models/other"), 503, "the store does not answer")
    refused(a.call("GET", "/v1/models/tiles/versions/2"), 503, "the store does not answer")
    eq(a.post("/v1/models/tiles/aliases/p", {"version": 1}).status, 503)
    st.before = None
    wait_for(40, "the store is heard again", lambda: a.get("/v1/models/tiles").json["error"] is None)
    eq(a.get("/v1/models/tiles").json["newest"]["version"], 2)
    a.post("/v1/models/tiles/aliases/p", {"version": 2}, want=200)


@machines("a listing that is late hides a model from lists and from nothing else, and no gap is seen")
def _(d, st):
    r = root(st)
    for _ in range(40):
        r.version("tiles")
    st.late = lambda b, key: key.startswith("team/models/")
    a = machine(d, st, "a")
    m = a.get("/v1/models/tiles").json
    eq((m["versions"], m["fault"]), (40, None))
    a.post("/v1/models/tiles/aliases/p", {"version": 40}, want=200)
    eq([x["model"] for x in a.get("/v1/models").json["models"]], ["tiles"])


@machines("a model whose log cannot be read does not keep others from lists, which say what cannot be read")
def _(d, st):
    r = root(st)
    for m in ("alpha", "beta", "gamma"):
        r.version(m)

    def forbidden(seen):
        if seen.method == "GET" and "/beta/log/0" in seen.target:
            raise No(403, "AccessDenied", "Access Denied")
    st.before = forbidden
    a = machine(d, st, "a")
    page = a.get("/v1/models").json
    has(page["error"], "the log of model beta cannot be read")
    eq([m["model"] for m in page["models"]], ["alpha", "gamma"])
    st.before = None
    wait_for(40, "it is read", lambda: [m["model"] for m in a.get("/v1/models").json["models"]] == ["alpha", "beta", "gamma"])
    eq(a.get("/v1/models").json["error"], None)


@machines("a role that may not list the registry has all of a model by its name")
def _(d, st):
    def before(seen):
        path, _, query = seen.target.partition("?")
        key = path[1:].partition("/")[2]
        if "prefix=" in query and "models" in query:
            raise No(403, "AccessDenied", "Access Denied")
        if seen.method in ("GET", "HEAD") and "/models/" in path and key not in st.buckets["b"]:
            raise No(403, "AccessDenied", "Access Denied")
    r = root(st)
    r.version("tiles")
    st.before = before
    a = machine(d, st, "a")
    eq(a.get("/v1/models/tiles").json["versions"], 1)
    a.post("/v1/models/tiles/aliases/p", {"version": 1}, want=200)
    eq(a.get("/v1/models/tiles").json["aliases"], {"p": 1})
    has(a.get("/v1/models").json["error"], "cannot be listed")


@machines("a bucket that was emptied, or that has another log there, is what is shown, and written to as it is")
def _(d, st):
    r = root(st)
    for _ in range(3):
        r.version("tiles")
    a = machine(d, st, "a")
    eq(a.get("/v1/models/tiles").json["versions"], 3)
    b = st.buckets["b"]
    for k in [k for k in b if k.startswith("team/models/")]:
        del b[k]
    time.sleep(2.1)
    eq(a.call("GET", "/v1/models/tiles").status, 404)
    other = root(st)
    other.version("tiles", notes="another")
    time.sleep(2.1)
    eq(a.get("/v1/models/tiles").json["newest"]["notes"], "another")
    a.post("/v1/models/tiles/aliases/p", {"version": 1}, want=200)
    assert "team/models/tiles/log/0000000002.json" in b
    third = root(st)
    third.version("tiles", notes="a third")
    third.version("tiles", notes="of as many entries")
    time.sleep(2.1)
    m = a.get("/v1/models/tiles").json
    eq((m["versions"], m["newest"]["notes"], m["aliases"]), (2, "of as many entries", {}))


@machines("a machine that replaces another knows all models, and removes what the other had deleted")
def _(d, st):
    r = root(st)
    for v in (1, 2):
        r.version("tiles")
        st.buckets["b"][f"team/models/tiles/versions/f{v}/model.safetensors"] = Object(b"abc", "e", 0, {})
    a = machine(d, st, "a")
    a.post("/v1/models/tiles/aliases/production", {"version": 2, "author": "ana"}, want=200)
    stuck = []

    def before(seen):
        if seen.method == "DELETE" and "/models/" in seen.target:
            stuck.append(seen)
            raise No(503, "SlowDown", "Please reduce your request rate.")
    st.before = before
    eq(a.call("DELETE", "/v1/models/tiles/versions/1").status, 204)
    wait_for(20, "it tries to remove the file", lambda: stuck)
    vanish(a)
    st.before = None
    assert "team/models/tiles/versions/f1/model.safetensors" in st.buckets["b"]
    b = machine(d, st, "b")
    m = b.get("/v1/models/tiles").json
    eq((m["aliases"], m["versions"]), ({"production": 2}, 1))
    eq(b.get("/v1/models/tiles/aliases/production").json["by"], "ana")
    wait_for(20, "the file is gone", lambda: "team/models/tiles/versions/f1/model.safetensors" not in st.buckets["b"])
    assert "team/models/tiles/versions/f2/model.safetensors" in st.buckets["b"]


@case("killed while it removes the files of a deleted version, it goes on when it is started")
def _(d):
    r = Root(d)
    for v in (1, 2):
        r.version("tiles")
        for i in range(300):
            r.to_folder(f"tiles/versions/f{v}/part-{i:03}.safetensors", b"x")
    d.get("/v1/models/tiles")
    folder = f"{r.folder}/tiles/versions/f1"
    here = lambda: len(os.listdir(folder)) if os.path.exists(folder) else 0
    eq(d.call("DELETE", "/v1/models/tiles/versions/1").status, 204)
    wait_for(20, "the first are gone", lambda: here() < 300)
    d.kill()
    left = here()
    d.start()
    wait_for(30, "its files are gone", lambda: here() == 0)
    eq(len(os.listdir(f"{r.folder}/tiles/versions/f2")), 300)
    print(f"# {left} of 300 were left when it was killed")


if __name__ == "__main__":
    run()
