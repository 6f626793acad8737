#!/usr/bin/env python3
"""Folders, lists, archives and files that are a little wrong, as people have them: each trains and says what is odd, or
ends in one sentence that names the file, what is wrong with it and what was wanted."""
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import zlib

import pictures
from pictures import GIF, sample, write
from t import BUILD, case, eq, has, limit, run, wait_for

WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00" + bytes(24)


def good(d, classes=("cats", "dogs"), each=4, name="in"):
    pictures.folder(f"{d.root}/{name}", classes, each, w=9, h=7)
    return f"{d.root}/{name}"


def job_of(path, outputs=2, source=None, **data):
    return {"name": "wrong", "resources": {"threads": 1, "memory": "512MiB"},
            "model": {"input": [3, 8, 8], "layers": ["flatten", {"type": "linear", "out": outputs}]},
            "training": {"epochs": 1, "batch_size": 5, "optimizer": {"type": "sgd", "learning_rate": 0.1}},
            "data": {"train": {"type": "image_folder", "path": path, "size": 8, **(source or {})}, **data},
            "checkpoint": {"every": {"epochs": 1}}}


def said_by(d, *args, want=0, program=f"{BUILD}/rekindle-train", **how):
    p = subprocess.run([program, *args], capture_output=True, text=True, cwd=d.root, timeout=limit(60), **how)
    eq(p.returncode, want, f"exit of {args} ({p.stdout[-300:]} {p.stderr[-900:]})")
    return p.stdout + p.stderr


def put(d, job):
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    return "job.json"


def trains(d, job, *words, samples=None, broken=0):
    """It does, and both a run and a look at the data say these words."""
    shutil.rmtree(f"{d.root}/run", ignore_errors=True)
    said = said_by(d, "--run-dir", "run", put(d, job))
    seen = said_by(d, "--data", "job.json", "--samples", "99", "sheet.png")
    for w in words:
        has(said, w)
        has(seen, w)
    with open(f"{d.root}/run/metrics.jsonl") as f:
        last = [json.loads(line) for line in f][-1]
    eq(last.get("broken", 0), broken, "broken samples in the metrics")
    if samples is not None:
        has(seen, f"data.train: {samples} samples")
    return said, seen


def refused(d, job, *words, look=True):
    """By a run and by a look, in one line that has these words."""
    shutil.rmtree(f"{d.root}/run", ignore_errors=True)
    ways = [("--run-dir", "run", put(d, job))]
    if look:
        ways.append(("--data", "job.json", "--samples", "99", "sheet.png"))
    for args in ways:
        lines = said_by(d, *args, want=3).splitlines()
        assert any(all(w in x for w in words) for x in lines), f"no line of {lines} has {words}"


# --- names ---------------------------------------------------------------------------------

@case("names of every kind are read, and what is no image is counted", "stopped")
def _(d):
    path = good(d, ["a cat", "\u732b \"x\"", "\u00e9t\u00e9"], each=2)
    rgb, odd = sample("png", "rgb"), f"{path}/a cat"
    for name in ("new\nline.png", "tab\t.PNG", "'quo\"te\".jpg", "UPPER.JPG", "Upper.JPEG", "\u56fe \u7247.png", "-rf.png",
                 "deep/er/still/x.png", "100%s%n.png"):
        write(f"{odd}/{name}", rgb)
    write(os.fsencode(f"{odd}/latin ").decode() + "\udce9.png", rgb)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.jpg"):
        write(f"{odd}/{name}", b"\0\0\0\1Bud1")
    write(f"{path}/__MACOSX/a cat/._x.jpg", b"\0\5\x16\7")
    for name in ("a.webp", "notes.txt", "noending"):
        write(f"{odd}/{name}", WEBP)
    write(f"{path}/loose.png", rgb)
    trains(d, job_of(path, 3), "8 files were passed over: 5 hidden, 3 without the ending of an image", "the first a cat/",
           "1 image is beside the class folders, in none of them, and not used", samples=16)
    # Once more, and it goes on: what it knows of these names is what it knew.
    job = job_of(path, 3)
    job["training"]["epochs"] = 2
    has(said_by(d, "--run-dir", "run", put(d, job)), "goes on from")
    # A name with a line in it makes no second line.
    write(f"{odd}/new\nline.png", GIF)
    refused(d, job, "a cat/new", "line.png: is a GIF, want a JPEG or a PNG; data.broken: skip")


