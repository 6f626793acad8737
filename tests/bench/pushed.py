"""The rows `ship`, `notice` and `fresh` of bench.py: what checkpoints in a
bucket cost, how soon a notice is a checkpoint, and how soon an empty machine
goes on.  What needs a real object store is skipped where there is none.
"""
import glob
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")
import s3                               # noqa: E402
import signed                           # noqa: E402
import t                                # noqa: E402

WIDE = [784, 25600, 10]
med = statistics.median


def daemon(root, config, *flags):
    os.makedirs(root, exist_ok=True)
    with open(f"{root}/rekindled.yaml", "w") as f:
        json.dump(config, f)
    return t.Daemon(root, "--config", f"{root}/rekindled.yaml", *flags)


def end(d):
    """Whatever happened: the daemon and its trainers."""
    d.kill()
    for p in d.trainers():
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        v = f.read().rpartition(")")[2].split()
    return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")


def metrics(d, i, attempt=None):
    """{step: time_ms} of the lines that tell of some steps."""
    out = {}
    with open(f"{d.state}/jobs/{i}/metrics.jsonl") as f:
        for line in f:
            if not line.endswith("\n"):
                break
            x = json.loads(line)
            if x["split"] == "train" and x.get("over") == "steps" and attempt in (None, x["attempt"]):
                out[x["step"]] = x["time_ms"]
    return out


def counter(d, name):
    m = re.search(rf"^{name} ([0-9.e+]+)$", d.get("/metrics").text, re.M)
    return float(m.group(1))


# --- ship -------------------------------------------------------------------------------------

class Sink:
    """tests/bench/sink.c, and what it says."""

    def __init__(self, top):
        self.said = f"{top}/sink.txt"
        with open(self.said, "w") as f:
            self.proc = subprocess.Popen([f"{t.BUILD}/bench/sink"], stdout=f, stdin=subprocess.DEVNULL)
        self.port = int(t.wait_for(5, "the sink listens", lambda: open(self.said).readline().strip()))

    def store(self):
        return {"match": "s3://", "endpoint": f"http://127.0.0.1:{self.port}", "region": "us-east-1",
                "addressing": "path", "access_key_id": "id", "secret_access_key": "secret"}

    def whole(self):
        """{key: (time_ms, bytes)}"""
        with open(self.said) as f:
            lines = [x.split() for x in f.read().splitlines()[1:]]
        return {key: (int(ms), int(size)) for ms, size, key in lines}

    def stop(self):
        self.proc.kill()
        self.proc.wait()


EVERY = 500             # steps between checkpoints: the first half must outlast an upload


def slowed(top, row, job, pairs):
    """Of EVERY steps, the first half has a checkpoint to write, hash and send, the second half nothing."""
    sink = Sink(top)
    d = daemon(f"{top}/ship", {"stores": [sink.store()], "ship": {"upload_rate": "100MB"}})
    half = EVERY // 2
    steps = EVERY * (pairs + 2)
    j = job("wide", WIDE, steps, EVERY)
    j["training"]["log_every"] = 10
    j["checkpoint"].update(push="s3://bucket/runs/", require_remote=True)
    try:
        d.start()
        i = d.submit(j)
        begun = time.monotonic()
        while d.job(i)["state"] not in ("succeeded", "failed"):
            time.sleep(1)
        took = time.monotonic() - begun
        t.eq(d.job(i)["state"], "succeeded", "state")
        cpu = {"daemon": cpu_s(d.proc.pid), "sink": cpu_s(sink.proc.pid)}
        made, verified = counter(d, "rekindle_checkpoints_total"), counter(d, "rekindle_ship_verified_total")
        t.eq((made, counter(d, "rekindle_remote_retries_total")), (steps / EVERY, 0), "checkpoints, retries")
        t.eq(verified, made, "checkpoints that became verified, of all")
        at, whole = metrics(d, i), sink.whole()
        d.stop()
    finally:
        end(d)
        sink.stop()
    slow, calm, behind = [], [], []
    for k in range(2 * EVERY, steps, EVERY):
        with_, without = at[k + half - 10] - at[k - 10], at[k + EVERY - 10] - at[k + half - 10]
        slow.append((with_ - without) / (2 * without))
        calm.append(without / half)
        last = [ms for key, (ms, _) in whole.items() if key.endswith(f"/step-{k:09d}/checkpoint.json")]
        behind.append((last[0] - at[k]) / 1000)
        assert last[0] < at[k + half - 10], f"the checkpoint of step {k} was still under way at step {k + half - 10}"
    size = max(n for _, n in whole.values()) * 1.5 / 1e6
    m, q = med(slow), statistics.quantiles(slow, n=4)
    row("training is slowed by checkpoints that are all pushed", 100 * m, "% of the time", "< 4", m < 0.04,
        f"784-25600-10, batch 64, Adam, 2 threads, {size:.0f} MB every {EVERY} steps, upload_rate 100MB: steps k-10 "
        f"to k+{half - 10} round a checkpoint against the next {half}, in which nothing is written or sent, so (first - second) "
        f"/ (2 x second) is the cost over {EVERY} steps; {len(slow)} pairs in one run at {med(calm):.1f} ms a step; "
        f"quartiles {100 * q[0]:.1f} and {100 * q[2]:.1f} %; each in the bucket {med(behind):.1f} s (worst "
        f"{max(behind):.1f}) after its step, {made:.0f} of {made:.0f} verified; the store is a sink on loopback "
        f"that throws bodies away ({cpu['sink'] / made:.2f} s CPU a checkpoint, in the measurement), http; the "
        f"daemon itself {cpu['daemon'] / made:.2f} s CPU a checkpoint in {took / made:.1f} s")


