#!/usr/bin/env python3
"""What a daemon takes away from a bucket, and what it leaves alone."""
import hashlib
import json
import shutil
import time

import bucket
from stub import Object, Store, Upload, crc64
from t import case, eq, run, tiny, wait_for


def thing(body):
    return Object(body, hashlib.md5(body).hexdigest(), crc64(body), {})


class Scene:
    def __init__(self, d, **ship):
        self.d, self.st = d, Store()
        self.config = {"stores": [self.st.store("s3://")],
                       "ship": {"retry_base": 0.2, "retry_max": 1, "stale_uploads": 3600, **ship}}

    def __enter__(self):
        bucket.rekindled(self.d, self.config)
        return self

    def __exit__(self, *a):
        self.d.kill()
        self.st.stop()

    def again(self):
        self.d.stop()
        bucket.rekindled(self.d, self.config)

    def job(self, last, epochs=6, push="s3://b/runs/"):
        job = tiny(self.d, epochs=epochs)
        job["checkpoint"] = {"every": {"epochs": 1}, "keep": {"last": last, "best": 0},
                             "push": push, "require_remote": True}
        id = self.d.submit(job)
        self.d.wait_state(id, "succeeded", "failed")
        return id

    def records(self):
        return [k for k in self.st.buckets["b"] if k.endswith("/checkpoint.json")]


@case("stale uploads below our prefix are aborted, others are left alone", "stopped")
def _(d):
    with Scene(d) as s:
        s.job(1, epochs=1)
        old = time.time() - 7200
        for key, at in (("runs/jobs/x/checkpoints/y/model.safetensors", old),
                        ("runs/jobs/x/checkpoints/y/young", time.time()),
                        ("runs/other", old), ("elsewhere/jobs/x", old)):
            u = s.st.uploads[key] = Upload("b", key, {})
            u.at = at
        s.again()
        wait_for(10, "the stale upload is aborted", lambda: len(s.st.uploads) < 4)
        time.sleep(0.3)
        eq(sorted(s.st.uploads), ["elsewhere/jobs/x", "runs/jobs/x/checkpoints/y/young", "runs/other"])


@case("what retention takes away leaves nothing behind, and nobody else's things go", "stopped")
def _(d):
    with Scene(d) as s:
        id = s.job(1)
        base = f"runs/jobs/{id}/checkpoints/"
        wait_for(10, "one checkpoint is left", lambda: len(s.records()) == 1)
        s.st.buckets["b"]["runs/notes.txt"] = thing(b"mine")
        s.st.buckets["b"][base + "step-000000001/notes.txt"] = thing(b"mine")
        folder = s.records()[0][len(base):].split("/")[0]
        wait_for(10, "the others are gone", lambda: all(
            k.startswith(base + folder) or k.endswith("notes.txt") for k in s.st.buckets["b"]))
        eq(s.d.call("DELETE", f"/v1/jobs/{id}").status, 204, "status of the deletion")
        wait_for(10, "the job's objects are gone", lambda: sorted(s.st.buckets["b"]) == [
            base + "step-000000001/notes.txt", "runs/notes.txt"])


@case("a folder of a stranger stays as it is", "stopped")
def _(d):
    with Scene(d) as s:
        held = tiny(s.d, epochs=2)
        held["hold"] = True
        held["checkpoint"] = {"every": {"epochs": 1}, "push": "s3://b/runs/", "require_remote": True}
        id = s.d.submit(held)
        base = f"runs/jobs/{id}/checkpoints/"
        s.job(9, epochs=2)              # its folders will be called the same
        names = sorted({k.split("/")[-2] for k in s.records()})
        for n in names:
            s.st.buckets["b"][f"{base}{n}/checkpoint.json"] = thing(b"{}")
        s.d.post(f"/v1/jobs/{id}/start")
        s.d.wait_state(id, "succeeded", "failed")
        for n in names:
            eq(s.st.buckets["b"][f"{base}{n}/checkpoint.json"].body, b"{}", n)
            assert f"{base}{n}/model.safetensors" not in s.st.buckets["b"], f"{n} was written to"
        twins = [k for k in s.records() if k.startswith(base) and k.split("/")[-2].endswith("-r2")]
        assert twins, "its own checkpoints are nowhere"
        for k in twins:
            eq(json.loads(s.st.buckets["b"][k].body)["job"], id)


@case("what got there before a kill and is gone here stays, and what is half there goes", "stopped")
def _(d):
    # A trainer that is left alone retires checkpoints; the bucket may have nothing newer yet.
    for last, stays in (("checkpoint.json", True), ("optimizer.safetensors", False)):
        with Scene(d) as s:
            hit = []

            def die(seen):
                if seen.method == "PUT" and seen.target.endswith(last) and not hit:     # noqa: B023
                    hit.append(seen.target[len("/b/"):])    # noqa: B023
                    d.proc.kill()
            s.st.before = die
            job = tiny(d, epochs=1)
            job["checkpoint"] = {"every": {"epochs": 1}, "push": "s3://b/runs/"}
            id = d.submit(job)
            wait_for(30, f"{last} goes up", lambda: hit)        # noqa: B023
            d.proc.wait()
            wait_for(30, "its trainer has left", lambda: not d.trainers())
            folder = hit[0].rpartition("/")[0]
            wait_for(30, f"{last} is there", lambda: hit[0] in s.st.buckets["b"])       # noqa: B023
            shutil.rmtree(f"{d.state}/jobs/{id}/checkpoints/{folder.split('/')[-1]}")
            bucket.rekindled(d, s.config)
            # Checkpoints that are made anew have folders of their own.
            if stays:
                wait_for(30, "it is looked at again", lambda: "is verified" in d.log())
                assert f"/{folder}/ goes" not in d.log(), d.log()[-800:]
                assert f"{folder}/checkpoint.json" in s.st.buckets["b"], "it was deleted"
            else:
                wait_for(30, "it goes", lambda: f"/{folder}/ goes" in d.log())  # noqa: B023
        shutil.rmtree(d.state)


run()
