#!/usr/bin/env python3
"""What is in files of weights that addresses lead to: the daemon fetches them, a process of its own reads them, and
nobody is sent to where a cloud hands out secrets."""
import json
import os
import struct
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


def weights(d, *args, want=0, **env):
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "weights", *args], capture_output=True, text=True,
                       cwd=d.root, env={**os.environ, "TMPDIR": d.root, **env})
    eq(r.returncode, want, f"weights {args} ({r.stdout[-300:]} {r.stderr[-300:]})")
    return r.stdout + r.stderr


@case("weights diff and convert do with an address what they do with the file, and leave only what was asked for", "stopped")
def _(d):
    store = object_store()
    bucket.rekindled(d, {"stores": [store.entry]})
    body = resnet20()
    with open(f"{d.root}/here.pdparams", "wb") as f:
        f.write(body)
    at = store.put("v3/best.pdparams", body)
    tar = store.put("rec.tar.gz", tar_of({"a/best.pdparams": body}, True)) + "#member=a/best.pdparams"
    arch = ["--arch", "resnet20"]
    weights(d, "convert", "here.pdparams", "--to", "pt", "-o", "want.pt", *arch)
    there = sorted(os.listdir(d.root))
    for one, two in ((at, "here.pdparams"), ("here.pdparams", tar), (at, f"{at}#sha256={sha(body)}")):
        told = json.loads(weights(d, "diff", one, two, "--json"))
        eq((told["a"], told["b"], told["equal"]), (one, two, True))
    has(weights(d, "diff", at, "want.pt", want=1), f"A: {at}\nB: want.pt\n")
    both = json.loads(weights(d, "show", at, "here.pdparams", "--json"))
    eq([f["path"] for f in both], [at, "here.pdparams"])
    eq(json.loads(weights(d, "show", at, "--part", "", "--json"))["path"], at)
    eq(sorted(os.listdir(d.root)), there, "what is left")
    # By its own name, and not over what is there.
    for source in (at, tar):
        has(weights(d, "convert", source, "--to", "pt", *arch), "best.pt: ")
        with open(f"{d.root}/best.pt", "rb") as got, open(f"{d.root}/want.pt", "rb") as want:
            eq(got.read(), want.read(), source)
        has(weights(d, "convert", source, "--to", "pt", *arch, want=1), "best.pt is there already")
        os.unlink(f"{d.root}/best.pt")
    # Of more tensors than an answer of the daemon holds.
    n = 40000
    head = json.dumps({f"model.layers.{i // 99}.{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]}
                       for i in range(n)}).encode()
    many = struct.pack("<Q", len(head)) + head + bytes(n)
    with open(f"{d.root}/many", "wb") as f:
        f.write(many)
    at = store.put("many", many)
    has(weights(d, "show", at, want=1), f"{at}: what is said of its tensors takes more than 8 MiB")
    has(weights(d, "show", at, "--part", ""), f"{n:,} elements")
    eq(json.loads(weights(d, "diff", at, "many", "--json"))["equal"], True)
    os.unlink(f"{d.root}/many")
    page = store.put("page", b"<!DOCTYPE html><html></html>")
    has(weights(d, "diff", "here.pdparams", page, want=1), f"{page}: is a web page")
    has(weights(d, "convert", "http://169.254.169.254/m.pt", "--to", "pt", want=1), "a metadata service")
    has(weights(d, "convert", at, "--to", "pt", "-o", "x.pt", want=1, TMPDIR=f"{d.root}/no"), "cannot make a file in ")
    eq(sorted(os.listdir(d.root)), there, "what is left")
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
    has(show(d, page, "/etc/passwd", want=1), f"{page}: is a web page")
    for address in (page, "http://169.254.169.254/x", "/etc/passwd"):
        r = d.post("/v1/weights/fetch", {"address": address}, want=422).json
        eq([e["path"] for e in r["errors"]], ["address"], address)
    store.stop()


run()
