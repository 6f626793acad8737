#!/usr/bin/env python3
"""Watching: exit codes, what is waited for, daemons that go and come back, and
a line that fits the terminal.  A scripted server plays the daemons that do what
a real one does only now and then."""
import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import termios
import threading
import time

from clouds import Cloud, saved
from t import BUILD, case, csv, eq, has, limit, run, tiny, wait_for

RK = f"{BUILD}/rekindle"
JOB = "01hzzzzzzzzzzzzzzzzzzzzzzz"


def env(**more):
    e = {k: v for k, v in os.environ.items() if k not in ("REKINDLE_SERVER", "COLUMNS")}
    e.update({"TERM": "xterm", **more})
    return e


class Cli:
    """The command line in the background: its output grows in a file."""

    def __init__(self, root, server, *args):
        self.out = tempfile.TemporaryFile(dir=root)
        self.p = subprocess.Popen([RK, "--server", server, *args], stdin=subprocess.DEVNULL, stdout=self.out,
                                  stderr=subprocess.STDOUT, env=env())

    def text(self):
        return os.pread(self.out.fileno(), 1 << 26, 0).decode()

    def says(self, word, seconds=30):
        wait_for(seconds, f"{word!r} in {self.text()!r}", lambda: word in self.text() or self.p.poll() is not None)
        has(self.text(), word)

    def ends(self, code, seconds=60):
        try:
            rc = self.p.wait(limit(seconds))
        except subprocess.TimeoutExpired:
            self.p.kill()
            raise AssertionError(f"it did not end: {self.text()}") from None
        eq(rc, code, f"exit code ({self.text()!r})")
        return self.text()


@contextlib.contextmanager
def cli(d, *args, server=None):
    c = Cli(d.root, server or d.url, *args)
    try:
        yield c
    finally:
        c.p.kill()
        c.p.wait()
        c.out.close()


def rk(d, *args, code=0, server=None):
    with cli(d, *args, server=server) as c:
        return c.ends(code)


def file_of(d, job):
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    return path


def long(d, name="long", **more):
    return tiny(d, name, epochs=200000, checkpoint={"every": {"steps": 200}}, **more)


# --- a server that says what it is told to ----------------------------------------
def job(state, reason="", desired="run", step=500, message=""):
    return {"id": JOB, "name": "tiny", "state": state, "desired": desired, "reason": reason, "message": message,
            "progress": {"step": step, "steps_total": 1000, "epoch": 5, "epochs_total": 10, "loss": 0.1734,
                         "accuracy": 0.938, "samples_per_second": 12345, "eta_seconds": 83,
                         "metrics": {"loss": 0.1734, "accuracy": 0.938, "val_loss": 0.33, "val_accuracy": 0.883}}}


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Tcp(http.server.ThreadingHTTPServer):
    request_queue_size = 50


class Script:
    """Answers of a daemon to looks at its job, one after the other; the last one
    stays.  (status, body, headers), or a function of the handler."""

    def __init__(self, *answers, status=None, unix=None):
        self.answers, self.asked, self.open = list(answers), [], []
        self.status = status or {"held": False}
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self):
                return "peer"

            def log_message(self, *_):
                pass

            def setup(self):
                super().setup()
                script.open.append(self.connection)

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                script.asked.append((self.path, self.headers.get("Last-Event-ID")))
                if self.path == "/v1/status":
                    self.say(200, script.status)
                    return
                a = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                if callable(a):
                    a(self)
                else:
                    self.say(*a)
            do_POST = do_GET

            def say(self, code, body, headers=None):
                body = body if isinstance(body, str) else json.dumps(body)
                self.send_response(code)
                for k, v in (headers or {}).items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

        self.server = Unix(unix, Handler) if unix else Tcp(("127.0.0.1", 0), Handler)
        self.url = unix or f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        for c in self.open:
            with contextlib.suppress(OSError):
                c.shutdown(socket.SHUT_RDWR)


def draining(why, j):
    return 200, j, {"Rekindle-Draining": why}


