"""Whom the rows about networks are compared with: interpreters that have PyTorch or
Paddle, the settings in which each is measured, and one measurement.

BENCH_PYTHON names interpreters, separated by spaces; unless it does, they are
Debian's and those that make bench-deps made.
"""
import glob
import itertools
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
LIMIT = 600             # seconds, of one measurement
OURS = ["/usr/bin/python3", f"{BUILD}/bench/torch/bin/python", f"{BUILD}/bench/paddle/bin/python"]
MULTI = glob.glob("/usr/lib/*/openblas-openmp")
ENV = {
    "malloc tuned": {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000:"
                                       "glibc.malloc.hugetlb=1"},
    "mkldnn": {"FLAGS_use_mkldnn": "1"},
}
# ISA=avx2: all sides without what a wider processor has, in each library's own words.
NARROW = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}
ISA = os.environ.get("ISA", "")
CONVOLVES = ("lenet5", "resnet18_32", "resnet50_224")
# With what a machine's owner has set for older libraries a peer is not at its best.
NOT_THEIRS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def surroundings():
    """The environment that all sides have, rekindle's too."""
    if ISA and ISA not in NARROW:
        raise SystemExit(f"ISA is {ISA}, want one of {', '.join(NARROW)}, or none")
    return dict(os.environ, OMP_NUM_THREADS="2", **NARROW.get(ISA, {}))


class Failed(Exception):
    """A measurement that came to nothing, with its last words."""


class Peer:
    """An interpreter with a framework; `name` is "PyTorch 1.13" or alike."""

    def __init__(self, python, framework, version):
        self.python, self.framework = python, framework
        self.version = ".".join(version.split("+")[0].split(".")[:2])
        self.name = f"{'PyTorch' if framework == 'torch' else 'Paddle'} {self.version}"
        # Paddle's steps take seconds where the others' take a half.
        self.steps = 2 if framework == "paddle" else 3
        self.old = framework == "torch" and version.startswith(("0.", "1."))

    def settings(self, network):
        """Tuples of words; () is as installed."""
        if self.framework == "paddle":
            return [(), ("mkldnn",)]
        choices = [("", "malloc tuned")]
        if not self.old:
            if network in CONVOLVES:
                choices.append(("", "channels_last"))
            if network.startswith("bert"):
                choices.append(("", "sdpa"))
            choices.append(("", "fused"))
        return [tuple(w for w in words if w) for words in itertools.product(*choices)]

    def measure(self, network, setting, seconds):
        """{ms, steps, memory, parameters} of one run, or Failed."""
        env = {k: v for k, v in surroundings().items() if ISA or k not in NOT_THEIRS}
        env.update(SECONDS=str(seconds), STEPS=os.environ.get("BENCH_STEPS", str(self.steps)), THREADS="2",
                   **preloaded(self.python))
        for word in setting:
            env.update(ENV.get(word, {}))
        args = [word for word in setting if word not in ENV]
        line = said([self.python, f"{HERE}/peer_{self.framework}.py", network, *args], env)
        try:
            return json.loads(line)
        except ValueError:
            raise Failed(f"printed {line!r}, want a line of JSON") from None


def preloaded(python):
    """Debian's PyTorch takes the machine's BLAS: the one with OpenMP, as rekindle does."""
    return {"LD_LIBRARY_PATH": MULTI[0]} if MULTI and python.startswith("/usr/bin/") else {}


def said(args, env):
    """The last line that a program printed."""
    try:
        p = subprocess.run(args, env=env, capture_output=True, text=True, timeout=LIMIT)
    except OSError as e:
        raise Failed(e.strerror) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {LIMIT} seconds") from None
    if p.returncode:
        lines = [x.strip() for x in p.stderr.splitlines() if x.strip()] or [""]
        raise Failed(f"ended with {p.returncode}: {lines[-1]}")
    return (p.stdout.strip().splitlines() or [""])[-1]


def find():
    """All peers there are; whoever is missing is told."""
    asked = os.environ.get("BENCH_PYTHON")
    found = []
    for python in asked.split() if asked else OURS:
        before = len(found)
        for framework in "torch", "paddle":
            try:
                version = said([python, "-c", f"import {framework}; print({framework}.__version__)"],
                               dict(surroundings(), GLOG_minloglevel="3", **preloaded(python)))
            except Failed:
                continue
            found.append(Peer(python, framework, version))
        if len(found) == before:
            print(f"     without {python}, which has neither PyTorch nor Paddle: make bench-deps"
                  f"{', or BENCH_PYTHON' if not asked else ''}", flush=True)
    return found
