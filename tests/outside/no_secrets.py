#!/usr/bin/env python3
"""Where keys of stores cannot be seen: in what the daemon starts, in /proc, in a core file; and how they are given."""
import os
import re
import shutil
import subprocess

import bucket
from buckets import stubbed
from t import BUILD, Skip, case, eq, has, run, tiny, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET, TOKEN = "SeCrEtOfTheEnvironment", "ToKeNofTheEnvironment"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
NAMES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN",
         "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN", "AWS_SECURITY_TOKEN",
         "AWS_CONTAINER_AUTHORIZATION_TOKEN")


def environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return f.read()


def children(pid):
    """All that a process has started, and those that they have."""
    own = [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    return own + [q for p in own for q in children(p)]


def entry(st, match="s3://", **more):
    return dict({"match": match, "endpoint": st.url, "region": st.region, "addressing": "path"}, **more)


@stubbed("keys of the environment sign requests, and stand in the environment of no process")
def _(d, st):
    st.add("AKenv", SECRET, TOKEN)
    # A program of a profile, which is started with an environment of its own.
    helper, seen, keys = f"{d.root}/helper", f"{d.root}/seen", st.add("AKproc", "fromTheProgram")
    with open(helper, "w") as f:
        f.write(f"#!/bin/sh\nenv >{seen}\nprintf '%s' '{{\"Version\": 1, \"AccessKeyId\": \"{keys.id}\", "
                f"\"SecretAccessKey\": \"{keys.secret}\"}}'\n")
    os.chmod(helper, 0o755)
    with open(f"{d.root}/config", "w") as f:
        f.write(f"[profile p]\ncredential_process = {helper}\n")
    env = {n: SECRET for n in NAMES}
    env.update(AWS_ACCESS_KEY_ID="AKenv", AWS_SESSION_TOKEN=TOKEN, AWS_CONFIG_FILE=f"{d.root}/config")
    bucket.rekindled(d, {"stores": [entry(st, "s3://", credentials="environment"),
                                    entry(st, "s3://b/proc/", credentials="profile", profile="p")],
                         "ship": {"retry_base": 0.2, "retry_max": 1}}, **env)
    jobs = [d.submit(tiny(d, n, epochs=100000, checkpoint={"every": {"steps": 50}, "push": f"s3://b/{n}/"}))
            for n in ("env", "proc")]
    for i, id in zip(jobs, ("AKenv", "AKproc")):
        wait_for(30, "a checkpoint is verified", lambda: any(
            c["durability"]["state"] == "verified" for c in d.get(f"/v1/jobs/{i}/checkpoints").json["checkpoints"]))
        assert any(f"Credential={id}/" in s.headers.get("authorization", "") for s in st.seen), id
    all = [d.proc.pid, *children(d.proc.pid)]
    assert len(all) >= 3, f"the daemon and two trainers, not {all}"
    for pid in all:
        shown = [v for v in environ(pid).split(b"\0") if SECRET.encode() in v or TOKEN.encode() in v]
        eq(shown, [], f"secrets in the environment of process {pid}")
    with open(seen) as f:
        text = f.read()
    has(text, "PATH=")
    assert SECRET not in text and TOKEN not in text, text
    for text in (d.log(), d.get("/metrics").text, d.get("/v1/status").text):
        assert SECRET not in text and TOKEN not in text


@stubbed("the user of the daemon and of its trainers cannot look into it, and it works all the same")
def _(d, st):
    if os.getuid() != 0:
        raise Skip("only root can be another user")
    bin = f"{d.root}/bin"
    os.makedirs(bin)
    for name in ("rekindled", "rekindle-train"):
        shutil.copy(f"{BUILD}/{name}", bin)
    path = tiny(d)["data"]["train"]["path"]
    config = f"{d.root}/rekindled.yaml"
    with open(config, "w") as f:
        f.write("{}")
    os.chmod(d.root, 0o755)
    for p in (d.root, bin, path, config):
        os.chown(p, 65534, 65534)
    d.proc = subprocess.Popen([*NOBODY, f"{bin}/rekindled", "--state-dir", d.state, "--listen", "127.0.0.1:0",
                               "--socket", f"{d.root}/sock", "--trainer", f"{bin}/rekindle-train", "--config", config],
                              stdout=subprocess.PIPE, stderr=open(f"{d.root}/daemon.log", "ab"),
                              env=dict(os.environ, AWS_SECRET_ACCESS_KEY=SECRET))
    m = re.search(r"http://([0-9.]+):([0-9]+)", d.proc.stdout.readline().decode())
    assert m, d.log()
    d.host, d.port = m.group(1), int(m.group(2))
    i = d.submit(tiny(d, epochs=100000))
    wait_for(30, "it trains", lambda: d.job(i)["state"] == "running")
    pid, trainer = d.proc.pid, d.trainers(i)[0]
    for what in ("environ", "mem", "maps", "fd", "auxv"):
        eq(os.stat(f"/proc/{pid}/{what}").st_uid, 0, f"who owns /proc/<pid>/{what}")
    r = subprocess.run([*NOBODY, "cat", f"/proc/{pid}/environ"], capture_output=True, text=True)
    has(r.stderr, "Permission denied")
    eq(subprocess.run([*NOBODY, "cat", f"/proc/{trainer}/environ"], capture_output=True).returncode, 0,
       "a trainer's, to its user")
    # What the daemon reads of itself is still there.
    assert int(re.search(r"^process_open_fds (\d+)", d.get("/metrics").text, re.M).group(1)) > 5
    eq(open(f"/proc/{trainer}/oom_score_adj").read().strip(), "500", "who is to go first when memory is short")
    d.post(f"/v1/jobs/{i}/pause", want=202)
    d.wait_state(i, "paused")


@case("the unit leaves no core file, and says where keys belong", "stopped")
def _(d):
    with open(f"{HERE}/../../systemd/rekindled.service") as f:
        unit = f.read()
    eq(re.findall(r"^LimitCORE=(.*)$", unit, re.M), ["0"])
    has(unit, "#   LoadCredential=aws:/etc/rekindle/aws")
    with open(f"{HERE}/../../README.md") as f:
        has(f.read(), "LoadCredential=aws:/etc/rekindle/aws")


run()
