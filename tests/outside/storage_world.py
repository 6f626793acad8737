"""Machines that come and go on one bucket, and the jobs on them.  Not a test itself.

    w = World(root, seed, log)          # a store with moods, its rules and looks, objects of strangers, a neighbour
    m = w.fresh()                       # a new machine, with a daemon
    m = w.back()                        # one of before, or a copy of one
    m = w.settled()                     # whoever has the jobs, as soon as nobody else is left
    w.owner()                           # the same at once, or None
    w.sleep(low, high)                  # what is wrong meanwhile is raised
    w.end()
"""
import hashlib
import json
import os
import random
import signal
import time

from moods import NAME, Moody
from storage_looks import Looks
from storage_rules import Rules
from stub import Object
from t import SLOW, Daemon, csv, tiny, wait_for

TAKEN = 7                               # what a daemon ends with whose jobs another has
AGAIN = 1                               # and one whose claim stopped the other, when it knows too late to go on
ENDED = ("succeeded", "failed", "cancelled")

# Networks by word; a run lasts a second or two.
KINDS = {
    "adam": ([4, 64, 64, 64, 3], 100, {"type": "adam", "learning_rate": 0.002}),
    "momentum": ([4, 96, 64, 3], 120, {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True}),
    "decay": ([4, 128, 32, 3], 120, {"type": "adamw", "learning_rate": 0.002, "weight_decay": 0.01}),
}


def network(d, kind, name, **more):
    sizes, epochs, optimizer = KINDS[kind]
    job = tiny(d, name, retries=100, **more)
    job["model"] = {"arch": "mlp", "sizes": sizes}
    job["training"] = {"epochs": epochs, "batch_size": 512, "optimizer": optimizer}
    job["checkpoint"] = {"every": {"steps": 20}}
    return job


# --- a machine --------------------------------------------------------------------

class Machine:
    """A directory, and at times a daemon on it."""

    def __init__(self, world, name, directory=None, instance="gpu-a"):
        self.w, self.name, self.instance, self.starts = world, name, instance, 0
        self.directory = directory or name      # copies have the word of the first
        self.root = f"{world.root}/{name}"
        os.makedirs(self.root, exist_ok=True)
        self.d = Daemon(self.root)
        self.state, self.who, self.ending = "down", None, False
        self.acked = {}                 # jobs that it has said yes to: {id: highest claim then}

    def is_up(self):
        return self.state == "up"

    def start(self):
        self.starts += 1
        self.who = f"{self.name}.{self.starts}"
        w = self.w
        config = {"stores": [w.st.door(self.who)], "ship": {"retry_base": 0.05, "retry_max": 0.3},
                  "retry": {"base": 0.05, "max": 0.2}, "preempt": {"cloud": "none"}, "stop_timeout": 5,
                  "mirror": {"prefix": "s3://b/team/", "instance": self.instance, "check": 0.3, "start_wait": 0.5}}
        path = f"{self.root}/rekindled.yaml"
        with open(path, "w") as f:
            json.dump(config, f)
        os.chmod(path, 0o600)
        w.rules.process(self.who, self.instance, self.directory)
        self.ending = False
        self.d.flags = ["--config", path, "--threads", "3"]
        self.d.start()
        self.state = "up"
        w.note(f"{self.name} starts as {self.who}")

    def expected_end(self, rc):
        if rc == TAKEN and self.w.rules.instances[self.instance].top() > self.claimed():
            return True
        if rc == AGAIN and self.claimed() == self.w.rules.instances[self.instance].top():
            return "started again, it takes them over" in self.d.log()
        return self.ending and rc == 0 or self.state != "up"

    def claimed(self):
        claims = self.w.rules.instances[self.instance].claims
        return max((n for n, who in claims.items() if who == self.who), default=0)

    def freeze(self, trainers):
        self.state = "frozen"
        self.d.proc.send_signal(signal.SIGSTOP)
        if trainers:
            self.d.signal_trainers(signal.SIGSTOP)

    def thaw(self):
        self.d.proc.send_signal(signal.SIGCONT)
        self.d.signal_trainers(signal.SIGCONT)
        with self.w.st.lock:
            self.w.rules.thawed(self.who)
        self.state = "up"

    def kill(self, trainers):
        """-9 of the daemon; trainers: those, too, and before it can start others."""
        if self.state == "down":
            return
        self.state = "down"
        if trainers:
            self.d.proc.send_signal(signal.SIGSTOP)
            self.d.signal_trainers(signal.SIGKILL)
        self.d.kill()
        self.d.signal_trainers(signal.SIGCONT)

    def ended(self):
        """It has left by itself."""
        if self.state == "up" and self.d.proc.poll() is not None:
            rc = self.d.proc.returncode
            assert self.expected_end(rc), f"{self.name} ended with {rc}: {self.d.log()[-600:]}"
            self.state = "down"
            self.d.proc.stdout.close()
            self.w.note(f"{self.name} has left with {rc}")
            if rc == AGAIN:
                self.start()            # as systemd does
        return self.state == "down"

    def mirror(self):
        return self.d.get("/v1/status").json["mirror"]

    def is_owner(self):
        if self.state != "up" or self.ended():
            return False
        try:
            return self.mirror()["state"] == "owner"
        except OSError:
            return False


