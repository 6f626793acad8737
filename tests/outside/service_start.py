#!/usr/bin/env python3
"""The unit as it is shipped: its configuration, whom it lets in, and what it does
where it cannot start."""
import os
import re

from machine import SOURCE, machine_case
from t import eq, has, run, wait_for

SOCKET = "/run/rekindle/rekindled.sock"
# Of the configuration that was installed when the unit's flags went over it.
EARLIER = """listen: 127.0.0.1:7450
# state directory.
socket: null

# Its permissions, octal, in quotes.  Who may write to it may do everything.
socket_mode: "0660"
"""


def mode(m, path):
    return m.sh(f"stat -c '%a %G' {path}").strip()


def status(m, user):
    p = m.try_sh("rekindle status", user=user)
    return p.returncode, p.stdout + p.stderr


def readme(kind, line):
    """The block of the README that has this line."""
    with open(f"{SOURCE}/README.md") as f:
        found = re.search(rf"```{kind}\n([^`]*\n{re.escape(line)}[^`]*)```", f.read())
    assert found, f"the README has no block with {line}"
    return found.group(1)


@machine_case("the configuration goes over what the unit says, and may be root's alone")
def _(m):
    m.config("listen: none\nsocket: /run/rekindle/other.sock\nsocket_mode: '0600'\n", 0o600)
    m.boot(ready=False)
    wait_for(30, "the socket that the file names", lambda: m.ready("/run/rekindle/other.sock"))
    eq(mode(m, "/run/rekindle/other.sock"), "600 rekindle")
    eq(m.sh("ls /run/rekindle").split(), ["other.sock"])
    eq(m.sh("ss -Htln"), "", "what listens on TCP")
    has(m.journal(), '/run/rekindle/other.sock may be used by root, user rekindle and nobody else (socket_mode "0600")')
    # An edit counts from the next start on; so does that the file is gone.
    m.config("socket_mode: '0640'\n", 0o600)
    m.sh("systemctl restart rekindled")
    eq(mode(m, SOCKET), "640 rekindle")
    m.sh("rm /etc/rekindle/rekindled.yaml; systemctl restart rekindled")
    eq(mode(m, SOCKET), "666 rekindle")
    # And a file named by hand is the one that counts.
    m.write("/srv/mine.yaml", "socket_mode: '0606'\n")
    m.drop_in("[Service]\nExecStart=\nExecStart=/usr/local/bin/rekindled --default-socket /run/rekindle/rekindled.sock "
              "--config /srv/mine.yaml\n")
    m.sh("systemctl daemon-reload; systemctl restart rekindled")
    eq(mode(m, SOCKET), "606 rekindle")


@machine_case("a configuration of an earlier install neither hides the socket nor locks anybody out without a word")
def _(m):
    m.write("/../installed/etc/rekindle/rekindled.yaml", EARLIER)
    has(m.install(), 'socket_mode "0660", which an earlier version')
    has(m.read("/etc/rekindle/rekindled.yaml"), '\n# socket_mode: "0660"\n')
    m.boot()
    eq(mode(m, SOCKET), "666 rekindle")
    eq(status(m, "ana")[0], 0)
    # The file comes back from elsewhere, as it was.
    m.config(EARLIER)
    m.sh("systemctl restart rekindled")
    eq(mode(m, SOCKET), "660 rekindle")
    has(m.journal(), f'{SOCKET} may be used by root, user rekindle, group rekindle and nobody else (socket_mode "0660")')
    code, said = status(m, "ana")
    eq(code, 3, "exit code of rekindle status")
    has(said, "its mode is 0660 (socket_mode of rekindled.yaml) and its group rekindle")


@machine_case("the README's drop-in lets in one group")
def _(m):
    m.boot()
    i = m.submit()          # what an earlier user of the service owns stays its own
    m.drop_in(readme("ini", "Group="))
    m.config(readme("yaml", "listen: none\n"))
    m.sh("systemctl daemon-reload; systemctl restart rekindled")
    eq(mode(m, SOCKET), "660 ml")
    eq(m.sh("ss -Htln"), "", "what listens on TCP")
    eq(status(m, "ana")[0], 0, "exit code for one of the group")
    code, said = status(m, "ben")
    eq(code, 3, "exit code for one who is not")
    has(said, "group ml")
    m.runs_beyond(i, 0, "the job goes on")
    # Data that only this group may read can be read.
    m.sh("chgrp ml /srv/tiny.csv; chmod 640 /srv/tiny.csv; rekindle pause long")
    wait_for(30, "a pause", lambda: m.job(i)["state"] == "paused")
    m.sh("rekindle resume long")
    m.runs_beyond(i, 0, "the job goes on")


