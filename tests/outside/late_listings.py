#!/usr/bin/env python3
"""A store whose listings leave out what was put lately, while every name that is asked for is answered rightly: whoever
takes over finds the jobs all the same, and whoever was replaced notices."""
import json
import os

from buckets import stubbed
from stub import No
from t import Daemon, eq, has, limit, run, tiny, wait_for

TAKEN = 7                       # what a daemon ends with whose jobs another has
AT = "team/instances/gpu-a/"


class Late:
    """Lists leave out what is put below `prefix` from now on, and whatever `also` says."""

    def __init__(self, st, prefix="team/instances/", also=lambda key: False):
        self.seen, self.prefix, self.also, self.st = set(st.buckets["b"]), prefix, also, st
        st.late = self

    def __call__(self, b, key):
        return key.startswith(self.prefix) and (key not in self.seen or self.also(key))


def machine(d, st, name, wait=True, key=None, **more):
    """A daemon on a directory of that name, which is the instance's owner when this returns."""
    import os
    os.makedirs(f"{d.root}/{name}", exist_ok=True)
    config = {"stores": [st.store("s3://", key=key)], "ship": {"retry_base": 0.2, "retry_max": 1},
              "mirror": {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 0.3, **more}}
    with open(f"{d.root}/{name}/rekindled.yaml", "w") as f:
        json.dump(config, f)
    a = Daemon(f"{d.root}/{name}", "--config", f"{d.root}/{name}/rekindled.yaml").start()
    d.others.append(a)
    if wait:
        wait_for(30, f"{name} has the jobs ({mirror(a)})", lambda: mirror(a)["state"] == "owner")
    return a


def mirror(a):
    return a.get("/v1/status").json["mirror"]


def vanish(a):
    a.signal_trainers(9)
    a.kill()


def late(sentence):
    """A case with a store and as many machines as it likes."""
    def add(fn):
        @stubbed(sentence)
        def _(d, st):
            d.others = []
            try:
                fn(d, st)
            except BaseException:
                for a in d.others:
                    print(f"    --- {a.root}\n" + a.log()[-1500:])
                raise
            finally:
                for a in d.others:
                    vanish(a)
    return add


def written(a):
    wait_for(30, "records are in the bucket", lambda: mirror(a)["unwritten"] == 0)


def held(a, name="held"):
    i = a.submit(tiny(a, name, hold=True))
    written(a)
    return i


# --- claims and bases ------------------------------------------------------------------------------

@late("a machine that takes over and sees neither claim nor base listed is not the first and has the jobs")
def _(d, st):
    a = machine(d, st, "a")
    i = held(a)
    vanish(a)
    a = machine(d, st, "a")             # a base that has the job
    eq(mirror(a)["epoch"], 2)
    vanish(a)
    st.late = lambda b, key: key.startswith(AT)
    b = machine(d, st, "b")
    eq(mirror(b)["epoch"], 3)
    eq(b.job(i)["state"], "held")
    has(str(b.events(i)), "taken over from epoch 2")


@late("a base that a listing leaves out between others is the one that counts")
def _(d, st):
    vanish(machine(d, st, "a"))
    seen = Late(st)
    i = held(machine(d, st, "a"))       # epoch 2: not listed from now on
    vanish(d.others[-1])
    vanish(machine(d, st, "a"))         # epoch 3, neither
    # A claim whose owner died before it had a base, which is listed.
    st.buckets["b"][f"{AT}epochs/0000000004.json"] = st.buckets["b"][f"{AT}epochs/0000000001.json"]
    seen.seen.add(f"{AT}epochs/0000000004.json")
    b = machine(d, st, "b")
    eq(mirror(b)["epoch"], 5)
    eq(b.job(i)["state"], "held")
    has(str(b.events(i)), "taken over from epoch 3")


@late("an owner that is replaced notices though lists do not show by whom")
def _(d, st):
    a = machine(d, st, "a")
    Late(st)
    machine(d, st, "b")
    eq(a.proc.wait(limit(30)), TAKEN)
    has(a.log(), "were taken over: epoch 2")


@late("who went on alone while somebody took over stops by himself, and the owner stays")
def _(d, st):
    a = machine(d, st, "a")
    held(a)
    vanish(a)
    Late(st)
    b = machine(d, st, "b")
    claims = [k for k in st.buckets["b"] if k.startswith(f"{AT}epochs/")]
    gate = {"shut": True}

    def before(seen):
        if gate["shut"] and "Credential=AKalone" in seen.headers.get("authorization", ""):
            raise No(503, "SlowDown")
    st.before = before
    a = machine(d, st, "a", key=st.add("AKalone", st.secret), wait=False, start_wait=0.5)
    wait_for(30, "it goes on alone", lambda: mirror(a)["state"] == "alone")
    gate["shut"] = False
    eq(a.proc.wait(limit(60)), TAKEN)
    eq([k for k in st.buckets["b"] if k.startswith(f"{AT}epochs/")], claims)
    eq(mirror(b)["state"], "owner")


run()
