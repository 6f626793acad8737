#!/usr/bin/env python3
"""make bench: what the README's table says, measured here and now.

Each row runs the real programs; what is compared is measured in turn in one
run, and medians are taken, because a machine like this is noisy.  Beside each
row stands how fast the machine was, by a fixed loop before and after.  Prints each
row with its conditions and writes build/bench.json, a list of {row, value,
unit, goal, holds, conditions, machine, commit} and what a row has more.  Arguments
choose rows by part of their name: `speed` is all that compare networks.
"""
import functools
import glob
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
HERE = os.path.dirname(os.path.abspath(__file__))
FASHION = "/usr/share/datasets/fashion-mnist"
ROUNDS = int(os.environ.get("ROUNDS", "5"))
MULTI = glob.glob("/usr/lib/*/openblas-openmp")
rows = []


def row(name, value, unit, goal, holds, conditions, **more):
    rows.append({"row": name, "value": value, "unit": unit, "goal": goal, "holds": bool(holds),
                 "conditions": conditions, **more})
    print(f"{'ok  ' if holds else 'MISS'} {name}: {value:.4g} {unit} (goal {goal}) [{conditions}]",
          flush=True)


def mode():
    """Milliseconds of a fixed loop, now: (arithmetic, memory)."""
    out = subprocess.run([f"{BUILD}/bench/mode"], check=True, capture_output=True, text=True).stdout
    return tuple(float(x) for x in out.split())


def commit():
    """What was measured, with a mark when files differ from it."""
    def git(*args):
        return subprocess.run(["git", "-C", HERE, *args], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short=9", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def measured(fn, top):
    """Run one part, and note the machine's mode beside its rows."""
    first, before = len(rows), mode()
    fn(top)
    after, what = mode(), commit()
    for r in rows[first:]:
        r["machine"] = f"{before[0]:.0f}, {before[1]:.0f} / {after[0]:.0f}, {after[1]:.0f}"
        r["commit"] = what
    print(f"     the fixed loop: arithmetic {before[0]:.1f} ms before, {after[0]:.1f} after; "
          f"memory {before[1]:.1f} and {after[1]:.1f}", flush=True)


def machine():
    cpu = "unknown CPU"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} cores of {cpu}"


def fashion_job(name, sizes, steps, every, threads=2, batch=64):
    f = FASHION
    return {
        "name": name, "resources": {"threads": threads, "memory": "4GiB"},
        "model": {"arch": "mlp", "sizes": sizes},
        "training": {"epochs": 1000000, "steps": steps, "batch_size": batch, "log_every": 100,
                     "optimizer": {"type": "adam", "learning_rate": 0.001}},
        "data": {"train": {"type": "idx", "images": f"{f}/train-images-idx3-ubyte.gz",
                           "labels": f"{f}/train-labels-idx1-ubyte.gz"}},
        "checkpoint": {"every": {"steps": every}, "keep": {"last": 2, "best": 0, "metric": "loss"}},
    }


def train_alone(top, job, n):
    """Run the trainer by itself; its metric lines and the wall time."""
    run = f"{top}/{job['name']}-{n}"
    path = f"{run}.json"
    json.dump(job, open(path, "w"))
    t = time.time()
    subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", run, path], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.time() - t
    lines = [json.loads(x) for x in open(f"{run}/metrics.jsonl")]
    shutil.rmtree(run)
    return lines, wall


def steady_ms(lines, skip):
    """Milliseconds a step between the first line after `skip` steps and the last."""
    m = [x for x in lines if x["split"] == "train" and x["step"] >= skip]
    return (m[-1]["time_ms"] - m[0]["time_ms"]) / (m[-1]["step"] - m[0]["step"])


def torch_env():
    """The environment of PyTorch's side; None: there is no PyTorch."""
    env = dict(os.environ, SECONDS="3", LD_LIBRARY_PATH=MULTI[0] if MULTI else "")
    if subprocess.run(["/usr/bin/python3", "-c", "import torch"], stderr=subprocess.DEVNULL,
                      env=env).returncode == 0:
        return env
    print("skip the comparison with PyTorch: apt-get install python3-torch")
    return None


