#!/usr/bin/env python3
"""What the daemon tells systemd."""
import os
import socket
import time

from t import case, eq, run, tiny, wait_for


class Manager:
    """systemd's end of sd_notify(3)."""

    def __init__(self, root):
        self.path = f"{root}/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(0.05)
        self.said = []

    def hear(self):
        while True:
            try:
                self.said += self.sock.recv(4096).decode().split("\n")
            except (socket.timeout, BlockingIOError):
                return self.said


def start(d, **env):
    m = Manager(d.root)
    old = dict(os.environ)
    os.environ.update(NOTIFY_SOCKET=m.path, **env)
    try:
        d.start()
    finally:
        os.environ.clear()
        os.environ.update(old)
    return m


@case("READY comes when requests are served and STOPPING when it leaves", "stopped")
def _(d):
    m = start(d)
    wait_for(5, "READY=1", lambda: "READY=1" in m.hear())
    eq(d.get("/readyz").status, 200)
    eq(d.stop(), 0)
    assert "STOPPING=1" in m.hear(), m.said


@case("STATUS counts the jobs that run and that wait", "stopped")
def _(d):
    m = start(d)
    d.submit(tiny(d, "one", epochs=200000, resources={"threads": os.cpu_count(), "memory": "128MiB"}))
    d.submit(tiny(d, "two", epochs=200000))
    wait_for(10, "STATUS with one running and one queued",
             lambda: any(s.startswith("STATUS=") and "1 running" in s and "1 queued" in s for s in m.hear()))


@case("the watchdog is fed while jobs train and not when the loop hangs", "stopped")
def _(d):
    m = start(d, WATCHDOG_USEC="600000")
    wait_for(5, "three pats", lambda: m.hear().count("WATCHDOG=1") >= 3)
    os.kill(d.proc.pid, 19)             # SIGSTOP stands for a loop that hangs
    time.sleep(0.2)
    m.hear()
    m.said.clear()
    time.sleep(1)
    eq(m.hear().count("WATCHDOG=1"), 0)
    os.kill(d.proc.pid, 18)


run()
