#!/usr/bin/env python3
"""What a unit's MemoryMax= and CPUQuota= do, on a kernel with version 2 of control
groups and under a systemd of its own."""
import json
import re

from uml import BUILD, Uml

from t import case, csv, eq, has, run

# MemoryMax= of the service, then less of the slice above it, then none.
SCRIPT = r"""
unit() {
	systemctl stop rekindled
	mkdir -p /etc/systemd/system/rekindled.service.d
	printf '[Service]\n%s\n' "$1" >/etc/systemd/system/rekindled.service.d/limits.conf
	systemctl daemon-reload
	systemctl start rekindled
}
log() {
	journalctl --no-pager -o cat -u rekindled | grep 'for jobs' | tail -n 1
}
part() {
	echo "== $1"
}
part groups
grep cgroup /proc/self/mountinfo
cat /sys/fs/cgroup/cgroup.controllers

part service
unit 'MemoryMax=160M
CPUQuota=50%'
log

part slice
printf '[Slice]\nMemoryMax=100M\n' >/etc/systemd/system/small.slice
unit 'MemoryMax=160M
Slice=small.slice'
log

part none
unit ''
log
free -b | awk '/^Mem/ {print $2}'

part quota
for q in 50 250; do
	systemd-run -q --pipe --wait -p CPUQuota=$q% -p MemoryMax=64M /srv/cgroup_drive --tell
done

part oom
sed -i 's/^  memory: null.*/  memory: 2GiB/' /etc/rekindle/rekindled.yaml
unit 'MemoryMax=160M'
before=$(systemctl show -P MainPID rekindled)
rekindle submit /srv/big.json --watch
echo "exit code $?"
rekindle --json show big | tr -d '\n'
echo
rekindle --json attempts big | tr -d '\n'
echo
rekindle events big
curl -s http://127.0.0.1:7450/metrics | grep oom_kills
echo "pids $before $(systemctl show -P MainPID rekindled)"

part person
rekindle submit /srv/small.json >/dev/null
until rekindle --json show small | grep -q '"running"'; do sleep 0.1; done
pkill -9 rekindle-train
rekindle watch small
echo "exit code $?"
"""
SAID = {}


def job(name, hidden, memory, **training):
    return json.dumps({
        "name": name, "retries": training.pop("retries"), "resources": {"threads": 1, "memory": memory},
        "model": {"arch": "mlp", "sizes": [4, *hidden, 3]},
        "training": {"batch_size": 16, "optimizer": {"type": "adam", "learning_rate": 0.003}, **training},
        "data": {"train": {"type": "csv", "path": "/srv/data.csv", "label": "class"}, "validation_split": 0.1}})


def said(d, part):
    """What the machine said in one part of the script; it boots once."""
    if not SAID:
        with open(csv(f"{d.root}/data.csv")) as f:
            files = {"/srv/data.csv": f.read(), "/srv/big.json": job("big", [4000, 4000], "1GiB", epochs=1, retries=1),
                     "/srv/small.json": job("small", [32], "64MiB", epochs=100000, retries=0)}
        m = Uml(d.root)
        text = m.run(SCRIPT, files, {"/srv/cgroup_drive": f"{BUILD}/unit/cgroup_drive"})
        for name, body in re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", text, re.M | re.S):
            SAID[name] = body
    return SAID[part]


def capacity(text):
    return re.search(r"(\d+) threads? and (.*) for jobs", text).groups()


@case("the kernel of the machine has memory and cpu on version 2", "stopped")
def _(d):
    has(said(d, "groups"), " - cgroup2 ")
    for controller in ("cpu", "memory"):
        assert controller in said(d, "groups").split("\n")[-2].split(), said(d, "groups")


@case("the MemoryMax= of the service, and of the slice above it, are what jobs may take", "stopped")
def _(d):
    eq(capacity(said(d, "service")), ("1", "128 MiB"))
    eq(capacity(said(d, "slice")), ("1", "80 MiB"))
    total = int(said(d, "none").split()[-1])
    size = capacity(said(d, "none"))[1]
    assert abs(float(size.split()[0]) * (1 << 20) - total * 0.8) < total * 0.05, said(d, "none")


@case("a CPUQuota= is read as thousandths of a processor", "stopped")
def _(d):
    lines = said(d, "quota").strip().split("\n")
    for line, milli in zip(lines, (500, 2500)):
        m = re.fullmatch(r"memory 67108864 at /system.slice/run-\w+.service, millicpus (\d+), kills 0", line)
        assert m and int(m.group(1)) == milli, lines


@case("a job that eats more than the service has is out_of_memory, and the daemon lives", "stopped")
def _(d):
    text = said(d, "oom")
    has(text, "exit code 5")
    lines = text.split("\n")
    shown, attempts = [json.loads(x) for x in lines if x[:1] in "{[" and x]
    eq((shown["state"], shown["reason"]), ("failed", "out_of_memory"), shown["message"])
    for part in ("the kernel killed the trainer after step 0", "/system.slice/rekindled.service may have 160 MiB",
                 "less than the job's resources.memory (1 GiB)", "raise MemoryMax=", "that was crash 2 in a row"):
        has(shown["message"], part)
    eq([a["outcome"] for a in attempts], ["out_of_memory"] * 2, "outcomes")
    has(text, "out of memory: the kernel killed the trainer")
    has(text, "rekindle_oom_kills_total 2")
    before, after = re.search(r"pids (\d+) (\d+)", text).groups()
    eq(before, after, "the daemon's process")


@case("a trainer that a person kills is a crash there, too", "stopped")
def _(d):
    has(said(d, "person"), "exit code 5")
    has(said(d, "person"), "signal 9")
    eq("memory" in said(d, "person"), False, said(d, "person"))


run()
