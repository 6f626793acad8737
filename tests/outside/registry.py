"""Entries of models' logs, as another machine puts them.  Not a test itself.

    r = Root(d)                     # of a daemon without a mirror: folders
    r.version("tiles", val_accuracy=0.9, author="ana", labels={"line": "7"})
    r.move("tiles", "production", 1)
    r.put("tiles", {"event": ...})  # what it says, with what every entry has
    r.raw("tiles", b"nonsense")     # whatever it says

Each is the next entry; r.seq[name] is the last one's number.  Where a bucket is
meant, give what puts an object: Root(put=lambda key, data: ...).
"""
import json
import os
import uuid

SHA = "0123456789abcdef" * 4


class Root:
    def __init__(self, d=None, put=None):
        self.folder = f"{d.state}/models" if d else None
        self.write = put or self.to_folder
        self.seq, self.top = {}, {}

    def to_folder(self, key, data):
        path = f"{self.folder}/{key}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def raw(self, name, data, seq=None):
        self.seq[name] = seq or self.seq.get(name, 0) + 1
        self.write(f"{name}/log/{self.seq[name]:010}.json", data)

    def put(self, name, fields, seq=None):
        at = seq or self.seq.get(name, 0) + 1
        self.raw(name, json.dumps({"format": 1, "seq": at, "id": uuid.uuid4().hex, "at": "2026-11-30T12:00:00.000Z",
                                   "by": "eva", "instance": "elsewhere", **fields}).encode(), at)

    def record(self, name, version, **more):
        metrics = {k: more.pop(k) for k in list(more) if k.startswith("val_")}
        return {"format": 1, "model": name, "version": version, "id": f"f{version}",
                "created_at": "2026-11-30T12:00:00.000Z", "author": "eva", "notes": "", "labels": {}, "metrics": metrics,
                "source": {"kind": "file", "address": "s3://b/x", "sha256": SHA}, "classes": ["a", "b"],
                "data": {"validation": {"digest": "d" * 64}}, "lineage": None, "spec": None,
                "files": [{"name": "model.safetensors", "size": 3, "sha256": SHA}], "digest": SHA, "bytes": 3,
                "model_format": "safetensors", **more}

    def version(self, name, **more):
        self.top[name] = self.top.get(name, 0) + 1
        self.put(name, {"event": "version", "version": self.top[name],
                        "record": self.record(name, self.top[name], **more)})
        return self.top[name]

    def move(self, name, alias, version, how="moved", **more):
        self.put(name, {"event": "alias", "alias": alias, "version": version, "how": how, **more})
