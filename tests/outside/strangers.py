#!/usr/bin/env python3
"""Files of weights that anyone wrote, shown and compared: `rekindle weights show` and `diff`, and the process that
reads them, `rekindle-train --inspect`."""
import glob
import gzip
import json
import os
import signal
import struct
import subprocess
import zipfile

from t import BUILD, SANITIZED, SHARED, Skip, case, eq, has, run, safetensors, tiny, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH = f"{HERE}/samples/torch"
CORPUS = os.path.join(os.path.dirname(HERE), "fuzz/corpus")


def weights(*words, env=None):
    """rekindle weights ...: the exit code, standard output, the lines of standard error."""
    p = subprocess.run([f"{BUILD}/rekindle", "weights", *words], capture_output=True, text=True,
                       env={**os.environ, **(env or {})})
    return p.returncode, p.stdout, p.stderr.splitlines()


def shown(*words):
    code, out, err = weights("show", "--json", *words)
    eq((code, err), (0, []), f"what {words} exits with and complains of")
    return json.loads(out)


def refused(path, *words):
    """The one sentence of a file that is refused, behind its path."""
    code, out, err = weights("show", "--json", *words, path)
    eq((code, out, len(err)), (1, "", 1), f"what {path} gives ({err})")
    assert err[0].startswith(f"{path}: "), err[0]
    return err[0][len(path) + 2:]


def floats(*v):
    return struct.pack(f"<{len(v)}f", *v)


def sparse(path, size):
    """A file with one tensor of so many bytes of zeros, of which the disk keeps nothing."""
    head = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        f.truncate(8 + len(head) + size)
    return path


# --- show ---------------------------------------------------------------------------------------------------------

@case("weights show gives each tensor with its name, shape and type, and the digest of its elements", "stopped")
def _(d):
    with open(f"{TORCH}/expected.json") as f:
        expected = json.load(f)
    names = sorted(expected)
    told = shown("--statistics", *(f"{TORCH}/{n}" for n in names))
    eq(len(told), len(names), "files that are shown")
    for name, file in zip(names, told):
        eq(file["path"], f"{TORCH}/{name}", "the path")
        eq({t["path"]: [t["dtype"], t["shape"], t["sha256"]] for t in file["tensors"]}, expected[name],
           f"tensors of {name}")
    one = shown(f"{TORCH}/nested_ckpt_adamw_zip.pt")
    eq(one["format"], "pytorch-zip", "its format")
    eq(one["framework"], "pytorch", "its framework")
    assert any(t["role"] == "optimizer" and t["slot"] == "exp_avg" for t in one["tensors"]), one["tensors"]
    assert all("sha256" not in t for t in one["tensors"])


@case("statistics are those of the finite elements, and say how many are not", "stopped")
def _(d):
    inf, nan = float("inf"), float("nan")
    p = safetensors(f"{d.root}/m.safetensors", {
        "a": ("F32", [2, 3], floats(1, 2, 3, -6, nan, -inf)),
        "none": ("F32", [0], b""),
        "half": ("F16", [2], struct.pack("<2e", 0.5, 1.5)),
        "whole": ("I64", [2], struct.pack("<2q", -4, 2)),
        "on": ("BOOL", [4], b"\1\0\0\0"),
    }, {"note": 'a "quoted"\nline'})
    told = shown("--statistics", p)
    of = {t["name"]: t for t in told["tensors"]}
    a = of["a"]
    eq([a[k] for k in ("min", "max", "mean", "nans", "infinities")], [-6, 3, 0, 1, 1], "figures of a")
    assert abs(a["std"] ** 2 - 12.5) < 1e-12, a
    eq([of["none"][k] for k in ("min", "max", "mean", "std", "nans")], [None, None, None, None, 0], "of nothing")
    eq([of["half"][k] for k in ("min", "max", "mean", "std")], [0.5, 1.5, 1, 0.5], "of half")
    eq([of["whole"][k] for k in ("min", "max", "mean", "std")], [-4, 2, -1, 3], "of whole numbers")
    eq([of["on"][k] for k in ("min", "max", "mean")], [0, 1, 0.25], "of truth values")
    eq(told["metadata"], {"note": 'a "quoted"\nline'}, "the metadata")
    eq((told["parameters"], told["bytes"]), (6 + 2 + 2 + 4, 24 + 4 + 16 + 4), "the sums")


