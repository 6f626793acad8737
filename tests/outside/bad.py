#!/usr/bin/env python3
"""Bad jobs and bad data: each is refused with a sentence that says where, in
bounded time and memory, and nothing else is hurt."""
import gzip
import json
import os
import random
import resource
import shutil
import struct
import subprocess

from t import BUILD, SLOW, case, cpu_of, eq, has, limit, run, tiny


# --- jobs, at submit -----------------------------------------------------------------------

@case("text that is no YAML is refused with its line")
def _(d):
    for text, line in (("name: a\nmodel: {arch: mlp\n", "line 3"), ("name: a\n\tmodel: x\n", "line 2"),
                       ("name: a\nname: b\n", "line 2"), ("a: &x 1\nb: *x\n", "line 1"),
                       ("name: a\n---\nname: b\n", "line 2"), ("name: \"a\nb: c\n", "line"), ("- 1\n- 2", None),
                       ("", None), ("just words", None), ("\x00\x01", None), ("name: !!python/object x\n", "line 1")):
        r = d.post("/v1/jobs", text, headers={"Content-Type": "application/yaml"})
        assert r.status in (400, 422), f"{text!r}: {r.status}"
        eq(r.headers["Content-Type"], "application/problem+json", text)
        assert len(r.json["detail"]) > 10, r.text
        if line:
            has(r.text, line)
    for text, part in (('{"name": "a",\n "model": }', "line 2"), ('{"a": 1} x', "line 1"), ('{"a": 1, "a": 2}', "a"),
                       ("\xff\xfe", None), ('"\\ud800"', None)):
        r = d.post("/v1/jobs", text.encode("latin-1"))
        assert r.status in (400, 422), f"{text!r}: {r.status}"
        if part:
            has(r.text, part)
    d.get("/healthz")


@case("unknown fields and wrong types are named at every depth")
def _(d):
    job = tiny(d, nmae="x")
    job["resources"]["cores"] = 4
    job["model"].update(sizes="many", activation="swish", strict="perhaps")
    job["training"].update(epochs="ten", seed=-1, batch_size=2.5, schedule={"type": "cosin"})
    job["training"]["optimizer"] = {"type": "adam", "lr": 0.1, "betas": [0.9]}
    job["data"]["train"]["lable"] = "x"
    job["checkpoint"] = {"every": {"steps": []}, "keep": 3}
    job["labels"], job["metadata"], job["retries"] = ["a"], {"a": {"b": "c"}}, 1000
    r = d.post("/v1/jobs", job, want=422)
    said = {e["path"]: e["message"] for e in r.json["errors"]}
    for path in ("nmae", "resources.cores", "model.sizes", "model.activation", "model.strict", "training.epochs",
                 "training.seed", "training.batch_size", "training.schedule.type", "training.optimizer.lr",
                 "training.optimizer.betas", "data.train.lable", "checkpoint.every.steps", "checkpoint.keep", "labels",
                 "metadata.a", "retries"):
        assert any(p == path for p in said), f"{path} is not in {sorted(said)}"
    has(said["nmae"], "name")
    has(said["data.train.lable"], "label")


