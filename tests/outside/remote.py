#!/usr/bin/env python3
"""Small objects, lists and plain https: our remote against a real Ceph RADOS
Gateway, and against servers that mean no good."""
import base64
import hashlib
import http.server
import random
import socketserver
import ssl
import struct
import threading
import time

import s3
from drive import Drive, refused
from t import case, eq, has, limit, run

ODD = ["a b", "  two  blanks  ", "+=&", "%20", "%2F%", "?#", "~!*'()", "é/ö", "ü@:;,$", "<&>\"'", "a/../b", "./x",
       "x//y", "/lead", "tail/", "\U0001f600", "日本語", "back\\slash", "new-line\u2028", "[]{}^`|"]


def drive(d, *stores, **more):
    return Drive(d.root, *stores, **more)


# --- a real gateway ---------------------------------------------------------------------------

def every_operation(d, store):
    g = s3.rgw()
    b = g.bucket()
    with drive(d, store(g)) as dr:
        for i, key in enumerate(ODD):
            uri, body = f"s3://{b}/p/{key}", key.encode() * i
            eq(dr.put(uri, body)["end"], "ok", f"put of {key!r}")
            eq(g.get(b, f"p/{key}"), body, f"what others read at {key!r}")
            r = dr.head(uri)
            eq((r["end"], r["size"]), ("ok", len(body)), f"head of {key!r}")
            eq(r["sha256"], hashlib.sha256(body).hexdigest())
            eq(r["etag"], hashlib.md5(body).hexdigest())
            assert abs(r["modified_ms"] / 1000 - time.time()) < 60, r["modified_ms"]
            eq(dr.get(uri)["body"], body)
        r = dr.list(f"s3://{b}/p/")
        eq([e["key"] for e in r["entries"]], sorted(ODD, key=str.encode), "the list")
        eq([e["key"] for e in dr.list(f"s3://{b}/p/a ")["entries"]], ["b"])
        for key in ODD:
            eq(dr.delete(f"s3://{b}/p/{key}")["end"], "ok")
            eq(dr.delete(f"s3://{b}/p/{key}")["end"], "ok", "deleted twice")
            eq(dr.get(f"s3://{b}/p/{key}")["code"], "NoSuchKey")
            eq(dr.head(f"s3://{b}/p/{key}")["end"], "missing")
        eq(g.keys_of(b, ""), [])


@case("every operation on keys that are hard to sign, buckets in the path", "stopped")
def _(d):
    every_operation(d, lambda g: g.store())


@case("every operation on keys that are hard to sign, buckets before the host", "stopped")
def _(d):
    every_operation(d, lambda g: g.store(f"http://s3.localhost:{g.port}", addressing="virtual"))


