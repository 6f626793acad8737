#!/usr/bin/env python3
"""Warm starts: a new job from old knowledge, its plan, its refusals, and that
it happens once."""
import gzip
import hashlib
import json
import os
import signal
import struct
import subprocess

import bucket
from s3 import Store
from stub import Object
from t import BUILD, Skip, case, eq, has, run, tiny, wait_for

FASHION = "/usr/share/datasets/fashion-mnist"
SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")


def fashion(name, classes, epochs, **model):
    if not os.path.exists(f"{FASHION}/train-images-idx3-ubyte.gz"):
        raise Skip(f"no Fashion-MNIST in {FASHION} (Debian's dataset-fashion-mnist)")

    def source(which):
        return {"type": "idx", "images": f"{FASHION}/{which}-images-idx3-ubyte.gz",
                "labels": f"{FASHION}/{which}-labels-idx1-ubyte.gz"}
    return {
        "name": name, "resources": {"threads": 2, "memory": "512MiB"},
        "model": {"arch": "mlp", "sizes": [784, 256, classes], **model},
        "training": {"epochs": epochs, "batch_size": 64, "optimizer": {"type": "adam", "learning_rate": 0.001}},
        "data": {"train": source("train"), "validation": source("t10k")},
        "checkpoint": {"every": {"steps": 200}},
    }


def first_epoch(d, i):
    return d.get(f"/v1/jobs/{i}/metrics?split=validation").json["metrics"][0]


def plan_rows(d, i):
    return {t["name"]: t for t in d.job(i)["plan"]["tensors"]}


def cli(d, *args, want=0):
    r = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, *args], capture_output=True, text=True)
    eq(r.returncode, want, f"rekindle {args} ({r.stdout} {r.stderr})")
    return r.stdout + r.stderr


def write(path, tensors, **meta):
    """A safetensors file of floats: {name: (shape, value)}."""
    head, data = {"__metadata__": meta} if meta else {}, b""
    for name, (shape, value) in tensors.items():
        n = 1
        for s in shape:
            n *= s
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack("<f", value) * n
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    return path


def tiny_file(d, **more):
    tensors = {"fc1.weight": ([32, 4], 0.01), "fc1.bias": ([32], 0.02), "fc2.weight": ([3, 32], 0.03),
               "fc2.bias": ([3], 0.04)}
    tensors.update(more)
    return write(f"{d.root}/old.safetensors", {k: v for k, v in tensors.items() if v})


def warm(d, name="warm", strict=True, classes=3, **more):
    job = tiny(d, name, **more)
    job["model"].update(checkpoint=f"{d.root}/old.safetensors", strict=strict, sizes=[4, 32, classes])
    return job


@case("ten classes of Fashion-MNIST warm start twelve and the first epoch is better than a cold one's")
def _(d):
    base = d.submit(fashion("ten", 10, 3))
    d.wait_state(base, "succeeded", seconds=90)
    from_base = {"checkpoint": f"job://{base}/best", "strict": False}
    i = d.submit(fashion("twelve", 12, 1, **from_base))
    cold = d.submit(fashion("twelve-cold", 12, 1))
    refused = d.submit(fashion("twelve-strict", 12, 1, **dict(from_base, strict=True)))
    d.wait_state(i, "succeeded", seconds=60)
    d.wait_state(cold, "succeeded", seconds=60)

    j = d.job(i)
    eq(j["plan_summary"], "loaded 2 of 4 tensors (200,960 of 204,044 parameters); 2 new: "
       "fc2.weight, fc2.bias (file [10,256], model [12,256]); 0 missing; 0 ignored")
    rows = plan_rows(d, i)
    eq({n: t["action"] for n, t in rows.items()},
       {"fc1.weight": "copy", "fc1.bias": "copy", "fc2.weight": "init", "fc2.bias": "init"})
    eq((rows["fc2.weight"]["file_shape"], rows["fc2.weight"]["model_shape"]), ([10, 256], [12, 256]))
    eq((rows["fc2.bias"]["file_shape"], rows["fc2.bias"]["model_shape"]), ([10], [12]))
    has(j["plan"]["source"], f"job://{base}/best")

    shown = cli(d, "show", i)
    has(shown, j["plan_summary"])
    assert any(x.split()[:2] == ["fc2.weight", "init"] and "[10,256]" in x and "[12,256]" in x
               for x in shown.splitlines()), shown

    w, c = first_epoch(d, i), first_epoch(d, cold)
    assert w["accuracy"] > c["accuracy"], f"warm {w}, cold {c}"
    assert w["loss"] < c["loss"], f"warm {w}, cold {c}"

    j = d.wait_state(refused, "failed")
    eq(j["reason"], "warm_start")
    for part in ("strict", "fc2.weight", "[10,256]", "[12,256]", "fc2.bias", "[10]", "[12]"):
        has(j["message"], part)
    eq(j["attempt"], 1, "attempts at what cannot work")


