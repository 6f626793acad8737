"""Buckets that need nothing but to be there, and the job that users write first on what is in one.  Not a test itself.

    store = object_store()              # the gateway's (s3.py), else one of our own
    store.entry                         # of `stores` in the configuration
    store.put("v3/best.pdparams", body) # its address
    store.stop()

    @stubbed("a sentence")              # a case with a store of our own
    def _(d, st): ...
"""
import hashlib
import signal

import s3
from stub import Object
from t import Skip, case


class Stub:
    """A store that stands in for the gateway where that is not installed."""

    def __init__(self):
        self.st, self.entry = s3.Store(), None
        self.st.buckets.setdefault("b", {})
        self.entry = self.st.store("s3://")

    def put(self, key, body):
        self.st.buckets["b"][key] = Object(body, hashlib.md5(body).hexdigest(), 0, {})
        return f"s3://b/{key}"

    def stop(self):
        self.st.stop()


def stubbed(sentence):
    """A case with a daemon that is not started yet and a store that checks signatures (stub.py)."""
    def add(fn):
        def one(d):
            st = s3.Store()
            try:
                fn(d, st)
            finally:
                d.kill()
                d.signal_trainers(signal.SIGKILL)
                st.stop()
        case(sentence, "stopped")(one)
        return fn
    return add


class Gateway:
    def __init__(self):
        self.g = s3.rgw()
        self.b, self.entry = self.g.bucket(), self.g.store()

    def put(self, key, body):
        self.g.put(self.b, key, body)
        return f"s3://{self.b}/{key}"

    def stop(self):
        pass


def object_store():
    try:
        return Gateway()
    except Skip:
        return Stub()


def first_job(checkpoint, arch="resnet20", samples=256, epochs=1, size=32):
    """All that such a user writes."""
    return {
        "name": "defects",
        "model": {"arch": arch, "classes": 10, "checkpoint": checkpoint, "strict": False},
        "training": {"resume_from": "latest", "epochs": epochs},
        "data": {"train": {"type": "synthetic", "shape": [3, size, size], "samples": samples}},
    }
