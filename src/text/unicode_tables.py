#!/usr/bin/env python3
"""Make unicode_tables.inc of what Python's unicodedata knows: run it with the
Python of Debian 12, whose Unicode is 14.0.  The header text.h says what the
classes are; unicode.c has the structs."""
import os
import sys
import unicodedata as u

HERE = os.path.dirname(os.path.abspath(__file__))
ALL = [c for c in range(0x80, 0x110000) if not 0xD800 <= c <= 0xDFFF]
HAN = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF),
       (0x2A700, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
MOST = 4


def is_what(c):
    kind = u.category(chr(c))
    if c == 0xFFFD or kind in ("Cc", "Cf", "Co"):
        return "UC_DROP"
    if kind == "Zs" or c in (0x2028, 0x2029):
        return "UC_SPACE"
    if any(a <= c <= b for a, b in HAN):
        return "UC_HAN"
    if kind[0] == "P":
        return "UC_PUNCT"
    return "UC_MARK" if kind == "Mn" else None


def classes():
    rows = []
    for c in ALL:
        w = is_what(c)
        if w is None:
            continue
        if rows and rows[-1][1] == c - 1 and rows[-1][2] == w:
            rows[-1][1] = c
        else:
            rows.append([c, c, w])
    return ["{0x%x,0x%x,%s}" % tuple(r) for r in rows]


def strips():
    one, many = [], []
    for c in ALL:
        if 0xAC00 <= c <= 0xD7A3 or u.category(chr(c)) == "Mn":
            continue
        to = [ord(x) for x in u.normalize("NFD", chr(c))]
        if to == [c]:
            continue
        to = [x for x in to if u.category(chr(x)) != "Mn"]
        assert len(to) <= MOST and 0 not in to
        if len(to) == 1:
            one.append("{0x%x,0x%x}" % (c, to[0]))
        else:
            many.append("{0x%x,{%s}}" % (c, ",".join(
                "0x%x" % x for x in to + [0] * (MOST - len(to)))))
    return one, many


def lowers():
    """Stretches of characters whose lower case is as far away, each or every
    second."""
    rows = []
    for c in ALL:
        to = chr(c).lower()
        if to == chr(c) or c == 0x130:
            continue
        assert len(to) == 1, hex(c)
        by = ord(to) - c
        if rows and rows[-1][3] == by:
            gap = c - rows[-1][1]
            alone = rows[-1][0] == rows[-1][1]
            if gap in (1, 2) and (alone or rows[-1][2] == gap):
                rows[-1][1], rows[-1][2] = c, gap
                continue
        rows.append([c, c, 1, by])
    return ["{0x%x,0x%x,%d,%d}" % tuple(r) for r in rows]


def table(out, kind, name, rows):
    out.append("static const struct %s %s[] = {" % (kind, name))
    line = ""
    for r in rows:
        if len(line) + len(r) + 1 > 71:
            out.append("\t" + line)
            line = ""
        line += r + ","
    out.append("\t" + line)
    out.append("};")


def main():
    if u.unidata_version != "14.0.0":
        sys.exit("this Python has Unicode %s, want 14.0.0" % u.unidata_version)
    out = ["/* Made by unicode_tables.py of Unicode %s. */" % u.unidata_version]
    one, many = strips()
    table(out, "uc_range", "uc_classes", classes())
    table(out, "uc_pair", "uc_strips", one)
    table(out, "uc_many", "uc_strips_many", many)
    table(out, "uc_shift", "uc_lowers", lowers())
    with open(os.path.join(HERE, "unicode_tables.inc"), "w",
              encoding="ascii") as f:
        f.write("\n".join(out) + "\n")


main()
