"""Tokenizing: bytes a second of one thread, by the time that it has of the processor."""
import glob
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
POEM = ("床前明月光，疑是地上霜。举头望明月，低头思故乡。白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n"
        "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。国破山河在，城春草木深。感时花溅泪，恨别鸟惊心。\n")


def text():
    """What the project says of itself in English, and in every fifth line a poem."""
    out = []
    for name in sorted(glob.glob(f"{HERE}/../../include/rekindle/*.h")) + [f"{HERE}/../../README.md"]:
        with open(name, encoding="utf-8") as f:
            for i, line in enumerate(f):
                if line.strip():
                    out.append(line.strip())
                if i % 10 == 9:
                    out.append(POEM.split("\n")[i // 10 % 2])
    return "\n".join(out) + "\n"


def bench(top, row, build):
    words = text()
    with open(f"{top}/lines.txt", "w", encoding="utf-8") as f:
        f.write(words)
    job = {"name": "v", "model": {"arch": "textcnn", "vocabulary": 4000, "classes": 2}, "training": {"epochs": 1},
           "data": {"train": {"type": "text", "classes": {"a": f"{top}/lines.txt"},
                              "tokenizer": {"type": "wordpiece", "vocabulary": f"{top}/vocab.txt"}}}}
    with open(f"{top}/v.json", "w") as f:
        json.dump(job, f)
    subprocess.run([f"{build}/rekindle-train", "--make-vocabulary", f"{top}/v.json", "--size", "4000"], check=True,
                   stdout=subprocess.DEVNULL)
    out = json.loads(subprocess.run([f"{build}/unit/text_drive", f"{top}/vocab.txt", "1", "0"], check=True,
                                    input=words.encode(), capture_output=True).stdout)
    mb = out["bytes"] / out["ns"] * 1e3
    row("tokenizing", mb, "MB/s a core", ">= 1", mb >= 1,
        f"wordpiece, lower case, a vocabulary of 4,000 made of the text: English and Chinese, "
        f"{out['bytes'] / 1e6:.2f} MB, {out['tokens']:,} tokens; one thread's CPU time, the least of 9")
