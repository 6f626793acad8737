#!/usr/bin/env python3
"""A ResNet-18 that Paddle has trained on four kinds of magnetic tiles grows to six with us.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/paddle_grows.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle.  The file is what paddle.save writes of
layer.state_dict(), the names are in a file as PaddleClas has it: `index name` a line.  The
classes are in another order than ours, as in a list that somebody wrote.
"""
import ours
from ours import case

ours.under("PADDLE_PYTHON")

import growing
import paddle


def trained(x, y, classes):
    paddle.seed(1)
    net = paddle.vision.models.resnet18(num_classes=classes)
    o = paddle.optimizer.AdamW(growing.RATE, parameters=net.parameters())
    for at in growing.batches(len(y)):
        paddle.nn.functional.cross_entropy(net(paddle.to_tensor(x[at])), paddle.to_tensor(y[at])).backward()
        o.step()
        o.clear_grad()
    net.eval()
    return net


@case
def a_resnet18_that_paddle_has_trained_on_four_classes_grows_to_six():
    if not growing.there():
        return
    old = [c for c in growing.write_tiles() if c not in growing.LATE]
    theirs = old[::-1]
    net = trained(*growing.read("train", theirs), len(old))
    paddle.save(net.state_dict(), "four.pdparams")
    with open("classes.txt", "w") as f:
        f.write("".join(f"{i} {c}\n" for i, c in enumerate(theirs)))
    x, y = growing.read("test", theirs)
    with paddle.no_grad():
        before = growing.recall(net(paddle.to_tensor(x)).argmax(1).numpy(), y)
    growing.story("four.pdparams", "classes.txt", {"arch": "resnet18"}, before[::-1])


ours.main()
