#!/usr/bin/env python3
"""Put build/accuracy.json as a table between the marks of README.md."""
import json
import os
import re

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
README = os.environ.get("README", f"{TOP}/README.md")


def value(r):
    """0.9031 of an accuracy, -0.12 of points, and whether it holds."""
    text = f"{r['value']:.4f}" if "points" not in r["unit"] else f"{r['value']:+.2f}"
    return f"{text} {r['unit']}{'' if r['state'] == 'ok' else ' **(missed)**'}"


def took(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else \
        f"{seconds / 3600:.1f} h"


def cells(r):
    if "value" not in r:
        return [f"`{r['row']}`", f"**{r['state']}**: {r['why']}", "", "", "", r["commit"]]
    return [f"`{r['row']}`", value(r), r["goal"], took(r["seconds"]), r["conditions"], r["commit"]]


def main():
    with open(f"{os.environ.get('BUILD', f'{TOP}/build')}/accuracy.json") as f:
        rows = json.load(f)
    head = ["row", "measured", "goal", "trained for", "conditions", "commit"]
    lines = ["| " + " | ".join(c) + " |" for c in [head, *map(cells, rows)]]
    lines.insert(1, "|" + "---|" * len(head))
    with open(README) as f:
        text = f.read()
    text = re.sub(r"(<!-- accuracy -->\n).*?(<!-- /accuracy -->)",
                  lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.S)
    with open(README, "w") as f:
        f.write(text)


main()
