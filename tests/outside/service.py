#!/usr/bin/env python3
"""The unit as it is shipped, under a systemd that has booted: what a job that has
no checkpoint for hours loses when the daemon or the machine goes."""
import os
import time

from machine import machine_case
from t import eq, has, run, wait_for


def started(m, **more):
    """A machine with a job that has trained for a while, and its last step that
    we know of."""
    m.boot()
    i = m.submit(**more)
    m.runs_beyond(i, 200, "the job has done 200 steps")
    eq(m.checkpoints(i), [], "checkpoints so far")
    return i


def went_on(m, i, at, n=2):
    """It is in its n-th attempt, which began no earlier than at step `at`."""
    wait_for(60, f"attempt {n} runs", lambda: m.step(i) > at and len(m.attempts(i)) == n)
    first = m.attempts(i)[n - 1]["start_step"]
    assert first >= at, f"attempt {n} began at step {first}; {at} had been done"
    return first


@machine_case("after kill -9 of the daemon the trainers save and leave, and the next daemon goes on there")
def _(m):
    i = started(m)
    at = m.step(i)
    m.sh("systemctl kill --kill-who=main -s KILL rekindled")
    went_on(m, i, at)


@machine_case("a daemon that hangs is ended by the watchdog, and its trainers save")
def _(m):
    m.drop_in("[Service]\nWatchdogSec=1\nTimeoutAbortSec=1\n")
    i = started(m)
    at, old = m.step(i), m.daemon()
    m.hang(old)
    wait_for(60, "another daemon", lambda: m.daemon() not in (0, old) and m.ready())
    has(m.journal(), "Watchdog timeout")
    went_on(m, i, at)


@machine_case("stop, restart and reboot lose nothing")
def _(m):
    i = started(m)
    at = m.step(i)
    m.sh("systemctl stop rekindled")
    eq(m.trainers(), [], "trainers after the stop")
    eq(m.show("Result"), "success", "how it was stopped")
    m.sh("systemctl start rekindled")
    at = went_on(m, i, at)
    m.sh("systemctl restart rekindled")
    at = went_on(m, i, at, 3)
    m.reboot()
    m.wait_ready()
    went_on(m, i, at, 4)


@machine_case("a daemon that hangs at its stop is killed in the end, and its trainers save all the same")
def _(m):
    m.drop_in("[Service]\nTimeoutStopSec=1\n")
    i = started(m)
    at = m.step(i)
    m.hang(m.daemon())
    m.sh("systemctl stop rekindled")
    eq(m.show("Result"), "timeout", "how it was stopped")
    wait_for(60, "the trainer has left", lambda: not m.trainers())
    m.sh("systemctl start rekindled")
    went_on(m, i, at)


@machine_case("a reboot while a trainer of a killed daemon still saves lets it save")
def _(m):
    # Nobody starts it again: what the machine's end finds is the trainer alone,
    # here one that has not even seen that its daemon is gone.
    m.drop_in("[Service]\nRestart=no\n")
    i = started(m)
    at = m.step(i)
    m.hang(m.trainers()[0])
    m.sh("systemctl kill --kill-who=main -s KILL rekindled")
    wait_for(30, "the unit has failed", lambda: m.show("ActiveState") == "failed")
    assert m.trainers(), "the trainer has left already"
    m.reboot(meanwhile=m.let_go)
    m.wait_ready()
    went_on(m, i, at)


@machine_case("a trainer that does not leave after its daemon was killed is killed by the next daemon")
def _(m):
    m.config("stop_timeout: 2\n")
    i = started(m)
    stuck = m.trainers()
    m.hang(stuck[0])
    m.sh("systemctl kill --kill-who=main -s KILL rekindled")
    wait_for(60, "the stuck trainer is gone", lambda: m.try_sh(f"kill -0 {stuck[0]}").returncode != 0)
    m.runs_beyond(i, 0, "the job runs again")
    assert any("did not leave and was killed" in e for e in m.events(i)), m.events(i)


@machine_case("a notice that is withdrawn or stands leaves the service running, and the job goes on when it is over")
def _(m):
    # A cloud whose notice is a file: 404 when there is none.
    folder = f"{m.dir}/srv/cloud/latest"
    os.makedirs(folder)
    m.write("/etc/systemd/system/cloud.service",
            "[Service]\nExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/cloud 8000\n")
    m.config('preempt: {cloud: volcengine, url: {volcengine: "http://127.0.0.1:8000"}, poll: 0.1}\n')
    i = started(m)
    m.sh("systemctl start cloud")

    def preemption():
        return m.get("/v1/status")["preemption"]
    for n in range(2):
        at, daemon = m.step(i), m.daemon()
        m.write("/srv/cloud/latest/spot_instance_termination_time", str(int(time.time()) + 300 + n))
        wait_for(60, "everything is saved", lambda: preemption()["saved"])
        eq((m.trainers(), m.show("ActiveState")), ([], "active"))
        if n == 1:
            # It dies, for whatever reason: the next one saves once more, and waits as well.
            m.sh("systemctl kill --kill-who=main -s KILL rekindled")
            wait_for(60, "the next daemon", lambda: m.daemon() not in (0, daemon) and m.ready() is not None)
            wait_for(60, "it is saved", lambda: m.get("/v1/status") and preemption()["saved"])
            daemon = m.daemon()
        os.unlink(f"{folder}/spot_instance_termination_time")
        m.wait_ready()
        m.runs_beyond(i, at, "the job goes on")
        eq((m.daemon(), m.show("NRestarts")), (daemon, str(n)), "the daemon and how often it was restarted")
    m.sh("systemctl stop rekindled")
    eq(m.show("Result"), "success", "how it was stopped")


run()
