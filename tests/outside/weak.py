#!/usr/bin/env python3
"""Stores on which no machine can own the jobs: they take the condition of a put-if-absent and ignore it.  And what
is noticed on those that merely look as if they did: a claim that was replaced, taken away, or not listed yet."""
import json
import os
import re
import signal
import time
import uuid

import bucket
from buckets import stubbed
from stub import No, Object, Store
from t import Daemon, case, eq, has, limit, run, tiny, wait_for

TAKEN = 7                       # what a daemon ends with whose jobs another has
AT = "team/instances/gpu-a/"
CLAIM = AT + "epochs/0000000001.json"
SCHEMES = ("s3", "oss")


def weaken(st, scheme, weak=True):
    """As an S3 store without If-None-Match, or OSS with versioning."""
    if scheme == "s3":
        st.conditional = not weak
    else:
        st.versioned = weak


def weak_stores(sentence):
    """A case for each dialect, with a store that ignores put-if-absent."""
    def add(fn):
        for scheme in SCHEMES:
            def one(d, scheme=scheme):
                st, others = Store(), []
                weaken(st, scheme)

                def more(name):
                    others.append(Daemon(f"{d.root}/{name}"))
                    os.makedirs(others[-1].root, exist_ok=True)
                    return others[-1]
                try:
                    fn(d, st, scheme, more)
                finally:
                    for x in [d, *others]:
                        x.kill()
                        x.signal_trainers(signal.SIGKILL)
                    st.stop()
            case(f"{scheme}: {sentence}", "stopped")(one)
        return fn
    return add


def begin(d, st, scheme="s3", mirror=True, **more):
    config = {"stores": [st.store(f"{scheme}://")], "ship": {"retry_base": 0.2, "retry_max": 1}}
    if mirror:
        config["mirror"] = {"prefix": f"{scheme}://b/team/", "instance": "gpu-a", "check": 0.3, **more}
    bucket.rekindled(d, config)
    return d


def status(d):
    return d.get("/v1/status").json["mirror"]


def is_in(d, state):
    wait_for(30, f"the mirror is {state}", lambda: status(d)["state"] == state)
    return status(d)


def keys(st, prefix=""):
    with st.lock:
        return sorted(k for k in st.buckets["b"] if k.startswith(prefix))


def job(d, name="j", **more):
    return tiny(d, name, **{"epochs": 6, **more})


def with_job(d, st, scheme, **more):
    """A directory with a job that was submitted before there was a mirror."""
    begin(d, st, scheme, mirror=False)
    i = d.submit(job(d, hold=True, **more))
    d.kill()
    return i


def vanish(d):
    d.signal_trainers(signal.SIGKILL)
    d.kill()


# --- put-if-absent is ignored -------------------------------------------------------------------------

@weak_stores("an empty directory begins nothing where put-if-absent is ignored, and says why")
def _(d, st, scheme, more):
    begin(d, st, scheme, start_wait=0.5)
    wait_for(20, "it is known", lambda: status(d)["error"])
    m = status(d)
    eq((m["state"], m["put_if_absent"], m["part"]), ("claiming", "ignored", None))
    eq(d.get("/v1/status").json["held"], True)
    r = d.call("GET", "/readyz")
    eq(r.status, 503)
    for text in (r.text, m["error"], d.log()):
        has(text, f"{scheme}://b/team/ ignores put-if-absent")
        has(text, "versioning")
        has(text, "this directory is empty and begins nothing")
    has(d.get("/metrics").text, "rekindle_mirror_put_if_absent 0")
    wait_for(10, "the probe is taken away", lambda: keys(st) == [])
    seen = st.count("PUT")
    i = d.submit(job(d))
    time.sleep(1.2)             # longer than start_wait, and looks would have been due
    eq((status(d)["state"], d.job(i)["state"], st.count("PUT"), keys(st)), ("claiming", "queued", seen, []))
    eq(seen, 2, "PUTs of the probe")


