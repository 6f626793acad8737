#!/usr/bin/env python3
"""Knowledge is found again: what a job would best begin from, with the share, the reason and the lines to write."""
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import time

import pictures
from hand_made import Versions, below, in_bucket
from mirrored import machine, machines, vanish
from stub import No
from t import BUILD, SLOW, case, eq, has, limit, run, trainer, wait_for

OLD = ["crack", "fray", "uneven", "void"]
NEW = ["blowhole", "crack", "dent", "fray", "uneven", "void"]


# --- the trainer alone ---------------------------------------------------------------------

def job(d, name, classes, hidden=8, warm=None, **model):
    path = f"{d.root}/{'-'.join(classes)}"
    if not os.path.exists(path):
        pictures.folder(path, classes, 6, 4, 4)
    return {"name": name, "resources": {"threads": 1, "memory": "128MiB"},
            "model": {"layers": ["flatten", {"type": "linear", "name": "hidden", "out": hidden}, "relu",
                                 {"type": "linear", "name": "fc", "out": len(classes)}], **model},
            "training": {"epochs": 1000, "steps": 4, "batch_size": 4, **({"warm_start": warm} if warm else {})},
            "data": {"train": {"type": "image_folder", "path": path}}, "checkpoint": {"every": {"steps": 4}}}


def suggest(d, j, candidates, classes=(), want=0):
    """The answer, with its candidates by their ids."""
    with open(f"{d.root}/candidates.json", "w") as f:
        json.dump({"candidates": candidates, "classes": list(classes)}, f)
    out = trainer(d, j, "--suggest", f"{d.root}/candidates.json", want=want)
    if want:
        return out[1]
    a = json.loads(out[0])
    a["by_id"] = {c["id"]: c for c in a["candidates"]}
    return a


def tensors(d, j):
    """What the network of a job has, as a list of tensors."""
    s = json.loads(trainer(d, j, "--summary")[0])
    return [{"name": t["name"], "dtype": "F32", "shape": t["shape"]} for t in s["model"]["tensors"]]


def lines_are_accepted(d, j, c, file):
    """A job with the suggested lines, from a file with these tensors, is accepted and loads as much as was said."""
    j = {**j, "model": {**j["model"], **c["model"], "checkpoint": file}}
    p = json.loads(trainer(d, j, "--plan", "--json")[0])
    eq(p["accepted"], True)
    for k in ("parameters_loaded", "parameters_total", "tensors_loaded", "tensors_total"):
        eq(c[k], p[k], k)


def cpu_of_children():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def write(path, tensors, classes=None):
    """A safetensors file of zeros."""
    head, at = {}, 0
    for t in tensors:
        n = 4
        for x in t["shape"]:
            n *= x
        head[t["name"]] = {"dtype": t["dtype"], "shape": t["shape"], "data_offsets": [at, at + n]}
        at += n
    if classes:
        head["__metadata__"] = {"rekindle.classes": json.dumps(classes)}
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


