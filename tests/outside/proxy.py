"""A proxy between a client and a store, that does what networks and stores do
on bad days.  Not a test itself.

    p = Proxy(g.port)           # http on p.port, p.url, to 127.0.0.1:g.port
    p.rule(fault, method="PUT", match="partNumber=2", times=1, skip=0)
                                # for the requests whose target (path and
                                # query) has `match`, a regular expression;
                                # times: how many, None: all; skip: let so
                                # many pass first.  A request meets one rule:
                                # the first that is not used up.  Returns the
                                # rule; rule.hits
    p.clear()                   # no rules, partition healed, no rate
Faults:
    cut_up(n) cut_down(n)       # close both sides after n bytes of the body
                                # of the request; of the answer
    stall_up(n) stall_down(n)   # not a byte more, until p.clear() or stop()
    flip_up(n) flip_down(n)     # the byte at n of the body gets another value
    answer(503, code="SlowDown", headers={})    # without asking the store
    answer(200, body=b"<Error>..")
    after(answer(...))          # the store is asked, and its answer thrown
                                # away: what was asked for has happened
    drop()                      # the store is asked, its answer never comes
    edit({"ETag": '"x"', "Content-Length": "7"})    # the answer's headers;
                                # None removes one
    delay(seconds)
    call(fn)                    # fn(seen) when the request's head is here;
                                # what it returns is a fault or None
    call_after(fn)              # the same, when the store has answered
Also:
    p.seen                      # a list of Seen: method target headers
                                # status sent received (bytes of the bodies)
    p.count("PUT", "partNumber=")       # how many were seen
    p.partition("refuse")       # connections are closed at once; "hang":
                                # they are accepted, and silent
    p.heal()
    p.rate = 10e6               # bytes a second, all connections together
    p.stop()
"""
import re
import select
import socket
import threading
import time


class Seen:
    """A request that came by.  status: 0 until the answer's head was there."""

    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.status = self.sent = self.received = 0
        self.answer = {}        # the answer's headers
        self.at = time.monotonic()

    def __repr__(self):
        return f"{self.method} {self.target} -> {self.status}"


class Fault:
    def __init__(self, kind, **k):
        self.kind, self.__dict__ = kind, dict(k, kind=kind)


def cut_up(n): return Fault("cut", way="up", at=n)                      # noqa: E704
def cut_down(n): return Fault("cut", way="down", at=n)                  # noqa: E704
def stall_up(n): return Fault("stall", way="up", at=n)                  # noqa: E704
def stall_down(n): return Fault("stall", way="down", at=n)              # noqa: E704
def flip_up(n): return Fault("flip", way="up", at=n)                    # noqa: E704
def flip_down(n): return Fault("flip", way="down", at=n)                # noqa: E704
def after(f): return Fault("after", then=f)                             # noqa: E704
def drop(): return Fault("drop")                                        # noqa: E704
def edit(headers): return Fault("edit", headers=headers)                # noqa: E704
def delay(seconds): return Fault("delay", seconds=seconds)              # noqa: E704
def call(fn): return Fault("call", fn=fn)                               # noqa: E704
def call_after(fn): return Fault("call_after", fn=fn)                   # noqa: E704


def answer(status, code=None, headers=None, body=None, message="as the test wants it"):
    if body is None:
        body = b""
        if code:
            body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
                    "<RequestId>0123456789ABCDEF</RequestId></Error>").encode()
    return Fault("answer", status=status, headers=headers or {}, body=body)


class Rule:
    def __init__(self, fault, method, match, times, skip):
        self.fault, self.method, self.match = fault, method, re.compile(match)
        self.times, self.skip, self.hits = times, skip, 0

    def fits(self, seen):
        """Counts: to be asked once for each request, under the lock."""
        if self.method and seen.method != self.method or not self.match.search(seen.target):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Gone(Exception):
    pass


