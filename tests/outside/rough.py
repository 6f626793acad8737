#!/usr/bin/env python3
"""What people do to a daemon with a bucket: half a configuration, a name or a
prefix that changes, a bucket that can be read only, a wrong word on the command
line.  Nothing is lost by it, and what is wrong is said with its field, its value
and what was wanted."""
import glob
import json
import os
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from t import BUILD, Daemon, Skip, case, csv, eq, has, run, tiny, wait_for


def configured(d, config):
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump({"ship": {"retry_base": 0.2, "retry_max": 1}, "preempt": {"cloud": "none"}, **config}, f)
    os.chmod(path, 0o600)
    return path


def refused(d, config):
    """What a daemon that will not start with it says."""
    p = subprocess.run([f"{BUILD}/rekindled", "--config", configured(d, config), "--state-dir", f"{d.root}/other",
                        "--listen", "127.0.0.1:0", "--socket", "none"], capture_output=True, text=True, timeout=20)
    eq(p.returncode, 2, f"exit code, with {config} ({p.stderr})")
    return p.stderr


def begin(d, config, name=None):
    if name:
        os.makedirs(f"{d.root}/{name}", exist_ok=True)
        d = Daemon(f"{d.root}/{name}", *d.flags)
    return d.start("--config", configured(d, config))


def mirror(d):
    return d.get("/v1/status").json["mirror"]


def owner(d):
    wait_for(30, "the jobs are its own", lambda: mirror(d)["state"] == "owner")
    return d


def at(d, prefix, **more):
    return {"mirror": {"prefix": prefix, "instance": "a", "check": 0.3, **more}}


def kill(d):
    d.signal_trainers(9)
    d.kill()


def rekindle(d, *args):
    env = dict(os.environ, REKINDLE_SERVER=d.url if d.proc else "")
    return subprocess.run([f"{BUILD}/rekindle", *args], capture_output=True, text=True, timeout=60, env=env)


# --- configuration ----------------------------------------------------------------------------

@case("an address in the configuration that no one could ask is refused when the daemon starts", "stopped")
def _(d):
    for section, key in (("metadata", "aws"), ("metadata", "alibaba"), ("preempt", "url.gcp")):
        for bad in ("nonsense", "http://", "", "ftp://h/", "http://user:geheim@h/", "http://h:99999", "http://h h/"):
            c = {section: {key: bad}} if "." not in key else {section: {"url": {"gcp": bad}}}
            said = refused(d, c)
            has(said, f"{section}.{key}: ")
            has(said, "http://HOST[:PORT]")
            assert "geheim" not in said, said
    has(refused(d, {"preempt": {"azure_name": ""}}), "preempt.azure_name: is empty")


@case("a mirror where nothing can be written, by its kind, is refused when the daemon starts", "stopped")
def _(d):
    for bad in ("https://h/x/", "http://h/x/", "job://a/b"):
        has(refused(d, at(d, bad)), f'mirror.prefix: is "{bad}", want s3://BUCKET/PREFIX/, oss://BUCKET/PREFIX/ or')


@case("a fault in a mirror's name is said once", "stopped")
def _(d):
    said = refused(d, {"mirror": {"prefix": "s3://b/x/", "instance": 7}})
    eq(said.count("mirror.instance: "), 1, said)
    has(said, "is 7, want text")


@case("stores that are no list are refused with what they are", "stopped")
def _(d):
    has(refused(d, {"stores": {"match": "s3://"}}), "stores: is an object, want a list of stores")
    # What is found only when the stores are opened names the file, too.
    said = refused(d, {"stores": [{"match": "s3://", "endpont": "http://h"}]})
    has(said, "rekindled.yaml: stores[0]")


# --- mirrors ----------------------------------------------------------------------------------

