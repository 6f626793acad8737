#!/usr/bin/env python3
"""The registry: aliases with history, versions looked for, and logs that somebody spoilt."""
import json
import os
import sqlite3
import time

from registry import SHA, Root
from t import case, eq, has, run, wait_for


def refused(r, status, part):
    eq(r.status, status, f"status ({r.body[:300]!r})")
    has(r.json["detail"], part)


def move(d, name, alias, want=200, **body):
    return d.post(f"/v1/models/{name}/aliases/{alias}", body, want=want).json


def at(d, name, alias):
    return d.get(f"/v1/models/{name}/aliases/{alias}").json["version"]


def three(d, **more):
    """A model of three versions, each better than the one before it."""
    r = Root(d)
    for x in (0.7, 0.8, 0.9):
        r.version("tiles", val_accuracy=x, val_loss=1 - x, **more)
    return r


# --- aliases --------------------------------------------------------------------------------------

@case("an alias is moved, rolled back and moved forth, and its history says who, when and why")
def _(d):
    three(d)
    move(d, "tiles", "production", version=1, author="ana", note="the first")
    move(d, "tiles", "production", version=2, author="ben")
    move(d, "tiles", "production", version=3)
    back = "/v1/models/tiles/aliases/production/rollback"
    eq(d.post(back, {"author": "eva", "note": "smeared edges"}, want=200).json["version"], 2)
    eq(d.post(back, {}, want=200).json["version"], 1)
    refused(d.post(back, {}), 409, "was nowhere before")
    eq(move(d, "tiles", "production", version=3)["before"], [1])
    r = d.get("/v1/models/tiles/aliases/production").json
    eq([(e["version"], e["how"], e["by"]) for e in r["history"]],
       [(3, "moved", ""), (1, "rollback", ""), (2, "rollback", "eva"), (3, "moved", ""), (2, "moved", "ben"),
        (1, "moved", "ana")])
    eq(r["history"][2]["note"], "smeared edges")
    eq([e["was"] for e in r["history"]], [1, 2, 3, 2, 1, None])
    eq(d.get("/v1/models/tiles").json["aliases"], {"production": 3})
    eq(d.get("/v1/models/tiles/versions/production").json["version"], 3)


@case("a rollback passes over what was deleted, and an alias that was taken away comes back where it was")
def _(d):
    three(d)
    for v in (1, 2, 3):
        move(d, "tiles", "p", version=v)
    eq(d.call("DELETE", "/v1/models/tiles/versions/2").status, 204)
    eq(d.post("/v1/models/tiles/aliases/p/rollback", {}, want=200).json["version"], 1)
    eq(d.call("DELETE", "/v1/models/tiles/aliases/p?by=ana").status, 204)
    eq(d.get("/v1/models/tiles/aliases/p").json["version"], None)
    eq(d.get("/v1/models/tiles/aliases").json["aliases"], [])
    d.get("/v1/models/tiles/versions/p", want=404)
    eq(d.post("/v1/models/tiles/aliases/p/rollback", {}, want=200).json["version"], 1)
    refused(d.call("DELETE", "/v1/models/tiles/aliases/q"), 404, "has no alias q; it has p (version 1)")


@case("an alias goes where another is, and nothing is written when it is there already")
def _(d):
    three(d)
    move(d, "tiles", "candidate", version=2)
    eq(move(d, "tiles", "production", **{"from": "candidate"})["changed"], True)
    r = move(d, "tiles", "production", version=2)
    eq((r["version"], r["changed"], len(r["history"])), (2, False, 1))
    refused(d.post("/v1/models/tiles/aliases/p", {"from": "nobody"}), 404, "has no alias nobody")
    refused(d.post("/v1/models/tiles/aliases/p", {"version": 9}), 404, "no version 9; its newest is 3")
    refused(d.post("/v1/models/none/aliases/p", {"version": 1}), 404, "none")
    for body in ({}, {"version": 1, "from": "candidate"}, {"version": 0}, {"version": 1, "to": 2}):
        eq(d.post("/v1/models/tiles/aliases/p", body).status, 422, body)
    for alias in ("latest", "12", "a b", ".p", "x" * 65):
        eq(d.post(f"/v1/models/tiles/aliases/{alias.replace(' ', '%20')}", {"version": 1}).status, 404, alias)


