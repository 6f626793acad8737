"""The words of the tests that kill with -9: a daemon and its trainers over copies of one job, at moments that are
drawn or chosen and on other threads each time, and what must come out of it all the same.  Not a test itself.

    storm = Storm(d, job, rng)              or Ordeal(d, job, rng)
    storm.calm()                            the run that nobody disturbs
    storm.rage(["trainer", "daemon", ...])  kills, one for each word
    storm.over()                            every copy is what the first was
"""
import collections
import glob
import hashlib
import json
import os
import shutil
import signal
import time

from t import SLOW, crowd, eq, wait_for

THREADS = (1, 2, 3, 4)
LOADERS = (1, 2, 3, 5, 8)
ENDED = ("succeeded", "failed", "cancelled")
MISSES = 60                             # of one moment, before it is said that it never comes
# What a line says of the attempt that wrote it, and not of the training.
PASSING = ("attempt", "branch", "time_ms", "evaluation", "samples_per_second", "stall_ratio", "data_wait_ratio",
           "broken", "checkpoint_write_seconds", "checkpoint_overhead_ratio")


# --- what a job leaves ------------------------------------------------------------

def submit(d, job):
    kind = "application/yaml" if isinstance(job, str) else "application/json"
    return d.submit(job, headers={"Content-Type": kind})


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def checkpoints(d, i):
    return sorted(glob.glob(f"{d.state}/jobs/{i}/checkpoints/step-*"))


def final(d, i):
    """The last checkpoint's name, the digests of its tensors, and what else it has of the training."""
    last = checkpoints(d, i)[-1]
    with open(f"{last}/checkpoint.json") as f:
        told = json.load(f)
    more = {k: told[k] for k in ("step", "epoch", "metrics", "learning_rate")}
    more.update((k, told["state"].get(k)) for k in ("schedule", "phase", "updates", "last_epoch", "valid",
                                                   "best"))
    return os.path.basename(last), {os.path.basename(p): sha(p) for p in glob.glob(f"{last}/*.safetensors")}, more


def trained(d, i):
    """{checkpoint: digests} of the model, whole or in shards, and the optimiser in all that are kept."""
    parts = ("model", "frozen-*", "trained", "optimizer")
    return {os.path.basename(c): [sha(p) for part in parts for p in sorted(glob.glob(f"{c}/{part}.safetensors"))]
            for c in checkpoints(d, i)}


def lines(d, i, name):
    """Of a file of JSON lines; one that a kill has torn is none."""
    found = []
    try:
        with open(f"{d.state}/jobs/{i}/{name}", "rb") as f:
            for line in f:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    pass
    except FileNotFoundError:
        pass
    return found


def told(d, i, name):
    """What was said of each step, in their order: by every attempt that came to it the same."""
    found = {}
    for x in lines(d, i, name):
        key = x["step"], x.get("split", ""), x.get("over", "")
        figures = {k: v for k, v in x.items() if k not in PASSING}
        eq(figures, found.setdefault(key, figures), f"{name}: {key} by attempt {x['attempt']} of {i}")
    return dict(sorted(found.items()))


def attempts(d, i):
    return {a["attempt"]: a for a in d.get(f"/v1/jobs/{i}/attempts?limit=500").json["attempts"]}


def no_step_twice(d, i):
    """In no attempt, and none is left out: they follow one another from where it began."""
    starts, at = {n: a["start_step"] for n, a in attempts(d, i).items()}, {}
    for x in lines(d, i, "metrics.jsonl"):
        n, step = x["attempt"], x["step"]
        if x["over"] != "steps":
            continue
        if n in at:
            eq(step, at[n] + x["steps"], f"step behind {at[n]} in attempt {n} of {i}")
        else:
            # A line may be of steps that the attempt before it made.
            assert starts[n] < step <= starts[n] + x["steps"], f"attempt {n} of {i}, from {starts[n]}: first {step}"
        at[n] = step


# --- trainers ---------------------------------------------------------------------

