#!/usr/bin/env python3
"""An Idempotency-Key is known to whoever goes on with the jobs."""
import json

from mirrored import AT, machine, machines, mirror, vanish, written
from t import eq, run, tiny


def post(a, path, body, key, want):
    r = a.call("POST", path, body, {"Idempotency-Key": key})
    eq(r.status, want, r.text)
    return r


@machines("after a take-over the same key gives the same job, and another body the conflict")
def _(d, st):
    a = machine(d, st, "a")
    job = tiny(a, "kept", hold=True)
    first = post(a, "/v1/jobs", job, "submit-1", 201)
    i = first.json["id"]
    post(a, f"/v1/jobs/{i}/cancel", {}, "cancel-1", 202)
    written(a)
    vanish(a)
    for n, name in ((2, "b"), (3, "c"), (4, "b")):     # from records, from a base, and known here
        b = machine(d, st, name)
        eq(mirror(b)["epoch"], n)
        again = post(b, "/v1/jobs", job, "submit-1", 201)
        eq(again.json["id"], i)
        eq(again.headers["Location"], f"/v1/jobs/{i}")
        eq(again.headers["Idempotent-Replayed"], "true")
        eq(post(b, f"/v1/jobs/{i}/cancel", {}, "cancel-1", 202).json["state"], "cancelled")
        eq(post(b, "/v1/jobs", dict(job, name="other"), "submit-1", 422).json["type"],
           "/problems/idempotency-key-reused")
        post(b, f"/v1/jobs/{i}/retry", {}, "cancel-1", 422)
        eq([j["id"] for j in b.get("/v1/jobs").json["jobs"]], [i])
        vanish(b)


@machines("records of before, without keys, are gone on with")
def _(d, st):
    a = machine(d, st, "a")
    job = tiny(a, "kept", hold=True)
    i = post(a, "/v1/jobs", job, "submit-1", 201).json["id"]
    written(a)
    vanish(a)
    keys = 0
    for k, o in st.buckets["b"].items():
        if k.startswith(f"{AT}records/"):
            record = json.loads(o.body)
            keys += len(record.pop("keys"))
            o.body = json.dumps(record).encode()
    eq(keys, 1)
    b = machine(d, st, "b")
    eq(b.job(i)["state"], "held")
    assert post(b, "/v1/jobs", job, "submit-1", 201).json["id"] != i, "nobody has told it"


run()
