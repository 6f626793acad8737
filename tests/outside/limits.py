#!/usr/bin/env python3
"""What a control group lets the daemon have, in groups that the kernel keeps: of
version 1 or 2, whichever of them this machine lets us make."""
import contextlib
import glob
import json
import os
import re
import subprocess

from t import BUILD, SANITIZED, Skip, case, eq, has, limit, run, tiny, wait_for


def mounts():
    """(type, super options, mount point) of each hierarchy, as it is seen from its root."""
    for line in open("/proc/self/mountinfo"):
        f, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        if kind in ("cgroup", "cgroup2") and f.split()[3] == "/":
            yield kind, options.split(","), f.split()[4]


def own(controller):
    for line in open("/proc/self/cgroup"):
        _, names, path = line.rstrip("\n").split(":", 2)
        if (controller in names.split(",")) if controller else names == "":
            return path
    return None


def parent_of(controller):
    """Where a group with this controller can be made, and its version."""
    for kind, options, point in mounts():
        if kind == "cgroup" and controller in options and own(controller) is not None:
            return point + own(controller).rstrip("/"), 1
        if kind == "cgroup2" and own("") is not None:
            # Below a group with processes no controller can be handed down.
            with contextlib.suppress(OSError):
                if controller in open(f"{point}/cgroup.subtree_control").read().split():
                    return point, 2
    raise Skip(f"no group with the controller {controller} can be made here")


FILES = {("memory", 1): lambda v: {"memory.limit_in_bytes": v}, ("memory", 2): lambda v: {"memory.max": v},
         ("cpu", 1): lambda v: {"cpu.cfs_period_us": 100000, "cpu.cfs_quota_us": v},
         ("cpu", 2): lambda v: {"cpu.max": f"{v} 100000"}}


def remove(path):
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def groups(d, **limits):
    """A group with these limits and one below it without; the folders of the
    latter, where the daemon and its trainers go."""
    made, into = [], []
    try:
        for controller, value in limits.items():
            parent, version = parent_of(controller)
            top = f"{parent}/rk-test-{os.getpid()}"
            try:
                for path in (top, f"{top}/below"):
                    if not os.path.isdir(path):
                        os.mkdir(path)
                        made.append(path)
                    if version == 2 and path == top:
                        with open(f"{top}/cgroup.subtree_control", "w") as f:
                            f.write(" ".join(f"+{c}" for c in limits))
                for name, v in FILES[controller, version](value).items():
                    with open(f"{top}/{name}", "w") as f:
                        f.write(str(v))
            except OSError as e:
                raise Skip(f"no group can be made in {parent}: {e}") from None
            into.append(f"{top}/below")
        yield into
    finally:
        d.kill()
        d.signal_trainers(9)
        for path in reversed(made):
            wait_for(20, f"{path} is empty", lambda path=path: remove(path))


def in_groups(into):
    """A command's prefix, so that it runs there."""
    enter = "; ".join(f"echo $$ >{g}/cgroup.procs" for g in into)
    return "sh", "-ec", f'{enter}; exec "$@"', "-"


def start_in(d, into, *flags):
    return d.start(*flags, prefix=in_groups(into))


def capacity(d):
    return re.search(r"(\d+) threads? and (.*) for jobs", d.log()).groups()