@case("a slash that is added behind the mirror's prefix loses nothing of the directory", "stopped")
def _(d):
    bucket = f"{d.root}/bucket"
    owner(begin(d, at(d, f"file://{bucket}")))
    j = tiny(d, "long", epochs=100000)
    j["checkpoint"] = {"every": {"steps": 400}, "keep": {"last": 2}}
    i = d.submit(j)
    wait_for(30, "in the bucket", lambda: glob.glob(f"{bucket}/jobs/*/checkpoints/*/checkpoint.json"))
    d.post(f"/v1/jobs/{i}/pause", {}, want=202)
    d.wait_state(i, "paused")
    d.stop()
    # What is only here: the bucket has lost all of the job's checkpoints.
    subprocess.run(["rm", "-rf", f"{bucket}/jobs"], check=True)
    here = sorted(os.listdir(f"{d.state}/jobs/{i}/checkpoints"))
    owner(begin(d, at(d, f"file://{bucket}/")))
    eq(sorted(os.listdir(f"{d.state}/jobs/{i}/checkpoints")), here, "checkpoints here")


@case("a directory with jobs is not given another instance's name below the same prefix", "stopped")
def _(d):
    prefix = f"file://{d.root}/bucket/"
    owner(begin(d, at(d, prefix)))
    d.submit(dict(tiny(d), hold=True))
    wait_for(10, "written", lambda: mirror(d)["unwritten"] == 0)
    d.stop()
    p = subprocess.run([f"{BUILD}/rekindled", "--config", configured(d, at(d, prefix, instance="b")), "--state-dir",
                        d.state, "--listen", "127.0.0.1:0", "--socket", "none"], capture_output=True, text=True,
                       timeout=20)
    eq(p.returncode, 2, f"exit code ({p.stderr})")
    has(p.stderr, 'mirror.instance: is "b", and the jobs of this directory are those of "a" below the same prefix')
    owner(begin(d, at(d, f"file://{d.root}/elsewhere/", instance="b")))
    eq(len(d.get("/v1/jobs").json["jobs"]), 1, "jobs")


@case("a mirror that can be read and not written is said once, and is asked less and less", "stopped")
def _(d):
    os.makedirs(f"{d.root}/bucket/instances/a")
    with open(f"{d.root}/bucket/instances/a/base", "w"), open(f"{d.root}/bucket/instances/a/epochs", "w"):
        pass
    begin(d, at(d, f"file://{d.root}/bucket/"))
    wait_for(10, "it says why", lambda: mirror(d)["error"])
    seen = set()
    try:
        wait_for(4, "never", lambda: seen.add(mirror(d)["error"]) or "works again" in d.log())
        raise AssertionError(d.log())
    except AssertionError as e:
        has(str(e), "still not: never")
    eq(d.log().count("warn mirror:"), 1, f"warnings ({d.log()})")
    assert None not in seen, "status forgot what holds it up"


@case("without patience for the bucket a directory with jobs goes on alone at once", "stopped")
def _(d):
    prefix = f"file://{d.root}/bucket/"
    owner(begin(d, at(d, prefix)))
    i = d.submit(dict(tiny(d, epochs=2), hold=True))
    wait_for(10, "written", lambda: mirror(d)["unwritten"] == 0)
    d.stop()
    os.rename(f"{d.root}/bucket", f"{d.root}/away")
    with open(f"{d.root}/bucket", "w"):
        pass
    begin(d, at(d, prefix, start_wait=0))
    wait_for(5, "alone", lambda: mirror(d)["state"] == "alone")
    d.post(f"/v1/jobs/{i}/start", {}, want=202)
    # It trains, and has succeeded when the bucket has its last checkpoint.
    d.wait_state(i, "paused")
    eq(d.job(i)["reason"], "uploading", "why it waits")
    os.unlink(f"{d.root}/bucket")
    os.rename(f"{d.root}/away", f"{d.root}/bucket")
    d.wait_state(i, "succeeded")


# --- the cache --------------------------------------------------------------------------------

def data_job(d, name, uri):
    job = tiny(d, name, epochs=1)
    job["data"]["train"]["path"] = uri
    return job


def served(d, name):
    path = f"{d.root}/{name}"
    with open(path, "wb") as f:
        f.write(os.urandom(30 << 20) if name.endswith("bin") else open(csv(f"{d.root}/rows.csv"), "rb").read())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    server.root, server.asked = d.root, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/{name}"


class Shelf(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.command)
        with open(self.server.root + self.path, "rb") as f:
            body = f.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if self.command == "GET":
            try:
                self.wfile.write(body)
            except OSError:
                pass

    do_HEAD = do_GET

    def log_message(self, *a):
        pass