def problem(status, slug, detail="not now"):
    return status, {"type": f"/problems/{slug}", "title": slug, "status": status, "detail": detail}


# --- exit codes ---------------------------------------------------------------------
@case("watching has an exit code for each way in which a job stops")
def _(d):
    for code in ("0 done", "5 it failed", "6 it waits for a person", "7 the machine was drained"):
        has(" ".join(rk(d, "--help").split()), code)
    eq(rk(d, "submit", file_of(d, tiny(d)), "--watch").count("succeeded"), 2, "succeeded")
    bad = tiny(d, "bad")
    bad["data"]["train"]["path"] = csv(f"{d.root}/bad.csv")
    with open(f"{d.root}/bad.csv", "a") as f:
        f.write("1,2,x,4,0\n")
    has(rk(d, "submit", file_of(d, bad), "--watch", code=5), "line 1002")
    has(rk(d, "submit", file_of(d, tiny(d, "held")), "--hold", "--watch", code=6), "held")
    i = d.submit(long(d))
    d.wait_state(i, "running")
    with cli(d, "watch", "long") as c:
        c.says("running")
        d.post(f"/v1/jobs/{i}/pause", want=202)
        has(c.ends(6), "paused by a person")
    with cli(d, "resume", "long", "--watch") as c:
        c.says("running")
        d.post(f"/v1/jobs/{i}/cancel", want=202)
        has(c.ends(5), "cancelled")
    rk(d, "watch", JOB, code=4)
    rk(d, "watch", JOB, code=3, server="127.0.0.1:1")
    rk(d, "watch", JOB, code=3, server=f"{d.root}/nowhere.sock")


@case("a drained machine is 7, for the job that ran and for the one that waited")
def _(d):
    i = d.submit(long(d))
    d.wait_state(i, "running")
    # It would want all the machine.
    j = d.submit(long(d, "next", priority=-5, resources={"threads": d.get("/v1/jobs").json and os.cpu_count(),
                                                        "memory": "128MiB"}))
    with cli(d, "watch", i) as a, cli(d, "watch", j) as b:
        a.says("running")
        b.says("queued")
        d.post("/v1/drain", {"deadline_seconds": 30}, want=202)
        has(a.ends(7), "goes on from step")
        has(b.ends(7), "takes no more work (drain)")
    has(rk(d, "watch", i, code=7), "drained")
    eq(d.call("GET", f"/v1/jobs/{i}").headers["Rekindle-Draining"], "drain", "the header")


@case("a machine that is taken away is 7, however quickly everything is saved", "stopped")
def _(d):
    c = Cloud("aws")
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump(c.config(), f)
    d.start("--config", path)
    i = d.submit(long(d))
    d.wait_state(i, "running")
    with cli(d, "watch", i) as a, cli(d, "watch", i, server=f"{d.root}/sock") as b:
        a.says("running")
        b.says("running")
        c.notice(30)
        has(a.ends(7), "the machine is taken away")
        text = b.ends(7)
        has(text, "the machine is taken away")
        eq("takes no more work" in text, False, "said twice")
    saved(d)
    eq(d.stop(), 0, "exit code of the daemon")
    c.close()
    # A shutdown is known as such, too, though another daemon may come.
    d.start()
    d.wait_state(i, "running")
    with cli(d, "watch", i, "--patience", "1") as a:
        a.says("running")
        d.stop()
        has(a.ends(7), "left (shutdown) and has not come back")


@case("what needs a person is 6, and what passes by itself is watched on")
def _(d):
    for word in ("data_changed", "checkpoints_missing", "arithmetic_changed"):
        with Script((200, job("paused", word, message="because of this"))) as s:
            has(rk(d, "watch", JOB, code=6, server=s.url), "because of this")
    waits = [(200, job(state, word)) for state, word in (
        ("paused", "disk_full"), ("paused", "read_only"), ("paused", "uploading"), ("paused", "priority"),
        ("queued", "fetching"), ("queued", "crashed"), ("queued", "interrupted"), ("queued", "preempted"))]
    with Script(*waits, (200, job("succeeded"))) as s:
        text = rk(d, "watch", JOB, server=s.url)
        for _, j in waits:
            has(text, f"{j['state']} ({j['reason']})" if j["reason"] in ("disk_full", "fetching") else j["state"])
        eq(len(s.asked), len(waits) + 1, "looks")


