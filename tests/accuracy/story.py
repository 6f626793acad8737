#!/usr/bin/env python3
"""Put what etc/jobs/tiles.sh left in its folder (DIR, tiles.run) between the marks of README.md, and the card of the
model beside the picture.  Ids of jobs and lines stay as they were said; trailing blanks go."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.environ.get("README", f"{HERE}/../../README.md")
CARD = os.environ.get("CARD", f"{HERE}/tiles_card.md")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "tiles.run"
    lines = [line.rstrip() for line in read(f"{folder}/story.txt").splitlines()]
    story = "```\n" + "\n".join(lines) + "\n```\n"
    before, _, after = re.split(r"(?<=<!-- story -->\n)(.*?)(?=<!-- /story -->)", read(README), flags=re.S)
    write(README, before + story + after)
    write(CARD, read(f"{folder}/card.md"))


main()
