"""PyTorch's side of the rows about networks: a model as rekindle-train --summary --yaml prints it, trained by
PyTorch on one fixed batch, so that its side pays for no data.

    torch_net.py MODEL.yaml SHAPE BATCH CLASSES sgd|adamw      SHAPE: 3x32x32, or tokens:64

Prints the median milliseconds a step over SECONDS (default 3).
"""
import os
import sys
import time

import torch
import yaml

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../numerics")
import torch_graph                      # noqa: E402

torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.manual_seed(0)
path, shape, batch, classes, optimizer = sys.argv[1:]
with open(path) as f:
    layers, n = yaml.safe_load(f)["model"]["layers"], int(batch)
if shape.startswith("tokens:"):
    x = torch.randint(1, 100, (n, int(shape[7:])))
else:
    x = torch.randn(n, *map(int, shape.split("x")))
y = torch.randint(0, int(classes), (n,))
drawn = torch_graph.Weights(seed=1)
with torch.no_grad():
    torch_graph.Run(layers, drawn, False, torch.float32)(x)
w = drawn.to(torch.float32)
params = [v for v in w.values.values() if v.requires_grad]
opt = torch.optim.SGD(params, 0.01, momentum=0.9) if optimizer == "sgd" else torch.optim.AdamW(params, 1e-3)


def step():
    opt.zero_grad(set_to_none=True)
    out = torch_graph.Run(layers, w, True, torch.float32)(x)
    torch_graph.loss_of(None, out, y).backward()
    opt.step()


for _ in range(3):
    step()
times, end = [], time.time() + float(os.environ.get("SECONDS", "3"))
while time.time() < end:
    t = time.perf_counter()
    step()
    times.append(time.perf_counter() - t)
print(sorted(times)[len(times) // 2] * 1e3)