def begun(d, name, path, **training):
    """A job with a checkpoint and data of its own, paused."""
    j = long(d, name, data={"train": {"type": "csv", "path": csv(path), "label": "class"}})
    j["training"].update(training)
    i = d.submit(j)
    wait_for(60, "a checkpoint", lambda: d.job(i)["newest_known"])
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")
    return i


@case("other data, no checkpoints and another arithmetic end a real watch with 6")
def _(d):
    i = begun(d, "data", f"{d.root}/own.csv")
    csv(f"{d.root}/own.csv", seed=2)
    has(rk(d, "resume", i, "--watch", code=6), "paused (data_changed)")
    has(rk(d, "watch", i, code=6), "--accept data")
    i = begun(d, "gone", f"{d.root}/other.csv")
    os.rename(f"{d.state}/jobs/{i}", f"{d.root}/away")
    has(rk(d, "resume", i, "--watch", code=6), "paused (checkpoints_missing)")
    i = begun(d, "exact", f"{d.root}/third.csv", exact="require")
    d.stop()
    d.start(prefix=("env", "REKINDLE_GEMM=openblas", "REKINDLE_SIMD=plain"))
    has(rk(d, "resume", i, "--watch", code=6), "paused (arithmetic_changed)")


@case("a job that gives way to another, or crashes, is watched to its end")
def _(d):
    whole = {"threads": max(1, len(os.sched_getaffinity(0))), "memory": "128MiB"}
    low = tiny(d, "low", epochs=300, resources=whole, priority=0, model={"arch": "mlp", "sizes": [4, 512, 512, 3]})
    with cli(d, "submit", file_of(d, low), "--watch") as c:
        c.says("running")
        high = d.submit(dict(low, name="high", priority=10))
        c.says("queued (priority)")
        d.wait_state(high, "succeeded")
        wait_for(20, "a trainer", d.trainers)
        d.signal_trainers(9)
        text = c.ends(0)
        has(text, "val_accuracy")


# --- a daemon that goes and comes back ---------------------------------------------
def again(d, seconds=1.5):
    """Away for a while; the next one at the same address."""
    time.sleep(seconds)
    d.start("--listen", f"127.0.0.1:{d.port}")


@case("a watch survives daemons that are killed, and stopped, by TCP and by socket")
def _(d):
    i = d.submit(tiny(d, epochs=6000))
    d.wait_state(i, "running")
    with cli(d, "watch", i) as a, cli(d, "watch", i, server=f"{d.root}/sock") as b:
        a.says("running")
        b.says("running")
        d.kill()
        again(d)
        for c in (a, b):
            c.says("waiting for the daemon at")
        wait_for(20, "it runs again", lambda: d.job(i)["state"] == "running")
        d.stop()
        again(d, 0.2)
        for c in (a, b):
            has(c.ends(0, 120), "succeeded")


@case("a daemon that stays away is waited for as long as --patience says")
def _(d):
    i = d.submit(long(d))
    d.wait_state(i, "running")
    with cli(d, "watch", i, "--patience", "2") as a, cli(d, "watch", i, "--patience", "0") as b, \
            cli(d, "events", "-f", i, "--patience", "2") as c, cli(d, "watch", i) as waits:
        for x in (a, b, waits):
            x.says("running")
        c.says("submitted")
        d.kill()
        has(b.ends(3), "cannot reach")
        has(a.ends(3), "waiting for the daemon at")
        has(c.ends(3), "waiting for the daemon at")
        eq(waits.p.poll(), None, "the patient one")
    begun = time.monotonic()
    has(rk(d, "watch", i, "--patience", "3", code=3), "waiting for the daemon at")
    assert time.monotonic() - begun >= 3, "less than was said"
    rk(d, "watch", i, "--patience", "-1", code=2)
    has(rk(d, "watch", i, "--patience", "soon", code=2), "0 to 604800")


