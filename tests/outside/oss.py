#!/usr/bin/env python3
"""Our remote against a store that speaks OSS and computes V4 and V1 signatures
by itself: every operation, and the answers of no that only OSS gives."""
import hashlib
import os
import random
import time

from drive import Drive, refused
from stub import Object, Store, crc64, oss_v1, oss_v4
from t import case, eq, has, run

ODD = ["a b", "+=&", "%20", "?#", "~!*'()", "é/ö", "ü@:;,$", "<&>\"'", "a/../b", "./x", "x//y", "tail/", "1234+-/123/1.txt",
       "percent%2Fsign", "new-line\u2028", "日本語"]


def each(sentence):
    """A case for V4 and one for V1: fn(store, drive, root)."""
    def add(fn):
        for v in ("v4", "v1"):
            def one(d, v=v):
                st = Store(region="cn-hangzhou")
                with Drive(d.root, st.store("oss://", signature=v), parts=3, part_size=PART) as dr:
                    fn(st, dr, d.root)
                    bad = [s for s in st.seen if s.dialect != "oss" + v[1]]
                    assert not bad, f"not signed as {v}: {bad[:3]}"
                st.stop()
            case(f"oss {v}: {sentence}", "stopped")(one)
        return fn
    return add


PART = 200 << 10


def file(root, size, seed=1, name="file"):
    path = f"{root}/{name}"
    with open(path, "wb") as f:
        f.write(random.Random(seed).randbytes(size))
    return path