@case("a file that has it all is a strict start, and one of other classes one that grows", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", NEW)
    old = tensors(d, job(d, "old", OLD))
    a = suggest(d, j, [{"id": "same", "tensors": tensors(d, j), "writer": "rekindle", "classes": 1},
                       {"id": "fewer", "tensors": old, "writer": "rekindle", "classes": 0},
                       {"id": "nameless", "tensors": old, "writer": "rekindle"}], [OLD, NEW])
    eq([c["id"] for c in a["candidates"]], ["same", "fewer", "nameless"])
    same, fewer, nameless = a["candidates"]
    eq((same["share"], same["reason"], same["model"]), (1.0, "all 4 tensors", {"strict": True}))
    eq(fewer["reason"], "2 of 4 tensors: all but fc, whose classes differ; grow: [fc] takes 4 of 6 classes")
    eq(fewer["model"], {"strict": True, "grow": ["fc"]})
    eq((fewer["tensors_loaded"], fewer["parameters_loaded"]), (4, 8 * 48 + 8 + 4 * 9))
    eq(nameless["reason"], "2 of 4 tensors: all but fc, whose classes differ; what the classes of the file are called "
       "is not known")
    eq(nameless["model"], {"strict": False})
    lines_are_accepted(d, j, fewer, write(f"{d.root}/fewer.safetensors", old, OLD))
    lines_are_accepted(d, j, nameless, write(f"{d.root}/nameless.safetensors", old))


@case("what begins anew is named, a start that takes little says how little, and one that takes hardly anything is "
      "none", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", OLD)
    own = tensors(d, j)
    shapes = {t["name"]: t for t in own}
    without = [shapes["hidden.weight"], shapes["hidden.bias"]]
    other = [{**shapes["hidden.weight"], "shape": [8, 50]}, shapes["hidden.bias"], shapes["fc.bias"]]
    deeper = own + [{"name": "more.weight", "dtype": "F32", "shape": [8, 8]}]
    a = suggest(d, j, [{"id": "headless", "tensors": without, "writer": "rekindle"},
                       {"id": "other", "tensors": other, "writer": "rekindle"},
                       {"id": "deeper", "tensors": deeper, "writer": "rekindle"},
                       {"id": "stranger", "tensors": [{"name": "a.b", "dtype": "F32", "shape": [3]}]},
                       {"id": "empty", "tensors": []}])
    eq([c["id"] for c in a["candidates"]], ["headless", "deeper"])
    eq(a["little"], 3)          # of 428 parameters `other` has 12
    c = a["by_id"]
    eq(c["headless"]["reason"], "2 of 4 tensors: all but fc, which the file has not")
    eq(c["headless"]["model"], {"strict": False})
    eq(c["deeper"]["reason"], "all 4 tensors; 1 of its own is not used")
    eq((c["deeper"]["model"], c["deeper"]["ignored"]), ({"strict": False}, 1))
    for k, v in (("headless", without), ("deeper", deeper)):
        lines_are_accepted(d, j, c[k], write(f"{d.root}/{k}.safetensors", v))


@case("a network of which the file has a third wants model.minimum, and that is in the lines", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    layer = [{"type": "linear", "name": f"l{i}", "out": 48} for i in range(6)]
    j = job(d, "new", OLD)
    j["model"] = {"layers": ["flatten", *layer, {"type": "linear", "name": "fc", "out": 4}]}
    some = [t for t in tensors(d, j) if t["name"][:2] in ("l0", "l1")]
    c = suggest(d, j, [{"id": "some", "tensors": some, "writer": "rekindle"}])["candidates"][0]
    eq(c["reason"], "4 of 14 tensors: all but l2, which the file has not, l3, which the file has not, l4, which the "
       "file has not, and 2 more layers")
    eq(c["model"], {"strict": False, "minimum": 0.32})
    lines_are_accepted(d, j, c, write(f"{d.root}/some.safetensors", some))


@case("colours in place of grey grow, names of other frameworks are known, and layouts are turned", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", OLD)
    j["model"] = {"arch": "resnet18", "classes": 4}
    ours = tensors(d, j)
    grey = [{**t, "shape": [64, 1, *t["shape"][2:]]} if t["name"] == "conv1.weight" else t for t in ours]
    paddle = [{**t, "name": t["name"].replace("running_mean", "_mean").replace("running_var", "_variance"),
               "shape": t["shape"][::-1] if t["name"] == "fc.weight" else t["shape"]} for t in ours]
    a = suggest(d, j, [{"id": "grey", "tensors": grey, "writer": "rekindle"},
                       {"id": "paddle", "tensors": paddle, "framework": "paddle"}])["by_id"]
    eq(a["grey"]["model"], {"strict": True, "grow": ["conv1"]})
    eq(a["grey"]["share"], 1.0)
    has(a["grey"]["reason"], "101 of 102 tensors: all but conv1, which is another (file [64,1,7,7], model [64,3,7,7]); "
        "grow: [conv1] has its one input channel in each of 3")
    eq((a["paddle"]["model"], a["paddle"]["reason"]), ({"strict": True}, "all 102 tensors"))


@case("the same number of classes that are others is no copy of the head, and none in common is said", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", OLD)
    own = tensors(d, j)
    lists = [["crack", "dent", "fray", "void"], ["a", "b", "c", "d"], ["void", "crack", "fray", "uneven"]]
    a = suggest(d, j, [{"id": str(i), "tensors": own, "writer": "rekindle", "classes": i} for i in range(3)],
                lists)["by_id"]
    eq(a["0"]["reason"], "all 4 tensors; fc is of other classes; grow: [fc] takes 3 of 4 classes")
    eq(a["0"]["model"], {"strict": True, "grow": ["fc"]})
    eq(a["1"]["reason"], "all 4 tensors; none of its 4 classes is one of the job's")
    eq((a["2"]["reason"], a["2"]["model"]), ("all 4 tensors", {"strict": True}))


@case("of a job's folder the best checkpoint counts, of one without a metric the latest, and what is not there, "
      "damaged or no list is told", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j, old = job(d, "new", NEW), job(d, "old", OLD)
    old["data"]["validation_split"] = 0.25
    old["training"]["steps"] = 12
    old["checkpoint"] = {"every": {"steps": 4}, "keep": {"last": 9, "best": 1, "metric": "val_loss", "mode": "max"}}
    run_dir = f"{d.root}/old.run"
    trainer(d, old)
    with open(f"{run_dir}/job.json", "w") as f:
        json.dump(old, f)
    at = f"{run_dir}/checkpoints"
    infos = {x: json.load(open(f"{at}/{x}/checkpoint.json")) for x in os.listdir(at) if x.startswith("step-")}
    best = max(infos, key=lambda x: infos[x]["metrics"].get("val_loss", -1))
    with open(f"{d.root}/list.json", "w") as f:
        json.dump({"tensors": tensors(d, old), "writer": "rekindle"}, f)
    with open(f"{d.root}/torn.json", "w") as f:
        f.write('{"tensors": [')
    a = suggest(d, j, [{"id": "job", "checkpoints": at}, {"id": "gone", "checkpoints": f"{d.root}/gone"},
                       {"id": "list", "file": f"{d.root}/list.json", "classes": 0},
                       {"id": "torn", "file": f"{d.root}/torn.json"}], [OLD])
    c = a["by_id"]["job"]
    eq((c["selector"], c["checkpoint"], c["step"]), ("best", best, infos[best]["step"]))
    eq((c["metrics"], c["data"]["train"]), (infos[best]["metrics"], infos[best]["data_digest"]))
    eq(c["reason"], "2 of 4 tensors: all but fc, whose classes differ; grow: [fc] takes 4 of 6 classes")
    eq(c["reason"], a["by_id"]["list"]["reason"])
    eq({x["id"] for x in a["unreadable"]}, {"gone", "torn"})
    assert not os.path.exists(f"{d.root}/gone")
    a = suggest(d, old, [{"id": "job", "checkpoints": at}])
    eq(a["data"], a["by_id"]["job"]["data"])
    assert a["data"]["validation"], a["data"]
    # Half of the model's file is not a model.
    os.remove(f"{run_dir}/job.json")
    c = suggest(d, j, [{"id": "job", "checkpoints": at}])["by_id"]["job"]
    eq((c["selector"], c["checkpoint"], c["arch"]), ("latest", max(infos), None))
    model = f"{at}/{max(infos)}/model.safetensors"
    os.truncate(model, os.path.getsize(model) // 2)
    a = suggest(d, j, [{"id": "job", "checkpoints": at}])
    eq([x["id"] for x in a["unreadable"]], ["job"])


@case("tokens of a vocabulary grow by name", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)

    def texts(name, words):
        with open(f"{d.root}/{name}.csv", "w") as f:
            f.write("text,label\n" + "".join(f"{' '.join(words[i % 3:] + words[:i % 3])},{i % 2}\n" for i in range(24)))
        with open(f"{d.root}/{name}.txt", "w") as f:
            f.write("[PAD]\n[UNK]\n" + "\n".join(words) + "\n")
        j = job(d, name, OLD)
        j["model"] = {"arch": "textcnn", "classes": 2, "width": 16, "vocabulary": len(words) + 2}
        j["data"] = {"train": {"type": "text", "path": f"{d.root}/{name}.csv", "length": 8, "text": "text", "label": "label",
                               "tokenizer": {"type": "words", "vocabulary": f"{d.root}/{name}.txt"}}}
        return j
    old, new = texts("old", ["one", "two", "three", "four"]), texts("new", ["two", "five", "one", "six", "three"])
    trainer(d, old)
    c = suggest(d, new, [{"id": "job", "checkpoints": f"{d.root}/old.run/checkpoints"}])["by_id"]["job"]
    has(c["reason"], "; grow: [embedding] takes 5 of 7 tokens")
    eq(c["model"], {"strict": True, "grow": ["embedding"]})


@case("candidates that are none are refused with their place", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", OLD)
    t = {"name": "a", "dtype": "F32", "shape": [1]}
    for candidates, classes, part in (
            ([{"tensors": []}], (), "candidates[0] has no id of 1 to 256 bytes"),
            ([{"id": "a"}], (), "candidates[0] (a) has not one of tensors, file and checkpoints"),
            ([{"id": "a", "tensors": [], "classes": 1}], [["x"]], "candidates[0] (a) has for classes no number of one "
             "of the 1 lists"),
            ([], [[1]], "classes[0] is no list of at most 65536 names"),
            ([{"id": "a", "tensors": []}] * 1001, (), "has no list `candidates` of at most 1000")):
        has(suggest(d, j, candidates, classes, want=3), part)
    for tensor, part in (({**t, "dtype": "F31"}, 'tensors[0] (a) has the dtype "F31"'),
                         ({**t, "shape": [-1]}, "has no shape of at most 8 dimensions"),
                         ({**t, "shape": [1 << 40, 1 << 40]}, "has no shape"),
                         ({**t, "name": ""}, "tensors[0] has no name of 1 to 512 bytes")):
        has(suggest(d, j, [{"id": "x", "tensors": [tensor]}])["unreadable"][0]["why"], part)
    has(suggest(d, j, [{"id": "x", "tensors": [t, t]}])["unreadable"][0]["why"], "tensors has a twice")


@case("data that are not here are not needed where the job says its input", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", OLD)
    own = tensors(d, j)
    j["data"]["train"]["path"] = f"{d.root}/nowhere"
    has(suggest(d, j, [{"id": "x", "tensors": own}], want=3), "say model.input")
    j["model"]["input"] = [3, 4, 4]
    a = suggest(d, j, [{"id": "x", "tensors": own, "writer": "rekindle", "classes": 0}], [NEW[:4]])
    eq(a["by_id"]["x"]["reason"], "all 4 tensors")
    eq(a["data"], {"train": None, "validation": None})


@case("the warm start that a job has is compared, and one that is not here is said", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", NEW)
    old = tensors(d, job(d, "old", OLD))
    j["model"].update(checkpoint=write(f"{d.root}/old.safetensors", old), strict=False)
    a = suggest(d, j, [{"id": "x", "tensors": old, "writer": "rekindle", "classes": 0}], [OLD])
    eq((a["own"]["parameters_loaded"], a["own"]["accepted"]), (8 * 48 + 8, True))
    eq(a["by_id"]["x"]["parameters_loaded"], 8 * 48 + 8 + 36)
    os.remove(f"{d.root}/old.safetensors")
    own = suggest(d, j, [])["own"]
    eq(own["error"], "it is not on this machine")
    eq(suggest(d, job(d, "cold", OLD), [])["own"], None)


@case("three hundred candidates of a network of a hundred layers take a second", "stopped")
def _(d):
    os.makedirs(d.root, exist_ok=True)
    j = job(d, "new", NEW)
    j["model"] = {"arch": "resnet50", "classes": 6}
    own = tensors(d, j)
    old = [{**t, "shape": [4, *t["shape"][1:]]} if t["name"].startswith("fc.") else t for t in own]
    for k, v in (("own", own), ("old", old)):
        with open(f"{d.root}/{k}.json", "w") as f:
            json.dump({"tensors": v}, f)
    began = cpu_of_children()
    suggest(d, j, [])
    alone = cpu_of_children() - began
    began = cpu_of_children()
    a = suggest(d, j, [{"id": str(i), "file": f"{d.root}/{'own' if i % 2 else 'old'}.json", "writer": "rekindle",
                        "classes": 0} for i in range(300)], [OLD])
    took = cpu_of_children() - began - alone
    eq(len(a["candidates"]), 300)
    print(f"# {took:.2f} s of CPU for 300, {alone:.2f} s without any")
    assert took < 3 * SLOW, took


# --- the daemon ----------------------------------------------------------------------------

def ask(d, j, query="", want=200):
    a = d.post(f"/v1/warm-starts/suggest{query}", j, want=want).json
    return (a["suggestions"], a) if want == 200 else a


def trained(d, j):
    i = d.submit(j)
    d.wait_state(i, "succeeded")
    return i


@case("a job finds what other jobs know, the most first, and is accepted with the lines that it is given")
def _(d):
    old, same = trained(d, job(d, "old", OLD)), trained(d, job(d, "same", NEW))
    trained(d, job(d, "narrow", NEW, hidden=2))
    held = d.submit({**job(d, "held", NEW), "hold": True})
    j = job(d, "new", NEW)
    s, a = ask(d, j)
    eq([(x["source"], x["name"], x["share"] == 1) for x in s],
       [(f"job://{same}/best", "same", True), (f"job://{old}/best", "old", False)])
    eq((a["little"], a["more"], a["own"], a["unreadable"], a["not_looked_at"]["jobs"]), (1, 0, None, [], 0))
    eq((s[0]["same_arch"], s[0]["same_data"]["train"], s[1]["same_data"]["train"]), (True, True, False))
    eq((s[0]["kind"], s[0]["job"], s[0]["state"], s[0]["step"]), ("job", same, "succeeded", 4))
    eq(s[1]["reason"], "2 of 4 tensors: all but fc, whose classes differ; grow: [fc] takes 4 of 6 classes")
    eq(s[1]["lines"], {"model": {"checkpoint": f"job://{old}/best", "strict": True, "grow": ["fc"]}})
    eq(s[1]["yaml"], f'model:\n  checkpoint: "job://{old}/best"\n  strict: true\n  grow: [fc]\n')
    for x in s:
        p = d.post("/v1/warm-starts/plan", {**j, "model": {**j["model"], **x["lines"]["model"]}}, want=200).json
        eq((p["accepted"], p["parameters_loaded"]), (True, x["parameters_loaded"]))
    s1, a = ask(d, j, "?limit=1")
    eq((len(s1), a["more"]), (1, 1))
    # A job that is there already does not find itself.
    eq([x["job"] for x in d.get(f"/v1/warm-starts/suggest?job={same}").json["suggestions"]], [old])
    eq([x["job"] for x in d.get(f"/v1/warm-starts/suggest?job={held}").json["suggestions"]], [same, old])
    # What was deleted is not found.
    eq(d.call("DELETE", f"/v1/jobs/{same}").status, 204)
    eq([x["job"] for x in ask(d, j)[0]], [old])


@case("of those that load as much the better figure on the same data is first, then the newest")
def _(d):
    def of(name, rate, classes=NEW):
        j = job(d, name, classes)
        j["training"].update(steps=8, optimizer={"type": "sgd", "learning_rate": rate})
        j["data"]["validation_split"] = 0.25
        j["checkpoint"] = {"every": {"steps": 4}, "keep": {"metric": "val_loss", "mode": "min"}}
        return j
    ids = [trained(d, of(f"j{i}", r)) for i, r in enumerate((1e-9, 0.05, 1e-9))]
    s, a = ask(d, of("new", 1))
    loss = [x["metrics"]["val_loss"] for x in s]
    eq(loss, sorted(loss))
    eq({x["job"] for x in s}, set(ids))
    assert all(x["source"].endswith("/best") for x in s), s
    eq(a["metric"], "val_loss")
    # The two that learned nothing are equal but for their age.
    equal = [x["job"] for x in s if x["job"] != ids[1]]
    eq(equal, [ids[2], ids[0]])


@case("what a job says of another file is taken back by the lines, and its own warm start is compared")
def _(d):
    old, same = trained(d, job(d, "old", OLD)), trained(d, job(d, "same", NEW))
    j = job(d, "new", NEW, warm={"learning_rate_scale": 0.5}, checkpoint=f"job://{old}/latest", strict=False,
            mismatch={"fc.*": "init"}, rename=[{"^x": "y"}])
    s, a = ask(d, j)
    eq(s[0]["lines"]["model"], {"checkpoint": f"job://{same}/best", "strict": True, "mismatch": None, "rename": None})
    has(s[0]["yaml"], "# without model.mismatch\n")
    eq(a["own"]["compared"], f"job://{same}/best would load 100 % of the parameters, where the job begins with 87 %")
    model = {k: v for k, v in {**j["model"], **s[0]["lines"]["model"]}.items() if v is not None}
    s, a = ask(d, {**j, "model": model})
    eq(a["own"]["compared"], "nothing that was looked at loads more than the 100 % that the job begins with")
    # One that cannot be had does not stand in the way.
    for address, part in ((f"{d.root}/nowhere.safetensors", "there is no such file"), ("job://nobody/latest", "nobody"),
                          ("https://127.0.0.1:1/x.safetensors", "127.0.0.1")):
        s, a = ask(d, {**j, "model": {**j["model"], "checkpoint": address}})
        eq(s[0]["job"], same)
        has(a["own"]["error"], part)
        has(a["own"]["compared"], "could not be compared")


@case("what is damaged or not here is told and not suggested, and a job that cannot be is refused with its field")
def _(d):
    torn, gone = trained(d, job(d, "torn", NEW)), trained(d, job(d, "gone", NEW))
    at = f"{d.state}/jobs/{torn}/checkpoints"
    model = [f"{at}/{x}/model.safetensors" for x in os.listdir(at) if x.startswith("step-")][0]
    os.truncate(model, os.path.getsize(model) // 2)
    shutil.rmtree(f"{d.state}/jobs/{gone}/checkpoints")
    s, a = ask(d, job(d, "new", NEW))
    eq(s, [])
    eq({x["source"]: x["why"] for x in a["unreadable"]}[f"job://{gone}"], "its checkpoints are not on this machine")
    eq(len(a["unreadable"]), 2)
    assert not os.path.exists(f"{d.state}/jobs/{gone}/checkpoints")
    j = job(d, "new", NEW)
    j["data"]["train"]["path"] = "/nowhere/at/all"
    has(json.dumps(ask(d, j, want=422)["errors"]), "data.train.path")
    eq(os.listdir(f"{d.state}/checks"), [])


# --- the command line -----------------------------------------------------------------------

def rk(d, *args, want=0):
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True, cwd=d.root,
                       timeout=limit(60))
    eq(p.returncode, want, f"exit of rekindle {args} ({p.stdout[-300:]} {p.stderr[-300:]})")
    return p.stdout, p.stderr


def file_of(d, j):
    with open(f"{d.root}/{j['name']}.yaml", "w") as f:
        json.dump(j, f)
    return f"{j['name']}.yaml"


@case("the command line prints each with its share, its reason and the lines, which a job is then accepted with")
def _(d):
    new = file_of(d, job(d, "new", NEW))
    has(rk(d, "suggest", new)[0], "nothing that was looked at would give new a tenth of its parameters")
    old, same = trained(d, job(d, "old", OLD)), trained(d, job(d, "same", NEW))
    out = rk(d, "suggest", new)[0]
    has(out, f"  1. job://{same}/best (same): 100 % of the parameters\n     all 4 tensors\n")
    has(out, f"  2. job://{old}/best (old): 95 % of the parameters\n     2 of 4 tensors: all but fc, whose classes differ; "
        "grow: [fc] takes 4 of 6 classes\n")
    has(out, f'     model:\n       checkpoint: "job://{old}/best"\n       strict: true\n       grow: [fc]\n')
    has(out, "on the same data, ")
    has(rk(d, "suggest", new, "--limit", "1")[0], "1 more, with --limit")
    a = json.loads(rk(d, "suggest", new, "--json")[0])
    eq([x["job"] for x in a["suggestions"]], [same, old])
    rk(d, "suggest", "nowhere.yaml", want=2)
    rk(d, "suggest", new, "--set", "training.epochs=0", want=1)
    rk(d, "suggest", new, "--limit", "1000", want=1)


@case("a job that is submitted cold gets a hint where there is something for it, and only then, and only when asked")
def _(d):
    new = job(d, "new", NEW)
    eq(rk(d, "submit", file_of(d, {**new, "name": "first"}), "--hint", "--watch")[1].count("hint:"), 0)
    same = d.get("/v1/jobs?name=first").json["jobs"][0]["id"]
    out, err = rk(d, "submit", file_of(d, new), "--hint")
    has(err, f"rekindle: hint: the job begins cold, and job://{same}/best (first) would give it 100 % of its parameters: "
        "rekindle suggest new.yaml has the lines\n")
    has(out, "  new  ")
    eq(rk(d, "submit", file_of(d, new))[1], "")         # no terminal, and nobody asked
    warm = {**new, "model": {**new["model"], "checkpoint": f"job://{same}/best"}}
    eq(rk(d, "submit", file_of(d, warm), "--hint")[1], "")
    other = job(d, "other", NEW, hidden=2)
    eq(rk(d, "submit", file_of(d, other), "--hint")[1], "")


# --- versions of models -----------------------------------------------------------------------

def made(path, tensors, classes=None):
    """The files of a version."""
    files = {"tensors.json": json.dumps({"tensors": tensors}).encode()}
    with open(write(path, tensors, classes), "rb") as f:
        return {"model.safetensors": f.read(), **files}


def registry(d):
    """Of a daemon without a mirror; add(model, tensors, classes) as another machine would."""
    v = Versions(below(f"{d.state}/models"))

    def add(model, tensors, classes=None, alias=None, **more):
        n = v.top.get(model, 0) + 1
        v.add(model, made(f"{d.root}/made.safetensors", tensors, classes), classes=classes,
              source={"kind": "job", "job": "0" * 26}, **{"arch": "layers", "created_at": f"2026-01-{n:02}T00:00:00.000Z",
                                                         **more})
        if alias:
            v.alias(model, alias, n)
    return v, add


@case("versions of models are found with their aliases, one for each number, and a job begins from what is suggested")
def _(d):
    j = job(d, "new", NEW)
    old, own = tensors(d, job(d, "old", OLD)), tensors(d, j)
    _, add = registry(d)
    add("defects", old, OLD)
    add("defects", old, OLD, alias="production")
    add("defects", own, NEW)
    add("other", [{"name": "x.weight", "dtype": "F32", "shape": [3, 3]}])
    s, a = ask(d, j)
    eq([(x["source"], x["aliases"]) for x in s], [("model://defects/3", []), ("model://defects/2", ["production"]),
                                                  ("model://defects/1", [])])
    eq((s[1]["kind"], s[1]["model"], s[1]["version"], s[1]["author"]), ("version", "defects", 2, "ana"))
    eq(s[1]["reason"], "2 of 4 tensors: all but fc, whose classes differ; grow: [fc] takes 4 of 6 classes")
    eq(s[1]["lines"], {"model": {"checkpoint": "model://defects/2", "strict": True, "grow": ["fc"]}})
    eq((a["little"], a["not_looked_at"], a["unreadable"]), (1, {"versions": 0, "jobs": 0}, []))
    has(rk(d, "suggest", file_of(d, j))[0], "  2. model://defects/2 (production): 95 % of the parameters\n")
    for x in s[:2]:
        p = d.post("/v1/warm-starts/plan", {**j, "model": {**j["model"], **x["lines"]["model"]}}, want=200).json
        eq((p["accepted"], p["parameters_loaded"]), (True, x["parameters_loaded"]))
    # Of a job that begins from one by its alias.
    warm = {**j, "model": {**j["model"], "checkpoint": "model://defects@production", "grow": ["fc"]}}
    eq(ask(d, warm)[1]["own"]["compared"], f"{s[0]['source']} would load 100 % of the parameters, where the job begins "
       "with 95 %")
    # Jobs are beside them: an equal one is newer than these versions.
    same = trained(d, job(d, "same", NEW))
    eq([x["source"] for x in ask(d, j)[0][:2]], [f"job://{same}/best", "model://defects/3"])


@case("figures of versions count on the same data, also those that were measured later, and deleted ones are not found")
def _(d):
    j = job(d, "new", NEW)
    j["data"]["validation_split"] = 0.25
    j["checkpoint"]["keep"] = {"metric": "val_accuracy"}
    own = tensors(d, j)
    digests = suggest(d, j, [])["data"]
    here, there = ({"train": {"digest": t}, "validation": {"digest": v}} for t, v in
                   ((digests["train"], digests["validation"]), ("a" * 64, "b" * 64)))
    v, add = registry(d)
    for figure, data in ((0.8, here), (0.7, here), (0.99, there), (0.98, there)):
        add("m", own, NEW, metrics={"val_accuracy": figure}, data=data)
    add("m", own, NEW)
    s = ask(d, j)[0]
    eq([x["version"] for x in s], [1, 2, 5, 3, 4])
    eq([x["same_data"] for x in s[:3]], [{"train": True, "validation": True}] * 2 + [{"train": None, "validation": None}])
    d.kill()
    v.entry("m", event="evaluated", version=4, job="0" * 26, data={"digest": digests["validation"]},
            metrics={"val_accuracy": 0.9})
    v.delete("m", 2)
    d.start()
    s = wait_for(20, "the new entries", lambda: (lambda s: len(s) == 4 and s)(ask(d, j)[0]))
    eq([(x["version"], x["metrics"].get("val_accuracy")) for x in s], [(4, 0.9), (1, 0.8), (5, None), (3, 0.99)])
    eq(s[0]["same_data"], {"train": False, "validation": True})


@case("records that say strange things, and lists that are none or gone, stand in nobody's way")
def _(d):
    j = job(d, "new", NEW)
    own = tensors(d, j)
    _, add = registry(d)
    add("good", own, NEW)
    add("odd", own, [1, {"a": 2}], arch=["x"])
    add("odd", own + [{"name": "torn.weight", "dtype": "F32", "shape": [1]}], NEW)
    add("odd", [{"name": "gone.weight", "dtype": "F32", "shape": [1]}], NEW)
    at = f"{d.state}/models/odd/versions"
    os.truncate(f"{at}/v2/tensors.json", 40)
    os.remove(f"{at}/v3/tensors.json")
    s, a = ask(d, j)
    eq(sorted((x["source"], x["arch"]) for x in s), [("model://good/1", "layers"), ("model://odd/1", None)])
    eq(sorted(x["source"] for x in a["unreadable"]), ["model://odd/2", "model://odd/3"])


@case("of ten thousand versions the newest and those with an alias are looked at, soon, and the others counted")
def _(d):
    j = job(d, "new", NEW)
    own = tensors(d, j)
    v, add = registry(d)
    add("few", own, NEW)
    add("many", own, NEW, alias="production")
    files = made(f"{d.root}/made.safetensors", own, NEW)
    put, v.put = v.put, lambda key, data: None if "/versions/v" in key and "/v10000/" not in key else put(key, data)
    for _ in range(2, 10001):
        v.add("many", files, classes=NEW, source={"kind": "job", "job": "0" * 26})
    wait_for(120, "all of the log", lambda: d.get("/v1/models").json["models"][-1]["versions"] == 10000)
    began = time.monotonic()
    s, a = ask(d, j, "?limit=500")
    took = time.monotonic() - began
    print(f"# {took * 1000:.0f} ms for {len(s)} of 10,000 versions")
    sources = [x["source"] for x in s]
    assert {"model://many/1", "model://many/10000", "model://few/1"} <= set(sources), sources
    eq(len(s), 200)
    eq(a["not_looked_at"], {"versions": 10001 - 200, "jobs": 0})
    assert took < 5 * SLOW, took


@machines("the lists of versions in a bucket are fetched, one for all that are the same, and a bucket that does not "
          "answer is said")
def _(d, st):
    a = machine(d, st, "a")
    j = job(a, "new", NEW)
    v = Versions(in_bucket(st))
    for tensors_of in (tensors(a, j), tensors(a, job(a, "old", OLD))):
        for _ in range(3):
            v.add("m", made(f"{d.root}/made.safetensors", tensors_of), source={"kind": "job", "job": "0" * 26})
    v.alias("m", "production", 1)
    s, answer = ask(a, j)
    eq([x["source"] for x in s], [f"model://m/{n}" for n in (1, 2, 3, 4, 5, 6)])
    eq([x["aliases"] for x in s[:2]], [["production"], []])
    eq(st.count("GET", r"/tensors\.json"), 2)
    eq("error" in answer, False)
    ask(a, j)
    eq(st.count("GET", r"/tensors\.json"), 2)

    def no(seen):
        raise No(503, "SlowDown")
    st.before = no
    vanish(a)
    a.start()
    s, answer = ask(a, j)
    eq(len(s), 6)                   # from the copy, and the cache
    assert answer["error"], answer


run()