@case("a daemon that left and has not come back is 7, after a shutdown too")
def _(d):
    for why in ("shutdown", "preempted", "drain"):
        with Script((200, job("running")), draining(why, job("running"))) as s, \
                cli(d, "watch", JOB, "--patience", "1", server=s.url) as c:
            wait_for(10, "two looks", lambda s=s: len(s.asked) > 2)
            s.end()
            has(c.ends(7), f"left ({why}) and has not come back")
    # One that ends and says so is as one that has gone.
    with Script(draining("shutdown", job("queued", "shutdown"))) as s:
        rk(d, "watch", JOB, "--patience", "1", code=7, server=s.url)
    with Script(*[draining("shutdown", job("queued", "shutdown"))] * 3, (200, job("queued", "shutdown")),
                (200, job("succeeded"))) as s:
        rk(d, "watch", JOB, "--patience", "30", server=s.url)
    for why in ("preempted", "taken_over"):
        with Script(draining(why, job("queued", why))) as s:
            rk(d, "watch", JOB, "--patience", "30", code=7, server=s.url)


@case("a daemon that answers 503 at its start is waited for, by each command that watches")
def _(d):
    busy = [problem(503, "not-ready")] * 2
    for unix in (None, f"{d.root}/scripted"):
        with Script((200, job("running")), *busy, (502, "<html>a proxy</html>"), (200, job("succeeded")),
                    unix=unix) as s:
            rk(d, "watch", JOB, server=s.url)
    # From the first word on, and while a name is looked up.
    with Script(*busy, (200, {"jobs": [job("running")]}), *busy, (200, job("succeeded"))) as s:
        rk(d, "watch", "tiny", server=s.url)
    with Script(*busy, (201, job("queued")), (200, job("succeeded"))) as s:
        rk(d, "submit", file_of(d, tiny(d)), "--watch", server=s.url)
    with Script(*busy, stream(["id: 1\ndata: {}\n\n", ": the end, succeeded\n\n"])) as s:
        rk(d, "events", "-f", JOB, server=s.url)
    # Who does not watch is told; and a daemon that drains has said no.
    with Script(*busy, (200, {"jobs": []})) as s:
        has(rk(d, "list", code=1, server=s.url), "not now")
    with Script(problem(503, "draining"), (201, job("queued"))) as s:
        has(rk(d, "submit", file_of(d, tiny(d)), "--watch", code=1, server=s.url), "not now")
    with Script(problem(503, "not-ready")) as s:
        has(rk(d, "watch", JOB, "--patience", "1", code=3, server=s.url), "it answers with 503: not now")


@case("a job that is not there yet is waited for while a new machine takes its jobs over")
def _(d):
    gone = problem(404, "not-found", "there is no such job")
    with Script((200, job("running")), gone, gone, (200, job("succeeded")), status={"held": True}) as s:
        rk(d, "watch", JOB, server=s.url)
    with Script((200, job("running")), gone, status={"held": False}) as s:
        has(rk(d, "watch", JOB, code=4, server=s.url), "no such job")


# --- streams ----------------------------------------------------------------------
def stream(pieces, cut=False):
    """Server-sent events, then the end of the connection; or in the middle."""
    def answer(h):
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for p in pieces:
            h.wfile.write(b"%x\r\n%s\r\n" % (len(p.encode()), p.encode()))
        if not cut:
            h.wfile.write(b"0\r\n\r\n")
        h.wfile.flush()
        h.close_connection = True
        if cut:
            h.connection.shutdown(socket.SHUT_RDWR)
    return answer


@case("an event that is cut in the middle comes again, and none comes twice")
def _(d):
    for cut in (False, True):
        with Script(stream(["id: 4\ndata: four\n\n", "id: 5\ndata: fi"], cut),
                    stream(["id: 5\n", "data: five\n"], cut), problem(503, "too-many-streams"),
                    stream(["id: 5\ndata: five\n\nid: 6\ndata: six\n\n", ": the end, succeeded\n\n"])) as s:
            text = rk(d, "metrics", "-f", JOB, server=s.url)
            eq(data(text), "four\nfive\nsix\n", "what came")
            eq([i for _, i in s.asked], [None, "4", "4", "4"], "where it went on")
    with Script(problem(503, "too-many-streams", "10 are open")) as s:
        has(rk(d, "metrics", "-f", JOB, code=1, server=s.url), "10 are open")