@case("weights show prints a table for people", "stopped")
def _(d):
    p = safetensors(f"{d.root}/m.safetensors", {"fc.weight": ("F32", [13, 20], floats(*range(260))),
                                                "fc.bias": ("F32", [13], floats(*range(13)))}, {"format": "pt"})
    code, out, err = weights("show", p)
    eq((code, err), (0, []), "what it exits with")
    lines = out.splitlines()
    has(lines[0], f"{p}: safetensors, ")
    has(lines[1], "2 tensors; the model has 273 elements, 1.1 KiB")
    eq(lines[2].split(), ["TENSOR", "DTYPE", "SHAPE", "WHAT"], "the head")
    eq(lines[3].split(), ["fc.weight", "F32", "[13,20]"], "a row")
    has(weights("show", "--statistics", p)[1], "SHA256")


@case("a file that cannot be read is one sentence, and the others are shown", "stopped")
def _(d):
    good = safetensors(f"{d.root}/good.safetensors", {"a": ("F32", [1], floats(1))})
    bad = f"{TORCH}/BAD_os_system_zip.pt"
    code, out, err = weights("show", "--json", bad, good, f"{d.root}/absent.pt", good)
    eq(code, 1, "the exit code")
    eq([f["path"] for f in json.loads(out)], [good, good], "what is shown")
    eq(len(err), 2, f"sentences ({err})")
    has(err[0], f"{bad}: the file asks for posix.system; nothing was run")
    has(err[1], f"{d.root}/absent.pt: cannot open the file: No such file or directory")
    eq(weights("show")[0], 2, "the exit code without a file")
    eq(weights("look", good)[0], 2, "the exit code of a verb that is none")


# Keys that are there twice, and floats of 8 bits.
ALSO_BAD = ("WARN_duplicate_key.pdparams", "SPEC_dup_key_same_range.safetensors", "OK_all_dtypes.safetensors")


@case("each bad sample is refused with one sentence, and each other one is shown", "stopped")
def _(d):
    paths = sorted(glob.glob(f"{TORCH}/*.*t*") + glob.glob(f"{CORPUS}/paddle/*") + glob.glob(f"{HERE}/samples/simplenet/m*"))
    if SHARED and os.path.isdir(f"{SHARED}/data/samples"):
        paths += sorted(glob.glob(f"{SHARED}/data/samples/*/*.*t*") + glob.glob(f"{SHARED}/data/samples/paddle/*"))
    paths = [p for p in paths if not p.endswith("/expected.json")]
    code, out, err = weights("show", "--json", *paths)
    told = {f["path"]: f for f in json.loads(out)}
    said = {}
    for line in err:
        path, _, sentence = line.partition(": ")
        assert path in paths and sentence and path not in said, line
        said[path] = sentence
    eq(sorted([*told, *said]), sorted(set(paths)), "files that were shown or refused")
    for p in paths:
        name = os.path.basename(p)
        eq(p in said, name.startswith("BAD_") or name in ALSO_BAD, f"is {name} refused? ({said.get(p)})")
        assert "process" not in said.get(p, ""), said[p]
    for f in told.values():
        for t in f["tensors"]:
            assert t["name"] and isinstance(t["shape"], list) and t["dtype"], t