@case("a list of 2,300 keys comes in order over pages, in folders too, and can be left", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    keys = sorted(f"run +&/{i % 7}/{i:04}" for i in range(2300))
    for k in keys:
        g.put(b, k, b"x")
    with drive(d, g.store()) as dr:
        r = dr.list(f"s3://{b}/run +&/")
        eq([e["key"] for e in r["entries"]], [k[7:] for k in keys])
        eq(r["tries"], 3)
        assert all(e["size"] == 1 and e["etag"] == hashlib.md5(b"x").hexdigest() for e in r["entries"])
        r = dr.list(f"s3://{b}/run +&/", folders=True)
        eq([e["key"] for e in r["entries"]], [f"{i}/" for i in range(7)])
        r = dr.list(f"s3://{b}", pages=1)
        eq((r["end"], len(r["entries"])), ("cancelled", 1000))
        eq(dr.list(f"s3://{b}/none")["end"], "ok")
        eq(dr.list(f"s3://{b}-none/x")["code"], "NoSuchBucket")


@case("of eight who put the same absent key at once, exactly one has put it", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    drives = [drive(d, g.store()) for _ in range(8)]
    try:
        for n in range(5):
            for i, dr in enumerate(drives):
                dr.begin("put", f"s3://{b}/epoch-{n}", text=f"{i}", if_absent=True)
            ends = [dr.wait()["end"] for dr in drives]
            eq(sorted(ends), ["exists"] * 7 + ["ok"])
            eq(g.get(b, f"epoch-{n}"), b"%d" % ends.index("ok"))
    finally:
        for dr in drives:
            dr.stop()


@case("uploads that others began are listed below the prefix, and aborted", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    for key in ("p/a b+", "p/a b+", "p/c", "other"):
        eq(g.request("POST", f"/{b}/{key}", {"uploads": ""}).status, 200)
    with drive(d, g.store()) as dr:
        found = dr.pending(f"s3://{b}/p/")["entries"]
        eq(sorted(e["key"] for e in found), ["a b+", "a b+", "c"])
        for e in found:
            assert abs(e["initiated_ms"] / 1000 - time.time()) < 60, e
            eq(dr.abort(f"s3://{b}/p/{e['key']}", e["upload_id"])["end"], "ok")
        eq(dr.abort(f"s3://{b}/p/c", found[2]["upload_id"])["end"], "ok", "aborted twice")
        eq([k for k, _ in g.uploads(b)], ["other"])


@case("a HEAD that is refused without a word gets its reason by a GET", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    g.put(b, "k", b"x")
    stranger = s3.User("stranger", "NOSUCHKEY", "x" * 40)
    for store, code in ((g.store(secret_access_key="w" * 40), "SignatureDoesNotMatch"),
                        (g.store(user=stranger), "InvalidAccessKeyId"),
                        (dict(match="s3://", endpoint=g.url, credentials="anonymous"), "AccessDenied")):
        with drive(d, store) as dr:
            r = dr.head(f"s3://{b}/k")
            refused(r, "denied")
            eq((r["code"], r["status"], r["tries"]), (code, 403, 2))
            has(r["error"], f"127.0.0.1:{g.port} answered 403 {code}")
            assert "w" * 40 not in r["error"] + dr.said()


@case("keys and endpoint come from the environment where the configuration is silent", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    env = {k: v for k, v in g.env().items() if k.startswith("AWS_")}
    with drive(d, env=env) as dr:
        eq(dr.put(f"s3://{b}/k", b"by environment")["end"], "ok")
    eq(g.get(b, "k"), b"by environment")


@case("what is larger than asked for is refused, and errors of small answers are read", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    g.put(b, "k", b"12345")
    with drive(d, g.store()) as dr:
        refused(dr.get(f"s3://{b}/k", max=4), "refused")
        eq(dr.get(f"s3://{b}/k", max=5)["body"], b"12345")
        eq(dr.get(f"s3://{b}/none", max=1)["code"], "NoSuchKey")


# --- servers that mean no good ------------------------------------------------------------------

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """fn(request) -> (status, headers, body); what was asked is in `asked`."""
    daemon_threads, request_queue_size = True, 64

    def __init__(self, fn, tls=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked.append((self.command, self.path))
                status, headers, body = fn(self)
                self.send_response(status)
                for k, v in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(k, v)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *a):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.port = [], self.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls, tls[:-4] + ".key")
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *a):
        pass

    def store(self, **more):
        return dict({"match": "s3://", "endpoint": self.url, "access_key_id": "ID", "secret_access_key": "SECRET"},
                    **more)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.shutdown()
        self.server_close()


def page(keys, more=True, token="t", extra=""):
    return (200, {}, ("<ListBucketResult><EncodingType>url</EncodingType>" +
                      "".join(f"<Contents><Key>{k}</Key><Size>1</Size></Contents>" for k in keys) +
                      f"<IsTruncated>{str(more).lower()}</IsTruncated>" +
                      (f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "") + extra +
                      "</ListBucketResult>").encode())


def bad_list(d, fn, requests, *words):
    counter = iter(range(10 ** 9))
    with Server(lambda q: fn(next(counter))) as sv, drive(d, sv.store()) as dr:
        r = dr.list("s3://b/p/", tries=2)
        refused(r, "refused", "unavailable")
        for w in words:
            has(r["error"], w)
        assert len(sv.asked) <= requests, f"{len(sv.asked)} requests"
        return r


@case("lists that go round, stand still, or never end are left", "stopped")
def _(d):
    bad_list(d, lambda n: page([f"p/{n}"]), 2, "does not advance")
    bad_list(d, lambda n: page([f"p/{'ab'[n % 2]}"], token=n + 1), 3, "does not advance")
    bad_list(d, lambda n: page(["p/a"], token=n + 1), 2, "does not advance")
    bad_list(d, lambda n: page([], token=n + 1), 110, "does not end")
    bad_list(d, lambda n: page(["p/a"], token=""), 1, "does not say where")
    bad_list(d, lambda n: page(["p/a"], token="x" * 9000), 1, "does not say where")


@case("pages that lie, break or swell are refused", "stopped")
def _(d):
    bad_list(d, lambda n: page(["q/elsewhere"]), 1, "do not begin with the prefix")
    bad_list(d, lambda n: page(["p/%00"]), 1, "no list")
    bad_list(d, lambda n: page(["p/%zz"]), 1, "no list")
    bad_list(d, lambda n: page(["p/a"], extra="<a>" * 40 + "</a>" * 40), 1, "no list")
    bad_list(d, lambda n: (200, {}, b"<ListBucketResult><Contents>"), 1, "no list")
    bad_list(d, lambda n: (200, {}, b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><ListBucketResult>&a;</ListBucketResult>"), 1,
             "no list")
    bad_list(d, lambda n: (200, {}, b""), 1, "no list")
    bad_list(d, lambda n: page([f"p/{i}" for i in range(20000)]), 1, "no list")
    bad_list(d, lambda n: (200, {}, b"<ListBucketResult>" + b" " * (9 << 20)), 1)
    bad_list(d, lambda n: (200, {}, b"<Error><Code>InternalError</Code></Error>"), 2, "InternalError")


@case("a HEAD of a store that lies about everything breaks nothing", "stopped")
def _(d):
    evil = {"ETag": "\"" + "e" * 4000 + "\"", "Last-Modified": "soon", "x-amz-meta-sha256": "<script>",
            "Content-Length": "99999999999999999999"}
    with Server(lambda q: (200, evil, b"")) as sv, drive(d, sv.store()) as dr:
        r = dr.head("s3://b/k", tries=1)
        eq((r["size"], r["modified_ms"], r["sha256"]), (0, 0, ""))
        assert len(r["etag"]) < 200


@case("what a store says in an error is one line of text, however it is said", "stopped")
def _(d):
    body = b"<Error><Code>Evil\x1b[31m</Code><Message>" + b"a&#10;b\xff" * 400 + b"</Message></Error>"
    with Server(lambda q: (400, {"x-amz-request-id": "i" * 3000}, body)) as sv, drive(d, sv.store()) as dr:
        r = dr.get("s3://b/k")
        refused(r, "refused")
        assert "\x1b" not in r["error"] + r["code"] and "\n" not in r["error"] and len(r["error"]) < 1200, r


def crc32c(data):
    c = 0xffffffff
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    return base64.b64encode(struct.pack(">I", c ^ 0xffffffff)).decode()


@case("small objects go with the checksums that the store is said to want", "stopped")
def _(d):
    body, got = b"123456789" * 50, {}

    def keep(q):
        got.update({k.lower(): v for k, v in q.headers.items()}, body=q.body)
        return 200, {"ETag": '"e"'}, b""
    for kind, name, want in (("crc32c", "x-amz-checksum-crc32c", crc32c(body)),
                             ("sha256", "x-amz-checksum-sha256",
                              base64.b64encode(hashlib.sha256(body).digest()).decode())):
        got.clear()
        with Server(keep) as sv, drive(d, sv.store(checksum=kind)) as dr:
            eq(dr.put("s3://b/k", body)["end"], "ok")
        eq(got[name], want)
        has(got["authorization"], name)
        eq(got["x-amz-content-sha256"], hashlib.sha256(body).hexdigest())
        eq(got["content-md5"], base64.b64encode(hashlib.md5(body).digest()).decode())
        assert "transfer-encoding" not in got and got["body"] == body
    tls = s3.certificate(d.root)
    got.clear()
    with Server(keep, tls) as sv, drive(d, sv.store(ca_file=tls)) as dr:
        eq(dr.put("s3://b/k", body)["end"], "ok")
    eq(got["x-amz-content-sha256"], "UNSIGNED-PAYLOAD")
    eq(got["content-md5"], base64.b64encode(hashlib.md5(body).digest()).decode())


@case("every try is signed anew, and a connection is made anew behind the second that broke", "stopped")
def _(d):
    dates, ports = [], []

    def fail(q):
        dates.append(q.headers["x-amz-date"])
        ports.append(q.client_address[1])
        if len(dates) < 4:
            time.sleep(1.1 if len(dates) == 1 else 0)
            return 500, {}, b""
        return 200, {}, b"at last"
    with Server(fail) as sv, drive(d, sv.store()) as dr:
        r = dr.get("s3://b/k")
        eq((r["body"], r["tries"]), (b"at last", 4))
    assert len(set(dates)) > 1, dates
    eq(len(set(ports)), 1, "connections for answers of 500")


@case("tries and time have an end that the caller sets", "stopped")
def _(d):
    with Server(lambda q: (503, {}, b"<Error><Code>SlowDown</Code></Error>")) as sv, drive(d, sv.store()) as dr:
        r = dr.get("s3://b/k", tries=3)
        eq((r["end"], r["code"], r["tries"]), ("unavailable", "SlowDown", 3))
        has(r["error"], "tried 3 times")
        begun = time.monotonic()
        r = dr.get("s3://b/k", deadline_ms=1500)
        eq(r["end"], "unavailable")
        assert time.monotonic() - begun < limit(5)


# --- plain https -----------------------------------------------------------------------------------

class Site:
    """A server with one file, that knows ranges; more is in `special`."""

    def __init__(self, d, data):
        self.data, self.special, self.tls = data, {}, s3.certificate(d.root, "site")

    def __call__(self, q):
        assert "Authorization" not in q.headers and not any(h.lower().startswith("x-amz") for h in q.headers)
        path = q.path.split("?")[0]
        if path in self.special:
            r = self.special[path](q)
            if r:
                return r
        head = {"ETag": '"v1"', "Last-Modified": "Mon, 19 Sep 2016 18:29:47 GMT"}
        span = q.headers.get("Range")
        if span:
            a, z = span[6:].split("-")
            z = min(int(z or len(self.data)), len(self.data) - 1)
            part = self.data[int(a):z + 1]
            return 206, {**head, "Content-Range": f"bytes {a}-{z}/{len(self.data)}"}, part
        return 200, head, self.data


def site(d, data=b"x" * 1000):
    st = Site(d, data)
    sv = Server(st, st.tls)
    return st, sv, drive(d, {"match": f"https://127.0.0.1:{sv.port}", "ca_file": st.tls}, part_size=1 << 20)


@case("a plain https address is looked at and read, with nothing of ours in the request", "stopped")
def _(d):
    data = random.Random(1).randbytes(5 << 20)
    st, sv, dr = site(d, data)
    with sv, dr:
        r = dr.head(f"{sv.url}/model.bin?sig=abc%20d")
        eq((r["end"], r["size"], r["etag"], r["modified_ms"]), ("ok", len(data), "v1", 1474309787000))
        eq(sv.asked[-1], ("HEAD", "/model.bin?sig=abc%20d"))
        eq(dr.get(f"{sv.url}/m", max=6 << 20)["body"], data)
        r = dr.download(f"{sv.url}/m#sha256={hashlib.sha256(data).hexdigest()}", f"{d.root}/m")
        eq(r["end"], "ok", r["error"])
        assert open(f"{d.root}/m", "rb").read() == data
        refused(dr.download(f"{sv.url}/m#sha256={'0' * 64}", f"{d.root}/n"), "damaged")
        refused(dr.put(f"{sv.url}/m", b"x"), "refused")
        refused(dr.list(f"{sv.url}/"), "refused")


@case("an address that may only be got is looked at by its first byte", "stopped")
def _(d):
    st, sv, dr = site(d)
    st.special["/presigned"] = lambda q: (403, {}, b"") if q.command == "HEAD" else None
    with sv, dr:
        r = dr.head(f"{sv.url}/presigned?token=1")
        eq((r["end"], r["size"], r["etag"]), ("ok", 1000, "v1"))


def sends(sv, st, path, to, status=302):
    """A path of the site that leads elsewhere; to: may be a function of the request."""
    st.special[path] = lambda q: (status, {"Location": to(q) if callable(to) else to}, b"moved")


@case("redirects are followed within https, ten of them, and no further", "stopped")
def _(d):
    st, sv, dr = site(d)
    sends(sv, st, "/a", "/b?x=1")
    sends(sv, st, "/b", f"{sv.url}/c", 307)
    for n in range(12):
        sends(sv, st, f"/n{n}", f"/n{n + 1}", 308)
    sends(sv, st, "/loop", "/loop?1", 301)
    sends(sv, st, "/in", "/out")
    sends(sv, st, "/out", "/in")
    with Server(lambda q: (200, {}, b"plain")) as plain, sv, dr:
        for path, to in (("/down", f"{plain.url}/secret"), ("/file", "file:///etc/passwd"), ("/store", "s3://b/k"),
                         ("/user", f"https://me:SECRET@127.0.0.1:{sv.port}/x"), ("/ftp", "ftp://h/x"),
                         ("/mail", "mailto:x"), ("/none", ""), ("/nowhere", "https:///x")):
            sends(sv, st, path, to)
        eq(dr.get(f"{sv.url}/a")["body"], b"x" * 1000)
        eq(dr.head(f"{sv.url}/a")["size"], 1000)
        eq(dr.get(f"{sv.url}/n2")["body"], b"x" * 1000)
        for do in (dr.get, dr.head, lambda u: dr.download(u, f"{d.root}/x")):
            before = len(sv.asked)
            r = do(f"{sv.url}/n1")
            refused(r, "refused")
            has(r["error"], "on and on")
            eq(len(sv.asked) - before, 11, "requests")
            for path, n in (("loop", 2), ("in", 2)):
                before = len(sv.asked)
                r = do(f"{sv.url}/{path}")
                refused(r, "refused")
                has(r["error"], "in a circle")
                eq(len(sv.asked) - before, n, "requests")
            for path in ("down", "file", "store", "user", "ftp", "mail", "none", "nowhere"):
                r = do(f"{sv.url}/{path}")
                refused(r, "refused")
                has(r["error"], "answers 302 and leads")
                assert "SECRET" not in r["error"], r["error"]
        eq(plain.asked, [])


def hub(d):
    """A plain server, and another on a port of its own: whose requests are kept, heads and all."""
    data, heads = b"weights" * 300, []

    def file(q):
        heads.append(q.headers)
        return 200, {"ETag": '"f"'}, data
    other = Server(file)
    st = Site(d, data)
    sv = Server(st)
    return data, heads, other, st, sv


@case("redirects of http are followed too, absolute and relative ones, and to https", "stopped")
def _(d):
    data, heads, other, st, sv = hub(d)
    tls = Server(st, st.tls)
    with other, sv, tls, drive(d, {"match": f"https://127.0.0.1:{tls.port}", "ca_file": st.tls}) as dr:
        leads = {"/org/abs/m": f"{sv.url}/files/m?X-Sig=a%2Fb", "/org/path/m": "/files/m", "/org/up/m": "../../files/m",
                 "/org/deep/m": "../../../.././files/./m", "/org/beside/m": "file", "/org/query/m": "?x=1",
                 "/org/host/m": f"//127.0.0.1:{sv.port}/files/m", "/org/other/m": f"{other.url}/files/m",
                 "/org/tls/m": f"{tls.url}/files/m", "/org/UP/m": f"HTTP://127.0.0.1:{sv.port}/files/m",
                 "/org/blank/m": "/files/a b/\xe9#fragment", "/org/dots/m": "/files/x/../m", "/org/end/m": "a/..",
                 "/org/bare/m": f"http://127.0.0.1:{other.port}"}
        for path, to in leads.items():
            if path == "/org/query/m":
                st.special[path] = lambda q: None if "?" in q.path else (302, {"Location": "?x=1"}, b"")
            else:
                sends(sv, st, path, to)
        # Who answers HEAD itself may send GET on.
        leads["/org/hub/m"] = f"{other.url}/files/m"
        st.special["/org/hub/m"] = lambda q: None if q.command == "HEAD" else (
            302, {"Location": leads["/org/hub/m"]}, b"")
        want = {"/org/up/m": "/files/m", "/org/deep/m": "/files/m", "/org/beside/m": "/org/beside/file",
                "/org/query/m": "/org/query/m?x=1", "/org/host/m": "/files/m", "/org/abs/m": "/files/m?X-Sig=a%2Fb",
                "/org/blank/m": "/files/a%20b/%E9", "/org/dots/m": "/files/m", "/org/end/m": "/org/end/",
                "/org/path/m": "/files/m", "/org/UP/m": "/files/m"}
        for path in leads:
            r = dr.get(f"{sv.url}{path}")
            eq((r["end"], r["body"]), ("ok", data), f"get of {path} ({r['error']})")
            if path in want:
                eq(sv.asked[-1][1], want[path], f"where {path} leads")
            r = dr.head(f"{sv.url}{path}")
            eq((r["end"], r["size"]), ("ok", len(data)), f"head of {path}")
            r = dr.download(f"{sv.url}{path}#sha256={hashlib.sha256(data).hexdigest()}", f"{d.root}/got")
            eq(r["end"], "ok", f"download of {path} ({r['error']})")
        has(other.asked, ("GET", "/"))      # an address without a path
        eq(tls.asked[-1][1], "/files/m")
        refused(dr.download(f"{sv.url}/org/other/m#sha256={'0' * 64}", f"{d.root}/no"), "damaged")


@case("nothing of ours goes along to another host or port", "stopped")
def _(d):
    data, heads, other, st, sv = hub(d)
    with other, sv, drive(d, other.store(), env={"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}) as dr:
        st.special["/m"] = lambda q: (302, {"Location": f"{other.url}/m", "Set-Cookie": "session=SECRET",
                                            "WWW-Authenticate": "Basic"}, b"")
        eq(dr.get(f"{sv.url}/m?token=SECRET")["body"], data)
        eq(dr.head(f"{sv.url}/m?token=SECRET")["end"], "ok")
        for h in heads:
            ours = [k for k in h if k.lower().startswith(("authorization", "cookie", "x-amz", "referer"))]
            assert "SECRET" not in str(h) and not ours, str(h)
        # Nor does a request that is signed go anywhere but to its store.
        before = len(other.asked)
    with Server(lambda q: (307, {"Location": f"{other.url}/b/k"}, b"")) as store, drive(d, store.store()) as dr:
        r = dr.get("s3://b/k", tries=2)
        refused(r, "unavailable")
        has(r["error"], f"it leads to {other.url}; signed requests are not sent on")
        eq(len(other.asked), before, "requests of another host")


@case("no redirect leads to a metadata service, at the first hop or at the third, directly or by a proxy", "stopped")
def _(d):
    data, heads, other, st, sv = hub(d)
    hosts = ("169.254.169.254", "2852039166", "0xa9.0xfe.0xa9.0xfe", "[::ffff:169.254.169.254]", "[fe80::1]",
             "100.100.100.200", "169.254.170.2", "[fd00:ec2::254]", "168.63.129.16", "metadata.google.internal")
    for n, host in enumerate(hosts):
        sends(sv, st, f"/m{n}", f"http://{host}/latest/meta-data/")
        sends(sv, st, f"/a{n}", f"/b{n}")
        sends(sv, st, f"/b{n}", f"/m{n}")
    proxied = []

    def through(q):
        proxied.append(q.path)
        return 200, {}, b"secret"
    with other, sv, Server(through) as proxy:
        for env in ({}, {"http_proxy": proxy.url, "no_proxy": "127.0.0.1"}):
            with drive(d, env=env) as dr:
                for n in range(len(hosts)):
                    for path in (f"/m{n}", f"/a{n}"):
                        for do in (dr.get, dr.head, lambda u: dr.download(u, f"{d.root}/x")):
                            r = do(f"{sv.url}{path}")
                            refused(r, "refused")
                            has(r["error"], "a metadata service, which nobody is sent to")
        eq(proxied, [])


@case("what stands behind the question mark of an address is in no error", "stopped")
def _(d):
    st, sv, dr = site(d)
    st.special["/no"] = lambda q: (403, {}, b"")
    with sv, dr:
        for r in (dr.get(f"{sv.url}/no?sig=TOPSECRET"), dr.get("https://127.0.0.1:1/x?sig=TOPSECRET", tries=1)):
            refused(r, "denied", "unavailable")
            assert "TOPSECRET" not in r["error"] + dr.said(), r["error"]


run()
