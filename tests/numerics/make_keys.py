#!/usr/bin/env python3
"""Write tests/numerics/keys/*.txt: what the tensors of networks are called elsewhere.

    make_keys.py akamaster       needs nothing
    make_keys.py torchvision     under Debian's python3-torchvision (0.14.1)
    make_keys.py transformers    transformers==4.30.2 over Debian's python3-torch
    make_keys.py paddleclas      paddlepaddle==2.6.2 numpy==1.26.4 scikit-learn==1.9.1
                                 opencv-python-headless==4.11.0.86 visualdl faiss-cpu
                                 easydict prettytable ujson tqdm PyYAML, and with
                                 --no-deps paddleclas==2.6.0
    make_keys.py paddlenlp       paddlepaddle==2.6.2 paddlenlp==2.8.1 numpy==1.26.4
                                 huggingface_hub==0.23.5 aistudio-sdk==0.2.4
                                 datasets==2.21.0 pyarrow==17.0.0 scipy==1.12.0
                                 scikit-learn==1.4.2 pandas==2.2.3 setuptools

each in an environment of its own with these packages of Python's index, which work
together.  No weights are fetched: networks are built from their configuration alone.

A file has, behind lines of comments (# key: value; `model` is the block of a job as
JSON), a line for each tensor of a state dict: name, TAB, shape as we have it, and
for what lies transposed in the files of its framework (Paddle's linear weights are
[in, out]) TAB, `transpose`.  Counters (num_batches_tracked) and positions that are
no weights (position_ids) are left out.
"""
import json
import os
import sys

KEYS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keys")
BUFFERS = ("running_mean", "running_var", "_mean", "_variance")
LEFT_OUT = ("num_batches_tracked", "position_ids")


def write(name, model, source, tensors, shape="3,224,224", head=(), notes=()):
    """tensors: (name, shape, transposed); head: names that a network without a head has not."""
    tensors = [t for t in tensors if t[0].rpartition(".")[2] not in LEFT_OUT]
    counts = {}
    for key, dims, _ in tensors:
        n = 1
        for d in dims:
            n *= d
        counts[key] = 0 if key.rpartition(".")[2] in BUFFERS else n
    lines = [f"# model: {json.dumps(model)}", f"# input: {shape}", f"# from: {source}",
             f"# parameters: {sum(counts.values())}"]
    if head:
        lines.append(f"# parameters without {', '.join(head)}: "
                     f"{sum(n for k, n in counts.items() if not k.startswith(tuple(head)))}")
    lines += [f"# {note}" for note in notes]
    for key, dims, transposed in tensors:
        lines.append("\t".join([key, ",".join(map(str, dims))] + ["transpose"] * transposed))
    with open(f"{KEYS}/{name}.txt", "w") as f:
        f.write("\n".join(lines) + "\n")
    print(f"{name}: {len(tensors)} tensors, {sum(counts.values()):,} parameters")


# --- torchvision ----------------------------------------------------------------

def torchvision():
    import torchvision as tv
    source = f"torchvision {tv.__version__}"
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_small",
                 "mobilenet_v3_large", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn"):
        model = {"arch": name.replace("_bn", ""), "classes": 1000}
        if name.startswith("vgg"):
            model["batch_norm"] = name.endswith("_bn")
        model["variant"] = "torchvision"
        state = getattr(tv.models, name)(weights=None).state_dict()
        write(name, model, source, [(k, list(v.shape), False) for k, v in state.items()])


# --- the ResNets for CIFAR --------------------------------------------------------

