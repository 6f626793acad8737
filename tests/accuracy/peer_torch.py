"""PyTorch's side of make accuracy: a job of rekindle's, trained as PyTorch's users would.

    peer_torch.py JOB.json FOLDER

Reads the job that rekindle trains, so that both have one recipe: model, optimiser,
schedule, epochs, batch size, normalisation, transforms, seed.  Networks are written
here as in PyTorch's world, with its initial values; order of samples and draws are
PyTorch's own.  After each epoch FOLDER/state.pt holds all there is, and a run that
finds it goes on; at the end FOLDER/result.json is {value, epochs, seconds,
parameters}: the accuracy after the last epoch, of each, and the time it trained.
Whatever of a job it does not know is an error.  THREADS (2) is the environment's.
"""
import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import samples                          # noqa: E402


# --- networks -------------------------------------------------------------------

def lenet5(model, x):
    return nn.Sequential(
        nn.Conv2d(x.shape[1], 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, model.get("classes", 10)))


class Block(nn.Module):
    """He et al. 2015, shortcut of option A."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.stride, self.more = stride, (out - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


def resnet20(model, x):
    layers = [nn.Conv2d(x.shape[1], 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for out in 16, 32, 64:
        for k in range(3):
            layers.append(Block(channels, out, 2 if out > 16 and k == 0 else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, model.get("classes", 10)))


class TextCNN(nn.Module):
    """Kim 2014."""

    def __init__(self, words, width, filters, kernels, classes, dropout):
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(width, filters, k) for k in kernels)
        self.dropout, self.fc = nn.Dropout(dropout), nn.Linear(filters * len(kernels), classes)

    def forward(self, x):
        x = self.words(x).transpose(1, 2)
        return self.fc(self.dropout(torch.cat([F.relu(c(x)).amax(2) for c in self.convs], 1)))


def textcnn(m, _):
    return TextCNN(m["vocabulary"], m.get("width", 128), m.get("filters", 100), m.get("kernels", [3, 4, 5]),
                   m.get("classes", 2), m.get("dropout", 0.5))


NETWORKS = {"lenet5": lenet5, "resnet20": resnet20, "textcnn": textcnn}


# --- the recipe -----------------------------------------------------------------

def known(what, fields, *names):
    """Nothing of a job is passed over in silence."""
    unknown = set(fields) - set(names)
    if unknown:
        raise SystemExit(f"{what} has {', '.join(sorted(unknown))}, which this program does not know")


def optimizer(net, o):
    rate, decay = o["learning_rate"], o.get("weight_decay", 0)
    if o["type"] == "sgd":
        known("the optimizer", o, "type", "learning_rate", "weight_decay", "momentum", "nesterov")
        return torch.optim.SGD(net.parameters(), rate, o.get("momentum", 0), 0, decay, o.get("nesterov", False))
    known("the optimizer", o, "type", "learning_rate", "weight_decay")
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o["type"]](net.parameters(), rate, weight_decay=decay)


def schedule(opt, s, rate, steps):
    if s["type"] == "one_cycle":
        known("the schedule", s, "type", "pct_start")
        return torch.optim.lr_scheduler.OneCycleLR(opt, rate, steps, pct_start=s.get("pct_start", 0.3),
                                                   cycle_momentum=False)
    known("the schedule", s, "type")
    if s["type"] == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    return torch.optim.lr_scheduler.LambdaLR(opt, {"constant": lambda step: 1.0}[s["type"]])


def hflip(x, t, draw):
    some = torch.from_numpy(draw.random(len(x)) < t.get("p", 0.5))
    return torch.where(some[:, None, None, None], x.flip(3), x)


def random_crop(x, t, draw):
    """A window of the image with black around it, another for each image."""
    p, (h, w) = t.get("padding", 0), x.shape[2:]
    if t["size"] not in (h, [h, w]):
        raise SystemExit(f"random_crop to {t['size']} of images of {h}x{w}")
    wide = F.pad(x, (p, p, p, p))
    top, left = (torch.from_numpy(draw.integers(0, 2 * p + 1, len(x))) for _ in range(2))
    rows, columns = top[:, None] + torch.arange(h), left[:, None] + torch.arange(w)
    return wide[torch.arange(len(x))[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


TRANSFORMS = {"hflip": hflip, "random_crop": random_crop}


class Batches:
    """The samples of a data set as the network takes them."""

    def __init__(self, x, y, data, train, draw):
        self.x, self.y, self.draw = torch.from_numpy(x), torch.from_numpy(y), draw
        self.shift = self.scale = None
        steps = [{"type": t} if isinstance(t, str) else t
                 for t in data.get("transforms", {}).get("train" if train else "validation", [])]
        self.transforms = [(TRANSFORMS[t["type"]], t) for t in steps if t["type"] != "normalize"]
        last = [t for t in steps if t["type"] == "normalize"]
        norm = last[-1] if last else data.get("normalize", {"type": "scale"})
        if self.x.dtype == torch.uint8:
            norm = {"type": norm} if isinstance(norm, str) else norm
            known("normalize", norm, "type", "mean", "std")
            self.mean = torch.tensor(norm.get("mean", 0.0)).reshape(-1, 1, 1)
            self.std = torch.tensor(norm.get("std", 1.0)).reshape(-1, 1, 1)

    def at(self, which):
        x, y = self.x[which], self.y[which]
        for fn, t in self.transforms:
            x = fn(x, t, self.draw)
        if x.dtype == torch.uint8:
            x = (x.float() / 255 - self.mean) / self.std
        return x, y


# --- a run ----------------------------------------------------------------------

class Run:
    def __init__(self, job, folder):
        self.job, self.folder, t = job, folder, job["training"]
        known("training", t, "epochs", "batch_size", "seed", "optimizer", "schedule", "arithmetic", "log_every")
        known("data", job["data"], "train", "validation", "normalize", "transforms")
        torch.manual_seed(t["seed"])
        self.draw = np.random.default_rng(t["seed"])
        train, valid = (samples.read(job["data"][k]) for k in ("train", "validation"))
        self.train = Batches(*train, job["data"], True, self.draw)
        self.valid = Batches(*valid, job["data"], False, self.draw)
        self.batch, self.epochs = t["batch_size"], t["epochs"]
        self.net = NETWORKS[job["model"]["arch"]](job["model"], self.train.at(torch.arange(2))[0])
        self.opt = optimizer(self.net, t["optimizer"])
        steps = self.epochs * -(-len(self.train.y) // self.batch)
        self.schedule = schedule(self.opt, t["schedule"], t["optimizer"]["learning_rate"], steps)
        self.done, self.seconds = [], 0.0

    def epoch(self):
        self.net.train()
        for which in torch.from_numpy(self.draw.permutation(len(self.train.y))).split(self.batch):
            x, y = self.train.at(which)
            self.opt.zero_grad(set_to_none=True)
            F.cross_entropy(self.net(x), y).backward()
            self.opt.step()
            self.schedule.step()

    @torch.no_grad()
    def accuracy(self):
        self.net.eval()
        right = 0
        for which in torch.arange(len(self.valid.y)).split(500):
            x, y = self.valid.at(which)
            right += int((self.net(x).argmax(1) == y).sum())
        return right / len(self.valid.y)

    def save(self):
        parts = {k: getattr(self, k).state_dict() for k in ("net", "opt", "schedule")}
        rest = {"done": self.done, "seconds": self.seconds, "draw": self.draw.bit_generator.state,
                "torch": torch.get_rng_state()}
        torch.save({**parts, **rest}, f"{self.folder}/state.new")
        os.replace(f"{self.folder}/state.new", f"{self.folder}/state.pt")

    def go_on(self):
        if not os.path.exists(f"{self.folder}/state.pt"):
            return
        s = torch.load(f"{self.folder}/state.pt")
        for k in "net", "opt", "schedule":
            getattr(self, k).load_state_dict(s[k])
        self.done, self.seconds, self.draw.bit_generator.state = s["done"], s["seconds"], s["draw"]
        torch.set_rng_state(s["torch"])

    def run(self):
        self.go_on()
        while len(self.done) < self.epochs:
            begin = time.monotonic()
            self.epoch()
            self.done.append(self.accuracy())
            self.seconds += time.monotonic() - begin
            self.save()
        return {"value": self.done[-1], "epochs": self.done, "seconds": self.seconds,
                "parameters": sum(p.numel() for p in self.net.parameters())}


def main():
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    with open(sys.argv[1]) as f:
        job = json.load(f)
    folder = sys.argv[2]
    result = Run(job, folder).run()
    with open(f"{folder}/result.new", "w") as f:
        json.dump(result, f)
    os.replace(f"{folder}/result.new", f"{folder}/result.json")


if __name__ == "__main__":
    main()