def threads_of(pid):
    """What its daemon gave it; None: it has gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            argv = f.read().split(b"\0")
        return int(argv[argv.index(b"--threads") + 1])
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None


def send(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def kill9(pid):
    send(pid, signal.SIGKILL)


def tasks(pid):
    """(name, state) of each of its threads."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/stat"):
        try:
            with open(path) as f:
                text = f.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append((text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2]))
    return found


def freeze(pid):
    """All its threads stand still, and none will do anything more."""
    send(pid, signal.SIGSTOP)
    wait_for(30, f"{pid} stands still", lambda: all(state in "TZX" for _, state in tasks(pid)))


# --- storms -----------------------------------------------------------------------

class Storm:
    """A daemon that is killed and started again with another number of threads; the job says none of its own."""

    def __init__(self, d, job, rng):
        self.d, self.job, self.rng = d, job, rng
        self.ids, self.threads, self.seen = [], THREADS[0], set()
        self.kills = collections.Counter()

    def start(self):
        self.threads = self.rng.choice([n for n in THREADS if n != self.threads])
        self.d.start("--config", f"{self.d.root}/c.yaml", "--threads", str(self.threads))

    def calm(self, seconds=300):
        """Run it once; then the daemon is another.  What must come out: self.want."""
        d = self.d
        with open(f"{d.root}/c.yaml", "w") as f:
            json.dump({"retry": {"base": 0.05, "max": 0.2}}, f)
        d.start("--config", f"{d.root}/c.yaml", "--threads", str(THREADS[0]))
        self.first = submit(d, self.job)
        d.wait_state(self.first, "running", *ENDED)
        begun = time.monotonic()
        eq(d.wait_state(self.first, *ENDED, seconds=seconds)["state"], "succeeded", d.job(self.first)["message"])
        self.took = (time.monotonic() - begun) / SLOW
        self.want = final(d, self.first)
        d.kill()
        self.start()

    def trainer(self):
        """One that runs, of a job that has not ended."""
        def look():
            if not self.ids or self.d.job(self.ids[-1])["state"] in ENDED:
                self.ids.append(submit(self.d, self.job))
            for p in self.d.trainers(self.ids[-1]):
                if threads_of(p) is not None:
                    return p
            return None
        return wait_for(60, "a trainer runs", look)

    def kill_daemon(self, pid):
        """Alone the trainer would save and leave; half of the time it cannot."""
        alone = self.rng.random() < 0.5
        self.d.kill()
        send(pid, signal.SIGCONT)
        if not alone:
            time.sleep(self.rng.uniform(0, 0.01))
            kill9(pid)
        self.start()

    def strike(self, what):
        """False: the moment was missed."""
        pid = self.trainer()
        time.sleep(self.rng.uniform(0, self.spread) * SLOW)
        n = threads_of(pid)
        if n is None:
            return False                # it was done meanwhile
        self.seen.add(n)
        if what == "trainer":
            kill9(pid)
            eq(self.d.stop(), 0, "the daemon's exit")
            self.start()
        else:
            self.kill_daemon(pid)
        return True

    def rage(self, todo):
        # Many kills are to meet one and the same job.
        self.spread = min(2, 0.7 * self.took, 2 * self.took / len(todo))
        missed = collections.Counter()
        self.rng.shuffle(todo)
        while todo:
            what = todo[-1]
            if self.strike(what):
                self.kills[what] += 1
                todo.pop()
                continue
            missed[what] += 1
            assert missed[what] < MISSES, f"the moment never comes: {what}; killed so far: {dict(self.kills)}"

    def same(self, i):
        eq(final(self.d, i), self.want, f"{i} after {self.d.job(i)['attempt']} attempts")

    def over(self, seed, seconds=300):
        tried = 0
        for i in self.ids:
            j = self.d.wait_state(i, *ENDED, seconds=seconds)
            eq(j["state"], "succeeded", f"state ({j['message']})")
            eq(j["exact"], True, "exact")
            self.same(i)
            tried += j["attempt"]
        kills = ", ".join(f"{n} {what}" for what, n in sorted(self.kills.items()))
        print(f"    kills: {kills}; {len(self.ids)} jobs, {tried} attempts, threads {sorted(self.seen)}, "
              f"{self.want[0]}, seed {seed}", flush=True)


