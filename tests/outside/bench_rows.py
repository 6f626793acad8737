#!/usr/bin/env python3
"""The rows of make bench about networks: whom they compare with, what they say, and the README's table.

PyTorch and Paddle are interpreters of ours that say what theirs would; rekindle-train is the real one.
"""
import json
import os
import statistics
import subprocess
import sys

from t import BUILD, case, eq, has, limit, run

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = f"{HERE}/../bench"
PARAMETERS = 203530             # 784-256-10
# Says its version, or the milliseconds of a setting, and notes that it was asked.
PEER = """#!{python}
import json, os, sys
said = json.load(open({said!r}))
if sys.argv[1] == "-c":
    framework = sys.argv[2].split()[1].rstrip(";")
    if framework != said["framework"]:
        sys.exit("No module named " + framework)
    print(said["version"])
    sys.exit()
words = [w for w, on in (("tuned", "GLIBC_TUNABLES" in os.environ), ("mkldnn", "FLAGS_use_mkldnn" in os.environ)) if on]
setting = " ".join(words + sys.argv[3:])
with open({calls!r}, "a") as f:
    f.write(said["framework"] + said["version"][0] + ": " + setting + "\\n")
if setting not in said["ms"]:
    sys.exit("Traceback\\nError: cannot do " + setting)
print(json.dumps(dict(ms=said["ms"][setting], steps=9, memory=said["memory"], parameters=said["parameters"])))
"""


