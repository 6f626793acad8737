"""What rekindled has acknowledged, written down on this side of the cut.  Not a test itself.

A job has fields that people change (what it should do, labels, priority, whether it is there at all, a checkpoint's name).
Of each field the ledger has the values that were acknowledged, with the time, and the one that was asked for and never
answered: after the cut the field has the last acknowledged value, or the one in doubt.  On a machine that took the jobs
over from the bucket it may have any value that was not overwritten when everything was last said to be written there.
"""
import threading
import time

LIVE = ("queued", "starting", "running", "succeeded")
# What a job is that should run, and cannot just now.
WAITS = ("uploading", "disk_full", "fetching")
STATES = {"held": ("held",), "run": LIVE, "paused": ("paused", "succeeded"), "cancelled": ("cancelled", "succeeded")}
NOTHING = object()


def may_be(value, job):
    """May a job of which this was said be as the API shows it?"""
    return job["state"] in STATES[value] or \
        value == "run" and job["state"] == "paused" and job["desired"] == "run" and job["reason"] in WAITS


class Field:
    def __init__(self, value, at=None):
        self.said = [(at or time.monotonic(), value)]
        self.asked = NOTHING

    @property
    def value(self):
        return self.said[-1][1]

    def possible(self, since=None):
        """The values that it may have, the newest first; since: of a machine that knows what was written then."""
        kept = self.said[-1:]
        if since is not None:
            before = [x for x in self.said if x[0] < since]
            kept = before[-1:] + [x for x in self.said if x[0] >= since]
        values = [v for _, v in reversed(kept)]
        return values if self.asked is NOTHING else [self.asked, *values]

    def settle(self, fits, since=None):
        """After a cut: the newest possible value for which fits(value), which is the field's from now on.  Is there one?"""
        for v in self.possible(since):
            if fits(v):
                self.said, self.asked = [(time.monotonic(), v)], NOTHING
                return True
        self.asked = NOTHING
        return False


class Job:
    def __init__(self, i, spec, key, asked_at):
        self.id, self.spec, self.key, self.name = i, spec, key, spec["name"]
        self.born = asked_at                    # not written in a bucket before this
        self.run = Field("held" if spec.get("hold") else "run")
        self.labels, self.priority, self.there = Field({}), Field(spec.get("priority", 0)), Field(True)
        self.names = {}                         # name -> Field of {checkpoint, digest}, or None
        self.seen = 0                           # the highest step of a checkpoint that was shown
        self.verified = 0                       # of one that was said to be verified in the bucket
        self.certain = {}                       # name -> digest: named, and said to be verified


class Ledger:
    def __init__(self, count, found):
        self.jobs, self.lock, self.count, self.found = {}, threading.Lock(), count, found
        self.submitted = []                     # [key, spec, id or None, asked_at]: None: no answer came
        self.serial = 0
        self.written = None                     # when all that had been said was in the bucket

    def unique(self, prefix):
        with self.lock:
            self.serial += 1
            return f"{prefix}{self.serial}"

    def living(self):
        with self.lock:
            return [j for j in self.jobs.values() if j.there.value]

    # --- what people ask for -----------------------------------------------------

    def submit(self, m, spec):
        entry = [self.unique("key-"), spec, None, time.monotonic()]
        with self.lock:
            self.submitted.append(entry)
        status, answer = m.call("POST", "/v1/jobs", spec, key=entry[0])
        if status != 201:
            with self.lock:
                self.submitted.remove(entry)
            self.refused("submit", status, answer)
            return None
        self.count["acknowledged"] += 1
        return self.add(entry, answer["id"])

    def add(self, entry, i):
        entry[2] = i
        job = Job(i, entry[1], entry[0], entry[3])
        with self.lock:
            self.jobs[i] = job
        return job

    def change(self, m, job, field, value, method, path, body=None, seconds=20, shown=None):
        """Ask for it; it is noted when it has been acknowledged.  shown: makes the value of the answer."""
        field.asked = value
        status, answer = m.call(method, f"/v1/jobs/{job.id}{path}", body, seconds=seconds)
        field.asked = NOTHING
        if status not in (200, 201, 202, 204):
            self.refused(f"{method} {path}", status, answer)
            return False
        field.said.append((time.monotonic(), shown(answer) if shown else value))
        self.count["acknowledged"] += 1
        return True

    def refused(self, what, status, answer):
        """A no that says why is an answer; a fault of the daemon's is none."""
        self.count[f"refused with {status}"] += 1
        if status >= 500 and status not in (503, 504, 507):
            self.found(f"{what} was answered with {status}: {answer}")

    # --- what must be there --------------------------------------------------------

    def compare(self, shown, since=None):
        """shown: {id: job} of the machine after the cut; since: it has taken over what was written then."""
        for i in set(shown) - set(self.jobs):
            self.found(f"nobody submitted {i} ({shown[i]['name']})")
        for job in list(self.jobs.values()):
            self.one(job, shown.get(job.id), since)

    def one(self, job, now, since):
        if now is None and since is not None and job.born >= since:
            del self.jobs[job.id]               # nobody had said that it was written
            self.count["jobs that were not in the bucket yet"] += 1
            return
        if not job.there.settle(lambda v: v == (now is not None), since):
            self.found(f"{job.id} ({job.name}) " + ("is gone" if now is None else "was deleted, and is back"))
        if now is None:
            return
        self.count["jobs compared"] += 1
        if now["state"] == "paused" and now["reason"] in WAITS:
            self.count[f"of them {now['reason']}"] += 1
        for what, field, fits in (("what it should do", job.run, lambda v: may_be(v, now)),
                                  ("labels", job.labels, lambda v: v == now["labels"]),
                                  ("priority", job.priority, lambda v: v == now["priority"])):
            want = field.possible(since)
            if not field.settle(fits, since):
                self.found(f"{job.id} ({job.name}): {what}: acknowledged {want}, and it is {now['state']} ({now['reason']}), "
                           f"{now['labels']}, {now['priority']}")
        if now["name"] != job.name:
            self.found(f"{job.id} was {job.name} and is {now['name']}")