@machine_case("a path that only its user sees is refused with the reason and with what to do")
def _(m):
    m.boot()
    m.job_file()
    m.sh("cp /srv/tiny.csv /tmp/mine.csv; cp /srv/tiny.csv /home/ana/mine.csv; chmod 644 /tmp/mine.csv /home/ana/mine.csv")
    has(m.refused("/tmp/mine.csv"), "the service has a /tmp of its own")
    has(m.refused("/home/ana/mine.csv"), "user rekindle may not enter the folder /home/ana (mode 0700, ana:ana)")
    has(m.refused("/home/ana/mine.csv"), "`chmod o+x /home/ana`")
    m.sh("chmod o+x /home/ana; cp /srv/tiny.csv /srv/secret.csv; chmod 640 /srv/secret.csv")
    has(m.refused("/srv/secret.csv"), "user rekindle may not read /srv/secret.csv (mode 0640, root:root)")
    i = m.submit()
    m.runs_beyond(i, 0, "the job runs")
    # What went away behind the daemon's back is explained by the trainer.
    m.sh("rekindle pause long")
    wait_for(30, "a pause", lambda: m.job(i)["state"] == "paused")
    m.sh("chmod 700 /srv; rekindle resume long")
    wait_for(30, "a failure with the reason", lambda: "may not enter the folder /srv" in m.job(i)["message"])


@machine_case("with the README's drop-in checkpoints are pushed to a folder and data of a group are read")
def _(m):
    more = {"epochs": 20, "checkpoint": {"push": "file:///srv/models/", "require_remote": True}}
    m.boot()
    has(m.refused("/srv/tiny.csv", **more), "the service may not write to /srv/models/: its unit wants ReadWritePaths=/srv/models/,")
    m.sh("mkdir /srv/models; chgrp datasets /srv/models /srv/tiny.csv; chmod 2775 /srv/models; chmod 640 /srv/tiny.csv")
    m.drop_in(readme("ini", "SupplementaryGroups="))
    m.sh("systemctl daemon-reload; systemctl restart rekindled")
    i = m.submit(**more)
    m.sh("chgrp datasets /srv/tiny.csv; chmod 640 /srv/tiny.csv")
    wait_for(60, "the job has succeeded", lambda: m.job(i)["state"] == "succeeded")
    has(m.sh("find /srv/models"), "checkpoint.json")
    # Elsewhere it may not write even so.
    m.sh("mkdir -m 777 /srv/other")
    more["checkpoint"]["push"] = "file:///srv/other/"
    has(m.refused("/srv/tiny.csv", **more), "ReadWritePaths=/srv/other/,")


@machine_case("a start that cannot help is not tried again, and systemctl status says what to do")
def _(m):
    m.boot(enable=False, ready=False)
    for text, code, words in (
            ("nonsense: 1\n", 2, "its configuration or its flags are wrong"),
            ("state_dir: /srv/state\n", 3, "it cannot use its state directory"),
            ("listen: 127.0.0.1:99\n", 6, "another program has its address or its socket")):
        m.config(text)
        assert m.try_sh("systemctl start rekindled").returncode != 0, text
        eq(m.show("ExecMainStatus"), str(code), f"exit code with {text!r}")
        wait_for(30, words, lambda: words in m.sh("systemctl status rekindled; true"))
        eq((m.show("ActiveState"), m.show("NRestarts")), ("failed", "0"), f"the unit with {text!r}")


@machine_case("the second daemon of a state directory is not started again and again")
def _(m):
    m.boot(enable=False, ready=False)
    m.sh("mkdir -p /var/lib/private/rekindle; systemd-run -q --unit=other flock /var/lib/private/rekindle/lock sleep 1000")
    wait_for(30, "the lock is held", lambda: m.try_sh("flock -n /var/lib/private/rekindle/lock true").returncode != 0)
    m.try_sh("systemctl start rekindled")
    wait_for(30, "what to do", lambda: "another rekindled uses its state directory" in m.sh("systemctl status rekindled; true"))
    eq((m.show("ExecMainStatus"), m.show("ActiveState"), m.show("NRestarts")), ("4", "failed", "0"))