class Bench:
    """bench.py with a build folder of its own, in which the programs are links."""

    def __init__(self, root):
        self.root, self.build, self.calls = root, f"{root}/b", f"{root}/calls"
        os.makedirs(f"{self.build}/bench")
        os.symlink(f"{BUILD}/rekindle-train", f"{self.build}/rekindle-train")
        subprocess.run(["gcc", "-O2", "-o", f"{self.build}/bench/peak", f"{BENCH}/peak.c"], check=True)
        with open(f"{self.build}/bench/mode", "w") as f:
            f.write("#!/bin/sh\necho 1 1\n")
        os.chmod(f"{self.build}/bench/mode", 0o755)
        self.env = dict(os.environ, BUILD=self.build, BENCH_SECONDS="0", BENCH_STEPS="1", ROUNDS="2",
                        BENCH_PYTHON="")
        self.env.pop("ISA", None)

    def peer(self, name, framework, version, ms, memory, parameters=PARAMETERS):
        path, said = f"{self.root}/{name}", f"{self.root}/{name}.json"
        with open(said, "w") as f:
            json.dump(dict(framework=framework, version=version, ms=ms, memory=memory, parameters=parameters), f)
        with open(path, "w") as f:
            f.write(PEER.format(python=sys.executable, said=said, calls=self.calls))
        os.chmod(path, 0o755)
        self.env["BENCH_PYTHON"] += f" {path}"

    def rows(self, *parts):
        """{row: ...} of bench.json, and what was printed."""
        p = subprocess.run([f"{BENCH}/bench.py", *parts], env=self.env, capture_output=True, text=True,
                           timeout=limit(120))
        assert p.returncode in (0, 1), p.stderr
        with open(f"{self.build}/bench.json") as f:
            return {r["row"]: r for r in json.load(f)}, p.stdout

    def asked(self):
        with open(self.calls) as f:
            return f.read().splitlines()

    def table(self):
        path = f"{self.root}/README.md"
        with open(path, "w") as f:
            f.write("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
        subprocess.run([f"{BENCH}/table.py"], env=dict(self.env, README=path), check=True)
        with open(path) as f:
            return f.read()


def two_torches(b):
    b.peer("old", "torch", "1.13.0a0", {"": 350, "tuned": 150}, 200)
    b.peer("new", "torch", "2.15.0+x", {"": 400, "fused": 300, "tuned": 200, "tuned fused": 100, "compile": 10}, 800)


@case("a row has the ratios to the fastest of each peer's settings, and the raw figures")
def _(d):
    b = Bench(d.root)
    two_torches(b)
    b.peer("paddle", "paddle", "3.3.1", {"": 900, "mkldnn": 800}, 300)
    rows, said = b.rows("speed:mlp")
    r = rows["mlp"]
    ours = statistics.median(r["ms"]["rekindle"]["2 threads"])
    eq(len(r["ms"]["rekindle"]["2 threads"]), 2, "rounds of ours")
    # torch.compile is printed beside, and is not who is compared with.
    for name, ms in ("ratio", 100), ("ratio_installed", 350), ("ratio_paddle", 800):
        eq(r[name], ms / ours, name)
    eq(r["value"], r["ratio"], "the row's value")
    eq(r["compiled"], {"PyTorch 2.15": 10}, "compiled")
    eq(r["ms"]["PyTorch 2.15"], {"malloc tuned, fused": [100, 100], "malloc tuned": [200, 200],
                                 "as installed": [400, 400]}, "raw figures")
    memory = statistics.median(r["memory"]["rekindle"]["2 threads"])
    eq(r["memory_ratio"], memory / 200, "memory_ratio")
    eq(r["memory_ratio_new"], memory / 800, "memory_ratio_new")
    assert 0 < r["peak_share"] < 2 and r["scaling"] > 0, r
    has(said, "PyTorch 2.15 (malloc tuned, fused) 100")


@case("one round tries every setting, and the two best of each peer and what is installed are measured in turn")
def _(d):
    b = Bench(d.root)
    two_torches(b)
    b.rows("speed:mlp")
    asked = b.asked()
    eq(sorted(asked[:7]), sorted(["torch1: ", "torch1: tuned", "torch2: ", "torch2: fused", "torch2: tuned",
                                  "torch2: tuned fused", "torch2: compile"]), "the first round")
    chosen = ["torch1: tuned", "torch1: ", "torch2: tuned fused", "torch2: tuned", "torch2: "]
    eq(asked[7:12], chosen, "the second round")
    eq(asked[12:], chosen[1:] + chosen[:1], "the third, which another begins")


@case("a peer that is missing, fails or has another network is said, and the row is there")
def _(d):
    b = Bench(d.root)
    b.peer("one", "torch", "1.13.0", {"tuned": 150}, 200)
    b.peer("other", "torch", "2.15.0", {"": 1, "tuned": 1, "fused": 1, "tuned fused": 1}, 800, parameters=5)
    b.env["BENCH_PYTHON"] += f" {d.root}/nobody"
    rows, said = b.rows("speed:mlp")
    r = rows["mlp"]
    eq(r["ms"]["PyTorch 1.13"], {"malloc tuned": [150, 150]}, "what worked")
    eq([r[x] for x in ("ratio_installed", "ratio_paddle", "memory_ratio_new")], [None] * 3, "what is not known")
    has(said, f"without {d.root}/nobody")
    has(said, "PyTorch 1.13, as installed: failed, ended with 1: Error: cannot do\n")
    has(said, "failed, has 5 parameters, rekindle 203530")


@case("without any peer a row has what rekindle does alone, and misses nothing")
def _(d):
    b = Bench(d.root)
    b.env["BENCH_PYTHON"] = f"{d.root}/nobody"
    r = b.rows("speed:mlp")[0]["mlp"]
    eq([r["ratio"], r["holds"], r["missed"]], [None, True, []], "ratio, holds, missed")
    has(b.table(), "| - | >= 2.5, aim 3.3 | - |")


@case("the README's tables have the rows that are there, and mark what is missed")
def _(d):
    b = Bench(d.root)
    two_torches(b)
    b.peer("paddle", "paddle", "3.3.1", {"": 0.0001, "mkldnn": 0.0002}, 300)
    b.rows("speed:mlp")
    with open(f"{b.build}/bench.json") as f:
        rows = json.load(f)
    rows.append({"row": "another", "value": 1234, "unit": "jobs/s", "goal": ">= 2", "holds": False, "conditions": "so"})
    with open(f"{b.build}/bench.json", "w") as f:
        json.dump(rows, f)
    text = b.table()
    assert text.startswith("before\n<!-- bench -->\n") and text.endswith("\n<!-- /bench -->\nafter\n"), text
    has(text, "| `mlp`: 784-256-10, batch 64, Adam |")
    has(text, "| 100: PyTorch 2.15 (malloc tuned, fused) | 350: PyTorch 1.13 (as installed) | 0.0001: Paddle 3.3 (as "
              "installed) |")
    eq(text.count("(missed)"), 2, "marks: Paddle's ratio, and the other row")
    has(text, "| another | 1,234 jobs/s **(missed)** | >= 2 |  | so |")


run()