@case("a file that is nearly right is refused with what is wrong and what to do", "stopped")
def _(d):
    def put(name, *parts):
        with open(f"{d.root}/{name}", "wb") as f:
            f.write(b"".join(parts))
        return f"{d.root}/{name}"
    torch = f"{TORCH}/conv_bn_linear_zip.pt"
    with zipfile.ZipFile(torch) as z:
        members = [(n, z.read(n)) for n in z.namelist()]

    def zipped(name, change, method=zipfile.ZIP_STORED):
        with zipfile.ZipFile(f"{d.root}/{name}", "w", method) as z:
            for n, b in members:
                z.writestr(n, change(n, b))
        return f"{d.root}/{name}"
    has(refused(zipped("packed.pt", lambda n, b: b, zipfile.ZIP_BZIP2)), "another method than deflate: save it again")
    with open(torch, "rb") as f:
        whole = f.read()
    at = whole.index(b"PK\1\2")
    has(refused(put("locked.pt", whole[:at + 8], b"\1\0", whole[at + 10:])), "is encrypted: unpack it with its password")
    has(refused(put("cut.pt", whole[:-30])), "so it is cut off, or another kind of file; fetch or save it again")
    # A key that is no name: {None: tensor}, {1.5: ...}.
    has(refused(zipped("none.pt", lambda n, b: b"\x80\x02}N]s." if n.endswith("data.pkl") else b)),
        "has no tensor with a name")
    has(refused(zipped("empty.pt", lambda n, b: b"\x80\x02}." if n.endswith("data.pkl") else b)),
        "save it again as torch.save(model.state_dict(), ...)")
    # A terminal obeys U+009B as it obeys ESC [.
    has(refused(safetensors(f"{d.root}/csi.safetensors", {"\u009b31m": ("F32", [1], floats(1))})),
        "a control character in its name: \\x9b at byte 0")
    # Names of classes beside arrays are no reason not to read these; objects are.
    def npy(descr, data):
        head = "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }" % descr
        head = head.ljust(117) + "\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + data
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(f"{d.root}/named.npz", "w", method) as z:
            z.writestr("w.npy", npy("<f4", floats(1, 2)))
            z.writestr("classes.npy", npy("<U3", "catdog".encode("utf-32-le")))
        told = shown(f"{d.root}/named.npz")
        eq(([t["name"] for t in told["tensors"]], told["notes"]),
           (["w"], ['its array "classes" holds text, and is left out']))
    with zipfile.ZipFile(f"{d.root}/objects.npz", "w") as z:
        z.writestr("w.npy", npy("|O", b"\x80\x02]."))
    has(refused(f"{d.root}/objects.npz"), "holds objects of Python")
    # An index of PyTorch's own files, and one that names what is no file.
    put("pytorch_model-00001-of-00001.bin", whole)
    has(refused(put("pytorch_model.bin.index.json", b'{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}')),
        "pytorch_model-00001-of-00001.bin: is no safetensors file")
    os.mkdir(f"{d.root}/folder")
    os.mkfifo(f"{d.root}/pipe")
    for name in ("folder", "pipe"):
        has(refused(put(f"{name}.json", b'{"weight_map": {"a": "%s"}}' % name.encode())), f"{name}: is not a regular file")


@case("whatever bytes a file has, it is shown or refused with one sentence", "stopped")
def _(d):
    kinds = ("torch_zip", "torch_legacy", "safetensors", "pdiparams", "npz", "pickle", "shards")
    paths = [p for k in kinds for p in sorted(glob.glob(f"{CORPUS}/{k}/*"))[:40]]
    code, out, err = weights("show", "--json", "--statistics", *paths)
    told = [f["path"] for f in json.loads(out)]
    eq(len(told) + len(err), len(paths), "files that were shown or refused")
    for line in err:
        assert "process that reads it" not in line, line


@case("what wraps a file is taken off: gzip, a tar with a member, an object of several", "stopped")
def _(d):
    with open(f"{TORCH}/two_models.pt", "rb") as f:
        data = f.read()
    with gzip.open(f"{d.root}/two.pt.gz", "wb") as f:
        f.write(data)
    told = shown(f"{d.root}/two.pt.gz")
    eq(told["packed"], True, "is it packed")
    eq([t["name"] for t in told["tensors"]], [t["name"] for t in shown(f"{TORCH}/two_models.pt")["tensors"]], "names")
    part = told["parts"][0]["path"]
    eq(shown("--part", part, f"{d.root}/two.pt.gz")["model"], part, "the model")
    subprocess.run(["tar", "-C", d.root, "-cf", f"{d.root}/a.tar", "two.pt.gz"], check=True)
    eq(shown("--member", "two.pt.gz", f"{d.root}/a.tar")["format"], "pytorch-zip", "the format")
    has(refused(f"{d.root}/a.tar"), "is a tar archive: say which file of it is meant")


# --- the process --------------------------------------------------------------------------------------------------

