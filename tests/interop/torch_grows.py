#!/usr/bin/env python3
"""A ResNet-18 that PyTorch has trained on four kinds of magnetic tiles grows to six with us.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_grows.py [part of a case]

TORCH_PYTHON is an interpreter with torch and torchvision.  The file is what torch.save writes
of model.state_dict(), the names are those of torchvision's ImageFolder, a line each.
"""
import ours
from ours import case

ours.under("TORCH_PYTHON")

import growing
import torch
import torchvision

torch.set_num_threads(1)


def trained(x, y, classes):
    torch.manual_seed(1)
    net = torchvision.models.resnet18(num_classes=classes)
    o = torch.optim.AdamW(net.parameters(), growing.RATE)
    for at in growing.batches(len(y)):
        o.zero_grad()
        torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
        o.step()
    return net.eval()


@case
def a_resnet18_that_torch_has_trained_on_four_classes_grows_to_six():
    if not growing.there():
        return
    old = [c for c in growing.write_tiles() if c not in growing.LATE]
    x, y = map(torch.from_numpy, growing.read("train", old))
    net = trained(x, y, len(old))
    torch.save(net.state_dict(), "four.pth")
    with open("classes.txt", "w") as f:
        f.write("".join(f"{c}\n" for c in old))
    x, y = growing.read("test", old)
    with torch.no_grad():
        before = growing.recall(net(torch.from_numpy(x)).argmax(1).numpy(), y)
    growing.story("four.pth", "classes.txt", {"arch": "resnet18"}, before)


ours.main()
