#!/usr/bin/env python3
"""The unit as it is shipped, with its own times: daemon and machine go at moments
chosen at random, again and again, and a job that never has a checkpoint of its own
accord loses nothing and ends with the same bytes.

ROUNDS=30 and SEED= say how often and which."""
import hashlib
import json
import os
import random
import sys

sys.path.insert(0, os.path.abspath(f"{os.path.dirname(__file__)}/../outside"))
from machine import machine_case    # noqa: E402
from t import eq, has, run, wait_for    # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "30"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 30))))


def killed(m):
    m.sh("systemctl kill --kill-who=main -s KILL rekindled")


def crashed(m):
    m.sh("systemctl kill --kill-who=main -s SEGV rekindled")


def signalled_together(m):
    m.sh("systemctl kill --kill-who=all -s TERM rekindled; sleep 1; systemctl start rekindled")


def hung(m):
    old = m.daemon()
    m.hang(old)
    wait_for(120, "the watchdog's work", lambda: m.daemon() not in (0, old))


def hung_at_stop(m):
    m.hang(m.daemon())
    m.sh("systemctl stop rekindled", patience=180)
    m.sh("systemctl start rekindled")


def stopped(m):
    m.sh("systemctl stop rekindled")
    eq(m.trainers(), [], "trainers after a stop")
    m.sh("systemctl start rekindled")


def restarted(m):
    m.sh("systemctl restart rekindled")


def rebooted(m):
    m.reboot()


def killed_and_stopped(m):
    killed(m)
    m.sh("systemctl stop rekindled; systemctl start rekindled")


def killed_and_rebooted(m):
    killed(m)
    m.reboot()


EVENTS = [killed, crashed, signalled_together, hung, stopped, restarted, rebooted, killed_and_stopped, killed_and_rebooted]


def weights(m, i):
    folder = m.checkpoints(i)[0]["checkpoint"]
    base = f"{m.dir}/var/lib/private/rekindle/jobs/{i}/checkpoints/{folder}"
    h = hashlib.sha256()
    for name in ("model.safetensors", "optimizer.safetensors"):
        with open(f"{base}/{name}", "rb") as f:
            h.update(f.read())
    return h.hexdigest()


@machine_case("whatever ends daemon and machine, a job without checkpoints loses nothing")
def _(m):
    r = random.Random(SEED)
    print(f"    ROUNDS={ROUNDS} SEED={SEED}", flush=True)
    m.boot()
    i = m.submit(model={"arch": "mlp", "sizes": [4, 512, 3]})
    m.runs_beyond(i, 10, "the job trains")
    events = [hung_at_stop] + [r.choice(EVENTS) for _ in range(ROUNDS - 1)]
    for n, event in enumerate(events):
        at = m.step(i)
        m.runs_beyond(i, at + r.randrange(1, 2000), f"round {n}: it goes on ({event.__name__})", seconds=120)
        at = m.step(i)
        event(m)
        m.let_go()
        m.wait_ready()
        wait_for(120, f"round {n}: attempt {n + 2} runs after it was {event.__name__}",
                 lambda: m.step(i) > at and len(m.attempts(i)) == n + 2)
        first = m.attempts(i)[n + 1]["start_step"]
        assert first >= at, f"round {n}, {event.__name__}: began at step {first}; {at} had been done"
        m.sh("systemctl reset-failed rekindled")
    m.sh(f"rekindle pause {i}")
    wait_for(60, "a pause", lambda: m.job(i)["state"] == "paused")
    steps = m.job(i)["progress"]["checkpoint_step"]
    m.sh(f"rekindle cancel {i}")
    # The same without anything that disturbs it.
    tree = json.loads(m.read("/srv/job.json"))
    tree.update(name="quiet")
    tree["training"].pop("epochs")
    tree["training"]["steps"] = steps
    m.write("/srv/quiet.json", json.dumps(tree))
    j = json.loads(m.sh("rekindle submit /srv/quiet.json --json"))["id"]
    wait_for(600, "the undisturbed job has succeeded", lambda: m.job(j)["state"] == "succeeded")
    eq(weights(m, i), weights(m, j), f"the weights at step {steps}")
    has(m.read(f"/var/lib/private/rekindle/jobs/{j}/job.json"), str(steps))


run()
