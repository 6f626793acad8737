"""A small Debian that boots, for tests of the unit as it is shipped.

    @machine_case("a killed daemon's trainers save")
    def _(m):
        m.boot()
        m.sh("systemctl kill -s KILL rekindled")

systemd-nspawn boots a root whose /usr is this machine's, read-only, so that
nothing is downloaded and a boot takes a second; `make install` has put our files
into its /usr/local and /etc.  The network is a loopback of its own: no address of
a cloud can be asked there.  What a case writes lies in the case's folder.

Where such a machine cannot be had (not root, no systemd-nspawn, a container that
does not allow it), the case is skipped, with the reason.  Not a test itself.
"""
import json
import os
import shutil
import signal
import subprocess
import sys

from t import BUILD, SANITIZED, Skip, case, eq, limit, tiny, wait_for

SOURCE = os.path.abspath(f"{os.path.dirname(__file__)}/../..")
UNIT_NAME = "rekindled"
# Stops every thread of a process as a debugger would, and reaps them.
HANG = """
import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
for tid in map(int, os.listdir(f"/proc/{pid}/task")):
    for request in (0x4206, 0x4207):                    # PTRACE_SEIZE, PTRACE_INTERRUPT
        if libc.ptrace(request, tid, None, None) != 0:
            sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(tid, 0x40000000)                         # __WALL
print("hangs", flush=True)
while True:
    try:
        os.waitpid(-1, 0x40000000)
    except ChildProcessError:
        break
"""
REBOOTS = 133                   # systemd-nspawn's word for: start me again
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nana:x:1001:1001::/home/ana:/bin/sh\nben:x:1002:1002::/home/ben:/bin/sh\n"
              "nobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nadm:x:4:\ntty:x:5:\nana:x:1001:\nben:x:1002:\nml:x:2000:ana\ndatasets:x:2001:\nnogroup:x:65534:\n",
}


def why_not():
    """Why no machine can be booted here, or None."""
    if SANITIZED:
        return "sanitized programs are not for installing"
    if os.getuid() != 0:
        return "only root can boot a machine"
    if not shutil.which("systemd-nspawn"):
        return "no systemd-nspawn (package systemd-container)"
    if not os.path.islink("/bin"):
        return "/usr is not merged"
    return None


