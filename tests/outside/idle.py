#!/usr/bin/env python3
"""An idle daemon takes little memory, however long its queue is."""
import http.client
import json

from t import Daemon, SANITIZED, Skip, case, run, tiny, wait_for

JOBS = 1500
MIB = 1024


def rss_kib(d):
    with open(f"/proc/{d.proc.pid}/status") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))


@case("an idle daemon holds nothing that no job needs, and a long queue costs it no memory")
def _(d):
    if SANITIZED:
        raise Skip("sanitizers have memory of their own")
    # Neither libcurl nor the TLS library that it brings has been asked for anything.
    wait_for(10, f"it is small ({rss_kib(d)} KiB)", lambda: rss_kib(d) < 13 * MIB)
    empty = rss_kib(d)
    body = json.dumps(dict(tiny(d, "held"), hold=True))
    c = http.client.HTTPConnection(d.host, d.port)
    for _ in range(JOBS):
        c.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        r.read()
        assert r.status == 201, r.status
    c.close()
    d.stop()
    e = Daemon(d.root).start()
    try:
        wait_for(10, f"it is as small again ({rss_kib(e)} KiB, {empty} without jobs)",
                 lambda: rss_kib(e) < empty + MIB // 2)
    finally:
        e.kill()


run()
