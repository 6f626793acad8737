#!/usr/bin/env python3
"""What PyTorch has begun goes on with us: gradients, updates, losses, averages.

    BUILD=... TORCH_PYTHON=.../bin/python tests/interop/torch_goes_on.py [part of a case]

TORCH_PYTHON is an interpreter with torch.  The files are what torch.save writes of
model.state_dict() and optimizer.state_dict().
"""
import ours
from ours import case, rows

ours.under("TORCH_PYTHON")

import numpy as np
import torch

torch.set_num_threads(1)
GRADIENTS = 3e-5        # as make check-numerics has it of networks without kinks
UPDATE = 1e-6           # of the step's length
LOSSES = 1e-5
ROWS, CLASSES, STEPS = 64, 5, 20


class Smooth(torch.nn.Module):
    """With batch norms and without kinks."""
    def __init__(self):
        super().__init__()
        # In the order of our layers: an optimiser's state goes by the number of a parameter.
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 8, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(8)
        self.conv2, self.bn2 = torch.nn.Conv2d(8, 12, 3, 2, 1, bias=False), torch.nn.BatchNorm2d(12)
        self.fc1, self.norm, self.head = torch.nn.Linear(12, 12), torch.nn.LayerNorm(12), torch.nn.Linear(12, CLASSES)

    def forward(self, x):
        x = torch.nn.functional.gelu(self.bn1(self.conv1(x)))
        x = torch.tanh(self.bn2(self.conv2(x))).mean((2, 3))
        return self.head(self.norm(torch.tanh(self.fc1(x))))


SMOOTH = {"layers": [
    {"type": "conv2d", "name": "conv1", "out": 8, "kernel": 3, "padding": 1, "bias": False, "inputs": ["input"]},
    {"type": "batch_norm", "name": "bn1"}, "gelu",
    {"type": "conv2d", "name": "conv2", "out": 12, "kernel": 3, "stride": 2, "padding": 1, "bias": False},
    {"type": "batch_norm", "name": "bn2"}, "tanh", "global_avg_pool2d", "flatten",
    {"type": "linear", "name": "fc1", "out": 12},
    "tanh", {"type": "layer_norm", "name": "norm"}, {"type": "linear", "name": "head", "out": CLASSES}]}


def samples():
    rng = np.random.RandomState(7)
    x, y = rng.randn(ROWS, 3, 10, 10).astype("float32"), rng.randint(0, CLASSES, ROWS)
    ours.arrays(x, y)
    return torch.from_numpy(x), torch.from_numpy(y)


def loss_of(net, x, y):
    return torch.nn.functional.cross_entropy(net(x), y)


def trained(make, x, y, steps=25, schedule=None):
    """A network, its optimiser and its schedule after some steps."""
    torch.manual_seed(2)
    net = Smooth()
    o = make(net.parameters())
    s = schedule(o) if schedule else None
    return net, o, s, step_on(net, o, s, x, y, steps)


def step_on(net, o, s, x, y, steps):
    losses = []
    for _ in range(steps):
        o.zero_grad()
        loss = loss_of(net, x, y)
        loss.backward()
        o.step()
        losses.append(float(loss.detach()))
        if s:
            s.step()
    return losses


# --- gradients ----------------------------------------------------------------------------

@case
def gradients_of_each_step_behind_the_hand_over_are_those_of_pytorch():
    x, y = samples()
    net, _, _, _ = trained(lambda p: torch.optim.SGD(p, 0.05), x, y)
    torch.save(net.state_dict(), "theirs.pt")
    before, momentum = {k: t.numpy() for k, t in net.state_dict().items()}, None
    job = ours.a_job(SMOOTH, ROWS, optimizer={"type": "sgd", "learning_rate": 0.05, "momentum": 0.5})
    for step in range(1, 6):
        job["training"]["steps"] = step
        checkpoint, _ = ours.train(job, "theirs.pt" if step == 1 else None)
        # What the momentum has taken up is the gradient.
        now = ours.safetensors(f"{checkpoint}/optimizer.safetensors")
        now = {k[:-len(".momentum_buffer")]: v.astype("float64") for k, v in now.items()}
        got = {k: v - 0.5 * momentum[k] if momentum else v for k, v in now.items()}
        double = Smooth().double()
        double.load_state_dict({k: torch.tensor(v) for k, v in before.items()})
        loss_of(double, x.double(), y).backward()
        ours.near_gradients(got, {k: p.grad.numpy() for k, p in double.named_parameters()}, GRADIENTS, f"step {step}")
        before, momentum = ours.safetensors(f"{checkpoint}/model.safetensors"), now


