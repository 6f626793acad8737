"""The order of the system calls by which the daemon and its trainers change files:
what was on the disk when.  Not a test itself.

    c = Calls(d.root)
    c.start(d, *flags)          # the daemon, its trainers, all seen
    c.run([program, ...])       # another program: a CompletedProcess
    c.always("write */metrics.jsonl", "sync */metrics.jsonl", before="rename * */step-*")
                                # behind each of the first kind comes one of the
                                # second, before the next of the third; without
                                # `before`: by now
    c.order("sync *.part", "rename *", "sync */sha256")
                                # they happened, in this order
    c.lines()                   # "write PATH", "sync PATH", "rename FROM TO",
                                # "link FROM TO", "remove PATH"

Kinds are patterns as in the shell, of whole lines.  The programs call what
tests/unit/u_calls.h has in libc's place (calls.so); that they did is looked at,
and a kind that never happened fails.
"""
import fnmatch
import os
import subprocess

from t import BUILD, limit


class Calls:
    def __init__(self, root):
        self.path, self.so = f"{root}/calls", f"{BUILD}/calls.so"
        assert os.path.exists(self.so), f"{self.so} is not there: make {self.so}"
        # Sanitizers want to be loaded first.
        self.env = {"LD_PRELOAD": self.so, "RK_CALLS": self.path,
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.trainer = f"{root}/calls-trainer"
        words = " ".join(f"{k}='{v}'" for k, v in self.env.items())
        with open(self.trainer, "w") as f:
            f.write(f'#!/bin/sh\nexec env {words} {BUILD}/rekindle-train "$@"\n')
        os.chmod(self.trainer, 0o755)

    def start(self, d, *flags):
        return d.start("--trainer", self.trainer, *flags, prefix=["env", *(f"{k}={v}" for k, v in self.env.items())])

    def run(self, argv, **more):
        return subprocess.run(argv, env={**os.environ, **self.env}, capture_output=True, text=True,
                              timeout=limit(60), **more)

    def lines(self):
        with open(self.path, errors="replace") as f:
            v = f.read().splitlines()
        assert any(x.startswith("begin ") for x in v), "no program had its calls written down: is it linked statically?"
        return v

    def always(self, first, then, before=None):
        open_, seen, n = None, 0, {first: 0, then: 0}
        for line in self.lines():
            if before and fnmatch.fnmatchcase(line, before):
                seen += 1
                assert open_ is None, f"{line!r} came before any {then!r}, behind {open_!r}"
            if fnmatch.fnmatchcase(line, then):
                n[then] += 1
                open_ = None
            if fnmatch.fnmatchcase(line, first):
                n[first] += 1
                open_ = line
        assert open_ is None or before, f"{then!r} did not come behind {open_!r}"
        for what, k in [*n.items(), *([(before, seen)] if before else [])]:
            assert k > 0, f"{what!r} never happened"

    def order(self, *kinds):
        left = list(kinds)
        for line in self.lines():
            if left and fnmatch.fnmatchcase(line, left[0]):
                left.pop(0)
        assert not left, f"{left[0]!r} never came behind {kinds[:len(kinds) - len(left)]}"
