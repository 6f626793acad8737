#!/usr/bin/env python3
"""Stores that do less than Amazon's, or let us do less: what is forbidden, not implemented, or wanted besides."""
import os

import bucket
from buckets import stubbed
from drive import Drive, refused
from proxy import Proxy, answer, call
from stub import No, Object
from t import Daemon, eq, has, run, tiny, wait_for
from warm_files import sample

CONDITION = ("if-none-match", "x-oss-forbid-overwrite")


class NoListing:
    """A role with Put, Get and Delete: what is not there is forbidden, and so are lists of all kinds."""

    def __init__(self, st):
        self.st = st

    def __call__(self, seen):
        path, _, query = seen.target.partition("?")
        b, _, key = path[1:].partition("/")
        listing = not key or "uploadId=" in query and seen.method == "GET"
        if listing or seen.method in ("GET", "HEAD") and key not in self.st.buckets[b]:
            raise No(403, "AccessDenied", "Access Denied")


def pushing(d, st, **more):
    bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1, **more}})
    return tiny(d, checkpoint={"every": {"epochs": 1}, "push": "s3://b/runs/", "require_remote": True}, epochs=3)


def verified(d, i):
    return [c["durability"]["state"] for c in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]]


# --- rights ---------------------------------------------------------------------------------------

@stubbed("a role that may list a prefix alone, and is told 403 of what is not there, has a mirror that others go on from")
def _(d, st):
    hidden = NoListing(st)
    st.before = lambda seen: hidden(seen) if "prefix=" not in seen.target else None
    config = {"stores": [st.store("s3://")], "mirror": {"prefix": "s3://b/team/", "instance": "a", "check": 0.3}}
    mirror = lambda m: m.get("/v1/status").json["mirror"]
    other = Daemon(f"{d.root}/other")
    os.makedirs(other.root)
    try:
        for m, epoch in ((d, 1), (other, 2)):
            bucket.rekindled(m, config)
            wait_for(20, "it is the owner", lambda: mirror(m)["state"] == "owner")
            eq(mirror(m)["epoch"], epoch)
            if m is d:
                i = d.submit(tiny(d, epochs=2))
                d.wait_state(i, "succeeded")
                wait_for(20, "the record is there", lambda: mirror(d)["unwritten"] == 0)
                d.kill()
        eq(other.job(i)["state"], "succeeded")
    finally:
        other.kill()


@stubbed("a role that may put, get and delete, and not list, pushes, deletes what is old, and pushes after a kill")
def _(d, st):
    st.before = NoListing(st)
    job = pushing(d, st)
    job["checkpoint"]["keep"] = {"last": 1, "best": 0}
    i = d.submit(job)
    d.wait_state(i, "succeeded", seconds=30)
    eq(verified(d, i)[0], "verified")
    wait_for(20, "older ones go", lambda: sum(k.endswith("checkpoint.json") for k in st.buckets["b"]) == 1)
    # A push that had claimed its folder, and some of whose files are not there.
    st.before = Killer(d, st)
    i = d.submit(dict(job, name="again"))
    wait_for(20, "the daemon is killed", lambda: not d.alive())
    d.kill()
    st.before = NoListing(st)
    pushing(d, st)
    d.wait_state(i, "succeeded", seconds=30)
    eq(verified(d, i)[0], "verified")


class Killer(NoListing):
    """Ends the daemon when the second file of a checkpoint comes."""

    def __init__(self, d, st):
        super().__init__(st)
        self.d = d

    def __call__(self, seen):
        if seen.method == "PUT" and "optimizer" in seen.target:
            self.d.proc.kill()
            raise No(503, "SlowDown")
        super().__call__(seen)


@stubbed("such a role sends a large file again after a kill, though it may not see which parts are there")
def _(d, st):
    path = f"{d.root}/file"
    data = os.urandom(7 << 19)
    with open(path, "wb") as f:
        f.write(data)
    with Drive(d.root, st.store("s3://"), part_size=1 << 20, parts=1) as dr:
        id = dr.create(st, "s3://b/k", path, 1 << 20)
        st.before = NoListing(st)
        r = dr.upload("s3://b/k", path, upload_id=id, part_size=1 << 20)
        eq(r["end"], "ok", r["error"])
        assert st.buckets["b"]["k"].body == data


@stubbed("a role that may not read is refused and not believed to see an empty bucket")
def _(d, st):
    def blind(seen):
        if seen.method in ("GET", "HEAD"):
            raise No(403, "AccessDenied", "Access Denied")
    st.before = blind
    i = d.submit(pushing(d, st))
    wait_for(20, "it says so", lambda: "403 AccessDenied" in d.log())
    eq(d.wait_state(i, "paused", "succeeded", "failed")["reason"], "uploading")
    seen = len(st.seen)
    wait_for(20, "it is tried again", lambda: len(st.seen) > seen + 3)
    puts = {s.target for s in st.seen if s.method == "PUT"}
    assert st.count("PUT", "remote.json", 200) <= 4 and not any("checkpoint.json" in t for t in puts), puts


