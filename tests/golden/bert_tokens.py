#!/usr/bin/env python3
"""
Writes tests/unit/text_golden.h: the ids that Hugging Face's BertTokenizer gives
for texts in English, Chinese and others, alone and in pairs.  Needs transformers 4
(from Python's index, in an environment of its own); the test does not.

Its version 5 is another program (the library `tokenizers`): of a pair whose texts are
both too long it gives an odd token to the longer one and not to the first, and its
tables are of Unicode 8.  Version 4 composes characters (NFC) before all else, which is
seen where accents stay; BERT's own tokenizer did not, nor does version 5, nor do we:
such texts are left out.

    python3 tests/golden/bert_tokens.py > tests/unit/text_golden.h

With --compare build/unit/text_drive [FILE ...] it holds our ids against those of
the library that is installed, for characters of Unicode, for random texts and
for the lines of the files, and says where they differ.
"""
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the quick brown fox over lazy dog jump ##s ##ed ##ing un ##believ ##able
embed ##d ##ding hello world we are don t it s a of to and in 2026 100 ##00 % . , ! ?
' " - ( ) # ## : ; / naive cafe strasse ##e ##r ##l ##o ##n ##t ##a ##i b c d e f g h i
j k l m n o p q r u v w x y z 0 1 2 3 4 5 6 7 8 9 ##0 ##1 ##2 ##6 北 京 大 学 我 们 爱 中
文 , 。 ! 《 》 机 器 習 が 가 ᄀ ##ᅡ ##ᆨ é ##é σ ##σ ##ς ё е и й ı i̇ ß ᾳ = $ + [ ] pad
sep ##ep cl ##s ##sep mask un ##k 😀 A B The Hello ##B 豈""".split()
TEXTS = [
    "", " ", "Hello, world!", "The quick brown fox jumped over the lazy dogs.",
    "unbelievable embeddings", "unwanted,running", "我们爱北京大学。",
    "我们 love 北京,we are in 中文 2026!", "《机器》學習", "Café naïve STRASSE Straße",
    "e\u0301 \u00e9 E\u0301", "a\u00a0b\u3000c\u2028d\te\nf\rg", "\u200bzero\u200dwidth\ufeff",
    "\ufffd\u0000x\u0007y", "don't - it's 100% (a/b); #1 ##s $5+5=10",
    "a" * 100, "a" * 101, "x " + "é" * 100 + " y", "Σας ΟΔΟΣ ΣΣ", "İstanbul ISPARTA ıI",
    "ёжик Йод", "각 가나", "ﬁne \u1fb3 \u212b \u2260 \u037e", "😀 grin 😀😀", "\uf900 \U0002f800",
    "が ガ", "[ pad ] cls sep", "qzqzqz hello", "2026 北京 100 ##00", "the." * 30,
    "A\u0300\u0316b", "\ue000private", "x\u0378y \U000e0001 z",
]
PAIRS = [("Hello", "world"), ("the quick brown fox over lazy dog", "hello"),
         ("hello", "the quick brown fox over lazy dog"),
         ("we are in a dog of the fox", "it s a world of the dog and fox"),
         ("", "hello"), ("北京大学", "我们爱中文")]


def vocabulary():
    out = []
    for w in SPECIAL + WORDS:
        if w not in out:
            out.append(w)
    return out


def tokenizer(path, lower):
    from transformers import BertTokenizer
    return BertTokenizer(vocab_file=path, do_lower_case=lower) \
        if "vocab_file" in BertTokenizer.__init__.__code__.co_varnames \
        else BertTokenizer(vocab=path, do_lower_case=lower)


def ids(tok, a, b, length):
    return tok(a, b, truncation="longest_first", max_length=length,
               padding="max_length")["input_ids"]