@weak_stores("a directory with jobs goes on alone there, below a part of its own that it keeps")
def _(d, st, scheme, more):
    others = {f"{AT}epochs/0000000001.json": b"a claim", f"{AT}records/0000000001/x.json": b"a record"}
    i = with_job(d, st, scheme, checkpoint={"every": {"steps": 50}, "keep": {"last": 1, "best": 0}})
    others[f"team/jobs/{i}/checkpoints/step-000000050-e1/checkpoint.json"] = b"a checkpoint"
    for k, body in others.items():
        st.buckets["b"][k] = Object(body, "e" * 32, 0, {})
    begin(d, st, scheme)
    m = is_in(d, "alone")
    eq(m["put_if_absent"], "ignored")
    assert re.fullmatch(r"alone/[0-9a-z]+/", m["part"]), m
    r = d.get("/readyz").json
    eq((r["status"], r["alone"]), ("ready", m["error"]))
    has(m["error"], f"{scheme}://b/team/ ignores put-if-absent")
    has(m["error"], m["part"])
    has(d.get("/metrics").text, 'rekindle_mirror_state{state="alone"} 1')
    d.post(f"/v1/jobs/{i}/start", want=202)
    d.wait_state(i, "succeeded", seconds=60)
    own = f"team/{m['part']}jobs/{i}/checkpoints/"
    wait_for(20, "retention took the older ones away, and nothing else",
             lambda: sum(k.endswith("/checkpoint.json") for k in keys(st, own)) == 1)
    eq({k: st.buckets["b"][k].body for k in others}, others, "what others wrote")
    eq([k for k in keys(st) if not k.startswith(own) and k not in others], [], "written elsewhere")
    d.stop()
    begin(d, st, scheme)
    eq(is_in(d, "alone")["part"], m["part"], "its part after a restart")
    k = d.submit(job(d, "k"))
    d.wait_state(k, "succeeded", seconds=60)
    assert keys(st, f"team/{m['part']}jobs/{k}/"), keys(st)


@weak_stores("two machines of one name train there side by side, and no object is both's")
def _(d, st, scheme, more):
    machines = [d, more("other")]
    ids = [with_job(x, st, scheme) for x in machines]
    for x in machines:
        begin(x, st, scheme)
    parts = [is_in(x, "alone")["part"] for x in machines]
    assert parts[0] != parts[1], parts
    for x, i in zip(machines, ids):
        x.post(f"/v1/jobs/{i}/start", want=202)
    for x, i in zip(machines, ids):
        x.wait_state(i, "succeeded", seconds=60)
        wait_for(20, "a checkpoint is verified",
                 lambda: any(v["state"] == "verified" for v in bucket.durability(x, i).values()))
    assert all(k.startswith(tuple(f"team/{p}jobs/{i}/" for p, i in zip(parts, ids))) for k in keys(st)), keys(st)


@weak_stores("an owner whose bucket becomes so goes on alone, deletes nothing that it had there, and owns it later")
def _(d, st, scheme, more):
    weaken(st, scheme, False)
    begin(d, st, scheme)
    eq(is_in(d, "owner")["put_if_absent"], "works")
    i = d.submit(job(d, retries=100, checkpoint={"every": {"steps": 20}, "keep": {"last": 1, "best": 0}}, epochs=4000))
    at = f"team/jobs/{i}/checkpoints/"
    wait_for(60, "a checkpoint is in the bucket", lambda: any(k.endswith("/checkpoint.json") for k in keys(st, at)))
    vanish(d)
    weaken(st, scheme)
    before = {k: st.buckets["b"][k].body for k in keys(st)}
    begin(d, st, scheme)
    part = is_in(d, "alone")["part"]
    wait_for(60, "it pushes", lambda: sum(k.endswith("/checkpoint.json") for k in keys(st, f"team/{part}")) > 0)
    seen = st.count("DELETE", part)
    wait_for(60, "its own are retired", lambda: st.count("DELETE", part) > seen)
    eq({k: st.buckets["b"][k].body for k in before if k in st.buckets["b"]}, before, "what it had as the owner")
    vanish(d)
    weaken(st, scheme, False)
    begin(d, st, scheme)
    m = is_in(d, "owner")
    eq((m["epoch"], m["part"]), (2, None))
    wait_for(60, "it pushes as the owner", lambda: any("-e2" in k for k in keys(st, at)))
    assert d.job(i)["attempt"] > 1 and not d.job(i)["lost_steps"], d.job(i)