@case("where nobody says how much memory is for jobs it is eight tenths of the machine's")
def _(d):
    with open("/proc/meminfo") as f:
        all_ = int(re.search(r"MemTotal: *(\d+) kB", f.read()).group(1)) << 10
    job = dict(tiny(d), hold=True, resources={"memory": all_ * 8 // 10 + (1 << 20)})
    has(d.post("/v1/jobs", job, want=422).text, "resources.memory")


@case("memory and processors that a group above the daemon's own allows are what jobs may take", "stopped")
def _(d):
    with groups(d, memory=320 << 20, cpu=150000) as into:
        start_in(d, into)
        eq(capacity(d), ("1", "256 MiB"), "what jobs may take")
        eq(d.post("/v1/jobs", {"name": "big", "resources": {"memory": "257MiB"}}).status, 422, "more than that")
        d.kill()
        # What a person says counts more.
        start_in(d, into, "--threads", "2", "--memory", "1GiB")
        assert "2 threads and 1 GiB for jobs" in d.log(), d.log()
        d.kill()


@case("a trainer that a quota stops again and again ends with the same bytes", "stopped")
def _(d):
    job = tiny(d, "slow", epochs=2)
    job["model"]["sizes"] = [4, 300, 300, 3]
    path = f"{d.root}/slow.json"
    with open(path, "w") as f:
        json.dump(job, f)

    def train(rundir, prefix=()):
        subprocess.run([*prefix, f"{BUILD}/rekindle-train", "--run-dir", f"{d.root}/{rundir}", "--threads", "4", path],
                       check=True, stdout=subprocess.DEVNULL, timeout=limit(120))
        last = sorted(glob.glob(f"{d.root}/{rundir}/checkpoints/step-*"))[-1]
        with open(f"{last}/model.safetensors", "rb") as f:
            return f.read()
    want = train("free")
    with groups(d, cpu=30000) as into:
        eq(train("held", in_groups(into)) == want, True, "the same bytes")


@case("a trainer that runs alone starts as many threads as its quota has whole processors", "stopped")
def _(d):
    path = f"{d.root}/alone.json"
    job = tiny(d, "alone")
    job["resources"] = {"memory": "1GiB"}
    with open(path, "w") as f:
        json.dump(job, f)

    def threads(*flags, prefix=()):
        out = subprocess.run([*prefix, f"{BUILD}/rekindle-train", "--profile", *flags, path], check=True,
                             capture_output=True, text=True, timeout=limit(60)).stdout
        return re.search(r"; (\d+ threads?), arithmetic", out).group(1)
    cores = len(os.sched_getaffinity(0))
    eq(threads(), f"{cores} thread{'s' if cores > 1 else ''}", "without a quota")
    with groups(d, cpu=150000) as into:
        eq(threads(prefix=in_groups(into)), "1 thread", "of a processor and a half")
        eq(threads("--threads", "3", prefix=in_groups(into)), "3 threads", "what a person says counts more")


@case("a trainer that the kernel killed for memory is said to be that, with what to set", "stopped")
def _(d):
    if SANITIZED:
        raise Skip("a sanitized daemon has no room in 160 MiB itself")
    with groups(d, memory=160 << 20) as into:
        # It lets jobs have more than there is.
        start_in(d, into, "--memory", "2GiB")
        big = tiny(d, "big", retries=1, resources={"threads": 1, "memory": "1GiB"})
        big["model"]["sizes"] = [4, 4000, 4000, 3]      # 256 MB with gradients and Adam's moments
        i = d.submit(big)
        j = d.wait_state(i, "failed")
        eq(j["reason"], "out_of_memory", j["message"])
        for part in ("the kernel killed the trainer after step 0", "may have 160 MiB", "raise MemoryMax=",
                     "less than the job's resources.memory (1 GiB)", "lower capacity.memory", "that was crash 2 in a row"):
            has(j["message"], part)
        eq([a["outcome"] for a in d.get(f"/v1/jobs/{i}/attempts").json["attempts"]], ["out_of_memory"] * 2)
        has(d.get("/metrics").text, "rekindle_oom_kills_total 2\n")
        eq([m for m in d.events(i) if "raise MemoryMax=" in m][1:], [j["message"]], "how often what to set is said")
        # One that somebody kills is not.
        i = d.submit(tiny(d, "small", epochs=200000, retries=0))
        d.wait_state(i, "running")
        d.signal_trainers(9)
        eq(d.wait_state(i, "failed")["reason"], "crashed", "reason")


run()