@case("strict lists every missing, unexpected and mismatched tensor")
def _(d):
    tiny_file(d, **{"fc1.bias": None, "fc2.bias": ([7], 0), "extra.weight": ([2, 2], 1)})
    i = d.submit(warm(d))
    j = d.wait_state(i, "failed")
    eq(j["reason"], "warm_start")
    for part in ("fc1.bias: is missing", "fc2.bias: does not match: file [7], model [3]",
                 "extra.weight: is unexpected"):
        has(j["message"], part)
    assert "fc1.weight" not in j["message"], j["message"]


@case("a loose warm start takes what fits and says what it left")
def _(d):
    tiny_file(d, **{"fc1.bias": None, "extra.weight": ([2, 2], 1)})
    job = warm(d, strict=False, epochs=2)
    job["model"]["minimum"] = 0.5
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    eq({n: t["action"] for n, t in plan_rows(d, i).items()},
       {"fc1.weight": "copy", "fc1.bias": "init", "fc2.weight": "copy", "fc2.bias": "copy", "extra.weight": "skip"})
    said = d.job(i)["plan_summary"]
    has(said, "loaded 3 of 4 tensors (227 of 259 parameters)")
    has(said, "0 new; 1 missing: fc1.bias; 1 ignored")


@case("a file in which nothing fits is refused, loose or strict")
def _(d):
    write(f"{d.root}/old.safetensors", {"conv.weight": ([8, 1, 3, 3], 1), "conv.bias": ([8], 1)})
    for strict in (True, False):
        i = d.submit(warm(d, strict=strict))
        j = d.wait_state(i, "failed")
        eq(j["reason"], "warm_start")
        has(j["message"], "nothing in the file fits")
        has(j["message"], "conv.weight file [8,1,3,3]")
        has(j["message"], "fc1.weight model [32,4]")
    with open(f"{d.root}/old.safetensors", "wb") as f:
        f.write(b"\x80\x02}q\x00." * 100)
    j = d.wait_state(d.submit(warm(d, strict=False)), "failed")
    eq(j["reason"], "warm_start")
    has(j["message"], "old.safetensors")


@case("the learning rate is scaled, and an event says so")
def _(d):
    tiny_file(d)
    job = warm(d, epochs=2)
    i = d.submit(job)
    job["name"], job["training"]["warm_start"] = "half", {"learning_rate_scale": 0.5}
    half = d.submit(job)
    job["name"], job["training"]["warm_start"] = "whole", {"learning_rate_scale": 1}
    whole = d.submit(job)
    for job, rate, said in ((i, 0.0006, "scaled by 0.2, from 0.003 to 0.0006"),
                            (half, 0.0015, "scaled by 0.5, from 0.003 to 0.0015"), (whole, 0.003, None)):
        d.wait_state(job, "succeeded")
        lines = [m for m in d.events(job) if "learning rate" in m]
        eq(len(lines), 1 if said else 0, f"lines about the learning rate ({lines})")
        if said:
            has(lines[0], said)
        rates = {m["learning_rate"] for m in d.get(f"/v1/jobs/{job}/metrics?split=train").json["metrics"]}
        assert all(abs(r - rate) < 1e-12 for r in rates), f"{rates}, want {rate}"
        peak = d.job(job)["progress"]["schedule"]["learning_rate"]
        assert abs(peak - rate) < 1e-12, f"{peak}, want {rate}"
        has(cli(d, "show", job), f"from step 0, peak {rate:g}\n")