@weak_stores("a directory that was replaced while the bucket was good does not go on beside its successor")
def _(d, st, scheme, more):
    weaken(st, scheme, False)
    begin(d, st, scheme)
    is_in(d, "owner")
    d.submit(job(d, hold=True))
    wait_for(20, "the record is there", lambda: status(d)["unwritten"] == 0)
    d.kill()
    e = begin(more("second"), st, scheme)
    is_in(e, "owner")
    weaken(st, scheme)
    begin(d, st, scheme)
    eq(d.proc.wait(limit(30)), TAKEN)
    has(d.log(), "were taken over: epoch 2")


# --- stores that are odd about it --------------------------------------------------------------------

@stubbed("a store that says 200 and keeps what was there ignores put-if-absent, too")
def _(d, st):
    st.conditional = "keeps"
    begin(d, st)
    wait_for(20, "it is known", lambda: status(d)["error"])
    eq((status(d)["state"], status(d)["put_if_absent"]), ("claiming", "ignored"))


@stubbed("one that says no and overwrites all the same does so, too")
def _(d, st):
    def before(seen):
        key = seen.target.split("?")[0][len("/b/"):]
        if "if-none-match" in seen.headers and key in st.buckets["b"]:
            st.buckets["b"][key] = Object(b"second\n", "f" * 32, 0, {})
            raise No(412, "PreconditionFailed")
    st.before = before
    begin(d, st)
    wait_for(20, "it is known", lambda: status(d)["error"])
    eq(status(d)["put_if_absent"], "ignored")


@stubbed("one that says 409 in words of its own is owned as any other")
def _(d, st):
    st.conditional = 409
    for n in (1, 2):
        begin(d, st)
        m = is_in(d, "owner")
        eq((m["epoch"], m["put_if_absent"]), (n, "works"))
        d.submit(job(d, f"j{n}", hold=True))
        d.kill()


@stubbed("where the store has no condition claims leave gaps, and another machine goes on above them")
def _(d, st):
    st.conditional = 501
    begin(d, st)
    m = is_in(d, "owner")
    first = m["epoch"]
    eq(m["put_if_absent"], "by_head")
    i = d.submit(job(d, hold=True))
    wait_for(20, "the record is there", lambda: status(d)["unwritten"] == 0)
    d.kill()
    os.mkdir(f"{d.root}/other")
    e = Daemon(f"{d.root}/other")
    try:
        begin(e, st)
        second = is_in(e, "owner")["epoch"]
        assert 1 <= first < second and (first > 1 or second > 2), (first, second)
        eq(e.job(i)["state"], "held")
        begin(d, st)
        is_in(d, "owner")
        eq(e.proc.wait(limit(30)), TAKEN)
    finally:
        e.kill()


@stubbed("the probe is made once a start, whatever fails behind it, and its key goes")
def _(d, st):
    fails = []

    def before(seen):
        if "/epochs/" in seen.target and seen.method == "PUT" and len(fails) < 3:
            fails.append(seen)
            raise No(403, "AccessDenied", "not yet")
    st.before = before
    begin(d, st)
    is_in(d, "owner")
    eq((len(fails), st.count("PUT", "/probe/"), keys(st, AT + "probe/")), (3, 2, []))


@stubbed("a probe that is cut short is begun again under another key, and nothing of it stays")
def _(d, st):
    fails = []

    def before(seen):
        if "/probe/" in seen.target and len(fails) < 2 and st.count("PUT", "/probe/") > 1 and seen.method == "PUT":
            fails.append(seen)
            raise No(403, "AccessDenied", "not yet")
    st.before = before
    begin(d, st)
    is_in(d, "owner")
    assert len({s.target for s in st.seen if "/probe/" in s.target}) > 1
    eq(keys(st, AT + "probe/"), [])


