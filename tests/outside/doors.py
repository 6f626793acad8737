#!/usr/bin/env python3
"""The doors of the daemon: its sockets, few descriptors, many clients."""
import os
import resource
import signal
import socket
import subprocess
import time

from t import BUILD, SLOW, Daemon, case, eq, has, run, tiny, wait_for

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLIENTS = {
    "say nothing": b"",
    "stop in the middle of a request": b"GET /heal",
    "keep their connection": GET,
    "send half a body": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        b"Content-Length: 100000\r\n\r\n" + b"x" * 1000,
    "speak nonsense": b"x" * 100000,
    "follow": b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
}


def local(path, timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout * SLOW)
    s.connect(path)
    return s


def answers(path):
    try:
        s = local(path)
        s.sendall(GET)
        return b"200" in s.recv(100)
    except OSError:
        return False


def crowd(d, n, say, unix=False):
    out = []
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        s.settimeout(0.2)
        try:
            s.connect(f"{d.root}/sock" if unix else (d.host, d.port))
            s.send(say.replace(b"localhost", f"127.0.0.1:{d.port}".encode()))
        except OSError:
            pass
        out.append(s)
    return out


def fds(d):
    return len(os.listdir(f"/proc/{d.proc.pid}/fd"))


def ticks(d):
    with open(f"/proc/{d.proc.pid}/stat") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))


def few(n):
    return ("prlimit", f"--nofile={n}:{n}")


@case("with 64 descriptors the daemon trains, serves, and is back at once when its clients have gone", "stopped")
def _(d):
    d.start(prefix=few(64))
    has(d.log(), "at most 64 files may be open")
    for unix in (False, True):
        for what, say in CLIENTS.items():
            c = crowd(d, 150, say, unix)
            time.sleep(0.2)
            assert fds(d) <= 56, f"{fds(d)} descriptors with 150 clients that {what}"
            at = ticks(d)
            time.sleep(0.3)
            assert ticks(d) - at < 20, f"it spins with 150 clients that {what}"
            # The other door is not shut.
            if unix:
                eq(d.call("GET", "/healthz").status, 200)
            else:
                assert answers(f"{d.root}/sock")
            for s in c:
                s.close()
            t0 = time.time()
            eq(d.call("GET", "/healthz", timeout=10).status, 200)
            assert time.time() - t0 < 4 * SLOW, f"deaf for {time.time() - t0:.1f} s after clients that {what}"
    # Room for what clients must not take: a trainer, its checkpoints, its end.
    c = crowd(d, 150, GET)
    i = d.submit(tiny(d))
    for s in c:
        s.close()
    d.wait_state(i, "succeeded")


@case("clients that followed and have gone make room for others within seconds", "stopped")
def _(d):
    for unix in (False, True):
        d.start(prefix=few(64))
        c = crowd(d, 6, CLIENTS["follow"], unix)
        for s in c:
            s.settimeout(10)
            has(s.recv(100).decode(), "200")
        eq(d.call("GET", "/v1/events", headers={"Accept": "text/event-stream"}).status, 503)
        # Done with writing is not gone.
        c[0].shutdown(socket.SHUT_WR)
        time.sleep(2.5)
        for s in c[1:]:
            s.close()

        def follows():
            s = crowd(d, 1, CLIENTS["follow"])[0]
            s.settimeout(5)
            got = s.recv(100)
            s.close()
            return b" 200 " in got
        wait_for(6, "a new one may follow", follows)
        d.submit(tiny(d, epochs=1))
        time.sleep(0.2)
        has(c[0].recv(100000).decode(), "data:" if not unix else "")
        c[0].close()
        eq(d.stop(), 0)


@case("more clients than connections wait for their turn, and 1,300 at a time do no harm", "stopped")
def _(d):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    d.start(prefix=few(1024))
    c = crowd(d, 1300, GET[:20])
    assert answers(f"{d.root}/sock")
    wait_for(10, "it has as many as it may", lambda: fds(d) > 500)
    for s in c:
        s.close()
    t0 = time.time()
    eq(d.call("GET", "/healthz", timeout=10).status, 200)
    assert time.time() - t0 < 4 * SLOW
    wait_for(10, "the descriptors are free again", lambda: fds(d) < 60)


