#!/usr/bin/env python3
"""Jobs whose samples are read and made while they train: trainer and daemon are killed with -9, at random and while a
checkpoint is written, while a thread of the loader reads and while an epoch is judged, and the job goes on with other
threads and loader threads each time.  It ends with the bytes of the run that nobody disturbed, with the same metrics of
each step and with the same evaluations.

On small data, a few kills; KILLS=20 and SEED= for others.  tests/long/data_kills.py is on real data."""
import io
import os
import random
import shutil
import tarfile

import data_jobs
import pictures
from storm import Ordeal
from t import case, eq, has, run

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
CLASSES = ["a cat", "dogs", "\u732b"]


def ordeal(d, job, *moments):
    storm = Ordeal(d, job, random.Random(SEED))
    storm.calm()
    eq(len(storm.want[1]), 3, "files of tensors: model, optimizer, what the samples were")
    storm.rage([*moments] * KILLS)
    storm.over(SEED)
    return storm


@case("mobilenet_v2 on pictures of which parts are cut out at random", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, [12, 8, 8], w=40, h=36)
    job = data_jobs.tiles({"path": f"{d.root}/in"}, 32, 3, 10, 6, 3, micro_batch_size=4, ema={"decay": 0.9}, log_every=4)
    ordeal(d, job, "trainer", "daemon", "writing")


@case("resnet20 on listed pictures that are mixed", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, 12)
    with open(f"{d.root}/list", "w") as f:
        for c, name in enumerate(CLASSES):
            for i in range(12):
                f.write(f"{name}/{'sub/' if i % 2 else ''}im {i:04}.png {c}\n")
    ordeal(d, data_jobs.cifar({"path": f"{d.root}/in", "list": f"{d.root}/list"}, 20, 7, 4), "trainer", "daemon",
           "reading")


@case("textcnn on texts", "stopped")
def _(d):
    job = data_jobs.textcnn(d, data_jobs.sentences(d, 150), 60, 16, 30, 16, 10, 16, 8)
    ordeal(d, job, "trainer", "daemon", "judging")


@case("a small bert on texts", "stopped")
def _(d):
    job = data_jobs.bert(d, data_jobs.sentences(d, 150), 60, 16, 30, 16, 10, 16)
    ordeal(d, job, "trainer", "daemon", "reading")


@case("a balanced job that skips what is broken stops early where it would have", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, [30, 12, 7], w=40, h=36)
    pictures.write(f"{d.root}/in/dogs/broken.jpg", pictures.GIF)
    job = data_jobs.tiles({"path": f"{d.root}/in"}, 32, 3, 400, 8, 9, data={"broken": "skip"}, sampler="balanced",
                          early_stopping={"metric": "val_macro_f1", "patience": 12})
    job["model"] = {"arch": "lenet5", "classes": 3, "input": [3, 32, 32]}
    storm = ordeal(d, job, "trainer", "daemon", "judging")
    eq(storm.reason, "early_stopped", "reason")
    has("\n".join(d.events(storm.first)), "dogs/broken.jpg: is a GIF")


@case("an archive that was being unpacked when trainer and daemon died is unpacked anew, whole", "stopped")
def _(d):
    pictures.folder(f"{d.root}/in", CLASSES, 12)
    path = f"{d.root}/in.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as t:
        for name in CLASSES:
            t.add(f"{d.root}/in/{name}", name)
        # It is no image, and takes its time.
        notes = tarfile.TarInfo("notes")
        notes.size = 64 << 20
        t.addfile(notes, io.BytesIO(bytes(notes.size)))
    storm = Ordeal(d, data_jobs.cifar({"path": path}, 10, 7, 4), random.Random(SEED))
    storm.calm()
    shutil.rmtree(f"{path}.unpacked")
    storm.rage(["unpacking", "daemon unpacking"])
    storm.rage(["trainer"])
    storm.over(SEED)
    eq(sorted(x for x in os.listdir(d.root) if "unpack" in x), ["in.tar.gz.unpacked"], "what is left of unpacking")


run()