@stubbed("what is forbidden may just not be there, and the sentence says so")
def _(d, st):
    st.before = NoListing(st)
    with Drive(d.root, st.store("s3://")) as dr:
        for r in (dr.get("s3://b/none"), dr.head("s3://b/none")):
            refused(r, "denied")
            has(r["error"], "403 AccessDenied")
            has(r["error"], "or it is not there")
        r = dr.put("s3://b/k", b"x")
        eq(r["end"], "ok")
        st.before = lambda seen: (_ for _ in ()).throw(No(403, "AccessDenied", "Access Denied"))
        assert "not there" not in dr.put("s3://b/k", b"x")["error"]
        st.before = lambda seen: (_ for _ in ()).throw(No(403, "InvalidObjectState", "archived"))
        assert "not there" not in dr.get("s3://b/k")["error"]


@stubbed("a warm start's optimizer state that is hidden is taken for one that is not there")
def _(d, st):
    st.buckets["b"]["best.pdparams"] = Object(sample("resnet20/best.pdparams"), "e" * 32, 0, {})
    st.before = NoListing(st)
    bucket.rekindled(d, {"stores": [st.store("s3://")]})
    job = {"name": "w", "model": {"arch": "resnet20", "classes": 10, "checkpoint": "s3://b/best.pdparams",
                                  "strict": False},
           "training": {"steps": 1, "warm_start": {"optimizer": "all"}},
           "data": {"train": {"type": "synthetic", "shape": [3, 32, 32], "samples": 64}}}
    i = d.submit(job)
    j = d.wait_state(i, "succeeded", "failed", seconds=60)
    assert "403" not in j["message"], j["message"]
    assert st.count("HEAD", "best.pdopt") > 0, "it was not asked for"


# --- conditions, and Expect -------------------------------------------------------------------------

