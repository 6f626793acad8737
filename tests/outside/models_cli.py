#!/usr/bin/env python3
"""rekindle models, at a real daemon: versions, aliases, lineage, comparison, cards and files, as a person sees
them; of logs that others wrote, too."""
import fcntl
import hashlib
import http.server
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import types

from registry import Root
from t import BUILD, case, eq, has, limit, run, tiny

SPOKEN = "é\u202eevil\x1b[31m\nsecond line | `x` <b>"


def rk(d, *words, want=0, env=None):
    """rekindle models WORDS: stdout; of a refusal stderr."""
    p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "models", *words], capture_output=True,
                       timeout=limit(60), env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
    out, err = p.stdout.decode(), p.stderr.decode()
    eq(p.returncode, want, f"exit of models {words} ({out[-600:]} {err[-600:]})")
    return out if want == 0 else err


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Log(Root):
    """The log of one model in the state directory, as another machine may have written it, with the files."""

    def __init__(self, d, name):
        super().__init__(d)
        self.name = name

    def add(self, files=None, tensors=None, **record):
        files = {"model.safetensors": b"m" * 5000} if files is None else files
        ident = f"f{self.top.get(self.name, 0) + 1}"
        for name, data in {**files, "tensors.json": json.dumps({"tensors": tensors or []}).encode()}.items():
            self.to_folder(f"{self.name}/versions/{ident}/{name}", data)
        return self.version(self.name, **{
            "id": ident, "files": [{"name": n, "size": len(x), "sha256": sha(x)} for n, x in files.items()],
            "digest": sha(list(files.values())[0]), "bytes": sum(map(len, files.values())), **record})

    def gone(self, version):
        self.put(self.name, {"event": "deleted", "version": version})


# --- what is refused before a daemon is asked ------------------------------------------------

@case("a version that is none is a wrong use and says what is wanted")
def _(d):
    for word in "", "a b", "../x", "m@", "m/", "m@a@b", "m/1/2", ".m", "m" * 65, "model://":
        has(rk(d, "show", word, want=2), "want NAME/N, NAME@ALIAS, or NAME")
    has(rk(d, "show", "m/production", want=2), "an alias stands behind @")
    has(rk(d, "show", "m@7", want=2), "a number stands behind a slash")
    has(rk(d, "promote", "m", "production", want=2), "want NAME/N or NAME@ALIAS")
    has(rk(d, "delete", "m@production", want=2), "want NAME/N")
    has(rk(d, "pull", "m", d.root, "--format", "onnx", want=2), "want safetensors, paddle or pytorch")
    has(rk(d, "register", "m", "job", "--label", "=x", want=2), "want KEY=VALUE")
    has(rk(d, "nothing", want=2), "models has no verb \"nothing\"")
    has(rk(d, "show", "none/1", want=4), "none")
    eq(rk(d), "none\n", "no models")


@case("every verb of models has its help, which names its options")
def _(d):
    verbs = [w.split()[1] for w in rk(d, "--help").splitlines() if w.startswith("  models ")]
    eq(len(verbs), 12, "verbs")
    for v in verbs:
        out = rk(d, v, "--help")
        has(out, f"usage: rekindle models {v}")


# --- lineage ---------------------------------------------------------------------------------

def tensor(name, *shape):
    return {"name": name, "dtype": "F32", "shape": list(shape)}


def family(d):
    """tiles/1, which is deleted, of a file of others; tiles/2 of tiles/1 and of another model's version."""
    log = Log(d, "tiles")
    file = {"kind": "file", "address": "s3://others/resnet.pdparams", "sha256": "ab" * 32, "parents": []}
    four = {"kind": "job", "job": "01hzzzzzzzzzzzzzzzzzzzzzz1", "name": "four", "checkpoint": "step-000000010",
            "data": {"source": "line 7"}, "parents": [file]}
    one = {"kind": "version", "model": "tiles", "version": 1, "created_at": "2026-11-29T00:00:00.000Z", "author": "bo",
           "parents": [four]}
    other = {"kind": "version", "model": "others", "version": 9, "parents": []}
    six = {"kind": "job", "job": "01hzzzzzzzzzzzzzzzzzzzzzz2", "name": "six\u202e", "checkpoint": "step-000000020",
           "data": {}, "parents": [one, other]}
    log.add(lineage=four, classes=None, tensors=[tensor("x", 4), tensor("y", 1)],
            metrics={"val_accuracy": 0.5}, spec={"name": "four", "training": {"epochs": 60}},
            data={"train": {"digest": "a" * 64}, "validation": {"digest": "b" * 64}},
            per_class=[{"name": "crack", "recall": 0.5, "f1": 0.5}])
    log.add(lineage=six, classes=None, tensors=[tensor("x", 6), tensor("z")], notes=SPOKEN, labels={"team": "qa"},
            arch="resnet18", metrics={"val_accuracy": 0.75, "val_macro_f1": 0.7},
            spec={"name": "six", "training": {"epochs": 20}}, author="bo\u202e",
            data={"train": {"digest": "c" * 64}, "validation": {"digest": "b" * 64}},
            per_class=[{"name": "crack", "recall": 0.75, "f1": 0.5}, {"name": "fray", "recall": 1, "f1": 1}])
    log.move("tiles", "production", 2)
    return log


