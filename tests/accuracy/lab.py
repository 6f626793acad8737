"""Where jobs of make accuracy train: a daemon over a state directory that stays.

A job is known by its recipe, the digest of all that decides its result.  One that
is there and has succeeded is not trained again; one that was interrupted, in
whatever way, goes on from its checkpoint.  One job trains at a time, behind other
work on the machine.
"""
import calendar
import hashlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../outside")
from t import Daemon                    # noqa: E402

THREADS = int(os.environ.get("THREADS", "2"))
NICE = 10                               # at least
LABEL = "accuracy"                      # of jobs: their recipe's digest
IN_USE, LEAVES_IN = 4, 120              # exit code of a second daemon; seconds
# The daemon is asked to leave when we are gone, in whatever way; a Ctrl-C that is
# meant for us reaches it through us.
WITH_US = ("setsid", "setpriv", "--pdeathsig", "TERM")


class Absent(Exception):
    """What a row needs is not on this machine; the sentence says what."""


class Failed(Exception):
    """A job or a program of a row came to nothing; the sentence says how."""


def digest(recipe):
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]


def seconds(begin, end):
    """Between two times of the API."""
    def of(text):
        whole, _, part = text.rstrip("Z").partition(".")
        return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{part or 0}")
    return of(end) - of(begin)


class Lab:
    """with Lab(FOLDER, COMMIT) as lab: lab.train(job)"""

    def __init__(self, folder, commit):
        self.folder, self.commit = os.path.abspath(folder), commit
        os.makedirs(self.folder, exist_ok=True)
        # A daemon's niceness is not added to its caller's: `nice make accuracy` is to be as nice as it says.
        self.daemon = Daemon(self.folder, "--threads", str(THREADS), "--nice", str(max(NICE, os.nice(0))))

    def __enter__(self):
        patience = time.monotonic() + LEAVES_IN
        while True:
            try:
                self.daemon.start(prefix=WITH_US)
                break
            except AssertionError:
                # That of a call before, whose trainers are saving.
                if self.daemon.proc.wait() != IN_USE or time.monotonic() > patience:
                    raise
                time.sleep(0.2)
        # What an earlier call was at waits until it is asked for.
        for job in self.jobs("state=queued,starting,running"):
            self.daemon.post(f"/v1/jobs/{job['id']}/pause", {})
        return self

    def __exit__(self, *_):
        if self.daemon.alive():
            self.daemon.stop()

    def jobs(self, query):
        found, cursor = [], ""
        while cursor is not None:
            page = self.daemon.get(f"/v1/jobs?limit=500&{query}{cursor and '&cursor=' + cursor}").json
            found, cursor = found + page["jobs"], page["next"]
        return found

    def train(self, job):
        """The result of a job: see result().  Submits it, or goes on with it."""
        key = digest(job)
        there = self.jobs(f"label={LABEL}={key}")
        if there:
            i = self.go_on(there[0])
        else:
            r = self.daemon.post("/v1/jobs", {**job, "resources": {"threads": THREADS},
                                              "labels": {LABEL: key, "commit": self.commit}})
            if r.status != 201:
                raise Failed(f"the job {job['name']} is refused: {r.text.strip()}")
            i = r.json["id"]
        self.wait(i, job["name"])
        return self.result(i)

    def go_on(self, job):
        if job["desired"] == "pause":
            self.settled(job["id"])     # it may be about to leave still
        verb = {"paused": "resume", "held": "start", "failed": "retry",
                "cancelled": "retry"}.get(self.daemon.job(job["id"])["state"])
        if verb:
            self.daemon.post(f"/v1/jobs/{job['id']}/{verb}", {}, want=202)
        return job["id"]

    def settled(self, i):
        while self.daemon.job(i)["state"] in ("queued", "starting", "running"):
            time.sleep(0.05)

    def wait(self, i, name):
        while True:
            job = self.daemon.job(i)
            if job["state"] == "succeeded":
                return
            if job["state"] in ("failed", "cancelled", "held") or \
               (job["state"] == "paused" and job["reason"] != "disk_full"):
                raise Failed(f"the job {name} {i} is {job['state']} ({job['reason']}): {job['message']}")
            time.sleep(0.1)

    def lines(self, i, split):
        """Of the job's metrics, each epoch's last: a resume may have written one again."""
        found, after = {}, ""
        while True:
            page = self.daemon.get(f"/v1/jobs/{i}/metrics?split={split}{after}").json
            for x in page["metrics"]:
                if x["over"] == "epoch":
                    found[x["epoch"]] = x
            if page["next"] is None:
                return [found[n] for n in sorted(found)]
            after = f"&cursor={page['next']}"

    def attempts(self, i):
        return self.daemon.get(f"/v1/jobs/{i}/attempts?limit=500").json["attempts"]

    def result(self, i):
        """{value, epochs, seconds, attempts, job, commit, arithmetic}: value is the accuracy
        after the last epoch, never the best of several; seconds those in which it trained."""
        job, attempts = self.daemon.job(i), self.attempts(i)
        epochs = [x["accuracy"] for x in self.lines(i, "validation")]
        return {"value": epochs[-1], "epochs": epochs,
                "seconds": sum(seconds(a["running"] or a["started"], a["ended"]) for a in attempts),
                "attempts": len(attempts), "job": i, "commit": job["labels"]["commit"],
                "arithmetic": job["spec"]["training"]["arithmetic"]}

    def checkpoint(self, i):
        """The folder of a job's last checkpoint."""
        newest = self.daemon.get(f"/v1/jobs/{i}/checkpoints?limit=1").json["checkpoints"][0]
        return f"{self.daemon.state}/jobs/{i}/checkpoints/{newest['checkpoint']}"