@case("after kill -9 a warm started job goes on from its own checkpoint and does not start warm again")
def _(d):
    tiny_file(d)
    job = warm(d, epochs=2000)
    job["training"]["resume_from"] = "latest"
    calm = d.submit(job)
    d.wait_state(calm, "succeeded")
    i = d.submit(job)
    wait_for(20, "a checkpoint", lambda: d.job(i)["progress"].get("checkpoint_step", 0) >= 50)
    os.kill(d.trainers()[0], signal.SIGKILL)
    # The file may be gone by now: it is not needed any more.
    os.unlink(f"{d.root}/old.safetensors")
    d.wait_state(i, "succeeded")
    attempts = d.get(f"/v1/jobs/{i}/attempts").json["attempts"]
    assert len(attempts) >= 2, attempts
    assert attempts[1]["from"].startswith("step-") and attempts[1]["start_step"] >= 50, attempts[1]
    eq(len([m for m in d.events(i) if m.startswith("loaded 4 of 4")]), 1, f"plans in {d.events(i)}")
    # The scale of the rate is part of what is gone on from.
    rates = {m["learning_rate"] for m in d.get(f"/v1/jobs/{i}/metrics?split=train&limit=500").json["metrics"]}
    eq(rates, {0.003 * 0.2}, "learning rates")

    def digests(j):
        files = d.get(f"/v1/jobs/{j}/checkpoints/latest").json["files"]
        return {f["name"]: f["xxh128"] for f in files}
    eq(digests(i), digests(calm), "weights")


@case("with resume_from none the job starts warm at each resume")
def _(d):
    tiny_file(d)
    i = d.submit(warm(d, epochs=2))
    d.wait_state(i, "succeeded")
    d.post(f"/v1/jobs/{i}/resume", {"from": "none"}, want=202)
    wait_for(20, "the second end", lambda: d.job(i)["state"] == "succeeded" and d.job(i)["attempt"] == 2)
    eq(len([m for m in d.events(i) if m.startswith("loaded 4 of 4")]), 2, f"plans in {d.events(i)}")


@case("a job that goes on from an unknown job or checkpoint is refused at submit")
def _(d):
    held = d.submit(tiny(d, "held", hold=True))
    done = d.submit(tiny(d, "done", epochs=2))
    d.wait_state(done, "succeeded")
    for uri, part in (("job://01hzzzzzzzzzzzzzzzzzzzzzzz/best", "01hzzzzzzzzzzzzzzzzzzzzzzz"),
                      (f"job://{done}/no-such-name", "no-such-name"), (f"job://{done}/step:7", "7"),
                      (f"job://{held}/latest", held), ("job://../latest", "job://"), (f"job://{done}", "job://"),
                      ("model://m/3", "model"), ("gopher://x/y", "gopher")):
        job = tiny(d)
        job["model"]["checkpoint"] = uri
        r = d.post("/v1/jobs", job)
        eq(r.status, 422, f"{uri} ({r.text})")
        eq([e["path"] for e in r.json["errors"]], ["model.checkpoint"], uri)
        has(r.json["errors"][0]["message"], part)
    job["model"]["checkpoint"] = f"{d.root}/nowhere.safetensors"
    r = d.post("/v1/jobs", job, want=422)
    eq([e["path"] for e in r.json["errors"]], ["model.checkpoint"])
    has(r.text, "nowhere.safetensors")
    # And one that is there is taken, by each way of naming a checkpoint.
    last = d.get(f"/v1/jobs/{done}/checkpoints/latest").json
    for which in ("best", "latest", f"step:{last['step']}", last["checkpoint"]):
        job["model"]["checkpoint"] = f"job://{done}/{which}"
        d.post("/v1/jobs", job, want=201)


# --- plans ------------------------------------------------------------------------------------

def dry(d, job, want=200):
    return d.post("/v1/jobs?dry_run=1", job, want=want).json


def jobs(d):
    return len(d.get("/v1/jobs").json["jobs"])


