"""PyTorch's side of the first row: 784-256-10, batch 64, Adam, two threads.

One fixed random batch, so that its side pays for no data.  Prints the median
milliseconds a step over SECONDS (default 3).
"""
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
opt = torch.optim.Adam(net.parameters(), 1e-3)
x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))


def step():
    opt.zero_grad(set_to_none=True)
    F.cross_entropy(net(x), y).backward()
    opt.step()


for _ in range(100):
    step()
times, end = [], time.time() + float(os.environ.get("SECONDS", "3"))
while time.time() < end:
    t = time.perf_counter()
    step()
    times.append(time.perf_counter() - t)
print(sorted(times)[len(times) // 2] * 1e3)
