"""What a bucket and a state directory must look like, whatever happened.  Not
a test itself.

    found = bucket.checkpoints(g, "bucket", "prefix/")
        # {job: [folder, ...]} of the remote checkpoints that exist, oldest
        # first; AssertionError if one of them is not whole, to the last digest
    bucket.local(state)             # the same of a state directory
    bucket.rekindled(d, config)     # start d with this configuration (a dict)
    bucket.big(d, "name", push=..)  # a job with checkpoints of 12 MB: several
                                    # parts of an upload
    bucket.durability(d, id)        # {checkpoint: its durability}
    bucket.events_of(d, id)
"""
import glob
import hashlib
import json
import os
import re

from digests import wrong
from t import tiny


def sha(b):
    return hashlib.sha256(b).hexdigest()


def checkpoints(g, name, prefix=""):
    keys = g.keys_of(name, prefix)
    out, body = {}, {}
    for key in keys:
        m = re.fullmatch(r"(.*jobs/([^/]+)/checkpoints/)([^/]+)/checkpoint\.json", key)
        if not m:
            continue
        base, job, folder = m.groups()
        raw = g.get(name, key)
        if raw is None:
            continue                    # retired while we looked
        bad = whole(g, name, base, folder, raw, body)
        if bad and g.get(name, key) is not None:
            raise AssertionError(f"half a checkpoint is visible: {base}{folder}: {bad}")
        out.setdefault(job, []).append(folder)
    return out


def whole(g, name, base, folder, raw, body):
    """What is wrong with it, or None."""
    record = json.loads(raw)
    note = g.get(name, f"{base}{folder}/remote.json")
    if note is None:
        return "no remote.json"
    note = json.loads(note)
    if note["digest"] != sha(raw):
        return "remote.json is of another checkpoint.json"
    where = {f["name"]: f["folder"] for f in note["files"]}
    known = {f["name"]: f["sha256"] for f in note["files"]}
    for f in record["files"]:
        key = f"{base}{where.get(f['name'], folder)}/{f['name']}"
        if key not in body:             # keys are never used twice
            got = g.get(name, key)
            if got is None:
                return f"{key} is not there"
            body[key] = (len(got), sha(got))
        if f.get("sha256", known[f["name"]]) != known[f["name"]]:
            return f"remote.json and checkpoint.json do not agree on {key}"
        if body[key] != (f["size"], known[f["name"]]):
            return f"{key} is {body[key]}, not {(f['size'], known[f['name']])}"
    return None


def local(state):
    out = {}
    for path in sorted(glob.glob(f"{state}/jobs/*/checkpoints/step-*")):
        job, folder = path.split("/")[-3], os.path.basename(path)
        try:
            with open(f"{path}/checkpoint.json") as f:
                record = json.load(f)
            for f in record["files"]:
                what = wrong(f"{path}/{f['name']}", f)
                assert what is None, what
        except FileNotFoundError:
            assert not os.path.isdir(path), f"half a checkpoint is visible: {path}"
            continue
        out.setdefault(job, []).append(folder)
    return out


def rekindled(d, config, *flags, **env):
    path = f"{d.root}/rekindled.yaml"
    with open(path, "w") as f:
        json.dump(config, f)
    os.chmod(path, 0o600)
    old = dict(os.environ)
    os.environ.update(env)
    try:
        return d.start("--config", path, *flags)
    finally:
        os.environ.clear()
        os.environ.update(old)


def big(d, name="big", epochs=6, every=60, push=None, require=False, **more):
    job = tiny(d, name, epochs=epochs, **more)
    job["model"] = {"arch": "mlp", "sizes": [4, 1000, 1000, 3]}
    job["resources"] = {"threads": 1, "memory": "256MiB"}
    job["checkpoint"] = {"every": {"steps": every}, "keep": {"last": 3}}
    if push:
        job["checkpoint"]["push"] = push
    if require:
        job["checkpoint"]["require_remote"] = True
    return job


def durability(d, id):
    return {c["checkpoint"]: c["durability"] for c in
            d.get(f"/v1/jobs/{id}/checkpoints?limit=100").json["checkpoints"]}


def events_of(d, id):
    return d.events(id)
