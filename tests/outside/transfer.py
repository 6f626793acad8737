#!/usr/bin/env python3
"""Large objects on ordinary days and after a crash: parts, ranges, what is not
sent or fetched twice, what is held or cancelled.  The bad days of networks and
stores are in faults.py.

A real Ceph RADOS Gateway behind a proxy that counts; a small TLS server of its
own for https:// downloads.
"""
import base64
import hashlib
import http.server
import os
import random
import re
import ssl
import subprocess
import threading
import time

import s3
from drive import Drive, refused
from proxy import Proxy, call, call_after, edit
from t import SANITIZED, Patience, Skip, case, eq, has, limit, run, wait_for

MIB = 1 << 20
PART = 5 * MIB                          # the least that S3 takes


class Scene:
    """The gateway behind a proxy, a bucket, a file, the driver."""

    def __init__(self, d, size=6 * PART + 4321, parts=2, part_size=PART, store=None, **more):
        self.root, self.g = d.root, s3.rgw()
        self.bucket = self.g.bucket()
        self.p = Proxy(self.g.port)
        self.uri = f"s3://{self.bucket}/a/b"
        self.path, self.back = f"{d.root}/file", f"{d.root}/back"
        self.data = random.Random(size).randbytes(size)
        self.write(self.data)
        self.drive = Drive(d.root, self.g.store(self.p.url, **(store or {})), parts=parts, part_size=part_size,
                           **more)

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        self.p.stop()
        if kind:
            self.drive.kill()
        self.drive.stop()

    def write(self, data):
        with open(self.path, "wb") as f:
            f.write(data)
        self.sha = hashlib.sha256(data).hexdigest()

    def there(self):
        return self.g.get(self.bucket, "a/b")

    def store_it(self, data=None, **headers):
        self.g.put(self.bucket, "a/b", self.data if data is None else data, **headers)

    def upload(self, **more):
        more.setdefault("sha256", self.sha)
        return self.drive.upload(self.uri, self.path, **more)

    def begin_upload(self, **more):
        more.setdefault("sha256", self.sha)
        self.drive.begin("upload", self.uri, file=self.path, **more)

    def download(self, **more):
        return self.drive.do("download", self.uri, file=self.back, **more)

    def is_there(self, r):
        eq(r["end"], "ok", f"upload ({r['error']})")
        assert self.there() == self.data, "what is there is not what was sent"
        eq(self.g.uploads(self.bucket), [], "uploads left behind")

    def is_here(self, r, data=None):
        eq(r["end"], "ok", f"download ({r['error']})")
        data = self.data if data is None else data
        assert open(self.back, "rb").read() == data, "what came is not what is there"
        eq(r["sha256"], hashlib.sha256(data).hexdigest(), "digest")
        eq(r["size"], len(data), "size")

    def parts(self):
        """How often each part was sent."""
        out = {}
        for x in self.p.seen:
            m = re.search("partNumber=([0-9]+)", x.target)
            if x.method == "PUT" and m:
                out[int(m.group(1))] = out.get(int(m.group(1)), 0) + 1
        return out


def does(fn):
    """A fault that is none: fn() is called, and the request goes on."""
    return call(lambda seen: (fn(), None)[1])


def scene(sentence, **more):
    def add(fn):
        def one(d):
            with Scene(d, **more) as s:
                fn(s)
        case(sentence, "stopped")(one)
        return fn
    return add


# --- up and down ----------------------------------------------------------------------------

@scene("a hundred megabytes go up in parts and come down in ranges, each once, in little memory", size=100_000_000,
       parts=4, part_size=8 * MIB)
def _(s):
    s.is_there(s.upload())
    eq(s.parts(), {n: 1 for n in range(1, 13)}, "parts that were sent")
    eq(len(s.p.seen), 15, "requests: Create, 12 parts, Complete, HEAD")
    s.p.seen.clear()
    s.is_here(s.download())
    eq(s.p.count("GET"), 12, "ranges that were fetched")
    assert all(x.headers.get("if-match") for x in s.p.seen if x.method == "GET"), "a range without If-Match"
    eq(sum(x.received for x in s.p.seen), 100_000_000, "bytes that came")
    got = sorted((e["at"], e["n"]) for e in s.drive.events if e.get("event") == "got")
    assert [a for a, _ in got] == [0] + [a + n for a, n in got][:-1] and sum(n for _, n in got) == 100_000_000, got
    with open(f"/proc/{s.drive.proc.pid}/status") as f:
        peak = int(re.search("VmHWM:\\s+([0-9]+) kB", f.read()).group(1))
    if not SANITIZED:
        assert peak < 40 << 10, f"{peak} kB of memory"
    s.drive.say({"do": "totals"})
    t = s.drive.line(limit(10))
    assert t["up_rate"] > 1e6 and t["down_rate"] > 1e6, f"rates are not known: {t}"


