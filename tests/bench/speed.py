"""The parts `speed` of bench.py: each network of tests/bench/jobs, trained by rekindle
and by every peer there is (peers.py), in turn in one run, with two threads.

One round measures each peer in each of its settings; then ROUNDS (5) follow with the
two best of each, with what is as installed, and with rekindle, also on one thread.
Compared are the medians of those rounds.  A row of build/bench.json has, beside what
all rows have,

    ratio            how many times as fast as the fastest PyTorch of all
    ratio_installed  as the fastest PyTorch with nothing set
    ratio_paddle     as the fastest Paddle
    peak_share       of the fused multiply-adds that the machine does at most (peak.c,
                     measured before and after), counted as in a direct convolution:
                     twice three times the multiply-adds of --summary, less the
                     gradient by the data, which nobody computes
    memory_ratio     peak resident memory, to the least of PyTorch 1's
    scaling          one thread's time to two threads'
    ms, memory       the raw figures by who and setting: a list of rounds; MB

and null where the peer is missing.  With ISA=avx2 (peers.py) the row is another, `mlp avx2`.
BENCH_SECONDS and BENCH_STEPS shorten a measurement.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import time

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
TRAINER = f"{BUILD}/rekindle-train"
STEPS = int(os.environ.get("BENCH_STEPS", 3))   # measured at least
med = statistics.median

# Row: ratio to reach and to aim at, to Paddle's best, one thread's time to two's,
# seconds of a measurement, batch, conditions.
ROWS = {
    "mlp": (2.5, 3.3, 6, None, 3, 64, "784-256-10, batch 64, Adam"),
    "lenet5": (3.0, 3.5, 10, None, 3, 64, "1x28x28, batch 64, Adam"),
    "resnet18_32": (2.2, 2.4, 8, 1.8, 4, 64, "stem cifar, 3x32x32, 10 classes, batch 64, SGD with momentum"),
    "resnet50_224": (1.6, 1.8, 4, 1.8, 4, 8, "3x224x224, 1,000 classes, batch 8, SGD with momentum"),
    "bert6x384": (1.5, 1.6, 5, 1.8, 4, 16, "8,000 words, 128 tokens, 12 heads, 1,536 wide, batch 16, Adam"),
}
MEMORY_GOAL = 1.1       # of PyTorch 1's; and below the newer one's


# --- rekindle's side ------------------------------------------------------------


def job(network):
    return f"{HERE}/jobs/{network}.yaml"


def lines_of(run):
    """The metric lines over steps that are whole."""
    try:
        with open(f"{run}/metrics.jsonl") as f:
            all_ = [json.loads(x) for x in f if x.endswith("\n")]
    except FileNotFoundError:
        return []
    return [x for x in all_ if x.get("over") == "steps"]


def train(top, network, threads, seconds, batch, steps=STEPS):
    """{ms, memory, start}: the median step, peak MB, and seconds from the start of
    the program until its first step began."""
    run = f"{top}/run"
    begin = time.time()
    p = subprocess.Popen([TRAINER, "--run-dir", run, "--threads", str(threads), job(network)],
                         env=peers.surroundings(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        first = None
        while True:
            time.sleep(0.1)
            if p.poll() is not None:
                raise RuntimeError(f"rekindle-train ended with {p.returncode}: {p.stderr.read()[-500:]}")
            lines = lines_of(run)
            if lines and first is None:
                first = time.time()
            if len(lines) > steps and time.time() >= first + seconds:
                break
        with open(f"/proc/{p.pid}/status") as f:
            memory = next(int(x.split()[1]) / 1024 for x in f if x.startswith("VmHWM"))
    finally:
        p.send_signal(signal.SIGKILL)
        p.wait()
        p.stderr.close()
        shutil.rmtree(run, ignore_errors=True)
    took = [(b["time_ms"] - a["time_ms"]) / (b["step"] - a["step"]) for a, b in zip(lines, lines[1:])]
    a = lines[0]
    start = a["time_ms"] / 1e3 - a["steps"] * batch / a["samples_per_second"] - begin
    return {"ms": med(took), "memory": memory, "start": start}


def summary(network):
    out = subprocess.run([TRAINER, "--summary", job(network)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["model"]


def flops(layers, batch):
    """Of a step, as the head of this file has it."""
    forward = [x["multiply_adds"] for x in layers if x["multiply_adds"] > 0]
    reads_words = any(x["type"] == "embedding" for x in layers)
    return 2 * batch * (3 * sum(forward) - (0 if reads_words else forward[0]))


def peak():
    """GFLOP/s of two threads, by width of the registers."""
    out = subprocess.run([f"{BUILD}/bench/peak", "2"], check=True, capture_output=True, text=True).stdout
    return {width: of[-1] for width, of in json.loads(out).items() if width == peers.ISA or not peers.ISA}


# --- the rounds -----------------------------------------------------------------


class Row:
    """What is measured of a network, and how often each was."""

    def __init__(self, top, network, everyone):
        self.top, self.network, self.everyone = top, network, everyone
        self.goal, self.aim, self.paddle, self.scaling, seconds, self.batch, self.words = ROWS[network]
        self.model = summary(network)
        self.seconds = float(os.environ.get("BENCH_SECONDS", seconds))
        self.ms, self.memory, self.start, self.compiled = {}, {}, [], {}

    def say(self, who, setting, got):
        print(f"     {self.network}: {who}, {words(setting)}: {got}", flush=True)

    def one(self, peer, setting):
        """A measurement, or None and its error is printed."""
        try:
            got = peer.measure(self.network, setting, self.seconds)
            if got["parameters"] != self.model["parameters"]:
                raise peers.Failed(f"has {got['parameters']} parameters, rekindle {self.model['parameters']}")
        except peers.Failed as e:
            self.say(peer.name, setting, f"failed, {e}")
            return None
        self.say(peer.name, setting, f"{number(got['ms'])} ms a step, {got['memory']:.0f} MB")
        return got

    def note(self, who, setting, got):
        if got is not None:
            self.ms.setdefault(who, {}).setdefault(words(setting), []).append(got["ms"])
            self.memory.setdefault(who, {}).setdefault(words(setting), []).append(got["memory"])

    def first_round(self):
        """The settings of each peer that the others are measured in."""
        chosen = []
        for peer in self.everyone:
            got = {s: self.one(peer, s) for s in peer.settings(self.network)}
            ranked = sorted((s for s in got if got[s]), key=lambda s: got[s]["ms"])
            chosen += [(peer, s) for s in ranked if s in ranked[:2] or s == ()]
            if peer.framework == "torch" and not peer.old:
                whole = self.one(peer, ("compile",))
                self.compiled[peer.name] = whole and whole["ms"]
        return chosen

    def ours(self, threads):
        got = train(self.top, self.network, threads, self.seconds, self.batch)
        self.say("rekindle", (f"{threads} threads",), f"{number(got['ms'])} ms a step, {got['memory']:.0f} MB")
        self.note("rekindle", (f"{threads} threads",), got)

    def measure(self, rounds):
        chosen = self.first_round()
        for i in range(rounds):
            self.ours(2)
            for peer, setting in chosen[i % max(len(chosen), 1):] + chosen[:i % max(len(chosen), 1)]:
                self.note(peer.name, setting, self.one(peer, setting))
            self.ours(1)


def number(value):
    """Three digits or so, as a person reads them."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def words(setting):
    return ", ".join(setting) or "as installed"