def bench_step(top):
    env = torch_env()
    if env is None:
        return
    tuned = dict(env, GLIBC_TUNABLES="glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000:"
                                     "glibc.malloc.hugetlb=1")
    ours, plain, best, ratio, ratio_tuned = [], [], [], [], []
    for i in range(ROUNDS):
        lines, _ = train_alone(top, fashion_job("small", [784, 256, 10], 6000, 10**9), i)
        ours.append(steady_ms(lines, 500))
        def torch(e):
            out = subprocess.run(["/usr/bin/python3", f"{HERE}/torch_mlp.py"], env=e, check=True,
                                 capture_output=True, text=True).stdout
            return float(out)
        plain.append(torch(env))
        best.append(torch(tuned))
        ratio.append(plain[-1] / ours[-1])
        ratio_tuned.append(best[-1] / ours[-1])
    med = statistics.median
    row("training step against PyTorch", med(ratio), "times as many samples/s", ">= 3", med(ratio) >= 3,
        f"784-256-10, batch 64, Adam, 2 threads; medians of {ROUNDS} rounds in turn: rekindle-train "
        f"{med(ours):.3f} ms/step with its data, PyTorch 1.13 (OpenBLAS openmp) {med(plain):.3f} ms "
        f"on one fixed batch; range {min(ratio):.1f}-{max(ratio):.1f}")
    row("the same, PyTorch with malloc tuned", med(ratio_tuned), "times as many samples/s", "none", True,
        f"as above; PyTorch {med(best):.3f} ms; range {min(ratio_tuned):.1f}-{max(ratio_tuned):.1f}")


def bench_networks(top):
    import networks
    networks.compiled(top, row, ROUNDS)
    env = torch_env()
    if env is not None:
        networks.against(top, row, min(ROUNDS, 3), env, train_alone, steady_ms)


def bench_checkpoint(top):
    """One run with a checkpoint every 100 steps: 50 steps round each commit against the 50 between.

    Both halves lie seconds apart in one process, so that what a neighbour does to the machine falls
    out; whole runs one after the other differ by tens of per cent here, whatever they do.
    """
    pairs = int(os.environ.get("PAIRS", "30"))
    job = fashion_job("wide", [784, 25600, 10], 100 * (pairs + 2), 100)
    job["training"]["log_every"] = 25
    lines, _ = train_alone(top, job, 0)
    at = {x["step"]: x["time_ms"] for x in lines if x["split"] == "train" and x.get("over") == "steps"}
    slow, calm = [], []
    for k in range(200, 100 * (pairs + 2), 100):
        with_, without = at[k + 25] - at[k - 25], at[k + 75] - at[k + 25]
        slow.append(with_ / without - 1)
        calm.append(without / 50)
    # Every 50 steps is twice as often as this run did it.
    stall = 2 * [x["stall_ratio"] for x in lines if "stall_ratio" in x][-1]
    row("training waits for its checkpoints", 100 * stall, "% of the time", "< 1", stall < 0.01,
        "784-25600-10, batch 64, Adam, 2 threads, 243 MB every 50 steps: the job's stall_ratio at one "
        "every 100, doubled")
    own = 2 * [x["checkpoint_overhead_ratio"] for x in lines if "checkpoint_overhead_ratio" in x][-1]
    med, q = statistics.median(slow), statistics.quantiles(slow, n=4)
    row("training is slowed by its checkpoints", 100 * med, "% of the time", "< 3.5", med < 0.035,
        f"the same: 50 steps with a checkpoint against the next 50 without, {len(slow)} pairs in one run at "
        f"{statistics.median(calm):.1f} ms a step; quartiles {100 * q[0]:.1f} and {100 * q[2]:.1f} %; "
        f"the job's own checkpoint_overhead_ratio, doubled, says {100 * own:.1f} %")


