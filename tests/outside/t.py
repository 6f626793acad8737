"""The vocabulary of the from-outside tests that are written in Python.

    from t import case, run, Daemon, eq, has
    @case("a job with three faults has all three listed")
    def _(d): ...
    run()

Each case gets a Daemon that has been started in an empty directory of its own,
and is killed with its trainers at the end.  Prints `ok`, `FAILED`, `skipped`
lines.  Arguments choose cases by part of their name.  Not a test itself.
"""
import glob
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

from patience import SLOW, Patience, crowd, limit    # noqa: F401: also for those who import us

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
SHARED = os.path.abspath(os.environ.get("RK_SHARED", "../shared"))
SANITIZED = bool(os.environ.get("SAN"))
CASES = []
# Trainers are tested as fast as what else runs here, not behind it.
NICE = ("--nice", "0")


class Skip(Exception):
    pass


def case(sentence, *flags):
    def add(fn):
        CASES.append((sentence.replace(" ", "_"), flags, fn))
        return fn
    return add


def eq(got, want, what="value"):
    assert got == want, f"{what} is {got!r}, want {want!r}"


def has(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def wait_for(seconds, what, fn):
    """Poll until fn() is true; its value.  `seconds` of a quiet machine."""
    p = Patience(seconds)
    while True:
        v = fn()
        if v:
            return v
        if p.spent():
            raise AssertionError(f"after {p.waited():.0f} s still not: {what}")
        time.sleep(0.03)


def cpu_of(pid):
    """Seconds of CPU that a process has used: what a deed costs, however crowded the machine is."""
    with open(f"/proc/{pid}/stat") as f:
        v = f.read().rpartition(")")[2].split()
    return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")


def still_open(s):
    """Has the other side of this socket said nothing and not closed it?"""
    s.setblocking(False)
    try:
        return s.recv(1) != b""
    except BlockingIOError:
        return True
    finally:
        s.setblocking(True)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()


def no_cloud(root, flags):
    """The flags, with a configuration that has no daemon of a test ask the metadata service of the machine that
    it happens to run on, and that lets jobs which are taken over have their data wherever a test has put it; what
    the test says itself stays."""
    if "--config" not in flags:
        path = f"{root}/no-cloud.yaml"
        with open(path, "w") as f:
            f.write("preempt: {cloud: none}\n")
        return ["--config", path, *flags]
    path = flags[len(flags) - 1 - flags[::-1].index("--config") + 1]
    with open(path) as f:
        text = f.read()
    more = {}
    if "preempt" not in text:
        more["preempt"] = {"cloud": "none"}
    if "mirror" in text and "paths" not in text:
        more["paths"] = {"allow": ["/"]}
    if more:
        with open(path, "w") as f:
            f.write(json.dumps({**json.loads(text), **more}) if text.startswith("{") else
                    text + "".join(f"\n{k}: {json.dumps(v)}" for k, v in more.items()) + "\n")
    return flags


class Daemon:
    def __init__(self, root, *flags):
        self.root, self.flags, self.proc = root, list(flags), None
        self.state = f"{root}/state"

    def start(self, *flags, prefix=()):
        flags = no_cloud(self.root, [*self.flags, *flags])
        self.proc = subprocess.Popen(
            [*prefix, f"{BUILD}/rekindled", "--state-dir", self.state, "--listen", "127.0.0.1:0", "--socket",
             f"{self.root}/sock", "--trainer", f"{BUILD}/rekindle-train", *NICE, *flags],
            stdout=subprocess.PIPE, stderr=open(f"{self.root}/daemon.log", "ab"))
        line = self.proc.stdout.readline().decode()
        m = re.search(r"http://([0-9.]+):([0-9]+)", line)
        assert m, f"the daemon did not start: {line!r} {self.log()[-400:]}"
        self.host, self.port = m.group(1), int(m.group(2))
        self.url = f"http://{self.host}:{self.port}"
        return self

    def log(self):
        with open(f"{self.root}/daemon.log", errors="replace") as f:
            return f.read()

    def alive(self):
        return self.proc.poll() is None

    def kill(self):
        if self.proc and self.alive():
            self.proc.kill()
            self.proc.wait()
        if self.proc:
            self.proc.stdout.close()

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        rc = self.proc.wait(limit(60))
        self.proc.stdout.close()
        return rc

    def trainers(self, job=""):
        """Processes of a job, or of all."""
        return [int(p) for p in subprocess.run(["pgrep", "-f", "--", f"--run-dir {self.state}/jobs/{job}"],
                                               capture_output=True, text=True).stdout.split()]

    def signal_trainers(self, sig, job=""):
        """One that has gone meanwhile is left alone."""
        for p in self.trainers(job):
            try:
                os.kill(p, sig)
            except ProcessLookupError:
                pass

    def connect(self, timeout=20):
        return http.client.HTTPConnection(self.host, self.port, timeout=limit(timeout))

    def call(self, method, path, body=None, headers=None, timeout=60):
        """body: a dict goes out as JSON, bytes or text as they are."""
        h = {"Content-Type": "application/json"} if method != "GET" else {}
        h.update(headers or {})
        h = {k: v for k, v in h.items() if v is not None}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        c = self.connect(timeout)
        try:
            c.request(method, path, body=body, headers=h)
            r = c.getresponse()
            return Reply(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, want=200, **kw):
        r = self.call("GET", path, **kw)
        eq(r.status, want, f"status of GET {path} ({r.body[:300]!r})")
        return r

    def post(self, path, body=None, want=None, **kw):
        r = self.call("POST", path, body, **kw)
        if want is not None:
            eq(r.status, want, f"status of POST {path} ({r.body[:300]!r})")
        return r

    def submit(self, job, **kw):
        return self.post("/v1/jobs", job, want=201, **kw).json["id"]

    def job(self, i):
        return self.get(f"/v1/jobs/{i}").json

    def wait_state(self, i, *states, seconds=60):
        wait_for(seconds, f"{i} is {' or '.join(states)} (it is {self.job(i)['state']}: {self.job(i)['message']})",
                 lambda: self.job(i)["state"] in states)
        return self.job(i)

    def events(self, i):
        return [e["message"] for e in self.get(f"/v1/jobs/{i}/events?limit=500").json["events"]]

    def sse(self, path, last=None, timeout=20):
        """Server-sent events as they come: (id, data) pairs."""
        c = self.connect(timeout)
        c.request("GET", path, headers={"Last-Event-ID": last} if last else {})
        r = c.getresponse()
        eq(r.status, 200, f"status of {path}")
        has(r.headers["Content-Type"], "text/event-stream")
        ident, data = None, []
        try:
            while True:
                line = r.readline()
                if not line:
                    return
                line = line.decode().rstrip("\r\n")
                if line.startswith("id:"):
                    ident = line[3:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
                elif line == "" and data:
                    yield ident, "\n".join(data)
                    data = []
        finally:
            c.close()


def csv(path, rows=1000, seed=1):
    """Four features and a class of 0..2 that depends on them."""
    r = random.Random(seed)
    with open(path, "w") as f:
        f.write("a,b,c,d,class\n")
        for _ in range(rows):
            a, b, c, d = (r.random() for _ in range(4))
            f.write(f"{a:.4f},{b:.4f},{c:.4f},{d:.4f},{2 if a + b > 1.2 else (1 if c > d else 0)}\n")
    return path


def safetensors(path, tensors, meta=None):
    """{name: (dtype, shape, bytes)} as a file."""
    head, data = {}, b""
    if meta is not None:
        head["__metadata__"] = meta
    for name, (dtype, shape, elements) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(elements)]}
        data += elements
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    return path


