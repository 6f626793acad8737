#!/usr/bin/env python3
"""etc/jobs/tiles.sh, which tells how a model grows: on pictures of a few pixels, with short phases."""
import json
import os
import subprocess

import pictures
from t import BUILD, case, eq, has, limit, run

JOBS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../etc/jobs")
CLASSES = ["MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Free", "MT_Uneven"]
FIRST, ALL, BATCH, TILES = 8, 8, 8, 20          # epochs of the phases; tiles of a class
KILLS = 3, FIRST + 3                            # in each phase one


def shrunken(folder):
    """The two jobs, small."""
    os.makedirs(folder)
    for name in "tiles-four.yaml", "tiles-six.yaml":
        with open(f"{JOBS}/{name}") as f:
            text = f.read()
        for old, new in (("batch_size: 32", f"batch_size: {BATCH}"), ("64", "32"), ("epochs: 60", "epochs: 3"),
                         ("epochs: 2}", f"epochs: {FIRST}}}"), ("epochs: 18", f"epochs: {ALL}")):
            text = text.replace(old, new)
        with open(f"{folder}/{name}", "w") as f:
            f.write(text)


def told(d, *more, want=0):
    env = dict(os.environ, BUILD=BUILD, JOBS=f"{d.root}/jobs", DIR=f"{d.root}/tiles", KILLS=" ".join(map(str, KILLS)))
    p = subprocess.run([f"{JOBS}/tiles.sh", *more], env=env, capture_output=True, text=True, timeout=limit(240))
    eq(p.returncode, want, f"exit of tiles.sh ({p.stdout[-1500:]} {p.stderr[-1500:]})")
    return p.stdout if want == 0 else p.stderr


def first_epochs(folder):
    """Of a job's folder: the epoch that each attempt was the first to end."""
    with open(f"{folder.path}/metrics.jsonl") as f:
        ended = [(x["attempt"], x["epoch"]) for x in map(json.loads, f) if x["over"] == "epoch"]
    return [min(e for a, e in ended if a == n) for n in sorted({a for a, _ in ended})]


@case("the story of the tiles: four classes grow to six, with kill -9 in each phase and the same bytes", "stopped")
def _(d):
    pictures.folder(f"{d.root}/six", CLASSES, TILES, 40, 32)
    shrunken(f"{d.root}/jobs")
    out = told(d, f"{d.root}/six")
    has(out, "2 grown: fc.weight, fc.bias (file [4,512], model [6,512])")
    eq(out.count("killed after epoch "), 2, "kills")
    has(out, "was trained on none of them")
    has(out, "knowledge    mean recall of 4 classes of before ")
    has(out, "\nidentical\n")
    # Version 2 is in production, by way of version 1; it comes from that one, and from its job.
    has(out, "tiles/1  production\n")
    for line in "2, was 1", "1, was 2", "2, was 1":
        has(out, f"\ntiles@production is version {line}\n")
        out = out[out.index(f"\ntiles@production is version {line}\n") + 1:]
    assert out.endswith("\nwhat is in production is what was trained\n"), out[-600:]
    with open(f"{d.root}/tiles/story.txt") as f:
        story = f.read()
    tree = [line.lstrip(" |`-└─") for line in story.split("lineage tiles@production\n")[1].splitlines()]
    eq([line.split(",")[0] for line in tree], ["tiles/2 (production)", "job tiles-six", "tiles/1", "job tiles-four"],
       "lineage")
    with open(f"{d.root}/tiles/card.md") as f:
        card = f.read()
    for part in ("# tiles, version 2", "`MT_Crack`", "2 grown: fc.weight",
                 "`model://tiles@production`, which was `model://tiles/1#"):
        has(card, part)
    # It was killed where the script says: each attempt but the first goes on within a phase.
    begun = [a for a in map(first_epochs, os.scandir(f"{d.root}/tiles/state/jobs")) if len(a) == 3]
    eq(len(begun), 1, "jobs of three attempts")
    assert 1 < begun[0][1] <= FIRST < begun[0][2] <= FIRST + ALL, begun


@case("a folder without the two classes that come late is no story", "stopped")
def _(d):
    pictures.folder(f"{d.root}/four", [c for c in CLASSES if c not in ("MT_Crack", "MT_Fray")], 2, 8, 8)
    shrunken(f"{d.root}/jobs")
    has(told(d, f"{d.root}/four", want=1), "has no folder MT_Crack")


run()