@case("the verifying store's arithmetic gives the published signatures", "stopped")
def _(d):
    heads = {"x-oss-head1": "value", "abc": "value", "zabc": "value", "xyz": "value", "content-type": "text/plain",
             "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
    query = [("param1", "value1"), ("+param1", "value3"), ("|param1", "value4"), ("+param2", ""), ("|param2", ""),
             ("param2", "")]

    def v4(at, additional=(), place="cn-hangzhou/oss", **more):
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        return oss_v4("PUT", "/bucket/1234+-/123/1.txt", query, {**heads, "x-oss-date": date, **more},
                      list(additional), "sk", f"{date[:8]}/{place}/aliyun_v4_request")
    eq(v4(1702743657), "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe")
    eq(v4(1702784856, **{"x-oss-security-token": "token"}),
       "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea")
    eq(v4(1702747512, ["abc", "zabc"]), "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f")
    eq(v4(1702743657, place="cb-123/oss-cloudbox"),
       "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43")
    date = "Wed, 28 Dec 2022 10:27:41 GMT"
    h = {"content-md5": "eB5eJF1ptWaXm4bijSPyxw==", "content-type": "text/html", "date": date, "x-oss-date": date,
         "x-oss-meta-author": "alice", "x-oss-meta-magic": "abracadabra"}
    eq(oss_v1("PUT", "/examplebucket/nelson", [], h, "sk"), "kSHKmLxlyEAKtZPkJhG9bZb5k7M=")
    eq(oss_v1("PUT", "/examplebucket/nelson", [("acl", "")], h, "sk"), "/afkugFbmWDQ967j1vr6zygBLQk=")
    eq(crc64(b"123456789"), 11051210869376104954)
    eq(crc64(b"This is a test of the emergency broadcast system."), 0x27DB187FC15BBC72)


@each("put, head, get and delete, of keys that are hard to sign")
def _(st, dr, root):
    for k in ODD:
        body = f"bytes of {k}".encode()
        r = dr.put(f"oss://b/{k}", body)
        eq(r["end"], "ok", f"putting {k!r} ({r['error']})")
        eq(st.buckets["b"][k].body, body)
        eq(dr.head(f"oss://b/{k}")["size"], len(body))
        eq(dr.get(f"oss://b/{k}")["body"], body)
    for k in ODD:
        eq(dr.delete(f"oss://b/{k}")["end"], "ok")
    eq(st.buckets["b"], {})
    eq(dr.delete("oss://b/never-there")["end"], "ok")
    eq(dr.get("oss://b/never-there")["end"], "missing")
    eq(dr.head("oss://b/never-there")["end"], "missing")


@each("a put if absent of what is there is a conflict")
def _(st, dr, root):
    eq(dr.put("oss://b/m", b"first", if_absent=True)["end"], "ok")
    eq(st.seen[-1].headers["x-oss-forbid-overwrite"], "true")
    r = dr.put("oss://b/m", b"second", if_absent=True)
    eq(r["end"], "exists")
    eq(r["code"], "FileAlreadyExists")
    eq(st.buckets["b"]["m"].body, b"first")
    eq(dr.put("oss://b/m", b"third")["end"], "ok")
    eq(st.buckets["b"]["m"].body, b"third")


@each("a list of 2,500 odd keys comes in order and whole, page by page")
def _(st, dr, root):
    for n in range(2470):
        st.buckets["b"][f"p/{n:04}"] = st.buckets["b"].get("p/0000") or made(st, b"x")
    for k in ODD:
        st.buckets["b"]["p/" + k] = made(st, k.encode())
    st.buckets["b"]["q/not-this"] = made(st, b"")
    st.page = 700
    got = dr.list("oss://b/p/")
    want = sorted((k[2:] for k in st.buckets["b"] if k.startswith("p/")), key=str.encode)
    eq([e["key"] for e in got["entries"]], want)
    eq(st.count("GET", "list-type=2"), 4)
    eq({e["key"]: e["size"] for e in got["entries"]}["日本語"], 9)
    folders = [e["key"] for e in dr.list("oss://b/p/", folders=True)["entries"]]
    for k in ("é/", "x/", "a/", "./"):
        assert k in folders, f"{k} is not among the folders"
    eq(dr.list("oss://b/nothing/")["entries"], [])


def made(st, body):
    return Object(body, hashlib.md5(body).hexdigest().upper(), crc64(body), {})


@each("a file in parts is there whole, checked by CRC-64, its digest beside it")
def _(st, dr, root):
    path = file(root, 4 * PART + 777)
    sha = hashlib.sha256(open(path, "rb").read()).hexdigest()
    r = dr.upload("oss://b/big file", path, sha256=sha)
    eq(r["end"], "ok", f"upload ({r['error']})")
    o = st.buckets["b"]["big file"]
    eq(o.body, open(path, "rb").read())
    eq(o.meta.get("x-oss-meta-sha256"), sha)
    eq(st.count("PUT", "partNumber="), 5)
    assert "content-md5" in [s for s in st.seen if "partNumber" in s.target][0].headers, "no Content-MD5 with a part"
    r = dr.download("oss://b/big file", f"{root}/back", sha256=sha)
    eq(r["end"], "ok", f"download ({r['error']})")
    eq(open(f"{root}/back", "rb").read(), o.body)
    assert st.count("GET", status=206) >= 1, "nothing was fetched by range"


@each("an empty file and one of a byte go up and come down")
def _(st, dr, root):
    for n in (0, 1, PART):
        path = file(root, n, name=f"f{n}")
        eq(dr.upload(f"oss://b/f{n}", path)["end"], "ok")
        eq(len(st.buckets["b"][f"f{n}"].body), n)
        eq(dr.download(f"oss://b/f{n}", f"{root}/b{n}")["end"], "ok")
        eq(os.path.getsize(f"{root}/b{n}"), n)


@each("bytes whose CRC-64 the store has otherwise are no success")
def _(st, dr, root):
    path = file(root, 2 * PART + 1)
    st.lie_crc = True
    refused(dr.upload("oss://b/lied", path), "damaged", "unavailable")


@each("an upload that was cut off goes on with the parts that are there")
def _(st, dr, root):
    path = file(root, 5 * PART + 5)
    data = open(path, "rb").read()
    st.before = lambda seen: any(len(u.parts) >= 2 for u in st.uploads.values()) and dr.kill()
    dr.begin("upload", "oss://b/again", file=path)
    eq(dr.wait_or_dead(), None, "what it says")
    st.before = None
    (id, u), = st.uploads.items()
    had = len(u.parts)
    assert 2 <= had < 6, f"{had} parts were there"
    st.seen.clear()
    dr.start()
    r = dr.upload("oss://b/again", path, upload_id=id, part_size=PART)
    eq(r["end"], "ok", f"upload ({r['error']})")
    eq(st.buckets["b"]["again"].body, data)
    eq(st.count("POST", "uploads"), 0)
    assert st.count("PUT", "partNumber=") <= 6 - had + 1, f"sent {st.count('PUT', 'partNumber=')} parts again"
    # One that the store has forgotten begins anew.
    st.seen.clear()
    r = dr.upload("oss://b/more", path, upload_id="0123456789", part_size=PART)
    eq(r["end"], "ok", f"upload ({r['error']})")
    eq(st.buckets["b"]["more"].body, data)


@each("a part that is there with other bytes is sent again")
def _(st, dr, root):
    path = file(root, 3 * PART)
    u = dr.create(st, "oss://b/mixed", path, PART)
    with st.lock:
        parts = st.uploads[u].parts
        parts[1].body, parts[1].crc, parts[1].etag = b"z" * PART, crc64(b"z" * PART), "0" * 32
    eq(dr.upload("oss://b/mixed", path, upload_id=u, part_size=PART)["end"], "ok")
    eq(st.buckets["b"]["mixed"].body, open(path, "rb").read())


@each("a wrong secret is refused at once, said, and not shown")
def _(st, dr, root):
    st.keys[st.id].secret = "another"
    for r in (dr.put("oss://b/x", b"1"), dr.get("oss://b/x"), dr.head("oss://b/x"), dr.list("oss://b/"),
              dr.upload("oss://b/x", file(root, PART * 2))):
        refused(r, "denied")
        eq(r["code"], "SignatureDoesNotMatch", f"code ({r['error']})")
        assert st.secret not in str(r) and "Signature=" not in str(r), "a secret is in the answer"
    eq(st.buckets["b"], {})


@each("what HEAD is refused for is read from its header")
def _(st, dr, root):
    del st.keys[st.id]
    r = dr.head("oss://b/x")
    refused(r, "denied")
    eq(r["code"], "InvalidAccessKeyId")
    has(r["error"], "does not exist in our records")


@each("a clock that is twenty minutes off, either way, costs one request")
def _(st, dr, root):
    for off, key in ((1200, "late"), (-1200, "early")):
        st.clock = off
        st.seen.clear()
        r = dr.put(f"oss://b/{key}", b"now")
        eq(r["end"], "ok", f"put ({r['error']})")
        eq([s.code for s in st.seen], ["RequestTimeTooSkewed", ""])
        eq(dr.put(f"oss://b/{key}2", b"now")["end"], "ok")
        eq(len(st.seen), 3, "requests, the clock being known")


@each("a token that has expired is denied in words, after one try for another")
def _(st, dr, root):
    key = st.session(60)
    with Drive(root, st.store("oss://", key, signature=dr.stores[0]["signature"])) as other:
        eq(other.put("oss://b/x", b"1")["end"], "ok")
        st.expire(key)
        st.seen.clear()
        r = other.put("oss://b/y", b"1")
        refused(r, "denied")
        eq(r["code"], "SecurityTokenExpired")
        assert len(st.seen) <= 2, f"{len(st.seen)} requests"
        assert key.token not in str(r) and key.secret not in str(r), "a secret is in the answer"


@each("a public endpoint that new users may not use is explained")
def _(st, dr, root):
    st.public_forbidden = True
    r = dr.put("oss://b/x", b"1")
    assert r["end"] in ("refused", "denied"), r
    has(r["error"], "PublicEndpointForbidden")
    has(r["error"], "internal")


@each("a store that says SlowDown now and then gets everything in the end")
def _(st, dr, root):
    st.slow_every = 4
    path = file(root, 6 * PART)
    r = dr.upload("oss://b/slow", path)
    eq(r["end"], "ok", f"upload ({r['error']})")
    st.slow_every = 0
    eq(st.buckets["b"]["slow"].body, open(path, "rb").read())
    assert st.count(status=503) >= 2, "it never said so"


@each("a Complete that says no within a 200 is asked again")
def _(st, dr, root):
    st.complete_error = 2
    path = file(root, 3 * PART)
    r = dr.upload("oss://b/c", path)
    eq(r["end"], "ok", f"upload ({r['error']})")
    eq(st.buckets["b"]["c"].body, open(path, "rb").read())
    eq(st.count("POST", "uploadId="), 3)


@each("an upload is aborted, pending ones are listed, those of others are not ours")
def _(st, dr, root):
    a = dr.create(st, "oss://b/p/one", file(root, 2 * PART), PART)
    b = dr.create(st, "oss://b/other/two", f"{root}/file", PART)
    eq([(e["key"], e["upload_id"]) for e in dr.pending("oss://b/p/")["entries"]], [("one", a)])
    eq(dr.abort("oss://b/p/one", a)["end"], "ok")
    eq(list(st.uploads), [b])
    eq(dr.abort("oss://b/p/one", a)["end"], "ok")


@case("oss: buckets before the host, as OSS wants it", "stopped")
def _(d):
    st = Store(region="cn-hangzhou")
    for v in ("v4", "v1"):
        with Drive(d.root, st.store("oss://", url=st.vhost, addressing="virtual", signature=v)) as dr:
            r = dr.put(f"oss://b/dir/a b+{v}", b"1")
            eq(r["end"], "ok", f"put ({r['error']})")
            eq(dr.get(f"oss://b/dir/a b+{v}")["body"], b"1")
            eq(len(dr.list("oss://b/dir/")["entries"]), 1)
            eq(dr.delete(f"oss://b/dir/a b+{v}")["end"], "ok")
    assert all(s.headers["host"].startswith("b.oss.localhost") for s in st.seen), "not before the host"
    st.stop()


run()