class Ordeal(Storm):
    """The jobs go on with other threads and loader threads of their own, and die also at moments that are chosen:

    trainer, daemon   at any
    writing           while a checkpoint is written
    reading           while a thread of the loader runs
    judging           at the end of an epoch, before its evaluation is there
    unpacking         while a gzipped tar is unpacked, which has to be at hand

    It is the trainer that dies then; of "daemon writing" and so on it is the daemon.
    Before it is killed a trainer is frozen and asked to pause: it has no time to save, and the job waits for whom gives
    it other threads.
    """

    def __init__(self, d, job, rng):
        super().__init__(d, job, rng)
        self.loaders, self.seen_loaders = 1, set()

    def calm(self, seconds=300):
        super().calm(seconds)
        i = self.first
        self.rows = {name: told(self.d, i, name) for name in ("metrics.jsonl", "evaluations.jsonl")}
        no_step_twice(self.d, i)
        self.kept = trained(self.d, i)
        self.reason = self.d.job(i)["reason"]
        self.ends = {step for step, split, over in self.rows["metrics.jsonl"] if over == "epoch" and split == "train"}
        self.judged_s = self.time_to_judge(lines(self.d, i, "metrics.jsonl"))
        self.waits = [x["data_wait_ratio"] for x in lines(self.d, i, "metrics.jsonl") if "data_wait_ratio" in x]

    @staticmethod
    def time_to_judge(rows):
        """Of an evaluation: from an epoch's last step to the line of the epoch."""
        at = {x["step"]: x["time_ms"] for x in rows if x["over"] == "steps"}
        took = [x["time_ms"] - at[x["step"]] for x in rows if x["split"] == "train" and x["over"] == "epoch" and
                x["step"] in at]
        return sorted(took)[len(took) // 2] / 1000 if took else 0

    # Moments.  Each ends with the trainer frozen, or gone on with: then it is not
    # the moment that was meant.

    def at_any(self, i, pid):
        time.sleep(self.rng.uniform(0, self.spread) * SLOW)
        freeze(pid)
        return True

    def soon(self, pid, look):
        """Polled closely, for as long as the trainer lives and half a run takes."""
        until = time.monotonic() + max(10, self.took * SLOW)
        while time.monotonic() < until and threads_of(pid) is not None:
            if look():
                return True
            time.sleep(0.0005)
        return False

    def at_writing(self, i, pid):
        def written():
            return glob.glob(f"{self.d.state}/jobs/{i}/checkpoints/.tmp-step-*")
        if not self.soon(pid, written):
            return False
        time.sleep(self.rng.uniform(0, 0.004))
        freeze(pid)
        return bool(written())

    def at_reading(self, i, pid):
        time.sleep(self.rng.uniform(0, self.spread) * SLOW)
        if not self.soon(pid, lambda: ("rk-loader", "R") in tasks(pid)):
            return False
        freeze(pid)
        return True

    def at_unpacking(self, i, pid):
        packed = self.job["data"]["train"]["path"]
        making = f"{packed}.unpacking"
        if self.soon(pid, lambda: os.path.exists(making)):
            time.sleep(self.rng.uniform(0, 0.02))
            freeze(pid)
            if os.path.exists(making):
                return True
        # Too late: it is unpacked.
        send(pid, signal.SIGCONT)
        self.change(i, lambda: shutil.rmtree(f"{packed}.unpacked", ignore_errors=True))
        return False

    def at_judging(self, i, pid):
        path = f"{self.d.state}/jobs/{i}/metrics.jsonl"
        size = os.path.getsize(path) if os.path.exists(path) else 0

        def last():
            with open(path, "rb") as f:
                f.seek(max(0, os.path.getsize(path) - 4096))
                whole = f.read().rpartition(b"\n")[0]
            return json.loads(whole.rpartition(b"\n")[2])

        def ended():
            if not os.path.exists(path) or os.path.getsize(path) <= size:
                return False
            x = last()
            return x["over"] == "steps" and x["step"] in self.ends
        if not self.soon(pid, ended):
            return False
        time.sleep(self.rng.uniform(0, 0.8 * self.judged_s) * SLOW)
        freeze(pid)
        return last()["over"] == "steps"

    def strike(self, what):
        pid = self.trainer()
        i = self.ids[-1]
        n, loaders = threads_of(pid), self.loaders
        victim, _, moment = what.rpartition(" ")
        at = getattr(self, f"at_{moment}", self.at_any)
        if not at(i, pid) or threads_of(pid) is None:
            send(pid, signal.SIGCONT)
            return False
        self.seen.add(n)
        self.seen_loaders.add(loaders)
        if "daemon" in (victim, moment):
            self.kill_daemon(pid)
            self.change(i)
            return True
        asked = self.d.post(f"/v1/jobs/{i}/pause", {}).status
        kill9(pid)
        if self.d.wait_state(i, "paused", *ENDED)["state"] != "paused":
            return False                # it had said before that it was done
        eq(asked, 202, "status of the pause")
        self.go_on(i)
        return True

    def change(self, i, meanwhile=lambda: None):
        """A job that may run, be about to, or have ended."""
        self.d.post(f"/v1/jobs/{i}/pause", {})
        state = self.d.wait_state(i, "paused", *ENDED)["state"]
        meanwhile()
        if state == "paused":
            self.go_on(i)

    def go_on(self, i):
        self.loaders = self.rng.choice([n for n in LOADERS if n != self.loaders])
        threads = self.rng.choice([n for n in THREADS if n != self.threads])
        self.threads = threads
        self.d.post(f"/v1/jobs/{i}/resume", {"overrides": {"resources": {"threads": threads},
                                                          "data": {"threads": self.loaders}}}, want=202)

    def start(self):
        """One that may give as many as a job wants."""
        self.d.start("--config", f"{self.d.root}/c.yaml", "--threads", str(THREADS[-1]))

    def revivals(self, times):
        """Milliseconds from a kill -9 of the trainer to the first line of the next attempt, each."""
        found = []
        while len(found) < times:
            pid = self.trainer()
            path = f"{self.d.state}/jobs/{self.ids[-1]}/metrics.jsonl"

            def size():
                return os.path.getsize(path) if os.path.exists(path) else 0
            was = size()
            if not self.soon(pid, lambda: size() > was):
                continue
            time.sleep(self.rng.uniform(0, 0.3))
            kill9(pid)
            at, was = time.monotonic(), size()
            wait_for(60, "it goes on", lambda: size() > was or self.d.job(self.ids[-1])["state"] in ENDED)
            if size() > was:
                found.append(round(1000 * (time.monotonic() - at)))
        return found

    def same(self, i):
        super().same(i)
        for name, rows in self.rows.items():
            got = told(self.d, i, name)
            eq(sorted(got), sorted(rows), f"steps of {name} of {i}")
            for key, figures in rows.items():
                eq(got[key], figures, f"{name} of {i}: {key}")
        no_step_twice(self.d, i)
        kept = trained(self.d, i)
        for name in kept.keys() & self.kept.keys():
            eq(kept[name], self.kept[name], f"{name} of {i}")
        eq(self.d.job(i)["reason"], self.reason, f"reason of {i}")

    def over(self, seed, seconds=300):
        super().over(seed, seconds)
        steps = sum(over == "steps" for _, _, over in self.rows["metrics.jsonl"])
        made = sum(x["over"] == "steps" for i in self.ids for x in lines(self.d, i, "metrics.jsonl"))
        wait = f", waits for data {100 * self.waits[-1]:.1f} %" if self.waits else ""
        print(f"    loader threads {sorted(self.seen_loaders)}; {steps} lines of steps a run, {made} in all; "
              f"undisturbed {self.took:.1f} s{wait}; {len(self.want[1])} files of tensors; load {crowd():.1f}", flush=True)