@case("a plan is shown without training, and a job that has its digest does that one")
def _(d):
    tiny_file(d, **{"fc2.weight": ([5, 32], 0.03), "fc2.bias": ([5], 0.04)})
    job = warm(d, strict=False, epochs=1)
    p = d.post("/v1/warm-starts/plan", job, want=200).json
    eq((p["accepted"], p["refused"], jobs(d)), (True, [], 0))
    eq(p["summary"], "loaded 2 of 4 tensors (160 of 259 parameters); 2 new: fc2.weight, fc2.bias "
       "(file [5,32], model [3,32]); 0 missing; 0 ignored")
    eq(p["learning_rate"], {"scale": 0.2, "from": 0.003, "to": 0.0006000000000000001})
    job["training"]["warm_start"] = {"plan": p["digest"]}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    kept = d.get(f"/v1/jobs/{i}/plan").json
    eq((kept["summary"], kept["digest"], kept["tensors"]), (p["summary"], p["digest"], p["tensors"]))
    has(cli(d, "show", i), "0.0006, which is 0.2 times the job's 0.003")
    # Another file is another plan.
    tiny_file(d)
    r = dry(d, job, want=422)
    eq([e["path"] for e in r["errors"]], ["training.warm_start.plan"])
    has(r["errors"][0]["message"], "the tensors of the file, what is done with them changed")
    i = d.submit(job)
    has(d.wait_state(i, "failed")["message"], "loaded 4 of 4 tensors")


@case("a dry run refuses what would be refused later, data included, and submits nothing")
def _(d):
    tiny_file(d)
    r = dry(d, warm(d))
    eq((r["accepted"], r["plan"]["tensors_loaded"], r["steps_total"] > 0), (True, 4, True))
    assert dry(d, tiny(d))["plan"] is None
    strict = dry(d, warm(d, classes=4), want=422)
    eq([e["path"] for e in strict["errors"]], ["model.checkpoint"] * 2)
    has(strict["errors"][0]["message"], "fc2.weight: does not match: file [3,32], model [4,32]")
    with open(f"{d.root}/bad.csv", "w") as f:
        f.write("a,b,c,d,class\n1,2,3,4,0\n1,2,x,4,1\n")
    job = tiny(d)
    job["data"]["train"]["path"] = f"{d.root}/bad.csv"
    has(dry(d, job, want=422)["errors"][0]["message"], "bad.csv: line 3")
    job = tiny(d)
    job["model"]["sizes"] = [4, 32, 2]
    has(dry(d, job, want=422)["errors"][0]["message"], "the network has 2 outputs")
    job = tiny(d)
    job["data"]["train"]["path"] = f"{d.root}/nowhere.csv"
    eq(dry(d, job, want=422)["errors"][0]["path"], "data.train.path")
    eq(jobs(d), 0, "jobs")
    eq(os.listdir(f"{d.root}/state/checks") if os.path.exists(f"{d.root}/state/checks") else [], [])


def stored(body):
    return Object(body, hashlib.md5(body).hexdigest(), 0, {})


@case("a dry run fetches what a job names in a bucket, and leaves no trace of having done so", "stopped")
def _(d):
    st = Store()
    bucket.rekindled(d, {"stores": [st.store("s3://")]})
    with open(tiny_file(d), "rb") as f:
        st.buckets["b"]["old"] = stored(f.read())
    job = tiny(d, "far", epochs=1)
    with open(job["data"]["train"]["path"], "rb") as f:
        st.buckets["b"]["data.csv"] = stored(f.read())
    job["data"]["train"]["path"] = "s3://b/data.csv"
    job["model"]["checkpoint"] = "s3://b/old"
    p = dry(d, job)["plan"]
    eq((p["tensors_loaded"], p["source"], jobs(d)), (4, "s3://b/old", 0))
    job["model"]["checkpoint"] = "s3://b/gone"
    r = dry(d, job, want=422)["errors"]
    eq([e["path"] for e in r], ["model.checkpoint"])
    has(r[0]["message"], "s3://b/gone")
    st.stop()


