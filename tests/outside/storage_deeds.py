"""What people do to jobs, and what befalls machines and their store.  Not a test itself.

    a_round(world, n)                   # some of it, drawn
"""
import json
import os
import shutil

from moods import Mood
from storage_world import ENDED, KINDS
from t import Patience, wait_for

LIVE_JOBS = 3


# --- deeds of people --------------------------------------------------------------

def pick(w, m, *states):
    """A job in one of these states, or in any that has not ended."""
    found = [j["id"] for j in m.d.get("/v1/jobs?limit=100").json["jobs"]
             if (j["state"] in states if states else j["state"] not in ENDED)]
    return w.rng.choice(sorted(found)) if found else None


def checkpoints(m, job):
    return m.d.get(f"/v1/jobs/{job}/checkpoints?limit=100").json["checkpoints"]


def submits(w, m):
    live = [j for j in m.d.get("/v1/jobs?limit=100").json["jobs"] if j["state"] not in ENDED]
    if len(live) >= LIVE_JOBS:
        return None
    kind = w.rng.choice(sorted(KINDS))
    return f"{kind} as {w.submit(m, kind, w.spec(kind))}"


def names(w, m):
    """A new checkpoint, or one that is there."""
    job = pick(w, m)
    if job is None:
        return None
    name = f"n{w.rng.randrange(4)}"
    there = checkpoints(m, job)
    if there and w.rng.random() < 0.5:
        dir = w.rng.choice(there)["checkpoint"]
        return f"{job} {dir} {name}: {m.d.call('PATCH', f'/v1/jobs/{job}/checkpoints/{dir}', {'name': name}).status}"
    return f"{job} {name}: {m.d.post(f'/v1/jobs/{job}/checkpoints', {'name': name}).status}"


def drops(w, m):
    """A checkpoint; the newest has to stay, and one that another job begins from is left alone."""
    job = pick(w, m, "running", "queued", "paused", "succeeded")
    there = checkpoints(m, job) if job else []
    if not there:
        return None
    c = w.rng.choice(there)
    if any("pinned" in n for n in c["names"]):
        return None
    with w.st.lock:
        w.rules.deletes(job, c["checkpoint"])
    return f"{job} {c['checkpoint']}: {m.d.call('DELETE', f'/v1/jobs/{job}/checkpoints/' + c['checkpoint']).status}"


def deletes(w, m):
    job = pick(w, m, "running", "queued", "paused", "succeeded", "cancelled")
    if job is None or any(f"job://{job}/" in json.dumps(s) for s in w.jobs.values()):
        return None
    with w.st.lock:
        w.rules.deletes(job)
    if m.d.post(f"/v1/jobs/{job}/cancel").status == 202:
        wait_for(30, f"{job} has ended", lambda: m.d.job(job)["state"] in ENDED)
    return f"{job}: {m.d.call('DELETE', f'/v1/jobs/{job}').status}"


def pauses(w, m):
    job = pick(w, m, "running", "queued", "starting")
    return job and f"{job}: {m.d.post(f'/v1/jobs/{job}/pause', {}).status}"


def resumes(w, m):
    job = pick(w, m, "paused")
    return job and f"{job}: {m.d.post(f'/v1/jobs/{job}/resume', {}).status}"


def branches(w, m):
    """It goes on from an older one of its checkpoints."""
    job = pick(w, m, "running", "paused")
    if job is None:
        return None
    m.d.post(f"/v1/jobs/{job}/pause", {})
    wait_for(30, f"{job} is paused", lambda: m.d.job(job)["state"] in ("paused", *ENDED))
    there = checkpoints(m, job)
    if not there:
        return None
    dir = w.rng.choice(there)["checkpoint"]
    with w.st.lock:
        w.looks.asked.setdefault(job, set()).add(dir)
    return f"{job} from {dir}: {m.d.post(f'/v1/jobs/{job}/resume', {'from': dir}).status}"


def begets(w, m):
    """Another job begins from a checkpoint of one, which gets a name."""
    job = pick(w, m, "running", "succeeded", "paused")
    there = [c for c in checkpoints(m, job) if c["durability"]["state"] == "verified"] if job else []
    if not there or job not in w.jobs or "checkpoint" in w.jobs[job]["model"]:
        return None
    c, name = w.rng.choice(there), f"pinned-{len(w.jobs)}"
    said = m.d.call("PATCH", f"/v1/jobs/{job}/checkpoints/{c['checkpoint']}", {"name": name}).status
    if said != 200:
        return f"{job}: no name: {said}"
    kind = w.rules.kinds[job]
    kind_of_child = f"{kind} from {c['step']}"
    spec = w.spec(kind)
    spec["model"]["checkpoint"] = f"job://{job}/{name}"
    return f"{job} {c['checkpoint']}: {w.submit(m, kind_of_child, spec)}"


DEEDS = {submits: 4, names: 2, drops: 1, deletes: 1, pauses: 1, resumes: 2, branches: 2, begets: 1}