# --- notice -----------------------------------------------------------------------------------

def step_ms(d, i, attempt):
    at = metrics(d, i, attempt)
    steps = sorted(at)
    return (at[steps[-1]] - at[steps[0]]) / (steps[-1] - steps[0]) if len(steps) > 1 else 0


def notice(top, row, job, rounds):
    """From POST /v1/drain, where notices end, too, to the checkpoint's place in its folder."""
    d = daemon(f"{top}/notice", {})
    j = job("wide", [784, 31500, 10], 10**7, 10**7)
    j["training"]["log_every"] = 1
    took, steps, i = [], [], None
    try:
        for n in range(1, rounds + 1):
            d.start()
            i = i or d.submit(j)
            t.wait_for(120, "it does some steps", lambda: d.job(i)["state"] == "running" and
                       len(metrics(d, i, n)) > 20)
            pattern = f"{d.state}/jobs/{i}/checkpoints/step-*/checkpoint.json"
            before = set(glob.glob(pattern))
            begin = time.monotonic()
            d.post("/v1/drain", {"deadline_seconds": 60}, want=202)
            while not set(glob.glob(pattern)) - before:
                assert time.monotonic() - begin < 60, "no checkpoint came of it"
                time.sleep(0.002)
            took.append(time.monotonic() - begin)
            new = (set(glob.glob(pattern)) - before).pop()
            size = sum(os.path.getsize(p) for p in glob.glob(os.path.dirname(new) + "/*")) / 1e6
            steps.append(step_ms(d, i, n) / 1000)
            t.eq(d.stop(), 0, "exit code of the daemon")
    finally:
        end(d)
    step = med(steps)
    row("from a notice to the local checkpoint", med(took), "s", f"< 1 + a step of {step:.3f}", med(took) < 1 + step,
        f"784-31500-10, batch 64, Adam, 2 threads, {size:.0f} MB of state, {1000 * step:.0f} ms a step: from POST "
        f"/v1/drain, where every notice ends, until the checkpoint is in place, with its digests and synced; "
        f"median of {rounds}, {min(took):.2f} to {max(took):.2f}")


# --- fresh ------------------------------------------------------------------------------------

def line_s(g, b, keys):
    """Seconds that curl takes to get these objects at once and forget them, the better of twice."""
    def get():
        begin, curls = time.monotonic(), []
        for k in keys:
            h = signed.sign("GET", g.url.split("//")[1], f"/{b}/{k}", **g.keys)
            argv = ["curl", "-sSf", "-o", "/dev/null", f"{g.url}/{b}/{k}"]
            curls.append(subprocess.Popen(argv + [x for k, v in h.items() for x in ("-H", f"{k}: {v}")]))
        assert not any([c.wait() for c in curls]), "curl failed"
        return time.monotonic() - begin
    return min(get(), get())


def first_step(d, i, attempt, deadline):
    path = f"{d.state}/jobs/{i}/metrics.jsonl"
    while time.monotonic() < deadline:
        try:
            if metrics(d, i, attempt):
                return time.monotonic()
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    raise AssertionError(f"no step came in {path}: {d.log()[-800:]}")