@machine_case("the sixth death in a row says what to do")
def _(m):
    m.boot()
    for n in range(6):
        wait_for(30, f"daemon {n + 1}", lambda: m.daemon() != 0 and m.ready())
        m.sh("systemctl kill --kill-who=main -s SEGV rekindled")
    wait_for(30, "the unit is given up", lambda: m.show("ActiveState") == "failed")
    wait_for(30, "what to do", lambda: "systemctl reset-failed rekindled" in m.sh("systemctl status rekindled; true"))
    has(m.journal(), "died again and again (the last time:")
    m.sh("systemctl reset-failed rekindled && systemctl start rekindled")
    m.wait_ready()


@machine_case("a first start on a full disk is tried until there is room")
def _(m):
    m.boot(enable=False, ready=False)
    m.sh("mkdir -p -m 700 /var/lib/private; mount -t tmpfs -o size=1m,mode=700 none /var/lib/private")
    m.try_sh("dd if=/dev/zero of=/var/lib/private/fill bs=4k 2>/dev/null")
    m.sh("systemctl start --no-block rekindled")
    wait_for(60, "it says that there is no room", lambda: "cannot start" in m.journal())
    eq(m.show("ActiveState"), "activating")
    has(m.show("StatusText"), "waits for room on the disk")
    if os.environ.get("LONG"):
        # More daemons than a crash loop may have.
        wait_for(400, "the eighth daemon", lambda: int(m.show("NRestarts") or 0) >= 7)
        eq(m.show("ExecMainStatus"), "8")
    m.sh("rm /var/lib/private/fill; mount -o remount,size=200m /var/lib/private")
    m.wait_ready()


@machine_case("a network that is not there is not waited for")
def _(m):
    m.write("/etc/systemd/system/never-online.service",
            "[Unit]\nBefore=network-online.target\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=sleep 1000\n"
            "TimeoutStartSec=infinity\n")
    os.makedirs(f"{m.dir}/etc/systemd/system/network-online.target.wants")
    os.symlink("../never-online.service", f"{m.dir}/etc/systemd/system/network-online.target.wants/never-online.service")
    m.boot(enable=False, ready=False)
    m.sh("systemctl start --no-block network-online.target")
    wait_for(30, "the wait for a network", lambda: m.show("ActiveState", "never-online") == "activating")
    m.sh("systemctl start rekindled")
    assert m.ready(), m.journal()
    eq(m.show("ActiveState", "network-online.target"), "inactive")
    # It leaves before the network does.
    has(m.show("After"), "network.target")


@machine_case("keys come by the README's drop-in, and the service's user sees them in no environment and no core file")
def _(m):
    m.write("/etc/rekindle/aws", "[default]\naws_access_key_id = AKROOT\naws_secret_access_key = KeyOfTheFile\n", 0o600)
    m.write("/etc/rekindle/environment", "OSS_ACCESS_KEY_SECRET=KeyOfTheEnvironment\n", 0o600)
    m.config('stores: [{match: "s3://", endpoint: "http://127.0.0.1:1", credentials: profile}]\n'
             "ship: {retry_base: 1, retry_max: 1}\n")
    m.drop_in(readme("ini", "LoadCredential="))
    m.boot()
    i = m.submit(checkpoint={"every": {"steps": 50}, "push": "s3://b/runs/"})
    # With keys a request is made, to where nobody listens; without there is none.
    wait_for(60, "a push", lambda: "cannot send" in m.journal() or "s3://b/runs" in m.journal())
    said = m.journal()
    has(said, "127.0.0.1 port 1")
    assert "no credentials" not in said and "KeyOf" not in said, said
    m.runs_beyond(i, 0, "the job")
    pid, (trainer,) = m.daemon(), m.trainers()
    eq(m.sh(f"grep -h 'core file' /proc/{pid}/limits /proc/{trainer}/limits").split(),
       "Max core file size 0 0 bytes".split() * 2)
    p = m.try_sh(f"cat /proc/{pid}/environ", user="rekindle")
    assert p.returncode != 0 and "KeyOf" not in p.stdout, p.stdout
    for n in (pid, trainer):
        text = m.sh(f"tr '\\0' '\\n' </proc/{n}/environ")
        has(text, "PATH=")
        assert "KeyOf" not in text, text


run()
