"""Every 150 ms a look at a bucket, at the directories and APIs of all who use it.  Not a test itself.

    looks = Looks(store, rules)
    looks.machines.append(m)            # name instance d state is_up() expected_end(rc) epoch
    looks.start()
    looks.wrong                         # sentences
    looks.stop()

Of directories: each checkpoint is whole by its digests when it is first seen.  Of an owner's API: what it says is
`verified` is there, and has the digests that it says; a file that it hands out has them, too; who goes on does so from
what was said to be verified before, or from something newer.
"""
import glob
import hashlib
import http.client
import json
import os
import subprocess
import threading
import time
import traceback

from t import limit

EVERY = 0.15
TAKING = ("claiming", "taking_over")


def xxh128(paths):
    """{path: digest}, of those that are there."""
    r = subprocess.run(["xxhsum", "-H2", *paths], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {line.split(None, 1)[1]: line.split()[0] for line in r.stdout.splitlines()}


class Api:
    """One connection for a whole look."""

    def __init__(self, d):
        self.c = http.client.HTTPConnection(d.host, d.port, timeout=limit(5))

    def get(self, path):
        self.c.request("GET", path)
        r = self.c.getresponse()
        return r.status, r.headers, r.read()

    def json(self, path):
        """None: not 200."""
        status, _, body = self.get(path)
        return json.loads(body) if status == 200 else None


class Looks:
    def __init__(self, st, rules):
        self.st, self.rules, self.machines, self.wrong = st, rules, [], []
        self.seen, self.attempts, self.n = set(), set(), 0
        self.asked = {}                 # {job: checkpoints that a person resumed it from}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.over.set()
        self.thread.join()

    def run(self):
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                self.look()
            except AssertionError as e:
                self.wrong.append(str(e))
            except Exception:           # noqa: BLE001: the test's own fault, and it is to be seen
                self.wrong.append(traceback.format_exc())
            self.n += 1
            self.over.wait(max(0.01, EVERY - (time.monotonic() - begun)))

    def look(self):
        with self.st.lock:
            self.rules.look()
        for m in list(self.machines):
            self.directory(m)
            if not m.is_up():
                continue
            rc = m.d.proc.poll()
            if rc is not None:
                assert m.expected_end(rc), f"{m.name} ended with {rc}: {m.d.log()[-600:]}"
                continue
            try:
                self.api(m)
            except (OSError, http.client.HTTPException):
                pass                    # killed or frozen meanwhile, or it has ended

    # -- directories

    def directory(self, m):
        new = {}
        for path in glob.glob(f"{m.d.state}/jobs/*/checkpoints/step-*/checkpoint.json"):
            try:
                ino = os.stat(path).st_ino
                if (path, ino) in self.seen:
                    continue
                with open(path) as f:
                    new[path, ino] = json.load(f)
            except OSError:
                continue                # retired meanwhile
        files = {f"{os.path.dirname(path)}/{f['name']}": f for (path, _), r in new.items() for f in r["files"]}
        got = xxh128(files) if files else {}
        for (path, ino), record in new.items():
            folder = os.path.dirname(path)
            bad = [f["name"] for f in record["files"] if got.get(f"{folder}/{f['name']}") != f["xxh128"]]
            assert not bad or not os.path.exists(path), f"whole: {folder} has other {bad} than its checkpoint.json says"
            self.seen.add((path, ino))

    # -- an owner

    def api(self, m):
        api, rules = Api(m.d), self.rules
        before = api.json("/v1/status")["mirror"]
        if before["state"] in TAKING:
            self.not_yet(m, api)
        if before["state"] != "owner":
            return
        found, gone = api.json("/v1/jobs?limit=100"), set(rules.to_delete)
        for j in found["jobs"]:
            self.job(m, api, before["epoch"], j["id"])
        after = api.json("/v1/status")["mirror"]
        ids = {j["id"] for j in found["jobs"]}
        with self.st.lock:
            i = rules.instances[m.instance]
            if after["state"] == "owner" and after["unwritten"] == 0 and i.top() == after["epoch"] == before["epoch"]:
                rules.written |= ids
                gone = {j for j in gone & rules.written if rules.jobs[j] == m.instance} - ids - rules.deleted
                rules.deleted |= gone
                if gone:
                    rules.note(f"    {m.who} has nothing unwritten, and not {sorted(gone)}")

    def not_yet(self, m, api):
        """Who takes over does not say that there is no job, nor that these are all."""
        with self.st.lock:
            there = sorted(j for j in self.rules.written - self.rules.to_delete if self.rules.jobs[j] == m.instance)
        asked = [(path, *api.get(path)) for path in ["/v1/jobs?limit=100", *[f"/v1/jobs/{j}" for j in there[-1:]]]]
        if api.json("/v1/status")["mirror"]["state"] not in TAKING:
            return
        for path, status, headers, body in asked:
            whole = path.startswith("/v1/jobs/") or json.loads(body).get("jobs") if status == 200 else False
            assert status == 503 and headers["Retry-After"] or whole, \
                f"not yet: {m.name} takes over, and answers {path} with {status} {body[:200]!r}"

    def job(self, m, api, epoch, job):
        since = time.monotonic()
        found = api.json(f"/v1/jobs/{job}/checkpoints?limit=100")
        attempts = api.json(f"/v1/jobs/{job}/attempts?limit=500")
        if found is None or attempts is None:
            return
        for c in found["checkpoints"]:
            d = c["durability"]
            digests = {f["name"]: f["sha256"] for f in c["files"] if f.get("sha256")}
            with self.st.lock:
                if len(digests) == len(c["files"]):
                    self.rules.same(job, c["step"], digests, f"{m.name}'s API")
                if d["state"] == "verified":
                    self.rules.say(m.who, epoch, job, d["uri"], since)
        with self.st.lock:
            for a in attempts["attempts"]:
                self.attempt(m, epoch, job, a)
        local = [c for c in found["checkpoints"] if c["local"]]
        if local and self.n % 3 == 0:
            self.handed_out(api, job, local[self.n // 3 % len(local)])

    def attempt(self, m, epoch, job, a):
        """The first one of an owner goes on from what was said before he claimed, or from something newer."""
        if a["epoch"] != epoch or a["running"] is None or (job, epoch) in self.attempts:
            return
        self.attempts.add((job, epoch))
        knew = self.rules.instances[m.instance].knew.get(epoch)
        want = knew.newest.get(job) if knew else None
        asked = self.asked.get(job, set())
        if want is None or a["from"] in asked or job in self.rules.to_delete:
            return
        got = (a["branch"], a["start_step"])
        assert got >= want and (got[0] == want[0] or asked), \
            f"newest: {m.name} goes on with {job} from {a['from']} {got}, and {want} was verified before its claim"

    def handed_out(self, api, job, c):
        for f in c["files"]:
            status, _, body = api.get(f"/v1/jobs/{job}/checkpoints/{c['checkpoint']}/files/{f['name']}")
            if status != 200:
                return                  # retired meanwhile
            got = hashlib.sha256(body).hexdigest()
            assert len(body) == f["size"] and got == f.get("sha256", got), \
                f"whole: the API hands out {f['name']} of {job} {c['checkpoint']} with {got}, not {f['sha256']}"