def least(raw, whose, setting=None):
    """The least median of those whose name begins so, and its name; or None."""
    of = [(med(v), f"{who} ({how})") for who, all_ in raw.items() if who.startswith(whose)
          for how, v in all_.items() if setting in (None, how)]
    return min(of) if of else None


def told(value, form):
    return "none" if value is None else form.format(value)


def judge(r, top_flops):
    """The fields of a row, and what it misses."""
    ours, one = med(r.ms["rekindle"]["2 threads"]), med(r.ms["rekindle"]["1 threads"])
    memory = med(r.memory["rekindle"]["2 threads"])

    def ratio(of, to):
        return of and of[0] / to
    f = {
        "ratio": ratio(least(r.ms, "PyTorch"), ours),
        "ratio_installed": ratio(least(r.ms, "PyTorch", "as installed"), ours),
        "ratio_paddle": ratio(least(r.ms, "Paddle"), ours),
        "peak_share": flops(r.model["layers"], r.batch) / (ours * 1e6) / max(top_flops.values()),
        "memory_ratio": None, "memory_ratio_new": None,
        "scaling": one / ours,
    }
    old, new = least(r.memory, "PyTorch 1."), least({k: v for k, v in r.memory.items()
                                                     if not k.startswith("PyTorch 1.")}, "PyTorch")
    f["memory_ratio"], f["memory_ratio_new"] = old and memory / old[0], new and memory / new[0]
    missed = [name for name, value, holds in (
        ("ratio", f["ratio"], lambda v: v >= r.goal), ("ratio_paddle", f["ratio_paddle"], lambda v: v >= r.paddle),
        ("memory_ratio", f["memory_ratio"], lambda v: v <= MEMORY_GOAL),
        ("memory_ratio_new", f["memory_ratio_new"], lambda v: v < 1),
        ("scaling", f["scaling"], lambda v: r.scaling is None or v >= r.scaling),
    ) if value is not None and not holds(value)]
    return f, missed