@case("rekindle plan and submit --dry-run say it in words, and watch and show the sentence")
def _(d):
    tiny_file(d)
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(warm(d, epochs=1), f)
    out = cli(d, "plan", f"{d.root}/job.json")
    for part in ("loaded 4 of 4 tensors (259 of 259 parameters); 0 new; 0 missing; 0 ignored", "rekindle",
                 "0.0006, which is 0.2 times the job's 0.003", "fc1.weight  copy    [32,4]  [32,4]"):
        has(out, part)
    out = cli(d, "plan", f"{d.root}/job.json", "--set", "model.sizes=[4,32,4]", want=1)
    has(out, "fc2.bias: does not match: file [3], model [4]")
    has(out, "fc2.weight  init")
    has(cli(d, "submit", "--dry-run", f"{d.root}/job.json"), "warm would be accepted: ")
    has(cli(d, "submit", "--dry-run", f"{d.root}/job.json", "--set", "model.sizes=[4,32,4]", want=1),
        "fc2.bias: does not match")
    eq(jobs(d), 0, "jobs")
    out = cli(d, "submit", "--watch", f"{d.root}/job.json")
    has(out, "loaded 4 of 4 tensors (259 of 259 parameters); 0 new; 0 missing; 0 ignored; learning rate 0.0006, which "
        "is 0.2 times the job's 0.003")


@case("a plan with a tensor that only one side has is told in words, by plan, submit --dry-run and show")
def _(d):
    tiny_file(d, **{"fc1.bias": None, "extra.count": ([], 1)})
    job = warm(d, strict=False, epochs=1)
    job["model"]["minimum"] = 0.5
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    rows = cli(d, "plan", f"{d.root}/job.json").splitlines()

    def row(lines, name):
        return next(x.split() for x in lines if x.split()[:1] == [name])

    eq(row(rows, "fc1.bias")[:4], ["fc1.bias", "init", "-", "[32]"])
    eq(row(rows, "extra.count")[:4], ["extra.count", "skip", "[]", "-"])
    has(cli(d, "submit", "--dry-run", f"{d.root}/job.json"), "1 missing: fc1.bias; 1 ignored")
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    shown = cli(d, "show", i).splitlines()
    eq(row(shown, "extra.count")[:4], ["extra.count", "skip", "[]", "-"])


@case("a plan says what is taken along beside weights, and refuses what cannot be had, as the run does")
def _(d):
    tiny_file(d)
    job = warm(d, epochs=1)
    job["training"]["warm_start"] = {"optimizer": "all"}
    job["training"]["optimizer"]["type"] = "adam"
    state = dry(d, job)["plan"]["optimizer"]
    eq((state["tensors"], state["updates"]), (0, 0))
    has(state["summary"], "the optimizer's state of 0 tensors is taken along")
    has(state["notes"][0], "skip the optimizer's state: ")
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    has(cli(d, "plan", f"{d.root}/job.json"), "skip the optimizer's state: ")
    r = subprocess.run([f"{BUILD}/rekindle-train", "--plan", f"{d.root}/job.json"], capture_output=True, text=True)
    has(r.stdout, "state    skip the optimizer's state: ")
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    eq(d.job(i)["plan"]["optimizer"], state, "what was taken along")
    # As of a checkpoint of ours, which has it, before and after.
    again = warm(d, name="again", epochs=1)
    again["model"]["checkpoint"] = f"job://{i}/latest"
    again["training"].update(warm_start={"optimizer": "all", "schedule": "continue"}, optimizer=job["training"]["optimizer"])
    told = dry(d, again)["plan"]["optimizer"]
    eq(told["tensors"], 4)
    has(told["notes"][0], "the schedule goes on at its step ")
    j = d.submit(again)
    d.wait_state(j, "succeeded")
    eq(d.job(j)["plan"]["optimizer"], told, "what was taken along")
    job["training"]["warm_start"] = {"schedule": "continue"}
    r = dry(d, job, want=422)["errors"]
    eq([e["path"] for e in r], ["training.warm_start.schedule"])
    has(r[0]["message"], "does not say how many steps")
    j = d.wait_state(d.submit(job), "failed")
    has(j["message"], "does not say how many steps")


@case("the state of an optimizer is not taken for a model", "stopped")
def _(d):
    with open(f"{SAMPLES}/simplenet/model.pdopt", "rb") as f, open(f"{d.root}/old.safetensors", "wb") as out:
        out.write(f.read())
    job = warm(d, strict=False)
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([f"{BUILD}/rekindle-train", "--plan", f"{d.root}/job.json"], capture_output=True, text=True)
    eq(r.returncode, 3)
    has(r.stderr, "has the state of an optimizer and no model: want the file of the model (.pdparams")


