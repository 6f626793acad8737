"""Jobs whose samples are made while they train, for the tests that kill them: images in class folders and in tars,
lists of images, texts by class, each with the transforms that such data have.  Not a test itself."""
import json
import random
import subprocess

from t import BUILD, eq, limit

WORDS = {"neg": "bad dull poor awful boring".split(), "pos": "good fine great lovely superb".split()}
OTHER = "the film was a story of our time , with some music and two actors .".split()


def job(name, model, data, epochs, batch, steps, optimizer, **training):
    """A checkpoint every so many steps, a line of metrics each."""
    return {"name": name, "retries": 100, "model": model, "data": data,
            "training": {"epochs": epochs, "batch_size": batch, "log_every": 1, "optimizer": optimizer, **training},
            "checkpoint": {"every": {"steps": steps}, "keep": {"last": 3, "best": 1}}}


def images(source, train, validation=(), **data):
    return {"train": {"type": "image_folder", **source}, "validation_split": 0.2, "split": {"stratify": True},
            "normalize": {"type": "scale", "mean": 0.45, "std": 0.22},
            "transforms": {"train": list(train), "validation": list(validation)}, **data}


def tiles(source, side, classes, epochs, batch, steps, **more):
    """MobileNetV2 on parts of pictures of any size."""
    crop = {"type": "random_resized_crop", "size": side, "scale": [0.3, 1]}
    data = images(source, [crop, "hflip"], [{"type": "resize", "size": [side, side]}], **more.pop("data", {}))
    return job("tiles", {"arch": "mobilenet_v2", "classes": classes}, data, epochs, batch, steps,
               {"type": "adamw", "learning_rate": 0.003}, **{"schedule": {"type": "one_cycle"}, **more})


def cifar(source, epochs, batch, steps):
    """ResNet-20 on pictures that are shifted, turned over and mixed."""
    data = images(source, [{"type": "random_crop", "size": 32, "padding": 4}, "hflip", {"type": "mixup", "alpha": 0.2}],
                  [{"type": "center_crop", "size": 32}])
    optimizer = {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    return job("cifar", {"arch": "resnet20"}, data, epochs, batch, steps, optimizer, schedule={"type": "cosine"})


def texts(d, name, model, files, words, length, epochs, batch, steps, masked, **text):
    """Of files by class, of whose tokens a part is masked; their vocabulary is made first."""
    vocabulary = f"{d.root}/{name}.vocabulary"
    source = {"type": "text", "classes": files, "length": length,
              "tokenizer": {"type": "words", "vocabulary": vocabulary}, **text}
    data = {"train": source, "validation_split": 0.1, "transforms": {"train": [{"type": "random_mask", "p": masked}]}}
    made = job(name, {**model, "vocabulary": words, "classes": 2}, data, epochs, batch, steps,
               {"type": "adamw", "learning_rate": 0.001})
    with open(f"{d.root}/{name}.json", "w") as f:
        json.dump(made, f)
    p = subprocess.run([f"{BUILD}/rekindle-train", "--make-vocabulary", f"{d.root}/{name}.json", "--size", str(words)],
                       capture_output=True, text=True, timeout=limit(60))
    eq(p.returncode, 0, f"exit of --make-vocabulary ({p.stderr[-600:]})")
    return made


def textcnn(d, files, words, length, epochs, batch, steps, width, filters, **text):
    return texts(d, "textcnn", {"arch": "textcnn", "width": width, "filters": filters}, files, words, length, epochs,
                 batch, steps, 0.05, **text)


def bert(d, files, words, length, epochs, batch, steps, hidden, **text):
    """Of two layers."""
    model = {"arch": "bert", "hidden": hidden, "depth": 2, "heads": 4, "intermediate": 4 * hidden, "positions": length,
             "token_types": 0}
    return texts(d, "bert", model, files, words, length, epochs, batch, steps, 0.15, **text)


def sentences(d, each, seed=5):
    """{class: file}: texts that can be told apart."""
    r, files = random.Random(seed), {}
    for name, own in WORDS.items():
        files[name] = f"{d.root}/{name}.txt"
        with open(files[name], "w") as f:
            for _ in range(each):
                words = [r.choice(OTHER) for _ in range(r.randint(3, 12))]
                words.insert(r.randint(0, len(words)), r.choice(own))
                f.write(" ".join(words) + "\n")
    return files