class Daemon:
    def __init__(self, root, *flags):
        self.root, self.flags = root, flags
        os.makedirs(root, exist_ok=True)
        with open(f"{root}/rekindled.yaml", "w") as f:
            f.write("preempt: {cloud: none}\n")        # whatever this machine is

    def start(self):
        t = time.time()
        self.proc = subprocess.Popen(
            [f"{BUILD}/rekindled", "--config", f"{self.root}/rekindled.yaml", "--state-dir", f"{self.root}/state",
             "--listen", "127.0.0.1:0", "--socket", f"{self.root}/sock", *self.flags],
            stdout=subprocess.PIPE, stderr=open(f"{self.root}/daemon.log", "ab"))
        self.url = re.search(r"http://[0-9.:]+", self.proc.stdout.readline().decode()).group(0)
        while True:
            try:
                urllib.request.urlopen(self.url + "/readyz", timeout=5).read()
                return time.time() - t
            except OSError:
                time.sleep(0.001)

    def call(self, method, path, body=None):
        r = urllib.request.Request(self.url + path, method=method,
                                   data=json.dumps(body).encode() if body is not None else b"")
        r.add_header("Content-Type", "application/json")
        if method == "GET":
            r.data = None
        with urllib.request.urlopen(r, timeout=60) as a:
            return json.load(a)

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
        self.proc.stdout.close()

    def rss_mb(self):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024


def restarts(d, job, begun):
    """Seconds from kill -9 of the trainer, once it is `begun` steps into the job, to the first metric line of the
    next attempt: ROUNDS of them."""
    i = d.call("POST", "/v1/jobs", job)["id"]
    took = []
    for _ in range(ROUNDS):
        n = 0
        while True:
            j = d.call("GET", f"/v1/jobs/{i}")
            if j["state"] == "running" and j["progress"].get("step", 0) > begun:
                n = j["attempt"]
                break
            time.sleep(0.05)
        time.sleep(1)
        pid = int(subprocess.run(["pgrep", "-f", "--", f"--run-dir {d.root}/state/jobs/{i}"], check=True,
                                 capture_output=True, text=True).stdout.split()[0])
        metrics = f"{d.root}/state/jobs/{i}/metrics.jsonl"
        at = os.path.getsize(metrics)
        t = time.time()
        os.kill(pid, signal.SIGKILL)
        while True:
            with open(metrics) as f:
                f.seek(at)
                new = [x for x in f if x.endswith("\n") and f'"attempt":{n + 1}' in x.replace(" ", "")]
            if new:
                break
            time.sleep(0.002)
        took.append(time.time() - t)
    d.call("POST", f"/v1/jobs/{i}/cancel")
    d.stop()
    return took


def bench_recovery(top):
    d = Daemon(f"{top}/recovery")
    d.start()
    job = fashion_job("recovery", [784, 256, 10], 10**7, 500)
    job["training"]["log_every"] = 10       # its first line is written within its first ten steps
    took = restarts(d, job, 1500)
    row("from kill -9 of the trainer to its next steps", statistics.median(took), "s", "< 1",
        statistics.median(took) < 1,
        f"Fashion-MNIST job (60,000 images from .gz), until the first metric line of the next attempt, "
        f"within 10 steps; median of {ROUNDS}, worst {max(took):.2f}")


def bench_first_batch(top):
    import from_files
    from_files.pictures(f"{top}/many", 100, 1000, 64, 48)
    d = Daemon(f"{top}/first")
    d.start()
    took = restarts(d, from_files.many_job(f"{top}/many"), 100)
    row("from kill -9 to the first batch of 100,000 files", statistics.median(took), "s", "< 1",
        statistics.median(took) < 1,
        f"a folder of 100 class folders of 1,000 JPEGs of 64x48 each, random_resized_crop to 32, LeNet, batch 64, a "
        f"checkpoint every 100 steps: until the metric line of the first step of the next attempt; the names of the "
        f"files are in memory, as after any crash but the machine's; median of {ROUNDS}, worst {max(took):.2f}")
    shutil.rmtree(f"{top}/many")