def c_lines(s, width=60):
    """A long C string over several lines."""
    parts, at = [], s.encode("utf-8")
    for k in range(0, max(len(at), 1), width // 2):
        parts.append('\t    "%s"' % "".join(
            chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else "\\%03o" % b
            for b in at[k:k + width // 2]))
    return "\n".join(parts)


def row(tok, lower, a, b, length):
    v = ids(tok, a, b, length)
    print("\t{ %d, %d,\n%s,\n%s,\n\t    { %s } }," % (
        lower, length, c_lines(a), c_lines(b) if b is not None else "\t    NULL",
        ",\n\t    ".join(", ".join(map(str, v[k:k + 14]))
                         for k in range(0, len(v), 14))))


def write():
    import transformers
    words = vocabulary()
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "vocab.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(w + "\n" for w in words))
        toks = {low: tokenizer(path, low) for low in (True, False)}
    print("/* Written by tests/golden/bert_tokens.py; see there. */")
    print("/* transformers %s */" % transformers.__version__)
    print("static const char golden_vocabulary[] =\n%s;" %
          c_lines("".join(w + "\n" for w in words)))
    print("static const struct golden {\n\tint lower_case, length;\n"
          "\tconst char *a, *b;\n\tint32_t ids[40];\n} goldens[] = {")
    for text in TEXTS:
        if "\0" in text:
            text = text.replace("\0", "")
        for lower in (1, 0):
            if lower or unicodedata.normalize("NFC", text) == text:
                row(toks[bool(lower)], lower, text, None, 40 if len(text) < 99 else 24)
    for a, b in PAIRS:
        for length in (40, 12, 9, 8):
            row(toks[True], 1, a, b, length)
    print("};")


# --- comparing -----------------------------------------------------------------


def random_text(rnd):
    pools = [(0x20, 0x7e), (0xa0, 0x24f), (0x300, 0x52f), (0x4e00, 0x9fff),
             (0x3000, 0x30ff), (0xac00, 0xd7a3), (0x900, 0xdff),
             (0x1e00, 0x2bff), (0x1f300, 0x1faff), (0xf900, 0xfaff)]
    out = []
    for _ in range(rnd.randint(1, 30)):
        a, b = rnd.choice(pools)
        out.append("".join(chr(rnd.randint(a, b)) for _ in range(rnd.randint(1, 8))))
    return "".join(c for c in " ".join(out) if unicodedata.category(c) != "Cn" and c not in "\n\t")


def texts(files):
    for c in range(1, 0x30000):
        # Of the ideographs and the syllables some.
        many = 0x3400 <= c <= 0x9FFF or 0xAC00 <= c <= 0xD7A3 or c >= 0x20000
        if unicodedata.category(chr(c)) in ("Cs", "Cn", "Co") or (many and c % 97):
            continue
        if c not in (9, 10, 13):
            yield "a%sb %s" % (chr(c), chr(c))
    rnd = random.Random(7)
    for _ in range(20000):
        yield random_text(rnd)
    for name in files:
        with open(name, encoding="utf-8") as f:
            for line in f:
                yield line.rstrip("\n").replace("\t", " ")


def compare(drive, files):
    all_texts = list(texts(files))
    letters = sorted({c for t in all_texts for c in t.lower() if c.isalnum()})
    words = vocabulary()
    words += [w for c in letters for w in (c, "##" + c) if w not in set(words)]
    words = list(dict.fromkeys(words))
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "vocab.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(w + "\n" for w in words))
        for lower in (True, False):
            tok = tokenizer(path, lower)
            text = "".join(t + "\n" for t in all_texts)
            got = subprocess.run([drive, path, str(int(lower)), "64"],
                                 input=text.encode("utf-8"), check=True,
                                 stdout=subprocess.PIPE).stdout.decode().split("\n")
            bad = 0
            for t, line in zip(all_texts, got):
                want = ids(tok, t, None, 64)
                if [int(x) for x in line.split()] == want:
                    continue
                bad += 1
                if bad <= 40:
                    print("lower=%d %r %s\n  ours %s\n  want %s" % (
                        lower, t[:60], " ".join("%x" % ord(c) for c in t[:6]),
                        line[:100], " ".join(map(str, want))[:100]))
            print("lower_case %s: %d of %d texts differ" % (lower, bad, len(all_texts)))


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--compare":
        compare(sys.argv[2], sys.argv[3:])
    else:
        write()