# --- one update -----------------------------------------------------------------------------

# Theirs and ours.
UPDATES = [
    ("sgd", lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9), {"type": "sgd", "learning_rate": 1e-4, "momentum": 0.9}),
    ("sgd_nesterov", lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, nesterov=True, weight_decay=0.1),
     {"type": "sgd", "learning_rate": 1e-4, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("sgd_dampened", lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, dampening=0.3),
     {"type": "sgd", "learning_rate": 1e-4, "momentum": 0.9, "dampening": 0.3}),
    ("adam", lambda p: torch.optim.Adam(p, 0.1, betas=(0.8, 0.95), eps=1),
     {"type": "adam", "learning_rate": 0.1, "betas": [0.8, 0.95], "eps": 1}),
    ("adam_decay", lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.5),
     {"type": "adam", "learning_rate": 0.1, "weight_decay": 0.5}),
    ("adamw", lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.2),
     {"type": "adamw", "learning_rate": 0.1, "weight_decay": 0.2}),
    ("rmsprop", lambda p: torch.optim.RMSprop(p, 0.05), {"type": "rmsprop", "learning_rate": 0.05}),
    ("rmsprop_centered", lambda p: torch.optim.RMSprop(p, 0.05, centered=True, momentum=0.6, alpha=0.9),
     {"type": "rmsprop", "learning_rate": 0.05, "centered": True, "momentum": 0.6, "alpha": 0.9}),
    ("adagrad", lambda p: torch.optim.Adagrad(p, 0.2, lr_decay=0.05),
     {"type": "adagrad", "learning_rate": 0.2, "lr_decay": 0.05}),
]


def l1(net, x, y):
    """Its gradients do not depend on the weights while all outputs are above 1: sums of x that floats hold exactly."""
    return torch.nn.functional.l1_loss(net.fc1(x), torch.nn.functional.one_hot(y, 4).float())


@rows(UPDATES)
def one_update_from_equal_gradients(name, make, optimizer):
    rng = np.random.RandomState(3)
    x, y = rng.randint(8, 16, (ROWS, 8)).astype("float32") * 64, rng.randint(0, 4, ROWS)
    ours.arrays(x, y)
    net = torch.nn.Module()
    net.fc1 = torch.nn.Linear(8, 4)
    torch.manual_seed(4)
    for p in net.parameters():
        torch.nn.init.uniform_(p, 0.4, 0.9)
    o = make(net.parameters())
    for i in range(7):                  # whatever was before
        for p in net.parameters():
            p.grad = torch.randn(p.shape) * (300 if p.ndim > 1 else 0.1)
        o.step()
    torch.nn.init.uniform_(net.fc1.weight, 0.4, 0.9)
    torch.nn.init.uniform_(net.fc1.bias, 0.4, 0.9)
    torch.save({"model": net.state_dict(), "optimizer": o.state_dict()}, "theirs.pt")
    before = {k: t.numpy().copy() for k, t in net.state_dict().items()}
    o.zero_grad()
    l1(net, torch.from_numpy(x), torch.from_numpy(y)).backward()
    assert (net.fc1(torch.from_numpy(x)) > 2).all()
    o.step()
    job = ours.a_job({"arch": "mlp", "sizes": [8, 4]}, ROWS, loss="l1", optimizer=optimizer,
                     warm_start={"optimizer": "all", "learning_rate_scale": 1})
    checkpoint, _ = ours.train(job, "theirs.pt")
    after = ours.safetensors(f"{checkpoint}/model.safetensors")
    for k, t in net.state_dict().items():
        length = np.linalg.norm(t.numpy().astype("float64") - before[k])
        apart = np.linalg.norm(after[k].astype("float64") - t.numpy()) / length
        assert length > (0.01 if "weight" in k else 1e-5), (k, length)
        assert apart <= UPDATE, f"{k}: {apart:.3g} of a step of {length:.3g}"


# --- the next losses ----------------------------------------------------------------------------

RUNS = [
    ("sgd_step", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
     lambda o: torch.optim.lr_scheduler.StepLR(o, 30, 0.3),
     {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}, {"type": "step", "step_size": 30, "gamma": 0.3}),
    ("adam", lambda p: torch.optim.Adam(p, 0.01), None, {"type": "adam", "learning_rate": 0.01}, "constant"),
    ("adamw_cosine", lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
     lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 60),
     {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}, {"type": "cosine", "length": 60}),
    ("rmsprop", lambda p: torch.optim.RMSprop(p, 0.003, momentum=0.5), None,
     {"type": "rmsprop", "learning_rate": 0.003, "momentum": 0.5}, "constant"),
    ("adagrad", lambda p: torch.optim.Adagrad(p, 0.02), None, {"type": "adagrad", "learning_rate": 0.02}, "constant"),
]


