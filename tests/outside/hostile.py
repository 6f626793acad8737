#!/usr/bin/env python3
"""Servers that lie, on a wire of their own: each test says byte for byte what
comes back.  None may keep us busy for ever, have us believe half of an
object, or learn what is not its own."""
import re
import socket
import threading

from drive import Drive, refused
from t import case, eq, has, run


class Wire:
    """fn(method, target, head, body) -> bytes to send, or None: not a word.
    Behind `close` in what it returns the connection ends."""
    CLOSE = object()

    def __init__(self, fn):
        self.fn, self.asked, self.over = fn, [], False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def store(self, **more):
        return dict({"match": "s3://", "endpoint": self.url, "region": "r", "access_key_id": "ID",
                     "secret_access_key": "SECRET"}, **more)

    def accept(self):
        while not self.over:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = c.recv(65536)
                    if not more:
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                head = head.decode("latin-1")
                method, target = head.split(" ")[:2]
                m = re.search(r"\r\ncontent-length: *(\d+)", head, re.I)
                n = int(m.group(1)) if m else 0
                while len(data) < n:
                    data += c.recv(65536)
                body, data = data[:n], data[n:]
                self.asked.append((method, target))
                for piece in self.fn(method, target, head, body):
                    if piece is Wire.CLOSE:
                        return
                    c.sendall(piece)
        except OSError:
            pass
        finally:
            c.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.over = True
        self.listener.close()


def says(status, body=b"", **headers):
    head = f"HTTP/1.1 {status} X\r\n"
    for k, v in {"Content_Length": len(body), **headers}.items():
        if v is not None:
            head += f"{k.replace('_', '-')}: {v}\r\n"
    return head.encode() + b"\r\n" + body


def ranged(head):
    m = re.search(r"\r\nrange: bytes=(\d+)-(\d+)", head, re.I)
    return (int(m.group(1)), int(m.group(2))) if m else None


@case("a put if absent whose answer was lost on a kept connection knows its own object", "stopped")
def _(d):
    there = {}

    def store(method, target, head, body):
        if method == "PUT":
            if "if-none-match" in head.lower() and target in there:
                return [says(412, b"<Error><Code>PreconditionFailed</Code></Error>")]
            there[target] = body
            return [Wire.CLOSE]         # it is stored, and not a word
        if target in there:
            return [says(200, there[target], ETag='"e"')]
        return [says(404, b"<Error><Code>NoSuchKey</Code></Error>")]
    with Wire(store) as w, Drive(d.root, w.store()) as dr:
        for i in range(20):
            refused(dr.get("s3://b/none"), "missing")           # the connection is kept
            r = dr.put(f"s3://b/k{i}", b"ours", if_absent=True)
            eq(r["end"], "ok", f"round {i}: {r['error']}")
        there["/b/other"] = b"theirs"
        refused(dr.put("s3://b/other", b"ours", if_absent=True), "exists")
        there["/b/same"] = b"ours"
        refused(dr.put("s3://b/same", b"ours", if_absent=True), "exists")


@case("a download whose every answer breaks behind its last byte ends", "stopped")
def _(d):
    data = b"0123456789" * 100

    def store(method, target, head, body):
        if method == "HEAD":
            return [says(200, Content_Length=len(data), ETag='"e"')]
        a, b = ranged(head)
        return [says(206, data[a:b + 1], Content_Length=b + 1 - a + 100, ETag='"e"',
                     Content_Range=f"bytes {a}-{b}/{len(data)}"), Wire.CLOSE]
    with Wire(store) as w, Drive(d.root, w.store()) as dr:
        dr.begin("download", "s3://b/k", file=f"{d.root}/back", tries=3)
        eq(dr.wait(20)["end"], "ok")
        assert open(f"{d.root}/back", "rb").read() == data
        eq(len(w.asked), 4)


@case("a part of an object is not taken for the whole", "stopped")
def _(d):
    def store(method, target, head, body):
        return [says(206, b"half of", ETag='"e"', Content_Range="bytes 0-6/14")]
    with Wire(store) as w, Drive(d.root, w.store()) as dr:
        refused(dr.get("s3://b/k"), "refused")


@case("headers without end, and words that all is well without end, are left", "stopped")
def _(d):
    def lines():
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"x" * 1000 + b"\r\n"

    def colons():
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"x: " + b"y" * 1000 + b"\r\n"

    def early():
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n"

    def hints():
        while True:
            yield b"HTTP/1.1 103 Early\r\nLink: " + b"y" * 1000 + b"\r\n\r\n"

    def trailers():
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        while True:
            yield b"x: " + b"y" * 1000 + b"\r\n"

    def chunks():
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"1;" + b"y" * 1000 + b"\r\nx\r\n"
    kinds = {"/b/" + f.__name__: f for f in (lines, colons, early, hints, trailers, chunks)}
    with Wire(lambda m, t, h, b: kinds[t]()) as w, Drive(d.root, w.store(), stall_ms=1000) as dr:
        for k in kinds:
            dr.begin("get", "s3:/" + k, tries=1)
            refused(dr.wait(20), "unavailable", "refused")


@case("a plain address that is refused, or tried again, is shown without its secret", "stopped")
def _(d):
    def site(method, target, head, body):
        if target.startswith("/down"):
            return [says(503)]
        return [says(200, b"" if method == "HEAD" else b"x" * 1000, Content_Length=1000)]
    with Wire(site) as w, Drive(d.root, w.store(), log="debug") as dr:
        r = dr.get(f"{w.url}/long?sig=TOPSECRET", max=10)
        refused(r, "refused")
        said = r["error"] + dr.get(f"{w.url}/down?sig=TOPSECRET", tries=2)["error"]
        r = dr.download(f"{w.url}/whole?sig=TOPSECRET", f"{d.root}/back")
        eq(r["end"], "ok", r["error"])
        said += dr.said()
        has(said, "answers without ranges")
        has(said, "again in")
        assert "TOPSECRET" not in said, said


run()
