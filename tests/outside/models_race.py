#!/usr/bin/env python3
"""Two daemons on one bucket register, promote, roll back, change and delete at random, and each is killed now and
then: no number is made twice, no move is lost or done twice, and both end with the same.

ROUNDS=60 SEED=1 by default, any number by variable: so many requests, over both.  The bucket is a real object
store's where one is installed, else a folder (file://); BUCKET=file for that.
"""
import collections
import glob
import http.client
import json
import os
import random
import struct
import threading
import time

from shared_bucket import bucket
from t import Daemon, case, eq, run, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "60"))
SEED = int(os.environ.get("SEED", "1"))
MODELS = ("tiles", "edges")
ALIASES = ("production", "candidate", "staging")
LOST = (OSError, http.client.HTTPException)     # a request whose daemon was killed


def weights(path, x):
    head = json.dumps({"fc.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + struct.pack("<2f", x, -x))
    return path


class Machine:
    """A daemon, and what it was asked for and said."""

    def __init__(self, d, b, name, rng):
        self.name, self.rng, self.b = name, rng, b
        root = f"{d.root}/{name}"
        os.makedirs(root)
        with open(f"{root}/rekindled.yaml", "w") as f:
            json.dump({"stores": b.stores, "mirror": {"prefix": b.uri, "instance": name},
                       "paths": {"allow": ["/"]}}, f)
        self.d = Daemon(root, "--config", f"{root}/rekindled.yaml")
        self.killed, self.sent, self.wrong, self.kills, self.n = 0, collections.Counter(), [], 0, 0
        self.done, self.made = {}, []
        self.start()

    def start(self):
        self.d.start()
        wait_for(60, "it knows of put-if-absent", lambda: self.d.get("/v1/status").json["mirror"]["put_if_absent"] == "works")

    # --- requests ---------------------------------------------------------------------------------

    def post(self, method, path, body, key):
        """As a client that does not hear the answer, and asks again with its key until it does."""
        self.maybe_kill()
        while True:
            try:
                r = self.d.call(method, path, body, headers={"Idempotency-Key": key})
                if r.status != 503 and not (r.status == 409 and "in-progress" in r.text):
                    return r
                time.sleep(0.05)
            except LOST:
                self.reaper.join()

    def maybe_kill(self):
        """A while behind the request that is about to be sent."""
        self.reaper = threading.Thread(target=lambda: None)
        if self.rng.random() < 0.04:
            after = self.rng.random() * 0.03
            self.reaper = threading.Thread(target=self.kill, args=(after,))
            self.kills += 1
        self.reaper.start()

    def kill(self, after):
        time.sleep(after)
        self.d.kill()
        self.start()

    def round(self):
        self.n += 1
        key = f"{self.name}-{self.n}"
        what = self.rng.choices(("register", "move", "rollback", "change", "delete"), (3, 6, 3, 2, 1))[0]
        self.sent[what] += 1
        getattr(self, what)(key, self.rng.choice(MODELS))
        self.reaper.join()

    def register(self, key, m):
        path = weights(f"{self.d.root}/{key}.safetensors", self.n)
        r = self.post("POST", f"/v1/models/{m}/versions", {"address": path, "notes": key}, key)
        assert r.status in (201, 202), r.text
        if r.status == 201:
            self.made.append((m, r.json["version"], key))
            return
        where = r.headers["Location"]

        def ended():
            try:
                said = self.d.get(where).json
            except LOST:
                return None
            assert said["state"] not in ("failed", "cancelled"), said
            return said if said["version"] else None
        self.made.append((m, wait_for(60, "it is registered", ended)["version"], key))

    def some(self, m):
        """A version that may be there, or not."""
        return self.rng.randint(1, 3 + len([x for x in self.made if x[0] == m]) * 2)

    def judge(self, r, key, good, bad):
        if r.status not in (good, *bad):
            self.wrong.append((key, r.status, r.text[:300]))
        self.done[key] = r.status == good and r.json["changed"]

    def move(self, key, m):
        a = self.rng.choice(ALIASES)
        body = {"from": self.rng.choice(ALIASES)} if self.rng.random() < 0.2 else {"version": self.some(m)}
        self.judge(self.post("POST", f"/v1/models/{m}/aliases/{a}", {"note": key, **body}, key), key, 200, (404,))

    def rollback(self, key, m):
        a = self.rng.choice(ALIASES)
        self.judge(self.post("POST", f"/v1/models/{m}/aliases/{a}/rollback", {"note": key}, key), key, 200, (404, 409))

    def change(self, key, m):
        self.maybe_kill()
        self.reaper.join()
        try:
            self.d.call("PATCH", f"/v1/models/{m}/versions/{self.some(m)}", {"labels": {"k": key}})
        except LOST:
            pass

    def delete(self, key, m):
        self.maybe_kill()
        try:
            r = self.d.call("DELETE", f"/v1/models/{m}/versions/{self.some(m)}?by={key}")
            assert r.status in (204, 404, 409, 503), r.text
        except LOST:
            pass


# --- what must have come of it --------------------------------------------------------------------

def log_of(b, m):
    keys = b.keys(f"models/{m}/log/")
    eq(keys, [f"models/{m}/log/{i + 1:010}.json" for i in range(len(keys))], "the entries of a log")
    return [json.loads(b.get(k)) for k in keys]


def replay(log):
    """Where aliases are and what they remember, by the entries alone."""
    at, before, alive = {}, collections.defaultdict(list), set()
    for e in log:
        v, a = e.get("version"), e.get("alias")
        if e["event"] == "version":
            assert v not in alive
            alive.add(v)
        elif e["event"] == "deleted":
            assert v in alive and v not in at.values(), e
            alive.discard(v)
        elif e["event"] == "alias":
            eq(e["was"], at.get(a), f"where {a} was at entry {e['seq']}")
            assert v in alive and v != at.get(a), e
            if e["how"] == "rollback":
                there = [x for x in before[a] if x in alive and x != at[a]]
                eq(v, there[-1], f"where {a} goes back to at entry {e['seq']}")
                while before[a].pop() != v:
                    pass
            elif a in at:
                before[a].append(at[a])
            at[a] = v
    return at, {a: before[a] for a in at}, alive


def whole(d, path, list_of):
    out, cursor = [], ""
    while True:
        page = d.get(f"{path}{'&' if '?' in path else '?'}limit=500{cursor}").json
        out += page[list_of]
        if not page["next"]:
            return out
        cursor = f"&cursor={page['next']}"


def copy_of(d, m, entries):
    """All that a daemon says of a model; one that is asked for may be two seconds old."""
    wait_for(20, "all entries", lambda: d.get(f"/v1/models/{m}").json["entries"] >= entries)
    one = d.get(f"/v1/models/{m}").json
    for k in ("as_of", "age_seconds"):
        one.pop(k)
    return {"model": one, "history": whole(d, f"/v1/models/{m}/history", "entries"),
            "versions": whole(d, f"/v1/models/{m}/versions?deleted=1&sort=created", "versions"),
            "aliases": d.get(f"/v1/models/{m}/aliases").json["aliases"]}


@case("two daemons on one bucket register and promote at random: numbers are unique, and no move is lost", "stopped")
def _(d):
    b = bucket(d.root)
    both = [Machine(d, b, name, random.Random(f"{SEED}-{name}")) for name in ("a", "b")]
    failed = []

    def work(m):
        try:
            for i in range(ROUNDS // 2):
                m.round()
        except BaseException as e:
            failed.append(e)
    try:
        threads = [threading.Thread(target=work, args=(m,)) for m in both]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if failed:
            raise failed[0]
        judge(b, both)
    finally:
        for m in both:
            m.d.kill()
    print(f"# SEED={SEED}: {dict(sum((m.sent for m in both), collections.Counter()))}, {sum(m.kills for m in both)} kills")


def judge(b, both):
    eq(both[0].wrong + both[1].wrong, [], "answers that should not be")
    notes, made = collections.Counter(), []
    for m in MODELS:
        log = log_of(b, m)
        numbers = [e["version"] for e in log if e["event"] == "version"]
        eq(numbers, list(range(1, len(numbers) + 1)), "numbers of versions")
        folders = [e["record"]["id"] for e in log if e["event"] == "version"]
        eq(len(folders), len(set(folders)), "folders")
        made += [(m, e["version"], e["record"]["notes"]) for e in log if e["event"] == "version"]
        notes.update(e["note"] for e in log if e["event"] == "alias")
        at, before, alive = replay(log)
        copies = [copy_of(x.d, m, len(log)) for x in both]
        for part in copies[0]:
            eq(copies[0][part], copies[1][part], f"{part} of {m}, as both say it")
        eq(copies[0]["model"]["unread"], 0)
        eq(copies[0]["model"]["aliases"], at)
        eq({x["alias"]: x["before"] for x in copies[0]["aliases"]}, before)
        eq({x["version"] for x in copies[0]["versions"] if not x["deleted"]}, alive)
    eq(sorted(made), sorted(both[0].made + both[1].made), "versions that were registered")
    eq([k for k, n in notes.items() if n > 1], [], "moves done twice")
    done = {k: v for x in both for k, v in x.done.items()}
    eq(sorted(notes), sorted(k for k, moved in done.items() if moved), "moves that were done, and those said to be")


if __name__ == "__main__":
    run()
