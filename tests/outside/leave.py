#!/usr/bin/env python3
"""Thirty seconds of notice, three jobs of 100 MB and more: everything into the
bucket, and a machine with an empty disk goes on."""
import glob
import json
import os
import shutil
import time

import s3
from clouds import Cloud, saved
from t import SANITIZED, Skip, case, eq, has, run, tiny, wait_for

WIDE = [4, 2900, 2900, 3]       # 8.4 million parameters, 101 MB with Adam's moments


def config(d, g, b, cloud=None, **more):
    path = f"{d.root}/rekindled.yaml"
    c = {"stores": [g.store()], "mirror": {"prefix": f"s3://{b}/team/", "instance": "gpu-a", "check": 1}, **more}
    if cloud:
        c.update(cloud.config(margin=2))
    with open(path, "w") as f:
        json.dump(c, f)
    return path


def wide(d, n):
    return tiny(d, f"wide-{n}", epochs=100000, model={"arch": "mlp", "sizes": WIDE},
                resources={"threads": 1, "memory": "900MiB"}, training={
                    "epochs": 100000, "batch_size": 16, "log_every": 1, "seed": n,
                    "optimizer": {"type": "adam", "learning_rate": 0.0001}},
                checkpoint={"every": {"steps": 100000}})


def last_step(d, i):
    steps = [0]
    with open(f"{d.state}/jobs/{i}/metrics.jsonl") as f:
        for line in f:
            try:
                steps.append(json.loads(line)["step"])
            except ValueError:
                pass            # torn by a kill
    return max(steps)


@case("thirty seconds are enough for three jobs of 100 MB, and the next daemon loses at most a step", "stopped")
def _(d):
    if SANITIZED:
        raise Skip("three wide networks are slow under sanitizers")
    g = s3.rgw()
    b = g.bucket()
    c = Cloud("aws")
    d.start("--config", config(d, g, b, c), "--threads", "3", "--memory", "4GiB")
    jobs = [d.submit(wide(d, n)) for n in range(3)]
    for i in jobs:
        d.wait_state(i, "running", seconds=60)
    wait_for(60, "each has done some steps", lambda: all(d.job(i)["progress"].get("step", 0) > 5 for i in jobs))
    t0 = time.time()
    c.notice(30)
    saved(d, 40)
    took = time.time() - t0
    eq(d.stop(), 0, "exit code")
    assert took < 30, f"{took:.1f} s"
    c.close()
    done = {i: last_step(d, i) for i in jobs}
    here = {i: sorted(os.path.basename(p) for p in glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))[-1] for i in jobs}
    for i in jobs:
        size = sum(os.path.getsize(p) for p in glob.glob(f"{d.state}/jobs/{i}/checkpoints/{here[i]}/*"))
        assert size > 100e6, size
        keys = g.keys_of(b, f"team/jobs/{i}/checkpoints/{here[i]}")
        assert any(k.endswith("/checkpoint.json") for k in keys), keys
    assert any(k.startswith("team/instances/gpu-a/left/") for k in g.keys_of(b, "team/instances/")), "no last words"
    eq(g.uploads(b), [], "unfinished uploads")

    # Another machine: nothing of the old one but the bucket.
    shutil.rmtree(d.state)
    d.start("--config", config(d, g, b), "--threads", "3", "--memory", "4GiB")
    for i in jobs:
        wait_for(120, "it runs", lambda: d.call("GET", f"/v1/jobs/{i}").status == 200 and d.job(i)["state"] == "running")
        a = d.get(f"/v1/jobs/{i}/attempts").json["attempts"][-1]
        eq(a["from"], here[i], "it goes on from")
        assert a["start_step"] >= done[i] - 1, (a["start_step"], done[i])
        has(" ".join(d.events(i)), "goes on from")
    print(f"    left after {took:.1f} s of 30")


@case("a rehearsal says what would make it in time and what would not", "stopped")
def _(d):
    g = s3.rgw()
    b = g.bucket()
    d.start("--config", config(d, g, b, ship={"upload_rate": "2MB"}))
    i = d.submit(tiny(d, "medium", epochs=100000, model={"arch": "mlp", "sizes": [4, 700, 700, 3]},
                      checkpoint={"every": {"steps": 400}}))
    wait_for(60, "one is in the bucket and the speed is known", lambda: [
        x for x in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"] if x["durability"]["state"] == "verified"])
    r = d.post("/v1/drain", {"deadline_seconds": 60, "rehearse": True}, want=200).json
    eq(len(r["jobs"]), 1)
    assert 500e3 < r["rate_bytes_per_second"] < 4e6, r
    eq((r["jobs"][0]["local"], r["jobs"][0]["remote"]), (True, True), "in a minute")
    assert 1 < r["jobs"][0]["upload_seconds"] < 20, r
    r = d.post("/v1/drain", {"deadline_seconds": 1, "rehearse": True}, want=200).json
    eq((r["jobs"][0]["local"], r["jobs"][0]["remote"]), (True, False), "in a second")
    has(r["jobs"][0]["have"], "step-")
    eq(d.job(i)["state"], "running")


run()
