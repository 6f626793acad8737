#!/usr/bin/env python3
"""Put build/accuracy.json into measured.json, which is kept, and that as a table between
the marks of README.md.  What was not measured again stays as it is, in both."""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
sys.path[:0] = [HERE, f"{HERE}/../outside"]
from rows import load                   # noqa: E402

README = os.environ.get("README", f"{TOP}/README.md")
MEASURED = os.environ.get("MEASURED", f"{HERE}/measured.json")


def value(r):
    """0.9031 of an accuracy, -0.12 of points, and whether it holds."""
    text = f"{r['value']:.4f}" if "points" not in r["unit"] else f"{r['value']:+.2f}"
    return f"{text} {r['unit']}{'' if r['state'] == 'ok' else ' **(missed)**'}"


def took(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else \
        f"{seconds / 3600:.1f} h"


def line(r):
    cells = [f"`{r['row']}`", f"**{r['state']}**: {r.get('why')}", "", "", "", r["commit"]]
    if "value" in r:
        cells[1:5] = [value(r), r["goal"], took(r["seconds"]), r["conditions"]]
    return "| " + " | ".join(cells) + " |"


def read(path):
    """{name: row} of a list of rows; none where there is no such file."""
    if not os.path.exists(path):
        return {}
    with open(path) as f:
        return {r["row"]: r for r in json.load(f)}


def kept(new, order):
    """What has a figure, a row a line, in MEASURED."""
    rows = {**read(MEASURED), **{k: r for k, r in new.items() if "value" in r}}
    with open(MEASURED, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(rows[k]) for k in order if k in rows) + "\n]\n")
    return rows


def main():
    order = list(load())
    new = read(f"{os.environ.get('BUILD', f'{TOP}/build')}/accuracy.json")
    with open(README) as f:
        before, table, after = re.split(r"(?<=<!-- accuracy -->\n)(.*?)(?=<!-- /accuracy -->)", f.read(), flags=re.S)
    lines = {k: line(r) for k, r in new.items()}
    lines.update(re.findall(r"^(?=\| `([^`]+)`)(.*)$", table, re.M))
    lines.update((k, line(r)) for k, r in kept(new, order).items())
    head = ["row", "measured", "goal", "trained for", "conditions", "commit"]
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(lines[k] for k in order if k in lines)]
    with open(README, "w") as f:
        f.write(before + "\n".join(text) + "\n" + after)


main()