# --- names, layouts and what may be missing -----------------------------------------------------

@case("a prefix that makes everything miss is refused by the minimum, and a known one is taken off")
def _(d):
    names = {"fc1.weight": ([32, 4], 0.01), "fc1.bias": ([32], 0.02), "fc2.weight": ([3, 32], 0.03)}
    write(f"{d.root}/old.safetensors", {"foo." + k: v for k, v in names.items()} | {"fc2.bias": ([3], 0.04)})
    r = dry(d, warm(d, strict=False), want=422)["errors"]
    eq(r[0]["path"], "model.minimum")
    has(r[0]["message"], "is 0.9, and 1.2 % of the parameters outside the tensors that do not match")
    has(r[0]["message"], 'its names begin with "foo."')
    job = warm(d, strict=False)
    job["model"]["rename"] = {"^foo\\.": ""}
    eq(dry(d, job)["plan"]["tensors_loaded"], 4)
    write(f"{d.root}/old.safetensors", {"module." + k: v for k, v in names.items()} | {"module.fc2.bias": ([3], 0.04)})
    p = dry(d, warm(d))["plan"]
    eq((p["tensors_loaded"], p["prefix"]), (4, "module."))
    eq({t["action"] for t in p["tensors"]}, {"rename"})


@case("policies go by patterns of names, and a slice takes the classes that there were")
def _(d):
    tiny_file(d, **{"fc2.weight": ([2, 32], 3.5), "fc2.bias": ([2], 4.5), "fc1.bias": None, "extra": ([2], 1)})
    job = warm(d)
    job["model"].update(missing={"fc1.*": "init"}, unexpected={"ext*": "skip"}, mismatch={"fc2.*": "slice"}, minimum=0.5)
    i = d.submit(job | {"training": dict(job["training"], epochs=1)})
    d.wait_state(i, "succeeded")
    eq(d.job(i)["plan_summary"], "loaded 3 of 4 tensors (194 of 259 parameters); 0 new; 2 sliced: fc2.weight, fc2.bias "
       "(file [2,32], model [3,32]); 1 missing: fc1.bias; 1 ignored")
    job["model"]["missing"] = {"fc2.*": "init"}
    has(json.dumps(dry(d, job, want=422)["errors"]), "fc1.bias: is missing from the file")


@case("square weights of Paddle are turned, by who wrote the file")
def _(d):
    job = warm(d, epochs=1)
    job["model"]["sizes"] = [4, 4, 3]
    square = {"fc1.weight": ([4, 4], 0.01), "fc1.bias": ([4], 0.02), "fc2.bias": ([3], 0.04)}
    write(f"{d.root}/old.safetensors", dict(square, **{"fc2.weight": ([4, 3], 0.03)}), format="pd")
    p = dry(d, job)["plan"]
    eq({t["name"]: t["action"] for t in p["tensors"]},
       {"fc1.weight": "transpose", "fc1.bias": "copy", "fc2.weight": "transpose", "fc2.bias": "copy"})
    eq((p["dialect"], p["framework"]), ("paddle", "paddle"))
    write(f"{d.root}/old.safetensors", dict(square, **{"fc2.weight": ([3, 4], 0.03)}), format="pt")
    eq({t["action"] for t in dry(d, job)["plan"]["tensors"]}, {"copy"})
    write(f"{d.root}/old.safetensors", dict(square, **{"fc2.weight": ([4, 3], 0.03)}))
    has(json.dumps(dry(d, job, want=422)["errors"]), "its fc2.weight is transposed: say model.dialect: paddle")
    job["model"]["dialect"] = "paddle"
    eq(dry(d, job)["plan"]["tensors"][0]["action"], "transpose")


@case("a file of another producer than the job's is refused when strict, and said when not")
def _(d):
    tiny_file(d)
    write(f"{d.root}/old.safetensors", {"fc1.weight": ([32, 4], 0.01), "fc1.bias": ([32], 0.02),
                                        "fc2.weight": ([3, 32], 0.03), "fc2.bias": ([3], 0.04)}, format="pt")
    job = warm(d, epochs=1)
    job["model"]["producer"] = {"paddle": ">=2.6"}
    has(json.dumps(dry(d, job, want=422)["errors"]), "asks for paddle >=2.6, and the file says that it was written by pytorch")
    job["model"]["strict"] = False
    has(dry(d, job)["plan"]["notes"][0], "was written by pytorch, and model.producer asks for paddle >=2.6")


