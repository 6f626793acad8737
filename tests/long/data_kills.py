#!/usr/bin/env python3
"""Networks on the real data of ../shared/data, as tests/outside/data_kills.py has them on small ones: each is killed
with -9 twenty times at random, so is its daemon, and both five times each at the chosen moments.

STRIKES=20 CHOSEN=5 SEED= say how often and which.  What a kill takes until the next step is measured and printed, not
judged: other programs are at work."""
import glob
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../accuracy")
sys.path.insert(0, f"{HERE}/../outside")
import data_jobs                        # noqa: E402
import material                         # noqa: E402
from storm import Ordeal                # noqa: E402
from t import Skip, case, eq, run       # noqa: E402

STRIKES = int(os.environ.get("STRIKES", "20"))
CHOSEN = int(os.environ.get("CHOSEN", "5"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 30))))
MOMENTS = ("writing", "daemon writing", "reading", "daemon reading", "judging", "daemon judging")
PATIENCE = 3600                         # seconds of a quiet machine, for a job


def real(make, *args):
    """What is made of the shared data, where they are there."""
    try:
        return make(*args)
    except material.Absent as e:
        raise Skip(str(e)) from None


def ordeal(d, job, kills=STRIKES, chosen=CHOSEN):
    storm = Ordeal(d, job, random.Random(SEED))
    storm.calm(PATIENCE)
    storm.rage(["trainer", "daemon"] * kills + [*MOMENTS] * chosen)
    revived = sorted(storm.revivals(5))
    storm.over(SEED, PATIENCE)
    print(f"    from kill -9 to the next line of a step, milliseconds: {revived}", flush=True)
    return storm


@case("mobilenet_v2 on the magnetic tiles", "stopped")
def _(d):
    source = {"path": real(material.shared, "magnetic-tile/magnetic-tile-subset.tar"), "channels": 1}
    ordeal(d, data_jobs.tiles(source, 128, 6, 8, 16, 4, micro_batch_size=6, ema={"decay": 0.99}))


@case("resnet20 on JPEGs of CIFAR-10", "stopped")
def _(d):
    folder = real(lambda: material.made("cifar10", material.unpacked(material.shared(
        "cifar10/cifar10-jpg-subset.tar.gz")))) + "/cifar10-jpg/train"
    with open(f"{d.root}/list", "w") as f:
        for c, name in enumerate(sorted(os.listdir(folder))):
            for image in sorted(os.listdir(f"{folder}/{name}"))[:250]:
                f.write(f"{name}/{image} {c}\n")
    ordeal(d, data_jobs.cifar({"path": folder, "list": f"{d.root}/list"}, 8, 32, 6))


def polarity():
    return {name: real(material.shared, f"text/rt-polarity.{name}") for name in ("neg", "pos")}


@case("textcnn on the polarity of sentences", "stopped")
def _(d):
    ordeal(d, data_jobs.textcnn(d, polarity(), 8000, 64, 10, 32, 25, 64, 50, encoding="latin-1"))


@case("a small bert on the polarity of sentences", "stopped")
def _(d):
    ordeal(d, data_jobs.bert(d, polarity(), 8000, 64, 4, 32, 25, 64, encoding="latin-1"))


@case("a balanced job on tiles of which some are broken stops early where it would have", "stopped")
def _(d):
    folder = f"{d.root}/in"
    os.makedirs(folder)
    real(lambda: material.unpacked(material.shared("magnetic-tile/magnetic-tile-subset.tar"))(folder))
    classes = [x for x in sorted(glob.glob(f"{folder}/**/MT_*", recursive=True)) if os.path.isdir(x)]
    for c in classes[:3]:
        # Cut off, empty, and another format.
        some = sorted(glob.glob(f"{c}/*.jpg"))
        os.truncate(some[0], 100)
        os.truncate(some[1], 0)
        with open(some[2], "wb") as f:
            f.write(b"GIF89a" + bytes(20))
    job = data_jobs.tiles({"path": os.path.dirname(classes[0]), "channels": 1}, 64, 6, 200, 16, 8,
                          data={"broken": "skip"}, sampler="balanced",
                          early_stopping={"metric": "val_macro_f1", "patience": 3})
    eq(ordeal(d, job, kills=STRIKES // 2, chosen=2).reason, "early_stopped", "reason")


run()