@scene("files of no byte, one byte, and a part to the byte are one request and a look", size=0)
def _(s):
    for n in (0, 1, PART):
        s.p.seen.clear()
        s.data = s.data[:0] + b"x" * n
        s.write(s.data)
        s.is_there(s.upload())
        eq([x.method for x in s.p.seen], ["PUT", "HEAD"], f"requests for {n} bytes")
        s.is_here(s.download())


@scene("a file of a part and a byte is two parts", size=PART + 1)
def _(s):
    s.is_there(s.upload())
    eq(s.parts(), {1: 1, 2: 1})
    s.is_here(s.download())


@scene("the digest lies beside the object, and a download without one believes it")
def _(s):
    s.is_there(s.upload())
    head = s.g.request("HEAD", f"/{s.bucket}/a/b")
    eq(head.headers["x-amz-meta-sha256"], s.sha)
    wrong = "0" * 64
    s.store_it(**{"x-amz-meta-sha256": wrong})
    r = s.download()
    refused(r, "damaged")
    has(r["error"], wrong)
    has(r["error"], s.sha)
    s.is_here(s.download(sha256=s.sha))         # what the caller says counts more


@scene("a download with another digest than was asked for is damaged")
def _(s):
    s.store_it()
    refused(s.download(sha256="1" * 64), "damaged")


@scene("checksums that the configuration asks for go with each part, plain", store={"checksum": "crc32c"})
def _(s):
    s.is_there(s.upload())
    for x in s.p.seen:
        m = re.search("partNumber=([0-9]+)", x.target)
        if m and x.method == "PUT":
            n = int(m.group(1)) - 1
            want = base64.b64encode(crc32c(s.data[n * PART:(n + 1) * PART]).to_bytes(4, "big")).decode()
            eq(x.headers["x-amz-checksum-crc32c"], want, f"checksum of part {n + 1}")
    create = next(x for x in s.p.seen if x.target.endswith("?uploads="))
    eq(create.headers["x-amz-checksum-algorithm"], "CRC32C")


@scene("SHA-256 for a checksum is that of each part", store={"checksum": "sha256"})
def _(s):
    s.is_there(s.upload())
    first = next(x for x in s.p.seen if "partNumber=1&" in x.target)
    eq(base64.b64decode(first.headers["x-amz-checksum-sha256"]), hashlib.sha256(s.data[:PART]).digest())


def crc32c(data, table=[]):
    if not table:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
            table.append(i)
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ table[(c ^ b) & 255]
    return c ^ 0xFFFFFFFF


@scene("where ETags mean something, the parts' and the whole's are compared", store={"verify_etag": True})
def _(s):
    s.is_there(s.upload())
    s.p.seen.clear()
    s.p.rule(edit({"ETag": f'"{"0" * 32}"'}), "PUT", "partNumber=3&")
    s.is_there(s.upload())
    eq(s.parts()[3], 2, "times that part 3 was sent")
    s.p.rule(edit({"ETag": f'"{"0" * 32}-7"'}), "HEAD", times=None)
    r = s.upload()
    refused(r, "damaged")
    has(r["error"], "ETag")


# --- after a crash --------------------------------------------------------------------------

def killed_at(s, part):
    """Kill the driver when this part begins; the upload's id."""
    s.p.rule(does(s.drive.kill), "PUT", f"partNumber={part}&")
    s.begin_upload()
    assert s.drive.wait_or_dead() is None, "it was not killed"
    s.p.clear()
    there = [x for x in s.p.seen if x.status == 200 and "partNumber=" in x.target and x.method == "PUT"]
    s.drive.start()
    (ident, size), = s.drive.began
    eq(size, PART, "part size")
    return ident, len(there)


