#!/usr/bin/env python3
"""Texts as data: vocabularies, CSV and TSV and files by class, pairs, masks, buckets, kills, more texts than there is
memory, what is predicted of them, and files that are a little wrong."""
import glob
import hashlib
import json
import math
import os
import random
import struct
import subprocess

from t import BUILD, SANITIZED, SHARED, Skip, case, eq, has, limit, run, wait_for

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


def ask(d, j, *args, want=0):
    """The lines of --predict or the object of --evaluate."""
    p = subprocess.run([f"{BUILD}/rekindle-train", *args[:2], put(d, j), *args[2:]], cwd=d.root, capture_output=True,
                       text=True, timeout=limit(60))
    eq(p.returncode, want, f"exit ({p.stderr[-700:]})")
    return [json.loads(x) for x in p.stdout.splitlines()] if args[0] == "--predict" else json.loads(p.stdout)


def killed(d, j, rundir, times=6):
    """Train it to the end, killed on the way with other threads each time."""
    kills = 0
    for k in range(times):
        seen = newest(d, rundir)
        p = subprocess.Popen(trainer(d, put(d, j), "--set", f"data.threads={1 + 3 * k % 8}", rundir=rundir,
                                     threads=1 + k % 2), cwd=d.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(30, "another checkpoint", lambda: p.poll() is not None or newest(d, rundir) > seen)
        kills += p.poll() is None
        p.kill()
        p.wait()
    assert kills >= times // 2, f"{kills} of {times} were killed before they ended"
    train(d, j, rundir=rundir, threads=2)


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
    killed(d, j, "cut")
    eq(model(d, "cut"), model(d, "whole"), "the model")


def masked(j, p):
    return {**j, "data": {**j["data"], "transforms": {"train": [{"type": "random_mask", "p": p}]}}}


@case("masked tokens are the same after kills, train another network, and are absent in validation", "stopped")
def _(d):
    j = job(reviews(d), "textcnn", epochs=12, **TEXTCNN)
    vocabulary(d, j)
    train(d, j, rundir="plain")
    some = masked(j, 0.2)
    train(d, some, rundir="whole")
    killed(d, some, "cut", times=4)
    eq(model(d, "cut"), model(d, "whole"), "the model")
    assert model(d, "whole") != model(d, "plain"), "masks change nothing"
    assert scores(d, "whole")[-1]["accuracy"] > 0.9, scores(d, "whole")[-1]
    # What is scored is not masked: neither by a job with masks nor by one without.
    got = [ask(d, x, "--evaluate", newest(d, "whole"))["loss"] for x in (j, some, masked(j, 1))]
    eq(len(set(got)), 1, f"losses {got}")
    # And where all is masked there is nothing to learn.
    train(d, masked(j, 1), rundir="blind")
    assert scores(d, "blind")[-1]["accuracy"] < 0.8, scores(d, "blind")[-1]


# --- more than there is memory ------------------------------------------------------------

@case("texts of 20 times the memory that a job may have are trained on", "stopped")
def _(d):
    memory, length, n = 40, 4096, 52000              # MiB, tokens, texts
    assert n * length * 4 > 20 * memory << 20, "too few"
    rnd = random.Random(3)
    words = [" ".join(rnd.choice(GOOD + BAD + OTHER) for _ in range(60)) for _ in range(50)]
    with open(f"{d.root}/long.tsv", "w", encoding="utf-8") as f:
        f.writelines(f"{i} {words[i % 50]}\t{i % 3}\n" for i in range(n))
    j = job({"type": "text", "path": "long.tsv", "text": 0, "label": 1, "length": length, "tokenizer": "bytes"}, "textcnn",
            **{**TEXTCNN, "vocabulary": 259, "width": 4, "filters": 2, "kernels": [2], "classes": 3})
    j["resources"] = {"threads": 1, "memory": f"{memory}MiB"}
    j["data"].update({"threads": 2, "validation_split": 0.002})
    del j["training"]["epochs"]
    j["training"].update({"steps": 150, "batch_size": 8})
    j["checkpoint"]["every"] = {"steps": 100}
    p = subprocess.Popen(trainer(d, put(d, j)), cwd=d.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    eq(p.returncode, 0, f"exit of rekindle-train ({p.stderr.read()[-800:]})")
    print(f"    {used.ru_maxrss >> 10} MiB at most, of {memory}", flush=True)
    if not SANITIZED:           # sanitizers have memory of their own
        assert used.ru_maxrss <= memory << 10, f"{used.ru_maxrss >> 10} MiB"


# --- buckets ------------------------------------------------------------------------------

def bucketed(d, arch, **kw):
    source = {**reviews(d), "buckets": [7, 11]}
    return job(source, arch, **kw)


@case("buckets give the same bytes on any threads and after kills, and others than none", "stopped")
def _(d):
    j = bucketed(d, "bert", epochs=3, **BERT)
    vocabulary(d, j)
    train(d, j, rundir="whole")
    for n in (2, 3):
        train(d, j, "--set", f"data.threads={2 * n}", rundir=f"run{n}", threads=n)
        eq(model(d, f"run{n}"), model(d, "whole"), f"the model, {n} threads")
    killed(d, j, "cut", times=4)
    eq(model(d, "cut"), model(d, "whole"), "the model, after kills")
    assert scores(d, "whole")[-1]["accuracy"] > 0.9, scores(d, "whole")[-1]
    # 540 samples or so, in 17 batches and what each of three buckets has left over.
    steps = int(newest(d, "whole")[-9:])
    assert 3 * 17 <= steps <= 3 * 20, steps
    plain = job(reviews(d), "bert", epochs=3, **BERT)
    train(d, plain, rundir="plain")
    assert model(d, "plain") != model(d, "whole")
    # Other bounds are another job: the order of its batches is another.
    j["data"]["train"]["buckets"] = [8, 11]
    j["training"]["epochs"] = 4
    has(train(d, j, "--set", "training.schedule.on_resume=keep", rundir="whole", want=4), "data")


@case("an ancestor is asked of texts of every length, and answers as the network that was it", "stopped")
def _(d):
    j = bucketed(d, "bert", epochs=2, **{**BERT, "dropout": 0})
    vocabulary(d, j)
    train(d, j)
    last = sorted(glob.glob(f"{d.root}/run/checkpoints/step-*"))[-1]
    j["name"] = "kept"
    j["model"]["checkpoint"] = f"{last}/model.safetensors"
    # A step that moves nothing; parts of steps, too.
    j["training"].update(epochs=1, distill={"weight": 0.5}, micro_batch_size=12, optimizer={"type": "sgd",
                         "learning_rate": 1e-30})
    train(d, j, rundir="kept")
    with open(f"{d.root}/kept/metrics.jsonl") as f:
        m = [x for x in map(json.loads, f) if x["split"] == "train" and x["over"] == "epoch"]
    assert 0 <= m[0]["distill_loss"] < 1e-9 < m[0]["task_loss"], m


@case("what is scored and predicted in buckets has its place, and is what a network of that length says", "stopped")
def _(d):
    j = bucketed(d, "textcnn", epochs=2, dropout=0, **TEXTCNN)
    vocabulary(d, j)
    train(d, j)
    of = ask(d, j, "--evaluate", newest(d, "run"), "--logits", f"{d.root}/l.npy")
    raw = open(f"{d.root}/l.npy", "rb").read()
    n = of["samples"]
    logits = struct.unpack(f"<{2 * n}f", raw[-8 * n:])
    got = ask(d, j, "--predict", newest(d, "run"))
    eq(sorted(x["row"] for x in got), list(range(n)), "rows")
    for x in got:
        a, b = logits[2 * x["row"]:2 * x["row"] + 2]
        eq(x["class"], int(b > a), f"class of row {x['row']}")
        assert abs(x["probability"] - 1 / (1 + math.exp(-abs(a - b)))) < 1e-5, (x, a, b)
    eq(sum(x["class"] == x["label"] for x in got) / n, of["accuracy"], "accuracy")
    # Texts in a file keep their order, and each is padded as its bucket is.
    rnd = random.Random(8)
    texts = [sentence(rnd, rnd.choice((GOOD, BAD))) for _ in range(40)]
    write(d, "ask.txt", "".join(x + "\n" for x in texts))
    all_of_them = ask(d, j, "--predict", newest(d, "run"), "ask.txt")
    eq([x["line"] for x in all_of_them], list(range(1, 41)), "lines")
    for length in (7, 11, 16):
        short = job({**reviews(d), "length": length}, "textcnn", dropout=0, **TEXTCNN)
        alone = ask(d, short, "--predict", f"{newest(d, 'run')}/model.safetensors", "ask.txt")
        for text, x, y in zip(texts, all_of_them, alone):
            tokens = len(text.split()) + 2
            if (7 if tokens <= 7 else 11 if tokens <= 11 else 16) == length:
                assert abs(x["probability"] - y["probability"]) < 1e-6 and x["class"] == y["class"], (text, x, y)


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


@case("texts that change are found, and named by file and line", "stopped")
def _(d):
    j = job(reviews(d, 60), "textcnn", epochs=2, **TEXTCNN)
    j["data"].pop("validation_split")
    vocabulary(d, j)
    train(d, j)
    text = lines(d, "pos.txt")
    text[16] = "another " + text[16]
    write(d, "pos.txt", "\n".join(text) + "\n")
    j["training"]["epochs"] = 3
    more = ("--set", "training.schedule.on_resume=keep")
    said = train(d, j, *more, want=4)
    has(said, "the data has changed")
    has(said, "pos.txt: line 17")
    train(d, j, *more, "--accept", "data")
    # While it trains: the next time that the text is read.
    j["training"]["epochs"] = 4000
    p = subprocess.Popen(trainer(d, put(d, j), rundir="long"), cwd=d.root, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    wait_for(30, "a checkpoint", lambda: newest(d, "long"))
    with open(f"{d.root}/neg.txt", "r+b") as f:
        f.write(b"~")
    err = p.communicate(timeout=limit(60))[1]
    eq(p.returncode, 4, f"exit ({err[-500:]})")
    has(err, "neg.txt: line 1 ")


@case("texts in files are predicted by the job's tokenizer, without its data", "stopped")
def _(d):
    source = reviews(d)
    rows = [(x, k) for k in ("neg", "pos") for x in lines(d, f"{k}.txt")]
    write(d, "all.tsv", "text\tlabel\n" + "".join(f"{x}\t{k}\n" for x, k in rows))
    columns = {**source, "path": "all.tsv", "text": "text", "label": "label"}
    del columns["classes"]
    j = job(columns, "textcnn", **TEXTCNN)
    vocabulary(d, j)
    train(d, j)
    at = newest(d, "run")
    write(d, "a b 好.txt", "a good film , 好\n\nand a bad , dull one\nnothing-that-it-knows\n")
    write(d, "x.csv", 'id,text\n1,"a lovely , superb film"\n2,awful\n')
    write(d, "y.TSV", "text\tlabel\nsuperb\tneg\nboring\tneg\t\n")
    os.rename(f"{d.root}/all.tsv", f"{d.root}/gone.tsv")
    got = ask(d, j, "--predict", at, "a b 好.txt", "x.csv", "y.TSV")
    eq([(x["input"], x["row"], x["line"]) for x in got],
       [("a b 好.txt", 0, 1), ("a b 好.txt", 1, 3), ("a b 好.txt", 2, 4), ("x.csv", 0, 2), ("x.csv", 1, 3),
        ("y.TSV", 0, 2), ("y.TSV", 1, 3)], "what lines are of")
    eq([x["name"] for x in got if x["row"] < 2], ["pos", "neg"] * 3, "classes")
    assert all(0.5 <= x["probability"] <= 1 and len(x["top"]) == 2 for x in got), got
    # What cannot be read is said, and all else is predicted.
    write(d, "empty.txt", "")
    write(d, "latin.txt", "caf\xe9\n", "latin-1")
    write(d, "other.csv", "id,words\n1,good\n")
    got = ask(d, j, "--predict", at, "empty.txt", "latin.txt", "other.csv", "none.txt", "a b 好.txt", want=1)
    for x, says in zip(got, ("empty.txt: has no texts", "latin.txt: line 1 is not utf-8",
                             'other.csv: has no column "text" for the text; it has "id", "words"',
                             "none.txt: there is no such file")):
        has(x["error"], says)
    eq(len(got), 7, "lines")
    # Another vocabulary is not the one that it was trained with.
    v = lines(d, "vocab.txt")
    write(d, "vocab.txt", "\n".join(v[:-2] + [v[-1], v[-2]]) + "\n")
    has(ask(d, j, "--predict", at, "x.csv", want=1)[0]["error"], "the checkpoint is of another tokenizer")


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
    write(d, "x.csv", b"text,label\n\n")
    has(train(d, j, want=3, rundir="header"), "has no texts behind its header")


@case("classes that are wrong and encodings that are right end in what a person would want", "stopped")
def _(d):
    j = job(reviews(d, 60), "textcnn", epochs=1, **TEXTCNN)
    vocabulary(d, j)
    # A class without a text; one class alone.
    write(d, "none.txt", "\n \n")
    j["data"]["train"]["classes"]["none"] = "none.txt"
    has(train(d, j, want=3, rundir="a"), "none.txt: has no texts")
    j["data"]["train"]["classes"] = {"neg": "neg.txt"}
    has(train(d, j, rundir="b"), 'all labels are \"neg\": there is nothing to tell apart')
    # Words that no vocabulary has are [UNK], and nothing is refused.
    write(d, "zz.txt", "zzz qqq\n" * 20)
    j["data"]["train"]["classes"] = {"neg": "neg.txt", "zz": "zz.txt"}
    train(d, j, rundir="c")
    # Latin-1 with a tab too many, said and not said.
    tsv = "".join(f"caf\xe9 {i} {'good' if i % 2 else 'bad'}\t{i % 2}\t\n" for i in range(60)).encode("latin-1")
    write(d, "l.tsv", tsv)
    j["data"]["train"] = {"type": "text", "path": "l.tsv", "text": 0, "label": 1, "length": 8,
                          "tokenizer": {"type": "wordpiece", "vocabulary": "vocab.txt"}}
    has(train(d, j, want=3, rundir="d"), "l.tsv: line 1 is not utf-8: say another encoding")
    j["data"]["train"]["encoding"] = "latin-1"
    train(d, j, rundir="e")
    write(d, "l.tsv", "x\t1\n".encode("utf-16"))
    has(train(d, j, want=3, rundir="f"), "begins with the byte order mark of UTF-16")
    # Validation: a class that training does not have; a class of training that it does not have.
    write(d, "t.tsv", "good\tpos\nbad\tneg\n" * 20)
    write(d, "v.tsv", "good\tpos\nso\tneutral\n")
    j["data"] = {"train": {**j["data"]["train"], "path": "t.tsv"}, "validation": {"type": "text", "path": "v.tsv"}}
    said = train(d, j, want=3, rundir="g")
    has(said, 'v.tsv: has 1 class that')
    has(said, '"neutral"')
    write(d, "v.tsv", "good\tpos\n")
    train(d, j, rundir="h")


@case("the reviews of the shared folder are learned from files by class in their encoding", "stopped")
def _(d):
    folder = f"{SHARED}/data/text"
    if not os.path.exists(f"{folder}/rt-polarity.pos"):
        raise Skip(f"{folder} is not there")
    source = {"type": "text", "classes": {k: f"{folder}/rt-polarity.{k}" for k in ("neg", "pos")}, "length": 48,
              "tokenizer": {"type": "words", "vocabulary": "vocab.txt"}}
    j = job(source, "textcnn", epochs=4, **{**TEXTCNN, "vocabulary": 4000})
    j["training"].update({"batch_size": 128, "optimizer": {"type": "adam", "learning_rate": 0.01}})
    j["checkpoint"]["every"] = {"epochs": 1}
    vocabulary(d, j, 4000)
    train(d, j)
    assert scores(d)[-1]["accuracy"] > 0.6, scores(d)[-1]


run()
