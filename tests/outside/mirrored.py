"""Machines of one instance, on a store of our own (stub.py).  Not a test itself.

    @machines("a sentence")
    def _(d, st):
        a = machine(d, st, "a")         # a daemon on directory a, owner of the jobs
        i = held(a)                     # a job that waits, its record in the bucket
        vanish(a)                       # as a machine does
"""
import json
import os

from buckets import stubbed
from t import Daemon, tiny, wait_for

TAKEN = 7                       # what a daemon ends with whose jobs another has
AT = "team/instances/gpu-a/"    # where its objects are, in bucket b


def machine(d, st, name, wait=True, key=None, flags=(), **more):
    """A daemon on a directory of that name; wait: it is the owner when this returns."""
    os.makedirs(f"{d.root}/{name}", exist_ok=True)
    config = {"stores": [st.store("s3://", key=key)], "ship": {"retry_base": 0.2, "retry_max": 1},
              "mirror": {"prefix": "s3://b/team/", "instance": "gpu-a", "check": 0.3, **more}}
    with open(f"{d.root}/{name}/rekindled.yaml", "w") as f:
        json.dump(config, f)
    a = Daemon(f"{d.root}/{name}", "--config", f"{d.root}/{name}/rekindled.yaml", *flags).start()
    d.others.append(a)
    if wait:
        owner(a)
    return a


def mirror(a):
    return a.get("/v1/status").json["mirror"]


def owner(a):
    wait_for(30, "the jobs are its own", lambda: mirror(a)["state"] == "owner")


def vanish(a):
    a.signal_trainers(9)
    a.kill()


def machines(sentence):
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
