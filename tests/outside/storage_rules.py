"""What must hold in a bucket at each change of it, whoever does what to whom.  Not a test itself.

    r = Rules(bucket)                   # moods.py tells it of requests and changes
    r.process("m1.1", "gpu-a", "d1")    # who is who: instance, and directory (copies of one have one word)
    r.deletes(job)  r.deletes(job, dir) # a person is about to say so
    r.say(who, epoch, job, uri, ..)     # an owner's API said `verified`
    r.thawed("m1.1")

Rules, by their words in src/mirror/PROTOCOL and include/rekindle/ship.h:
    whole       what a checkpoint.json names is there and has its digests, at every moment
    same        of one job's specification a step has the same bytes, whoever trained it
    newest      what was said `verified` before a claim is there, or newer, and counts, in the base of that claim and
                from then on
    behind      retention takes a checkpoint only behind a newer one that was looked at again, and none with a name
    own         each claim, base, record and checkpoint is written by who claimed its epoch; nothing of another
                instance, nor what nobody of us has written
    told        who has been told of a higher epoch writes no more
    lost        a job whose record was there before a claim is in its base; a deleted one is not
"""
import hashlib
import json
import re
import time

from t import limit

PREFIX = "team/"
OBJECT = re.compile(PREFIX + r"jobs/([^/]+)/checkpoints/([^/]+)/(.+)")
INSTANCE = re.compile(PREFIX + r"instances/([^/]+)/(epochs|base|records|left)/(\d+)([./].*)")
FOLDER = re.compile(r"(.+)-e(\d+)(-r\d+)?")
NOTES = ("checkpoint.json", "remote.json", "names.json", "metrics.jsonl", "evaluations.jsonl")
GRACE = 2                               # seconds in which who was told has what is on its way behind it


def sha(body):
    return hashlib.sha256(body).hexdigest()


class There:
    """A checkpoint that exists in the bucket."""

    def __init__(self, job, folder, record, note, files):
        self.job, self.folder, self.files = job, folder, files      # files: {key: digest}
        m = FOLDER.fullmatch(folder)
        self.dir, self.epoch = m.group(1), int(m.group(2))
        self.at, self.until = time.monotonic(), None
        self.order = (record.get("branch", 1), record["step"])
        self.digest = note["digest"]
        self.to_see, self.verified = {}, False      # to_see: what each process has not looked at again yet

    @property
    def key(self):
        return f"{PREFIX}jobs/{self.job}/checkpoints/{self.folder}/"


class Instance:
    def __init__(self):
        self.claims, self.bases = {}, {}        # epoch: who; epoch: {job: prefixes of the checkpoints that count}
        self.knew = {}                          # epoch: what had been said when it was claimed

    def top(self):
        return max(self.claims, default=0)


class Knew:
    def __init__(self, newest, written, deleted):
        self.newest, self.written, self.deleted = newest, written, deleted


