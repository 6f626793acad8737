#!/usr/bin/env python3
"""Heads that grow: rows by the names of their classes, with bias and moments; vocabularies; input channels."""
import glob
import json
import os
import random
import struct
import subprocess

import bucket
import pictures
from buckets import object_store
from t import BUILD, case, eq, has, run, safetensors, trainer

OLD = ["crack", "fray", "uneven", "void"]
NEW = ["blowhole", "crack", "dent", "fray", "uneven", "void"]     # alphabetical: three of four go elsewhere
STILL = {"type": "sgd", "learning_rate": 1e-30}       # a step that moves nothing
ADAM = {"type": "adam", "learning_rate": 0.01}


def folder(d, name, classes):
    """A class a folder."""
    pictures.folder(f"{d.root}/{name}", classes, 6, 4, 4)
    return f"{d.root}/{name}"


def job(d, name, classes, optimizer=ADAM, steps=8, warm=None, layer="fc", **model):
    path = f"{d.root}/{name}-data"
    if not os.path.exists(path):
        folder(d, f"{name}-data", classes)
    return {"name": name, "resources": {"threads": 1, "memory": "128MiB"},
            "model": {"layers": ["flatten", {"type": "linear", "name": "hidden", "out": 8}, "relu",
                                 {"type": "linear", "name": layer, "out": len(classes)}], **model},
            "training": {"epochs": 1000, "steps": steps, "batch_size": 4, "optimizer": optimizer,
                         **({"warm_start": warm} if warm else {})},
            "data": {"train": {"type": "image_folder", "path": path}},
            "checkpoint": {"every": {"steps": 4}}}


def last(d, name):
    at = f"{d.root}/{name}.run/checkpoints"
    return f"{at}/" + max(x for x in os.listdir(at) if x.startswith("step-"))


def told(folder):
    with open(f"{folder}/checkpoint.json") as f:
        return json.load(f)


def tensors(path):
    with open(path, "rb") as f:
        return tensors_of(f.read())