@case("if_better compares on the same data, by the record or by an evaluation, or refuses")
def _(d):
    r = three(d)
    r.version("tiles", val_accuracy=0.95, data={"validation": {"digest": "e" * 64}})
    move(d, "tiles", "p", version=2, if_better="val_accuracy")
    move(d, "tiles", "p", version=3, if_better="accuracy")
    url = "/v1/models/tiles/aliases/p"
    eq(d.get(url).json["history"][0]["better"],
       {"metric": "accuracy", "data": "d" * 64, "was": 0.8, "is": 0.9, "was_version": 2})
    refused(d.post(url, {"version": 1, "if_better": "val_accuracy"}), 409, "of version 1 is 0.7, and of version 3, "
            "where the alias is, 0.9, on the same data")
    refused(d.post(url, {"version": 1, "if_better": "val_loss"}), 409, "less is better")
    no = d.post(url, {"version": 4, "if_better": "val_accuracy"})
    refused(no, 409, "version 4 has it of data eeeeeeeeeeeeeeee, and version 3 has it of data dddddddddddddddd")
    has(no.json["detail"], "rekindle evaluate model://tiles/4 DATA")
    refused(d.post(url, {"version": 4, "if_better": "val_macro_f1"}), 409, "version 4 has none")
    r.seq["tiles"] = d.get("/v1/models/tiles").json["entries"]
    r.put("tiles", {"event": "evaluated", "version": 4, "job": "x", "data": {"digest": "d" * 64},
                    "metrics": {"accuracy": 0.91}})
    eq(move(d, "tiles", "p", version=4, if_better="val_accuracy")["version"], 4)
    eq(d.get("/v1/models/tiles/versions/4").json["evaluations"][0]["metrics"], {"accuracy": 0.91})


@case("what a version had on its training data does not make it better")
def _(d):
    r = three(d)
    for trained, judged in ((0.7, 0.8), (0.99, 0.6)):
        r.version("overfitted", val_accuracy=judged, metrics={"accuracy": trained, "val_accuracy": judged},
                  data={"validation": {"digest": "d" * 64}})
    move(d, "overfitted", "p", version=1)
    for metric in ("accuracy", "val_accuracy"):
        refused(d.post("/v1/models/overfitted/aliases/p", {"version": 2, "if_better": metric}), 409,
                "of version 2 is 0.6, and of version 1, where the alias is, 0.8")


@case("a request that is repeated with its Idempotency-Key is one move, also after a crash")
def _(d):
    three(d)
    h = {"Idempotency-Key": "k1"}
    a = d.post("/v1/models/tiles/aliases/p", {"version": 1}, want=200, headers=h).json
    move(d, "tiles", "p", version=2)
    d.kill()
    c = sqlite3.connect(f"{d.state}/rekindle.db")
    c.execute("DELETE FROM idem")
    c.commit()
    c.close()
    d.start()
    b = d.post("/v1/models/tiles/aliases/p", {"version": 1}, want=200, headers=h).json
    eq((a["version"], b["version"]), (1, 2))
    eq(len(b["history"]), 2)


# --- versions -------------------------------------------------------------------------------------