def deed(w):
    """By whoever has the jobs; what does not come to pass, because somebody kills or freezes, does not."""
    m = w.owner()
    if m is None:
        return
    what = w.rng.choices(list(DEEDS), list(DEEDS.values()))[0]
    try:
        did = what(w, m)
    except (OSError, AssertionError) as e:
        if not isinstance(e, OSError) and not m.ended():
            raise
        did = f"{type(e).__name__}"
    if did:
        w.did[what.__name__] = w.did.get(what.__name__, 0) + 1
        w.note(f"a person at {m.name} {what.__name__} {did}")


# --- what happens to machines -----------------------------------------------------

def killed(w, m):
    m.kill(w.rng.random() < 0.5)
    w.sleep(0, 0.3)
    m.start()


def vanish(m):
    m.kill(True)
    shutil.rmtree(m.d.state)


def vanishes(w, m):
    vanish(m)
    w.fresh()


def is_lost(w, m):
    """Its disk may be found again."""
    m.kill(True)
    w.rng.choice([w.fresh, w.back])()


def usurped(w, m):
    w.rng.choice([w.fresh, w.fresh, w.back])()


def frozen(w, m):
    m.freeze(w.rng.random() < 0.5)
    w.rng.choice([w.fresh, w.fresh, w.back])()
    w.sleep(0.1, 1)
    m.thaw()


def naps(w, m):
    m.freeze(w.rng.random() < 0.5)
    w.sleep(0.1, 2)
    m.thaw()


def copied(w, m):
    """As an image of a disk is: all stands still meanwhile."""
    m.freeze(True)
    c = w.machine(m.directory)
    shutil.copytree(m.d.state, f"{c.d.state}.part", symlinks=True)
    os.rename(f"{c.d.state}.part", c.d.state)
    w.note(f"{c.name} is a copy of {m.name}")
    w.sleep(0, 0.1)
    m.thaw()


def stopped(w, m):
    m.ending, m.state = True, "leaving"
    m.d.stop()
    m.state = "down"
    w.rng.choice([m.start, w.fresh])()


def raced(w, m):
    """Two at once for the jobs of one that is gone, or frozen."""
    if w.rng.random() < 0.5:
        m.kill(True)
        w.fresh(), w.rng.choice([w.fresh, w.back])()
    else:
        m.freeze(False)
        w.fresh(), w.fresh()
        w.sleep(0, 0.5)
        m.thaw()


def half_taken(w, m):
    """Who takes over is killed while he does."""
    m.kill(True)
    if w.rng.random() < 0.5:
        shutil.rmtree(m.d.state)
    for _ in range(2):
        b = w.rng.choice([w.fresh, w.back])()
        w.sleep(0, 0.12)
        if not b.ended():
            b.kill(True)
    w.rng.choice([w.fresh, w.back])()


EVENTS = {killed: 3, vanishes: 3, is_lost: 2, usurped: 2, frozen: 3, naps: 1, copied: 2, stopped: 1, raced: 2,
          half_taken: 2}


def next_door(w):
    """A machine of another name on the same prefix."""
    m = w.neighbour
    if m is None or m.ended() or w.rng.random() < 0.6:
        return
    if w.rng.random() < 0.5:
        m.kill(w.rng.random() < 0.5)
        m.start()
    elif w.st.well():
        vanish(m)
        w.neighbour = w.machine(instance=m.instance)
        w.neighbour.start()


def ill(w):
    """The store, for all or for whoever has the jobs."""
    kind = w.rng.choice(["refuse", "hang", "busy", "blind", "slow", "slow", "lost", "lost", "late", "late"])
    m = w.owner()
    if kind == "late":
        w.st.lag = w.rng.uniform(0.2, 1)
    else:
        value = {"busy": w.rng.choice([0.3, 0.9]), "blind": 0.8, "slow": 0.08, "lost": 0.3}.get(kind, 0)
        w.st.mood(Mood(kind, value), m.who if m and w.rng.random() < 0.4 else None)
    w.note(f"the store is {kind}")


def some_training(w, m):
    """A job, and mostly a checkpoint more that was said to be verified."""
    if pick(w, m, "running", "queued", "starting") is None:
        submits(w, m)
    said, p = w.rules.counts["said"], Patience(0.7)
    more = w.rng.randint(0, 3)
    while w.rules.counts["said"] < said + more and not p.spent() and pick(w, m, "running", "queued", "starting"):
        w.sleep(0.05, 0.05)


def a_round(w, n):
    w.note(f"round {n}")
    if w.st.well():
        m = w.settled()
        some_training(w, m)
    else:
        m = w.owner() or w.rng.choice(w.ours("up") or [w.fresh()])
    for _ in range(w.rng.randint(1, 3)):
        deed(w)
        w.sleep(0, 0.25)
    if w.st.well() and w.rng.random() < 0.4:
        ill(w)
        w.sleep(0, 0.3)
    if not m.ended():
        what = w.rng.choices(list(EVENTS), list(EVENTS.values()))[0]
        w.note(f"{m.name}: {what.__name__}")
        w.did[what.__name__] = w.did.get(what.__name__, 0) + 1
        what(w, m)
    next_door(w)
    w.sleep(0, 0.4)
    deed(w)
    if not w.st.well() and w.rng.random() < 0.8:
        w.note("the store is well")
        w.st.heal()
    w.check()
