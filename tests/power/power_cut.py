#!/usr/bin/env python3
"""make power-cut: the power of a machine that trains ends, again and again.

    CUTS=40 SEED=1 SETTINGS="plain mirror large full" (all of them, CUTS in equal parts)

A Debian with systemd and rekindled, as it is installed, boots under User Mode Linux.  People submit, start, label,
pause, resume, cancel and delete jobs, and name and delete checkpoints; what is acknowledged is written down here.  At a
random moment, most times while something is on its way to the disk, the machine ends, and its disk loses of what was not
flushed nothing, all, or some of it.  Then it boots, rekindled comes up by itself, and

  - each job, field and named checkpoint that was acknowledged is there, and what was deleted is not
  - each checkpoint that can be seen is whole by the digests of other programs, and none is older than what was shown
  - the jobs that should run go on by themselves, from their newest checkpoint
  - those that come to their end have the bytes of a run that nobody disturbed

plain   small jobs            mirror  records and checkpoints in a bucket of a real object store outside the machine:
large   checkpoints of 100 MB         each that was said to be verified, or a newer one, is whole there, and now and
full    a disk that something else    then a new machine goes on with what the bucket has
        fills

The first run of a setting trains its jobs undisturbed; build/power keeps what they end with.  The last lines are the
counts; it ends with 0 if nothing was found.  SEED chooses moments, ways and deeds, not how threads take turns.
"""
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import vm                                       # noqa: E402
import bucket                                   # noqa: E402
import disk                                     # noqa: E402
from image import BUILD, Image, why_not         # noqa: E402
from ledger import Ledger                       # noqa: E402
from load import People                         # noqa: E402
from patience import Patience                   # noqa: E402
from settings import CONFIG, SETTINGS, Store    # noqa: E402
from t import Skip                              # noqa: E402

CUTS = int(os.environ.get("CUTS") or "40")
SEED = int(os.environ.get("SEED") or str(random.randrange(1 << 30)))
NAMES = (os.environ.get("SETTINGS") or " ".join(SETTINGS)).split()
STATE = "/var/lib/private/rekindle"
LARGE_WRITE = 1 << 20                           # bytes: such a one has to be waited for
LOAD = 8                                        # seconds of it, at most
LULL = 10                                       # at most, for all to be written in the bucket
GOES_ON = 90                                    # seconds of a quiet machine until a job runs again
ENDS = 600                                      # until all have come to their end
# Once in so many cuts:
WHILE_BOOTING, NEW_MACHINE = 8, 4
SYSTEM = """systemctl show rekindled -p NRestarts -p ActiveState -p SubState --value | tr '\\n' ' '; echo
dmesg | grep -iE 'ext4-fs (error|warning)|i/o error'
journalctl -b -u rekindled -o cat --no-pager | grep -iE 'bug:|damaged|corrupt|set aside'
true"""
LOOK = f"cd /srv/look && python3 -c 'import bucket; print(sum(map(len, bucket.local(\"{STATE}\").values())))'"
LINKS = f"cd {STATE}/jobs && find . -name 'bad-*' -o -name 'late-*' -o -xtype l 2>/dev/null"