# --- what is taken along -----------------------------------------------------------------------

# samples/simplenet was made for this project with paddlepaddle 3.3.1: a network trained for 200 steps, its optimizer,
# and the losses of the next 20 (golden.json says of what).

@case("a run that goes on from Paddle's own files repeats Paddle's next twenty losses", "stopped")
def _(d):
    with open(f"{SAMPLES}/simplenet/golden.json") as f:
        golden = json.load(f)
    first, n = 64 * golden["saved_after_step"], 64 * 20
    for kind, head, size in (("images", 16, 784), ("labels", 8, 1)):
        path = f"{FASHION}/train-{kind}-idx{3 if size > 1 else 1}-ubyte.gz"
        if not os.path.exists(path):
            raise Skip(f"no Fashion-MNIST in {FASHION} (Debian's dataset-fashion-mnist)")
        with gzip.open(path) as f, open(f"{d.root}/{kind}", "wb") as out:
            start = f.read(head)
            f.seek(head + first * size)
            out.write(start[:4] + struct.pack(">I", n) + start[8:] + f.read(n * size))
    job = {"name": "simplenet", "resources": {"threads": 1, "memory": "512MiB"},
           "model": {"layers": ["flatten", {"type": "linear", "out": 256, "name": "linear1"}, "relu",
                                {"type": "linear", "out": 10, "name": "linear2"}],
                     "checkpoint": f"{SAMPLES}/simplenet/model.pdparams"},
           "training": {"steps": 20, "batch_size": 64, "shuffle": False, "log_every": 1,
                        "optimizer": {"type": "adam", "learning_rate": 0.001},
                        "warm_start": {"optimizer": "moments", "learning_rate_scale": 1}},
           "data": {"train": {"type": "idx", "images": f"{d.root}/images", "labels": f"{d.root}/labels"}}}
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run", f"{d.root}/job.json"],
                       capture_output=True, text=True)
    eq(r.returncode, 0, r.stderr)
    has(r.stdout, "the optimizer's state of 4 tensors is taken along, after 200 updates")
    with open(f"{d.root}/run/metrics.jsonl") as f:
        losses = [m["loss"] for m in map(json.loads, f) if m["over"] == "steps"]
    want = golden["losses_of_steps_200_to_219"]
    eq(len(losses), len(want), "losses")
    worst = max(abs(a - b) / b for a, b in zip(losses, want))
    assert worst < 1e-5, f"{worst}: {losses}, want {want}"


@case("a job that takes moments and schedule along ends where one that was never cut ends, to the bit")
def _(d):
    def job(name, epochs, **warm_start):
        j = tiny(d, name, epochs=epochs)
        j["training"].update(shuffle=False, optimizer={"type": "adam", "learning_rate": 0.003},
                             schedule={"type": "linear", "length_epochs": 4, "end_factor": 0.1})
        if warm_start:
            j["model"]["checkpoint"] = f"job://{half}/latest"
            j["training"]["warm_start"] = warm_start
        i = d.submit(j)
        d.wait_state(i, "succeeded")
        return i

    def moments(i):
        """They are of all gradients so far; the model's file also says what it was trained on."""
        return {f["name"]: f["xxh128"] for f in d.get(f"/v1/jobs/{i}/checkpoints/latest").json["files"]}[
            "optimizer.safetensors"]
    whole, half = job("whole", 4), job("half", 2)
    steps = d.job(half)["progress"]["step"]
    taken = job("taken", 2, optimizer="moments", schedule="continue", learning_rate_scale=1)
    eq(moments(taken), moments(whole))
    kept = d.get(f"/v1/jobs/{taken}/plan").json["optimizer"]
    eq((kept["tensors"], kept["updates"]), (4, steps))
    has(kept["notes"][0], f"the schedule goes on at its step {steps}")
    # Without them it ends elsewhere.
    for left in ({"schedule": "continue"}, {"optimizer": "moments"}):
        other = job("other", 2, learning_rate_scale=1, **left)
        assert moments(other) != moments(whole), left


run()
