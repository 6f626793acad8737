"""What the machines are like whose power ends, and what they train.  Not a test itself."""
import contextlib
import os
import re
import subprocess

import s3
from image import CLASSES, SIDE
from vm import OURS

MIB = 1 << 20
DOOR = 9100                                     # of the store, on our side of the machine's network
CONFIG = {"preempt": {"cloud": "none"}, "capacity": {"threads": 5, "memory": "900MiB"}, "disk": {"check": 1},
          "retry": {"base": 0.2, "max": 1}}
PIXELS = SIDE * SIDE


class Jobs:
    def __init__(self, long):
        self.long = long

    def one(self, i, name):
        """The long job of that number."""
        model, optimizer, steps, every, keep, memory = self.long[i]
        return job(f"long{i}-{name}", model, optimizer, steps, {"every": every, "keep": keep}, memory, seed=i + 1)

    @staticmethod
    def number(name):
        """Of a long job by its name; None: it is another one."""
        m = re.match(r"long(\d+)-", name)
        return int(m.group(1)) if m else None

    @staticmethod
    def quick(name, hold, priority):
        return dict(job(name, {"arch": "mlp", "sizes": [PIXELS, 8, CLASSES]}, ADAM, 100, {"every": {"steps": 50}}),
                    hold=hold, priority=priority)


def job(name, model, optimizer, steps, checkpoint, memory="128MiB", seed=1):
    return {"name": name, "resources": {"threads": 1, "memory": memory}, "retries": 100, "model": model,
            "data": {"train": {"type": "idx", "images": "/srv/data/images.idx", "labels": "/srv/data/labels.idx"},
                     "validation_split": 0.1},
            "training": {"steps": steps, "epochs": 1000000, "batch_size": 16, "seed": seed, "optimizer": optimizer,
                         "schedule": {"type": "cosine"}},
            "checkpoint": checkpoint}


ADAM = {"type": "adam", "learning_rate": 0.001}
NESTEROV = {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True}
FEW = {"last": 2, "best": 1}
DROPOUT = {"input": [1, SIDE, SIDE], "layers": [
    {"type": "flatten"}, {"type": "linear", "out": 64}, {"type": "batch_norm"}, {"type": "relu"},
    {"type": "dropout", "p": 0.2}, {"type": "linear", "out": CLASSES}]}
PICTURES = {"input": [1, SIDE, SIDE], "layers": [
    {"type": "conv2d", "out": 8, "kernel": 3}, {"type": "relu"}, {"type": "max_pool2d", "kernel": 2}, {"type": "flatten"},
    {"type": "linear", "out": CLASSES}]}
MLP = {"arch": "mlp", "sizes": [PIXELS, 128, CLASSES]}
# Each of them takes some ten seconds of a processor.  The last is paused and resumed.
SMALL = Jobs([(MLP, ADAM, 60000, {"seconds": 1}, FEW, "128MiB"), (DROPOUT, NESTEROV, 50000, {"steps": 2500}, FEW, "128MiB"),
              (PICTURES, ADAM, 20000, {"seconds": 1}, FEW, "128MiB"), (MLP, ADAM, 60000, {"steps": 4000}, FEW, "128MiB")])
# 109 and 113 MB of parameters and moments.
LARGE = Jobs([({"arch": "mlp", "sizes": [PIXELS, 2880, 2880, CLASSES]}, ADAM, 160, {"steps": 20}, FEW, "320MiB"),
              ({"arch": "mlp", "sizes": [PIXELS, 3600, 3600, CLASSES]}, NESTEROV, 160, {"seconds": 2}, FEW, "320MiB")])


# Bytes on their way to the disk with which the machine ends; 0: at any moment.
FUSES = (0, 1, 1, 1 << 13, 1 << 15, 1 << 17, 1 << 19)
LARGE_FUSES = (0, 1 << 15, 1 << 18, 1 * MIB, 2 * MIB, 4 * MIB, 8 * MIB)


class Setting:
    def __init__(self, name, jobs=SMALL, size=1800 * MIB, memory=1024, fuses=FUSES, store=False):
        self.name, self.jobs, self.size, self.memory = name, jobs, size, memory
        self.fuses, self.store = fuses, store


SETTINGS = {x.name: x for x in (Setting("plain"), Setting("mirror", store=True),
                                Setting("large", LARGE, 4096 * MIB, 1536, LARGE_FUSES), Setting("full"))}


class Store:
    """A real object store outside the machine, and the one way to it."""

    def __init__(self):
        self.g = s3.rgw()
        self.bucket = self.g.bucket()
        self.door = subprocess.Popen(["systemd-socket-activate", "-l", f"{OURS}:{DOOR}", "/lib/systemd/systemd-socket-proxyd",
                                      f"127.0.0.1:{self.g.port}"], stderr=subprocess.DEVNULL, env=dict(os.environ))

    def config(self):
        return {"stores": [self.g.store(url=f"http://{OURS}:{DOOR}")], "ship": {"retry_base": 0.2, "retry_max": 2},
                "mirror": {"prefix": f"s3://{self.bucket}/team/", "instance": "gpu-a", "check": 1},
                "paths": {"allow": ["/srv/data"]}}      # for jobs that come from a record

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.door.kill()
        self.door.wait()