class Reading:
    """A big file that is being read for its statistics, which takes seconds, and who reads it."""

    def __init__(self, d, size=2 << 30):
        self.path = sparse(f"{d.root}/big.safetensors", size)
        self.proc = subprocess.Popen([f"{BUILD}/rekindle-train", "--inspect", "--statistics", self.path],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = wait_for(20, "a process reads the file", self.reader)

    def reader(self):
        for p in subprocess.run(["pgrep", "-P", str(self.proc.pid)], capture_output=True, text=True).stdout.split():
            # Once it is confined it no longer has the window's descriptor, and reads.
            if "\nNoNewPrivs:\t1" in self.status(p) and not os.path.exists(f"/proc/{p}/fd/4"):
                return int(p)

    @staticmethod
    def status(pid):
        try:
            with open(f"/proc/{pid}/status") as f:
                return f.read()
        except OSError:
            return ""

    def ends(self):
        out, err = self.proc.communicate()
        eq((self.proc.returncode, out), (1, ""), f"what --inspect exits with ({err})")
        if SANITIZED:           # its report comes before
            err = err.splitlines()[-1] + "\n"
        eq(err.count("\n"), 1, f"lines of {err!r}")
        assert err.startswith(f"{self.path}: "), err
        return err


@case("who reads a file has given up all calls but a few, and all descriptors but its own", "stopped")
def _(d):
    r = Reading(d)
    try:
        has(r.status(r.pid), "NoNewPrivs:\t1")
        if "\nSeccomp:" not in r.status(os.getpid()):
            raise Skip("this kernel has no seccomp")
        has(r.status(r.pid), "\nSeccomp:\t2")
        fds = {int(n): os.readlink(f"/proc/{r.pid}/fd/{n}") for n in os.listdir(f"/proc/{r.pid}/fd")}
        eq(fds.pop(5), r.path, "the file that it has open")
        has(fds.pop(3), "socket:")
        if not SANITIZED:
            eq(fds, {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}, "its other descriptors")
        with open(f"/proc/{r.pid}/environ") as f:
            env = {v.partition("=")[0] for v in f.read().split("\0") if v}
        eq({v for v in env if not v.startswith(("ASAN_", "UBSAN_", "LSAN_"))} - {"LD_LIBRARY_PATH"},
           {"OMP_NUM_THREADS", "REKINDLE_INSPECT"}, "its environment")
    finally:
        r.proc.kill()
        r.proc.communicate()


@case("who reads a file ends with the program that asked", "stopped")
def _(d):
    r = Reading(d)
    r.proc.kill()
    r.proc.communicate()
    wait_for(20, "the reader has ended", lambda: not os.path.exists(f"/proc/{r.pid}"))


@case("a reader that is killed half way is one sentence", "stopped")
def _(d):
    r = Reading(d)
    os.kill(r.pid, signal.SIGKILL)
    has(r.ends(), "the process that reads it was killed by signal 9, Killed: is there enough memory?")


@case("a reader that a file brings down is one sentence", "stopped")
def _(d):
    r = Reading(d)
    os.kill(r.pid, signal.SIGSEGV)
    # A sanitizer has a handler, and an exit code of its own.
    has(r.ends(), "the process that reads it" if SANITIZED else
        "the file is damaged, or made to do harm: nothing of it was taken")


@case("a file that is cut off while it is read is one sentence", "stopped")
def _(d):
    r = Reading(d)
    os.truncate(r.path, 4096)
    has(r.ends(), "the process that reads it" if SANITIZED else
        "the file was cut short, or its disk failed, while it was read")


def warm_start(d, *words):
    """A run from a stranger's file of 64 MiB, which is stopped where its reader is seen: both processes."""
    path, sizes = f"{d.root}/theirs.safetensors", [4, 4096, 4096, 3]
    if not os.path.exists(path):
        safetensors(path, {f"fc{i + 1}.{kind}": ("F32", shape, bytes(4 * shape[0] * (shape + [1])[1]))
                           for i, (n, m) in enumerate(zip(sizes, sizes[1:]))
                           for kind, shape in (("weight", [m, n]), ("bias", [m]))})
    job = tiny(d, resources={"threads": 1, "memory": "1GiB"}, model={"arch": "mlp", "sizes": sizes, "checkpoint": path})
    with open(f"{d.root}/job.json", "w") as f:
        json.dump(job, f)
    for _ in range(20):
        p = subprocess.Popen([f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/run", *words, f"{d.root}/job.json"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while p.poll() is None:
            with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
                children = f.read().split()
            if children:
                try:
                    os.kill(int(children[0]), signal.SIGSTOP)
                    # Before its program runs it has what the run has.
                    with open(f"/proc/{children[0]}/cmdline", "rb") as f:
                        runs = b"--inspect" in f.read()
                    if runs and os.readlink(f"/proc/{children[0]}/fd/5") == path:
                        return p, int(children[0]), path
                    os.kill(int(children[0]), signal.SIGCONT)
                except OSError:
                    pass
        p.communicate()
        subprocess.run(["rm", "-rf", f"{d.root}/run"], check=True)
    raise AssertionError("the reader was never seen: is there one?")


@case("a run has a stranger's file neither open nor mapped: its reader has", "stopped")
def _(d):
    p, reader, path = warm_start(d)
    try:
        eq(os.readlink(f"/proc/{reader}/fd/5"), path, "what the reader has open")
        with open(f"/proc/{p.pid}/maps") as f:
            assert path not in f.read(), "the run has it mapped"
        # It was the run that opened it, and gave it away.
        wait_for(10, "no descriptor of the run has it open", lambda: path not in [
            os.readlink(x) for x in glob.glob(f"/proc/{p.pid}/fd/*") if os.path.lexists(x)])
    finally:
        os.kill(reader, signal.SIGKILL)
        p.kill()
        p.communicate()


@case("a run whose reader is killed says so, and has not begun", "stopped")
def _(d):
    p, reader, path = warm_start(d)
    os.kill(reader, signal.SIGKILL)
    out, err = p.communicate()
    eq(p.returncode in (1, 3), True, f"is {p.returncode} the exit code of a failure? ({err})")
    has(err, "the process that reads it was killed by signal 9")
    eq(glob.glob(f"{d.root}/run/checkpoints/*"), [],
       "its checkpoints")


@case("a pickle that asks for a program is refused with its name, and none is run", "stopped")
def _(d):
    path = f"{d.root}/evil.pt"
    with open(path, "wb") as f:
        f.write(b"\x80\x02cposix\nsystem\n" + b"X" + struct.pack("<I", len(f"touch {d.root}/ran")) +
                f"touch {d.root}/ran".encode() + b"\x85R.")
    has(refused(path), "asks for posix.system; nothing was run")
    eq(os.path.exists(f"{d.root}/ran"), False, "did it run")


# --- diff ---------------------------------------------------------------------------------------------------------

def two(d):
    nan = float("nan")
    a = safetensors(f"{d.root}/a.safetensors", {
        "same": ("F32", [3], floats(1, nan, -0.0)), "moved": ("F32", [2, 2], floats(1, 2, 3, 4)),
        "narrow": ("F16", [1], struct.pack("<e", 1.5)), "grown": ("F32", [1], floats(1)),
        "mine": ("F32", [1], floats(1)), "big": ("I64", [2], struct.pack("<2q", 1, 2**62))})
    b = safetensors(f"{d.root}/b.safetensors", {
        "same": ("F32", [3], floats(1, nan, 0.0)), "moved": ("F32", [2, 2], floats(1, 2.25, 3, 2)),
        "narrow": ("F32", [1], floats(1.5)), "grown": ("F32", [2], floats(1, 1)),
        "theirs": ("F32", [1], floats(1)), "big": ("I64", [2], struct.pack("<2q", 1, 2**62 + 1))})
    return a, b


@case("weights diff says of each tensor whether it is equal, and by how much it is not", "stopped")
def _(d):
    a, b = two(d)
    code, out, err = weights("diff", "--json", a, b)
    eq((code, err), (1, []), "what diff exits with")
    told = json.loads(out)
    of = {t["name"]: t for t in told["tensors"]}
    eq({n: t["verdict"] for n, t in of.items()}, {
        "same": "equal", "moved": "values", "narrow": "type", "grown": "shape", "mine": "only_a", "theirs": "only_b",
        "big": "values"}, "verdicts")
    eq([of["moved"][k] for k in ("different", "largest", "at")], [2, 2, 3], "how moved differs")
    eq([of["narrow"][k] for k in ("different", "largest")], [0, 0], "how narrow differs")
    eq([of["big"][k] for k in ("different", "largest", "at")], [1, 1, 1], "how big differs")
    eq(of["grown"]["b"], {"dtype": "F32", "shape": [2]}, "the other shape")
    eq(of["theirs"]["a"], None, "what A has of it")
    eq(told["equal"], False, "is all equal")
    eq(told["count"], {"equal": 1, "values": 2, "type": 1, "shape": 1, "only_a": 1, "only_b": 1}, "the counts")
    has(weights("diff", a, b)[1], "differs      moved  2 of 4 elements, by 2 at most (element 3)\n")


@case("weights diff exits 0 where all is equal, and 2 where a file cannot be read", "stopped")
def _(d):
    a, b = two(d)
    code, out, err = weights("diff", "--json", a, a)
    eq((code, err, json.loads(out)["equal"]), (0, [], True), "what diff of a file with itself gives")
    # The formats may differ: PyTorch's two have the same tensors.
    eq(weights("diff", f"{TORCH}/views_dtypes_zip.pt", f"{TORCH}/views_dtypes_legacy.pt")[0], 0, "the exit code")
    assert "Paddle" not in weights("diff", a, b)[1], "what nobody can know of two files of safetensors"
    has(weights("diff", f"{TORCH}/views_dtypes_zip.pt", f"{CORPUS}/paddle/dtypes_p4.pdparams")[1],
        "one is PyTorch's and one Paddle's")
    code, out, err = weights("diff", a, f"{d.root}/absent")
    eq((code, out), (2, ""), "what diff with no file gives")
    has(err[0], f"{d.root}/absent: cannot open the file")
    eq(weights("diff", a)[0], 2, "the exit code of one file")


run()