@scene("an upload that kill -9 broke goes on with the parts that are there")
def _(s):
    ident, there = killed_at(s, 5)
    assert there >= 2, f"only {there} parts were there"
    # A request that the store still had when its client died may land later.
    s.p.seen.clear()
    s.is_there(s.upload(upload_id=ident, part_size=PART))
    sent = s.parts()
    assert len(sent) <= 7 - there, f"{there} parts were there, and {sent} were sent"
    eq([x for x in s.p.seen if x.target.endswith("?uploads=")], [], "a new upload")
    s.is_here(s.download())


@case("parts that a store lists on several pages are all found", "stopped")
def _(d):
    part = 200 << 10
    st = s3.Store()
    path, data = f"{d.root}/file", random.Random(5).randbytes(9 * part + 1)
    with open(path, "wb") as f:
        f.write(data)
    with Drive(d.root, st.store("s3://"), parts=1, part_size=part) as dr:
        st.before = lambda seen: dr.kill() if "partNumber=9&" in seen.target else None
        dr.begin("upload", "s3://b/k", file=path)
        assert dr.wait_or_dead() is None, "it was not killed"
        st.before = None
        (ident, size), = dr.began
        wait_for(10, "the store has eight parts", lambda: len(st.uploads[ident].parts) >= 8)
        dr.start()
        st.page = 3
        n = len(st.seen)
        eq(dr.upload("s3://b/k", path, upload_id=ident, part_size=size)["end"], "ok")
        assert st.buckets["b"]["k"].body == data, "what is there is not what was sent"
        sent = [x for x in st.seen[n:] if x.method == "PUT"]
        assert len(sent) <= 2, f"sent again: {sent}"
    st.stop()


@scene("a part that is there with other bytes is sent again, a part of another length too")
def _(s):
    ident, _ = killed_at(s, 5)
    wait_for(10, "the store is done with what the dead client sent",
             lambda: s.g.request("GET", f"/{s.bucket}/a/b", {"uploadId": ident}).text.count("<Part>") >= 2)
    for n, body in ((1, b"z" * PART), (2, s.data[PART:2 * PART - 1])):
        r = s.g.request("PUT", f"/{s.bucket}/a/b", {"partNumber": n, "uploadId": ident}, body=body)
        eq(r.status, 200)
    s.p.seen.clear()
    s.is_there(s.upload(upload_id=ident, part_size=PART))
    eq({n: s.parts().get(n) for n in (1, 2)}, {1: 1, 2: 1}, "times they were sent")


@scene("an upload that was complete when its program died is found to be, and nothing is sent")
def _(s):
    s.p.rule(call_after(lambda seen: s.drive.kill()), "POST", "uploadId=")
    s.begin_upload()
    assert s.drive.wait_or_dead() is None, "it was not killed"
    s.p.clear()
    s.drive.start()
    s.p.seen.clear()
    s.is_there(s.upload(upload_id=s.drive.began[0][0], part_size=PART))
    eq(s.parts(), {}, "parts that were sent")


@scene("an upload that the store does not know any more begins anew")
def _(s):
    ident, _ = killed_at(s, 3)
    eq(s.g.request("DELETE", f"/{s.bucket}/a/b", {"uploadId": ident}).status, 204)
    s.p.seen.clear()
    s.is_there(s.upload(upload_id=ident, part_size=PART))
    eq(s.parts(), {n: 1 for n in range(1, 8)}, "parts that were sent")
    eq(len(s.drive.began), 2, "uploads that were begun")


@scene("an upload that somebody aborts under our hands begins anew")
def _(s):
    def abort():
        ident = s.g.uploads(s.bucket)[0][1]
        s.g.request("DELETE", f"/{s.bucket}/a/b", {"uploadId": ident})
    s.p.rule(does(abort), "PUT", "partNumber=4&")
    eq(s.upload()["end"], "ok")
    assert s.there() == s.data
    eq(s.g.uploads(s.bucket), [], "uploads left behind")


