#!/usr/bin/env python3
"""Put build/bench.json as tables between the marks of README.md: the rows that are there,
those of networks against their peers (speed.py) in a table of their own.  Rows that
were not measured again stay as they are, and so do the commits that were."""
import json
import os
import re

import speed
from speed import number

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
README = os.environ.get("README", f"{TOP}/README.md")


def plain(rows):
    lines = ["| what | measured | goal | machine | conditions |", "|---|---|---|---|---|"]
    for r in rows:
        miss = "" if r["holds"] else " **(missed)**"
        lines.append(f"| {r['row']} | {number(r['value'])} {r['unit']}{miss} | {r['goal']} | {r.get('machine', '')} | "
                     f"{r['conditions']} |")
    return lines


def networks(rows):
    head = ("network", "rekindle", "PyTorch", "as installed", "Paddle", "times PyTorch", "goal", "times Paddle",
            "of the FMA peak", "memory, MB; of PyTorch 1's, the newer's", "two threads", "machine")
    lines = ["Milliseconds a step, two threads, medians of rounds in turn; the fastest PyTorch and Paddle of all "
             "settings.", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for r in rows:
        def marked(name, form=number):
            return form(r[name]) + (" **(missed)**" if name in r["missed"] else "")

        def who(of):
            return f"{number(of[0])}: {of[1]}" if of else "-"
        lines.append("| " + " | ".join((
            f"`{r['row']}`: {r['conditions'].split(', 2 threads')[0]}",
            number(speed.med(r["ms"]["rekindle"]["2 threads"])), who(speed.least(r["ms"], "PyTorch")),
            who(speed.least(r["ms"], "PyTorch", "as installed")), who(speed.least(r["ms"], "Paddle")), marked("ratio"),
            r["goal"], marked("ratio_paddle"), f"{100 * r['peak_share']:.0f} %",
            f"{number(speed.med(r['memory']['rekindle']['2 threads']))}; {marked('memory_ratio')}, "
            f"{marked('memory_ratio_new')}", f"{marked('scaling')} times one", r.get("machine", ""))) + " |")
    return lines


def first_cell(line):
    return line.split("|")[1].strip().split(":")[0]


def with_old(new, text):
    """The lines of a table, and the rows of the table of the same head in the text that
    it does not have, each in the place that it had."""
    head = next(i for i, x in enumerate(new) if x.startswith("|---"))
    old = text.split(new[head - 1] + "\n" + new[head] + "\n")
    old = old[1].split("\n\n")[0].split("\n") if len(old) > 1 else []
    mine = {first_cell(x): x for x in new[head + 1:]}
    rows = [mine.pop(first_cell(x), x) for x in old if x.startswith("|")]
    return new[:head + 1] + rows + list(mine.values())


def main():
    rows = json.load(open(f"{os.environ.get('BUILD', f'{TOP}/build')}/bench.json"))
    with open(README) as f:
        text = f.read()
    before = re.search(r"<!-- bench -->\n(.*?)<!-- /bench -->", text, flags=re.S)[1]
    commits = {r.get("commit", "?") for r in rows}
    was = re.match(r"Commit ([^.]*)\.", before)
    commits = sorted(commits | set(was[1].split(", ") if was else ()))
    lines = [f"Commit {', '.join(commits)}. Machine: milliseconds of a fixed loop, arithmetic and memory, before / "
             "after.", ""]
    for part in (networks([r for r in rows if "peak_share" in r]), plain([r for r in rows if "peak_share" not in r])):
        part = with_old(part, before)
        if not part[-1].startswith("|---"):
            lines += part + [""]
    text = re.sub(r"(<!-- bench -->\n).*?(<!-- /bench -->)", lambda m: m[1] + "\n".join(lines[:-1]) + "\n" + m[2], text,
                  flags=re.S)
    with open(README, "w") as f:
        f.write(text)


main()
