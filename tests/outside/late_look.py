#!/usr/bin/env python3
"""What a daemon believes of the epochs and bases may be old: the machine stood still between its last look and its
beginning, or another has begun meanwhile."""
import os
import re
import signal
import time

import bucket
from proxy import Proxy, call_after
from stub import Store
from t import Daemon, case, eq, has, limit, run, tiny, wait_for

FROZEN = 3.0        # longer than an answer counts
TAKEN = 7           # what a daemon ends with whose jobs another has


def machine(d, st, url):
    os.makedirs(d.root, exist_ok=True)
    return bucket.rekindled(d, {"stores": [st.store("s3://", endpoint=url)], "ship": {"retry_base": 0.2},
                                "mirror": {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 300}})


def state(d):
    return d.get("/v1/status").json["mirror"]["state"]


def frozen_with(root, nth):
    """A daemon whose nth question about the epochs, behind its base, is answered while it stands still and another
    begins.  False: it has begun before it asked so often."""
    st = Store()
    p = Proxy(st.port)
    a, b, asked = Daemon(f"{root}/a{nth}"), Daemon(f"{root}/b{nth}"), []

    def held(seen):
        if not any("/base/" in k for k in st.buckets["b"]) or "-> owner" in a.log():
            return
        asked.append(seen)
        if len(asked) != nth:
            return
        os.kill(a.proc.pid, signal.SIGSTOP)
        at = time.monotonic()
        machine(b, st, st.url)
        wait_for(30, "the other owns the jobs", lambda: state(b) == "owner")
        time.sleep(max(0, FROZEN - (time.monotonic() - at)))
        os.kill(a.proc.pid, signal.SIGCONT)
    p.rule(call_after(held), match=r"epochs", times=None)
    try:
        machine(a, st, p.url)
        wait_for(60, "the first has given up, or begun", lambda: not a.alive() or "-> owner" in a.log())
        if len(asked) < nth:
            return False
        assert not re.search("mirror: .* -> owner", a.log()), f"frozen at its question {nth}: {a.log()[-800:]}"
        a.proc.wait(limit(20))
        eq(a.proc.poll(), TAKEN, f"exit code ({a.log()[-500:]})")
        has(a.log(), "-> lost")
        eq(state(b), "owner", "the other's")
        return True
    finally:
        for x in (a, b):
            x.kill()
        p.stop()
        st.stop()


@case("a daemon that is frozen with the answer to its last look does not begin when another has begun", "stopped")
def _(d):
    nth = 1
    while frozen_with(d.root, nth):
        nth += 1
    assert nth > 1, "it asked for no epoch behind its base"


@case("an owner that was frozen looks at once, however seldom it looks else", "stopped")
def _(d):
    st = Store()
    a, b = Daemon(f"{d.root}/a"), Daemon(f"{d.root}/b")
    try:
        machine(a, st, st.url)
        wait_for(30, "it owns the jobs", lambda: state(a) == "owner")
        os.kill(a.proc.pid, signal.SIGSTOP)
        machine(b, st, st.url)
        wait_for(30, "the other owns the jobs", lambda: state(b) == "owner")
        time.sleep(FROZEN)
        os.kill(a.proc.pid, signal.SIGCONT)
        # Unasked: a question would have it look.
        wait_for(20, "the first has given up", lambda: not a.alive())
        eq(a.proc.poll(), TAKEN, f"exit code ({a.log()[-500:]})")
    finally:
        for x in (a, b):
            x.kill()
        st.stop()


@case("a base of a number that we made, which another has made anew, is not ours: its jobs are taken over", "stopped")
def _(d):
    st = Store()
    a, b = Daemon(f"{d.root}/a"), Daemon(f"{d.root}/b")
    try:
        machine(a, st, st.url)
        wait_for(30, "it owns the jobs", lambda: state(a) == "owner")
        a.stop()
        st.buckets["b"].clear()
        machine(b, st, st.url)
        wait_for(30, "the other owns the jobs", lambda: state(b) == "owner")
        job = b.submit(dict(tiny(b), hold=True))
        b.stop()
        eq(sorted(k.split("/")[-1] for k in st.buckets["b"] if "/base/" in k), ["0000000001.jsonl"], "bases")
        os.remove(f"{a.root}/daemon.log")
        machine(a, st, st.url)
        wait_for(30, "it owns the jobs", lambda: state(a) == "owner")
        has(a.log(), "-> owner (taken over)")
        eq(a.job(job)["state"], "held")
    finally:
        for x in (a, b):
            x.kill()
        st.stop()


run()
