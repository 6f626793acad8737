#!/usr/bin/env python3
"""Texts as data: vocabularies, CSV and TSV and files by class, pairs, kills, and files that are a little wrong."""
import glob
import hashlib
import json
import os
import random
import subprocess

from t import BUILD, SHARED, Skip, case, eq, has, limit, run, wait_for

GOOD = "good fine great lovely superb 好 妙".split()
BAD = "bad dull poor awful boring 差 坏".split()
OTHER = "the film was a story of our time , with some music and two actors . 电 影".split()


def sentence(rnd, words):
    out = [rnd.choice(OTHER) for _ in range(rnd.randint(3, 12))]
    for _ in range(2):
        out.insert(rnd.randint(0, len(out)), rnd.choice(words))
    return " ".join(out)


def write(d, name, text, encoding="utf-8"):
    path = f"{d.root}/{name}"
    with open(path, "wb") as f:
        f.write(text.encode(encoding) if isinstance(text, str) else text)
    return path


def reviews(d, n=300, seed=5):
    """Two files of texts that can be told apart."""
    rnd = random.Random(seed)
    for name, words in (("neg", BAD), ("pos", GOOD)):
        write(d, f"{name}.txt", "".join(sentence(rnd, words) + "\n" for _ in range(n)))
    return {"type": "text", "classes": {"pos": "pos.txt", "neg": "neg.txt"}, "length": 16,
            "tokenizer": {"type": "wordpiece", "vocabulary": "vocab.txt"}}


def job(train, arch, epochs=3, **more):
    return {"name": "texts", "model": {"arch": arch, **more}, "data": {"train": train, "validation_split": 0.1},
            "training": {"epochs": epochs, "batch_size": 32, "optimizer": {"type": "adam", "learning_rate": 0.003}},
            "checkpoint": {"every": {"steps": 7}, "keep": {"last": 2}}}


def put(d, j):
    return write(d, f"{j['name']}.json", json.dumps(j))