class Proxy:
    def __init__(self, to, host="127.0.0.1"):
        self.to = (host, to)
        self.lock = threading.Lock()
        self.rules, self.seen, self.mode, self.rate = [], [], None, None
        self.pairs, self.down = set(), False
        self.epoch = 0          # of the silence: a new one ends it
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.free = 0.0         # when the line is free again, under a rate
        threading.Thread(target=self.listen, daemon=True).start()

    # -- for tests

    def rule(self, fault, method=None, match="", times=1, skip=0):
        r = Rule(fault, method, match, times, skip)
        with self.lock:
            self.rules.append(r)
        return r

    def clear(self):
        with self.lock:
            self.rules, self.rate = [], None
        self.heal()

    def count(self, method=None, match="", status=None):
        with self.lock:
            return sum(1 for s in self.seen if (not method or s.method == method) and re.search(match, s.target) and
                       (status is None or s.status == status))

    def partition(self, mode="refuse"):
        self.mode = mode
        if mode == "refuse":
            self.cut_all()

    def heal(self):
        """What was silent is closed, so that nothing of it arrives later."""
        self.mode = None
        self.epoch += 1

    def cut_all(self):
        with self.lock:
            pairs = list(self.pairs)
        for s in pairs:
            close(s)

    def stop(self):
        self.down = True
        self.epoch += 1
        close(self.sock)
        self.cut_all()

    # -- threads

    def listen(self):
        while not self.down:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            if self.mode == "refuse":
                close(c)
                continue
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, client):
        store = None
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.pairs.add(client)
        try:
            self.silence()
            store = socket.create_connection(self.to, timeout=30)
            store.settimeout(None)
            store.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.add(store)
            rest = b""
            while True:
                head, rest = self.head(client, rest)
                rest = self.exchange(client, store, head, rest)
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.pairs -= {client, store}
            close(client)
            close(store)

    def silence(self):
        """Held here while the network is silent; what was held is then closed."""
        if self.mode == "hang":
            self.hang()

    def hang(self):
        epoch = self.epoch
        while self.epoch == epoch and not self.down:
            time.sleep(0.02)
        raise Gone

    def head(self, s, rest):
        while b"\r\n\r\n" not in rest:
            got = s.recv(65536)
            if not got:
                raise Gone
            rest += got
            if len(rest) > 1 << 20:
                raise Gone
        head, rest = rest.split(b"\r\n\r\n", 1)
        return head, rest

    def exchange(self, client, store, head, rest):
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, v in (x.split(":", 1) for x in lines)}
        seen = Seen(method, target, headers)
        with self.lock:
            self.seen.append(seen)
            faults = [r.fault for r in [next((r for r in self.rules if r.fits(seen)), None)] if r]
        for f in list(faults):
            if f.kind == "call":
                more = f.fn(seen)
                if more:
                    faults.append(more)
            elif f.kind == "delay":
                time.sleep(f.seconds)
        self.silence()
        for f in faults:
            if f.kind == "answer":
                return self.say(client, seen, f, len(rest))
        store.sendall(head + b"\r\n\r\n")
        return Exchange(self, client, store, seen, faults).run(rest)

    def say(self, client, seen, f, had):
        """Answer in the store's place; what is left of the request's body is
        read, unless the client waits with it."""
        seen.status = f.status
        left = int(seen.headers.get("content-length", 0)) - had
        expects = left > 0 and "expect" in seen.headers
        while left > 0 and not expects:
            got = client.recv(min(left, 1 << 18))
            if not got:
                raise Gone
            left -= len(got)
        out = f"HTTP/1.1 {f.status} {'OK' if f.status < 300 else 'No'}\r\n"
        h = {"Content-Length": str(len(f.body)), "Content-Type": "application/xml", **f.headers}
        if expects:
            h["Connection"] = "close"
        out += "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "\r\n"
        client.sendall(out.encode() + (f.body if seen.method != "HEAD" else b""))
        if expects:
            drain(client)
            raise Gone
        return b""

    def pace(self, n):
        rate = self.rate
        if not rate:
            return
        with self.lock:
            now = time.monotonic()
            self.free = max(self.free, now - 0.02) + n / rate
            wait = self.free - now
        if wait > 0:
            time.sleep(wait)