def load(url, path, seconds):
    """(requests/s, p99 in ms, tool)"""
    if shutil.which("wrk"):
        out = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", url + path], check=True,
                             capture_output=True, text=True).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            print(out)
        rate = float(re.search(r"Requests/sec:\s*([0-9.]+)", out).group(1))
        p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", out)
        return rate, float(p99.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[p99.group(2)], "wrk"
    out = subprocess.run([f"{BUILD}/bench/load", "16", str(seconds), url.split("//")[1], path], check=True,
                         capture_output=True, text=True).stdout.split()
    return float(out[0]), float(out[2]), "own loader"


def bench_api(top):
    d = Daemon(f"{top}/api", "--threads", "2")
    d.start()
    held = fashion_job("held", [784, 256, 10], 1000, 500, threads=1)
    held["hold"] = True
    # Submit with an fsync each: 16 clients, as an orchestrator would.
    code = ("import http.client,sys\n"
            "c=http.client.HTTPConnection(sys.argv[1]);b=open(sys.argv[2]).read();ok=0\n"
            "for _ in range(int(sys.argv[3])):\n"
            " c.request('POST','/v1/jobs',b,{'Content-Type':'application/json'});r=c.getresponse();r.read()\n"
            " ok+=r.status==201\nprint(ok)\n")
    json.dump(held, open(f"{top}/held.json", "w"))
    t = time.time()
    clients = [subprocess.Popen([sys.executable, "-c", code, d.url.split("//")[1], f"{top}/held.json", "2500"],
                                stdout=subprocess.PIPE, text=True) for _ in range(4)]
    done = sum(int(c.communicate()[0]) for c in clients)
    rate = done / (time.time() - t)
    row("submit, each durable before its answer", rate, "jobs/s", ">= 200", rate >= 200,
        f"{done} jobs over 4 connections, SQLite synchronous FULL, otherwise idle")
    for n in range(2):
        d.call("POST", "/v1/jobs", fashion_job(f"busy{n}", [784, 256, 10], 10**7, 500, threads=1))
    while d.call("GET", "/v1/jobs?state=running&limit=5")["jobs"].__len__() < 2:
        time.sleep(0.1)
    time.sleep(1)
    one = d.call("GET", "/v1/jobs?limit=500&state=held")["jobs"][250]["id"]
    for name, path in (("GET /v1/jobs?limit=50", "/v1/jobs?limit=50"), ("GET /v1/jobs/{id}", f"/v1/jobs/{one}")):
        got = [load(d.url, path, 3) for _ in range(ROUNDS)]
        rate = statistics.median(g[0] for g in got)
        p99 = statistics.median(g[1] for g in got)
        cond = f"10,000 jobs, 16 connections, two jobs training on the same two cores, {got[0][2]}, " \
               f"median of {ROUNDS} times 3 s"
        row(name, rate, "requests/s", ">= 5000", rate >= 5000, cond)
        row(f"{name}, 99th percentile", p99, "ms", "< 20", p99 < 20, cond)
    for j in d.call("GET", "/v1/jobs?state=running,starting,queued&limit=10")["jobs"]:
        d.call("POST", f"/v1/jobs/{j['id']}/cancel")
    d.stop()
    ready = []
    for _ in range(ROUNDS):
        ready.append(d.start())
        time.sleep(0.5)
        rss = d.rss_mb()
        d.stop()
    row("start to ready", 1000 * statistics.median(ready), "ms", "< 100", statistics.median(ready) < 0.1,
        f"10,000 jobs in the store, until /readyz answers; median of {ROUNDS}")
    row("idle daemon, 10,000 jobs", rss, "MB resident", "< 12", rss < 12, "half a second after its start")
    e = Daemon(f"{top}/empty")
    e.start()
    time.sleep(0.5)
    row("idle daemon, no jobs", e.rss_mb(), "MB resident", "< 12", e.rss_mb() < 12, "half a second after its start")
    e.stop()


def bench_store(top):
    import store        # needs the tests' own vocabulary, other rows do not
    store.bench(top, row, min(ROUNDS, 3))


def bench_models(top):
    import model_pages
    model_pages.bench(top, row, ROUNDS)


def bench_ship(top):
    import pushed
    pushed.slowed(top, row, fashion_job, int(os.environ.get("PAIRS", "12")))


def bench_shards(top):
    import pushed
    pushed.head_only(top, row, fashion_job)


def bench_tokens(top):
    import tokens
    tokens.bench(top, row, BUILD)


def bench_notice(top):
    import pushed
    pushed.notice(top, row, fashion_job, ROUNDS)


def bench_fresh(top):
    import pushed
    pushed.fresh(top, row, fashion_job, min(ROUNDS, 3))


def bench_images(top):
    out = subprocess.run([f"{BUILD}/bench/image"], check=True, capture_output=True, text=True).stdout
    train, alone, valid, mean, least, most = (float(v) for v in out.split())
    row("images made ready on a core", train, "images/s", ">= 350", train >= 350,
        f"JPEG 500x375, 4:2:0, quality 90, {least / 1024:.0f} to {most / 1024:.0f} KiB, {mean / 1024:.0f} on average, "
        f"of what photographs have of noise, edges and colours: decoded, random_resized_crop to 224, "
        f"hflip, normalised; by CPU time, median of 15 rounds of 16 images; decoding all of them alone "
        f"{alone:.0f}/s, resize 256 and centre crop 224 {valid:.0f}/s")


def jpeg_parts():
    import from_files
    return [(name, functools.partial(from_files.bench, row=row, rounds=ROUNDS, name=name)) for name in from_files.ROWS]


def bench_frozen(top):
    import frozen
    frozen.bench(top, row, ROUNDS)


def weights_parts():
    import peers
    import weights
    return [("weights:plan", lambda top: weights.plan(top, row, ROUNDS)),
            ("weights:conversion", lambda top: weights.conversion(top, row, ROUNDS)),
            ("weights:loading", lambda top: weights.loading(top, row, ROUNDS, peers.find()))]


def speed_parts():
    """One for each network, so that ROWS= can name it; who is there is found out once."""
    import peers
    import speed
    everyone = functools.cache(peers.find)

    def against(network):
        return lambda top: speed.bench(top, row, ROUNDS, network, everyone())
    return [(f"speed:{network}", against(network)) for network in speed.ROWS] + [
        ("speed:start", lambda top: speed.begins(top, row, ROUNDS, everyone())),
        ("speed:team", lambda top: speed.team(top, row, ROUNDS))]


def main():
    top = tempfile.mkdtemp(prefix="rk-bench-", dir=BUILD)
    print(f"on {machine()}, Linux {platform.release()}")
    want = sys.argv[1:]
    try:
        for name, fn in (("step", bench_step), ("networks", bench_networks), ("checkpoint", bench_checkpoint),
                         ("recovery", bench_recovery), ("api", bench_api), ("models", bench_models),
                         ("store", bench_store), ("ship", bench_ship),
                         ("notice", bench_notice), ("fresh", bench_fresh), ("tokens", bench_tokens),
                         ("shards", bench_shards), ("images", bench_images), ("first_batch", bench_first_batch),
                         ("frozen", bench_frozen), *jpeg_parts(),
                         *weights_parts(), *speed_parts()):
            if not want or any(w in name for w in want):
                measured(fn, top)
    finally:
        shutil.rmtree(top, ignore_errors=True)
        # What was measured is kept, also when the next part fails.
        keep(want)
    sys.exit(0 if all(r["holds"] for r in rows) else 1)


def keep(want):
    out = f"{BUILD}/bench.json"
    kept = rows
    if want and os.path.exists(out):    # some rows measured again: keep the others
        names = {r["row"] for r in rows}
        old = [r for r in json.load(open(out)) if r["row"] not in names]
        kept = old + rows
    json.dump(kept, open(out, "w"), indent=1)
    print(f"\nwritten to {os.path.relpath(out)}")


main()
