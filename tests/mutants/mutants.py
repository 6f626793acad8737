#!/usr/bin/env python3
"""Small breakages, one at a time, and whether the tests notice them.

    make mutants                    # all of them, two at a time: within an hour
    make mutants MUTANTS="retention src/ship"   # those with one of these words in
                                    # their name, file, or place (control.txt:120)
    tests/mutants/mutants.py --check        # do they all still apply? (make check)

A breakage is what a tired programmer would do and a user would suffer from: a
limit that is off by one, a sync that is missing, a check that was dropped, the
wrong order, a stale value.  Those of a module stand in tests/mutants/*.txt:

    mutant: a copy in the bucket goes before a newer one is verified
    file: src/ship/retain.c
    -		if (stays[k] && rows->v[k].state == RS_VERIFIED &&
    +		if (stays[k] &&
    by: bucket_order.py behind what is verified
    by: ship_push remote retention

- lines are in the file exactly once, as they stand there, and become the + lines.
Each `by` is a test that must notice: a program of tests/unit, or a file of
tests/outside, and a part of the name of its cases (all, without).  To add one:
write it, run `make mutants MUTANTS=control.txt:120`; where no test notices, write
the test.  One that does not apply any more because the code has changed is
written again for the code as it is; it is not removed.

Each is made in a copy of the tree with a build folder of its own, where what it
touches is built; then its tests run until one fails.  They have passed without it.
The last line is `N of M noticed`; fewer than 95 % of them, one that does not apply
or does not build, or a test that fails without any: the exit status is 1.
"""
import glob
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTSIDE = f"{ROOT}/tests/outside"
LEAST, SHARE = 60, 0.95
PROGRAMS = ["rekindled", "rekindle-train", "rekindle"]


class Mutant:
    def __init__(self, table, line):
        self.where, self.name = f"{os.path.basename(table)}:{line}", ""
        self.file, self.old, self.new, self.by = "", [], [], []

    def text(self, lines):
        return "".join(x + "\n" for x in lines)

    def faults(self):
        """Why it does not apply, and what is wrong with it else."""
        path = f"{ROOT}/{self.file}"
        if not self.name or not self.by or not os.path.isfile(path):
            yield f"{self.file} is not there" if self.name and self.by else "it has no name, or no test"
            return
        n = read(path).count("\n" + self.text(self.old)) if self.old else 0
        if n != 1:
            yield f"it does not apply any more: its lines are in {self.file} {n} times"
        if self.old == self.new:
            yield "it changes nothing"
        for program, part in self.by:
            if not os.path.isfile(source(program)):
                yield f"there is no test {program}"
            elif part and not re.search(pattern(part), cases(read(source(program)))):
                yield f"no case of {program} has {part!r} in its name"


def read(path):
    with open(path) as f:
        return f.read()


def source(program):
    return f"{OUTSIDE}/{program}" if "." in program else f"{ROOT}/tests/unit/{program}.c"


def pattern(part):
    return "[_ ]".join(re.escape(w) for w in re.split("[_ ]+", part))


def cases(text):
    """As it is when sentences that go over two lines are one."""
    return re.sub(r"\s+", " ", re.sub(r'"\s*f?"', "", text))


def tables():
    out = []
    for path in sorted(glob.glob(f"{ROOT}/tests/mutants/*.txt")):
        for n, line in enumerate(read(path).split("\n"), 1):
            if line.startswith("mutant:"):
                out.append(Mutant(path, n))
                out[-1].name = line[7:].strip()
            elif line.startswith("file:"):
                out[-1].file = line[5:].strip()
            elif line.startswith("by:"):
                program, _, part = line[3:].strip().partition(" ")
                out[-1].by.append((program, part.strip()))
            elif line[:1] in ("-", "+"):
                (out[-1].old if line[0] == "-" else out[-1].new).append(line[1:])
            elif line.strip() and not line.startswith("#"):
                sys.exit(f"{path}:{n}: what is {line!r}?")
    return out


