#!/usr/bin/env python3
"""While a machine takes over it does not say of what may be on its way that it does not exist."""
import json
import subprocess

from mirrored import held, machine, machines, mirror, owner, vanish
from stub import No
from t import BUILD, eq, has, limit, run, tiny, wait_for

CHILDREN = ["", "/checkpoints", "/checkpoints/latest", "/checkpoints/latest/files/model.safetensors", "/metrics",
            "/log", "/events", "/attempts", "/evaluations", "/evaluations/1", "/plan"]
LISTS = ["", "?state=running", "?name=held", "?id_prefix=0", "?label=team"]


def shut(st):
    """The store answers nobody until the gate is opened."""
    gate = {"shut": True}

    def before(seen):
        if gate["shut"]:
            raise No(503, "SlowDown")
    st.before = before
    return gate


def not_yet(r, why="taken over from the bucket"):
    eq(r.status, 503, r.text)
    eq(r.headers["Retry-After"], "5")
    eq(r.headers["Content-Type"], "application/problem+json")
    eq(r.json["type"], "/problems/not-ready")
    has(r.json["detail"], why)


def ask_all(a, i, why):
    """Whatever could say that a job does not exist."""
    for child in CHILDREN:
        not_yet(a.call("GET", f"/v1/jobs/{i}{child}"), why)
        not_yet(a.call("GET", f"/v1/jobs/{i}{child}", headers={"Accept": "text/event-stream"}), why)
    for query in LISTS:
        not_yet(a.call("GET", f"/v1/jobs{query}"), why)
    for verb in ("start", "pause", "resume", "cancel", "retry", "checkpoints"):
        not_yet(a.call("POST", f"/v1/jobs/{i}/{verb}", {}), why)
    not_yet(a.call("POST", f"/v1/jobs/{i}/start", {}, {"Idempotency-Key": "k"}), why)
    not_yet(a.call("PATCH", f"/v1/jobs/{i}", {"priority": 1}), why)
    not_yet(a.call("PATCH", f"/v1/jobs/{i}/checkpoints/latest", {"name": "x"}), why)
    not_yet(a.call("DELETE", f"/v1/jobs/{i}"), why)
    not_yet(a.call("DELETE", f"/v1/jobs/{i}/checkpoints/latest"), why)
    not_yet(a.call("POST", "/v1/jobs", tiny(a), {"Idempotency-Key": "k"}), why)
    not_yet(a.call("GET", "/readyz"), why)
    eq(a.call("GET", "/v1/jobs/none").status, 404, "what is no id of a job is none for ever")
    eq(a.call("GET", "/healthz").status, 200)


@machines("an empty machine whose store answers 503 says of no job that it does not exist, and then has it")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    gate = shut(st)
    b = machine(d, st, "b", wait=False, start_wait=0.5)
    wait_for(30, "it says what is the matter", lambda: mirror(b)["error"])
    ask_all(b, i, "503 SlowDown")
    eq(mirror(b)["state"], "claiming")
    gate["shut"] = False
    owner(b)
    eq(b.job(i)["state"], "held")
    eq([j["id"] for j in b.get("/v1/jobs").json["jobs"]], [i])
    eq(b.call("GET", f"/v1/jobs/{i[:-1]}0").status, 404)
    eq(b.call("GET", "/readyz").status, 200)


@machines("nor does an empty machine whose store cannot be reached")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    port, st.url = st.url, "http://127.0.0.1:1"
    b = machine(d, st, "b", wait=False, start_wait=0.5)
    st.url = port
    wait_for(30, "it says what is the matter", lambda: mirror(b)["error"])
    ask_all(b, i, "127.0.0.1")


@machines("a directory with jobs shows them while its store is away, and goes on alone with no job unknown any more")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    shut(st)
    a = machine(d, st, "a", wait=False, start_wait=4)
    eq([j["id"] for j in a.get("/v1/jobs").json["jobs"]], [i])
    eq(a.job(i)["state"], "held")
    other = i[:-1] + ("0" if i[-1] != "0" else "1")
    not_yet(a.call("GET", f"/v1/jobs/{other}"))
    not_yet(a.call("GET", "/v1/jobs?name=another"))
    wait_for(30, "it goes on alone", lambda: mirror(a)["state"] == "alone")
    eq(a.call("GET", f"/v1/jobs/{other}").status, 404)
    eq(a.get("/v1/jobs?name=another").json["jobs"], [])


@machines("a machine that has begun to take over shows no part of the list for the whole")
def _(d, st):
    a = machine(d, st, "a")
    vanish(a)
    b = machine(d, st, "b")
    i = held(b)
    vanish(b)
    gate = {"shut": True}

    def before(seen):
        if gate["shut"] and "checkpoints" in seen.target:
            raise No(503, "SlowDown")
    st.before = before
    own = held_alone(d, st)
    a = d.others[-1]
    wait_for(30, "it takes over", lambda: mirror(a)["state"] == "taking_over" and mirror(a)["error"])
    not_yet(a.call("GET", "/v1/jobs"))
    not_yet(a.call("GET", f"/v1/jobs/{i}"))
    gate["shut"] = False
    owner(a)
    eq({j["id"] for j in a.get("/v1/jobs").json["jobs"]}, {i, own})


def held_alone(d, st):
    """A job on directory a that the bucket does not know, and a daemon there."""
    port, st.url = st.url, "http://127.0.0.1:1"
    a = machine(d, st, "a", wait=False)
    st.url = port
    own = a.submit(tiny(a, "own", hold=True))
    vanish(a)
    machine(d, st, "a", wait=False)
    return own


@machines("the CLI says of a machine that takes over that it does, and whoever watches waits for it")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    gate = shut(st)
    b = machine(d, st, "b", wait=False)
    wait_for(30, "it says what is the matter", lambda: mirror(b)["error"])
    cli = [f"{BUILD}/rekindle", "--server", b.url]
    with open(f"{b.root}/job.json", "w") as f:
        json.dump(tiny(b), f)
    for args in (["show", i], ["show", "held"], ["list"], ["events", i], ["pause", i], ["submit", f.name]):
        p = subprocess.run([*cli, *args], capture_output=True, text=True, timeout=limit(60))
        eq((p.returncode, p.stdout), (1, ""), p.stderr)
        has(p.stderr, "taken over from the bucket")
        has(p.stderr, "503 SlowDown")
    with open(f"{b.root}/err", "wb") as err:
        p = subprocess.Popen([*cli, "watch", i], stdout=subprocess.PIPE, stderr=err)

    def said():
        with open(f"{b.root}/err") as f:
            return f.read()
    wait_for(30, f"it waits ({said()})", lambda: "waiting for the daemon" in said())
    has(said(), "taken over from the bucket")
    gate["shut"] = False
    out = p.communicate(timeout=limit(60))[0].decode()
    eq(p.returncode, 6, said())
    has(out, "held")


run()