def fresh(top, row, job, rounds):
    """A machine's disk is gone; the next daemon has the bucket and its name."""
    try:
        g = s3.rgw(capacity=8 << 30)
    except t.Skip as e:
        print(f"skip the empty disk: {e}")
        return
    b = g.bucket()
    d = daemon(f"{top}/fresh", {"stores": [g.store()],
                                "mirror": {"prefix": f"s3://{b}/team/", "instance": "bench", "check": 1}})
    j = job("wide", WIDE, 10**7, 100)
    j["training"]["log_every"] = 1
    all_s, line, step, i = [], [], 0, None
    try:
        for n in range(1, rounds + 1):
            if i is None:
                d.start()
                i = d.submit(j)

            def there():
                v = d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]
                return max([x["step"] for x in v if x["durability"]["state"] == "verified"], default=0) > step
            t.wait_for(300, "a newer checkpoint is in the bucket", there)
            end(d)
            keys = [k for k in g.keys_of(b, f"team/jobs/{i}/checkpoints/") if k.endswith(".safetensors")]
            newest = max(os.path.dirname(k) for k in keys if f"{os.path.dirname(k)}/checkpoint.json" in
                         g.keys_of(b, f"{os.path.dirname(k)}/"))
            keys = [k for k in keys if os.path.dirname(k) == newest]
            size = sum(int(g.request("HEAD", f"/{b}/{k}").headers["Content-Length"]) for k in keys) / 1e6
            line.append(line_s(g, b, keys))
            shutil.rmtree(d.state)
            os.sync()
            begin = time.monotonic()
            d.start()
            all_s.append(first_step(d, i, n + 1, begin + 120) - begin)
            step = min(metrics(d, i, n + 1))
    finally:
        end(d)
        g.stop()
    own = [a - x for a, x in zip(all_s, line)]
    row("an empty disk to the first new step, less the download", med(own), "s", "< 2", med(own) < 2,
        f"784-25600-10, Adam, {size:.0f} MB in a RADOS Gateway on loopback, mirror with the same instance name: from "
        f"the start of the daemon, over taking over, download, and reading Fashion-MNIST, to the first metric line; "
        f"{med(all_s):.2f} s in all, curl gets the same objects in {med(line):.2f} s; median of {rounds}, "
        f"{min(own):.2f} to {max(own):.2f}")


# --- shards -----------------------------------------------------------------------------------

def head_only(top, row, job):
    """What a checkpoint of a head-only fine-tune takes on the disk, and what of it is sent."""
    classes, n = 100, 4
    j = job("head", [1], 5, 10**6, batch=4)
    j["model"] = {"arch": "resnet50", "classes": classes}
    j["training"].update(parameters=[{"match": "fc.*", "trainable": True}, {"match": "*", "trainable": False}],
                         frozen_batch_norm="evaluation")
    j["data"] = {"train": {"type": "synthetic", "shape": [3, 64, 64], "classes": classes, "samples": 64}}
    j["checkpoint"].update(push="s3://bucket/runs/", require_remote=True, keep={"last": 9, "best": 0})
    sink = Sink(top)
    d = daemon(f"{top}/head", {"stores": [sink.store()]})
    try:
        d.start()
        i = d.submit(j)
        for k in range(1, n + 1):       # the one at the end is always taken
            t.eq(d.wait_state(i, "succeeded", "failed", seconds=300)["state"], "succeeded", "state")
            if k < n:
                d.post(f"/v1/jobs/{i}/resume", {"overrides": {"training": {"steps": 5 * (k + 1)}}}, want=202)
        last = sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))[-1]
        sizes = {os.path.basename(p): os.path.getsize(p) for p in glob.glob(f"{last}/*")}
        t.wait_for(60, "all are in the store",
                   lambda: len([k for k in sink.whole() if k.endswith("/checkpoint.json")]) == n)
        whole = sink.whole()
    finally:
        end(d)
        sink.stop()
    (shard,) = [x for x in sizes if x.startswith("frozen-")]
    t.eq(len([k for k in whole if k.endswith(f"/{shard}")]), 1, "times that the shard was sent")
    disk = sum(sizes.values()) - sizes[shard]
    sent = sum(size for key, (_, size) in whole.items() if not key.endswith(f"/{shard}")) / n
    head = 3 * 4 * (2048 * classes + classes)
    what = (f"ResNet-50, {classes} classes, Adam, all but fc frozen, batch norms in evaluation mode; the head and its "
            f"two moments are {head / 1e6:.2f} MB, the shard of the rest {sizes[shard] / 1e6:.0f} MB, which is "
            f"written and sent once")
    for name, size, more in (("on the disk", disk, f"the last of {n}, headers, index and checkpoint.json included, "
                              "the hard link not"),
                             ("sent", sent, f"mean of {n}, all objects but the shard, by the store's count")):
        row(f"a checkpoint of a head-only fine-tune, {name}", size / 1e6, "MB",
            f"<= the head and its moments and 64 KiB: {(head + 65536) / 1e6:.2f}", size <= head + 65536,
            f"{what}; {more}")