def data(text):
    """Without what is said of a daemon that is away, if it was for long enough."""
    return "".join(x for x in text.splitlines(True) if not x.startswith("rekindle: waiting"))


def has_streams(d, n):
    return f"rekindle_http_streams {n}\n" in d.get("/metrics").text


@case("events, metrics and the log are followed over restarts without a gap or a double")
def _(d):
    i = d.submit(tiny(d, epochs=3000))
    d.wait_state(i, "running")
    server = {"events": d.url, "metrics": f"{d.root}/sock", "log": d.url}
    with contextlib.ExitStack() as all_of:
        f = {w: all_of.enter_context(cli(d, w, "-f", i, server=s)) for w, s in server.items()}
        tail = all_of.enter_context(cli(d, "log", "-f", "--tail", "0", i))
        wait_for(20, "four streams", lambda: has_streams(d, 4))
        wait_for(20, "metrics", lambda: len(f["metrics"].text()) > 1000)
        before = d.get(f"/v1/jobs/{i}/log").body
        d.kill()
        again(d)
        wait_for(20, "it runs again", lambda: d.job(i)["state"] == "running")
        d.stop()
        again(d, 0.1)
        d.wait_state(i, "succeeded")
        text = {w: data(c.ends(0)) for w, c in f.items()}
        short = data(tail.ends(0))
    eq(text["log"], d.get(f"/v1/jobs/{i}/log").text, "the log")
    # What was written while nobody listened is there, too.
    has(short, "attempt 2")
    has(before.decode() + short, d.get(f"/v1/jobs/{i}/log").text[len(before):])
    rows = rk(d, "--json", "events", i)
    eq([x.split()[0] for x in text["events"].split("\n") if x], [e["time"] for e in json.loads(rows)], "the events")
    rows = json.loads(rk(d, "--json", "metrics", i))
    eq([json.loads(x) for x in text["metrics"].split("\n") if x], rows, "the metrics")


@case("Ctrl-C ends the watching, and says that the job goes on")
def _(d):
    with Script(*running(3)) as s, cli(d, "watch", JOB, server=s.url) as c:
        c.says("running")
        c.p.send_signal(signal.SIGINT)
        has(c.ends(-signal.SIGINT), "the job goes on")