@case("a version in use is not deleted; of one that is deleted the files go, the number and the record stay")
def _(d):
    r = three(d)
    for v in (1, 2):
        r.to_folder(f"tiles/versions/f{v}/model.safetensors", b"abc")
        r.to_folder(f"tiles/versions/f{v}/version.json", b"{}")
    move(d, "tiles", "production", version=2)
    refused(d.call("DELETE", "/v1/models/tiles/versions/2"), 409, "production is at it")
    refused(d.call("DELETE", "/v1/models/tiles/versions/production"), 409, "production is at it")
    eq(d.call("DELETE", "/v1/models/tiles/versions/1?by=ana").status, 204)
    wait_for(20, "its files are gone", lambda: not os.path.exists(f"{r.folder}/tiles/versions/f1/model.safetensors") and
             not os.path.exists(f"{r.folder}/tiles/versions/f1/version.json"))
    assert os.path.exists(f"{r.folder}/tiles/versions/f2/model.safetensors")
    v = d.get("/v1/models/tiles/versions/1").json
    eq((v["deleted"], v["metrics"]["val_accuracy"]), (True, 0.7))
    refused(d.call("DELETE", "/v1/models/tiles/versions/1"), 404, "was deleted")
    refused(d.post("/v1/models/tiles/aliases/p", {"version": 1}), 404, "was deleted")
    eq([v["version"] for v in d.get("/v1/models/tiles/versions").json["versions"]], [3, 2])
    eq([v["version"] for v in d.get("/v1/models/tiles/versions?deleted=1").json["versions"]], [3, 2, 1])
    eq(d.get("/v1/models/tiles").json["versions"], 2)


@case("notes and labels are changed, and found again")
def _(d):
    three(d, labels={"line": "7", "team": "qa"})
    url = "/v1/models/tiles/versions/2"
    r = d.call("PATCH", url, {"notes": "mind the edges", "labels": {"line": "8", "team": None, "x": "y"}})
    eq(r.status, 200, r.text)
    eq((r.json["notes"], r.json["labels"]), ("mind the edges", {"line": "8", "x": "y"}))
    eq([v["version"] for v in d.get("/v1/models/tiles/versions?label=line=8,x").json["versions"]], [2])
    eq([v["version"] for v in d.get("/v1/models/tiles/versions?label=team").json["versions"]], [3, 1])
    r = d.call("PATCH", url, {"labels": {f"l{i}": "" for i in range(62)}})
    eq(len(r.json["labels"]), 64)
    refused(d.call("PATCH", url, {"labels": {"one": "more"}}), 422, "makes 65 labels of version 2, want at most 64")
    for body in ({}, {"notes": 3}, {"labels": []}, {"labels": {"a": 1}}, {"version": 3}):
        eq(d.call("PATCH", url, body).status, 422, body)
    eq(d.call("PATCH", "/v1/models/tiles/versions/9", {"notes": ""}).status, 404)


@case("versions are found by author, label and metric, sorted, a page at a time, over all models")
def _(d):
    r = Root(d)
    for i in range(60):
        r.version(f"m{i % 3}", val_accuracy=i / 100, author=("ana", "ben")[i % 2], labels={"n": str(i)})
    find = lambda q: [(v["model"], v["metrics"]["val_accuracy"])
                      for v in d.get(f"/v1/model-versions?{q}").json["versions"]]
    eq(find("metric=val_accuracy>=0.55&sort=val_accuracy"),
       [("m1", .55), ("m2", .56), ("m0", .57), ("m1", .58), ("m2", .59)])
    eq(find("metric=val_accuracy%3E=0.5,val_accuracy<0.53&author=ana&sort=-val_accuracy"), [("m1", .52), ("m2", .5)])
    eq(find("label=n=7"), [("m1", .07)])
    eq(find("metric=val_loss>0"), [])
    for q in ("&sort=-val_accuracy", "&sort=val_accuracy", "&sort=created", ""):
        seen, cursor = [], ""
        while True:
            page = d.get(f"/v1/model-versions?limit=7{q}{cursor}").json
            seen += [(v["model"], v["version"]) for v in page["versions"]]
            if not page["next"]:
                break
            cursor = f"&cursor={page['next']}"
        eq((len(seen), len(set(seen))), (60, 60), q)
    for q in ("metric=x", "metric=>3", "metric=a>=b", "metric=a=>1", "metric=a>nan", "sort=", "sort=-", "label==3", "cursor=x",
              "limit=0", "deleted=perhaps", "name=x", "label=" + ",".join(["a"] * 9)):
        eq(d.call("GET", f"/v1/model-versions?{q}").status, 400, q)
    eq([m["model"] for m in d.get("/v1/models?limit=2").json["models"]], ["m0", "m1"])
    eq([m["model"] for m in d.get("/v1/models?limit=2&cursor=m1").json["models"]], ["m2"])


