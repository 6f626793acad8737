#!/usr/bin/env python3
"""Bad days of networks and stores, with a real Ceph RADOS Gateway: what was
promised is there whole, or the error says what happened; nothing by halves.

LONG=1: a minute of silence where a few seconds do otherwise.
"""
import hashlib
import os
import random
import threading
import time

import s3
from drive import Drive, refused
from proxy import (after, answer, call, call_after, cut_down, cut_up, delay, drop, edit, flip_down, flip_up,
                   stall_down, stall_up)
from s3 import Proxy, Store
from t import case, eq, has, limit, run, wait_for

LONG = bool(os.environ.get("LONG"))
MIB = 1 << 20
PART = 5 * MIB                          # the least that S3 takes


class Scene:
    """The gateway behind a proxy, a bucket, a file of three parts and a bit."""

    def __init__(self, d, size=3 * PART + 12345, **more):
        self.root, self.g = d.root, s3.rgw()
        self.g.heal()
        self.bucket = self.g.bucket()
        self.p = Proxy(self.g.port)
        self.uri = f"s3://{self.bucket}/models/big"
        self.path = f"{d.root}/file"
        with open(self.path, "wb") as f:
            f.write(random.Random(7).randbytes(size))
        self.data = open(self.path, "rb").read()
        self.sha = hashlib.sha256(self.data).hexdigest()
        self.drive = Drive(d.root, self.g.store(self.p.url), **{"parts": 3, "part_size": PART, **more})

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.p.stop()
        self.drive.stop()
        self.g.heal()

    def there(self, key="models/big"):
        return self.g.get(self.bucket, key)

    def upload(self, **more):
        return self.drive.upload(self.uri, self.path, sha256=self.sha, **more)

    def uploaded(self, r=None):
        """It ended well, and what is there is what was sent."""
        r = r or self.upload()
        eq(r["end"], "ok", f"upload ({r['error']})")
        assert self.there() == self.data, "what is there is not what was sent"
        eq(self.g.uploads(self.bucket), [], "uploads left behind")
        return r

    def absent(self):
        eq(self.there(), None, "a half object")

    def stored(self):
        self.g.put(self.bucket, "models/big", self.data, **{"x-amz-meta-sha256": self.sha})

    def download(self, name="back", **more):
        more.setdefault("sha256", self.sha)
        return self.drive.download(self.uri, f"{self.root}/{name}", **more)

    def downloaded(self, r=None, name="back"):
        r = r or self.download(name)
        eq(r["end"], "ok", f"download ({r['error']})")
        assert open(f"{self.root}/{name}", "rb").read() == self.data, "what came is not what is there"
        return r


def fault(sentence, **more):
    def add(fn):
        def one(d):
            with Scene(d, **more) as s:
                fn(s)
        case(sentence, "stopped")(one)
        return fn
    return add


# --- the server goes ------------------------------------------------------------------------

@fault("a gateway that is killed during an upload and comes back gets the rest")
def _(s):
    def kill(seen):
        s.g.kill_gateway()
        threading.Timer(1.0, s.g.start_gateway).start()
    r = s.p.rule(call_after(kill), "PUT", "partNumber=2")
    s.drive.begin("upload", s.uri, file=s.path, sha256=s.sha)
    wait_for(30, "the gateway is gone", lambda: r.hits and s.g.gateways[0].proc is None)
    wait_for(30, "the gateway is back", lambda: s.g.gateways[0].proc and s.g.gateways[0].answers())
    s.uploaded(s.drive.wait())


@fault("a gateway that is killed during a download and comes back gives the rest")
def _(s):
    s.stored()

    def kill(seen):
        s.g.kill_gateway()
        threading.Timer(0.5, s.g.start_gateway).start()
    s.p.rule(call_after(kill), "GET", skip=1)
    s.downloaded()


