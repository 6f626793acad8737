#!/usr/bin/env python3
"""What is in files of weights that addresses lead to: the daemon fetches them, a process of its own reads them, and
nobody is sent to where a cloud hands out secrets."""
import json
import subprocess

import bucket
from buckets import object_store
from t import BUILD, case, eq, has, run
from warm_files import resnet20, sha, tar_of


def show(d, *args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "weights", "show", *args], capture_output=True, text=True)
    eq(r.returncode, want, f"weights show {args} ({r.stdout[-300:]} {r.stderr[-300:]})")
    return r.stdout + r.stderr


@case("weights show says of an address what it says of the file, and leaves no trace", "stopped")
def _(d):
    store = object_store()
    bucket.rekindled(d, {"stores": [store.entry]})
    body = resnet20()
    path = f"{d.root}/best.pdparams"
    with open(path, "wb") as f:
        f.write(body)
    at = store.put("v3/best.pdparams", body)
    here = json.loads(show(d, path, "--json", "--statistics"))
    there = json.loads(show(d, at, "--json", "--statistics"))
    eq((here.pop("path"), there.pop("path")), (path, at))
    eq(there, here)
    out = show(d, at)
    has(out, f"{at}: paddle, ")
    assert any(line.split()[:3] == ["conv1.weight", "F32", "[16,3,3,3]"] for line in out.splitlines()), out
    has(show(d, at, "--statistics"), here["tensors"][0]["sha256"][:16])
    # Of an archive the file that is meant.
    tar = store.put("rec.tar.gz", tar_of({"a/best.pdparams": body, "a/log": b"x"}, True))
    for part in ("#member=a/best.pdparams", f"#member=a/best.pdparams&sha256={sha(body)}"):
        eq(json.loads(show(d, tar + part, "--json"))["path"], tar + part)
    json.loads(show(d, tar, "--member", "a/best.pdparams", "--json"))
    has(show(d, f"{tar}#member=best.pdparams", want=1), 'has no file "best.pdparams"; there is "a/best.pdparams"')
    has(show(d, f"{tar}#member=a/best.pdparams&sha256={'0' * 64}", want=1), f"its SHA-256 is {sha(body)}")
    eq(d.get("/v1/jobs").json["jobs"], [])
    store.stop()


@case("what is not there, no weights, or where secrets are is refused by its address", "stopped")
def _(d):
    store = object_store()
    bucket.rekindled(d, {"stores": [store.entry]})
    page = store.put("page", b"<!DOCTYPE html><html></html>")

    def refused(address, *words):
        r = d.post("/v1/weights/inspect", {"address": address}, want=422).json
        eq([e["path"] for e in r["errors"]], ["address"], address)
        for w in words:
            has(r["errors"][0]["message"], w)
    refused(page, page, "a web page")
    refused(page + "2", page + "2", "404")
    refused("/etc/passwd", "want an address of s3:, oss:, https: or http:")
    refused("file:///etc/passwd", "want an address of s3:, oss:, https: or http:")
    refused("s3://b", "names no object")
    for host in ("169.254.169.254", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "2852039166", "0xa9fea9fe"):
        refused(f"http://{host}/latest/meta-data/iam", "is the address of a metadata service")
    eq(d.post("/v1/weights/inspect", {"addres": page}).status, 422)
    has(show(d, page, "/etc/passwd", want=2), "without files among them")
    store.stop()


run()
