"""A machine that boots, is asked things, and loses its power.  Not a test itself.

    own_network()                       # first, before any thread
    m = Machine(folder, f"{folder}/disk.img")
    m.on()
    m.wait_ready()                      # rekindled under systemd, by itself
    m.sh("systemctl is-system-running")
    status, answer = m.call("GET", "/v1/jobs")
    m.fuse(20000); m.cut("sectors", 7)

User Mode Linux: each of its processes is one of this machine, and its kernel is one.  All of it lies in a network
namespace of this process: machine and store see each other, and nobody else.
"""
import contextlib
import ctypes
import http.client
import json
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for other in ("long", "outside"):
    sys.path.insert(0, f"{HERE}/../{other}")
import disk                                     # noqa: E402
from patience import Patience, limit            # noqa: E402
from uml import end_session                     # noqa: E402

OURS, ITS = "10.0.2.2", "10.0.2.15"             # addresses: of this side, of the machine
API, SHELL = 7451, 9000                         # ports there: image.py
NEWNET = 0x40000000                             # CLONE_NEWNET


class Down(Exception):
    """There was no whole answer: the machine is off, or not up yet."""


def tool(command, **kw):
    p = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    assert p.returncode == 0, f"{command}: {p.stdout[-500:]}"


def own_network():
    if ctypes.CDLL(None, use_errno=True).unshare(NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    # The driver in the machine drops what is longer than a frame, also when it is sent again.
    for command in ("ip link set lo up", "ip tuntap add tap0 mode tap", f"ip addr add {OURS}/24 dev tap0",
                    "ip link set tap0 gso_max_segs 1", "ip link set tap0 up"):
        tool(command)


def library(folder):
    """volatile.c, compiled."""
    path = f"{folder}/volatile.so"
    tool(f"{os.environ.get('CC', 'gcc')} -O2 -Wall -shared -fPIC -o {path} {HERE}/volatile.c")
    return path


class Machine:
    def __init__(self, folder, image, memory=1024, volatile=True):
        self.folder, self.image, self.memory = folder, image, memory
        self.volatile = library(folder) if volatile else None
        self.log, self.proc, self.sockets = f"{folder}/log", None, set()
        self.status = 0                         # of what sh() ran last

    # --- power ---------------------------------------------------------------

    def on(self):
        env = {**os.environ, "HOME": self.folder, "TMPDIR": self.folder}
        if self.volatile:
            env.update(LD_PRELOAD=self.volatile, POWER_DISK=self.image, POWER_LOG=self.log)
        with open(f"{self.folder}/console.log", "ab") as console:
            # t: neither trims nor zeroes of the kernel's own, which would go past the log.
            self.proc = subprocess.Popen(
                ["linux.uml", f"mem={self.memory}M", f"ubd0t={self.image}", "root=/dev/ubda", "rw", "con=null",
                 "con0=null,fd:1", "vec0:transport=tap,ifname=tap0", "quiet"], stdin=subprocess.DEVNULL, stdout=console,
                stderr=console, env=env, start_new_session=True, cwd=self.folder)

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def end(self):
        """Every process of it."""
        if self.proc is None:
            return
        end_session(self.proc.pid)
        self.proc.wait()
        for s in list(self.sockets):            # who waits for an answer is told
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self, way, seed):
        """The end of the power: (writes that were on their way, sectors of them, sectors lost)."""
        self.end()
        return disk.cut(self.image, self.log, way, seed)

    def fuse(self, size, seconds):
        """Let it end in the moment in which so many bytes are on their way to the disk, if that comes soon."""
        disk.light(self.log, size)
        end = time.monotonic() + seconds
        while self.alive() and time.monotonic() < end:
            time.sleep(0.002)

    def off(self):
        """As people switch it off."""
        with contextlib.suppress(Down):
            self.sh("systemctl poweroff", 10)
        try:
            self.proc.wait(limit(120))
        finally:
            self.end()

    def fsck(self):
        """As an initrd does at boot: what e2fsck could not mend without being asked, or None."""
        p = subprocess.run(["e2fsck", "-f", "-p", self.image], capture_output=True, text=True)
        return None if p.returncode in (0, 1) else f"e2fsck ended with {p.returncode}: {p.stdout[-500:]}"

    # --- questions -------------------------------------------------------------

    @contextlib.contextmanager
    def talking(self, make):
        """A connection that end() can shut; whatever goes wrong with it is Down."""
        known = None
        try:
            c, known = make()
            self.sockets.add(known)
            yield c
        except (OSError, http.client.HTTPException) as e:
            raise Down(repr(e)) from None
        finally:
            if known:
                self.sockets.discard(known)
                known.close()

    def sh(self, script, seconds=60):
        """Run it as root there: all that it said."""
        def make():
            s = socket.create_connection((ITS, SHELL), timeout=10)
            s.settimeout(limit(seconds))
            return s, s
        said = b""
        with self.talking(make) as s:
            s.sendall(b"{\n" + script.encode() + b"\n} 2>&1 </dev/null\necho \"@status $?\"\nexit\n")
            while True:
                got = s.recv(1 << 16)
                if not got:
                    break
                said += got
        body, mark, status = said.rpartition(b"@status ")
        if not mark:
            raise Down(f"cut off behind {said[-200:]!r}")
        self.status = int(status)
        return body.decode(errors="replace")

    def call(self, method, path, body=None, key=None, seconds=20):
        """One request to rekindled: (status, JSON or text)."""
        def make():
            c = http.client.HTTPConnection(ITS, API, timeout=limit(seconds))
            c.connect()
            return c, c.sock
        head = {"Host": "127.0.0.1:7450"}
        if method in ("POST", "PATCH"):
            head["Content-Type"] = "application/json"
        if key:
            head["Idempotency-Key"] = key
        with self.talking(make) as c:
            c.request(method, path, None if body is None else json.dumps(body), head)
            r = c.getresponse()
            text = r.read()
        try:
            return r.status, json.loads(text) if text else None
        except ValueError:
            return r.status, text.decode(errors="replace")

    def wait_ready(self, seconds=90):
        """Until rekindled would take work: the seconds that it took.  Nobody starts it but systemd."""
        p, said = Patience(seconds), "nothing"
        while not p.spent():
            assert self.alive(), f"the machine ended by itself: {self.folder}/console.log"
            with contextlib.suppress(Down):
                status, said = self.call("GET", "/readyz", seconds=5)
                if status == 200:
                    return p.waited()
            time.sleep(0.1)
        raise AssertionError(f"rekindled is not ready after {p.waited():.0f} s: {said}; {self.why()}")

    def why(self):
        try:
            return self.sh("systemctl status rekindled --no-pager -n 20")
        except Down as e:
            return f"no shell: {e}; {self.folder}/console.log"


def copy(image, to):
    """A disk like another one, with its holes."""
    tool(f"cp --sparse=always {image} {to}")
