#!/usr/bin/env python3
"""The registry among people who ask at the same moment, and buckets that others have written into."""
import json
import socket
import threading
import time

from mirrored import machine, machines
from registry import Root
from stub import Object
from t import case, eq, has, run, tiny, wait_for

LOGS = "/team/models/tiles/log/"


def bucketful(st):
    """The registry of that store, as another machine fills it."""
    return Root(put=lambda key, data: st.buckets["b"].__setitem__(
        f"team/models/{key}", Object(data, f"{len(data)}-{hash(data) & 0xffffffff:x}", 0, {})))


def slow_logs(st, seconds):
    """Each question after an entry takes so long."""
    def wait(seen):
        if seen.method == "GET" and LOGS in seen.target:
            time.sleep(seconds)
    st.before = wait


def from_version(d, at):
    j = tiny(d, "second", hold=True)
    j["model"]["checkpoint"] = at
    return j


def behind(fn):
    """fn in a thread; its answer by .join_()."""
    said = []
    t = threading.Thread(target=lambda: said.append(fn()))
    t.start()
    t.answer = lambda: (t.join(), said[0])[1]
    return t


# --- at the same moment ---------------------------------------------------------------------------

@machines("a version that is deleted while a job with it is submitted is not there for the job, or stays")
def _(d, st):
    a = machine(d, st, "a")
    r = bucketful(st)
    for n in range(1, 5):
        r.version("tiles")
        wait_for(10, "it is seen", lambda: a.call("GET", f"/v1/models/tiles/versions/{n}").status == 200)
        slow_logs(st, 0.25)
        gone = behind(lambda: a.call("DELETE", f"/v1/models/tiles/versions/{n}"))
        time.sleep(0.05 * n)
        job = a.post("/v1/jobs", from_version(a, f"model://tiles/{n}"))
        st.before = None
        both = (gone.answer().status, job.status)
        assert both in ((204, 422), (409, 201)), f"the deletion and the job were answered {both}: {job.text}"
        r.seq["tiles"] = a.get("/v1/models/tiles").json["entries"]


@machines("who asked has gone before the store answers: nobody else notices")
def _(d, st):
    a = machine(d, st, "a")
    r = bucketful(st)
    r.version("tiles")
    a.get("/v1/models/tiles")
    slow_logs(st, 0.3)
    for method in ("DELETE", "PATCH"):
        first = behind(lambda: a.call("GET", "/v1/models/tiles/versions/1"))
        time.sleep(0.05)
        for _ in range(4):
            body = b'{"notes": "x"}'
            s = socket.create_connection((a.host, a.port))
            s.sendall(f"{method} /v1/models/tiles/versions/9 HTTP/1.1\r\nHost: {a.host}:{a.port}\r\nContent-Type: "
                      f"application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.05)
            s.close()
        first.answer()
    time.sleep(1)
    st.before = None
    eq(a.get("/v1/models/tiles").json["versions"], 1)


run()