@scene("another object of that name is not taken for our finished upload")
def _(s):
    ident, _ = killed_at(s, 3)
    eq(s.g.request("DELETE", f"/{s.bucket}/a/b", {"uploadId": ident}).status, 204)
    s.store_it(b"another")
    s.is_there(s.upload(upload_id=ident, part_size=PART))


# --- our side ---------------------------------------------------------------------------------

@scene("a file that changes under an upload ends it with a sentence, and makes no object")
def _(s):
    s.p.rule(does(lambda: open(s.path, "r+b").write(b"other")), "PUT", "partNumber=3&")
    r = s.upload()
    refused(r, "local")
    has(r["error"], "changed")
    eq(s.there(), None, "an object of two files")


@scene("a file that becomes shorter under an upload ends it with a sentence")
def _(s):
    s.p.rule(does(lambda: os.truncate(s.path, 1000)), "PUT", "partNumber=2&")
    refused(s.upload(), "local")
    eq(s.there(), None)


@scene("an upload that cannot be recorded is given up, and its upload aborted")
def _(s):
    r = s.upload(began=False)
    refused(r, "local")
    eq(s.g.uploads(s.bucket), [], "uploads left behind")
    eq(s.parts(), {}, "parts that were sent")


@scene("a held upload begins no more parts, and goes on when it may")
def _(s):
    s.p.rate = 10e6
    s.begin_upload()
    wait_for(20, "parts are on the wire", lambda: s.p.count("PUT", "partNumber=") >= 2)
    s.drive.say({"id": s.drive.current, "do": "hold"})
    wait_for(20, "what was under way has ended", lambda: all(x.status for x in list(s.p.seen)))
    time.sleep(0.5)
    n = len(s.p.seen)
    wait_for(20, "what was under way has ended", lambda: all(x.status for x in list(s.p.seen)))
    assert n < 7, f"{n} requests for a held upload"
    time.sleep(0.3)
    eq(len(s.p.seen), n, "requests while it was held")
    s.p.rate = None
    s.drive.say({"id": s.drive.current, "do": "go"})
    s.is_there(s.drive.wait())
    eq(s.parts(), {n: 1 for n in range(1, 8)}, "parts that were sent")


@scene("progress grows from nothing to all, and a cancelled upload says no more")
def _(s):
    s.p.rate = 20e6
    s.begin_upload()
    ident, last = s.drive.current, 0
    end = Patience(30)
    while last < len(s.data) // 2:
        assert not end.spent(), "it does not move"
        s.drive.say({"id": ident, "do": "moved"})
        v = s.drive.line(limit(10))
        if v.get("event") == "moved":
            eq(v["total"], len(s.data))
            assert last <= v["done"] <= v["total"], f"from {last} to {v['done']}"
            last = v["done"]
        time.sleep(0.02)
    s.drive.say({"id": ident, "do": "cancel"})
    while s.drive.line(limit(10)).get("event") != "cancelled":
        pass
    s.p.rate = None
    r = s.drive.head(s.uri)
    eq(r["end"], "missing")


# --- downloads --------------------------------------------------------------------------------

@scene("ranges that an earlier download got are not fetched again, and are hashed")
def _(s):
    s.store_it()
    etag = s.drive.head(s.uri)["etag"]
    have = [[0, PART], [3 * PART, 100], [4 * PART, 2 * PART]]
    with open(s.back, "wb") as f:
        for at, n in have:
            f.seek(at)
            f.write(s.data[at:at + n])
    s.is_here(s.download(etag=etag, have=have))
    eq(sum(x.received for x in s.p.seen), len(s.data) - sum(n for _, n in have), "bytes that came")
    with open(s.back, "r+b") as f:
        f.seek(77)
        f.write(b"\0\0\0")
    refused(s.download(etag=etag, have=[[0, len(s.data)]], sha256=s.sha), "damaged")
    # Of another object they are worth nothing.
    s.is_here(s.download(etag="0" * 32, have=[[0, len(s.data)]]))


@scene("a download that kill -9 broke goes on with the ranges that it was told of")
def _(s):
    s.store_it()
    s.p.rule(does(s.drive.kill), "GET", skip=4)
    s.drive.begin("download", s.uri, file=s.back)
    assert s.drive.wait_or_dead() is None, "it was not killed"
    s.p.clear()
    had = [e for e in s.drive.events if e.get("event") == "got"]
    etag = next(e["etag"] for e in s.drive.events if e.get("event") == "sized")
    s.drive.start()
    s.p.seen.clear()
    s.is_here(s.download(etag=etag, have=[[e["at"], e["n"]] for e in had]))
    eq(sum(x.received for x in s.p.seen), len(s.data) - sum(e["n"] for e in had), "bytes that came")