def akamaster():
    """resnet20 to 56 as akamaster/pytorch_resnet_cifar10 names them: option-A shortcuts have no tensors."""
    def norm(name, c):
        return [(f"{name}.{x}", [c], False) for x in ("weight", "bias", "running_mean", "running_var")]

    for depth in 20, 32, 44, 56:
        out, before = [("conv1.weight", [16, 3, 3, 3], False)] + norm("bn1", 16), 16
        for stage, c in enumerate((16, 32, 64), 1):
            for block in range((depth - 2) // 6):
                at = f"layer{stage}.{block}"
                for i in 1, 2:
                    out += [(f"{at}.conv{i}.weight", [c, before, 3, 3], False)] + norm(f"{at}.bn{i}", c)
                    before = c
        out += [("linear.weight", [10, 64], False), ("linear.bias", [10], False)]
        write(f"resnet{depth}", {"arch": f"resnet{depth}", "classes": 10}, "akamaster/pytorch_resnet_cifar10 @d5489e8",
              out, "3,32,32")


# --- BERT -------------------------------------------------------------------------

def transformers():
    import transformers as hf
    source = f"transformers {hf.__version__}, BertForSequenceClassification"
    for name, vocabulary in ("bert-base-uncased", 30522), ("bert-base-chinese", 21128):
        net = hf.BertForSequenceClassification(hf.BertConfig(vocab_size=vocabulary, num_labels=2))
        write(name, {"arch": name, "classes": 2}, source,
              [(k, list(v.shape), False) for k, v in net.state_dict().items()], "16:i32", head=["classifier."])


# --- Paddle -----------------------------------------------------------------------

def linear_weights(net, linear):
    return {f"{name}.weight" for name, layer in net.named_sublayers() if isinstance(layer, linear)}


def paddle_tensors(net):
    import paddle
    turned = linear_weights(net, paddle.nn.Linear)
    return [(k, list(reversed(v.shape)) if k in turned else list(v.shape), k in turned)
            for k, v in net.state_dict().items()]


def paddleclas():
    from importlib.metadata import version
    from importlib.util import find_spec
    import sklearn.metrics      # noqa: F401: behind paddle it crashes
    # The package is the source's folder, which it expects on the path.
    sys.path.insert(0, os.path.dirname(find_spec("paddleclas").origin))
    from ppcls.utils import logger
    logger.init_logger()
    import ppcls.arch.backbone as zoo
    source = f"paddleclas {version('paddleclas')}, paddlepaddle {version('paddlepaddle')}"
    paddle = {"variant": "paddleclas", "classes": 1000}
    for name, word, model in (
            ("resnet18.paddleclas", "ResNet18", dict(paddle, arch="resnet18")),
            ("resnet34.paddleclas", "ResNet34", dict(paddle, arch="resnet34")),
            ("resnet50.paddleclas", "ResNet50", dict(paddle, arch="resnet50")),
            ("resnet101.paddleclas", "ResNet101", dict(paddle, arch="resnet101")),
            ("resnet18_vd", "ResNet18_vd", {"arch": "resnet18_vd", "classes": 1000}),
            ("resnet34_vd", "ResNet34_vd", {"arch": "resnet34_vd", "classes": 1000}),
            ("resnet50_vd", "ResNet50_vd", {"arch": "resnet50_vd", "classes": 1000}),
            ("mobilenet_v2.paddleclas", "MobileNetV2", dict(paddle, arch="mobilenet_v2")),
            ("mobilenet_v3_small.paddleclas", "MobileNetV3_small_x1_0", dict(paddle, arch="mobilenet_v3_small")),
            ("mobilenet_v3_large.paddleclas", "MobileNetV3_large_x1_0", dict(paddle, arch="mobilenet_v3_large")),
            ("pplcnet_x0_5", "PPLCNet_x0_5", {"arch": "pplcnet_x0_5", "classes": 1000}),
            ("pplcnet_x1_0", "PPLCNet_x1_0", {"arch": "pplcnet_x1_0", "classes": 1000}),
            ("vgg11.paddleclas", "VGG11", dict(paddle, arch="vgg11")),
            ("vgg16.paddleclas", "VGG16", dict(paddle, arch="vgg16"))):
        write(name, model, source, paddle_tensors(getattr(zoo, word)()))


def paddlenlp():
    from importlib.metadata import version
    # Behind paddle these crash.
    import datasets, pandas, scipy.linalg, scipy.special, sklearn.metrics     # noqa: E401, F401
    from paddlenlp.transformers import ErnieConfig, ErnieForSequenceClassification
    source = f"paddlenlp {version('paddlenlp')}, paddlepaddle {version('paddlepaddle')}, ErnieForSequenceClassification"
    net = ErnieForSequenceClassification(ErnieConfig(
        vocab_size=40000, hidden_size=312, num_hidden_layers=4, num_attention_heads=12, intermediate_size=1248,
        max_position_embeddings=2048, type_vocab_size=4, task_type_vocab_size=16, use_task_id=True, num_labels=2))
    write("ernie-3.0-nano-zh", {"arch": "ernie-3.0-nano-zh", "classes": 2}, source,
          [t for t in paddle_tensors(net) if "task_type_embeddings" not in t[0]], "16:i32", head=["classifier."],
          notes=["left out: the task embedding, whose row 0 is added to the positions at load"])


GROUPS = {f.__name__: f for f in (torchvision, akamaster, transformers, paddleclas, paddlenlp)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[1:]) <= set(GROUPS):
        sys.exit(__doc__)
    os.makedirs(KEYS, exist_ok=True)
    for group in sys.argv[1:]:
        GROUPS[group]()