@case("fewer descriptors than anything works with are refused with a sentence", "stopped")
def _(d):
    p = subprocess.run([*few(40), f"{BUILD}/rekindled", "--state-dir", d.state, "--listen", "127.0.0.1:0"],
                       capture_output=True, text=True, timeout=30 * SLOW)
    eq(p.returncode, 1)
    has(p.stderr, "at most 40 files may be open (ulimit -n, LimitNOFILE=): want 64 or more")


@case("a soft limit is raised to the hard one", "stopped")
def _(d):
    d.start(prefix=("prlimit", "--nofile=64:4096"))
    with open(f"/proc/{d.proc.pid}/limits") as f:
        soft = [x.split()[3] for x in f if x.startswith("Max open files")][0]
    assert 2500 < int(soft) <= 4096, soft
    assert "may be open" not in d.log(), d.log()


# --- the Unix socket -------------------------------------------------------------


def another(d, name, path=None):
    os.makedirs(f"{d.root}/{name}", exist_ok=True)
    e = Daemon(f"{d.root}/{name}")
    e.path = path or f"{d.root}/sock"
    return e


def begin(e, *flags):
    """Start a daemon that may be refused; its process."""
    return subprocess.Popen([f"{BUILD}/rekindled", "--state-dir", e.state, "--listen", "127.0.0.1:0", "--socket", e.path,
                             "--trainer", f"{BUILD}/rekindle-train", *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(p):
    out, err = p.communicate(timeout=30 * SLOW)
    eq(p.returncode, 6, f"exit code ({err[-300:]})")
    return err


@case("a socket left by kill -9 is replaced, and that of a daemon that lives is not, be it stopped or full")
def _(d):
    d.kill()
    assert os.path.exists(f"{d.root}/sock")
    d.start()
    has(refused(begin(another(d, "e"))), "somebody listens on")
    os.kill(d.proc.pid, signal.SIGSTOP)
    full = []
    try:
        while True:             # until its queue is full
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            full.append(s)
            s.connect(f"{d.root}/sock")
    except OSError:
        pass
    has(refused(begin(another(d, "e"))), "somebody listens on")
    os.kill(d.proc.pid, signal.SIGCONT)
    for s in full:
        s.close()
    wait_for(20, "it is answered again", lambda: answers(f"{d.root}/sock"))
    eq(d.stop(), 0)
    assert not os.path.exists(f"{d.root}/sock")


@case("a daemon that ends leaves the socket that another has bound since at its path")
def _(d):
    os.unlink(f"{d.root}/sock")
    f = another(d, "f")
    p = begin(f)
    try:
        p.stdout.readline()
        eq(d.stop(), 0)
        assert answers(f"{d.root}/sock"), "the end of the first daemon removed the second one's socket"
        p.terminate()
        eq(p.wait(30 * SLOW), 0)
        assert not os.path.exists(f"{d.root}/sock")
    finally:
        p.kill()
        p.communicate()


@case("a file that is no socket is not replaced, nor removed at the end", "stopped")
def _(d):
    with open(f"{d.root}/sock", "w") as f:
        f.write("mine")
    has(refused(begin(another(d, "e"))), "is there and is no socket")
    os.unlink(f"{d.root}/sock")
    d.start()
    os.unlink(f"{d.root}/sock")
    with open(f"{d.root}/sock", "w") as f:
        f.write("mine")
    eq(d.stop(), 0)
    eq(open(f"{d.root}/sock").read(), "mine")


@case("of daemons that begin and end on one path at a time, the one that lives can be reached", "stopped")
def _(d):
    for n in range(8):
        all_of = [begin(another(d, f"r{k}")) for k in range(3)]
        try:
            # Whoever was refused ends; whoever was not can be reached.
            lines = [p.stdout.readline() for p in all_of]
            live = [p for p, x in zip(all_of, lines) if x]
            eq(len(live), 1, "daemons that have the socket")
            assert answers(f"{d.root}/sock"), f"round {n}: nobody answers"
            if n % 2:
                live[0].kill()  # leaves its socket
            else:
                live[0].terminate()
            nxt = another(d, f"n{n}")
            p = begin(nxt)
            all_of.append(p)
            live[0].wait(30 * SLOW)
            if p.stdout.readline():
                assert answers(f"{d.root}/sock"), f"round {n}: the new one is not reached"
        finally:
            for p in all_of:
                p.kill()
                p.communicate()


run()