@scene("an object that is replaced during its download is another one, and said to be")
def _(s):
    s.store_it()
    other = s.data[:-1] + b"!"
    r = s.p.rule(does(lambda: s.store_it(other)), "GET", skip=3)
    refused(s.download(), "changed")
    eq(r.hits, 1)
    s.is_here(s.download(), other)


@scene("an object that is deleted during its download is missing")
def _(s):
    s.store_it()
    s.p.rule(does(lambda: s.g.request("DELETE", f"/{s.bucket}/a/b")), "GET", skip=3)
    refused(s.download(), "missing", "changed")


@scene("an object that is too long, or has no room, is refused before its first byte")
def _(s):
    s.store_it()
    r = s.download(max=len(s.data) - 1)
    refused(r, "refused")
    has(r["error"], "MiB")
    r = s.download(room=False)
    refused(r, "local")
    eq(r["err"], "no space left")
    eq(s.p.count("GET"), 0, "requests for bytes")
    eq(os.path.getsize(s.back), 0)
    s.is_here(s.download(max=len(s.data)))


@scene("a file that was longer than the object ends with the object")
def _(s):
    s.store_it()
    with open(s.back, "wb") as f:
        f.write(b"x" * (len(s.data) + 1000))
    s.is_here(s.download())


@scene("a disk that is full ends a download with that, and nothing else is harmed")
def _(s):
    disk = f"{s.root}/disk"
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode:
        raise Skip("a small disk cannot be mounted here")
    try:
        s.store_it()
        r = s.drive.do("download", s.uri, file=f"{disk}/back")
        refused(r, "local")
        eq(r["err"], "no space left")
        s.is_here(s.download())
    finally:
        subprocess.run(["umount", "-l", disk])


@scene("a held download fetches no more ranges, a cancelled one says no more")
def _(s):
    s.store_it()
    s.p.rate = 10e6
    s.drive.begin("download", s.uri, file=s.back)
    wait_for(20, "ranges are on the wire", lambda: s.p.count("GET") >= 2)
    s.drive.say({"id": s.drive.current, "do": "hold"})
    time.sleep(0.2)
    s.p.rate = None                     # nothing but the hold keeps it back
    n = s.p.count("GET")
    assert n <= 4, f"{n} ranges of a held download"
    wait_for(20, "they have come", lambda: sum(x.received for x in list(s.p.seen)) >= n * PART)
    time.sleep(0.5)
    eq(s.p.count("GET"), n, "ranges while it was held")
    s.drive.say({"id": s.drive.current, "do": "go"})
    s.is_here(s.drive.wait())
    s.p.rate = 10e6
    s.drive.begin("download", s.uri, file=s.back)
    wait_for(20, "it is under way", lambda: s.p.count("GET") > 8)
    s.drive.say({"id": s.drive.current, "do": "cancel"})
    while s.drive.line(limit(10)).get("event") != "cancelled":
        pass
    s.p.rate = None
    eq(s.drive.head(s.uri)["end"], "ok")


# --- https:// ---------------------------------------------------------------------------------

