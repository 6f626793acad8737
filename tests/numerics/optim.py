#!/usr/bin/python3
"""The golden tables of optimisers and schedules, against PyTorch: those that
tests/unit/optim_rules.c and schedule_frames.c have are what it computes here.

    optim.py            check them: `ok`, `FAILED`, `skipped` lines (tests/run.sh)
    optim.py --print    the tables, to paste

Lamb, which PyTorch has not, is the formula of optim.h in double, with numpy.  Runs
under /usr/bin/python3 with Debian's python3-torch, or under each of the
interpreters that BENCH_PYTHON names.
"""
import os
import re
import subprocess
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
RULES, FRAMES = (f"{HERE}/../unit/{name}.c" for name in ("optim_rules", "schedule_frames"))
# What another version of PyTorch may round otherwise: some ulps of a float of 2 after
# five steps; of doubles, of the recursions that schedules are there.
FLOATS, DOUBLES = 1e-6, 1e-12

warnings.filterwarnings('ignore')
try:
    import numpy
    import torch
    from torch.optim import lr_scheduler as sched
    torch.set_num_threads(1)
except ImportError:
    torch = None

# As in tests/unit/optim_step.c: parameters, and five gradients.
START = [1, -2, 0.5, 0]
GRADS = [
    [0.1, -0.2, 0.3, -0.4],
    [0.001, 0, -5, 2],
    [0.5, 0.5, 0.5, 0.5],
    [-0.1, 0.2, -0.3, 0.4],
    [1e-8, -1e-8, 3, -3],
]


TABLES = []             # (name, where it stands, digits, numbers in rows)


def table(name, file, digits, rows):
    TABLES.append((name, file, digits, rows))


def follow(name, make):
    p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float32))
    opt = make([p])
    rows = []
    for g in GRADS:
        p.grad = torch.tensor(g, dtype=torch.float32)
        opt.step()
        rows.append(p.detach().tolist())
    table(name, RULES, 9, rows)


def lamb(name, lr, b1, b2, eps, wd):
    p = numpy.array(START, dtype=float)
    m, v = numpy.zeros(4), numpy.zeros(4)
    rows = []
    for t, g in enumerate(GRADS, 1):
        g = numpy.array(g, dtype=float)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        r = m / (1 - b1 ** t) / (numpy.sqrt(v / (1 - b2 ** t)) + eps) + wd * p
        np, nr = numpy.linalg.norm(p), numpy.linalg.norm(r)
        p = p - lr * (np / nr if np > 0 and nr > 0 else 1) * r
        rows.append(p.tolist())
    table(name, RULES, 9, rows)


def rates(name, n, make, base=0.1, step=None):
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    opt = torch.optim.SGD([p], lr=base)
    s = make(opt)
    out = []
    for i in range(n):
        out.append(opt.param_groups[0]['lr'])
        opt.step()
        s.step() if step is None else s.step(step[i])
    table(name, FRAMES, 17, [out])


def make():
    follow('adagrad', lambda p: torch.optim.Adagrad(p, lr=0.1))
    follow('adagrad, everything said', lambda p: torch.optim.Adagrad(
        p, lr=0.1, lr_decay=0.05, weight_decay=0.01,
        initial_accumulator_value=0.1, eps=1e-6))
    lamb('lamb', 0.01, 0.9, 0.999, 1e-6, 0.01)
    lamb('lamb, without decay', 0.05, 0.8, 0.99, 1e-3, 0)

    rates('one_cycle, cos, 10 steps', 10, lambda o: sched.OneCycleLR(
        o, max_lr=0.1, total_steps=10))
    rates('one_cycle, linear, 13 steps', 13, lambda o: sched.OneCycleLR(
        o, max_lr=0.1, total_steps=13, pct_start=0.45, div_factor=10,
        final_div_factor=100, anneal_strategy='linear'))
    rates('one_cycle, no way up, 7 steps', 7, lambda o: sched.OneCycleLR(
        o, max_lr=0.1, total_steps=7, pct_start=0.0))
    rates('warmup torch, W 5, f 0.25, then cosine over 10', 16,
          lambda o: sched.SequentialLR(o, [
              sched.LinearLR(o, start_factor=0.25, total_iters=5),
              sched.CosineAnnealingLR(o, T_max=10, eta_min=0.001),
          ], milestones=[5]))
    bad = [1, 0.9, 0.95, 0.9, 0.9, 0.89995, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6,
           0.6, 0.6, 0.4, 0.41, 0.41, 0.41, 0.41]
    rates('plateau, min, patience 2', 20, lambda o: sched.ReduceLROnPlateau(
        o, patience=2), step=bad)
    rates('plateau, min, factor 0.5, patience 1, cooldown 2, least 0.02', 20,
          lambda o: sched.ReduceLROnPlateau(
              o, factor=0.5, patience=1, cooldown=2, min_lr=0.02), step=bad)
    rates('plateau, max, patience 0, threshold 0.1', 20,
          lambda o: sched.ReduceLROnPlateau(
              o, mode='max', factor=0.5, patience=0, threshold=0.1),
          step=bad)
    rates('plateau, min, factor 0.01, patience 0, threshold 0.1: to where a '
          'reduction is too small', 20, lambda o: sched.ReduceLROnPlateau(
              o, factor=0.01, patience=0, threshold=0.1), step=bad)


def word(x, digits):
    t = f"{x:.{digits}g}"
    if digits == 9 and ("." in t or "e" in t):
        t += "f"
    return t


def show():
    print(f"/* PyTorch {torch.__version__}, numpy {numpy.__version__} */")
    for name, _, digits, rows in TABLES:
        print(f"/* {name} */")
        print(",\n".join("{ " + ", ".join(word(x, digits) for x in row) + " }" for row in rows))


def tables_of(path):
    """The numbers of each table that a test has, a flat list for each."""
    with open(path) as f:
        found = re.findall(r"(?:float|double) want[^=;]*=\s*(\{[^;]*\});", f.read())
    return [[float(x) for x in re.findall(r"[-+]?[0-9][0-9.e+-]*", text)] for text in found]


def near(a, b, digits):
    limit = FLOATS if digits == 9 else DOUBLES
    return len(a) == len(b) and all(abs(x - y) <= limit * max(abs(x), abs(y)) + limit * 1e-3 for x, y in zip(a, b))


def check():
    bad = 0
    for name, path, digits, rows in TABLES:
        numbers = [x for row in rows for x in row]
        good = any(near(numbers, there, digits) for there in tables_of(path))
        bad += not good
        print(f"{'ok' if good else 'FAILED'} optim:_{name.replace(' ', '_')}")
        if not good:
            print(f"    no table of {os.path.basename(path)} is what PyTorch {torch.__version__} computes: optim.py --print")
    return bad


def main():
    """This program under each interpreter."""
    pythons = os.environ.get("BENCH_PYTHON", "/usr/bin/python3").split()
    sys.exit(max(subprocess.run([p, __file__, "--here"]).returncode for p in pythons))


if sys.argv[1:] == ["--print"]:
    make()
    show()
elif sys.argv[1:] != ["--here"]:
    main()
elif torch is None:
    said = "BENCH_PYTHON" in os.environ
    print(f"{'FAILED' if said else 'skipped'} optim: {sys.executable} has no PyTorch")
    sys.exit(said)
else:
    make()
    sys.exit(check() > 0)
