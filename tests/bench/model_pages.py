"""The row `models` of bench.py: a page of 100 out of 10,000 versions, from the copy that the daemon has, over HTTP."""
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")
import registry                         # noqa: E402
import t                                # noqa: E402

VERSIONS = 10000
PAGES = (("the newest", ""), ("in the middle", "CURSOR"), ("by a metric", "&sort=-val_macro_f1"),
         ("of an author, by two metrics", "&author=ana&metric=val_accuracy>=0.5,val_loss<0.9&sort=val_loss"),
         ("of a label that few have", "&label=rare"), ("of a metric that few reach", "&metric=val_accuracy>=0.995"))


def fill(r):
    """Records of the size that a fine-tuned classifier's have."""
    classes = [f"defect {i}" for i in range(13)]
    spec = {"model": {"arch": "resnet50", "classes": 13}, "training": {f"field_{i}": i for i in range(80)}}
    lineage = {"kind": "version", "model": "tiles", "version": 1,
               "parents": [{"kind": "job", "job": "j", "parents": [{"kind": "file", "address": "s3://b/x"}]}]}
    for i in range(VERSIONS):
        x = (i * 7919 % VERSIONS) / VERSIONS
        r.version("tiles", val_accuracy=x, val_loss=1 - x, val_macro_f1=x * x, author=("ana", "ben", "eva")[i % 3],
                  labels={"line": str(i % 7), **({"rare": "1"} if i % 100 == 50 else {})}, classes=classes, spec=spec,
                  lineage=lineage, per_class=[{"class": c, "precision": x, "recall": x, "f1": x} for c in classes])


def times(c, path, n):
    out = []
    for _ in range(n):
        begin = time.perf_counter()
        c.request("GET", path)
        r = c.getresponse()
        body = r.read()
        out.append(1000 * (time.perf_counter() - begin))
        assert r.status == 200, body[:300]
    return sorted(out), len(body)


def bench(top, row, rounds):
    os.makedirs(f"{top}/models")
    d = t.Daemon(f"{top}/models")
    fill(registry.Root(d))
    d.start()
    begin = time.monotonic()
    while d.call("GET", "/v1/models/tiles", timeout=300).json.get("versions") != VERSIONS:
        time.sleep(0.5)
    first = time.monotonic() - begin
    row("a log of 10,000 versions, read first", VERSIONS / first, "entries/s", ">= 1000", VERSIONS / first >= 1000,
        "from a folder, into the copy, a few dozen entries a sync")
    page = d.get("/v1/model-versions?limit=500").json
    c = d.connect()
    for name, query in PAGES:
        q = f"&cursor={page['next']}" if query == "CURSOR" else query
        v, size = times(c, f"/v1/model-versions?limit=100{q}", 60 * rounds)
        p99 = v[int(len(v) * 0.99)]
        row(f"page of 100 out of 10,000 versions, {name}", statistics.median(v), "ms", "< 20", p99 < 20,
            f"{size / 1024:.0f} KiB, one connection, median of {len(v)}; 99th percentile {p99:.1f} ms")
    c.close()
    d.stop()
