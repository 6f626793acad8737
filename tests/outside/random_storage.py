#!/usr/bin/env python3
"""Storage at random: one to three daemons on one bucket are killed, vanish, freeze, are replaced and come back, while
people submit, pause, branch, name and delete, and the store is down, slow, busy, late or loses answers.

At every change of the bucket storage_rules.py judges, and every 150 ms storage_looks.py; at the end of a sequence of
ten rounds a new machine takes over, and all jobs end with the bytes of undisturbed runs.

    ROUNDS=20 SEED=1        sequences of ten rounds, with the seeds SEED, SEED+1, ...

What was done is kept in build/random/SEED.log; of a seed that fails the line that repeats it is printed.
"""
import os
import shutil
import time

from storage_deeds import a_round, deed, vanish
from storage_rules import OBJECT, sha
from storage_world import ENDED, KINDS, World, network
from t import BUILD, Daemon, case, eq, run, trainer, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SEED = int(os.environ.get("SEED", "1"))
LENGTH = 10                             # rounds of a sequence


# --- the end of a sequence ----------------------------------------------------------

REFERENCES = {}


def undisturbed(w, kind):
    """Digests of the tensors at the end of a run that nobody disturbs."""
    if kind not in REFERENCES:
        d = Daemon(f"{w.root}")
        trainer(d, network(w, kind, f"undisturbed-{kind}"))
        folder = sorted(os.listdir(f"{w.root}/undisturbed-{kind}.run/checkpoints"))
        last = [x for x in folder if x.startswith("step-")][-1]
        path = f"{w.root}/undisturbed-{kind}.run/checkpoints/{last}"
        REFERENCES[kind] = last, {n: sha(open(f"{path}/{n}", "rb").read()) for n in sorted(os.listdir(path))
                                  if n.endswith(".safetensors")}
    return REFERENCES[kind]


def last_there(w, job):
    """The newest of a job that counts: its name without branch, its tensors."""
    with w.st.lock:
        t = max(w.rules.counting(job), key=lambda t: t.order + (t.epoch,), default=None)
        if t is None:
            return None, {}
        return t.dir[:14], {OBJECT.fullmatch(k).group(3): v for k, v in t.files.items() if k.endswith(".safetensors")}


def all_written(w, m):
    def written():
        w.check()
        return m.mirror()["unwritten"] == 0
    wait_for(60, "all records are in the bucket", written)


def goes_on(w, m, i):
    """What waits for a person goes on, from nothing if that is all that there is of it: has it ended?"""
    w.check()
    j = m.d.job(i)
    if j["state"] == "paused" and j["desired"] == "pause" or j["reason"] == "checkpoints_missing":
        missing = j["reason"] == "checkpoints_missing"
        said = w.rules.newest_said(i)
        assert not missing or said is None, f"newest: {i} misses its checkpoints, and {said} was verified"
        m.d.post(f"/v1/jobs/{i}/resume", {"from": "none"} if missing else {})
        w.note(f"{i} is resumed: {j['message']}")
    return j["state"] in ENDED


def end_of(w, m):
    """All jobs on a machine end, with the bytes of undisturbed runs; how many."""
    ids = [j["id"] for j in m.d.get("/v1/jobs?limit=100").json["jobs"]
           if j["state"] != "cancelled" and j["id"] not in w.rules.to_delete]
    for i in ids:
        wait_for(120, f"{i} has ended", lambda: goes_on(w, m, i))       # noqa: B023
        j = m.d.job(i)
        eq(j["state"], "succeeded", f"state of {i} ({j['message']})")
    all_written(w, m)
    for i in ids:
        kind = w.rules.kinds.get(i)
        if kind in KINDS:
            step = undisturbed(w, kind)[0]
            # With require_remote: false it may still be on its way.
            wait_for(60, f"the last checkpoint of {i}, {kind}, is there", lambda: w.check() or
                     last_there(w, i)[0] == step)       # noqa: B023
            eq(last_there(w, i), undisturbed(w, kind), f"the last checkpoint of {i}, {kind}")
    return len(ids)


def finish(w):
    w.st.heal()
    m = w.settled()
    all_written(w, m)
    w.sleep(0.2, 0.2)
    vanish(m)
    w.note("the last machine")
    w.fresh()
    n = end_of(w, w.settled())
    if w.neighbour:
        wait_for(60, "the neighbour has its jobs", w.neighbour.is_owner)
        n += end_of(w, w.neighbour)
    w.check()
    return n


def sequence(root, seed, rounds, log):
    w = World(root, seed, log)
    begun = time.monotonic()
    try:
        w.fresh()
        w.settled()
        deed(w)
        for n in range(rounds):
            a_round(w, n)
        jobs = finish(w)
    except BaseException as e:
        w.note(f"failed: {e}")
        raise
    finally:
        w.end()
    c = w.rules.counts
    said = f"{rounds} rounds, {jobs} jobs at the end, {w.n} machines, {c['claims']} claims, {c['bases']} bases, " \
           f"{c['changes']} changes of objects, {c['commits']} checkpoints there, {c['retired']} of them gone, " \
           f"{c['said']} said verified, {w.looks.n} looks, {time.monotonic() - begun:.1f} s"
    w.note(said)
    w.note(str(dict(sorted(w.did.items()))))
    print(f"    seed {seed}: {said}", flush=True)


@case("whatever befalls machines and their store no checkpoint is half or older than was said and jobs end the same",
      "stopped")
def _(d):
    logs = f"{BUILD}/random"
    os.makedirs(logs, exist_ok=True)
    left, seed = ROUNDS, SEED
    while left > 0:
        rounds = min(left, LENGTH)
        root = f"{d.root}/{seed}"
        os.makedirs(root)
        try:
            with open(f"{logs}/{seed}.log", "w") as log:
                sequence(root, seed, rounds, log)
        except BaseException:
            print(f"    again: ROUNDS={rounds} SEED={seed} tests/outside/random_storage.py; "
                  f"what was done: {logs}/{seed}.log", flush=True)
            keep(root, f"{logs}/{seed}")
            raise
        shutil.rmtree(root)
        left, seed = left - rounds, seed + 1


def keep(root, to):
    """The daemons' logs of a sequence that failed."""
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(to)
    for name in sorted(os.listdir(root)):
        if os.path.exists(f"{root}/{name}/daemon.log"):
            shutil.copy(f"{root}/{name}/daemon.log", f"{to}/{name}.log")
    print(f"    the daemons' logs: {to}", flush=True)


run()
