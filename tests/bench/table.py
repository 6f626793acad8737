#!/usr/bin/env python3
"""Put build/bench.json as a table between the marks of README.md."""
import json
import os
import re

top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
rows = json.load(open(f"{os.environ.get('BUILD', f'{top}/build')}/bench.json"))
commits = sorted({r.get("commit", "?") for r in rows})
lines = [f"Commit {', '.join(commits)}. Machine: milliseconds of a fixed loop, arithmetic and memory, before / after.", "",
         "| what | measured | goal | machine | conditions |", "|---|---|---|---|---|"]
for r in rows:
    miss = "" if r["holds"] else " **(missed)**"
    value = f"{r['value']:,.0f}" if r["value"] >= 1000 else f"{r['value']:.3g}"
    lines.append(f"| {r['row']} | {value} {r['unit']}{miss} | {r['goal']} | {r.get('machine', '')} | {r['conditions']} |")
path = f"{top}/README.md"
text = open(path).read()
text = re.sub(r"(<!-- bench -->\n).*?(<!-- /bench -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text,
              flags=re.S)
open(path, "w").write(text)