def trainer(d, job, *args, inputs=(), want=0):
    """rekindle-train on a job that is written to its folder: (stdout, stderr)."""
    path = f"{d.root}/{job['name']}.json"
    with open(path, "w") as f:
        json.dump(job, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{job['name']}.run", *args, path, *inputs],
                       capture_output=True, text=True, cwd=d.root, timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle-train {args} ({p.stderr[-800:]})")
    return p.stdout, p.stderr


def tiny(d, name="tiny", epochs=10, **more):
    """A job of a second or less; `more` goes in at the top level."""
    path = f"{d.root}/tiny.csv"
    if not os.path.exists(path):
        csv(path)
    job = {
        "name": name, "resources": {"threads": 1, "memory": "128MiB"},
        "model": {"arch": "mlp", "sizes": [4, 32, 3]},
        "training": {"epochs": epochs, "batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003}},
        # Stratified, so that an epoch has 57 steps.
        "data": {"train": {"type": "csv", "path": path, "label": "class"}, "validation_split": 0.1,
                 "split": {"stratify": True}},
        "checkpoint": {"every": {"steps": 50}},
    }
    job.update(more)
    return job


def reports(root):
    """What a sanitizer said in the logs of the daemon and of its trainers."""
    for path in glob.glob(f"{root}/*.log") + glob.glob(f"{root}/state/jobs/*/train.log"):
        with open(path, errors="replace") as f:
            text = f.read()
        at = re.search(r"ERROR: \w+Sanitizer|runtime error:", text)
        yield text[at.start():at.start() + 3000] if at else None


def run():
    bad, want = 0, [w.replace(" ", "_") for w in sys.argv[1:]]
    for name, flags, fn in CASES:
        if want and not any(w in name for w in want):
            continue
        root = tempfile.mkdtemp(prefix="rk-test-")
        d = Daemon(root, *flags)
        try:
            if flags != ("stopped",):
                d.start()
            else:
                d.flags = []
            fn(d)
            if SANITIZED and d.proc and d.alive():
                d.stop()        # an orderly end, for LeakSanitizer to look
            said = [x for x in reports(root) if x]
            assert not said, said[0]
            print(f"ok {name}", flush=True)
        except Skip as e:
            print(f"skipped {name}: {e}", flush=True)
        except Exception:
            bad = 1
            print(f"FAILED {name}")
            print("    " + traceback.format_exc(limit=-4).replace("\n", "\n    "))
            if os.path.exists(f"{root}/daemon.log"):
                print("    --- daemon.log\n    " + d.log()[-1500:].replace("\n", "\n    "), flush=True)
        finally:
            d.kill()
            d.signal_trainers(signal.SIGKILL)
            subprocess.run(["umount", "-l", d.state], stderr=subprocess.DEVNULL) \
                if os.path.ismount(d.state) else None
            if not os.environ.get("T_KEEP"):
                shutil.rmtree(root, ignore_errors=True)
            else:
                print(f"    kept: {root}")
    sys.exit(bad)


def raw(d, data, timeout=10):
    """Bytes over a connection of our own; what came back until it closed."""
    s = socket.create_connection((d.host, d.port), timeout=limit(timeout))
    s.sendall(data)
    out = b""
    try:
        while True:
            got = s.recv(65536)
            if not got:
                break
            out += got
    except socket.timeout:
        pass
    s.close()
    return out