@fault("a store that is silent for a while (LONG: a minute) gets the rest afterwards")
def _(s):
    quiet = 60 if LONG else 3
    r = s.p.rule(call(lambda seen: s.g.stop_osd()), "PUT", "partNumber=2")
    s.drive.begin("upload", s.uri, file=s.path, sha256=s.sha)
    wait_for(30, "the store is stopped", lambda: r.hits)
    time.sleep(quiet)
    s.g.cont_osd()
    s.uploaded(s.drive.wait(120))


@fault("a store that is silent for longer than there is time is said to be unavailable")
def _(s):
    s.g.stop_osd()
    t = time.monotonic()
    r = s.upload(deadline_ms=1500)
    took = time.monotonic() - t
    s.g.cont_osd()
    refused(r, "unavailable")
    assert took < limit(4), f"took {took:.1f} s"
    s.absent()


@fault("a store that is not there at all is named in the error")
def _(s):
    s.g.kill_gateway()
    r = s.upload(tries=3)
    refused(r, "unavailable")
    has(r["error"], "127.0.0.1")


@fault("a partition of a second and a half costs time, and nothing else")
def _(s):
    def part(seen):
        s.p.partition("refuse")
        threading.Timer(1.5, s.p.heal).start()
    s.p.rule(call_after(part), "PUT", "partNumber=1")
    s.uploaded()


# --- the server says no ---------------------------------------------------------------------

@case("503 SlowDown by the gateway's own limit slows an upload down, and it gets there", "stopped")
def _(d):
    with Scene(d, 12 * PART) as s:
        door = s.g.gateway(max_concurrent=2)
        p = Proxy(door.port)
        with Drive(d.root, s.g.store(p.url), parts=12, part_size=PART) as many:
            r = many.upload(s.uri, s.path, sha256=s.sha)
            s.uploaded(r)
            assert p.count(status=503) > 0, "the gateway never said SlowDown"
        door.kill()
        p.stop()


@fault("twice 503 with Retry-After is waited out")
def _(s):
    s.p.rule(answer(503, "SlowDown", {"Retry-After": "1"}), "PUT", times=2)
    t = time.monotonic()
    eq(s.drive.put(s.uri, b"small")["end"], "ok")
    took = time.monotonic() - t
    assert took > 1.9, f"took only {took:.1f} s"


@case("a full quota is said, nothing is left behind, and with room it goes on", "stopped")
def _(d):
    with Scene(d) as s:
        u = s.g.user()
        s.bucket = s.g.bucket(u)
        s.g.quota(1 * MIB, u)
        with Drive(d.root, s.g.store(s.p.url, u), part_size=PART) as dr:
            r = dr.upload(f"s3://{s.bucket}/models/big", s.path)
            refused(r, "denied")
            eq(r["code"], "QuotaExceeded", f"code ({r['error']})")
            eq(s.g.request("GET", f"/{s.bucket}/models/big", user=u).status, 404)
            s.g.quota(None, u)
            eq(dr.upload(f"s3://{s.bucket}/models/big", s.path)["end"], "ok")
            assert s.g.request("GET", f"/{s.bucket}/models/big", user=u).body == s.data


@fault("a wrong secret is refused at once, and not shown")
def _(s):
    wrong = s3.User("test", s.g.id, "a-wrong-secret-of-some-length")
    with Drive(s.root, s.g.store(s.p.url, wrong), part_size=PART) as dr:
        for r in (dr.put(s.uri, b"x"), dr.upload(s.uri, s.path), dr.get(s.uri), dr.head(s.uri)):
            refused(r, "denied")
            eq(r["code"], "SignatureDoesNotMatch", f"code ({r['error']})")
            assert wrong.secret not in str(r) and "Signature=" not in str(r), "a secret is in the answer"
        assert len(s.p.seen) <= 6, f"{len(s.p.seen)} requests for four refusals"
    s.absent()


@case("keys of somebody who may not write here are refused by name", "stopped")
def _(d):
    with Scene(d) as s:
        other = s.g.user()
        with Drive(d.root, s.g.store(s.p.url, other), part_size=PART) as dr:
            r = dr.put(s.uri, b"x")
            refused(r, "denied")
            eq(r["code"], "AccessDenied")
        s.absent()