class Ordeal:
    """All cuts of one setting."""

    def __init__(self, setting):
        self.setting, self.findings, self.count = setting, [], collections.Counter()
        self.r = random.Random(f"{SEED} {setting.name}")
        self.folder = f"{BUILD}/power/{setting.name}-{SEED}"
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.store = Store() if setting.store else None
        self.fresh, self.disk = f"{self.folder}/fresh.img", f"{self.folder}/disk.img"
        Image().make({**CONFIG, **(self.store.config() if self.store else {})}, self.fresh, setting.size)
        self.m = None
        self.ledger = Ledger(self.count, self.found)
        self.long = {}                          # number -> its job in the ledger
        self.there = {}                         # the bucket's checkpoints: {job: folders}
        self.booted = 20.0                      # seconds that the last boot took

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {self.setting.name}: {text}", flush=True)

    def found(self, what):
        self.findings.append(what)
        self.say(f"FOUND: {what}")

    # --- the run that nobody disturbs --------------------------------------------

    def undisturbed(self):
        """{number: what the long job of that number ends with}."""
        specs = [self.setting.jobs.one(i, "alone") for i in range(len(self.setting.jobs.long))]
        with open(f"{BUILD}/rekindle-train", "rb") as f:
            key = hashlib.sha256(f.read() + json.dumps(specs).encode()).hexdigest()[:16]
        path = f"{BUILD}/power/undisturbed-{key}.json"
        if os.path.exists(path):
            with open(path) as f:
                return json.load(f)
        Image().make(CONFIG, self.disk, self.setting.size)      # it leaves nothing in a bucket
        m = vm.Machine(self.folder, self.disk, self.setting.memory, volatile=False)
        try:
            m.on()
            m.wait_ready()
            begun, ids = time.time(), []
            for spec in specs:
                status, answer = m.call("POST", "/v1/jobs", dict(spec, checkpoint=dict(spec["checkpoint"])))
                assert status == 201, answer
                ids.append(answer["id"])
            p = Patience(ENDS)
            while not p.spent():
                states = [m.call("GET", f"/v1/jobs/{i}")[1] for i in ids]
                assert not [x for x in states if x["state"] == "failed"], states
                if all(x["state"] == "succeeded" for x in states):
                    break
                time.sleep(0.5)
            ends = [self.end_of(m, i) for i in ids]
            self.say(f"undisturbed, all took {time.time() - begun:.0f} s")
            m.off()
        finally:
            m.end()
        with open(path, "w") as f:
            json.dump(ends, f)
        return ends

    @staticmethod
    def end_of(m, i):
        status, c = m.call("GET", f"/v1/jobs/{i}/checkpoints/latest")
        assert status == 200, c
        return [c["step"], *sorted(f"{f['name']} {f['xxh128']}" for f in c["files"])]

    # --- after a boot ---------------------------------------------------------------

    def jobs(self):
        found, cursor = {}, ""
        while True:
            status, page = self.m.call("GET", f"/v1/jobs?limit=500{cursor}")
            assert status == 200, (status, page)
            found.update((x["id"], x) for x in page["jobs"])
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    def wait_up(self):
        """Until rekindled answers, by itself; with a full disk it is not ready, perhaps, but there."""
        if self.setting.name != "full":
            self.booted = self.m.wait_ready()
            return
        p = Patience(GOES_ON)
        while True:
            assert self.m.alive() and not p.spent(), f"rekindled does not answer after {p.waited():.0f} s: {self.m.why()}"
            try:
                if self.m.call("GET", "/v1/jobs", seconds=5)[0] == 200:
                    break
            except vm.Down:
                pass
            time.sleep(0.1)
        self.booted = p.waited()

    def in_doubt(self, shown, since):
        """Submissions without an answer: those that are there are known by their key, too; the others are forgotten."""
        by_name = {x["name"]: x for x in shown.values()}
        asked = [e for e in self.ledger.submitted if e[2] is None]
        for entry in asked:
            now = by_name.get(entry[1]["name"])
            if now is None:
                self.ledger.submitted.remove(entry)
                continue
            self.count["submissions in doubt that were there"] += 1
            job = self.ledger.add(entry, now["id"])
            i = self.setting.jobs.number(job.name)
            if i is not None and i not in self.long:
                self.long[i] = job
        # Keys travel with the records.
        known = [e for e in self.ledger.submitted if since is None or e[3] < since and e[2] in shown]
        for key, spec, i, _ in [e for e in asked if e[2] and since is None] + known[-3:]:
            status, answer = self.m.call("POST", "/v1/jobs", spec, key=key)
            if status == 201 and answer["id"] != i or status not in (201, 507):
                self.found(f"{key} made {i}; asked again after the cut: {status} {str(answer)[:200]}")
            self.count["keys asked again"] += 1

    def check(self, since=None):
        """since: this machine is new, and has what was in the bucket then."""
        shown = self.jobs()
        self.in_doubt(shown, since)
        if since is not None:
            self.begin_anew(shown)
        self.ledger.compare(self.jobs(), since)
        self.long = {i: j for i, j in self.long.items() if j.id in self.ledger.jobs and j.there.value}
        for job in self.ledger.living():
            self.names(job, since)
            if job.seen or since is not None and job.verified:
                self.newest(job, since)
        self.look()
        if self.setting.name == "full":
            self.m.sh("rm -f /filler-*")
        self.go_on(shown)

    def begin_anew(self, shown):
        """As PROTOCOL has it a job waits for a person where it has had a checkpoint, and the bucket never had one."""
        for i, now in shown.items():
            if now["reason"] == "checkpoints_missing" and not self.there.get(i):
                status, answer = self.m.call("POST", f"/v1/jobs/{i}/resume", {"from": "none"})
                if status != 202:
                    self.found(f"{i} ({now['name']}) does not begin anew: {answer}")
                self.count["jobs that began anew"] += 1

    def names(self, job, since):
        for n, field in list(job.names.items()):
            if since is not None:               # only what is verified came along
                if field.value and n in job.certain:
                    self.name_there(job, n, job.certain[n])
                del job.names[n]
                continue
            status, now = self.m.call("GET", f"/v1/jobs/{job.id}/checkpoints/{n}")
            there = {"checkpoint": now["checkpoint"], "digest": now["digest"]} if status == 200 else None
            want = field.possible()
            self.count["names compared"] += 1
            # What is deleted here stays in the bucket until retention there takes it.
            elsewhere = there is not None and not now["local"]
            if not field.settle(lambda v: v == there or v == "any" and there is not None or v is None and elsewhere):
                self.found(f"name {n} of {job.id} ({job.name}): acknowledged {want}, and it is {there}")
            elif field.value == "any":
                field.said[-1] = (field.said[-1][0], there)
            if field.value is None:
                del job.names[n]                # looked at once: it is gone

    def name_there(self, job, n, digest):
        status, now = self.m.call("GET", f"/v1/jobs/{job.id}/checkpoints/{n}")
        self.count["names compared"] += 1
        if status != 200 or now["digest"] != digest:
            self.found(f"new machine: {n} of {job.id} ({job.name}) was verified, and is {status} {now}")

    def newest(self, job, since):
        least = job.verified if since is not None else job.seen
        status, now = self.m.call("GET", f"/v1/jobs/{job.id}/checkpoints/latest")
        if least and (status != 200 or now["step"] < least):
            self.found(f"{job.id} ({job.name}): step {least} was " + ("verified" if since is not None else "shown") +
                       f", and the latest is {now['step'] if status == 200 else (status, now)}")
        job.seen = now["step"] if status == 200 else 0

    def look(self):
        said = self.m.sh(LOOK, 120).strip()
        if self.m.status != 0:
            self.found(f"checkpoints on the disk: {said[-800:]}")
        else:
            self.count["checkpoints looked at"] += int(said)
        said = self.m.sh(LINKS).strip()
        if said:
            self.found(f"names that lead nowhere, or checkpoints set aside: {said}")
        state, *lines = self.m.sh(SYSTEM).strip().split("\n")
        if state.split() != ["0", "active", "running"]:
            self.found(f"the unit: restarts, state: {state}")
        for line in lines:
            self.found(f"said since this boot: {line}")

    def go_on(self, before):
        p = Patience(GOES_ON)
        for job in self.long.values():
            while job.run.value == "run":
                status, now = self.m.call("GET", f"/v1/jobs/{job.id}")
                if status != 200 or now["state"] in ("running", "succeeded"):
                    break
                if p.spent():
                    self.found(f"{job.id} ({job.name}) does not go on: {now['state']} {now['reason']}: {now['message']}")
                    break
                time.sleep(0.2)
            status, page = self.m.call("GET", f"/v1/jobs/{job.id}/attempts?limit=500")
            attempts = page["attempts"] if status == 200 else []
            if attempts and before.get(job.id, {}).get("attempt", 0) < attempts[-1]["attempt"] and \
                    attempts[-1]["start_step"] < job.seen:
                self.found(f"{job.id} ({job.name}) began at step {attempts[-1]['start_step']}, and step {job.seen} was there")

    def harvest(self, anew):
        """Long jobs that have ended are compared, deleted, and begun anew."""
        for job in self.ledger.living():
            i = self.setting.jobs.number(job.name)
            if i is None:
                continue
            status, now = self.m.call("GET", f"/v1/jobs/{job.id}")
            if status != 200:
                continue                        # compare() has said so
            if now["state"] == "succeeded":
                end = self.end_of(self.m, job.id)
                self.count["ended"] += 1
                self.count["attempts that they took"] += now["attempt"]
                self.count["ended with the same bytes"] += end == self.ends[i]
                if end != self.ends[i]:
                    self.found(f"{job.id} ({job.name}) ended with {end}, undisturbed {self.ends[i]}")
            elif now["state"] == "failed":
                self.found(f"{job.id} ({job.name}) failed: {now['message']}")
            elif self.long.get(i) is not job:   # deleted, and the bucket did not know yet
                self.ledger.change(self.m, job, job.run, "cancelled", "POST", "/cancel", {})
            else:
                continue
            if self.ledger.change(self.m, job, job.there, False, "DELETE", "") and self.long.get(i) is job:
                del self.long[i]
        for i in range(len(self.setting.jobs.long) if anew else 0):
            if i not in self.long:
                job = self.ledger.submit(self.m, self.setting.jobs.one(i, self.ledger.unique("")))
                if job:
                    self.long[i] = job

    # --- the bucket -------------------------------------------------------------------

    def look_into_bucket(self):
        """While the machine is off."""
        try:
            there = bucket.checkpoints(self.store.g, self.store.bucket, "team/")
        except AssertionError as e:
            self.found(f"bucket: {e}")
            return
        self.there = there
        self.count["checkpoints looked at in the bucket"] += sum(map(len, there.values()))
        for job in self.ledger.living():
            newest = max((int(x[5:14]) for x in there.get(job.id, [])), default=0)
            if newest < job.verified and job.there.asked is not False:
                self.found(f"{job.id} ({job.name}): step {job.verified} was verified, and the bucket has {newest}")

    # --- cuts ----------------------------------------------------------------------------

    def end_power(self, wait, fuse):
        way, seed = self.r.choice(disk.OFTEN), self.r.randrange(1 << 30)
        time.sleep(wait)
        if fuse:
            self.m.fuse(fuse, 2 if fuse < LARGE_WRITE else 10)
            self.count["cut in the middle of a write"] += not self.m.alive()
        writes, sectors, lost = self.m.cut(way, seed)
        self.count["cuts"] += 1
        self.count["cuts that lost writes"] += lost > 0
        self.count["sectors lost"] += lost
        said = self.m.fsck() if self.r.random() < 0.5 else None
        if said:
            self.found(said)
        return f"{wait:.1f} s, {way}: {lost} of {sectors} sectors of {writes} writes lost"

    def boot(self, n):
        """One life of the machine, and its end."""
        new = self.store and n and self.ledger.written is not None and (n == self.cuts or self.r.randrange(NEW_MACHINE) == 0)
        if new:
            vm.copy(self.fresh, self.disk)
            self.count["new machines"] += 1
        self.m.on()
        if n and n < self.cuts and self.r.randrange(WHILE_BOOTING) == 0 and not new:
            self.count["cuts while booting"] += 1
            self.say(f"cut {n + 1} while booting, after " + self.end_power(self.r.uniform(1, self.booted), None))
            return
        self.wait_up()
        begun, before = time.time(), len(self.findings)
        self.check(self.ledger.written if new else None)
        self.harvest(n < self.cuts)
        checked = time.time() - begun
        if n == self.cuts:
            return
        people = People(self.setting.name, self.m, self.ledger, self.long, self.setting.jobs, self.r.random())
        if self.store and self.r.random() < 0.5:
            people.lull(LULL)
        said = self.end_power(self.r.uniform(0.5, LOAD), self.r.choice(self.setting.fuses))
        people.end()
        if self.store:
            self.look_into_bucket()
        self.say(f"cut {n + 1}: {'new machine, ' if new else ''}up after {self.booted:.0f} s, compared {checked:.0f} s, "
                 f"{len(self.ledger.living())} jobs, {len(self.findings) - before} found, then {said}")

    def run_out(self):
        """All long jobs come to their end."""
        p = Patience(ENDS)
        while self.long and not p.spent():
            for job in self.long.values():
                if job.run.value == "paused":
                    self.ledger.change(self.m, job, job.run, "run", "POST", "/resume", {})
            time.sleep(0.5)
            self.harvest(False)
        for job in self.long.values():
            self.found(f"{job.id} ({job.name}) does not end: {self.m.call('GET', f'/v1/jobs/{job.id}')[1]['state']}")
        self.look()
        self.m.off()
        said = self.m.fsck()
        if said:
            self.found(said)

    def last_words(self):
        """What the machine can still say, in files."""
        if self.m and self.m.alive():
            with contextlib.suppress(vm.Down), open(f"{self.folder}/journal", "w") as f:
                f.write(self.m.sh("systemctl status rekindled --no-pager; journalctl -b --no-pager -o short-precise"))
        return f"see {self.folder}: console.log, journal"

    def run(self, cuts):
        self.cuts = cuts
        try:
            self.ends = self.undisturbed()
            vm.copy(self.fresh, self.disk)
            self.m = vm.Machine(self.folder, self.disk, self.setting.memory)
            for n in range(cuts + 1):
                self.boot(n)
            self.run_out()
        except (AssertionError, vm.Down) as e:
            self.found("".join(traceback.format_exception(e, limit=-3)) + self.last_words())
        finally:
            if self.m:
                self.m.end()
            if self.store:
                self.store.end()
        if not self.findings:
            shutil.rmtree(self.folder)
        self.say(", ".join(f"{v} {k}" for k, v in self.count.items()))
        self.say(f"{self.count['cuts']} cuts, SEED={SEED}, {len(self.findings)} findings")


def main():
    unknown = [n for n in NAMES if n not in SETTINGS]
    if unknown or why_not():
        sys.exit(f"power-cut: {why_not() or f'no such settings: {unknown}; there are {list(SETTINGS)}'}")
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(143))     # a machine does not outlive us
    vm.own_network()
    total, findings = 0, []
    for k, name in enumerate(NAMES):
        try:
            o = Ordeal(SETTINGS[name])
        except Skip as e:
            findings.append(f"{name} was not cut: {e}")
            continue
        o.run(CUTS // len(NAMES) + (k < CUTS % len(NAMES)))
        total += o.count["cuts"]
        findings += [f"{name}: {x}" for x in o.findings]
    print(f"{total} cuts, SEED={SEED}, {len(findings)} findings", *findings, sep="\n    ")
    sys.exit(1 if findings else 0)


main()
