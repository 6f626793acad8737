"""The rows `mobilenet_jpeg` and `resnet50_jpeg` of bench.py: how much slower a network
trains from JPEGs than from data in memory.

Two trainers are there at once and take turns: one works for some seconds while the
other is stopped (SIGSTOP), so that both see the same hour of the machine.  Of each turn
those steps count that lie in it wholly; what is compared is the time of all of them, for
reading ahead makes some steps longer than others.  A turn of one is divided by the turn
of the other next to it, and the median of those ratios is the row.

BENCH_SECONDS is how long a turn takes, ROUNDS how many each has.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
TRAINER = f"{BUILD}/rekindle-train"
WIDTH, HEIGHT, CLASSES, EACH = 500, 375, 8, 32
CORES = 2
med = statistics.median

# Row: architecture, batch, seconds of a turn, how much slower it may be: the share of
# decoding, by its time divided by the cores, counts on top (True) or in it.
ROWS = {
    "mobilenet_jpeg": ("mobilenet_v2", 32, 8, 3, True),
    "resnet50_jpeg": ("resnet50", 8, 8, 3, False),
}
NORMALIZE = {"type": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def job(arch, batch, data):
    return {
        "name": arch, "resources": {"threads": CORES}, "model": {"arch": arch, "classes": CLASSES},
        "training": {"steps": 10**9, "batch_size": batch, "log_every": 1,
                     "optimizer": {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9}},
        "data": data, "checkpoint": {"every": {"steps": 10**9}, "keep": {"best": 0}},
    }


def from_files(folder):
    size = [{"type": "resize", "size": 256}, {"type": "center_crop", "size": 224}, NORMALIZE]
    return {"train": {"type": "image_folder", "path": folder},
            "transforms": {"train": [{"type": "random_resized_crop", "size": 224}, "hflip", NORMALIZE],
                           "validation": size}}


def in_memory(batch):
    return {"train": {"type": "synthetic", "shape": [3, 224, 224], "samples": 8 * batch, "classes": CLASSES}}


def many_job(folder):
    """A job on very many files, whose steps take next to nothing."""
    crop = [{"type": "resize", "size": [32, 32]}]
    return {
        "name": "many", "resources": {"threads": CORES}, "model": {"arch": "lenet5", "classes": 100},
        "training": {"epochs": 10**6, "batch_size": 64, "log_every": 1,
                     "optimizer": {"type": "sgd", "learning_rate": 0.001}},
        "data": {"train": {"type": "image_folder", "path": folder},
                 "transforms": {"train": [{"type": "random_resized_crop", "size": 32}], "validation": crop}},
        "checkpoint": {"every": {"steps": 100}, "keep": {"last": 2, "best": 0, "metric": "loss"}},
    }


class Trainer:
    """One that is stopped but for its turns."""

    def __init__(self, top, name, spec):
        self.run, self.batch, self.lines = f"{top}/{name}", spec["training"]["batch_size"], 0
        with open(f"{self.run}.json", "w") as f:
            json.dump(spec, f)
        self.errors = open(f"{self.run}.err", "w+")
        self.proc = subprocess.Popen([TRAINER, "--run-dir", self.run, f"{self.run}.json"], stdout=subprocess.DEVNULL,
                                     stderr=self.errors)

    def new_lines(self):
        """The metric lines of steps since the last call."""
        try:
            with open(f"{self.run}/metrics.jsonl") as f:
                all_ = [json.loads(x) for x in f if x.endswith("\n")]
        except FileNotFoundError:
            return []
        all_ = [x for x in all_ if x.get("over") == "steps"]
        new, self.lines = all_[self.lines:], len(all_)
        return new

    def work(self, seconds, steps):
        """For so long, and until so many steps are done; their lines."""
        self.proc.send_signal(signal.SIGCONT)
        time.sleep(seconds)             # and does not look: that would take time of theirs
        got = self.new_lines()
        while len(got) < steps:
            time.sleep(0.2)
            if self.proc.poll() is not None:
                self.errors.seek(0)
                raise RuntimeError(f"rekindle-train ended with {self.proc.returncode}: {self.errors.read()[-500:]}")
            got += self.new_lines()
        self.proc.send_signal(signal.SIGSTOP)
        return got

    def turn(self, seconds):
        """Milliseconds of a step: all that lie in it wholly."""
        got = self.work(seconds, 4)
        return (got[-1]["time_ms"] - got[0]["time_ms"]) / (got[-1]["step"] - got[0]["step"])

    def loader_s(self):
        """CPU time of the threads that read samples."""
        ns = 0
        for task in os.listdir(f"/proc/{self.proc.pid}/task"):
            at = f"/proc/{self.proc.pid}/task/{task}"
            with open(f"{at}/comm") as f:
                if f.read().strip() != "rk-loader":
                    continue
            with open(f"{at}/schedstat") as f:
                ns += int(f.read().split()[0])
        return ns * 1e-9

    def end(self):
        self.proc.kill()
        self.proc.wait()
        self.errors.close()
        shutil.rmtree(self.run, ignore_errors=True)


def pictures(folder, classes, each, width, height):
    subprocess.run([f"{BUILD}/bench/pictures", folder, *map(str, (classes, each, width, height))], check=True)


def alone():
    """Milliseconds of CPU that a picture takes when nothing else is done."""
    out = subprocess.run([f"{BUILD}/bench/image"], check=True, capture_output=True, text=True).stdout.split()
    return 1e3 / float(out[0])


def take_turns(files, memory, seconds, rounds):
    """[(ms a step from files, from memory)], and the CPU time that loaders took of a picture, in ms."""
    pairs, images, cpu = [], files.lines * files.batch, files.loader_s()
    for k in range(rounds):
        order = (files, memory) if k % 2 else (memory, files)
        got = {id(t): t.turn(seconds) for t in order}
        pairs.append((got[id(files)], got[id(memory)]))
        print(f"     {pairs[-1][0]:.1f} ms a step from files, {pairs[-1][1]:.1f} from memory: "
              f"{100 * (pairs[-1][0] / pairs[-1][1] - 1):+.2f} %", flush=True)
    return pairs, 1e3 * (files.loader_s() - cpu) / (files.lines * files.batch - images)


def tell(row, name, pairs, seconds, each, cpu):
    arch, batch, _, may, on_top = ROWS[name]
    ratio = [a / b for a, b in pairs]
    files, memory = med(a for a, _ in pairs), med(b for _, b in pairs)
    slower, share = 100 * (med(ratio) - 1), 100 * each * batch / CORES / memory
    goal = may + (share if on_top else 0)
    low, _, high = statistics.quantiles((100 * (r - 1) for r in ratio), n=4)
    row(f"training of {arch} is slowed by its JPEGs", slower, "% of the time",
        f"<= {goal:.1f}" + (" (decoding / cores + 3)" if on_top else ""),
        slower <= goal,
        f"3x224x224, batch {batch}, SGD with momentum, 2 threads: {files:.0f} ms a step from a folder of JPEGs of "
        f"{WIDTH}x{HEIGHT}, random_resized_crop and hflip, {memory:.0f} from data in memory; {len(pairs)} pairs of turns "
        f"of {seconds:.0f} s in one run, quartiles {low:+.1f} and {high:+.1f} %; a picture takes {each:.2f} ms of a core "
        f"that does nothing else, {cpu:.2f} beside the training: over {CORES} cores {share:.1f} % of a step, which "
        f"leaves {slower - share:+.1f} %", ratio=med(ratio), share=share, ms=pairs)


def bench(top, row, rounds, name):
    arch, batch, seconds, *_ = ROWS[name]
    seconds = float(os.environ.get("BENCH_SECONDS", seconds))
    both = []
    pictures(f"{top}/pictures", CLASSES, EACH, WIDTH, HEIGHT)
    try:
        for what, data in ("files", from_files(f"{top}/pictures")), ("memory", in_memory(batch)):
            both.append(Trainer(top, what, job(arch, batch, data)))
            both[-1].work(0, 3)
        each = [alone()]
        pairs, cpu = take_turns(*both, seconds, rounds)
        each.append(alone())
    finally:
        for trainer in both:
            trainer.end()
        shutil.rmtree(f"{top}/pictures")
    tell(row, name, pairs, seconds, med(each), cpu)