@case("a lineage is drawn as a tree to the first ancestor, with files of others and deleted versions")
def _(d):
    log = family(d)
    log.gone(1)
    out = rk(d, "lineage", "tiles@production").splitlines()
    eq(out[0], "tiles/2 (production), 2026-11-30 by bo???", "the version")
    eq(out[1], "└─ job six???, step-000000020", "its job")
    eq(out[2], "   ├─ tiles/1, 2026-11-29 by bo, deleted", "the version before")
    eq(out[3], "   │  └─ job four, step-000000010, on line 7", "the job before")
    eq(out[4], f"   │     └─ file s3://others/resnet.pdparams, sha256 {'ab' * 6}", "the first ancestor")
    eq(out[5], "   └─ others/9, of no log that is known here", "a version of elsewhere")
    plain = rk(d, "lineage", "model://tiles/2", env={"LC_ALL": "C"}).splitlines()
    eq(plain[2], "   |- tiles/1, 2026-11-29 by bo, deleted", "where there are no lines")
    eq(plain[3], "   |  `- job four, step-000000010, on line 7", "where there are no lines")
    tree = json.loads(rk(d, "lineage", "tiles", "--json"))
    eq(tree["version"], 2, "the newest")
    eq(tree["lineage"]["parents"][0]["parents"][0]["deleted"], True, "of the deleted one")


@case("a deleted version has a lineage and a card, and no files")
def _(d):
    log = family(d)
    log.gone(1)
    eq(rk(d, "lineage", "tiles/1").splitlines()[0], "tiles/1, 2026-11-30 by eva, deleted")
    has(rk(d, "card", "tiles/1"), "**This version was deleted.**")
    has(rk(d, "pull", "tiles/1", f"{d.root}/out", want=1), "deleted")
    assert not os.path.exists(f"{d.root}/out/version.json")


# --- comparison and card -----------------------------------------------------------------------

@case("two versions are compared by metrics, classes, data, tensors and jobs")
def _(d):
    family(d)
    out = rk(d, "compare", "tiles/1", "tiles@production")
    words = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("METRIC tiles/1 tiles/2 DIFFERENCE", "val_accuracy 0.5000 0.7500 +0.2500", "val_macro_f1 - 0.7000 -",
                 "training data: not the same", "validation data: the same",
                 "crack 0.5000 0.7500 +0.2500 0.5000 0.5000 +0.0000", "fray - 1 - - 1 -",
                 "tensors: 0 of the same shape, 1 of another, 1 only in tiles/1, 1 only in tiles/2", "x [4] -> [6]",
                 "y [1], only in tiles/1", "z [], only in tiles/2", "training.epochs 60 20"):
        assert line in words, (line, out)
    c = json.loads(rk(d, "compare", "tiles/1", "tiles/2", "--json"))
    eq(c["same_data"][0]["metrics"][0], {"metric": "accuracy", "a": 0.5, "b": 0.75, "difference": 0.25}, "same data")
    has(rk(d, "compare", "tiles/1", "tiles/7", want=4), "7")
    has(rk(d, "compare", "tiles/1", "nobody", want=4), "nobody")


@case("a card is Markdown in which others' words are words, and says what is not recorded")
def _(d):
    family(d)
    card = rk(d, "card", "tiles")
    for part in ("# tiles, version 2\n", "**Aliases:** `production`", "**Author:** bo???\n", "`team=qa`",
                 "**Architecture:** `resnet18`", "**Classes:** not recorded", "| `val_accuracy` | 0.75 |",
                 "| `crack` | - | - | 0.75 | 0.5 |", "rekindle predict model://tiles/2", "torch.load(\"DIR/model.pt\")",
                 "paddle.load(\"DIR/model.pdparams\")", "| `model.safetensors` | 5,000 |",
                 "`s3://others/resnet.pdparams`"):
        has(card, part)
    has(card, "> é???evil?\\[31m\n>\n> second line \\| \\`x\\` \\<b\\>\n")
    r = d.get("/v1/models/tiles/versions/2/card")
    eq(r.headers["Content-Type"], "text/markdown; charset=utf-8", "type of a card")
    eq(json.loads(rk(d, "card", "tiles/2", "--json"))["card"], card, "the card in JSON")


