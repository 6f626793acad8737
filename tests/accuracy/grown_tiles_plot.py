#!/usr/bin/env python3
"""Draw what measured.json says of the row growth: grown_tiles.svg, which the README shows.

    grown_tiles_plot.py [OUT.svg]

To the left macro F1 after each epoch, the cold start's and the warm one's, thin of each fold
and thick their mean; to the right the recall of each class, before it grew and after.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MEASURED = os.environ.get("MEASURED", f"{HERE}/measured.json")
WIDTH, HEIGHT, TOP, FLOOR = 860, 360, 52, 310           # pixels
LEFT, RIGHT, CLASSES, END = 48, 520, 640, 836           # of the curves, of the recalls
COLD, WARM, GREY, INK = "#2166ac", "#c8500a", "#8a8a8a", "#222"
STEPS = 0, 0.2, 0.4, 0.6, 0.8, 1


def text(x, y, words, fill=INK, anchor="start", size=12):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" text-anchor="{anchor}">{words}</text>'


def line(points, colour, width, more=""):
    at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="{width}"{more}/>'


def dot(x, y, colour, full=True):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour if full else "#fff"}" stroke="{colour}" stroke-width="2"/>'


def height(value):
    return FLOOR - value * (FLOOR - TOP)


def curves(c, cold, warm):
    """Macro F1 by epoch, and where the mean comes to cold's best."""
    epochs = len(c["curves"]["cold"])

    def place(n, value):
        return LEFT + n / epochs * (RIGHT - LEFT), height(value)
    out = [text(LEFT, 24, "macro F1 on tiles that were not trained on, after each epoch", size=13)]
    for v in STEPS:
        out += [line([place(0, v), place(epochs, v)], "#e4e4e4", 1), text(LEFT - 6, height(v) + 4, f"{v:g}", GREY, "end", 11)]
    out += [text(place(n, 0)[0], FLOOR + 18, str(n), GREY, "middle", 11) for n in range(0, epochs + 1, 10)]
    for runs, colour in (cold, COLD), (warm, WARM):
        out += [line([place(n, x) for n, x in enumerate(r["macro_f1"], 1)], colour, 1, ' opacity="0.25"') for r in runs]
    best = c["best"]
    out.append(line([place(0, best), place(epochs, best)], COLD, 1, ' stroke-dasharray="5 4"'))
    for who, colour in ("cold", COLD), ("warm", WARM):
        curve, after = c["curves"][who], c["after"][who]
        out.append(line([place(n, x) for n, x in enumerate(curve, 1)], colour, 2.5))
        if after:
            x, y = place(after, curve[after - 1])
            out += [line([(x, y), (x, FLOOR)], colour, 1, ' stroke-dasharray="2 3"'), dot(x, y, colour),
                    text(x, FLOOR + 34, f"{who}: {after}", colour, "middle")]
    x = RIGHT - 8
    return out + [text(x, height(0.13), f"cold start: six classes from nothing; best mean {best:.3f}", COLD, "end"),
                  text(x, height(0.05), "warm start: four classes grow to six", WARM, "end")]


def recalls(c, warm):
    """A row a class: recall before and after; the new ones have no before."""
    classes = list(warm[0]["recall"])

    def place(value):
        return CLASSES + value * (END - CLASSES)
    after = {k: sum(r["recall"][k] for r in warm) / len(warm) for k in classes}
    rows = [(k, c["recall"]["before"].get(k), after[k]) for k in classes]
    rows.append(("old classes, mean", c["mean_recall"]["before"], c["mean_recall"]["warm"]))
    out = [text(CLASSES - 100, 24, "recall: of four classes (hollow), of six (full)", size=13)]
    for v in STEPS:
        out += [line([(place(v), TOP), (place(v), FLOOR)], "#e4e4e4", 1), text(place(v), FLOOR + 18, f"{v:g}", GREY, "middle", 11)]
    for i, (name, before, now) in enumerate(rows):
        y = TOP + (i + 0.5) * (FLOOR - TOP) / len(rows)
        known = before is not None
        out.append(text(CLASSES - 8, y + 4, name.removeprefix("MT_") + ("" if known else " (new)"), INK, "end"))
        if known:
            out += [line([(place(before), y), (place(now), y)], WARM, 2), dot(place(before), y, WARM, False)]
        out.append(dot(place(now), y, WARM))
    return out


def drawn(row):
    runs = row["runs"]
    n = len(runs) // 3
    body = curves(row["figures"], runs[n:2 * n], runs[2 * n:]) + recalls(row["figures"], runs[2 * n:])
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
                      f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
                      "<title>A model of four classes of magnetic tiles grows to six</title>",
                      f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *body, "</svg>", ""])


def main():
    with open(MEASURED) as f:
        row = next((r for r in json.load(f) if r["row"] == "growth"), None)
    if row is None:
        sys.exit(f"{MEASURED} has no row growth: make accuracy ROWS=growth, then table.py")
    with open(sys.argv[1] if len(sys.argv) > 1 else f"{HERE}/grown_tiles.svg", "w") as f:
        f.write(drawn(row))


if __name__ == "__main__":
    main()