def tensors_of(bytes):
    """{name: rows of floats} of a safetensors file."""
    n = struct.unpack("<Q", bytes[:8])[0]
    head, data, out = json.loads(bytes[8:8 + n]), bytes[8 + n:], {}
    for name, t in head.items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        v = struct.unpack(f"<{(b - a) // 4}f", data[a:b])
        rows = t["shape"][0] if t["shape"] else 1
        out[name] = [v[i * len(v) // rows:(i + 1) * len(v) // rows] for i in range(rows)]
    return out


def rows_of(folder, file, name):
    """Rows by the names of their classes."""
    return dict(zip(told(folder)["classes"], tensors(f"{folder}/{file}")[name]))


def plan(d, j, want=0):
    return json.loads(trainer(d, j, "--plan", "--json", want=want)[0])


def parent(d, classes=OLD, **more):
    trainer(d, job(d, "old", classes, **more))
    return f"{last(d, 'old')}/model.safetensors"


@case("of alphabetical folders each old class has its row wherever it goes, and new ones begin as in a cold start",
      "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    from_old = parent(d)
    j = job(d, "new", NEW, STILL, 1, checkpoint=from_old, grow=["fc"])
    p = plan(d, j)
    eq(p["accepted"], True)
    eq(p["strict"], True)
    has(p["summary"], "loaded 4 of 4 tensors (428 of 446 parameters); 0 new; 2 grown: fc.weight, fc.bias (file [4,8], "
        "model [6,8]); 0 missing; 0 ignored")
    rows = {t["name"]: t for t in p["tensors"]}
    eq([rows[x]["action"] for x in ("hidden.weight", "fc.weight", "fc.bias")], ["copy", "grow", "grow"])
    eq(rows["fc.weight"]["grown"],
       {"way": "rows", "match": "name", "init": "default", "kept": 4, "new": 2, "dropped": 0})
    has(rows["fc.weight"]["why"], "4 classes kept by name; 2 new, as in a cold start")
    eq(p["classes"], {"kept": OLD, "new": ["blowhole", "dent"], "dropped": []})
    eq([n for n in p["notes"] if "class" in n],
       ["4 classes keep what the file knows: crack, fray, uneven, void",
        "2 classes begin as in a cold start: blowhole, dent"])
    trainer(d, j)
    trainer(d, job(d, "cold", NEW, STILL, 1))
    eq(told(last(d, "new"))["classes"], NEW)
    for what in ("fc.weight", "fc.bias"):
        was, cold = (rows_of(last(d, x), "model.safetensors", what) for x in ("old", "cold"))
        now = rows_of(last(d, "new"), "model.safetensors", what)
        for c in NEW:
            eq(now[c], was.get(c, cold[c]), f"{what} of {c}")


@case("a class that went away is dropped and said, and another in its place has not its row", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    from_old = parent(d)
    now = ["crack", "dent", "uneven", "void"]           # as many as before
    j = job(d, "new", now, STILL, 1, checkpoint=from_old, grow={"fc": {"init": "zero"}})
    p = plan(d, j)
    eq(p["classes"], {"kept": ["crack", "uneven", "void"], "new": ["dent"], "dropped": ["fray"]})
    has(str(p["notes"]), "1 class is dropped, which the file has and the job has not: fray")
    has(p["summary"], "2 grown")
    trainer(d, j)
    was, is_ = (rows_of(last(d, x), "model.safetensors", "fc.weight") for x in ("old", "new"))
    eq({c: is_[c] for c in now if c != "dent"}, {c: was[c] for c in now if c != "dent"})
    assert max(map(abs, is_["dent"])) < 1e-28, is_["dent"]
    # And without growth a person is told of it.
    p = plan(d, job(d, "plain", now, STILL, 1, checkpoint=from_old))
    eq(p["accepted"], True)
    has(str(p["notes"]), "1 class begins with the row of another class of the file: dent that of fray; model.grow: "
        "[fc] goes by their names")


@case("a class may have another name now, which the job says of the file, and that it does is noted", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    from_old = parent(d)
    otherwise = "calls them otherwise"
    j = job(d, "new", ["crack", "dent", "fray", "hole"], STILL, 1, checkpoint=from_old, grow=["fc"],
            checkpoint_classes=OLD)
    assert otherwise not in str(plan(d, j)["notes"])
    j["model"]["checkpoint_classes"] = ["crack", "fray", "uneven", "hole"]
    p = plan(d, j)
    has(str(p["notes"]), otherwise)
    eq(p["classes"], {"kept": ["crack", "fray", "hole"], "new": ["dent"], "dropped": ["uneven"]})
    trainer(d, j)
    was, is_ = (rows_of(last(d, x), "model.safetensors", "fc.weight") for x in ("old", "new"))
    eq([is_["hole"], is_["fray"]], [was["void"], was["fray"]])


@case("a lost line of the checkpoint is no cold start without a word, and --model stands for it", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    model = parent(d)
    j = job(d, "new", NEW, STILL, 1, grow=["fc"])
    path = f"{d.root}/new.json"
    with open(path, "w") as f:
        json.dump(j, f)
    go = lambda *args: subprocess.run([f"{BUILD}/rekindle-train", path, "--run-dir", f"{d.root}/x", *args],
                                      capture_output=True, text=True)
    r = go("--plan", "--json")
    assert r.returncode != 0, r
    has(r.stderr + r.stdout, "model.grow: is for a model that starts from model.checkpoint, which the job does not say")
    r = go("--plan", "--json", "--model", model)
    eq((r.returncode, "2 grown" in r.stdout), (0, True))
    del j["model"]["grow"]
    j["model"]["dialect"] = "timm"
    j["training"]["warm_start"] = {"optimizer": "moments"}
    with open(path, "w") as f:
        json.dump(j, f)
    r = go("--check")
    has(r.stderr + r.stdout, "without one model.dialect, training.warm_start.optimizer counts for nothing")


@case("fewer classes than a model has train a head of their own, and a person is told of the rows there are",
      "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "fewer", OLD[2:], STILL, 1, checkpoint=parent(d), strict=False)
    has(str(plan(d, j)["notes"]), "fc.weight begins anew; model.grow: [fc] keeps the rows of 2 classes that both have")
    trainer(d, j)
    eq(told(last(d, "fewer"))["classes"], OLD[2:])
    j["model"].update(strict=True)
    has(str(plan(d, j, 3)["refused"]), "model.grow: [fc] keeps the rows of 2 classes that both have")


@case("without names growth is refused unless the rows go by their numbers", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    t = tensors(parent(d))
    strange = safetensors(f"{d.root}/strange.safetensors", {
        n: ("F32", [len(v)] if n.endswith("bias") else [len(v), len(v[0])],
            b"".join(struct.pack(f"<{len(x)}f", *x) for x in v)) for n, v in t.items()}, {"format": "pt"})
    p = plan(d, job(d, "new", NEW, STILL, 1, checkpoint=strange, grow=["fc"]), 3)
    eq(p["accepted"], False)
    has(str(p["refused"]), "model.grow: fc.weight is matched by name, and what the classes of the file are called is "
        "not known: want model.checkpoint_classes, or model.grow: {fc: {match: index}}")
    j = job(d, "new", NEW, STILL, 1, checkpoint=strange, grow={"fc": {"match": "index", "init": "mean"}})
    trainer(d, j)
    is_ = tensors(f"{last(d, 'new')}/model.safetensors")["fc.weight"]
    eq(is_[:4], t["fc.weight"])
    for k in range(8):
        mean = sum(r[k] for r in t["fc.weight"]) / 4
        assert all(abs(is_[i][k] - mean) <= 1e-7 * (1 + abs(mean)) for i in (4, 5)), (k, is_, mean)
    # Told what they are called, in a list, or in a file of either form.
    with open(f"{d.root}/lines.txt", "w") as f:
        f.write("\n".join(reversed(OLD)))
    with open(f"{d.root}/index.txt", "w") as f:
        f.write("".join(f"{i} {c}\n" for i, c in enumerate(reversed(OLD))))
    for k, names in enumerate((OLD[::-1], "lines.txt", f"{d.root}/index.txt")):
        trainer(d, job(d, f"new{k}", NEW, STILL, 1, checkpoint=strange, grow=["fc"], checkpoint_classes=names))
        is_ = rows_of(last(d, f"new{k}"), "model.safetensors", "fc.weight")
        eq([is_[c] for c in OLD[::-1]], t["fc.weight"])
    p = plan(d, job(d, "bad", NEW, STILL, 1, checkpoint=strange, grow=["fc"], checkpoint_classes=OLD[:3]), 3)
    has(str(p["refused"]), "fc.weight has 4 rows in the file, and model.checkpoint_classes names 3 classes")
    p = plan(d, job(d, "bad", NEW, STILL, 1, checkpoint=strange, grow=["fd"], checkpoint_classes=OLD), 3)
    has(str(p["refused"]), 'has "fd", which fits no layer of the model with parameters; its last is fc')


@case("moments and counts of updates go with their rows, and new rows count from their own start", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    from_old = parent(d)
    warm = {"optimizer": "all", "learning_rate_scale": 1}
    still = dict(ADAM, learning_rate=1e-30)
    trainer(d, job(d, "new", NEW, still, 1, warm, checkpoint=from_old, grow=["fc"]))
    at = last(d, "new")
    eq(told(at)["state"]["updates"], {
        "hidden.weight": 9, "hidden.bias": 9,
        **{n: [{"first": 0, "rows": 1, "updates": 1}, {"first": 1, "rows": 1, "updates": 9},
               {"first": 2, "rows": 1, "updates": 1}, {"first": 3, "rows": 3, "updates": 9}]
           for n in ("fc.weight", "fc.bias")}})
    # v = 0.999 v + 0.001 g^2 with g of one step: where it was large it still is.
    was, is_ = (rows_of(last(d, x), "optimizer.safetensors", "fc.weight.exp_avg_sq") for x in ("old", "new"))
    for c in OLD:
        for a, b in zip(was[c], is_[c]):
            assert b >= 0.998 * a, (c, was[c], is_[c])
    # The first step of a new row is one rate long, as Adam's first steps are, whatever the old ones count.
    trainer(d, job(d, "step", NEW, ADAM, 1, warm, checkpoint=from_old, grow=["fc"]))
    before, after = (rows_of(last(d, x), "model.safetensors", "fc.weight") for x in ("new", "step"))
    for c in ("blowhole", "dent"):
        moved = [abs(a - b) for a, b in zip(before[c], after[c]) if a != b]
        assert moved and all(abs(m - 0.01) < 1e-4 for m in moved), (c, moved)


@case("after growth a run that is torn at any step ends with the same bytes, in phases, too", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    args = dict(checkpoint=parent(d), grow=["fc"])
    warm = {"optimizer": "all"}
    for phases in (None, [{"train": ["fc.*"], "steps": 5}, {"train": ["*"], "steps": 7, "learning_rate_scale": 0.5}]):
        def one(name, steps):
            name += "-in-phases" if phases else ""
            j = job(d, name, NEW, ADAM, steps, warm, **args)
            j["data"]["train"]["path"] = f"{d.root}/whole-data"
            if phases:
                j["training"]["phases"] = phases
            j["resources"]["threads"] = 1 + steps % 2
            trainer(d, j)
            return last(d, name)
        folder(d, "whole-data", NEW)
        whole = one("whole", 12)
        for steps in (1, 3, 5, 8, 12):
            torn = one("torn", steps)
        for f in ("model.safetensors", "optimizer.safetensors"):
            a, b = (open(f"{x}/{f}", "rb").read() for x in (whole, torn))
            assert a == b, (phases, f)
        eq(told(whole)["state"]["updates"], told(torn)["state"]["updates"])
    # What grew may grow again, with its counts.
    trainer(d, job(d, "again", NEW + ["worn"], dict(ADAM, learning_rate=1e-30), 1, warm,
                   checkpoint=f"{last(d, 'whole')}/model.safetensors", grow=["fc"]))
    eq([(x["rows"], x["updates"]) for x in told(last(d, "again"))["state"]["updates"]["fc.weight"]],
       [(1, 13), (1, 21), (1, 13), (3, 21), (1, 1)])


@case("what is known of the old classes is watched, wherever their rows went", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    from_old = parent(d)
    for name, grow, classes in (("new", ["fc"], NEW), ("fewer", ["fc"], NEW[2:])):
        j = job(d, name, classes, STILL, 2, checkpoint=from_old, grow=grow)
        j["data"]["validation_split"] = 0.5
        j["training"]["epochs"] = 1
        trainer(d, j)
        with open(f"{d.root}/{name}.run/metrics.jsonl") as f:
            k = next(x["knowledge"] for x in map(json.loads, f) if "knowledge" in x)
        old = [c for c in classes if c in OLD]
        eq([x["name"] for x in k["by_class"]], old)
        eq([x["class"] for x in k["by_class"]], [classes.index(c) for c in old])


@case("a job of the daemon grows by the names of another's checkpoint, and its plan says so")
def _(d):
    old = d.submit(job(d, "old", OLD))
    d.wait_state(old, "succeeded")
    j = job(d, "new", NEW, ADAM, 8, checkpoint=f"job://{old}/latest", grow={"fc": {"match": "name", "init": "mean"}})
    dry = d.post("/v1/jobs?dry_run=1", j, want=200).json
    eq(dry["plan"]["classes"]["new"], ["blowhole", "dent"])
    p = d.post("/v1/warm-starts/plan", j, want=200).json
    eq((p["accepted"], p["digest"]), (True, dry["plan"]["digest"]))
    with open(f"{d.root}/names.txt", "w") as f:
        f.write("\n".join(OLD))
    with open(f"{d.root}/job.json", "w") as f:      # its path is as seen from the job's file
        json.dump({**j, "model": {**j["model"], "checkpoint_classes": "names.txt"}}, f)
    shown = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "plan", f"{d.root}/job.json"], capture_output=True,
                           text=True)
    eq(shown.returncode, 0, shown.stderr)
    has(shown.stdout, "2 grown: fc.weight, fc.bias (file [4,8], model [6,8])")
    has(shown.stdout, "2 classes begin as the mean of the file's: blowhole, dent")
    assert any(x.split()[:2] == ["fc.weight", "grow"] for x in shown.stdout.splitlines()), shown.stdout
    j["training"]["warm_start"] = {"plan": p["digest"]}
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    has(d.job(i)["plan_summary"], "2 grown")
    has(str(d.events(i)), "2 classes begin as the mean of the file's: blowhole, dent")
    # With other classes it is another plan.
    j["data"]["train"]["path"] = folder(d, "others", [*NEW[1:], "worn"])
    i = d.submit(j)
    d.wait_state(i, "failed")
    has(d.job(i)["message"], "the plan is not the one that was shown")


@case("of a file of PyTorch or Paddle a file says the classes, beside it or in a bucket", "stopped")
def _(d):
    store = object_store()
    try:
        bucket.rekindled(d, {"stores": [store.entry]})
        old = d.submit(job(d, "old", OLD))
        d.wait_state(old, "succeeded")
        dir = d.get(f"/v1/jobs/{old}/checkpoints").json["checkpoints"][0]["checkpoint"]
        files = {x: d.get(f"/v1/jobs/{old}/checkpoints/{dir}/files/{x}").body
                 for x in ("model.safetensors", "model.pt", "model.pdparams", "optimizer.pt", "model.pdopt")}
        with open(f"{d.root}/names.txt", "w") as f:
            f.write("".join(f"{i} {c}\n" for i, c in enumerate(OLD)))
        rows = dict(zip(OLD, tensors_of(files["model.safetensors"])["fc.weight"]))
        names = store.put("names.txt", "\n".join(OLD).encode())
        for k, (file, named) in enumerate((("model.pt", f"{d.root}/names.txt"), ("model.pdparams", names))):
            store.put("m.pdopt", files["model.pdopt"])
            j = job(d, f"new{k}", NEW, STILL, 1, checkpoint=store.put("m." + file.partition(".")[2], files[file]),
                    grow=["fc"], checkpoint_classes=named)
            i = d.submit(j)
            d.wait_state(i, "succeeded")
            has(d.job(i)["plan_summary"], "2 grown: fc.weight, fc.bias (file " + ("[8,4]" if k else "[4,8]"))
            at = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"][0]["checkpoint"]
            is_ = tensors_of(d.get(f"/v1/jobs/{i}/checkpoints/{at}/files/model.safetensors").body)["fc.weight"]
            eq({c: r for c, r in zip(NEW, is_) if c in OLD}, rows, file)
        # Moments of Paddle's go with their rows, too: Adam's counts are theirs, and new rows have none.
        j = job(d, "moments", NEW, dict(ADAM, learning_rate=1e-30), 1, {"optimizer": "moments"},
                checkpoint=j["model"]["checkpoint"], grow=["fc"], checkpoint_classes=named)
        i = d.submit(j)
        d.wait_state(i, "succeeded")
        with open(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*/checkpoint.json")[0]) as f:
            got = json.load(f)["state"]["updates"]["fc.bias"]
        eq([(x["rows"], x["updates"]) for x in got], [(1, 1), (1, 9), (1, 1), (3, 9)])
    finally:
        d.kill()
        store.stop()


def texts(d, name, tokens, steps=1, **model):
    """A job on texts of such words."""
    with open(f"{d.root}/{name}.txt", "w") as f:
        f.write("\n".join(tokens) + "\n")
    with open(f"{d.root}/texts.tsv", "w") as f:
        f.write("".join(f"cat dog cat\tno\ndog ant dog {i}\tyes\n" for i in range(8)))
    return {"name": name, "resources": {"threads": 1, "memory": "128MiB"},
            "model": {"layers": [{"type": "embedding", "name": "words", "rows": len(tokens), "width": 4}, "flatten",
                                 {"type": "linear", "name": "fc", "out": 2}], **model},
            "training": {"epochs": 1000, "steps": steps, "batch_size": 4, "optimizer": ADAM if steps > 1 else STILL},
            "data": {"train": {"type": "text", "path": f"{d.root}/texts.tsv", "text": 0, "label": 1, "length": 4,
                               "header": False,
                               "tokenizer": {"type": "words", "vocabulary": f"{d.root}/{name}.txt"}}}}


@case("an embedding grows by the tokens of its vocabulary, which a checkpoint of ours knows", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    was, now = ["[PAD]", "[UNK]", "cat", "dog"], ["[PAD]", "[UNK]", "ant", "dog", "cat", "3"]
    trainer(d, texts(d, "small", was, steps=9))
    from_old = f"{last(d, 'small')}/model.safetensors"
    os.remove(f"{d.root}/small.txt")
    old = dict(zip(was, tensors(from_old)["words.weight"]))
    j = texts(d, "large", now, checkpoint=from_old, grow={"words": {"init": "mean"}})
    has(str(plan(d, j)["notes"]), "2 tokens begin as the mean of the file's: ant, 3")
    trainer(d, j)
    new = dict(zip(now, tensors(f"{last(d, 'large')}/model.safetensors")["words.weight"]))
    eq({t: new[t] for t in was}, old)
    for k in range(4):
        assert abs(new["ant"][k] - sum(r[k] for r in old.values()) / 4) < 1e-6
    # Of a stranger's file the job says it.
    t = tensors(from_old)
    strange = safetensors(f"{d.root}/strange.safetensors", {
        n: ("F32", [len(v)] if n.endswith("bias") else [len(v), len(v[0])],
            b"".join(struct.pack(f"<{len(x)}f", *x) for x in v)) for n, v in t.items()}, {"format": "pt"})
    j = texts(d, "told", now, checkpoint=strange, grow=["words"])
    has(str(plan(d, j, 3)["refused"]), "what the tokens of the file are called is not known")
    with open(f"{d.root}/was.txt", "w") as f:
        f.write("\r\n".join(was))
    j["model"]["checkpoint_vocabulary"] = "was.txt"
    trainer(d, j)
    new = dict(zip(now, tensors(f"{last(d, 'told')}/model.safetensors")["words.weight"]))
    eq({t: new[t] for t in was}, old)


@case("grey pictures are seen by the sum of a colour network's channels, and colours by parts of a grey one's",
      "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    r = random.Random(3)
    w = {c: [[r.uniform(-1, 1) for _ in range(c * 9)] for _ in range(2)] for c in (1, 3)}

    def conv(name, channels, theirs, **grow):
        rows = b"".join(struct.pack(f"<{len(x)}f", *x) for x in w[theirs])
        path = safetensors(f"{d.root}/{name}.safetensors", {
            "conv1.weight": ("F32", [2, theirs, 3, 3], rows), "conv1.bias": ("F32", [2], bytes(8)),
            "fc.weight": ("F32", [2, 8], bytes(64)), "fc.bias": ("F32", [2], bytes(8))}, {"format": "pt"})
        j = job(d, name, OLD[:2], STILL, 1)
        j["model"] = {"layers": [{"type": "conv2d", "name": "conv1", "out": 2, "kernel": 3}, "flatten",
                                 {"type": "linear", "name": "fc", "out": 2}], "checkpoint": path, **grow}
        j["data"]["train"] = {"type": "synthetic", "shape": [channels, 4, 4], "samples": 4, "classes": 2}
        trainer(d, j)
        return tensors(f"{last(d, name)}/model.safetensors")["conv1.weight"]

    grey = conv("grey", 1, 3, grow=["conv1"])
    colour = conv("colour", 3, 1, grow=["conv1"])
    for o in range(2):
        for k in range(9):
            assert abs(grey[o][k] - sum(w[3][o][c * 9 + k] for c in range(3))) < 1e-6
            for c in range(3):
                assert abs(colour[o][c * 9 + k] - w[1][o][k] / 3) < 1e-7


run()