class Exchange:
    """One request and its answer, body bytes going both ways."""

    def __init__(self, proxy, client, store, seen, faults):
        self.p, self.client, self.store, self.seen, self.faults = proxy, client, store, seen, faults
        self.left = int(seen.headers.get("content-length", 0))

    def run(self, rest):
        """What came behind the request, of the next one."""
        extra = rest[self.left:]
        self.up(rest[:self.left])
        answer = b""
        while True:
            ready, _, _ = select.select([self.store] + ([self.client] if self.left or not answer else []), [], [])
            self.p.silence()
            if self.client in ready:
                got = self.client.recv(min(1 << 18, self.left) if self.left else 1 << 16)
                if not got:
                    raise Gone
                if self.left:
                    self.up(got)
                else:
                    extra += got
            if self.store in ready:
                got = self.store.recv(1 << 18)
                if not got:
                    raise Gone
                answer += got
                while b"\r\n\r\n" in answer:
                    head, body = answer.split(b"\r\n\r\n", 1)
                    status = int(head.split(b" ", 2)[1])
                    if status != 100:
                        self.answered(status, head, body)
                        if self.left:
                            raise Gone  # an early no: the body is not wanted
                        return extra
                    self.client.sendall(head + b"\r\n\r\n")
                    answer = body

    def up(self, data):
        if not data:
            return
        data = self.through("up", self.seen.sent, data, self.store)
        self.store.sendall(data)
        self.seen.sent += len(data)
        self.left -= len(data)

    def through(self, way, at, data, to):
        """The bytes at `at` after this direction's faults."""
        self.p.pace(len(data))
        for f in self.faults:
            if getattr(f, "way", None) != way or not at <= f.at < at + len(data):
                continue
            i = f.at - at
            if f.kind == "flip":
                data = data[:i] + bytes([data[i] ^ 0x20]) + data[i + 1:]
            else:
                to.sendall(data[:i])
                if f.kind == "stall":
                    self.p.hang()
                raise Gone
        return data

    def answered(self, status, head, body):
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:])}
        self.seen.status, self.seen.answer = status, headers
        none = self.seen.method == "HEAD" or status in (204, 304)
        length = 0 if none else int(headers["content-length"]) if "content-length" in headers else None
        for f in self.faults:
            more = f.fn(self.seen) if f.kind == "call_after" else f.then if f.kind == "after" else None
            if f.kind == "drop" or more and more.kind == "drop":
                raise Gone
            if more:
                self.rest(length, body)
                self.p.say(self.client, self.seen, more, self.seen.sent)
                return
            if f.kind == "edit":
                lines = edited(lines, f.headers)
        self.client.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "") and not none:
            self.chunked(body)
        else:
            self.down(length, body)

    def rest(self, length, body):
        while length is not None and len(body) < length:
            got = self.store.recv(1 << 18)
            if not got:
                raise Gone
            body += got

    def down(self, length, body):
        done = 0
        while True:
            if body:
                body = self.through("down", done, body, self.client)
                self.client.sendall(body)
                done += len(body)
                self.seen.received = done
            if length is not None and done >= length:
                return
            body = self.store.recv(1 << 18)
            self.p.silence()
            if not body:
                raise Gone

    def chunked(self, body):
        """As it comes, until the last chunk."""
        tail = b""
        while True:
            self.client.sendall(body)
            self.seen.received += len(body)
            tail = (tail + body)[-7:]
            if tail == b"\r\n0\r\n\r\n" or tail.endswith(b"0\r\n\r\n") and len(tail) == 5:
                return
            body = self.store.recv(1 << 18)
            if not body:
                raise Gone


def edited(lines, headers):
    out = [x for x in lines[1:] if x.split(":", 1)[0].strip().lower() not in {k.lower() for k in headers}]
    return lines[:1] + out + [f"{k}: {v}" for k, v in headers.items() if v is not None]


def close(s):
    if s is None:
        return
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()


def drain(s):
    """Let the answer arrive before the connection is reset."""
    try:
        s.shutdown(socket.SHUT_WR)
        s.settimeout(1)
        while s.recv(1 << 18):
            pass
    except OSError:
        pass
