"""What people do with a machine until its power ends.  Not a test itself.

Each is a thread; each field of a job is changed by one of them only.
"""
import random
import threading
import time

from ledger import NOTHING, Field
from vm import Down

QUICK = 10                                      # jobs that one submitter has at a time
NAMED = {"large": 2}                            # checkpoints with a name that a job has; else:
NAMES = 6


class People:
    def __init__(self, setting, machine, ledger, victims, jobs, seed):
        self.setting, self.m, self.ledger, self.victims, self.jobs = setting, machine, ledger, victims, jobs
        self.over, self.quiet, self.threads = threading.Event(), threading.Event(), []
        r = random.Random(seed)
        quick = [j for j in ledger.living() if jobs.number(j.name) is None]
        deeds = [(self.submit, quick[::2]), (self.submit, quick[1::2]), (self.name,), (self.pause,), (self.look,)]
        for deed, *args in deeds + ([(self.fill,)] if setting == "full" else []):
            self.threads.append(threading.Thread(target=self.until_down, daemon=True,
                                                 args=(deed, random.Random(r.random()), *args)))
        for t in self.threads:
            t.start()

    def until_down(self, deed, *args):
        try:
            deed(*args)
        except Down:
            pass
        except Exception as e:                  # noqa: BLE001: what went wrong is said at the end
            self.ledger.found(f"{deed.__name__}: {e!r}")

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()

    def rest(self, r, low, high):
        """False when it is over."""
        while self.quiet.is_set() and not self.over.is_set():
            time.sleep(0.05)
        return not self.over.wait(r.uniform(low, high))

    def lull(self, seconds):
        """Nobody asks for anything until all is said to be in the bucket, or so long."""
        begun, before = time.monotonic(), self.ledger.written
        self.quiet.set()
        while self.ledger.written == before and time.monotonic() < begun + seconds:
            time.sleep(0.05)
        self.quiet.clear()

    def submit(self, r, mine):
        """Quick jobs, some of them held: labels, priorities, start, cancel, delete.  mine: those of before."""
        say = self.ledger
        while self.rest(r, 0.02, 0.2):
            if not mine or len(mine) < QUICK and r.random() < 0.4:
                job = say.submit(self.m, self.jobs.quick(say.unique("quick"), r.random() < 0.7, -r.randrange(5)))
                mine += [job] if job else []
                continue
            job = r.choice(mine)
            deed = r.choice(["label", "priority", "start", "cancel", "delete"])
            if deed == "label":
                value = {"word": say.unique("v")}
                say.change(self.m, job, job.labels, value, "PATCH", "", {"labels": value})
            elif deed == "priority":
                value = -r.randrange(9)
                say.change(self.m, job, job.priority, value, "PATCH", "", {"priority": value})
            elif deed == "start" and job.run.value == "held":
                say.change(self.m, job, job.run, "run", "POST", "/start", {})
            elif deed == "cancel" and job.run.value != "cancelled":
                say.change(self.m, job, job.run, "cancelled", "POST", "/cancel", {})
            elif deed == "delete" and job.run.value != "held" and \
                    say.change(self.m, job, job.there, False, "DELETE", ""):
                mine.remove(job)

    def name(self, r):
        """Checkpoints with a name, of all long jobs but the one that pause() has; some are deleted."""
        say, most = self.ledger, NAMED.get(self.setting, NAMES)
        while self.rest(r, 0.1, 0.6):
            job = self.victims.get(r.randrange(len(self.jobs.long) - 1))
            if job is None:
                continue
            there = [n for n, f in job.names.items() if f.value]
            if len(there) < most and r.random() < 0.7:
                n = say.unique("name")
                field = job.names[n] = Field(None)
                # Until the answer comes nobody knows which it is.
                say.change(self.m, job, field, "any", "POST", "/checkpoints", {"name": n}, 90,
                           lambda a: {"checkpoint": a["checkpoint"], "digest": a["digest"]})
                if field.value:
                    job.seen = max(job.seen, int(field.value["checkpoint"][5:14]))
            elif there:
                self.delete(job, r.choice(there))

    def delete(self, job, n):
        """With it go all names of the same checkpoint."""
        folder = job.names[n].value["checkpoint"]
        others = [f for f in job.names.values() if f.value and f.value["checkpoint"] == folder]
        for f in others:
            f.asked = None
        if self.ledger.change(self.m, job, Field(None), None, "DELETE", f"/checkpoints/{n}"):
            for f in others:
                f.said.append((time.monotonic(), None))
        for f in others:
            f.asked = NOTHING

    def pause(self, r):
        """The last long job."""
        while self.rest(r, 0.2, 1.5):
            job = self.victims.get(len(self.jobs.long) - 1)
            if job is None:
                continue
            deed, value = ("pause", "paused") if job.run.value == "run" else ("resume", "run")
            self.ledger.change(self.m, job, job.run, value, "POST", f"/{deed}", {})

    def look(self, r):
        """What the API shows is as good as acknowledged."""
        while not self.over.wait(r.uniform(0.1, 0.3)):
            begun = time.monotonic()
            mirror = self.m.call("GET", "/v1/status")[1]["mirror"]
            if mirror and mirror["state"] == "owner" and mirror["unwritten"] == 0:
                self.ledger.written = begun
            for job in list(self.victims.values()):
                status, page = self.m.call("GET", f"/v1/jobs/{job.id}/checkpoints")
                for c in page["checkpoints"] if status == 200 else []:
                    job.seen = max(job.seen, c["step"])
                    if c["durability"] and c["durability"]["state"] == "verified":
                        job.verified = max(job.verified, c["step"])
                        job.certain.update((n, c["digest"]) for n in c["names"])

    def fill(self, r):
        """The disk, with something that is not rekindled's."""
        while True:
            free = r.choice([0, 0, 1, 2, 4, 16, 40])     # MiB
            self.m.sh(f"avail=$(df --output=avail -k / | tail -1); size=$((avail - {free} * 1024)); "
                      "[ $size -le 0 ] || fallocate -l ${size}K /filler-$RANDOM")
            self.ledger.count["times filled"] += 1
            if not self.rest(r, 1, 4):
                return
            if r.random() < 0.3:
                self.m.sh("rm -f /filler-*")
            if not self.rest(r, 0.1, 2):
                return