def check(all_):
    bad = 0
    for m in all_:
        for fault in m.faults():
            bad += 1
            print(f"{m.where}: {m.name}: {fault}")
    modules = set(re.findall(r"^([a-z]+) *:", read(f"{ROOT}/src/LAYERS"), re.M)) - {"module"}
    for name in sorted(modules - {m.file.split("/")[1] for m in all_ if m.file.count("/") == 2}):
        bad += 1
        print(f"no breakage is of the module {name}")
    if len(all_) < LEAST:
        bad += 1
        print(f"they are {len(all_)}, want at least {LEAST}")
    return bad


# --- what the tests need ------------------------------------------------------------------------

def needs(program, seen=None):
    """Targets of make, below the build folder."""
    if "." not in program:
        return {f"unit/{program}"}
    seen = set() if seen is None else seen
    path = f"{OUTSIDE}/{program}"
    if program in seen or not os.path.isfile(path):
        return set()
    seen.add(program)
    text = read(path)
    out = set(PROGRAMS) | {f"unit/{x}" for x in re.findall(r"unit/(\w+)", text)}
    if "calls.so" in text:
        out.add("calls.so")
    for name in re.findall(r"^(?:from|import) (\w+)", text, re.M):
        out |= needs(f"{name}.py", seen)
    return {x for x in out if not x.startswith("unit/") or os.path.isfile(f"{ROOT}/tests/{x}.c")}


class Copy:
    """A copy of the tree, where things are broken and mended."""

    def __init__(self, root, build):
        self.root, self.b = root, f"{root}/build"
        names = subprocess.run(["git", "-C", ROOT, "ls-files", "-zco", "--exclude-standard"], capture_output=True,
                               check=True).stdout.decode().split("\0")
        for name in filter(None, names):
            if os.path.isfile(f"{ROOT}/{name}"):
                os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
                shutil.copy2(f"{ROOT}/{name}", f"{root}/{name}")
        os.makedirs(self.b)
        for x in ("obj", "lib", "unit", "flags", "calls.so", *PROGRAMS):
            if os.path.exists(f"{build}/{x}"):
                subprocess.run(["cp", "-a", f"{build}/{x}", self.b], check=True)
        # A breakage may leave what a warning is for.  Without WERROR the flags are
        # others, and all that was built with it is as good.
        at = os.stat(f"{self.b}/flags")
        self.make("flags")
        os.utime(f"{self.b}/flags", ns=(at.st_atime_ns, at.st_mtime_ns))

    def make(self, *targets):
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "WERROR", "MAKELEVEL", "B")}
        return subprocess.run(["make", "-C", self.root, "--no-print-directory", "-s",
                               *(f"CC={os.environ['CC']}" for _ in [0] if "CC" in os.environ),
                               *(f"build/{t}" for t in sorted(targets))], env=env, capture_output=True, text=True)

    def break_(self, m):
        """What the file was."""
        path = f"{self.root}/{m.file}"
        was = read(path)
        with open(path, "w") as f:
            f.write(was.replace("\n" + m.text(m.old), "\n" + m.text(m.new), 1))
        return was

    def mend(self, m, was):
        with open(f"{self.root}/{m.file}", "w") as f:
            f.write(was)

    def test(self, program, part):
        """What it says: passed, FAILED names, nothing (skipped), too long."""
        words = [part] if part else []
        if "." in program:
            argv = ["bash" if program.endswith(".sh") else "python3", f"tests/outside/{program}", *words]
        else:
            argv = [f"{self.b}/unit/{program}", *(w.replace(" ", "_") for w in words)]
        p = subprocess.Popen(argv, cwd=self.root, env=dict(os.environ, BUILD=self.b), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        RUNNING.add(p)
        try:
            out = p.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGTERM)
            time.sleep(0.5)
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            p.communicate()
            return f"longer than {LIMIT} s"
        finally:
            RUNNING.discard(p)
        failed = re.findall(r"^FAILED (\S+)", out, re.M)
        if failed:
            return "FAILED " + " ".join(failed)
        if p.returncode != 0:
            return f"exit status {p.returncode}"
        return "passed" if re.search("^ok ", out, re.M) else "nothing"