@case("a session of a real token service is signed for, and a damaged token is refused", "stopped")
def _(d):
    with Scene(d) as s:
        door = s.g.gateway(sts=True)
        u = s.g.session()
        assert u.token, "no token"
        with Drive(d.root, s.g.store(door.url, u), parts=3, part_size=PART) as dr:
            s.uploaded(dr.upload(s.uri, s.path, sha256=s.sha))
            s.downloaded(dr.download(s.uri, f"{d.root}/back", sha256=s.sha))
        for token in ("", u.token[:-8] + "AAAAAAAA"):
            with Drive(d.root, s.g.store(door.url, s3.User("x", u.id, u.secret, token))) as dr:
                r = dr.put(f"s3://{s.bucket}/other", b"x")
                assert r["end"] in ("denied", "refused"), r
                assert u.secret not in str(r) and u.token not in str(r), "a secret is in the answer"
        eq(s.there("other"), None)
        door.kill()


def token_expires(d, dialect):
    """In the middle of a multipart upload, while the file of credentials has
    newer ones."""
    st = Store(region="cn-hangzhou" if dialect == "oss" else "us-east-1")
    first, second = st.session(60), st.session(60)
    path, home = f"{d.root}/file", f"{d.root}/home"
    os.makedirs(home, exist_ok=True)
    with open(path, "wb") as f:
        f.write(random.Random(3).randbytes(MIB))

    def write(key):
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        with open(f"{home}/credentials.new", "w") as f:
            if dialect == "s3":
                f.write("[default]\n" + "".join(f"{n} = {v}\n" for n, v in zip(names, (key.id, key.secret, key.token))))
            else:
                import json
                json.dump({"current": "default", "profiles": [{
                    "name": "default", "mode": "StsToken", "access_key_id": key.id,
                    "access_key_secret": key.secret, "sts_token": key.token}]}, f)
        os.rename(f"{home}/credentials.new", f"{home}/credentials")

    def before(seen):
        if "partNumber=3" in seen.target and first.expires > time.time():
            write(second)       # first: a part beside this one asks at once
            st.expire(first)
    st.before = before
    write(first)
    env = {"AWS_SHARED_CREDENTIALS_FILE": f"{home}/credentials", "ALIBABA_CLOUD_CONFIG_FILE": f"{home}/credentials",
           "AWS_EC2_METADATA_DISABLED": "true"}
    store = {"match": f"{dialect}://", "endpoint": st.url, "region": st.region, "addressing": "path",
             "credentials": "profile"}
    with Drive(d.root, store, env=env, parts=2, part_size=100 << 10) as dr:
        r = dr.upload(f"{dialect}://b/k", path)
        eq(r["end"], "ok", f"upload ({r['error']})")
    eq(st.buckets["b"]["k"].body, open(path, "rb").read())
    expired = st.count(status=400 if dialect == "s3" else 403)
    assert 1 <= expired <= 4, f"{expired} answers that the token has expired"
    st.stop()


@case("a token that expires in the middle of a multipart upload is replaced (S3)", "stopped")
def _(d):
    token_expires(d, "s3")


@case("a token that expires in the middle of a multipart upload is replaced (OSS)", "stopped")
def _(d):
    token_expires(d, "oss")


@case("a token that expired and has no other is said, once", "stopped")
def _(d):
    st = Store()
    key = st.session(60)
    path = f"{d.root}/file"
    with open(path, "wb") as f:
        f.write(random.Random(3).randbytes(MIB))
    st.before = lambda seen: "partNumber=2" in seen.target and st.expire(key)
    with Drive(d.root, st.store("s3://", key), parts=1, part_size=100 << 10) as dr:
        r = dr.upload("s3://b/k", path)
        refused(r, "denied")
        eq(r["code"], "ExpiredToken")
        assert key.token not in str(r) and key.secret not in str(r), "a secret is in the answer"
    eq(st.buckets["b"], {})
    st.stop()