@stubbed("a store that answers a condition with 400 NotImplemented is asked with HEAD first, as with 501")
def _(d, st):
    def before(seen):
        if any(h in seen.headers for h in CONDITION):
            raise No(400, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    st.before = before
    with Drive(d.root, st.store("s3://"), st.store("oss://")) as dr:
        for scheme in ("s3", "oss"):
            r = dr.put(f"{scheme}://b/{scheme}", b"one", if_absent=True)
            eq(r["end"], "ok", r["error"])
            eq(dr.put(f"{scheme}://b/{scheme}", b"two", if_absent=True)["end"], "exists")
            eq(st.buckets["b"][scheme].body, b"one")
        has(dr.said(), "has no conditional PUT")
    i = d.submit(pushing(d, st))
    d.wait_state(i, "succeeded", seconds=30)


@stubbed("without conditions and without the right to list, what is not there can still be put")
def _(d, st):
    hide = NoListing(st)

    def before(seen):
        hide(seen)
        if any(h in seen.headers for h in CONDITION):
            raise No(501, "NotImplemented")
    st.before = before
    with Drive(d.root, st.store("s3://")) as dr:
        eq(dr.put("s3://b/k", b"one", if_absent=True)["end"], "ok")
        eq(dr.put("s3://b/k", b"two", if_absent=True)["end"], "exists")


@stubbed("a server that answers 417 to Expect gets the body without it")
def _(d, st):
    path = f"{d.root}/file"
    data = os.urandom(9 << 20)
    with open(path, "wb") as f:
        f.write(data)
    p = Proxy(st.port)
    try:
        p.rule(call(lambda seen: answer(417) if "expect" in seen.headers else None), times=None)
        for put in (lambda dr: dr.upload("s3://b/k", path), lambda dr: dr.put("s3://b/k", data)):
            st.buckets["b"].clear()
            with Drive(d.root, st.store("s3://", url=p.url), part_size=2 << 20, parts=4) as dr:
                r = put(dr)
                eq(r["end"], "ok", r["error"])
                assert st.buckets["b"]["k"].body == data
    finally:
        p.stop()


# --- what a bucket wants besides ----------------------------------------------------------------------

@stubbed("a bucket with object lock gets the MD5 that it wants, over plain http too, of small and of large objects")
def _(d, st):
    def locked(seen):
        if seen.method == "PUT" and "content-md5" not in seen.headers:
            raise No(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part "
                     "requests with Object Lock parameters")
    st.before = locked
    path = f"{d.root}/file"
    data = os.urandom(5 << 20)
    with open(path, "wb") as f:
        f.write(data)
    with Drive(d.root, st.store("s3://"), part_size=1 << 20, parts=3) as dr:
        eq(dr.put("s3://b/small", b"bytes")["end"], "ok")
        r = dr.upload("s3://b/large", path)
        eq(r["end"], "ok", r["error"])
        assert st.buckets["b"]["large"].body == data
        refused_once = st.count("PUT", status=400)
        assert 1 <= refused_once <= 5, f"{refused_once} parts were refused"
        # It is known by now.
        eq(dr.upload("s3://b/again", path)["end"], "ok")
        eq(st.count("PUT", status=400), refused_once, "refused parts")
    i = d.submit(pushing(d, st))
    d.wait_state(i, "succeeded", seconds=30)


WISHES = {"kms_key_id": "arn:aws:kms:eu-west-1:123456789012:key/1-2", "storage_class": "STANDARD_IA",
          "acl": "bucket-owner-full-control", "expected_owner": "123456789012"}
S3_WISHES = {"x-amz-server-side-encryption": "aws:kms", "x-amz-storage-class": "STANDARD_IA",
             "x-amz-server-side-encryption-aws-kms-key-id": WISHES["kms_key_id"], "x-amz-acl": WISHES["acl"]}
OSS_WISHES = {"x-oss-server-side-encryption": "KMS", "x-oss-server-side-encryption-key-id": "k-1",
              "x-oss-storage-class": "IA"}


def all_kinds(d, st, entry, scheme):
    """Every kind of request there is."""
    path = f"{d.root}/file"
    with open(path, "wb") as f:
        f.write(os.urandom(3 << 20))
    with Drive(d.root, entry, part_size=1 << 20) as dr:
        for r in (dr.put(f"{scheme}://b/p/a", b"x"), dr.put(f"{scheme}://b/p/b", b"x", if_absent=True),
                  dr.upload(f"{scheme}://b/p/c", path), dr.head(f"{scheme}://b/p/a"), dr.get(f"{scheme}://b/p/a"),
                  dr.list(f"{scheme}://b/p/"), dr.pending(f"{scheme}://b/p/"), dr.abort(f"{scheme}://b/p/z", "none"),
                  dr.download(f"{scheme}://b/p/c", f"{d.root}/back"), dr.delete(f"{scheme}://b/p/a")):
            eq(r["end"], "ok", r["error"])
    return {k: [s for s in st.seen if is_kind(s, k)] for k in ("made", "ended", "other")}


def is_kind(s, kind):
    ended = s.method == "POST" and "uploadId=" in s.target
    made = s.method == "PUT" and "uploadId=" not in s.target or s.method == "POST" and not ended
    return kind == ("made" if made else "ended" if ended else "other")


@stubbed("encryption, class and ACL go with what is made, the owner with every request")
def _(d, st):
    seen = all_kinds(d, st, st.store("s3://", **WISHES), "s3")
    assert len(seen["made"]) >= 3 and seen["ended"] and len(seen["other"]) >= 9, seen
    for s in seen["made"] + seen["ended"] + seen["other"]:
        eq(s.headers.get("x-amz-expected-bucket-owner"), "123456789012", repr(s))
    for s in seen["made"]:
        eq({k: s.headers.get(k) for k in S3_WISHES}, S3_WISHES, repr(s))
    for s in seen["ended"] + seen["other"]:
        assert not any(k in s.headers for k in S3_WISHES), f"{s}: {s.headers}"


@stubbed("the same in the words of OSS, whose ACL goes with the end of an upload")
def _(d, st):
    seen = all_kinds(d, st, st.store("oss://", encryption="KMS", kms_key_id="k-1", storage_class="IA",
                                     acl="private"), "oss")
    for s in seen["made"]:
        eq({k: s.headers.get(k) for k in OSS_WISHES}, OSS_WISHES, repr(s))
        eq(s.headers.get("x-oss-object-acl"), "private" if s.method == "PUT" else None, repr(s))
    for s in seen["ended"]:
        eq(s.headers.get("x-oss-object-acl"), "private", repr(s))
    for s in seen["ended"] + seen["other"]:
        assert not any(k in s.headers for k in OSS_WISHES), f"{s}: {s.headers}"


@stubbed("a bucket that is not there and a key that is not there have sentences of their own, of HEAD too")
def _(d, st):
    with Drive(d.root, st.store("s3://")) as dr:
        for do in (dr.get, dr.head, lambda u: dr.download(u, f"{d.root}/x")):
            r = do("s3://b/no/such")
            eq((r["end"], r["code"]), ("missing", "NoSuchKey"))
            has(r["error"], 'the bucket "b" is there and has no "no/such"')
            r = do("s3://nowhere/key")
            eq((r["end"], r["code"]), ("missing", "NoSuchBucket"))
            has(r["error"], 'there is no bucket "nowhere"')
        r = dr.put("s3://nowhere/key", b"x")
        has(r["error"], 'there is no bucket "nowhere"')
    bucket.rekindled(d, {"stores": [st.store("s3://")], "ship": {"retry_base": 0.2, "retry_max": 1}})
    i = d.submit(tiny(d, checkpoint={"push": "s3://nowhere/runs/"}, epochs=1))
    d.wait_state(i, "succeeded")
    wait_for(20, "it is said", lambda: 'there is no bucket "nowhere"' in d.log())


run()