# --- the world --------------------------------------------------------------------

class World:
    def __init__(self, root, seed, log):
        self.root, self.seed, self.log, self.begun = root, seed, log, time.monotonic()
        self.rng = random.Random(seed)
        self.rules = Rules()
        self.st = Moody(self.rules, random.Random(seed))
        self.rules.bucket, self.rules.note = self.st.buckets[NAME], self.note
        self.looks = Looks(self.st, self.rules)
        self.machines, self.jobs, self.n = [], {}, 0
        self.did = {}
        csv(f"{root}/tiny.csv", rows=6000)
        self.strangers()
        self.looks.start()
        self.neighbour = self.machine(instance="gpu-b") if self.rng.random() < 0.5 else None
        if self.neighbour:
            self.neighbour.start()
            self.submit(self.neighbour, "adam", self.spec("adam"))

    def note(self, text):
        self.log.write(f"{time.monotonic() - self.begun:8.3f} {text}\n")
        self.log.flush()

    def strangers(self):
        """Objects of others, also where only ours are expected."""
        ours = "team/jobs/01m8pskwzdhpr08tbpbk66nf5s/checkpoints/step-000000015-e1/"
        for key in ("notes.txt", "team/notes.txt", "team/jobs/notes.txt", "team/instances/gpu-c/epochs/0000000007.json",
                    f"{ours}notes.txt", f"{ours}checkpoint.json", f"{ours}remote.json", f"{ours}model.safetensors"):
            body = f"{key} is mine".encode()
            self.rules.strangers[key] = body
            with self.st.lock:
                dict.__setitem__(self.st.buckets[NAME], key, Object(body, hashlib.md5(body).hexdigest(), 0, {}))

    def check(self):
        wrong = self.st.wrong + self.looks.wrong
        assert not wrong, "\n    ".join(wrong[:5])

    def sleep(self, low, high):
        """Polled, so that what is wrong is said soon."""
        until = time.monotonic() + self.rng.uniform(low, high) * SLOW
        while time.monotonic() < until:
            self.check()
            time.sleep(0.02)

    def end(self):
        self.looks.stop()
        self.st.heal()
        for m in self.machines:
            m.kill(True)
            m.d.signal_trainers(signal.SIGKILL)
        self.st.stop()

    # -- machines

    def machine(self, directory=None, instance="gpu-a"):
        self.n += 1
        m = Machine(self, f"m{self.n}", directory, instance)
        self.machines.append(m)
        self.looks.machines.append(m)
        return m

    def fresh(self):
        m = self.machine()
        m.start()
        return m

    def ours(self, *states):
        return [m for m in self.machines if m.instance == "gpu-a" and m.state in states and os.path.isdir(m.d.state)]

    def owner(self):
        """The machine that has the jobs, None: nobody for now."""
        return next((m for m in reversed(self.ours("up")) if m.is_owner()), None)

    def settled(self):
        """One owner, and all others have left; as soon as a bucket that is well allows."""
        def one():
            self.check()
            up = [m for m in self.ours("up") if not m.ended()]
            if not up:                  # who went on alone and was replaced has left, too
                self.rng.choice([self.fresh, self.back])()
            return len(up) == 1 and up[0].is_owner()
        wait_for(60, "one has the jobs and no other is left", one)
        m = self.owner()
        self.kept(m)
        return m

    def kept(self, m):
        """A directory loses nothing that it acknowledged, if nobody else took over since."""
        claims = self.rules.instances["gpu-a"].claims
        here = {j["id"] for j in m.d.get("/v1/jobs?limit=100").json["jobs"]}
        for i, top in m.acked.items():
            since = {w for n, w in claims.items() if n > top}
            if all(self.rules.who[w][1] == m.directory for w in since) and i not in self.rules.to_delete:
                assert i in here, f"lost: {m.name} has forgotten {i}, which it had acknowledged"

    def back(self):
        """A directory of before, as it was left or as it was copied."""
        old = self.ours("down")
        m = self.rng.choice(old) if old else self.machine()
        self.note(f"{m.name} comes back")
        m.start()
        return m

    # -- jobs

    def submit(self, m, kind, spec):
        r = m.d.post("/v1/jobs", spec)
        if r.status != 201:
            assert r.status in (409, 503), f"{m.name} refuses a job: {r.status} {r.text}"
            return r.status
        i = r.json["id"]
        with self.st.lock:
            m.acked[i] = self.rules.instances[m.instance].top()
            self.rules.kinds[i] = kind
            self.rules.jobs.setdefault(i, m.instance)
        self.jobs[i] = spec
        return i

    def spec(self, kind):
        job = network(self, kind, f"j{len(self.jobs)}")
        job["checkpoint"]["keep"] = {"last": self.rng.randint(1, 3), "best": self.rng.randint(0, 1)}
        job["checkpoint"]["require_remote"] = self.rng.random() < 0.7
        return job
