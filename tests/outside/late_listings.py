#!/usr/bin/env python3
"""A store whose listings leave out what was put lately, while every name that is asked for is answered rightly: whoever
takes over finds the jobs all the same, and whoever was replaced notices."""
from mirrored import AT, TAKEN, held, machine, machines, mirror, vanish
from stub import No
from t import eq, has, limit, run, wait_for


class Late:
    """Lists leave out what is put below `prefix` from now on, and whatever `also` says."""

    def __init__(self, st, prefix="team/instances/", also=lambda key: False):
        self.seen, self.prefix, self.also, self.st = set(st.buckets["b"]), prefix, also, st
        st.late = self

    def __call__(self, b, key):
        return key.startswith(self.prefix) and (key not in self.seen or self.also(key))


# --- claims and bases ------------------------------------------------------------------------------

@machines("a machine that takes over and sees neither claim nor base listed is not the first and has the jobs")
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


@machines("a base that a listing leaves out between others is the one that counts")
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


@machines("an owner that is replaced notices though lists do not show by whom")
def _(d, st):
    a = machine(d, st, "a")
    Late(st)
    machine(d, st, "b")
    eq(a.proc.wait(limit(30)), TAKEN)
    has(a.log(), "were taken over: epoch 2")


@machines("who went on alone while somebody took over stops by himself, and the owner stays")
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
