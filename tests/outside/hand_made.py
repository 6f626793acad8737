"""Versions of models put by hand, as whoever has the bucket could.  Not a test itself.

    v = Versions(put)                   # put(key below models/, bytes)
    v.add("defects", {"model.safetensors": data}, classes=["a", "b"])
    v.alias("defects", "production", 1)
"""
import glob
import hashlib
import json
import os

from stub import Object, crc64

AT = "2026-11-30T12:00:00.000Z"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def below(root):
    """put() of a registry that is a folder."""
    def put(key, data):
        path = f"{root}/{key}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    return put


def in_bucket(st):
    """The same of one in bucket b of a store of our own (stub.py), below team/."""
    def put(key, data):
        st.buckets["b"][f"team/models/{key}"] = Object(data, hashlib.md5(data).hexdigest(), crc64(data), {})
    return put


class Versions:
    def __init__(self, put):
        self.put, self.seq, self.top = put, {}, {}

    def entry(self, name, **more):
        n = self.seq[name] = self.seq.get(name, 0) + 1
        e = {"format": 1, "seq": n, "id": f"by-hand-{n}", "at": AT, "by": "ana", "instance": "", **more}
        self.put(f"{name}/log/{n:010}.json", json.dumps(e).encode())

    def add(self, name, files, model="model.safetensors", form="safetensors", digest=None, source=None, **more):
        """A version of these files, of which `model` is the model; its number."""
        n = self.top[name] = self.top.get(name, 0) + 1
        ident = f"v{n}"
        for file, data in files.items():
            self.put(f"{name}/versions/{ident}/{file}", data)
        listed = [{"name": f, "size": len(d), "sha256": sha(d)} for f, d in files.items()]
        record = {"format": 1, "model": name, "version": n, "id": ident, "created_at": AT, "author": "ana",
                  "instance": "", "notes": "", "labels": {},
                  "source": source or {"kind": "file", "address": "s3://theirs/m", "sha256": "0" * 64},
                  "arch": None, "classes": None, "input": None, "spec": None, "metrics": {}, "per_class": None,
                  "data": None, "lineage": {"kind": "version", "model": name, "version": n, "parents": []},
                  "files": listed, "digest": digest or sha(files[model]), "bytes": sum(map(len, files.values())),
                  "model_format": form, **more}
        self.entry(name, event="version", version=n, record=record)
        return n

    def alias(self, name, alias, version):
        self.entry(name, event="alias", alias=alias, version=version, was=None, how="moved", note="")

    def delete(self, name, version):
        self.entry(name, event="deleted", version=version)

    def folder(self, name, version):
        return f"{name}/versions/v{version}"


def of_checkpoint(step):
    """A checkpoint's folder as the files of a version."""
    files = {}
    for path in sorted(glob.glob(f"{glob.escape(step)}/*")):
        with open(path, "rb") as f:
            files[os.path.basename(path)] = f.read()
    return files
