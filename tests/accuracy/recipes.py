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


SGD = {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0005}


def images(source, size, norm, padding, flips=("hflip",)):
    """Data of images that are shifted and turned over where they are trained on."""
    crop = {"type": "random_crop", "size": size, "padding": padding}
    return {**source, "transforms": {"train": [crop, *flips]}, "normalize": {"type": "scale", **norm}}


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


def resnet20_fashion():
    return job("resnet20-fashion", {"arch": "resnet20"}, images(fashion(), 28, GREYS, 2), 15, 128, SGD)


# --- CIFAR-10, the JPEG subset ----------------------------------------------------

# Of ImageNet, as the given weights have it.
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def cifar():
    return {"train": material.cifar("train"), "validation": material.cifar("test")}


def resnet20_cifar(epochs):
    return job(f"resnet20-cifar-{epochs}", {"arch": "resnet20"}, images(cifar(), 32, IMAGENET, 4), epochs, 128, SGD)


def weights_cifar():
    """No training: the test images, and the network that the given weights are of."""
    data = {**cifar(), "normalize": {"type": "scale", **IMAGENET}}
    weights = material.shared("weights/resnet20.safetensors")
    return job("weights-cifar", {"arch": "resnet20"}, data, 1, 128, SGD), weights


# --- sentence polarity ------------------------------------------------------------

def textcnn_polarity():
    data, tokens = material.polarity("words", 10000, 64)        # the longest has 58 words
    return job("textcnn-polarity", {"arch": "textcnn", "vocabulary": tokens}, data, 8, 64,
               {"type": "adam", "learning_rate": 0.001}, "constant")


def bert_polarity():
    length = 80
    data, tokens = material.polarity("wordpiece", 8000, length)
    model = {"arch": "bert", "vocabulary": tokens, "hidden": 64, "depth": 2, "heads": 4, "intermediate": 256,
             "positions": length, "token_types": 0, "classes": 2}
    return job("bert-polarity", model, data, 8, 32, {"type": "adamw", "learning_rate": 0.001, "weight_decay": 0.01})


# --- magnetic tiles ---------------------------------------------------------------

FOLDS = 5


def tile_images(folder, fold, side):
    """Grey images of many sizes, made one: classes are told by what is on them, not by where."""
    same = {"type": "resize", "size": [side, side]}

    def part(name):
        return {"type": "image_folder", "path": f"{folder}/{name}-{fold}.tar", "channels": 1}
    crop = {"type": "random_crop", "size": side, "padding": side // 14}
    return {"train": part("train"), "validation": part("test"), "normalize": {"type": "scale", "mean": 0.4, "std": 0.2},
            "transforms": {"train": [same, crop, "hflip", "vflip"], "validation": [same]}}


def tiles(fold):
    made = job(f"tiles-{fold}", {"arch": "mobilenet_v2", "classes": 6},
               tile_images(material.tile_folds(FOLDS), fold, 112), 60, 32,
               {"type": "adamw", "learning_rate": 0.003, "weight_decay": 0.05})
    made["training"]["sampler"] = "balanced"
    return made


# --- magnetic tiles: a model that grows ---------------------------------------------

# The two classes of which there are fewest: what turns up last.  By their names they
# stand between the others, so that these get other numbers.
LATE = "MT_Crack", "MT_Fray"


def growth(name, folder, fold, classes, epochs):
    made = job(f"growth-{name}-{fold}", {"arch": "resnet18", "classes": classes}, tile_images(folder, fold, 64), epochs,
               32, {"type": "adamw", "learning_rate": 0.001, "weight_decay": 0.05})
    made["checkpoint"]["every"] = {"epochs": 10}
    return made


def growth_before(fold):
    """Of the four classes that there are at first, learned to the end."""
    return growth("four", material.tile_folds(FOLDS, "tiles-of-four", LATE), fold, 4, 150)


def growth_cold(fold):
    """Of all six, as if there had been no model, learned to the end."""
    return growth("cold", material.tile_folds(FOLDS), fold, 6, 60)


def growth_warm(fold, model):
    """Of six, out of a model of four: the cold start's recipe but for its length and its rates,
    which were chosen by folds 0 and 1."""
    made = growth("warm", material.tile_folds(FOLDS), fold, 6, 0)
    made["model"].update(checkpoint=model, grow=["fc"])
    del made["training"]["epochs"]
    made["training"].update(warm_start={"learning_rate_scale": 1}, learning_rates={"fc.*": 3}, phases=[
        {"train": ["fc.*"], "epochs": 1, "learning_rate_scale": 3},
        {"train": ["*"], "epochs": 18, "learning_rate_scale": 0.4, "schedule": {"type": "one_cycle"}}])
    return made