@case("a clock twenty minutes off, either way, is noticed and costs one request", "stopped")
def _(d):
    st = Store()
    for n, off in enumerate((1200, -1200)):
        st.clock = off
        st.seen.clear()
        with Drive(d.root, st.store("s3://")) as dr:
            r = dr.put(f"s3://b/k{n}", b"1")
            eq(r["end"], "ok", f"put ({r['error']})")
            eq(dr.get(f"s3://b/k{n}")["body"], b"1")
        eq([s.code for s in st.seen], ["RequestTimeTooSkewed", "", ""])
    st.stop()


@case("a wrong region is corrected by what the store says of it", "stopped")
def _(d):
    st = Store(region="eu-central-1")
    with Drive(d.root, st.store("s3://", region="us-east-1")) as dr:
        eq(dr.put("s3://b/k", b"1")["end"], "ok")
        eq(dr.put("s3://b/k2", b"1")["end"], "ok")
    assert st.count(status=400) <= 1, "the region was not remembered"
    st.stop()


@case("a store that knows no conditional put is asked first", "stopped")
def _(d):
    st = Store()
    st.conditional = 501
    with Drive(d.root, st.store("s3://")) as dr:
        eq(dr.put("s3://b/k", b"1", if_absent=True)["end"], "ok")
        eq(dr.put("s3://b/k", b"2", if_absent=True)["end"], "exists")
    eq(st.buckets["b"]["k"].body, b"1")
    st.stop()


# --- TLS ------------------------------------------------------------------------------------

@case("TLS with the right CA works; with another, or none, it is refused at once", "stopped")
def _(d):
    with Scene(d) as s:
        door = s.g.gateway(tls=True)
        other = s3.certificate(d.root, "other")
        with Drive(d.root, s.g.store(door.url, ca_file=door.ca), part_size=PART) as dr:
            s.uploaded(dr.upload(s.uri, s.path, sha256=s.sha))
        for ca in (other, None):
            with Drive(d.root, s.g.store(door.url, **({"ca_file": ca} if ca else {}))) as dr:
                r = dr.put(f"s3://{s.bucket}/other", b"secret")
                eq(r.get("tries"), 1, "how often it was tried")
                assert r["end"] not in ("ok", "missing"), r
                has(r["error"].lower(), "certificate")
        eq(s.there("other"), None)
        door.kill()


# --- the network ----------------------------------------------------------------------------

@fault("connections cut after any number of bytes going up are made good")
def _(s):
    for n in (0, 1, 4000, MIB, PART - 1):
        s.p.rule(cut_up(n), "PUT", "partNumber=")
    s.uploaded()
    assert s.p.count("PUT", "partNumber=") >= 8, "none was cut"


@fault("connections cut after any number of bytes coming down are gone on with")
def _(s):
    s.stored()
    for n in (0, 1, 4000, MIB, 2 * MIB):
        s.p.rule(cut_down(n), "GET")
    s.downloaded()
    came = sum(x.received for x in s.p.seen if x.method == "GET")
    assert came < len(s.data) + 2 * MIB, f"{came} bytes came for {len(s.data)}: what was there was fetched again"


@fault("every range is asked for on condition that it is still of the same object")
def _(s):
    s.stored()
    etag = s.g.request("HEAD", f"/{s.bucket}/models/big").headers["ETag"].strip('"')
    s.downloaded()
    asked = [{k.lower(): v for k, v in x.headers.items()} for x in s.p.seen if x.method == "GET"]
    ranges = [h for h in asked if h.get("range")]
    assert len(ranges) >= 3, f"{len(ranges)} ranges"
    for h in ranges:
        eq(h.get("if-match", "").strip('"'), etag, f"If-Match of {h['range']}")


