"""How long a test waits: in seconds of a machine that has nothing else to do.

A wait that is measured by the wall clock says more about the neighbours than
about the program.  Here a second counts less the more threads want to run than
there are cores, and the more of the cores the hypervisor takes away; $T_SLOW
(sanitizers) multiplies besides.  Nothing waits longer than it must: patience is
what is spent before a test gives up.
"""
import os
import time

SLOW = int(os.environ.get("T_SLOW", "1"))
CORES = len(os.sched_getaffinity(0))
# Of limits that are not looked at again while they run.
ROOM = 3


def crowd():
    """Threads that want to run for each core, 1 at least."""
    with open("/proc/loadavg") as f:
        return max(1.0, int(f.read().split()[3].split("/")[0]) / CORES)


class Stolen:
    """The share of the cores' time that the hypervisor took since the last look."""

    def __init__(self):
        self.at, self.share = self.read(), 0.0

    @staticmethod
    def read():
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return sum(v) - v[3] - v[4], v[7]       # busy or stolen; stolen

    def look(self):
        busy, stolen = now = self.read()
        if busy - self.at[0] >= 50:             # half a second of a core
            self.share = min(0.95, (stolen - self.at[1]) / (busy - self.at[0]))
            self.at = now
        return self.share


class Patience:
    """Seconds of a quiet machine; spent() is asked again and again."""

    def __init__(self, seconds):
        self.left, self.at, self.stolen = seconds * SLOW, time.monotonic(), Stolen()
        self.begun = self.at

    def spent(self):
        now = time.monotonic()
        self.left -= (now - self.at) * (1 - self.stolen.look()) / crowd()
        self.at = now
        return self.left < 0

    def waited(self):
        return time.monotonic() - self.begun


def limit(seconds):
    """For a time-out that somebody else keeps, as subprocess or a socket: wall
    seconds in which what takes `seconds` on a quiet machine is done for sure."""
    return seconds * SLOW * ROOM * crowd()
