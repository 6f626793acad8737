"""The registry's part of the walk over all operations (openapi.py).  Not a test itself."""
from hand_made import Versions, below
from registry import Root
from t import eq, wait_for
from warm_files import resnet20


def walk_files(d, ok, no):
    body = resnet20()
    Versions(below(f"{d.state}/models")).add("files", {"model.pdparams": body}, model="model.pdparams", form="paddle")
    m = {"model": "files", "version": "1"}
    eq(ok("getVersionFile", 200, file="model.pdparams", **m).body, body)
    eq(ok("getVersionFile", 206, file="model.pdparams", headers={"Range": "bytes=1-4"}, **m).body, body[1:5])
    ok("getVersionFile", 200, file="model.safetensors", **m)
    no("getVersionFile", 404, file="none", **m)
    no("getVersionFile", 404, file="model.pt", model="files", version="9")
    no("getVersionFile", 416, file="model.pdparams", headers={"Range": "bytes=99999999-"}, **m)
    no("getVersionFile", 500, file="model.safetensors", model="tiles", version="2")


def walk_registrations(d, ok, no, job):
    m, later = {"model": "made"}, {"Prefer": "respond-async"}
    ok("registerVersion", 201, body={"job": job, "checkpoint": "best", "notes": "n", "labels": {"a": "b"},
                                     "author": "ana", "alias": "p"}, **m)
    i = ok("registerVersion", 202, body={"job": job, "optimizer": False}, headers=later, **m).json["id"]
    no("registerVersion", 404, body={"job": "nobody"}, **m)
    no("registerVersion", 422, body={"job": job, "checkpoint": "no-such-checkpoint"}, **m)
    no("registerVersion", 422, body={}, **m)
    no("registerVersion", 422, body={"job": job}, model="..")
    ok("listRegistrations", 200, query="?limit=1", **m)
    no("listRegistrations", 400, query="?cursor=x", **m)
    wait_for(60, "it is registered", lambda: ok("getRegistration", 200, registration=i, **m).json["state"] ==
             "registered")
    no("getRegistration", 404, registration="0" * 26, **m)
    ok("dropRegistration", 204, registration=i, **m)
    no("dropRegistration", 404, registration=i, **m)


def walk_models(d, ok, no, job):
    """job: one that has succeeded."""
    walk_registrations(d, ok, no, job)
    r = Root(d)
    for x in (0.7, 0.8, 0.9):
        r.version("tiles", val_accuracy=x, val_loss=None)
    m = {"model": "tiles"}
    ok("listModels", 200, query="?limit=2")
    no("listModels", 400, query="?cursor=..")
    ok("getModel", 200, **m)
    no("getModel", 404, model="nobody")
    p = ok("listVersions", 200, query="?limit=2&metric=val_accuracy>=0.1&sort=-val_accuracy&author=eva", **m).json
    ok("listVersions", 200, query=f"?limit=2&metric=val_accuracy>=0.1&sort=-val_accuracy&cursor={p['next']}", **m)
    no("listVersions", 404, model="nobody")
    no("listVersions", 400, query="?metric=x", **m)
    ok("searchVersions", 200, query="?label=a&deleted=true")
    no("searchVersions", 400, query="?sort=")
    ok("getVersion", 200, version="2", **m)
    no("getVersion", 404, version="9", **m)
    no("getVersion", 404, version="nobody", **m)
    ok("changeVersion", 200, version="2", body={"notes": "n", "labels": {"a": "b"}, "author": "ana"}, **m)
    no("changeVersion", 422, version="2", body={"notes": 1}, **m)
    no("changeVersion", 404, version="9", body={"notes": ""}, **m)
    ok("moveAlias", 200, alias="p", body={"version": 1, "note": "why", "author": "ana"}, **m)
    ok("moveAlias", 200, alias="p", body={"version": 2, "if_better": "val_accuracy"}, **m)
    ok("moveAlias", 200, alias="q", body={"from": "p"}, **m)
    no("moveAlias", 409, alias="p", body={"version": 1, "if_better": "val_accuracy"}, **m)
    no("moveAlias", 404, alias="p", body={"version": 9}, **m)
    no("moveAlias", 422, alias="p", body={}, **m)
    ok("listAliases", 200, **m)
    no("listAliases", 404, model="nobody")
    ok("getAlias", 200, alias="p", query="?limit=1", **m)
    no("getAlias", 404, alias="nobody", **m)
    ok("rollbackAlias", 200, alias="p", body={"note": "why"}, **m)
    no("rollbackAlias", 409, alias="p", **m)
    no("rollbackAlias", 404, alias="nobody", **m)
    ok("deleteAlias", 204, alias="q", query="?by=ana", **m)
    no("deleteAlias", 404, alias="q", **m)
    ok("getAlias", 200, alias="q", **m)
    no("deleteVersion", 409, version="1", **m)
    ok("deleteVersion", 204, version="3", **m)
    no("deleteVersion", 404, version="9", **m)
    for v in "2", "latest", "3":
        ok("getLineage", 200, version=v, **m)
        ok("getCard", 200, version=v, **m)
        ok("compareVersions", 200, version=v, query="?with=1", **m)
    ok("compareVersions", 200, version="1", query="?with=tiles%2F2", **m)
    no("compareVersions", 400, version="1", **m)
    no("compareVersions", 404, version="1", query="?with=none%2F1", **m)
    for op in "getLineage", "getCard":
        no(op, 404, version="9", **m)
    walk_files(d, ok, no)
    ok("getVersion", 200, version="3", **m)
    ok("listHistory", 200, query="?limit=3", **m)
    no("listHistory", 400, query="?limit=0", **m)