@case("a class is not called what nobody can write", "stopped")
def _(d):
    for name in ("two\nlines", "\udcff\udcfe"):
        path = good(d, ["cats", "dogs"])
        write(f"{path}/{name}/a.png", sample("png", "rgb"))
        refused(d, job_of(path, 3), f"{path}: the class \"", "has a name that is no UTF-8, or has control characters in it")
        shutil.rmtree(path)


@case("classes whose names are nearly the same are said", "stopped")
def _(d):
    path = good(d, ["Cats", "cats", "dogs", "dogs "], each=2)
    trains(d, job_of(path, 4), '"Cats" and "cats", "dogs" and "dogs " are different classes whose names differ in capitals '
           "or blanks alone")


@case("classes that are empty, alone, or not there are said", "stopped")
def _(d):
    path = good(d)
    os.makedirs(f"{path}/birds/none")
    write(f"{path}/birds/none/read.me", b"later")
    trains(d, job_of(path, 3), '1 of 3 classes has no image: "birds"', samples=8)
    alone = good(d, ["cats"], name="alone")
    trains(d, job_of(alone), 'all labels are "cats": there is nothing to tell apart')
    write(f"{d.root}/flat/a.png", sample("png", "rgb"))
    refused(d, job_of(f"{d.root}/flat"), f"{d.root}/flat: has no class folders, but images beside each other: want "
            "FOLDER/CLASS/IMAGE")
    os.makedirs(f"{d.root}/hollow/cats")
    refused(d, job_of(f"{d.root}/hollow"), "has 1 class folder and no image in it")
    refused(d, job_of(f"{d.root}/gone"), f"{d.root}/gone: there is no such file")
    write(f"{d.root}/file", b"no tar")
    refused(d, job_of(f"{d.root}/file"), f"{d.root}/file: is too short for a tar (want a folder, or a tar of one)")


@case("validation has classes of training alone, and may have fewer", "stopped")
def _(d):
    path = good(d, ["birds", "cats", "dogs"])
    fewer, more = good(d, ["cats"], name="fewer"), good(d, ["cats", "fish"], name="more")
    job = job_of(path, 3, validation={"type": "image_folder", "path": fewer})
    said, seen = trains(d, job, samples=12)
    has(seen, "data.validation: 4 samples of 3 classes: birds 0, cats 4, dogs 0")
    assert "data." not in said, said
    job["data"]["validation"]["path"] = more
    refused(d, job, f"{more}: has 1 class that {path} has not: \"fish\"")


# --- pictures ------------------------------------------------------------------------------