@fault("the answer lost to each kind of request changes nothing")
def _(s):
    for method, match in (("POST", "uploads"), ("PUT", "partNumber=1"), ("PUT", "partNumber=3"),
                          ("POST", "uploadId="), ("HEAD", "")):
        s.p.rule(drop(), method, match)
    r = s.upload()
    eq(r["end"], "ok", f"upload ({r['error']})")
    assert s.there() == s.data


@fault("a conditional put whose answer was lost is ours; another's is a conflict")
def _(s):
    s.p.rule(drop(), "PUT")
    eq(s.drive.put(s.uri, b"ours", if_absent=True)["end"], "ok")
    eq(s.drive.put(s.uri, b"theirs", if_absent=True)["end"], "exists")
    eq(s.there(), b"ours")
    s.g.put(s.bucket, "taken", b"somebody else's")
    s.p.rule(drop(), "PUT")
    eq(s.drive.put(f"s3://{s.bucket}/taken", b"ours", if_absent=True)["end"], "exists")
    eq(s.there("taken"), b"somebody else's")


@fault("connections that stall are given up in time when there is a deadline")
def _(s):
    s.p.rule(stall_up(MIB), "PUT", "partNumber=", times=None)
    t = time.monotonic()
    refused(s.upload(deadline_ms=2000), "unavailable")
    assert time.monotonic() - t < limit(5)
    s.absent()
    s.p.clear()
    s.stored()
    s.p.rule(stall_down(MIB), "GET", times=None)
    t = time.monotonic()
    refused(s.download(deadline_ms=2000), "unavailable")
    assert time.monotonic() - t < limit(5)


@fault("connections that stall are made anew after a while", stall_ms=30000 if LONG else 1500)
def _(s):
    s.p.rule(stall_up(MIB), "PUT", "partNumber=2")
    s.uploaded()
    s.p.rule(stall_down(MIB), "GET")
    s.downloaded()


@fault("bytes flipped on the way up never become an object")
def _(s):
    for part, n in ((1, 0), (2, MIB), (3, PART - 1)):
        s.p.rule(flip_up(n), "PUT", f"partNumber={part}&")
    s.uploaded()
    assert s.p.count("PUT", "partNumber=", 400) == 3, "the gateway let a flipped part in"


@fault("bytes flipped on every way up are said to be damage, and there is no object")
def _(s):
    s.p.rule(flip_up(1000), "PUT", "partNumber=2", times=None)
    r = s.upload()
    refused(r, "damaged", "refused")
    s.absent()


@fault("bytes flipped on the way down are noticed")
def _(s):
    s.stored()
    s.p.rule(flip_down(12345), "GET")
    r = s.download()
    if r["end"] == "ok":                # it may have fetched them again
        s.downloaded(r)
    else:
        refused(r, "damaged")
        has(r["error"], "SHA-256")
    s.downloaded(name="again")


# --- answers that lie -------------------------------------------------------------------------

@fault("a Complete that answers 200 with an error inside is no success, and is asked again")
def _(s):
    no = answer(200, "InternalError")
    blank = answer(200, body=b"\n \n" + no.body)
    s.p.rule(no, "POST", "uploadId=")
    s.p.rule(blank, "POST", "uploadId=")
    s.uploaded()
    eq(s.p.count("POST", "uploadId="), 3)


@fault("a Complete that did its work and said it had not is found out")
def _(s):
    s.p.rule(after(answer(200, "InternalError")), "POST", "uploadId=")
    s.uploaded()


@fault("a Complete that did its work, whose upload is then unknown, is found out")
def _(s):
    s.p.rule(drop(), "POST", "uploadId=")
    s.p.rule(after(answer(404, "NoSuchUpload")), "POST", "uploadId=")
    s.uploaded()


@fault("a Complete whose answer is cut or empty is no success")
def _(s):
    s.p.rule(answer(200, body=b""), "POST", "uploadId=")
    s.p.rule(answer(200, body=b"<?xml version='1.0'?><CompleteMultipartUploadResult><Loc"), "POST", "uploadId=")
    s.uploaded()