# --- the line -----------------------------------------------------------------------
def on_terminal(columns, server, *args, resize=None, **more):
    """The command on a terminal of so many columns: exit code, what it wrote."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            while fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8)[6:] != b"\1\0":
                time.sleep(0.01)
            os.execve(RK, [RK, "--server", server, *args], env(**more))
        finally:
            os._exit(99)
    # The last two bytes (pixels) say that the size is set.
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 1))
    out, end = b"", time.time() + limit(60)
    try:
        while time.time() < end:
            if not select.select([fd], [], [], 0.5)[0]:
                continue
            got = os.read(fd, 65536)
            if not got:
                break
            out += got
            if resize and resize[0] in out:
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, resize[1], 0, 1))
                resize = None
    except OSError:
        pass
    finally:
        os.close(fd)
        with contextlib.suppress(ProcessLookupError):
            if time.time() >= end:
                os.kill(pid, 9)
        rc = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return rc, out.decode()


def drawn(text):
    """What was drawn in place of what was there: the live lines, one by one; and
    what was printed behind them."""
    live, _, rest = text.rpartition("\r\x1b[K")
    lines = [x for x in live.split("\r\x1b[K") if x]
    last, _, rest = rest.partition("\r\n")
    return lines + [last], rest.replace("\r\n", "\n")


def running(n, **more):
    return [(200, job("running", step=100 * k, **more)) for k in range(n)]


@case("the line fits terminals of 80, 40 and 20 columns, and the last one names val_accuracy")
def _(d):
    for columns in (200, 80, 40, 20, 3):
        with Script(*running(3), (200, job("succeeded", step=1000, message="finished at step 1,000"))) as s:
            rc, text = on_terminal(columns, s.url, "watch", JOB)
        eq(rc, 0, f"exit code ({text!r})")
        lines, rest = drawn(text)
        for x in lines:
            assert len(x) < columns and "\n" not in x, (columns, x)
        has(lines[-1] + "\n" + rest, "val_accuracy 0.883")
        has(rest, "succeeded")
        if columns >= 80:
            has(rest, "succeeded at step 1,000: val_accuracy 0.883, val_loss 0.3300\n" if columns == 80 else
                "val_loss 0.3300; accuracy 0.938, loss 0.1734 in training\n")
        eq(len(lines), 4, f"lines of {text!r}")
        if columns >= 40:
            has(lines[1], "10%")
        if columns >= 80:
            for word in ("loss 0.17", "acc 0.938", "val_accuracy 0.883"):
                has(lines[1], word)
        assert all(len(x) <= max(columns, 22) for x in rest.split("\n")), rest


@case("a terminal that becomes narrower is fitted at the next look, and COLUMNS counts where there is no size")
def _(d):
    with Script(*running(6), (200, job("succeeded", step=1000))) as s:
        rc, text = on_terminal(100, s.url, "watch", JOB, resize=(b" 20%", 30))
        lines, _ = drawn(text)
        eq((rc, len(lines)), (0, 7), "code and lines")
        assert len(lines[0]) > 60 and max(len(x) for x in lines[-3:]) < 30, lines
    for columns, limit in (("33", 33), ("", 80), ("0", 80), ("wide", 80)):
        with Script(*running(2), (200, job("succeeded"))) as s:
            lines, _ = drawn(on_terminal(0, s.url, "watch", JOB, COLUMNS=columns)[1])
            assert limit - 30 < max(len(x) for x in lines) < limit, (columns, lines)


@case("a terminal shows that the daemon is waited for, in the same line")
def _(d):
    down = problem(503, "not-ready")
    for columns in (80, 20):
        with Script((200, job("running")), *[down] * 5, (200, job("succeeded"))) as s:
            rc, text = on_terminal(columns, s.url, "watch", JOB)
        lines, _ = drawn(text)
        eq(rc, 0, "exit code")
        assert all(len(x) < columns for x in lines), lines
        if columns == 80:
            eq(len([x for x in lines if re.search(r"waiting for the daemon, \d+ s of 300", x)]), 5, "lines")


@case("what is no terminal gets plain lines, whole, and so does a dumb one")
def _(d):
    with Script(*running(2), (200, job("succeeded", step=1000))) as s:
        text = rk(d, "watch", JOB, server=s.url)
    eq("\r" in text or "\x1b" in text, False, "control characters")
    has(text.split("\n")[0], "loss 0.1734  acc 0.938  val_loss 0.3300  val_accuracy 0.883")
    has(text.split("\n")[1], "succeeded  100%")
    eq(text.split("\n")[-2], "succeeded at step 1,000: val_accuracy 0.883, val_loss 0.3300; "
       "accuracy 0.938, loss 0.1734 in training", "the last line")
    with Script(*running(2), (200, job("succeeded"))) as s:
        eq("\x1b" in on_terminal(80, s.url, "watch", JOB, TERM="dumb")[1], False, "control characters")


@case("the validation figures of a real job are in its last line")
def _(d):
    i = d.submit(tiny(d, epochs=20))
    rc, text = on_terminal(80, d.url, "watch", i)
    lines, rest = drawn(text)
    eq(rc, 0, "exit code")
    want = d.job(i)["progress"]["metrics"]["val_accuracy"]
    has(lines[-1], f"val_accuracy {want:.3f}")
    has(rest.splitlines()[-1], f"val_accuracy {want:.3f}")
    assert all(len(x) < 80 for x in lines), lines


run()
