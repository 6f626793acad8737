#!/usr/bin/env python3
"""Somebody empties the bucket, or a part of it: the directory that has the jobs goes on and puts all of it there again;
any other says what is missing and what to do."""
from mirrored import AT, TAKEN, held, machine, machines, mirror, owner, vanish, written
from stub import Object
from t import eq, has, limit, run, tiny, wait_for


def base(n):
    return f"{AT}base/{n:010d}.jsonl"


def waits(a, *parts):
    """It begins nothing, and says why and what to do."""
    wait_for(30, "an error", lambda: mirror(a)["error"])
    for part in parts:
        has(mirror(a)["error"], part)
        has(a.call("GET", "/readyz").text, part)
    assert mirror(a)["state"] != "owner"


@machines("a directory whose bucket was emptied while it ran claims again and puts its jobs there, for others too")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a, "one")
    st.buckets["b"].clear()
    j = held(a, "two")                  # its record is there, and no base below it
    assert base(1) not in st.buckets["b"]
    assert any(k.startswith(f"{AT}records/0000000001/") for k in st.buckets["b"])
    vanish(a)
    b = machine(d, st, "b", wait=False)
    waits(b, "base/0000000001.jsonl is missing", "start rekindled on that directory", "remove s3://b/team/instances/gpu-a/ ")
    eq(b.call("GET", f"/v1/jobs/{i}").status, 503)
    vanish(b)
    a = machine(d, st, "a")
    eq({x["id"] for x in a.get("/v1/jobs").json["jobs"]}, {i, j})
    has(a.log(), "goes on with what it has and puts all of it into the bucket again")
    vanish(a)
    c = machine(d, st, "c")             # from the bucket alone
    eq({x["id"] for x in c.get("/v1/jobs").json["jobs"]}, {i, j})
    eq(c.job(i)["state"], "held")


@machines("what was pushed goes up again once the directory goes on after the bucket was emptied")
def _(d, st):
    a = machine(d, st, "a")
    i = a.submit(tiny(a, "trained", epochs=3))
    a.wait_state(i, "succeeded")
    written(a)
    st.buckets["b"].clear()
    j = held(a, "two")
    vanish(a)
    a = machine(d, st, "a")
    wait_for(60, "its checkpoint is there again", lambda: any(
        k.startswith(f"team/jobs/{i}/") and k.endswith("/checkpoint.json") for k in st.buckets["b"]))
    written(a)
    vanish(a)
    c = machine(d, st, "c")
    eq(c.job(i)["state"], "succeeded")
    wait_for(30, "it has its checkpoint", lambda: c.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"])
    eq(c.job(j)["state"], "held")


@machines("a base that was cut is no matter to the directory that made it, and a sentence to any other")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    a = machine(d, st, "a")
    vanish(a)
    o = st.buckets["b"][base(2)]
    st.buckets["b"][base(2)] = Object(o.body[:len(o.body) // 2], "f" * 32, 0, {})
    b = machine(d, st, "b", wait=False)
    waits(b, "base/0000000002.jsonl cannot be used", "start rekindled on that directory")
    vanish(b)
    a = machine(d, st, "a")
    eq(a.job(i)["state"], "held")
    vanish(a)
    eq(machine(d, st, "c").job(i)["state"], "held")


@machines("a directory that was replaced does not take a missing base of the other for its own")
def _(d, st):
    a = machine(d, st, "a")
    held(a)
    vanish(a)
    b = machine(d, st, "b")
    held(b, "of-b")
    vanish(b)
    del st.buckets["b"][base(2)]
    a = machine(d, st, "a", wait=False)
    waits(a, "base/0000000002.jsonl is missing")
    vanish(a)
    owner(machine(d, st, "b", wait=False))


@machines("a bucket that was emptied and where another has begun since is the other's, and the old directory's jobs come back")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a, "of-a")
    vanish(a)
    st.buckets["b"].clear()
    b = machine(d, st, "b")
    j = held(b, "of-b")
    a = machine(d, st, "a")
    eq(b.proc.wait(limit(30)), TAKEN)
    eq({x["id"] for x in a.get("/v1/jobs").json["jobs"]}, {i, j})


run()