@fault("a Complete that is denied within a 200 is not asked for ever")
def _(s):
    s.p.rule(answer(200, "AccessDenied"), "POST", "uploadId=", times=None)
    refused(s.upload(), "denied", "refused")
    s.absent()
    assert s.p.count("POST", "uploadId=") <= 3


@fault("a HEAD that lies about the length makes no upload a success")
def _(s):
    s.p.rule(edit({"Content-Length": "7"}), "HEAD", times=None)
    r = s.upload()
    assert r["end"] not in ("ok", "exists"), f"believed: {r}"
    has(r["error"], "7")


@fault("a HEAD that lies about the length makes no download a success")
def _(s):
    s.stored()
    for lie in (len(s.data) - 1000, len(s.data) + 1000, 0):
        s.p.clear()
        s.p.rule(edit({"Content-Length": str(lie)}), "HEAD", times=None)
        r = s.download(f"back{lie}")
        if r["end"] == "ok":            # it did not ask, or did not believe
            s.downloaded(r, f"back{lie}")


@fault("an ETag that is another's is noticed where ETags mean something")
def _(s):
    with Drive(s.root, s.g.store(s.p.url, verify_etag=True), part_size=PART) as dr:
        s.p.rule(edit({"ETag": '"0123456789abcdef0123456789abcdef-4"'}), "HEAD", times=None)
        r = dr.upload(s.uri, s.path)
        assert r["end"] != "ok", f"believed: {r}"


@fault("an object that is replaced during its download gives no mixture", size=40 * MIB, parts=1)
def _(s):
    s.stored()
    other = bytes(b ^ 1 for b in s.data[:1000]) + s.data[1000:]
    r = s.p.rule(call_after(lambda seen: s.g.put(s.bucket, "models/big", other)), "GET")
    res = s.download(sha256=None)
    assert r.hits, "it was never replaced"
    refused(res, "changed", "damaged")


@fault("a server that answers a range with everything is no trouble")
def _(s):
    s.stored()
    body = s.data
    s.p.rule(answer(200, body=body, headers={"ETag": '"x"', "Content-Type": "application/octet-stream"}), "GET",
             times=1)
    r = s.download()
    if r["end"] == "ok":
        s.downloaded(r)
    s.downloaded(name="again")


@fault("a slow answer is an answer")
def _(s):
    s.p.rule(delay(1.0), times=None)
    eq(s.drive.put(s.uri, b"x")["end"], "ok")
    eq(s.drive.get(s.uri)["body"], b"x")


# --- in between -------------------------------------------------------------------------------

@fault("a program that is killed at each request of an upload goes on with it")
def _(s):
    n, sent = 0, 0
    while True:
        n += 1
        s.p.clear()
        s.p.seen.clear()
        s.p.rule(call(lambda seen: s.drive.kill()), skip=n - 1, match="^(?!.*never)")
        s.drive.begin("upload", s.uri, file=s.path, sha256=s.sha)
        r = s.drive.wait_or_dead(60)
        s.p.clear()
        if r is not None:
            break
        assert n < 40, "it never ended"
        # Nobody sees anything but a whole object or none.
        assert s.there() in (None, s.data), "half an object"
        pending = s.g.uploads(s.bucket)
        known = s.drive.began[-1] if s.drive.began else None
        s.p.seen.clear()
        s.drive.start()
        r = s.upload(**({"upload_id": known[0], "part_size": known[1]} if known else {}))
        eq(r["end"], "ok", f"upload, killed at request {n} ({r['error']})")
        assert s.there() == s.data, f"not what was sent, killed at request {n}"
        for key, id in s.g.uploads(s.bucket):
            assert (key, id) in pending or not pending, "one more left behind"
            s.drive.abort(s.uri, id)
        s.g.request("DELETE", f"/{s.bucket}/models/big")
        s.drive.began.clear()
        sent += 1
    assert sent >= 6, f"killed only {sent} times"
    eq(s.g.uploads(s.bucket), [])


run()
