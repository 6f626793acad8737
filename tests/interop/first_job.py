#!/usr/bin/env python3
"""The job that users write first, on a ResNet-50 that real Paddle has saved into a bucket.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/first_job.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle 2 or 3.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")

import bucket                                                           # noqa: E402
from buckets import first_job, object_store                             # noqa: E402
from t import Skip, case, eq, run                                       # noqa: E402

SAVE = """
import sys
import paddle
paddle.seed(1)
paddle.save(paddle.vision.models.resnet50(num_classes=1000).state_dict(), sys.argv[1])
"""


def saved(path):
    python = os.environ.get("PADDLE_PYTHON")
    if not python:
        raise Skip("PADDLE_PYTHON names no interpreter with paddlepaddle")
    r = subprocess.run([python, "-c", SAVE, path], capture_output=True, text=True)
    eq(r.returncode, 0, r.stderr[-500:])
    with open(path, "rb") as f:
        return f.read()


@case("the job that users write first begins with the ResNet-50 that Paddle saved in the bucket", "stopped")
def _(d):
    store = object_store()
    try:
        at = store.put("defects/v3/best.pdparams", saved(f"{d.root}/best.pdparams"))
        bucket.rekindled(d, {"stores": [store.entry]})
        i = d.submit(first_job(at, arch="resnet50", samples=64, size=64))
        d.wait_state(i, "succeeded", "failed", seconds=300)
        j = d.job(i)
        eq(j["state"], "succeeded", j["message"])
        print(f"    {j['plan_summary']}")
        eq((j["plan"]["framework"], j["plan"]["source"], j["plan"]["strict"]), ("paddle", at, False))
        new = [t for t in j["plan"]["tensors"] if t["action"] == "init"]
        eq({t["name"]: (t["file_shape"], t["model_shape"]) for t in new},
           {"fc.weight": ([2048, 1000], [10, 2048]), "fc.bias": ([1000], [10])})
        eq(j["plan"]["tensors_loaded"], j["plan"]["tensors_total"] - 2)
        # Strict, it is refused by both shapes.
        job = first_job(at, arch="resnet50", samples=64, size=64)
        job["model"]["strict"] = True
        r = d.post("/v1/jobs?dry_run=1", job, want=422).json
        eq(sorted(e["message"].split(":")[0] for e in r["errors"]), ["fc.bias", "fc.weight"])
    finally:
        d.kill()
        store.stop()


run()
