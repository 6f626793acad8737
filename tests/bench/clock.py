"""How a peer's step is timed, the same for all of them."""
import os
import statistics
import time

THREADS = int(os.environ.get("THREADS", "2"))
SECONDS = float(os.environ.get("SECONDS", "3"))
STEPS = int(os.environ.get("STEPS", "3"))


def peak_mb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def measure(step):
    """Warm up for a tenth of the time, at least a step, then take the median of SECONDS."""
    end = time.perf_counter() + SECONDS / 10
    step()
    while time.perf_counter() < end:
        step()
    took, begin = [], time.perf_counter()
    while len(took) < STEPS or time.perf_counter() < begin + SECONDS:
        t = time.perf_counter()
        step()
        took.append(time.perf_counter() - t)
    return {"ms": 1e3 * statistics.median(took), "steps": len(took), "memory": peak_mb()}