@case("lists may be a minute old and say how old; one model is asked for by name")
def _(d):
    r = three(d)
    eq([m["model"] for m in d.get("/v1/models").json["models"]], ["tiles"])
    r.version("other")
    page = d.get("/v1/models").json
    eq([m["model"] for m in page["models"]], ["tiles"])
    assert 0 <= page["age_seconds"] < 60 and page["as_of"] and page["error"] is None, page
    eq(d.get("/v1/models/other").json["newest"]["version"], 1)
    eq([m["model"] for m in d.get("/v1/models").json["models"]], ["other", "tiles"])


@case("models and what is wrong with their logs are counted for Prometheus")
def _(d):
    r = three(d)
    r.raw("tiles", b"nonsense")
    r.version("edges")
    r.version("edges")
    os.remove(f"{r.folder}/edges/log/0000000001.json")
    d.get("/v1/models")
    text = d.get("/metrics").text
    for line in ("rekindle_models 2", "rekindle_model_versions 3", "rekindle_model_entries_unread 1",
                 "rekindle_model_logs_broken 1", "rekindle_models_reachable 1"):
        has(text, line + "\n")


@case("moves and versions are events, of which what was long ago is none")
def _(d):
    r = three(d)
    move(d, "tiles", "p", version=1, author="ana")
    r.seq["tiles"] += 1
    r.version("tiles")
    move(d, "tiles", "p", version=4)
    kinds = []
    for _, data in d.sse("/v1/events?after=0"):
        e = json.loads(data)
        if e["kind"].startswith("model"):
            kinds.append((e["kind"], e["message"]))
        if len(kinds) == 3:
            break
    eq(kinds, [("model_alias", "tiles@p is now at version 1, by ana"), ("model_version", "tiles/4 was registered, by eva"),
               ("model_alias", "tiles@p is now at version 4")])


# --- logs that somebody spoilt --------------------------------------------------------------------

BAD = [
    ({"event": "version", "version": 1}, "record: is missing"),
    ({"event": "alias", "alias": "p", "how": "moved", "version": 9}, "there is no version 9"),
    ({"event": "alias", "alias": "latest", "how": "moved", "version": 1}, "alias"),
    ({"event": "alias", "alias": "../p", "how": "moved", "version": 1}, "alias"),
    ({"event": "alias", "alias": "p", "how": "sideways", "version": 1}, "how"),
    ({"event": "alias", "alias": "p", "how": "removed", "version": None}, "no alias p to take away"),
    ({"event": "deleted", "version": 77}, "there is no version 77"),
    ({"event": "changed", "version": 1}, "notes"),
    ({"event": "changed", "version": 1, "labels": {"a": 3}}, "labels"),
    ({"event": "evaluated", "version": 1, "data": {}, "metrics": {}}, "data"),
    ({"event": "renamed"}, "event"),
    ({"event": "deleted", "version": 1, "seq": 3000}, "seq"),
    ({"event": "deleted", "version": 1, "format": 2}, "format"),
    ({"event": "deleted", "version": 1, "id": "a/b"}, "id"),
    ({"event": "deleted", "version": 1, "at": "yesterday"}, "at"),
]
RECORDS = [
    ({"files": [{"name": "../../other/versions/x/model.safetensors", "size": 1, "sha256": SHA}]}, "files[0].name"),
    ({"files": [{"name": "/etc/passwd", "size": 1, "sha256": SHA}]}, "files[0].name"),
    ({"files": [{"name": ".rk-tmp-1", "size": 1, "sha256": SHA}]}, "files[0].name"),
    ({"files": []}, "files"), ({"files": [{"name": "a", "size": -1, "sha256": SHA}]}, "size"),
    ({"files": [{"name": "a", "size": 1, "sha256": "xyz"}]}, "sha256"),
    ({"id": "../f1"}, "id"), ({"id": "f1"}, "its folder f1 is that of version 1"), ({"model": "other"}, "model"),
    ({"metrics": {"a": "high"}}, "metrics"), ({"labels": {"a": ["b"]}}, "labels"), ({"digest": "0" * 63}, "digest"),
    ({"source": {"kind": "job", "job": "../x"}}, "source"), ({"bytes": "many"}, "bytes"), ({"format": 9}, "format"),
]


