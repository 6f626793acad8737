"""Our module for object stores, driven from outside by its program
tests/unit/remote_drive.c (whose head has the language).  Not a test itself.

    with Drive(root, store, ..., parts=3, part_size=5 << 20, stall_ms=2000,
               env={"AWS_PROFILE": "x"}) as dr:
        r = dr.put(uri, b"bytes", if_absent=True)
        r["end"] r["error"] r["code"] r["tries"] r["size"] r["body"]  # bytes
        dr.get(uri) dr.head(uri) dr.delete(uri)
        dr.list(uri, folders=True)["entries"]       # dicts: key size etag
        dr.pending(uri)["entries"]                  # dicts: key upload_id
        dr.upload(uri, path, sha256=, upload_id=, part_size=)
        dr.download(uri, path, sha256=)     # to path.partial, renamed if ok
        dr.abort(uri, upload_id)
        # all of them: deadline_ms=, tries=
        dr.begin("upload", uri, file=path); dr.wait()   # meanwhile, something
        dr.began                # (upload_id, part_size) as they were told
        dr.kill(); dr.start()   # -9, and another one
        dr.create(store, uri, path, part)   # an upload with its first parts,
                                # left there by a kill: its id
    refused(r, "denied", "damaged")     # it ended so, with a sentence
"""
import base64
import json
import os
import subprocess
import threading
import time
import uuid

from stub import No
from t import BUILD, eq, limit

PROGRAM = f"{BUILD}/unit/remote_drive"


class Dead(Exception):
    pass


class Drive:
    def __init__(self, root, *stores, env=None, **config):
        self.root, self.stores = root, stores
        self.config = dict(config, stores=list(stores))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OSS_", "ALIBABA_"))}
        self.env.update({"AWS_EC2_METADATA_DISABLED": "true", "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"})
        self.env.update(env or {})
        self.began, self.proc, self.current = [], None, None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        if kind:
            self.kill()
        self.stop()

    # -- the program

    def start(self):
        self.log = f"{self.root}/drive-{uuid.uuid4().hex[:6]}.log"
        with open(self.log, "ab") as err:
            self.proc = subprocess.Popen([PROGRAM, "--drive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=err, env=self.env)
        self.say(self.config)
        r = self.line(limit(20))
        assert r.get("ok"), f"the configuration is refused: {r}"

    def kill(self):
        if self.proc:
            self.proc.kill()

    def stop(self):
        """An orderly end; what the program has to say of leaks is heard."""
        p, self.proc = self.proc, None
        if p is None:
            return
        try:
            p.stdin.close()
        except BrokenPipeError:
            pass
        try:
            rc = p.wait(limit(30))
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise AssertionError(f"remote_drive does not end: {self.said()}")
        finally:
            p.stdout.close()
        assert rc in (0, -9), f"remote_drive ended with {rc}: {self.said()}"

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-3000:]

    def say(self, v):
        try:
            self.proc.stdin.write(json.dumps(v).encode() + b"\n")
            self.proc.stdin.flush()
        except BrokenPipeError:
            raise Dead(self.said())

    def line(self, seconds):
        """The next one; the program is killed if there is none in time."""
        late = threading.Timer(seconds, self.kill)
        late.start()
        try:
            raw = self.proc.stdout.readline()
        finally:
            if not late.is_alive() and not raw:
                raise AssertionError(f"remote_drive said nothing for {seconds:.0f} s: {self.said()}")
            late.cancel()
        if not raw:
            raise Dead(self.said())
        return json.loads(raw)

    # -- operations

    def begin(self, do, uri, **args):
        self.current = uuid.uuid4().hex
        self.events = []
        self.say({"id": self.current, "do": do, "uri": uri, **{k: v for k, v in args.items() if v is not None}})

    def wait(self, seconds=60):
        entries, end = [], time.monotonic() + limit(seconds)
        while True:
            v = self.line(max(0.1, end - time.monotonic()))
            if v.get("id") != self.current:
                continue
            if v.get("event") == "entries":
                entries += [dict(zip(("key", "size", "etag", "modified_ms"), e)) for e in v["entries"]]
            elif v.get("event") == "pending":
                entries.append(v)
            elif v.get("event") == "began":
                self.began.append((v["upload_id"], v["part_size"]))
            elif "end" in v:
                v["entries"] = entries
                v["body"] = base64.b64decode(v["body_base64"]) if "body_base64" in v else v["body"].encode()
                return v
            self.events.append(v)

    def wait_or_dead(self, seconds=60):
        """The result, or None if the program was killed."""
        try:
            return self.wait(seconds)
        except Dead:
            self.proc.wait()
            self.proc.stdout.close()
            return None

    def do(self, do, uri, **args):
        self.begin(do, uri, **args)
        return self.wait()

    def put(self, uri, body, **args):
        path = f"{self.root}/put-{uuid.uuid4().hex[:6]}"
        with open(path, "wb") as f:
            f.write(body)
        r = self.do("put", uri, file=path, **args)
        os.unlink(path)
        return r

    def get(self, uri, **args):
        return self.do("get", uri, **args)

    def head(self, uri, **args):
        return self.do("head", uri, **args)

    def delete(self, uri, **args):
        return self.do("delete", uri, **args)

    def list(self, uri, **args):
        return self.do("list", uri, **args)

    def pending(self, uri, **args):
        return self.do("pending", uri, **args)

    def abort(self, uri, upload_id, **args):
        return self.do("abort", uri, upload_id=upload_id, **args)

    def upload(self, uri, path, **args):
        return self.do("upload", uri, file=path, **args)

    def download(self, uri, path, **args):
        r = self.do("download", uri, file=path + ".partial", **args)
        if r["end"] == "ok":
            os.rename(path + ".partial", path)
        return r

    def create(self, st, uri, path, part):
        """st: a stub.Store; killed when the first part is there, an upload is
        left."""
        known = set(st.uploads)

        def die(seen):
            if any(1 in u.parts for id, u in list(st.uploads.items()) if id not in known):
                self.kill()
                raise No(503, "SlowDown")       # it has no effect any more
        st.before = die
        self.begin("upload", uri, file=path)
        assert self.wait_or_dead() is None, "it was not killed"
        st.before = None
        self.start()
        (new,) = set(st.uploads) - known
        return new


def refused(r, *ends):
    assert r["end"] in ends, f"it ended {r['end']!r}, want {' or '.join(ends)} ({r['error']})"
    assert len(r["error"]) > 10, f"it says no more than {r['error']!r}"
    eq(r["end"] == "ok", False)
