"""The recipes of make accuracy: jobs, as dicts, without their seed.

One recipe serves both sides: PyTorch's program (peer_torch.py) reads the same job.
seeded() gives a job of its own for each seed.
"""
import copy

import material

FASHION = "/usr/share/datasets/fashion-mnist"


def seeded(recipe, seed, arithmetic="fast"):
    job = copy.deepcopy(recipe)
    job["training"].update(seed=seed, arithmetic=arithmetic)
    return job


def job(name, model, data, epochs, batch, optimizer, schedule="one_cycle"):
    return {"name": name, "model": model, "data": data,
            "training": {"epochs": epochs, "batch_size": batch, "log_every": 200, "optimizer": optimizer,
                         "schedule": {"type": schedule}},
            # Validation data are the test images, so nothing may be chosen by them: what counts
            # is what the last epoch leaves.
            "checkpoint": {"every": {"epochs": 1, "seconds": 60}, "keep": {"last": 1, "best": 0}}}


# --- Fashion-MNIST --------------------------------------------------------------

def fashion():
    """60,000 images to train on, and the 10,000 test images."""
    def part(name):
        return {"type": "idx", "images": material.file(f"{FASHION}/{name}-images-idx3-ubyte.gz"),
                "labels": material.file(f"{FASHION}/{name}-labels-idx1-ubyte.gz")}
    return {"train": part("train"), "validation": part("t10k")}


GREYS = {"mean": 0.286, "std": 0.353}           # of the training images


def lenet5_fashion():
    return job("lenet5-fashion", {"arch": "lenet5"}, {**fashion(), "normalize": {"type": "scale", **GREYS}}, 5, 64,
               {"type": "adam", "learning_rate": 0.005})