def conditions(r, f, missed, rounds, top_flops):
    best, plain = least(r.ms, "PyTorch"), least(r.ms, "PyTorch", "as installed")
    paddle = least(r.ms, "Paddle")
    parts = [f"{r.words}, 2 threads, data in memory; medians of {rounds} rounds in turn, ms a step: rekindle-train "
             f"{number(med(r.ms['rekindle']['2 threads']))}"]
    parts += [f"{of[1]} {number(of[0])}" for of in dict.fromkeys((best, plain, paddle)) if of]
    parts += [f"{who} compiled {number(ms)}" for who, ms in r.compiled.items()]
    parts += [f"{100 * f['peak_share']:.0f} % of the FMA peak of {max(top_flops.values()):.0f} GFLOP/s "
              f"({max(top_flops, key=top_flops.get)})",
              f"memory {med(r.memory['rekindle']['2 threads']):.0f} MB, {told(f['memory_ratio'], '{:.2f}')} of PyTorch "
              f"1's and {told(f['memory_ratio_new'], '{:.2f}')} of the newer's",
              f"{f['scaling']:.2f} times as fast as on one thread"]
    if peers.ISA:
        parts.append(f"all with {peers.ISA} at most")
    if missed:
        parts.append("missed: " + ", ".join(missed))
    return "; ".join(parts)


def bench(top, row, rounds, network, everyone):
    r = Row(top, network, everyone)
    before = peak()
    r.measure(rounds)
    top_flops = {k: max(v, before[k]) for k, v in peak().items()}
    f, missed = judge(r, top_flops)
    row(f"{network} {peers.ISA}".strip(), f["ratio"] or 0, "times as fast as the fastest PyTorch",
        f">= {r.goal}, aim {r.aim}", f["ratio"] is None or not missed, conditions(r, f, missed, rounds, top_flops),
        **f, missed=missed, ms=r.ms, memory=r.memory, compiled=r.compiled, peak_gflops=top_flops)


# --- other rows -----------------------------------------------------------------


def begins(top, row, rounds, everyone):
    """From exec to the first step of ResNet-50, and what importing PyTorch takes."""
    ours, theirs = [], {p.name: [] for p in everyone if p.framework == "torch"}
    for _ in range(rounds):
        ours.append(train(top, "resnet50_224", 2, 0, ROWS["resnet50_224"][5], steps=1)["start"])
        for p in everyone:
            if p.name in theirs:
                begin = time.time()
                subprocess.run([p.python, "-c", "import torch"], check=True,
                               env=dict(peers.surroundings(), **peers.preloaded(p.python)))
                theirs[p.name].append(time.time() - begin)
    beside = "".join(f"; import of {who} {med(s):.2f} s" for who, s in theirs.items())
    row("start", med(ours), "s until the first step of ResNet-50", "< 1", med(ours) < 1,
        f"from the start of rekindle-train: reading the job, drawing 32 samples, planning, drawing parameters; median "
        f"of {rounds}, worst {max(ours):.2f}{beside}", start_s=ours, import_s=theirs)


def team(top, row, rounds):
    """More threads than cores: what waiting for each other costs."""
    for network in "mlp", "lenet5":
        ms = {n: [] for n in (1, 2, 3, 4, 8)}
        seconds = float(os.environ.get("BENCH_SECONDS", 2))
        for _ in range(min(rounds, 3)):
            for n in ms:
                ms[n].append(train(top, network, n, seconds, 64)["ms"])
        middle = {n: med(v) for n, v in ms.items()}
        row(f"team of {network}", middle[8] / middle[2], "times the step of two threads", "none", True,
            f"8 threads on {os.cpu_count()} cores; ms a step by threads: " +
            ", ".join(f"{n}: {v:.3g}" for n, v in middle.items()), ms=ms)