def trainer(d, path, *args, rundir="run", threads=1):
    return [f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", "--threads", str(threads), *args, path]


def train(d, j, *args, want=0, **kw):
    p = subprocess.run(trainer(d, put(d, j), *args, **kw), cwd=d.root, capture_output=True, text=True,
                       timeout=limit(120))
    eq(p.returncode, want, f"exit ({p.stderr[-700:]})")
    return p.stdout + p.stderr


def vocabulary(d, j, size=200, *args, want=0):
    p = subprocess.run([f"{BUILD}/rekindle-train", "--make-vocabulary", put(d, j), "--size", str(size), *args],
                       cwd=d.root, capture_output=True, text=True, timeout=limit(60))
    eq(p.returncode, want, f"exit of --make-vocabulary ({p.stderr[-600:]})")
    return p.stdout + p.stderr


def lines(d, name):
    with open(f"{d.root}/{name}", encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def newest(d, rundir):
    return max(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*"), default="")


def model(d, rundir="run"):
    with open(f"{newest(d, rundir)}/model.safetensors", "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def scores(d, rundir="run"):
    with open(f"{d.root}/{rundir}/metrics.jsonl") as f:
        return [r for r in map(json.loads, f) if r["split"] == "validation"]


TEXTCNN = {"vocabulary": 200, "width": 16, "filters": 8, "kernels": [2, 3], "classes": 2}
BERT = {"vocabulary": 200, "hidden": 16, "depth": 1, "heads": 2, "intermediate": 32, "positions": 16, "classes": 2,
        "token_types": 2}


@case("a vocabulary is made the same each time and a textcnn learns by it", "stopped")
def _(d):
    j = job(reviews(d), "textcnn", **TEXTCNN)
    has(vocabulary(d, j), "training texts")
    first = open(f"{d.root}/vocab.txt", "rb").read()
    eq(lines(d, "vocab.txt")[:5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "special tokens")
    vocabulary(d, j)                     # the same bytes are no other file
    eq(open(f"{d.root}/vocab.txt", "rb").read(), first, "the second time")
    has(vocabulary(d, j, 60, want=3), "is there and is another")
    vocabulary(d, j, 60, "--kind", "words", "words.txt")
    has(vocabulary(d, j, 60, "words/", want=1), "cannot write words/: it is a folder, want the name of a file")
    has(vocabulary(d, j, 60, "none/words", want=1), "cannot write none/words: No such file")
    assert len(lines(d, "words.txt")) <= 60 and "好" in lines(d, "words.txt")
    train(d, j)
    assert scores(d)[-1]["accuracy"] > 0.9, scores(d)[-1]
    with open(f"{newest(d, 'run')}/checkpoint.json") as f:
        has(f.read().replace(" ", "").replace("\n", ""), '"classes":["neg","pos"]')


@case("a textcnn that is killed again and again ends with the bytes of the undisturbed run", "stopped")
def _(d):
    j = job(reviews(d), "textcnn", epochs=12, **TEXTCNN)
    vocabulary(d, j)
    train(d, j, rundir="whole")
    killed = 0
    for k in range(6):
        seen = newest(d, "cut")
        p = subprocess.Popen(trainer(d, put(d, j), rundir="cut", threads=1 + k % 2), cwd=d.root, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        wait_for(30, "another checkpoint", lambda: p.poll() is not None or newest(d, "cut") > seen)
        killed += p.poll() is None
        p.kill()
        p.wait()
    assert killed >= 3, f"{killed} of 6 were killed before they ended"
    train(d, j, rundir="cut", threads=2)
    eq(model(d, "cut"), model(d, "whole"), "the model")


@case("threads change no byte", "stopped")
def _(d):
    j = job(reviews(d, 100), "bert", epochs=2, **BERT)
    vocabulary(d, j)
    got = set()
    for n in (1, 2, 3):
        train(d, j, rundir=f"run{n}", threads=n)
        got.add(model(d, f"run{n}"))
    eq(len(got), 1, "models")


@case("pairs go through a bert that tells the texts apart", "stopped")
def _(d):
    # Which of the two texts has the word decides the label: without token types and with positions that are drawn
    # anew for each, it could still be learned; with them it must be.
    rnd = random.Random(9)
    rows = ["first\tsecond\tlabel"]
    for _ in range(400):
        a, b = sentence(rnd, OTHER), sentence(rnd, OTHER)
        side = rnd.random() < 0.5
        rows.append(f"{a + ' good' if side else a}\t{b if side else 'good ' + b}\t{'left' if side else 'right'}")
    write(d, "pairs.tsv", "\n".join(rows) + "\n")
    source = {"type": "text", "path": "pairs.tsv", "text": "first", "pair": "second", "label": "label", "length": 32,
              "tokenizer": {"type": "wordpiece", "vocabulary": "vocab.txt"}}
    j = job(source, "bert", epochs=6, **{**BERT, "positions": 32})
    vocabulary(d, j)
    has(train(d, j, want=3), "want model.separator: 3")
    j["model"]["separator"] = 3
    train(d, j)
    with_types = model(d)
    del j["model"]["separator"]
    j["model"]["token_types"] = 0
    train(d, j, rundir="without")
    assert with_types != model(d, "without")


@case("a vocabulary that changes is other data", "stopped")
def _(d):
    j = job(reviews(d, 60), "textcnn", epochs=2, **TEXTCNN)
    vocabulary(d, j)
    train(d, j)
    v = lines(d, "vocab.txt")
    write(d, "vocab.txt", "\n".join(v[:-2] + [v[-1], v[-2]]) + "\n")
    j["training"]["epochs"] = 3
    has(train(d, j, "--set", "training.schedule.on_resume=keep", want=4), "data")


@case("a vocabulary larger than the network's table is refused with both numbers", "stopped")
def _(d):
    j = job(reviews(d, 60), "textcnn", **{**TEXTCNN, "vocabulary": 50})
    vocabulary(d, j, 80)
    said = train(d, j, want=3)
    has(said, "its vocabulary has 80 tokens")
    has(said, "0 to 49")


@case("files that are a little wrong end in what a person would want", "stopped")
def _(d):
    v = write(d, "v.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    j = job({"type": "text", "path": "x.csv", "text": "text", "label": "label", "length": 8,
             "tokenizer": {"type": "wordpiece", "vocabulary": v}}, "textcnn", epochs=1,
            **{**TEXTCNN, "vocabulary": 7})
    good = "".join(f"{'a' if i % 2 else 'b'} {i},{i % 2}\n" for i in range(40))
    refused = {
        "a 名 b,1\n".encode("gb18030"): "line 42 is not utf-8",
        "caf\xe9,1\n".encode("latin-1"): "line 42 is not utf-8",
        b"\"open,1\n": "never closed",
        b"a,b,1\n": "line 42 has 3 columns, want 2",
        b"a\n": "line 42 has only 1 column",
        b"a,\n": "line 42 has no label",
        b"a\0,1\n": "line 42 has a NUL byte",
        b"a,nan\n": "line 42 has a label that is no finite number",
    }
    for i, (bad, says) in enumerate(refused.items()):
        write(d, "x.csv", b"text,label\n" + good.encode() + bad)
        said = train(d, j, want=3, rundir=f"bad{i}")
        has(said, says)
        has(said, "x.csv")
    taken = {
        b"\n\nb,0\n": "2 empty lines are left out",
        b",1\n": "1 text is empty",
        b"a,1,,\r\n": None,
        b"a,1": None,
    }
    for i, (odd, says) in enumerate(taken.items()):
        write(d, "x.csv", b"\xef\xbb\xbftext,label\n" + good.encode() + odd)
        said = train(d, j, rundir=f"odd{i}")
        if says is not None:
            has(said, says)
    write(d, "x y 名.csv", "text,label\n" + good)
    j["data"]["train"]["path"] = "x y 名.csv"
    train(d, j, rundir="name")
    write(d, "x.csv", b"")
    j["data"]["train"]["path"] = "x.csv"
    has(train(d, j, want=3, rundir="empty"), "is empty")


@case("the reviews of the shared folder are learned from files by class in their encoding", "stopped")
def _(d):
    folder = f"{SHARED}/data/text"
    if not os.path.exists(f"{folder}/rt-polarity.pos"):
        raise Skip(f"{folder} is not there")
    source = {"type": "text", "classes": {k: f"{folder}/rt-polarity.{k}" for k in ("neg", "pos")}, "length": 48,
              "tokenizer": {"type": "words", "vocabulary": "vocab.txt"}}
    j = job(source, "textcnn", epochs=1, **{**TEXTCNN, "vocabulary": 4000})
    j["training"]["batch_size"] = 128
    j["checkpoint"]["every"] = {"epochs": 1}
    vocabulary(d, j, 4000)
    train(d, j)
    assert scores(d)[-1]["accuracy"] > 0.5, scores(d)[-1]


run()