class Machine:
    worked = False              # one has booted

    def __init__(self, root):
        self.root, self.dir, self.nspawn = root, f"{root}/machine", None
        self.name = "rk" + "".join(c for c in os.path.basename(root) if c.isalnum())
        self.binds, self.tracers = [], []

    # --- its files ---------------------------------------------------------

    def make(self):
        """The root, with what is installed in it."""
        for x in ("etc/systemd/system/multi-user.target.wants", "usr", "var/lib", "run", "tmp", "proc", "sys", "dev",
                  "root", "srv", "home", "mnt"):
            os.makedirs(f"{self.dir}/{x}")
        os.chmod(f"{self.dir}/tmp", 0o1777)
        for link in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if os.path.islink(f"/{link}"):
                os.symlink(os.readlink(f"/{link}"), f"{self.dir}/{link}")
        for name, text in ACCOUNTS.items():
            self.write(f"/etc/{name}", text)
        for name in ("os-release", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "protocols", "services"):
            shutil.copy(f"/etc/{name}", f"{self.dir}/etc/{name}")
        # Where the libraries of BLAS are chosen between.
        shutil.copytree("/etc/alternatives", f"{self.dir}/etc/alternatives", symlinks=True)
        self.write("/etc/machine-id", "")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        os.makedirs(f"{self.dir}/home/ana")
        os.chown(f"{self.dir}/home/ana", 1001, 1001)
        os.chmod(f"{self.dir}/home/ana", 0o700)
        self.install()

    def install(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        args = [f"{k}={env[k]}" for k in ("CC", "WERROR") if k in env]
        # As the objects' headers are noted: by another name of the folder make does not find them.
        build = os.path.relpath(BUILD, SOURCE)
        p = subprocess.run(["make", "-s", "-C", SOURCE, f"B={build}", *args, "install", f"DESTDIR={self.root}/installed"], env=env,
                           capture_output=True, text=True)
        eq(p.returncode, 0, f"make install ({p.stderr})")
        conf = "/etc/rekindle/rekindled.yaml"
        os.makedirs(f"{self.dir}/etc/rekindle", exist_ok=True)
        shutil.copy(f"{self.root}/installed{conf}", f"{self.dir}{conf}")
        return p.stderr

    def write(self, path, text, mode=0o644):
        full = f"{self.dir}{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, mode)

    def read(self, path):
        with open(f"{self.dir}{path}", errors="replace") as f:
            return f.read()

    def config(self, text, mode=0o644):
        self.write("/etc/rekindle/rekindled.yaml", text, mode)

    def drop_in(self, text, name="test"):
        """As `systemctl edit rekindled` would; before the boot, or daemon-reload."""
        self.write(f"/etc/systemd/system/{UNIT_NAME}.service.d/{name}.conf", text)

    def enable(self):
        os.symlink(f"/usr/local/lib/systemd/system/{UNIT_NAME}.service",
                   f"{self.dir}/etc/systemd/system/multi-user.target.wants/{UNIT_NAME}.service")

    # --- on and off --------------------------------------------------------

    def boot(self, enable=True, ready=True):
        if enable:
            self.enable()
        self.power_on()
        if ready:
            self.wait_ready()

    def power_on(self):
        env = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1")
        with open(f"{self.root}/console.log", "ab") as log:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.dir}", f"--machine={self.name}", "--bind-ro=/usr",
                 f"--bind={self.root}/installed/usr/local:/usr/local", *self.binds, "--register=no", "--keep-unit",
                 "--private-network", "--link-journal=no", "--console=pipe"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def up():
            if self.nspawn.poll() is not None:
                with open(f"{self.root}/console.log", errors="replace") as f:
                    # Where it has worked once, that it does not is no excuse.
                    raise (AssertionError if Machine.worked else Skip)(f"systemd-nspawn does not work here: {f.read()[-300:]!r}")
            return self.leader() and self.try_sh("systemctl is-system-running").stdout.strip() in ("running", "degraded")
        wait_for(60, "the machine is up", up)
        Machine.worked = True

    def wait_ready(self):
        wait_for(30, f"the service is ready ({self.show('ActiveState')}: {self.journal()[-600:]})", self.ready)

    def leader(self):
        """Process 1 of the machine, as it is numbered here."""
        try:
            with open(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children") as f:
                for pid in f.read().split():
                    with open(f"/proc/{pid}/status") as s:
                        if "\t1\n" in next(x for x in s if x.startswith("NSpid:")):
                            return int(pid)
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass
        return None

    def reboot(self, meanwhile=None):
        self.try_sh("systemctl reboot")
        if meanwhile:
            wait_for(60, "the manager has ended all units", lambda: self.try_sh("systemctl is-system-running").stdout.strip() in ("", "offline", "unknown"))
            meanwhile()
        wait_for(150, "the machine has gone down", lambda: self.nspawn.poll() is not None)
        eq(self.nspawn.returncode, REBOOTS, "how systemd-nspawn ended")
        self.power_on()

    def off(self):
        self.let_go()
        if self.nspawn is None or self.nspawn.poll() is not None:
            return
        pid = self.leader()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)        # the kernel ends all that is in it
        try:
            self.nspawn.wait(limit(10))
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        try:
            os.rmdir(f"/run/systemd/nspawn/propagate/{self.name}")
        except OSError:
            pass

    # --- commands ----------------------------------------------------------

    def try_sh(self, command, user=None, patience=120):
        """A shell's command in the machine."""
        pid = self.leader()
        if pid is None:
            return subprocess.CompletedProcess(command, 255, "", "the machine is down")
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return subprocess.run(["nsenter", "-t", str(pid), "-a", "-r", "-w", *who, "env", "-i", "PATH=/usr/local/bin:/usr/bin:/usr/sbin",
                               "HOME=/root", "sh", "-c", command], capture_output=True, text=True, timeout=limit(patience))

    def sh(self, command, **kw):
        p = self.try_sh(command, **kw)
        eq(p.returncode, 0, f"exit status of {command!r} ({p.stdout[-600:]} {p.stderr[-600:]})")
        return p.stdout

    def show(self, prop, unit=UNIT_NAME):
        return self.try_sh(f"systemctl show {unit} -P {prop}").stdout.strip()

    def journal(self, unit=UNIT_NAME):
        return self.try_sh(f"journalctl -u {unit} -o cat --no-pager").stdout

    def get(self, path):
        p = self.try_sh(f"curl -sS -m 20 --unix-socket /run/rekindle/rekindled.sock 'http://x{path}'")
        return json.loads(p.stdout) if p.returncode == 0 and p.stdout else None

    def ready(self, socket="/run/rekindle/rekindled.sock"):
        return self.try_sh(f"curl -sf -m 20 --unix-socket {socket} http://x/readyz").returncode == 0

    def host_pid(self, pid):
        """A process of the machine as it is numbered here."""
        ns = os.readlink(f"/proc/{self.leader()}/ns/pid")
        for p in (x for x in os.listdir("/proc") if x.isdigit()):
            try:
                with open(f"/proc/{p}/status") as f:
                    ids = next(x for x in f if x.startswith("NSpid:")).split()
                if int(ids[-1]) == pid and os.readlink(f"/proc/{p}/ns/pid") == ns:
                    return int(p)
            except (FileNotFoundError, ProcessLookupError):
                pass
        raise AssertionError(f"the machine has no process {pid}")

    def hang(self, pid):
        """Nothing but SIGKILL reaches this process any more, until let_go().  SIGSTOP
        would not do: systemd sends SIGCONT with what it sends, and so does the kernel
        when a parent is gone."""
        p = subprocess.Popen([sys.executable, "-c", HANG, str(self.host_pid(pid))], stdout=subprocess.PIPE, text=True)
        self.tracers.append(p)
        eq(p.stdout.readline(), "hangs\n", "what the tracer says")

    def let_go(self):
        for p in self.tracers:
            p.kill()
            p.wait()
            p.stdout.close()
        self.tracers = []

    # --- the service and its jobs ------------------------------------------

    def daemon(self):
        """The daemon's process, as it is numbered in the machine; 0: none."""
        return int(self.show("MainPID") or 0)

    def trainers(self):
        return [int(x) for x in self.try_sh("pgrep -x rekindle-train").stdout.split()]

    def job_file(self, epochs=200000, **more):
        """A long job without a checkpoint for hours, in /srv of the machine."""
        job = tiny(self, "long", epochs=epochs, **{"checkpoint": {"every": {"steps": 100000000}, "keep": {"best": 0}}, **more})
        shutil.copy(f"{self.root}/tiny.csv", f"{self.dir}/srv/tiny.csv")
        job["data"]["train"]["path"] = "/srv/tiny.csv"
        self.write("/srv/job.json", json.dumps(job))
        return "/srv/job.json"

    def submit(self, **more):
        return json.loads(self.sh(f"rekindle submit {self.job_file(**more)} --json"))["id"]

    def refused(self, data, **more):
        """What is said of a job with this data file."""
        job = self.job_file(**more)
        tree = json.loads(self.read(job))
        tree["data"]["train"]["path"] = data
        self.write(job, json.dumps(tree))
        p = self.try_sh(f"rekindle submit {job}")
        eq(p.returncode, 1, f"exit code of submit ({p.stdout})")
        return p.stderr

    def job(self, i):
        return self.get(f"/v1/jobs/{i}")

    def step(self, i):
        j = self.job(i)
        return (j["progress"].get("step") or 0) if j and j["state"] == "running" else 0

    def runs_beyond(self, i, step, what, seconds=60):
        wait_for(seconds, what, lambda: self.step(i) > step)

    def attempts(self, i):
        return self.get(f"/v1/jobs/{i}/attempts")["attempts"]

    def checkpoints(self, i):
        return self.get(f"/v1/jobs/{i}/checkpoints")["checkpoints"]

    def events(self, i):
        return [e["message"] for e in self.get(f"/v1/jobs/{i}/events?limit=500")["events"]]


def machine_case(sentence):
    """A case that gets a machine, with its files made and not yet booted."""
    def add(fn):
        @case(sentence, "stopped")
        def _(d):
            why = why_not()
            if why:
                raise Skip(why)
            m = Machine(d.root)
            try:
                m.make()
                fn(m)
            except AssertionError as e:
                e.args = (f"{e}\n{m.journal()[-2500:]}",)
                raise
            finally:
                m.off()
        return fn
    return add