def on_terminal(d, columns, *words):
    """What a terminal of so many columns gets."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    p = subprocess.Popen([f"{BUILD}/rekindle", "--server", d.url, "models", *words], stdout=its, stderr=its)
    os.close(its)
    got = b""
    try:
        while more := os.read(ours, 65536):
            got += more
    except OSError:             # it has gone
        pass
    os.close(ours)
    eq(p.wait(limit(20)), 0, f"exit of {words}")
    return got.decode().replace("\r\n", "\n")


@case("tables end where the terminal does, whatever the letters are, and files get all of them")
def _(d):
    note = "Risse 裂纹 " * 30
    log = Log(d, "m")
    log.add(notes=note, author="安娜")
    log.move("m", "production", 1, note=note)
    for words in ["list", "m"], ["history", "m", "production"]:
        lines = on_terminal(d, 120, *words).splitlines()
        assert len(lines) == 2 and "裂纹" in lines[1], lines
        wide = [sum(2 if ord(c) > 0x2000 else 1 for c in line) for line in lines]
        assert 110 < wide[1] <= 120, (wide, lines)
        has(rk(d, *words), note.strip())
    # Columns stand below each other.
    head, row = on_terminal(d, 120, "list", "m").splitlines()
    eq(head.index("MADE"), re.search(r"\d+ \w+ ago", row).start() + len("安娜"), "where MADE stands")


# --- files -------------------------------------------------------------------------------------

def hidden(folder):
    return sorted(n for n in os.listdir(folder) if n.startswith("."))


@case("pull writes the files of a version whole, with its record, and replaces nothing unasked")
def _(d):
    log, out = Log(d, "m"), f"{d.root}/out/deep"
    files = {"model.safetensors": os.urandom(300000), "checkpoint.json": b"{}", "optimizer.safetensors": b"o" * 70}
    log.add(files)
    log.add({"model.safetensors": b"another"})
    said = rk(d, "pull", "m/1", out)
    for name, data in files.items():
        has(said, f"{out}/{name}  ")
        with open(f"{out}/{name}", "rb") as f:
            assert f.read() == data, name
    with open(f"{out}/version.json") as f:
        v = json.load(f)
    eq((v["id"], v["version"], "aliases" in v, "as_of" in v), ("f1", 1, False, False), "version.json")
    eq(hidden(out), [], "temporary files")
    # Once more: all is there.  Another version: it is not.
    has(rk(d, "pull", "m/1", out), "was there already")
    has(rk(d, "pull", "m/2", out, want=1), "model.safetensors is there already, with other bytes; --force replaces it")
    with open(f"{out}/model.safetensors", "rb") as f:
        eq(sha(f.read()), sha(files["model.safetensors"]), "what stays")
    r = json.loads(rk(d, "pull", "m", out, "--force", "--json"))
    eq((r["model"], r["version"]), ("m", 2), "what was pulled")
    eq(r["files"], [{"name": "model.safetensors", "size": 7, "sha256": sha(b"another"), "was_there": False}], "files")
    with open(f"{out}/model.safetensors", "rb") as f:
        eq(f.read(), b"another", "what replaced it")


@case("a pull that was broken off goes on where it was, and does not trust what is there")
def _(d):
    log, out = Log(d, "m"), f"{d.root}/out"
    data = os.urandom(400000)
    log.add({"model.safetensors": data})
    os.makedirs(out)
    temp = ".rk-tmp-" + sha(f"model.safetensors {sha(data)}".encode())[:16]
    with open(f"{out}/{temp}", "wb") as f:
        f.write(data[:150000])
    rk(d, "pull", "m/1", out)
    with open(f"{out}/model.safetensors", "rb") as f:
        assert f.read() == data
    os.remove(f"{out}/model.safetensors")
    with open(f"{out}/{temp}", "wb") as f:
        f.write(b"x" * 1000)
    has(rk(d, "pull", "m/1", out, want=1), "came with other bytes than its record says: sha256 ")
    assert not os.path.exists(f"{out}/model.safetensors")
    rk(d, "pull", "m/1", out)
    with open(f"{out}/model.safetensors", "rb") as f:
        assert f.read() == data
    eq(hidden(out), [], "temporary files")


class Cutting(http.server.BaseHTTPRequestHandler):
    """A daemon of one version, whose connections break behind `piece` bytes of a file."""
    protocol_version, data, piece, ranges, etags, known = "HTTP/1.1", b"", 0, [], [], True
    name, sum = "model.safetensors", ""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if "/files/" not in self.path:
            record = {"model": "m", "version": 1, "id": "f1", "files": [
                {"name": self.name, "size": len(self.data), "sha256": self.sum or sha(self.data)}]
                if self.known else []}
            return self.answer(200, json.dumps(record).encode(), {})
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        at = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
        etag = self.etags[min(len(self.ranges), len(self.etags)) - 1]
        more = {"Content-Range": f"bytes {at}-{len(self.data) - 1}/{len(self.data)}"} if asked else {}
        self.answer(206 if asked else 200, self.data[at:], {"ETag": f'"{etag}"', **more}, self.piece)

    def answer(self, status, body, headers, piece=1 << 30):
        self.send_response(status)
        for k, v in {"Content-Length": len(body), **headers}.items():
            self.send_header(k, str(v))
        self.end_headers()
        self.wfile.write(body[:piece])
        self.wfile.flush()
        self.close_connection = True


def cutting(**what):
    """Where such a daemon is, and what it was asked for."""
    handler = type("Handler", (Cutting,), {"ranges": [], "etags": ["a"], **what})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return types.SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", handler=handler, stop=server.shutdown)


@case("a pull over a connection that breaks again and again asks for each byte once", "stopped")
def _(d):
    s = cutting(data=os.urandom(500000), piece=120000)
    rk(s, "pull", "m", f"{d.root}/out")
    s.stop()
    with open(f"{d.root}/out/model.safetensors", "rb") as f:
        assert f.read() == s.handler.data
    eq(s.handler.ranges, [None] + [f"bytes={120000 * i}-" for i in (1, 2, 3, 4)], "what was asked for")


@case("the rest of other bytes is not put behind the first ones", "stopped")
def _(d):
    s = cutting(data=os.urandom(300000), piece=200000, known=False, etags=["a", "b"])
    rk(s, "pull", "m", f"{d.root}/out", "--format", "safetensors")
    s.stop()
    with open(f"{d.root}/out/model.safetensors", "rb") as f:
        assert f.read() == s.handler.data
    eq(s.handler.ranges, [None, "bytes=200000-", None, "bytes=200000-"], "what was asked for")


@case("what comes with another digest than the record has gets no name", "stopped")
def _(d):
    s = cutting(data=b"wrong", piece=100, sum=sha(b"right"))
    has(rk(s, "pull", "m", f"{d.root}/out", want=1), f"sha256 {sha(b'wrong')}, want {sha(b'right')}")
    s.stop()
    eq(os.listdir(f"{d.root}/out"), [], "files")


@case("a record that names files outside of the folder is refused", "stopped")
def _(d):
    for name in "../evil", "/etc/evil", ".hidden", "a/b", "", "x" * 200, "a\nb":
        s = cutting(data=b"x", piece=100, name=name)
        has(rk(s, "pull", "m", f"{d.root}/out", want=1), "which is none of a version")
        s.stop()
    assert not os.path.exists(f"{d.root}/evil") and not os.path.exists(f"{d.root}/out")


@case("bytes that are not those of the record are not taken for the version's")
def _(d):
    log, out = Log(d, "m"), f"{d.root}/out"
    log.add({"model.safetensors": b"right"})
    with open(f"{log.folder}/m/versions/f1/model.safetensors", "wb") as f:
        f.write(b"wrong")
    rk(d, "pull", "m/1", out, want=1)
    assert not os.path.exists(f"{out}/model.safetensors") and not os.path.exists(f"{out}/version.json")
    os.remove(f"{log.folder}/m/versions/f1/model.safetensors")
    has(rk(d, "pull", "m/1", f"{d.root}/other", want=1), "No such file")
    eq(os.listdir(f"{d.root}/other"), [], "files")


@case("a record whose model is none of its files is told as that, and the daemon stays")
def _(d):
    log = Log(d, "m")
    log.add({"model.safetensors": b"right"}, digest="0" * 64)
    for _ in range(3):
        has(rk(d, "pull", "m/1", f"{d.root}/out", want=1), "no file with the digest of its model")
    assert d.alive()


# --- with real jobs ----------------------------------------------------------------------------

def trained(d, name, **more):
    i = d.submit(tiny(d, name, metadata={"author": "ana", "data_source": "line 7"}, **more))
    d.wait_state(i, "succeeded")
    return i


@case("versions are registered, promoted, rolled back, found, listed and deleted")
def _(d):
    trained(d, "first", epochs=2)
    trained(d, "second", epochs=4)
    eq(rk(d, "register", "tiny", "first", "--alias", "production", "--notes", SPOKEN, "--label", "team=qa",
          "--author", "bo"), "tiny/1  production\n", "said of the first")
    v = json.loads(rk(d, "register", "tiny", "second/latest", "--json"))
    eq(v["version"], 2, "number of the second")
    has(rk(d, "register", "tiny", "second/no-such", want=1), "no-such")
    has(rk(d, "register", "tiny", "nobody", want=4), "nobody")
    eq(rk(d, "promote", "tiny/2", "production", "--note", "a try"), "tiny@production is version 2, was 1\n", "promote")
    eq(rk(d, "promote", "tiny/2", "production"), "tiny@production is version 2 already\n", "promote again")
    eq(rk(d, "rollback", "tiny", "production"), "tiny@production is version 1, was 2\n", "rollback")
    has(rk(d, "rollback", "tiny", "production", want=1), "before")
    eq(rk(d, "promote", "tiny/2", "candidate"), "tiny@candidate is version 2\n", "another alias")
    eq(rk(d, "promote", "tiny@candidate", "production"), "tiny@production is version 2, was 1\n", "forth again")
    out = rk(d, "history", "tiny", "production")
    words = [" ".join(x.split()) for x in out.splitlines()]
    has(words[1], "production: 1 -> 2")
    has(words[2], "production: 2 -> 1 (rollback)")
    has(words[3], "production: 1 -> 2")
    has(words[3], "a try")
    has(rk(d, "history", "tiny"), "version 2")
    out = rk(d, "list", "tiny")
    has(out, "tiny/2")
    has(out, "é?evil?[31m second line | `x` <b>" if "é?evil" in out else "é???evil?[31m second line | `x` <b>")
    assert "\x1b" not in out and "\u202e" not in out, out
    has(rk(d), "candidate=2,production=2")
    out = rk(d, "search", "--metric", "val_accuracy>=0", "--author", "bo", "--label", "team=qa", "--sort",
             "-val_accuracy")
    assert "tiny/1" in out and "tiny/2" not in out, out
    eq(rk(d, "search", "tiny", "--metric", "val_accuracy>1"), "none\n", "none")
    out = rk(d, "show", "tiny@production")
    has(out, "classes      0, 1, 2" if "classes      0" in out else "version      tiny/2")
    has(out, "data         line 7")
    has(rk(d, "delete", "tiny/2", want=1), "production")
    eq(rk(d, "delete", "tiny/1"), "tiny/1 deleted; its record stays\n", "delete")
    has(rk(d, "list", "tiny"), "tiny/2")
    has(rk(d, "show", "tiny/1"), "deleted      its files are gone")


@case("a version comes in the format that is asked for")
def _(d):
    trained(d, "job", epochs=1)
    rk(d, "register", "tiny", "job")
    out = f"{d.root}/out"
    for form, name in ("paddle", "model.pdparams"), ("pytorch", "model.pt"), ("safetensors", "model.safetensors"):
        has(rk(d, "pull", "tiny", out, "--format", form), f"{out}/{name}  ")
        assert os.path.getsize(f"{out}/{name}") > 500, name
    eq(sorted(os.listdir(out)), ["model.pdparams", "model.pt", "model.safetensors", "version.json"], "files")
    # What a daemon makes has no digest before: it is not replaced.
    has(rk(d, "pull", "tiny", out, "--format", "pytorch", want=1), "model.pt is there already")


@case("every verb prints JSON for programs when asked")
def _(d):
    trained(d, "job", epochs=1)
    for words in (["register", "tiny", "job", "--alias", "a"], ["register", "tiny", "job/latest"], [], ["list"],
                  ["list", "tiny"], ["show", "tiny"], ["search"], ["promote", "tiny/2", "a"], ["rollback", "tiny", "a"],
                  ["history", "tiny"], ["history", "tiny", "a"], ["lineage", "tiny"], ["compare", "tiny/1", "tiny/2"],
                  ["card", "tiny"], ["pull", "tiny@a", f"{d.root}/x"], ["delete", "tiny/2"]):
        json.loads(rk(d, *words, "--json"))


run()