def bomb(side):
    """A PNG of side x side in some hundred KB."""
    z, row = zlib.compressobj(9), bytes(1 + side // 8)
    data = b"".join(z.compress(row * 100) for _ in range(side // 100)) + z.flush()

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) +
            chunk(b"IDAT", data) + chunk(b"IEND", b""))


@case("pictures of every kind and size train", "stopped")
def _(d):
    path = good(d, each=1)
    for kind, names in (("jpeg", "420 422 444 cmyk grey progressive turned_3 turned_6 1x1"),
                        ("png", "grey_1 grey_2 grey_4 grey_16 grey_alpha rgb_16 rgba palette palette_2 palette_alpha "
                                "interlaced turned_6")):
        for name in names.split():
            write(f"{path}/cats/{kind} {name}.{'jpg' if kind == 'jpeg' else 'png'}", sample(kind, name))
    # Told by what it is, not by what it is called.
    write(f"{path}/dogs/a png.jpg", sample("png", "rgb"))
    write(f"{path}/dogs/a jpeg.png", sample("jpeg", "420"))
    write(f"{path}/dogs/wide.png", pictures.png(30000, 4, [bytes(90000)] * 4))
    write(f"{path}/dogs/high.png", pictures.png(1, 30000, [b"abc"] * 30000))
    trains(d, job_of(path), samples=27)
    # One size for all of them is wanted, by a sentence with both.
    job = job_of(path)
    del job["data"]["train"]["size"]
    job["model"]["input"] = [3, 7, 9]
    refused(d, job, " pixels, and the first image is ", "(width x height): say size, or a transform that resizes")


BROKEN = [("gif.jpg", GIF, "is a GIF, want a JPEG or a PNG"), ("webp.jpg", WEBP, "is a WebP, want a JPEG or a PNG"),
          ("text.png", b"no picture", "is neither a JPEG nor a PNG"), ("empty.jpg", b"", "is empty"),
          ("cut.jpg", sample("jpeg", "420_cut"), "is a broken JPEG: "), ("cut.png", sample("png", "rgb_cut"),
                                                                         "is a broken PNG: it ends too early"),
          ("bomb.png", bomb(30000), "is of 30000 x 30000 pixels, which are 900,000,000: want at most 67,108,864"),
          ("sums.png", sample("png", "rgb")[:-20] + b"\0" * 8 + sample("png", "rgb")[-12:], "is a broken PNG: IDAT: ")]


@case("a broken picture ends a run by its name, or is skipped and counted", "stopped")
def _(d):
    path = good(d)
    for name, data, words in BROKEN:
        write(f"{path}/dogs/{name}", data)
        refused(d, job_of(path), f"dogs/{name}: {words}", "data.broken: skip goes on without it")
        os.rename(f"{path}/dogs/{name}", f"{d.root}/{name}")
    write(f"{path}/dogs/large.png", sample("png", "rgb"))
    os.truncate(f"{path}/dogs/large.png", 300 << 20)
    refused(d, job_of(path), "dogs/large.png: has 314572800 bytes, and an image may have 256")
    os.unlink(f"{path}/dogs/large.png")
    for name, _, _ in BROKEN:
        os.rename(f"{d.root}/{name}", f"{path}/dogs/{name}")
    said, seen = trains(d, job_of(path, broken="skip"), *(f"dogs/{n}: {w}" for n, _, w in BROKEN), broken=len(BROKEN))
    has(seen, "16 of 16 training samples, broken ones as empty places")
    has(said, "it is skipped")


@case("a text that would unpack to 400 MB beside a picture is not unpacked", "stopped")
def _(d):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    z = zlib.compressobj(9)
    text = b"Comment\0\0" + b"".join(z.compress(b"x" * (1 << 20)) for _ in range(400)) + z.flush()
    path, plain = good(d), sample("png", "rgb")
    most = []
    for data in (plain, plain[:33] + chunk(b"zTXt", text) + plain[33:]):
        write(f"{path}/dogs/a.png", data)
        p = subprocess.Popen([f"{BUILD}/rekindle-train", "--data", put(d, job_of(path)), "--samples", "99", "s.png"],
                             cwd=d.root, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        eq(p.returncode, 0, "exit")
        most.append(usage.ru_maxrss >> 10)
    assert most[1] < most[0] + 100, f"it takes {most[1]} MB, and without the text {most[0]}"


@case("a picture that changes or vanishes in the middle of a run is named", "stopped")
def _(d):
    path, job = good(d, each=3), None

    def begun(rundir, epochs=10 ** 6, **data):
        nonlocal job
        job = job_of(path, **data)
        job["training"].update(epochs=epochs, log_every=1)
        job["checkpoint"] = {"every": {"seconds": 3600}}
        return subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", rundir, put(d, job)], cwd=d.root,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def epochs(rundir):
        try:
            with open(f"{d.root}/{rundir}/metrics.jsonl") as f:
                return f.read().count('"over":"epoch"')
        except FileNotFoundError:
            return 0

    victim = f"{path}/dogs/im 0000.png"
    with open(victim, "rb") as f:
        kept = f.read()

    def put_there(data):
        """At once: nobody sees half of it."""
        write(f"{d.root}/new", data)
        os.rename(f"{d.root}/new", victim)
    for n, (deed, code, words) in enumerate((
            (lambda: os.unlink(victim), 4, "dogs/im 0000.png is not what it was when it was first read (dogs/im 0000.png: is "
                                           "not there any more)"),
            (lambda: put_there(sample("png", "palette")), 4, "dogs/im 0000.png is not what it was when it was first read"),
            (lambda: put_there(kept[:-30]), 4, "first read (dogs/im 0000.png: is a broken PNG: "),
            (lambda: (os.mkfifo(f"{d.root}/pipe"), os.rename(f"{d.root}/pipe", victim)), 4,
             "first read (dogs/im 0000.png: is no regular file, want an image)"))):
        p = begun(f"run{n}")
        wait_for(30, "two epochs", lambda n=n, p=p: epochs(f"run{n}") >= 2 or p.poll() is not None)
        deed()
        said = p.communicate(timeout=limit(60))[0]
        eq(p.returncode, code, f"exit ({said[-600:]})")
        has(said, words)
        put_there(kept)
    # Files that have fewer bytes than they say: these do so each time.
    odd = "/sys/devices/system/cpu/online"
    if os.path.exists(odd) and os.stat(odd).st_size > 100:
        os.symlink(odd, f"{path}/dogs/odd.png")
        refused(d, job_of(path), "dogs/odd.png: changed its length while it was read")


# --- links and permissions -------------------------------------------------------------------

@case("links are followed, and one to nothing or in a circle is said", "stopped")
def _(d):
    path = good(d)
    write(f"{d.root}/elsewhere/a.png", sample("png", "rgb"))
    os.symlink(f"{d.root}/elsewhere/a.png", f"{path}/cats/out.png")
    os.symlink(f"{d.root}/elsewhere", f"{path}/birds")
    os.symlink(f"{d.root}/gone.png", f"{path}/cats/gone.png")
    os.mkfifo(f"{path}/cats/pipe.png")
    _, seen = trains(d, job_of(path, 3), "2 entries are neither a file nor a folder, or a link to nothing, and not used, the "
                     "first cats/", samples=10)
    has(seen, "birds 1")
    os.symlink("..", f"{path}/dogs/up")
    refused(d, job_of(path, 3), "dogs/up", "is a link to a folder that it is in: it has no end")


@case("what may not be read is named with the reason", "stopped")
def _(d):
    path, how, program = good(d), {}, f"{BUILD}/rekindle-train"
    if os.getuid() == 0:
        how = {"user": 65534, "group": 65534, "extra_groups": [], "env": {**os.environ, "HOME": "/"}}
        program = shutil.copy(program, f"{d.root}/rekindle-train")
        os.chmod(d.root, 0o777)
    job = put(d, job_of(path))

    def told(*words):
        for args in (("--run-dir", "run", job), ("--data", job, "--samples", "99", "s.png")):
            said = said_by(d, *args, want=3, program=program, **how)
            for w in words:
                has(said, w)
    os.chmod(f"{path}/dogs/im 0000.png", 0)
    told("dogs/im 0000.png: cannot be read: Permission denied", "data.broken: skip")
    os.chmod(f"{path}/dogs", 0)
    told(f"{path}/dogs: cannot read the folder: ")
    os.chmod(f"{path}/dogs", 0o755)
    os.chmod(path, 0)
    told(f"{path}: ")
    os.chmod(path, 0o755)


# --- lists ----------------------------------------------------------------------------------

@case("lists are read as editors write them, and what cannot be meant is refused by its line", "stopped")
def _(d):
    path, lst = good(d), f"{d.root}/list.txt"
    lines = [f"cats/im 000{i}.png\tcat" for i in (0, 2)] + [f"dogs/im 000{i}.png\tdog" for i in (0, 2)]
    job = job_of(path, source={"list": lst})

    def named(*more, first=b"", end="\n", every=None):
        write(lst, first + end.join([*(every or lines), *more, ""]).encode())
        return job
    trains(d, named(), samples=4)
    trains(d, named(first=b"\xef\xbb\xbf", end="\r\n"), samples=4)
    trains(d, named("", "  ", every=[x + "\t" for x in lines]), samples=4)
    trains(d, named("./dogs//im 0000.png\tdog"), f"{lst}: 1 line has an image that an earlier one has, 0 of them with another "
           "label: the first is line 5, as line 3", samples=5)
    trains(d, named("dogs/im 0000.png\tcat", "cats/im 0000.png\tcat"), "2 lines have an image that an earlier one has, 1 of "
           "them with another label: the first is line 5, as line 3")
    trains(d, named('dogs/im 0000.png\t"Maine Coon"') | {"model": job_of(path, 3)["model"]}, samples=5)
    refused(d, named("dogs/im 0000.png\tMaine Coon"), 'dogs/im 0000.png has 2 labels: "Coon", "Maine"',
            "in a list a label with blanks in it stands in double quotes", look=False)
    refused(d, named(f"{path}/dogs/im 0000.png\tdog"), f'{lst}: line 5: "{path}/dogs/im 0000.png" is absolute')
    refused(d, named("../in/dogs/im 0000.png\tdog"), f'{lst}: line 5: "../in/dogs/im 0000.png" leaves the folder')
    refused(d, named("dogs/nope.png\tdog"), f"{lst}: names 1 image that is not in {path}: line 5: dogs/nope.png")
    refused(d, named("dogs/im 0000.png"), f"{lst}: line 5: has no label behind the path")
    refused(d, named('"dogs/im 0000.png\tdog'), f"{lst}: line 5: a double quote is not closed")
    write(lst, "\n".join(lines).encode("utf-16"))
    refused(d, job, f"{lst}: line 1: has a NUL in it: the file is no text")
    write(lst, b"")
    refused(d, job, f"{lst}: has no line with an image and its label")
    os.unlink(lst)
    refused(d, job, f"{lst}: ")


# --- tars -----------------------------------------------------------------------------------

def tar(path, *members, sparse=False):
    """(name, bytes or a link's target)."""
    with tarfile.open(path, "w") as t:
        for name, data in members:
            i = tarfile.TarInfo(name)
            if isinstance(data, str):
                i.type, i.linkname = tarfile.SYMTYPE, data
                t.addfile(i)
            else:
                i.size = len(data)
                i.type = tarfile.GNUTYPE_SPARSE if sparse and name.startswith("dogs/s") else i.type
                t.addfile(i, io.BytesIO(data))


@case("a tar that leaves its folder, or has links or holes, is told or counted", "stopped")
def _(d):
    rgb, path = sample("png", "rgb"), f"{d.root}/in.tar"
    plain = [(f"{c}/{i}.png", rgb) for c in ("cats", "dogs") for i in range(3)]
    tar(path, *plain, ("dogs/.DS_Store", b"x"), ("dogs/Thumbs.db", b"x"), ("notes.txt", b"x"), ("loose.png", rgb),
        ("dogs/2.png", rgb))
    trains(d, job_of(path), "3 files were passed over: 2 hidden, 1 without the ending of an image", "the first notes.txt",
           "1 image is beside the class folders", "1 file comes again under the same path, and the last of them counts",
           samples=6)
    for name, words in (("../out.png", "has .. in it"), ("/etc/x.png", "/etc/x.png")):
        tar(path, *plain, (name, rgb))
        refused(d, job_of(path), path, words)
    tar(path, *plain, ("dogs/link.png", "/etc/passwd"), ("dogs/in.png", "0.png"))
    trains(d, job_of(path), f"{path}: 2 links", samples=6)
    tar(path, *plain, ("dogs/s.png", rgb), sparse=True)
    refused(d, job_of(path), path, "sparse")
    with open(path, "rb") as f:
        whole = f.read()
    write(path, whole[:700])
    refused(d, job_of(path), path)
    write(path, b"")
    refused(d, job_of(path), path)


# --- texts and arrays -------------------------------------------------------------------------

def text_job(path, **more):
    return {"name": "texts", "resources": {"threads": 1, "memory": "256MiB"},
            "model": {"layers": [{"type": "embedding", "rows": 260, "width": 4}, "flatten",
                                 {"type": "linear", "out": 2}]},
            "training": {"epochs": 1, "batch_size": 4},
            "data": {"train": {"type": "text", "path": path, "text": 0, "label": 1, "length": 8,
                               "tokenizer": {"type": "bytes"}, **more}}}


@case("texts that are not what they are said to be are refused by file and line", "stopped")
def _(d):
    path = f"{d.root}/x.csv"
    for data, words in (("ol\u00e9,1\nno,0\n".encode("latin-1"), f"{path}: line 1"), (b"a,1\nb,0,more,2\n", f"{path}: line 2"),
                        (b"a,1\nb\n", f"{path}: line 2"), (b'a,1\n"b,0\nc,1\n', f"{path}: line 2"),
                        (b"a,1\nb\0,0\n", f"{path}: line 2"), (b"", path), (b"\n\n", path)):
        write(path, data)
        refused(d, text_job(path), words, look=False)
    write(path, b"\xef\xbb\xbfa,1\r\nb,0,\r\n\r\nc,1,,\r\n")
    said_by(d, "--run-dir", "run", put(d, text_job(path)))
    write(path, "ol\u00e9,1\nno,0\n".encode("latin-1"))
    said_by(d, "--run-dir", "run2", put(d, text_job(path, encoding="latin-1")))


@case("tables and arrays of the wrong shape, or with numbers that are none, are refused by file and place", "stopped")
def _(d):
    path = f"{d.root}/x.csv"
    job = {"name": "numbers", "resources": {"threads": 1, "memory": "128MiB"}, "training": {"epochs": 1, "batch_size": 4},
           "model": {"layers": [{"type": "linear", "out": 2}]},
           "data": {"train": {"type": "csv", "path": path, "label": -1}}}
    for data, words in ((b"", path), (b"a,b,c\n", path), (b"1,2,0\n3,1\n", f"{path}: line 2"),
                        (b"1,2,0\n3,nan,1\n", f"{path}: line 2"), (b"1,2,0\n3,\xe9,1\n", f"{path}: line 2"),
                        (b'1,2,0\n"3,4,1\n', f"{path}: line 2"), (b"1,2,0\n3,\0,1\n", f"{path}: ")):
        write(path, data)
        refused(d, job, words)
    write(path, b"\xef\xbb\xbfx,y,class\r\n1,2,0\r\n3,4,1\r\n\r\n")
    said_by(d, "--run-dir", "run", put(d, job))

    def npy(name, shape, values, kind="<f4"):
        head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        head += b" " * (-(len(head) + 11) % 64) + b"\n"
        write(f"{d.root}/{name}", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head +
              struct.pack(f"<{len(values)}f", *values))
    job["data"]["train"] = {"type": "npy", "path": f"{d.root}/x.npy", "labels": f"{d.root}/y.npy"}
    npy("y.npy", (4,), [0, 1, 0, 1])
    npy("x.npy", (3, 2), range(6))
    refused(d, job, "x.npy (path) has 3 samples, but", "y.npy (labels) has 4 labels")
    npy("x.npy", (4, 2), [0, 1, 2, 3, 4, float("nan"), 6, 7])
    refused(d, job, "x.npy: element 1 of sample 2 (both from 0) is nan")
    npy("x.npy", (4, 2), range(7))
    refused(d, job, "x.npy: ")


# --- under the daemon ---------------------------------------------------------------------------

@case("a daemon's job says the same as the program alone")
def _(d):
    path = good(d)
    write(f"{path}/dogs/\u732b \"1\".jpg", GIF)
    write(f"{path}/dogs/Thumbs.db", b"x")
    i = d.submit(job_of(path))
    j = d.wait_state(i, "failed")
    eq(j["reason"], "bad_data")
    has(j["message"], "data.train: dogs/\u732b \"1\".jpg: is a GIF, want a JPEG or a PNG; data.broken: skip goes on without it")
    i = d.submit(job_of(path, broken="skip"))
    d.wait_state(i, "succeeded")
    said = "\n".join(d.events(i))
    has(said, "dogs/\u732b \"1\".jpg: is a GIF, want a JPEG or a PNG; it is skipped")
    has(said, "1 file was passed over: 1 hidden")
    more = good(d, ["cats", "fish"], name="more")
    i = d.submit(job_of(path, broken="skip", validation={"type": "image_folder", "path": more}))
    has(d.wait_state(i, "failed")["message"], "has 1 class that")
    has(d.post("/v1/jobs", job_of(f"{d.root}/in/nowhere"), want=422).json["detail"], "there is no such file")


run()
