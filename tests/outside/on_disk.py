#!/usr/bin/env python3
"""What was on the disk when: power that fails takes nothing that was said to be done, and leaves no half of it.
A power cut cannot be made here; the order of the system calls can be seen."""
import hashlib
import json

from buckets import stubbed
from calls import Calls
from stub import Object
from t import BUILD, case, csv, eq, run, tiny, wait_for

COMMIT = "rename */checkpoints/.tmp-step-* */checkpoints/step-*"
METRICS = "sync */metrics.jsonl"


def in_folder(uri):
    """A job that keeps one checkpoint, also in a bucket that is a folder."""
    return {"every": {"steps": 20}, "keep": {"last": 1, "best": 0}, **({"push": uri} if uri else {})}


@case("what is acknowledged was on the disk before the answer came", "stopped")
def _(d):
    c = Calls(d.root)
    c.start(d)
    i = d.submit(dict(tiny(d), hold=True))
    for deed in (lambda: d.submit(dict(tiny(d, "more"), hold=True)),
                 lambda: d.call("PATCH", f"/v1/jobs/{i}", {"priority": 7}), lambda: d.post(f"/v1/jobs/{i}/cancel")):
        n = len(c.lines())
        deed()
        c.always("write *-wal", "sync *-wal")
        assert any(x.startswith("write ") and x.endswith("-wal") for x in c.lines()[n:]), "nothing was written"


@case("metrics are on the disk before a checkpoint of their step is there, and what retention takes goes for good",
      "stopped")
def _(d):
    c = Calls(d.root)
    path = f"{d.root}/job.json"
    with open(path, "w") as f:
        json.dump(tiny(d, epochs=1500, checkpoint=in_folder(None)), f)
    p = c.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/r", path], cwd=d.root)
    eq(p.returncode, 0, p.stderr[-500:])
    c.always("begin *", METRICS, before="write */checkpoints/.tmp-*")
    c.always(COMMIT, METRICS, before="write */checkpoints/.tmp-*")
    c.always("write */checkpoints/.tmp-*", "sync */checkpoints/.tmp-*", before=COMMIT)
    c.always(COMMIT, "sync */checkpoints")
    c.always("rename */checkpoints/step-* */.del-*", "sync */checkpoints", before="remove */checkpoints/.del-*")


@stubbed("a file that was fetched is in the cache for good before the database says so")
def _(d, st):
    with open(csv(f"{d.root}/x.csv"), "rb") as f:
        body = f.read()
    st.buckets["b"]["x.csv"] = Object(body, hashlib.md5(body).hexdigest(), 0, {})
    c = Calls(d.root)
    with open(f"{d.root}/c.json", "w") as f:
        json.dump({"stores": [st.store("s3://")]}, f)
    c.start(d, "--config", f"{d.root}/c.json")
    job = tiny(d, epochs=1)
    job["data"]["train"]["path"] = "s3://b/x.csv"
    d.wait_state(d.submit(job), "succeeded")
    c.always("write */cache/partial/*", "sync */cache/partial/*", before="rename */cache/partial/* */cache/sha256/*")
    c.always("rename */cache/partial/* */cache/sha256/*", "sync */cache/sha256", before="write *-wal")


@case("in a bucket that is a folder what is written and what is deleted is so for good", "stopped")
def _(d):
    c = Calls(d.root)
    c.start(d)
    i = d.submit(tiny(d, epochs=1000000, checkpoint=in_folder(f"file://{d.root}/bucket/")))
    wait_for(30, "an old one has gone", lambda: any(x.startswith("remove ") and x.endswith("/remote.json")
                                                    for x in c.lines()))
    d.post(f"/v1/jobs/{i}/cancel")
    d.wait_state(i, "cancelled")
    eq(d.stop(), 0)
    for verb in ("remove *", "link * *"):
        c.always(f"{verb}/bucket/*/step-*/*.json", "sync */bucket/*/step-*")
    # What is there begins to be seen with checkpoint.json, and that goes first.
    gone = next(x for x in c.lines() if x.startswith("remove ") and x.endswith("/remote.json")).split(" ", 1)[1]
    at = gone[:gone.rindex("/")]
    c.order(f"link * {at}/remote.json", f"sync {at}", f"link * {at}/checkpoint.json", f"sync {at}",
            f"remove {at}/checkpoint.json", f"sync {at}", f"remove {at}/model.safetensors", f"sync {at}",
            f"remove {gone}", f"sync {at}")


run()