@case("entries that cannot be count for nothing, say why, and the log goes on behind them")
def _(d):
    r = Root(d)
    r.version("tiles", val_accuracy=0.5)
    r.raw("tiles", b"")
    r.raw("tiles", b"{\"format\": 1")
    r.raw("tiles", b"[" * 5000 + b"]" * 5000)
    r.raw("tiles", b"{\"format\": 1, \"format\": 1}")
    r.raw("tiles", b"\xff\xfe\x00")
    r.raw("tiles", b" " * (3 << 20))
    for fields, _ in BAD:
        r.put("tiles", fields)
    for more, _ in RECORDS:
        r.top["tiles"] = r.seq["tiles"]
        r.version("tiles", **more)
    n = r.seq["tiles"]
    r.top["tiles"] = n
    r.version("tiles", val_accuracy=0.6)
    m = d.get("/v1/models/tiles").json
    eq((m["entries"], m["unread"], m["versions"]), (n + 1, n - 1, 2))
    h = {e["seq"]: e for e in d.get("/v1/models/tiles/history?limit=500").json["entries"]}
    for i, (_, part) in enumerate(BAD):
        has(h[8 + i]["fault"], part)
    for i, (_, part) in enumerate(RECORDS):
        has(h[8 + len(BAD) + i]["fault"], part)
    eq([v["metrics"] for v in d.get("/v1/models/tiles/versions").json["versions"]],
       [{"val_accuracy": 0.6}, {"val_accuracy": 0.5}])
    move(d, "tiles", "p", version=1)
    eq(at(d, "tiles", "p"), 1)


@case("a gap in a log ends it, and is said; nothing is written behind it until it is filled")
def _(d):
    r = three(d)
    os.rename(f"{r.folder}/tiles/log/0000000002.json", f"{r.folder}/away")
    m = d.get("/v1/models/tiles").json
    has(m["fault"], "entry 2 of its log is missing")
    eq(m["versions"], 1)
    refused(d.post("/v1/models/tiles/aliases/p", {"version": 1}), 500, "entry 2 of its log is missing")
    os.rename(f"{r.folder}/away", f"{r.folder}/tiles/log/0000000002.json")
    move(d, "tiles", "p", version=3)
    m = d.get("/v1/models/tiles").json
    eq((m["fault"], m["versions"], m["aliases"]), (None, 3, {"p": 3}))


@case("names with slashes, dots and what else names a file lead nowhere")
def _(d):
    three(d)
    for name in ("a%2Fb", "..", "%2E%2E", ".x", "x%00y", "a%20b", "x" * 65, "-a", "%C3%A4"):
        for path in (f"/v1/models/{name}", f"/v1/models/{name}/versions", f"/v1/models/{name}/aliases/p"):
            assert d.call("GET", path).status in (400, 404), path
    for v in ("0", "-1", "01x", "9" * 30, "..", "a%2Fb", "latest2"):
        assert d.call("GET", f"/v1/models/tiles/versions/{v}").status in (400, 404), v


@case("a log of two thousand entries is read quickly, and is there at once after a restart")
def _(d):
    r = Root(d)
    for i in range(1000):
        r.version("many", val_accuracy=i / 1000)
        r.move("many", "p", i + 1)
    t = time.monotonic()
    m = d.get("/v1/models/many").json
    first = time.monotonic() - t
    eq((m["versions"], m["aliases"], m["entries"], m["unread"]), (1000, {"p": 1000}, 2000, 0))
    d.stop()
    d.start()
    t = time.monotonic()
    eq(d.get("/v1/models/many").json["versions"], 1000)
    print(f"# read first in {first:.2f} s, again in {time.monotonic() - t:.2f} s")


if __name__ == "__main__":
    run()