class Rules:
    def __init__(self):
        self.bucket, self.strangers, self.note = None, {}, lambda text: None
        self.instances, self.who, self.jobs = {}, {}, {}    # who: (instance, directory); jobs: whose they are
        self.there, self.gone, self.refs = {}, {}, {}
        self.said, self.written, self.deleted = {}, set(), set()    # said: {job: {prefix: order}}
        self.to_delete, self.to_drop = set(), set()
        self.told, self.kinds, self.steps = {}, {}, {}
        self.counts = dict.fromkeys(("changes", "commits", "retired", "said", "claims", "bases"), 0)

    def process(self, who, instance, directory):
        self.who[who] = (instance, directory)
        self.instances.setdefault(instance, Instance())

    # -- what is asked

    def listing(self, who, at, prefix, keys):
        m = re.match(PREFIX + r"instances/([^/]+)/epochs/", prefix)
        if m and m.group(1) == self.who[who][0]:
            self.tells(who, m.group(1), [int(INSTANCE.match(k).group(3)) for k in keys])

    def tells(self, who, instance, epochs):
        own = [n for n, w in self.instances[instance].claims.items() if w == who]
        if own and max(epochs, default=0) > max(own):
            self.told.setdefault(who, time.monotonic())

    def thawed(self, who):
        """It has had no time to hear what it was told."""
        if who in self.told:
            self.told[who] = time.monotonic()

    def asked(self, who, at, method, key):
        m = INSTANCE.fullmatch(key)
        if m and m.group(2) == "epochs" and method != "PUT" and key in self.bucket:
            self.tells(who, m.group(1), [int(m.group(3))])
        m = OBJECT.fullmatch(key)
        if method not in ("HEAD", "GET") or not m:
            return
        own = key[:-len(m.group(3))]
        for t in [self.there.get(own)] if m.group(3) in NOTES else [self.there[k] for k in self.refs.get(key, ())]:
            if t is not None:
                left = t.to_see.setdefault(who, {*t.files, f"{t.key}remote.json", f"{t.key}checkpoint.json"})
                left.discard(key)
                t.verified = t.verified or not left

    # -- what is said

    def say(self, who, epoch, job, uri, since):
        """Its API has said `verified`, asked at `since`.  Somebody has a higher epoch: that does not count."""
        i = self.instances[self.who[who][0]]
        if i.claims.get(epoch) != who or i.top() != epoch:
            return
        key = uri.split("/", 3)[3]
        t = self.there.get(key) or self.gone.get(key)
        assert t is not None, f"says verified of {uri}, which was never there"
        assert t.until is None or t.until >= since, f"says verified of {uri}, which went {since - t.until:.3f} s before"
        if key in self.there and job not in self.to_delete and (job, t.dir) not in self.to_drop:
            self.counts["said"] += key not in self.said.setdefault(job, {})
            self.said[job][key] = t.order

    def newest_said(self, job):
        return max(self.said.get(job, {}).values(), default=None)

    def deletes(self, job, dir=None):
        if dir is None:
            self.to_delete.add(job)
            self.said.pop(job, None)
        else:
            self.to_drop.add((job, dir))
            self.said[job] = {k: v for k, v in self.said.get(job, {}).items() if f"/{dir}-e" not in k}

    # -- what counts

    def counting(self, job):
        """Those of a job that whoever goes on with it would count."""
        i = self.instances[self.jobs[job]]
        top = max(i.bases, default=0)
        names = i.bases.get(top, {}).get(job, set())
        return [t for t in self.there.values() if t.job == job and (t.key in names or t.epoch == top)]

    def newest(self, job):
        return max((t.order for t in self.counting(job)), default=None)

    def check_newest(self, job, want):
        if want is not None and job not in self.to_delete:
            got = self.newest(job)
            assert got is not None and got >= want, \
                f"newest: of {job} {want} (branch, step) was said to be verified, and {got} is what counts"

    # -- changes

    def changed(self, who, at, key, old, new):
        self.counts["changes"] += 1
        if "/instances/" in key or key.endswith(("/checkpoint.json", "/names.json")):
            self.note(f"    {who} {'puts' if new else 'deletes'} {key[len(PREFIX):]}")
        assert key not in self.strangers, f"own: {key} is a stranger's"
        since = self.told.get(who)
        assert since is None or at < since + limit(GRACE), \
            f"told: {'puts' if new else 'deletes'} {key} {at - since:.1f} s after it was told of a higher epoch"
        m = INSTANCE.fullmatch(key)
        if m:
            assert m.group(1) == self.who[who][0], f"own: {key} is another instance's"
            return getattr(self, m.group(2))(who, int(m.group(3)), key, old, new)
        if key.startswith(f"{PREFIX}instances/{self.who[who][0]}/probe/"):
            return
        m = OBJECT.fullmatch(key)
        assert m, f"own: {key} is nothing of ours"
        owner = self.jobs.setdefault(m.group(1), self.who[who][0])
        assert owner == self.who[who][0], f"own: {key} is a job's of {owner}"
        self.checkpoint(who, *m.groups(), key, old, new)

    def epochs(self, who, n, key, old, new):
        i = self.instances[self.who[who][0]]
        if new is None:
            assert n < i.top(), f"own: deletes {key}, the highest claim"
            return
        assert old is None, f"own: puts {key}, which {i.claims.get(n)} has"
        ours = [j for j, name in self.jobs.items() if name == self.who[who][0]]
        i.knew[n] = Knew({j: self.newest_said(j) for j in ours}, set(self.written), set(self.deleted))
        i.claims[n] = who
        self.counts["claims"] += 1

    def base(self, who, n, key, old, new):
        i = self.instances[self.who[who][0]]
        if new is None:
            assert n < max(i.bases), f"own: deletes {key}, the newest base"
            return
        assert old is None, f"own: puts {key} again"
        assert i.claims.get(n) == who, f"own: puts {key}, claimed by {i.claims.get(n)}"
        lines = [json.loads(x) for x in new.body.decode().splitlines()]
        assert lines[-1].get("end") == len(lines) - 2, f"whole: {key} ends with {lines[-1]}"
        i.bases[n] = {x["record"]["row"]["id"]: {u.split("/", 3)[3] for u in x["checkpoints"]}
                      for x in lines if "record" in x}
        self.counts["bases"] += 1
        for job in i.bases[n]:
            self.jobs.setdefault(job, self.who[who][0])
        if n == max(i.bases):
            self.gone_on(i.knew[n], set(i.bases[n]), key)

    def gone_on(self, knew, jobs, key):
        ours = {j for j in knew.written if j in self.jobs and self.jobs[j] == INSTANCE.match(key).group(1)}
        lost = ours - jobs - self.to_delete
        assert not lost, f"lost: {key} is without {sorted(lost)}"
        back = jobs & knew.deleted
        assert not back, f"lost: {key} has {sorted(back)} again, deleted before the claim"
        for job in jobs:
            self.check_newest(job, knew.newest.get(job))
        for job in [j for j in self.said if self.jobs[j] == INSTANCE.match(key).group(1) and j not in jobs]:
            del self.said[job]          # its record was not there: nobody goes on with it

    def records(self, who, n, key, old, new):
        i = self.instances[self.who[who][0]]
        if new is not None:
            assert i.claims.get(n) == who, f"own: puts {key}, epoch of {i.claims.get(n)}"
            assert old is None or old.body == new.body, f"own: puts {key} with other bytes"

    def left(self, who, n, key, old, new):
        i = self.instances[self.who[who][0]]
        assert new is None or i.claims.get(n) == who, f"own: puts {key}, epoch of {i.claims.get(n)}"

    # -- checkpoints

    def checkpoint(self, who, job, folder, name, key, old, new):
        own = key[:-len(name)]
        if name == "checkpoint.json":
            return self.commit(who, job, folder, own, old, new) if new else self.retire(who, job, own)
        if new is not None and name != "names.json":    # which whoever has the job changes
            m = FOLDER.fullmatch(folder)
            i, directory = self.instances[self.who[who][0]], self.who[who][1]
            claimed = i.claims.get(int(m.group(2))) if m else None
            assert claimed and self.who[claimed][1] == directory, f"own: puts {key}, epoch of {claimed}"
        for t in [self.there[k] for k in self.refs.get(key, ())]:
            assert new is not None, f"whole: deletes {key}, which {t.key} needs"
            assert sha(new.body) == t.files[key], f"whole: puts {key} with other bytes, which {t.key} needs"
        t = self.there.get(own)
        if t is not None and name == "remote.json":
            assert new is not None, f"whole: deletes {key} before checkpoint.json"
            eq = json.loads(new.body)["digest"] == t.digest
            assert eq, f"whole: puts {key} of another checkpoint"

    def commit(self, who, job, folder, own, old, new):
        assert old is None or old.body == new.body, f"own: puts {own}checkpoint.json, which is there"
        if old is not None:
            return
        record, bucket = json.loads(new.body), self.bucket
        note = bucket.get(f"{own}remote.json")
        assert note is not None, f"whole: {own} has no remote.json"
        note = json.loads(note.body)
        assert note["digest"] == sha(new.body), f"whole: {own}remote.json is of another checkpoint.json"
        files, digests = {}, {}
        for f in note["files"]:
            key = f"{PREFIX}jobs/{job}/checkpoints/{f['folder']}/{f['name']}"
            o = bucket.get(key)
            assert o is not None, f"whole: {own} is there before {key}"
            size = {x["name"]: x["size"] for x in record["files"]}[f["name"]]
            assert len(o.body) == size and sha(o.body) == f["sha256"], f"whole: {key} is not what {own} says"
            files[key] = digests[f["name"]] = f["sha256"]
        assert set(digests) == {f["name"] for f in record["files"]}, f"whole: {own} says two things of its files"
        t = self.there[own] = There(job, folder, record, note, files)
        for key in files:
            self.refs.setdefault(key, set()).add(own)
        self.counts["commits"] += 1
        self.same(job, t.order[1], digests, own)

    def same(self, job, step, digests, what):
        """digests: of files of tensors, by name."""
        if job in self.kinds:
            digests = {k: v for k, v in digests.items() if k.endswith(".safetensors")}
            first, where = self.steps.setdefault((self.kinds[job], step), (digests, what))
            assert digests == first, f"same: step {step} of {self.kinds[job]} in {what} has other bytes than {where}"

    def retire(self, who, job, own):
        t = self.there.pop(own, None)
        if t is None:
            return
        t.until = time.monotonic()
        self.gone[own] = t
        for key in t.files:
            self.refs[key].discard(own)
        self.counts["retired"] += 1
        if job in self.to_delete or (job, t.dir) in self.to_drop:
            return
        names = self.bucket.get(f"{own}names.json")
        assert names is None or not json.loads(names.body).get("names"), f"behind: {own} goes and has a name"
        newer = [o for o in self.there.values() if o.job == job and o.verified and
                 (o.order + (o.epoch,) > t.order + (t.epoch,) or o.dir == t.dir)]
        assert newer, f"behind: {own} goes, and of its job is left " + str(
            [(o.folder, "verified" if o.verified else "not verified") for o in self.there.values() if o.job == job])
        self.check_newest(job, self.newest_said(job))

    # -- all of it, as somebody sees it who comes by

    def look(self):
        """Under the store's lock."""
        for key, body in self.strangers.items():
            o = self.bucket.get(key)
            assert o is not None and o.body == body, f"own: {key}, a stranger's, is {'another' if o else 'gone'}"
        for t in self.there.values():
            for key, digest in t.files.items():
                o = self.bucket.get(key)
                assert o is not None and sha(o.body) == digest, f"whole: {key}, which {t.key} names"
        for job in self.said:
            self.check_newest(job, self.newest_said(job))
