"""A whole machine, its kernel included: User Mode Linux, which boots a small Debian
with systemd as one more process of this machine.

Its kernel has every controller on version 2 of control groups, whatever this
machine has.  It has one processor, and no network but loopback.  What runs in it
is one script, as a unit at boot; what the script says comes over the console, and
then the machine is switched off.

    m = Uml(folder)
    said = m.run("systemctl start rekindled; echo hello")

The packages come by way of this machine's apt sources (mmdebstrap, half a minute);
the root is kept in build/uml for the next time, and only the product is installed
anew.  Where that cannot be, Skip says why.  Not a test itself.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, f"{SOURCE}/tests/outside")
from t import BUILD, SANITIZED, Skip, limit                      # noqa: E402

PACKAGES = """systemd systemd-sysv dbus udev kmod e2fsprogs procps iproute2 passwd login util-linux
    python3 xxhash curl ca-certificates libmicrohttpd12 libjansson4 libyaml-0-2 libsqlite3-0 libcurl4
    libssl3 libopenblas0-openmp libdnnl2 libsystemd0 zlib1g libxxhash0 libjpeg62-turbo libpng16-16""".split()
BOOT = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/srv/script
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
"""
BEGIN, END = "@@ the script begins", "@@ the script ends"


def why_not():
    """Why there is no such machine here, or None."""
    if SANITIZED:
        return "sanitized programs are not for installing"
    if os.getuid() != 0:
        return "only root can make the image of a machine"
    for program, package in (("linux.uml", "user-mode-linux"), ("mmdebstrap",) * 2, ("mke2fs", "e2fsprogs")):
        if not shutil.which(program):
            return f"no {program} (package {package})"
    return None


def tool(*words, **kw):
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if p.returncode != 0:
        raise Skip(f"{words[0]} did not work: {p.stdout.strip()[-300:]}")


def sources():
    for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        if os.path.exists(path):
            return path
    raise Skip("no sources of apt are known")


class Uml:
    def __init__(self, folder):
        if why_not():
            raise Skip(why_not())
        self.folder, self.kept = folder, f"{BUILD}/uml"
        self.root = f"{self.kept}/root"

    def make_root(self):
        """The packages; once."""
        mark = f"{self.kept}/packages"
        want = " ".join(PACKAGES)
        if os.path.exists(mark) and open(mark).read() == want:
            return
        shutil.rmtree(self.kept, ignore_errors=True)
        os.makedirs(self.kept)
        tool("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
             "--aptopt=Acquire::Retries \"3\"", "--aptopt=APT::Install-Recommends \"false\"",
             *[f"--dpkgopt=path-exclude=/usr/share/{x}/*" for x in ("man", "doc", "locale")],
             f"--include={','.join(PACKAGES)}", "bookworm", self.root, sources())
        with open(mark, "w") as f:
            f.write(want)

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        with open(self.root + path, "w") as f:
            f.write(text)
        os.chmod(self.root + path, mode)

    def install(self, script, files, programs):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.root}/etc/rekindle/rekindled.yaml")       # which install would keep
        tool("make", "-s", "-C", SOURCE, "install", f"B={os.path.relpath(BUILD, SOURCE)}", f"DESTDIR={self.root}")
        self.write("/etc/hostname", "uml\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/etc/fstab", "LABEL=root / ext4 errors=remount-ro 0 1\n")
        self.write("/etc/systemd/system/script.service", BOOT)
        self.write("/srv/script", f"#!/bin/bash\nexec 2>&1\necho '{BEGIN}'\n{script}\necho '{END}'\n", 0o755)
        for path, text in files.items():
            self.write(path, text)
        for path, program in programs.items():
            shutil.copy(program, self.root + path)
        wants = f"{self.root}/etc/systemd/system/multi-user.target.wants"
        os.makedirs(wants, exist_ok=True)
        if not os.path.islink(f"{wants}/script.service"):
            os.symlink("/etc/systemd/system/script.service", f"{wants}/script.service")
        for unit in ("getty.target", "console-getty.service"):
            link = f"{self.root}/etc/systemd/system/{unit}"
            if not os.path.islink(link):
                os.symlink("/dev/null", link)

    def run(self, script, files=None, programs=None, memory="768M", seconds=240):
        """Boot, run it to its end, switch off: what it said.  files: texts by their
        path there; programs: paths here by their path there."""
        self.make_root()
        self.install(script, files or {}, programs or {})
        disk = f"{self.folder}/disk.img"
        with open(disk, "wb") as f:
            f.truncate(1400 << 20)
        tool("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", self.root, disk)
        try:
            said = self.boot(disk, memory, seconds)
        finally:
            os.unlink(disk)
        if BEGIN not in said:
            raise Skip(f"the machine did not come up: {said[-400:]!r}")
        assert END in said, f"the script did not come to its end: {said[-2000:]}"
        return said.partition(BEGIN)[2].partition(END)[0].replace("\r\n", "\n")

    def boot(self, disk, memory, seconds):
        # A session of its own: its processes are many, and end with it.
        p = subprocess.Popen(["linux.uml", f"mem={memory}", f"ubd0={disk}", "root=/dev/ubda", "rw", "con=null",
                              "con0=null,fd:1", "quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder,
                             env={**os.environ, "HOME": self.folder, "TMPDIR": self.folder})
        try:
            return p.communicate(timeout=limit(seconds))[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            end_session(p.pid)
            raise AssertionError("the machine did not switch off: " +
                                 p.communicate()[0].decode(errors="replace")[-2000:]) from None
        finally:
            end_session(p.pid)


def left(sid):
    """The processes of a session that have not ended, with their states."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat") as f:
            state, _, _, of = f.read().rsplit(") ", 1)[1].split()[:4]
            if int(of) == sid and state not in "ZX":
                found[int(pid)] = state
    return found


def end_session(sid):
    """Each process of a machine is one here, in the machine's session.  Its kernel is the first of them and traces the
    others: it has to stand still, for it must not see them go, and they must be killed before it, or they would go on
    as processes of this machine, with its files."""
    with contextlib.suppress(ProcessLookupError):
        if sid in left(sid):
            os.kill(sid, signal.SIGSTOP)
            while left(sid).get(sid, "T") not in "Tt":
                time.sleep(0.001)
            os.killpg(sid, signal.SIGKILL)
    while left(sid):
        for pid in left(sid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
