#!/usr/bin/env python3
"""Machines, daemons and trainers that stand still for a while: what was frozen
was not silent, and nothing is killed for it."""
import os
import signal
import socket
import time

from t import Skip, case, eq, has, run, tiny, wait_for

STALL = 3
FROZEN = 4.5


def stop(*pids):
    for p in pids:
        os.kill(p, signal.SIGSTOP)


def go(*pids):
    for p in pids:
        os.kill(p, signal.SIGCONT)


def trained(d, *flags, **more):
    """A daemon with little patience, and a job that trains for long."""
    with open(f"{d.root}/config.yaml", "w") as f:
        f.write(f"stall_timeout: {STALL}\nstart_timeout: {STALL}\nstop_timeout: {STALL}\n")
    d.start("--config", f"{d.root}/config.yaml", *flags)
    i = d.submit(tiny(d, epochs=100000, retries=0, **more))
    d.wait_state(i, "running")
    wait_for(20, "it trains", lambda: (d.job(i)["progress"] or {}).get("step", 0) > 10)
    return i


def step(d, i):
    return d.job(i)["progress"]["step"]


def goes_on(d, i):
    at = step(d, i)
    wait_for(20, "it trains on", lambda: step(d, i) > at)
    time.sleep(0.3)
    j = d.job(i)
    eq((j["state"], j["attempt"]), ("running", 1), f"state and attempt ({j['message']})")


def freeze(d, i, first, then):
    """All of them stand still, and `first` wakes first."""
    stop(*first, *then)
    time.sleep(FROZEN)
    go(*first)
    time.sleep(0.3 if then else 0)
    go(*then)
    goes_on(d, i)


@case("a daemon that was frozen reads before it judges", "stopped")
def _(d):
    i = trained(d)
    freeze(d, i, [d.proc.pid], [])


@case("a machine that was frozen kills no trainer, whichever process wakes first", "stopped")
def _(d):
    i = trained(d)
    freeze(d, i, [d.proc.pid], d.trainers())
    freeze(d, i, d.trainers(), [d.proc.pid])


@case("a trainer that was stopped is not hung: it is waited for, and that is said once", "stopped")
def _(d):
    i = trained(d)
    for _ in range(2):
        t = d.trainers()
        stop(*t)
        time.sleep(2 * STALL + 0.5)
        eq(d.job(i)["state"], "running")
        go(*t)
        goes_on(d, i)
    said = [e for e in d.events(i) if "is stopped, as by SIGSTOP" in e]
    assert 1 <= len(said) <= 2, f"events of two stops: {d.events(i)}"
    # Stopped for good: a person can still end it.
    stop(*d.trainers())
    d.post(f"/v1/jobs/{i}/cancel", want=202)
    d.wait_state(i, "cancelled", seconds=20)


@case("a trainer whose control group is frozen is not hung", "stopped")
def _(d):
    group = f"/sys/fs/cgroup/freezer/rk-test-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError as e:
        raise Skip(f"no freezer to be had: {e}")
    try:
        i = trained(d)
        for p in d.trainers():
            with open(f"{group}/cgroup.procs", "w") as f:
                f.write(str(p))
        with open(f"{group}/freezer.state", "w") as f:
            f.write("FROZEN")
        time.sleep(2 * STALL + 0.5)
        eq(d.job(i)["state"], "running")
        with open(f"{group}/freezer.state", "w") as f:
            f.write("THAWED")
        goes_on(d, i)
        d.kill()
    finally:
        with open(f"{group}/freezer.state", "w") as f:
            f.write("THAWED")
        wait_for(20, "the group is empty", lambda: not open(f"{group}/cgroup.procs").read())
        os.rmdir(group)


@case("a client that was frozen with the daemon in the middle of a request is heard to its end", "stopped")
def _(d):
    with open(f"{d.root}/config.yaml", "w") as f:
        f.write("api: {idle_timeout: 3}\n")
    d.start("--config", f"{d.root}/config.yaml")
    half = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{d.port}\r\n".encode()
    clients = []
    for begun in (b"", half):
        s = socket.create_connection((d.host, d.port), timeout=20)
        s.sendall(begun)
        clients.append((s, (half + b"\r\n")[len(begun):]))
    time.sleep(0.2)
    stop(d.proc.pid)
    time.sleep(FROZEN)
    go(d.proc.pid)
    time.sleep(0.5)
    for s, rest in clients:
        s.sendall(rest)
        has(s.recv(1000).decode(), "200 OK")
        s.close()
    # Without a freeze it is not waited for.
    s = socket.create_connection((d.host, d.port), timeout=20)
    eq(s.recv(10), b"")
    s.close()


@case("a freeze while a trainer saves and leaves does not get it killed", "stopped")
def _(d):
    i = trained(d, checkpoint={"every": {"steps": 1000000}})
    t = d.trainers()
    stop(*t)
    d.post(f"/v1/jobs/{i}/pause", want=202)
    stop(d.proc.pid)
    time.sleep(FROZEN)
    go(d.proc.pid)
    time.sleep(0.3)
    go(*t)
    j = d.wait_state(i, "paused")
    assert "did not save" not in j["message"], j["message"]
    eq(j["progress"]["checkpoint_step"], j["progress"]["step"], "step of the last checkpoint")


@case("the orphan of a daemon that was killed is given its time after a freeze", "stopped")
def _(d):
    i = trained(d, checkpoint={"every": {"steps": 1000000}})
    t = d.trainers()
    d.kill()
    try:
        stop(*t)                # unless it was quicker, and has saved
    except ProcessLookupError:
        pass
    d.start("--config", f"{d.root}/config.yaml")
    stop(d.proc.pid)
    time.sleep(FROZEN)
    go(d.proc.pid)
    time.sleep(0.3)
    try:
        go(*t)
    except ProcessLookupError:
        pass
    d.wait_state(i, "running")
    a = d.get(f"/v1/jobs/{i}/attempts").json["attempts"]
    assert a[-1]["start_step"] > 0, f"it saved before it left: {a}"


run()