LIMIT = int(os.environ.get("LIMIT", "240"))
RUNNING = set()                 # tests, each a process group of its own


def stopped(*_):
    for p in list(RUNNING):
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGTERM)
    sys.exit("stopped")


class Round:
    def __init__(self, mutants):
        self.todo, self.lock = queue.Queue(), threading.Lock()
        self.noticed, self.bad, self.whole, self.busy = 0, [], {}, {}
        for m in mutants:
            self.todo.put(m)

    def unbroken(self, c, test):
        """What the test says without any breakage: asked once for all of them."""
        with self.lock:
            first = test not in self.busy
            done = self.busy.setdefault(test, threading.Event())
        if first:
            r = c.make(*needs(test[0]))
            self.whole[test] = c.test(*test) if r.returncode == 0 else "it does not build: " + r.stderr[-300:]
            done.set()
        done.wait()
        return self.whole[test]

    def one(self, c, m):
        """(was it noticed, what to say)"""
        said = []
        tests = []
        for test in m.by:
            was = self.unbroken(c, test)
            if was == "passed":
                tests.append(test)
            else:
                said.append(f"{' '.join(test)} without any: {was}")
        was = c.break_(m)
        try:
            r = c.make(*set().union(*(needs(t[0]) for t in tests)))
            if r.returncode != 0:
                return False, "it does not build: " + r.stderr.strip()[-400:]
            for test in tests:
                got = c.test(*test)
                if got not in ("passed", "nothing"):
                    return True, f"{test[0]}: {got}"
                said.append(f"{' '.join(test)}: {got}")
            return False, "; ".join(said)
        finally:
            c.mend(m, was)

    def work(self, c):
        while True:
            try:
                m = self.todo.get_nowait()
            except queue.Empty:
                return
            t = time.monotonic()
            try:
                yes, text = self.one(c, m)
            except Exception as e:      # noqa: BLE001: a round goes on
                yes, text = False, f"{type(e).__name__}: {e}"
            with self.lock:
                self.noticed += yes
                if not yes:
                    self.bad.append(m)
                print(f"{'noticed' if yes else 'MISSED '} {time.monotonic() - t:4.0f} s  {m.file.split('/')[1]}: "
                      f"{m.name}\n                 {text}", flush=True)


def main(args):
    all_ = tables()
    if "--check" in args:
        bad = check(all_)
        print("FAILED every_breakage_still_applies" if bad else "ok every_breakage_still_applies")
        return bad > 0
    if check(all_):
        return 1
    chosen = [m for m in all_ if not args or any(w in m.name or w in m.file or w == m.where for w in args)]
    build = os.path.abspath(os.environ.get("BUILD", "build"))
    os.environ.setdefault("RK_SHARED", os.path.abspath(f"{ROOT}/../shared"))
    root = tempfile.mkdtemp(prefix="rk-mutants-")
    signal.signal(signal.SIGTERM, stopped)
    try:
        r = Round(chosen)
        t = time.monotonic()
        workers = [threading.Thread(target=r.work, args=(Copy(f"{root}/{n}", build),), daemon=True)
                   for n in range(min(int(os.environ.get("JOBS", "2")), len(chosen)))]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if r.bad:
            print("not noticed:\n" + "".join(f"    {m.where}: {m.name}\n" for m in r.bad), end="")
        print(f"{r.noticed} of {len(chosen)} noticed ({(time.monotonic() - t) / 60:.0f} minutes)")
        return r.noticed < SHARE * len(chosen)
    finally:
        shutil.rmtree(root, ignore_errors=True)


sys.exit(main(sys.argv[1:]))