@rows(RUNS)
def the_next_losses_are_those_of_pytorch(name, make, schedule, optimizer, our_schedule):
    x, y = samples()
    net, o, s, _ = trained(make, x, y, schedule=schedule)
    saved = {"model": net.state_dict(), "optimizer": o.state_dict(), "epoch": 25}
    if s:
        saved["scheduler"] = s.state_dict()
    torch.save(saved, "theirs.pt")
    want = step_on(net, o, s, x, y, STEPS)
    job = ours.a_job(SMOOTH, ROWS, steps=STEPS, optimizer=optimizer, schedule=our_schedule, warm_start={
        "optimizer": "all", "schedule": "continue" if s else "restart", "learning_rate_scale": 1})
    _, losses = ours.train(job, "theirs.pt")
    assert len(losses) == STEPS, losses
    worst = max(abs(a - b) / b for a, b in zip(losses, want))
    assert worst < LOSSES, f"{worst:.3g}: {losses}, want {want}"
    assert want[-1] < 0.999 * want[0], want
    print(f"    {name}: the next {STEPS} losses are {worst:.1e} apart")


# --- and back ---------------------------------------------------------------------------------------

BACK = [row for row in RUNS if row[2] is None] + [
    ("momentum", lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), None,
     {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}, "constant"),
    ("adamw", lambda p: torch.optim.AdamW(p, 0.003, weight_decay=0.1), None,
     {"type": "adamw", "learning_rate": 0.003, "weight_decay": 0.1}, "constant"),
]


@rows(BACK)
def pytorch_goes_on_from_our_model_and_optimiser(name, make, _, optimizer, schedule):
    x, y = samples()
    job = ours.a_job(SMOOTH, ROWS, steps=25, optimizer=optimizer)
    checkpoint, _ = ours.train(job)
    ours.export(job, checkpoint, "ours.pt")
    ours.export(job, checkpoint, "optimizer.pt")
    net = Smooth()
    net.load_state_dict(torch.load("ours.pt", weights_only=True), strict=True)
    o = make(net.parameters())
    before = {k: v for k, v in o.state_dict()["param_groups"][0].items() if v is not None}
    o.load_state_dict(torch.load("optimizer.pt", weights_only=True))
    after = o.state_dict()["param_groups"][0]
    assert {k: after[k] for k in before} == before, (after, before)
    job["training"]["steps"] = 25 + STEPS
    _, losses = ours.train(job)
    got = step_on(net, o, None, x, y, STEPS)
    worst = max(abs(a - b) / b for a, b in zip(got, losses[25:], strict=True))
    assert worst < LOSSES, f"{worst:.3g}: {got}, want {losses[25:]}"
    print(f"    {name}: PyTorch's next {STEPS} losses are {worst:.1e} apart")


# --- the average ------------------------------------------------------------------------------------

@case
def the_average_beside_the_model_is_taken_where_a_job_asks_for_it():
    x, y = samples()
    net, o, _, _ = trained(lambda p: torch.optim.Adam(p, 0.01), x, y)
    average = torch.optim.swa_utils.AveragedModel(
        net, avg_fn=lambda a, p, n: 0.9 * a + 0.1 * p, use_buffers=True)
    for _ in range(5):
        step_on(net, o, None, x, y, 1)
        average.update_parameters(net)
    own = {k[len("module."):]: t for k, t in average.state_dict().items() if k.startswith("module.")}
    # As torchvision's references and YOLO's kin save it.
    for saved in {"model": net.state_dict(), "model_ema": average.state_dict(), "optimizer": o.state_dict()}, \
            {"state_dict": net.state_dict(), "ema": own}:
        torch.save(saved, "theirs.pt")
        for ema, state in (True, own), (False, net.state_dict()):
            ours.forget()
            job = ours.a_job(SMOOTH, ROWS, optimizer={"type": "sgd", "learning_rate": 1e-30}, warm_start={"ema": ema})
            checkpoint, _ = ours.train(job, "theirs.pt")
            after = ours.safetensors(f"{checkpoint}/model.safetensors")
            for k, t in after.items():
                if "running" not in k:          # which go on
                    assert (t == state[k].numpy()).all(), (ema, k)


ours.main()