@case("absurd sizes are refused with the number and the limit, and cost nothing")
def _(d):
    def with_model(**m):
        return dict(tiny(d), model=m)

    def conv(**layer):
        return with_model(input=[1, 2, 2], layers=[{"type": "conv2d", "out": 4, "kernel": 1, **layer}, "flatten",
                                                   {"type": "linear", "out": 3}])
    before = cpu_of(d.proc.pid)
    for job, path, parts in (
            (with_model(arch="mlp", sizes=[4, 10**12, 3]), "model.sizes[1]", ["1000000000000"]),
            (with_model(arch="mlp", sizes=[4, 2**63, 3]), "", ["9223372036854775808"]),
            (with_model(arch="mlp", sizes=[4, 2**24, 2**24, 3]), "model", ["parameters"]),
            (with_model(arch="mlp", sizes=[4] + [2**20] * 40 + [3]), "model", ["parameters"]),
            (with_model(arch="mlp", sizes=[4, 0, 3]), "model.sizes[1]", []),
            (with_model(arch="mlp", sizes=[4] * 65), "model.sizes", ["64"]),
            (with_model(layers=[{"type": "linear", "out": 2**40}]), "model.layers[0].out", []),
            (with_model(layers=["relu"] * 5000), "model.layers", ["4096"]),
            (conv(kernel=10**12), "model.layers[0].kernel", []),
            (conv(stride=0), "model.layers[0].stride", []),
            (dict(tiny(d), resources={"threads": 10**6}), "resources.threads", []),
            (dict(tiny(d), resources={"memory": "9999999PiB"}), "resources.memory", []),
            (dict(tiny(d), resources={"memory": "1PiB"}), "resources.memory", ["1 PiB"]),
            (dict(tiny(d), labels={f"k{n}": "v" for n in range(1000)}), "labels", []),
            (dict(tiny(d), name="x" * 100), "name", ["64"])):
        r = d.post("/v1/jobs", job)
        eq(r.status if path else r.status // 100 * 100, 422 if path else 400, f"{json.dumps(job)[:200]}: {r.text}")
        if path:
            assert any(e["path"].startswith(path) for e in r.json["errors"]), f"{path} not in {r.text}"
        for part in parts:
            has(r.text, part)
    used = cpu_of(d.proc.pid) - before
    assert used < 2 * SLOW, f"{used:.1f} s of CPU"
    # What only the network's shapes show is found by the trainer, once.
    for job, parts in ((with_model(input=[2**24] * 4, layers=[{"type": "linear", "out": 3}]), []),
                       (conv(kernel=5), ["5", "2"]), (conv(out=2**24, kernel=1024, padding=1024), [])):
        r = d.post("/v1/jobs", job)
        if r.status == 201:
            j = d.wait_state(r.json["id"], "failed")
            eq((j["reason"], j["attempt"]), ("bad_spec", 1), j["message"])
            has(j["message"], "model")
        for part in parts:
            has(r.text if r.status != 201 else j["message"], part)
    with open(f"/proc/{d.proc.pid}/status") as f:
        rss = int([x for x in f if x.startswith("VmHWM")][0].split()[1])
    assert SLOW > 1 or rss < 64 << 10, f"{rss} KiB were resident"


@case("a network of fewer tokens than the data draw is refused at submit and by --summary")
def _(d):
    job = {"name": "few", "model": {"arch": "bert", "hidden": 8, "depth": 1, "heads": 1, "intermediate": 8,
                                    "vocabulary": 10, "classes": 2},
           "training": {"epochs": 1, "batch_size": 4},
           "data": {"train": {"type": "synthetic", "tokens": 8, "vocabulary": 50, "classes": 2, "samples": 20}}}
    r = d.post("/v1/jobs", job, want=422)
    eq(r.json["errors"], [{"path": "model.vocabulary",
                           "message": "is 10, and data.train.vocabulary is 50: want at least as many"}])
    layers = [{"type": "embedding", "name": "words", "rows": 10, "width": 2}, "flatten", {"type": "linear", "out": 2}]
    for model, field in ((job["model"], "model.vocabulary"), ({"layers": layers}, "model.layers[0]")):
        with open(f"{d.root}/few.json", "w") as f:
            json.dump({**job, "model": model}, f)
        for more in ([], ["--yaml"]):
            r = subprocess.run([f"{BUILD}/rekindle-train", "--summary", *more, f"{d.root}/few.json"],
                               capture_output=True, text=True, timeout=limit(60))
            eq((r.returncode, r.stdout), (3, ""), r.stderr)
            has(r.stderr, "has rows 0 to 9")
            has(r.stderr, field)


@case("a job that is too long is refused in the same words whichever way it comes")
def _(d):
    path = f"{d.root}/long.yaml"
    with open(path, "w") as f:
        f.write("name: long\n" + "#" * (1 << 20))
    said = "is longer than 1 MiB (1,048,576 bytes), the most that is taken\n"
    server = dict(os.environ, REKINDLE_SERVER=f"http://127.0.0.1:{d.port}")
    for want, what, *command in (
            (1, path, f"{BUILD}/rekindle", "submit", path), (1, "the job", f"{BUILD}/rekindle", "submit", "-"),
            (3, path, f"{BUILD}/rekindle-train", path),
            (3, path, f"{BUILD}/rekindle-train", "--set", "training.epochs=1", path)):
        with open(path) as f:
            r = subprocess.run(command, stdin=f, env=server, cwd=d.root, capture_output=True, text=True, timeout=limit(60))
        eq((r.returncode, r.stderr), (want, f"{os.path.basename(command[0])}: {what} {said}"), " ".join(command))
    with open(path) as f:
        r = d.post("/v1/jobs", f.read(), headers={"Content-Type": "application/yaml"}, want=413)
    eq(r.json["detail"], f"the body {said}".strip())


@case("a job of a few lines may be long in its normal form")
def _(d):
    job = tiny(d, epochs=1)
    deep = [{"type": "conv2d", "out": 1, "kernel": 1, "name": f"a_convolution_with_a_long_name_{c}_of_two"} for c in "ab"]
    job["model"] = {"input": [1, 2, 2], "layers": [{"repeat": 2000, "name": "block_with_a_name", "layers": deep},
                                            {"type": "linear", "out": 3}]}
    i = d.submit(job)
    d.wait_state(i, "succeeded")
    size = os.path.getsize(f"{d.state}/jobs/{i}/job.json")
    assert size > 1 << 20, f"the normal form has only {size} bytes"


@case("files that are not there, not readable as files, or not absolute are named at submit")
def _(d):
    os.mkfifo(f"{d.root}/fifo")
    os.symlink("/nowhere/at/all", f"{d.root}/dangling")
    for path, part in (("/nowhere/at/all.csv", "/nowhere/at/all.csv"), (d.root, "file"), (f"{d.root}/fifo", "file"),
                       ("/dev/zero", "file"), (f"{d.root}/dangling", "dangling"), ("relative.csv", "absolute"),
                       ("/tmp/x\x00y", ""), ("", "")):
        job = tiny(d)
        job["data"]["train"]["path"] = path
        r = d.post("/v1/jobs", job)
        assert r.status in (400, 422), f"{path!r}: {r.status}"
        has(r.text, part)
        if r.status == 422:
            eq(r.json["errors"][0]["path"], "data.train.path")


# --- data, in the trainer -------------------------------------------------------------------

def bounded():
    if SLOW == 1:           # sanitizers reserve terabytes
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (30 * SLOW, 30 * SLOW))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def train(d, job, *args):
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    shutil.rmtree(f"{d.root}/run", ignore_errors=True)
    return subprocess.run([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run", *args, f"{d.root}/job.json"],
                          capture_output=True, timeout=limit(60), preexec_fn=bounded)


def refused(d, job, what, *parts):
    """Exit code 3, one sentence with these parts in it, no output, no signal."""
    r = train(d, job)
    err = r.stderr.decode()
    eq(r.returncode, 3, f"{what}: exit ({err[-300:]})")
    eq(len(err.splitlines()), 1, f"{what}: lines of {err!r}")
    for part in parts:
        assert part in err, f"{what}: {part!r} is not in {err!r}"
    return err


def idx(dims, data, kind=8):
    return struct.pack(">HBB", 0, kind, len(dims)) + b"".join(struct.pack(">I", n) for n in dims) + data


IMAGES = idx([20, 2, 2], bytes(range(80)))
LABELS = idx([20], bytes(n % 3 for n in range(20)))


def idx_job(d, images=IMAGES, labels=LABELS, ext=""):
    job = tiny(d, epochs=1)
    job["data"] = {"train": {"type": "idx", "images": f"{d.root}/images{ext}", "labels": f"{d.root}/labels{ext}"}}
    for name, data in (("images", images), ("labels", labels)):
        with open(f"{d.root}/{name}{ext}", "wb") as f:
            f.write(data)
    return job


@case("IDX headers that lie are refused, plain and compressed", "stopped")
def _(d):
    eq(train(d, idx_job(d)).returncode, 0, "the good files")
    eq(train(d, idx_job(d, gzip.compress(IMAGES), gzip.compress(LABELS), ".gz")).returncode, 0, "the good files, .gz")
    for what, images, labels, parts in (
            ("empty", b"", LABELS, ["images"]), ("three bytes", b"\0\0\x08", LABELS, ["images"]),
            ("a header cut short", IMAGES[:9], LABELS, ["images"]),
            ("data cut short", IMAGES[:-1], LABELS, ["images"]),
            ("data too long", IMAGES + b"x", LABELS, ["images"]),
            ("wrong magic", b"PK" + IMAGES[2:], LABELS, ["images"]),
            ("an unknown type", idx([20, 2, 2], bytes(80), kind=7), LABELS, ["images"]),
            ("no dimensions", idx([], b"\1"), LABELS, ["images"]),
            ("nine dimensions", idx([1] * 9, b"\1"), LABELS, ["images"]),
            ("no samples", idx([0, 2, 2], b""), idx([0], b""), []),
            ("an empty image", idx([20, 0, 2], b""), LABELS, ["images"]),
            ("2^32-1 cubed", idx([2**32 - 1] * 3, bytes(80)), LABELS, ["images"]),
            ("60000 images in 80 bytes", idx([60000, 28, 28], bytes(80)), LABELS, ["images"]),
            ("a product that wraps to 80", idx([2**31, 2**31, 4, 20], bytes(80)), LABELS, ["images"]),
            ("more labels than images", IMAGES, idx([21], bytes(21)), ["20", "21"]),
            ("images for labels", IMAGES, IMAGES, ["labels"]),
            ("labels for images", LABELS, LABELS, []),
            ("a label out of range", IMAGES, idx([20], bytes(19) + b"\x07"), ["7", "3", "19"])):
        refused(d, idx_job(d, images, labels), what, *parts)
        refused(d, idx_job(d, gzip.compress(images), gzip.compress(labels), ".gz"), what + " in a .gz", *parts)


@case("compressed files that lie or explode are refused without being swallowed", "stopped")
def _(d):
    good = gzip.compress(IMAGES)
    labels = gzip.compress(LABELS)
    for what, images in (("cut short", good[:-12]), ("cut in the trailer", good[:-3]),
                         ("wrong CRC", good[:-8] + b"\0\0\0\0" + good[-4:]),
                         ("wrong length", good[:-4] + b"\1\0\0\0"), ("only the magic", good[:2]),
                         ("no deflate in it", good[:10] + b"\xff" * 40), ("garbage behind it", good + b"garbage" * 9),
                         ("not compressed at all", b"\x1f\x8b" + IMAGES)):
        refused(d, idx_job(d, images, labels, ".gz"), what, "images.gz")
    # 4 GiB of zeros in 4 MiB behind a header that speaks of 80 bytes, and of all.
    zeros = gzip.compress(bytes(64 << 20), 9)
    for what, dims in (("a bomb behind a small header", [20, 2, 2]), ("a bomb that owns up to it", [64 << 16, 32, 32])):
        bomb = gzip.compress(idx(dims, b"")) + zeros * 64
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        r = train(d, idx_job(d, bomb, labels, ".gz"))
        assert r.returncode in (1, 3), f"{what}: exit {r.returncode} ({r.stderr})"
        has(r.stderr.decode(), "images.gz" if r.returncode == 3 else "")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert used < 20 * SLOW, f"{what}: {used:.0f} s of CPU"


def csv_job(d, text, **train_source):
    job = tiny(d, epochs=1)
    with open(f"{d.root}/bad.csv", "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    job["data"] = {"train": {"type": "csv", "path": f"{d.root}/bad.csv", "label": "class", **train_source}}
    return job


@case("a fault in a CSV file is named by line and column", "stopped")
def _(d):
    rows = ["a,b,c,d,class"] + [f"{n}.5,{n},0.25,-{n}e-3,{n % 3}" for n in range(1, 21)]

    def with_row(n, text):
        return "\n".join(rows[:n - 1] + [text] + rows[n:]) + "\n"
    eq(train(d, csv_job(d, "\n".join(rows))).returncode, 0, "the good file")
    for what, text, parts in (
            ("a word for a number", with_row(17, "1,2,three,4,0"), ["bad.csv", "line 17", "c", "three"]),
            ("an empty field", with_row(9, "1,,3,4,0"), ["line 9", "b"]),
            ("infinity", with_row(5, "1,2,inf,4,0"), ["line 5"]), ("NaN", with_row(5, "1,2,3,nan,0"), ["line 5"]),
            ("a number too large", with_row(5, "1,2,3,1e999,0"), ["line 5"]),
            ("hexadecimal", with_row(5, "1,2,0x10,4,0"), ["line 5"]),
            ("a field too few", with_row(6, "1,2,3,0"), ["line 6", "4", "5"]),
            ("a field too many", with_row(6, "1,2,3,4,5,0"), ["line 6", "5"]),
            ("a label out of range", with_row(21, "1,2,3,4,7"), ["7", "3"]),
            ("a negative label", with_row(21, "1,2,3,4,-1"), ["-1"]),
            ("a label between", with_row(21, "1,2,3,4,0.5"), ["0.5"]),
            ("a label that is a word", with_row(8, "1,2,3,4,cat"), ["line 8", "class", "cat"]),
            ("an open quote", with_row(8, '1,2,"3,4,0'), ["bad.csv"]),
            ("NUL bytes", with_row(8, "1,2,\x00,4,0"), ["line 8"]),
            ("only a header", rows[0] + "\n", ["bad.csv"]), ("nothing", "", ["bad.csv"]),
            ("one endless line", "1," * (8 << 20), ["bad.csv"]),
            ("a million columns", ",".join(f"c{n}" for n in range(10**6)) + "\n" + "1," * 999999 + "1\n", ["bad.csv"]),
            ("no numbers at all", os.urandom(100000), ["bad.csv"]),
            ("UTF-16", ("\n".join(rows)).encode("utf-16"), ["bad.csv"])):
        refused(d, csv_job(d, text), what, *parts)
    refused(d, csv_job(d, "\n".join(rows), label="klass"), "an unknown label column", "klass", "class")
    refused(d, csv_job(d, "\n".join(rows), label=9), "a label column beyond the last", "9")
    refused(d, csv_job(d, "\n".join(rows), delimiter=";"), "the wrong delimiter", "bad.csv")


@case("binary garbage in every position of every file is survived", "stopped")
def _(d):
    rng = random.Random(7)
    rows = "\n".join(["a,b,c,d,class"] + [f"{n}.5,{n},0.25,-{n},{n % 3}" for n in range(1, 13)]).encode()
    images, labels = gzip.compress(IMAGES), gzip.compress(LABELS)
    job = json.dumps(tiny(d, epochs=1)).encode()
    for start, make in (
            (IMAGES, lambda b: idx_job(d, b, LABELS)), (LABELS, lambda b: idx_job(d, IMAGES, b)),
            (images, lambda b: idx_job(d, b, labels, ".gz")), (rows, lambda b: csv_job(d, b)), (job, None)):
        for at in range(0, len(start), max(1, len(start) // 30)):
            b = bytearray(start)
            for k in range(at, min(at + rng.choice((1, 1, 4)), len(b))):
                b[k] = rng.choice((0, 0xff, 0x7f, rng.randrange(256)))
            if make:
                r = train(d, make(bytes(b)), "--summary")
            else:
                with open(f"{d.root}/bad.json", "wb") as f:
                    f.write(b)
                r = subprocess.run([f"{BUILD}/rekindle-train", "--summary", f"{d.root}/bad.json"],
                                   capture_output=True, timeout=limit(60), preexec_fn=bounded)
            assert r.returncode in (0, 3), f"byte {at}: exit {r.returncode} of {bytes(b)[:200]!r} ({r.stderr[-300:]})"
            assert r.returncode == 0 or r.stderr.count(b"\n") >= 1, f"byte {at}: nothing was said"
            assert b"\x1b" not in r.stderr and b"\0" not in r.stderr, f"byte {at}: {r.stderr!r}"


@case("a job with bad data fails once, with the sentence, and the daemon goes on")
def _(d):
    rows = "a,b,c,d,class\n1,2,3,4,0\n1,2,oops,4,1\n"
    bad = d.submit(csv_job(d, rows))
    good = d.submit(tiny(d, epochs=2))
    j = d.wait_state(bad, "failed")
    eq((j["reason"], j["attempt"]), ("bad_data", 1))
    has(j["message"], "line 3")
    has(j["message"], "oops")
    has(d.get(f"/v1/jobs/{bad}/log").text, "oops")
    d.wait_state(good, "succeeded")
    # With the file mended it is tried again.
    with open(f"{d.root}/bad.csv", "w") as f:
        f.write(rows.replace("oops", "3"))
    d.post(f"/v1/jobs/{bad}/retry", want=202)
    d.wait_state(bad, "succeeded")


run()
