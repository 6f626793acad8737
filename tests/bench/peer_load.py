"""Paddle's side of weights.py, and who makes its files.

	peer_load.py save PDPARAMS SAFETENSORS  ResNet-50, by Paddle's names and by PyTorch's
	peer_load.py load PDPARAMS              {seconds} of paddle.load and set_state_dict
"""
import json
import struct
import sys
import time

import paddle

ENDS = {"_mean": "running_mean", "_variance": "running_var"}


def save(net, pdparams, safetensors):
    paddle.save(net.state_dict(), pdparams)
    head, data = {"__metadata__": {"format": "pt"}}, []
    at = 0
    for name, tensor in net.state_dict().items():
        x = tensor.numpy()
        stem, end = name.rsplit(".", 1)
        if x.ndim == 2:
            x = x.T.copy()
        head[f"{stem}.{ENDS.get(end, end)}"] = {"dtype": "F32", "shape": list(x.shape),
                                                "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
        data.append(x.tobytes())
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(safetensors, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def main():
    paddle.set_device("cpu")
    net = paddle.vision.models.resnet50()
    if sys.argv[1] == "save":
        save(net, *sys.argv[2:])
        return
    begin = time.time()
    net.set_state_dict(paddle.load(sys.argv[2]))
    print(json.dumps({"seconds": time.time() - begin}))


main()