class Web:
    """A TLS server with one page, and habits: no HEAD, no ranges, no length."""

    def __init__(self, root, data):
        self.data, self.seen, self.etag = data, [], '"v1"'
        self.head = self.ranges = self.length = True
        ca = s3.certificate(root)
        web = self

        class Page(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                web.seen.append((self.command, self.path, self.headers.get("Range")))
                web.answer(self)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.daemon_threads = True
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(ca, ca[:-4] + ".key")
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.entry = {"match": self.url + "/", "ca_file": ca}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, h):
        body = self.data
        m = re.fullmatch("/hop([0-9]*)", h.path)
        if m:
            n = int(m.group(1))
            return self.say(h, 302, b"", Location=f"/hop{n - 1}" if n > 1 else f"{self.url}/page?a=%20b")
        if h.path == "/plain":
            return self.say(h, 302, b"", Location=f"http://127.0.0.1:{self.port}/page")
        if not h.path.startswith("/page"):
            return self.say(h, 404, b"no")
        if h.command == "HEAD" and not self.head:
            return self.say(h, 405, b"")
        r = re.fullmatch("bytes=([0-9]+)-([0-9]+)", h.headers.get("Range") or "")
        if r and self.ranges:
            a, b = int(r.group(1)), min(int(r.group(2)), len(body) - 1)
            if a >= len(body):
                return self.say(h, 416, b"", **{"Content-Range": f"bytes */{len(body)}"})
            return self.say(h, 206, body[a:b + 1], ETag=self.etag, **{"Content-Range": f"bytes {a}-{b}/{len(body)}"})
        return self.say(h, 200, body, ETag=self.etag)

    def say(self, h, status, body, **headers):
        h.send_response(status)
        for k, v in headers.items():
            if v is not None:
                h.send_header(k, v)
        if self.length:
            h.send_header("Content-Length", str(len(body)))
        elif h.command != "HEAD":
            h.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 65536]), body[i:i + 65536])
                            for i in range(0, len(body), 65536)) + b"0\r\n\r\n"
        h.end_headers()
        if h.command != "HEAD":
            try:
                h.wfile.write(body)
            except OSError:
                pass

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def web(sentence, size=3 * MIB + 17):
    def add(fn):
        def one(d):
            w = Web(d.root, random.Random(3).randbytes(size))
            try:
                with Drive(d.root, w.entry, parts=3, part_size=MIB) as dr:
                    def get(path, **more):
                        return dr.do("download", w.url + path, file=f"{d.root}/back", **more)

                    def is_here(r):
                        eq(r["end"], "ok", f"download ({r['error']})")
                        assert open(f"{d.root}/back", "rb").read() == w.data, "what came is not what is there"
                        eq(r["sha256"], hashlib.sha256(w.data).hexdigest())
                    fn(w, get, is_here)
            finally:
                w.stop()
        case(sentence, "stopped")(one)
        return fn
    return add


@web("https: a page comes in ranges, with the digest of its address")
def _(w, get, is_here):
    is_here(get("/page"))
    eq(sorted(r for _, _, r in w.seen if r), ["bytes=0-1048575", "bytes=1048576-2097151", "bytes=2097152-3145727",
                                              "bytes=3145728-3145744"])
    is_here(get("/page#sha256=" + hashlib.sha256(w.data).hexdigest()))
    refused(get("/page#sha256=" + "0" * 64), "damaged")
    refused(get("/none"), "missing")


@web("https: redirects are followed, ten of them, and not to plain http")
def _(w, get, is_here):
    is_here(get("/hop10"))
    has([p for _, p, _ in w.seen], "/page?a=%20b")
    refused(get("/hop11"), "refused")
    refused(get("/plain"), "refused")
    refused(get("/hop2#sha256=" + "0" * 64), "damaged")


@web("https: servers without HEAD, without ranges, without a length")
def _(w, get, is_here):
    for head in (True, False):
        for ranges in (True, False):
            for length in (True, False):
                w.head, w.ranges, w.length = head, ranges, length
                is_here(get("/page"))


@web("https: an ETag that is weak, or none, is no reason to fail")
def _(w, get, is_here):
    w.etag = 'W/"v1"'
    is_here(get("/page"))
    w.etag = None
    is_here(get("/page"))


@web("https: an empty page is an empty file", size=0)
def _(w, get, is_here):
    for head in (True, False):
        for ranges in (True, False):
            w.head, w.ranges = head, ranges
            is_here(get("/page"))


@web("https: a page that grows beyond what was allowed is refused")
def _(w, get, is_here):
    refused(get("/page", max=1000), "refused")
    w.head = w.ranges = w.length = False
    refused(get("/page", max=1000), "refused")


@web("https: a page that is another one in the middle is no mixture", size=8 * MIB)
def _(w, get, is_here):
    answer = w.answer

    def change(h):
        if h.headers.get("Range", "").startswith("bytes=4194304-"):
            w.data, w.etag = b"y" * len(w.data), '"v2"'
        answer(h)
    w.answer = change
    refused(get("/page"), "changed")


run()