# --- the claim -----------------------------------------------------------------------------------------

def another(st, key=CLAIM):
    """A claim of somebody else's under the same key."""
    old = json.loads(st.buckets["b"][key].body)
    body = json.dumps(dict(old, claim=uuid.uuid4().hex[:20], host="elsewhere")).encode()
    st.buckets["b"][key] = Object(body, uuid.uuid4().hex, 0, {})


@stubbed("an owner whose claim was replaced under its key stops, and says by whom")
def _(d, st):
    begin(d, st)
    is_in(d, "owner")
    d.submit(job(d, hold=True))
    another(st)
    eq(d.proc.wait(limit(30)), TAKEN)
    has(d.log(), "by elsewhere")
    has(d.log(), "the claim under its key is not the one that we put")


@stubbed("a claim that another one replaced before it was read back is not believed, and the next epoch is claimed")
def _(d, st):
    done = []

    def before(seen):
        if seen.method == "GET" and seen.target.endswith(CLAIM) and CLAIM in st.buckets["b"] and not done:
            done.append(seen)
            another(st)
    st.before = before
    begin(d, st)
    eq(is_in(d, "owner")["epoch"], 2)
    assert done and keys(st, AT + "base/") == [AT + "base/0000000002.jsonl"], keys(st)


@stubbed("one that was replaced behind the base is noticed before anything begins")
def _(d, st):
    done = []

    def before(seen):
        if seen.method == "PUT" and "/base/" in seen.target and not done:
            done.append(seen)
            another(st)
    st.before = before
    begin(d, st)
    eq(d.proc.wait(limit(30)), TAKEN)
    assert done and "-> owner" not in d.log(), d.log()


class Restless(Object):
    """An object whose ETag is another one each time."""

    etag = property(lambda self: uuid.uuid4().hex, lambda self, v: None)


@stubbed("a store whose ETags change each time is owned as any other")
def _(d, st):
    begin(d, st)
    is_in(d, "owner")
    o = st.buckets["b"][CLAIM]
    st.buckets["b"][CLAIM] = Restless(o.body, "", o.crc, o.meta)
    seen = st.count("GET", CLAIM)
    wait_for(30, "it has looked three times", lambda: st.count("GET", CLAIM) > seen + 2)
    eq((status(d)["state"], status(d)["epoch"]), ("owner", 1))


@stubbed("a claim that was taken away under a daemon that runs is put again, so that the next one is above it")
def _(d, st):
    begin(d, st)
    is_in(d, "owner")
    body = st.buckets["b"].pop(CLAIM).body
    wait_for(30, "it is put again", lambda: CLAIM in st.buckets["b"])
    eq(st.buckets["b"][CLAIM].body, body)
    eq(status(d)["state"], "owner")
    has(d.log(), "our claim, epoch 1, was gone, and is put again; if what we wrote of jobs is gone as well, start")


@stubbed("a higher epoch that no list has yet is found by its name")
def _(d, st):
    begin(d, st)
    is_in(d, "owner")
    st.late = lambda b, k: k.endswith("/epochs/0000000002.json")
    st.buckets["b"][AT + "epochs/0000000002.json"] = Object(b'{"host": "elsewhere"}', "a" * 32, 0, {})
    eq(d.proc.wait(limit(30)), TAKEN)
    has(d.log(), "were taken over: epoch 2 by elsewhere")


@stubbed("epochs that no list has yet are passed by one by one")
def _(d, st):
    for n in (1, 2, 3):
        st.buckets["b"][f"{AT}epochs/{n:010d}.json"] = Object(b"{}", "a" * 32, 0, {})
    st.late = lambda b, k: "/epochs/" in k
    begin(d, st)
    eq(is_in(d, "owner")["epoch"], 4)


run()
