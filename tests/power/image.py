"""The disk of a machine that trains: Debian, systemd, rekindled as `make install` puts it there, and two doors.  Not a
test itself.

    image = Image(); image.make(config, f"{folder}/disk.img", size)

Port 7451 leads to the API, which listens on loopback only; what is sent to port 9000 is run by a root shell.
"""
import fcntl
import json
import os
import random
import shutil
import struct

from vm import API, ITS, SHELL, tool
from uml import BUILD, SOURCE, Uml, why_not     # noqa: F401: also for those who import us

UNITS = {
    "network/10-all.network": f"[Match]\nName=vec*\n[Network]\nAddress={ITS}/24\nLinkLocalAddressing=no\n"
                              "IPv6AcceptRA=no\n",
    "system/api.socket": f"[Socket]\nListenStream=0.0.0.0:{API}\n",
    "system/api.service": "[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:7450\n",
    "system/shell.socket": f"[Socket]\nListenStream=0.0.0.0:{SHELL}\nAccept=yes\nMaxConnections=32\n",
    "system/shell@.service": "[Unit]\nCollectMode=inactive-or-failed\n[Service]\nExecStart=/bin/bash -s\n"
                             "StandardInput=socket\nStandardOutput=socket\nStandardError=socket\nWorkingDirectory=/\n",
    # Nothing here needs any device but these two; all of them take most of a boot.
    "system/systemd-udev-trigger.service.d/few.conf":
        "[Service]\nExecStart=\nExecStart=-udevadm trigger --action=add --subsystem-match=net --subsystem-match=block\n",
}
MASKED = ("getty.target", "console-getty.service", "e2scrub_reap.service", "apt-daily.timer", "apt-daily-upgrade.timer",
          "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer", "modprobe@drm.service", "modprobe@configfs.service",
          "modprobe@fuse.service", "modprobe@loop.service", "modprobe@dm_mod.service", "modprobe@efi_pstore.service",
          "systemd-logind.service", "systemd-sysusers.service", "systemd-binfmt.service")
# What people enable: README, "On a server".
ENABLED = {"sockets.target": ("/etc/systemd/system/api.socket", "/etc/systemd/system/shell.socket"),
           "multi-user.target": ("/usr/local/lib/systemd/system/rekindled.service",
                                 "/lib/systemd/system/systemd-networkd.service")}
SIDE, CLASSES, SAMPLES = 16, 10, 2000           # of the pictures in /srv/data


def pictures(folder):
    """Noise with a bright bar where its class is, as IDX."""
    os.makedirs(folder, exist_ok=True)
    r = random.Random(1)
    labels = bytes(r.randrange(CLASSES) for _ in range(SAMPLES))
    with open(f"{folder}/labels.idx", "wb") as f:
        f.write(struct.pack(">II", 0x801, SAMPLES) + labels)
    with open(f"{folder}/images.idx", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, SAMPLES, SIDE, SIDE))
        for c in labels:
            p = bytearray(r.randbytes(SIDE * SIDE))
            for x in range(SIDE * (c + 1), SIDE * (c + 2)):
                p[x] |= 128
            f.write(p)


class Image(Uml):
    def __init__(self):
        super().__init__(None)
        self.kept = f"{BUILD}/power/image"
        self.root = f"{self.kept}/root"

    def link(self, unit, to):
        path = f"{self.root}/etc/systemd/system/{unit}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.islink(path):
            os.symlink(to, path)

    def make(self, config, path, size):
        """config: of rekindled.  The packages are fetched once, and rekindled is installed each time."""
        os.makedirs(os.path.dirname(self.kept), exist_ok=True)
        with open(f"{self.kept}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.make_root()
            self.fill(config)
            with open(path, "wb") as f:
                f.truncate(size)
            tool(f"mke2fs -q -t ext4 -L root -d {self.root} {path}")

    def fill(self, config):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        flags = " ".join(f"{k}={env[k]}" for k in ("CC", "WERROR") if k in env)
        tool(f"make -s -C {SOURCE} install B={BUILD} {flags} DESTDIR={self.root}", env=env)
        for name, text in UNITS.items():
            self.write(f"/etc/systemd/{name}", text)
        for target, units in ENABLED.items():
            for unit in units:
                self.link(f"{target}.wants/{os.path.basename(unit)}", unit)
        for unit in MASKED:
            self.link(unit, "/dev/null")
        self.write("/etc/rekindle/rekindled.yaml", json.dumps(config), 0o600)
        self.write("/etc/hostname", "power\n")
        self.write("/etc/hosts", "127.0.0.1 localhost power\n")
        self.write("/etc/fstab", "/dev/ubda / ext4 errors=remount-ro 0 0\n")
        self.write("/etc/machine-id", "")
        os.makedirs(f"{self.root}/var/log/journal", exist_ok=True)      # a journal that survives
        for name in ("bucket", "digests", "t", "patience"):             # who looks at checkpoints there
            os.makedirs(f"{self.root}/srv/look", exist_ok=True)
            shutil.copy(f"{SOURCE}/tests/outside/{name}.py", f"{self.root}/srv/look/")
        pictures(f"{self.root}/srv/data")