@case("the cache may be taken away by hand, and what is wanted next is fetched anew")
def _(d):
    server, uri = served(d, "data.csv")
    for n, take in enumerate((None, shutil.rmtree, lambda p: os.rename(p, f"{d.root}/moved"))):
        if take:
            take(f"{d.state}/cache")
        i = d.submit(data_job(d, f"job{n}", uri))
        eq(d.wait_state(i, "succeeded", "failed")["state"], "succeeded", d.job(i)["message"])
        eq(len(os.listdir(f"{d.state}/cache/sha256")), 1, "files in the cache")
    server.shutdown()


@case("while there is no room for what it wants a job waits without a word", "stopped")
def _(d):
    os.mkdir(d.state)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=750", "none", d.state],
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip("no right to mount")
    server, uri = served(d, "large.bin")
    begin(d, {"disk": {"reserve": "1MiB", "check": 0.1}})
    i = d.submit(data_job(d, "large", uri))
    d.wait_state(i, "paused")
    has(d.job(i)["message"], "needs 30 MiB")
    asked, lines = len(server.asked), d.log().count(i)
    events = len(d.events(i))
    before = d.job(i)["updated"]
    try:
        wait_for(2, "never", lambda: d.job(i)["updated"] != before)
        raise AssertionError("it was woken for nothing")
    except AssertionError as e:
        has(str(e), "still not: never")
    eq((len(server.asked), d.log().count(i), len(d.events(i))), (asked, lines, events), "requests, lines, events")
    subprocess.run(["mount", "-o", "remount,size=100m", d.state], check=True)
    d.wait_state(i, "failed")               # 30 MiB of noise, and no CSV
    server.shutdown()


# --- the command line -------------------------------------------------------------------------

@case("a job that is named by nothing is no job, also if there is only one")
def _(d):
    i = d.submit(dict(tiny(d), hold=True))
    for verb in ("show", "cancel", "delete", "resume"):
        r = rekindle(d, verb, "")
        eq(r.returncode, 4, verb)
        has(r.stderr, "JOB is empty, want an id, the beginning of one, or a name")
    eq(d.job(i)["state"], "held")


@case("seconds to drain in that make no sense are refused by the flag's name, once")
def _(d):
    for bad in ("0", "-3", "86401", "5s", "nan", "", "99999999999999999999"):
        r = rekindle(d, "drain", "--in", bad, "--rehearse")
        eq(r.returncode, 2, bad)
        eq(r.stderr.strip(), f"rekindle: --in \"{bad}\": want whole seconds, 1 to 86400")
    eq(d.get("/v1/status").json["draining"], False)
    has(rekindle(d, "drain", "--in", "30", "--rehearse").stdout, "no job is running")


@case("a socket that is not there is called a socket", "stopped")
def _(d):
    d.proc = None
    r = rekindle(d, "--server", f"{d.root}/none.sock", "status")
    eq(r.returncode, 3)
    has(r.stderr, f"{d.root}/none.sock: there is no such socket")
    assert "port 80" not in r.stderr, r.stderr
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"{d.root}/dead.sock")
    r = rekindle(d, "--server", f"{d.root}/dead.sock", "status")
    eq(r.returncode, 3)
    has(r.stderr, "nobody listens on this socket")
    r = rekindle(d, "--server", "ftp://h/x", "status")
    eq(r.returncode, 2)
    has(r.stderr, '"ftp://h/x"')
    has(r.stderr, "want http://HOST:PORT")


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<?xml version='1.0'?><Error><Code>NoSuchBucket</Code></Error>"
        self.send_response(200 if self.path.startswith("/v1/jobs?") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *a):
        pass


@case("a server that is no daemon of ours is not taken for one", "stopped")
def _(d):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for args in (("status",), ("drain", "--rehearse"), ("list",), ("checkpoints", "x")):
        r = rekindle(d, "--server", url, *args)
        eq(r.returncode, 3, f"exit code of {args} ({r.stdout} {r.stderr})")
        has(r.stderr, f"what answers at {url} is no rekindled")
    server.shutdown()


run()
