#!/usr/bin/env python3
"""What Paddle has begun goes on with us: gradients, updates, losses.

    BUILD=... PADDLE_PYTHON=.../bin/python tests/interop/paddle_goes_on.py [part of a case]

PADDLE_PYTHON is an interpreter with paddlepaddle.  The files are what paddle.save writes
of layer.state_dict() and optimizer.state_dict(): theirs.pdparams and theirs.pdopt.
"""
import ours
from ours import case, rows

ours.under("PADDLE_PYTHON")

import numpy as np
import paddle

nn = paddle.nn
GRADIENTS = 3e-5        # as make check-numerics has it of networks without kinks
UPDATE = 1e-6           # of the step's length
# Paddle keeps beta2 and its powers as floats: 1 - 0.999 is 1.3e-5 of itself less than it
# should be, and a root of that is in the step.
BETA = 1e-5
LOSSES = 1e-5
ROWS, CLASSES, STEPS = 64, 5, 20


class Smooth(nn.Layer):
    """With batch norms and without kinks; a square linear layer, whose shape does not tell how it lies."""
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2D(3, 8, 3, 1, 1, bias_attr=False)
        self.conv2 = nn.Conv2D(8, 12, 3, 2, 1, bias_attr=False)
        self.bn1, self.bn2 = nn.BatchNorm2D(8), nn.BatchNorm2D(12)
        self.fc1, self.norm, self.head = nn.Linear(12, 12), nn.LayerNorm(12), nn.Linear(12, CLASSES)

    def forward(self, x):
        x = nn.functional.gelu(self.bn1(self.conv1(x)))
        x = paddle.tanh(self.bn2(self.conv2(x))).mean([2, 3])
        return self.head(self.norm(paddle.tanh(self.fc1(x))))


CONVENTION = {"convention": "paddle", "momentum": 0.9}
SMOOTH = {"layers": [
    {"type": "conv2d", "name": "conv1", "out": 8, "kernel": 3, "padding": 1, "bias": False, "inputs": ["input"]},
    dict(CONVENTION, type="batch_norm", name="bn1"), "gelu",
    {"type": "conv2d", "name": "conv2", "out": 12, "kernel": 3, "stride": 2, "padding": 1, "bias": False},
    dict(CONVENTION, type="batch_norm", name="bn2"), "tanh", "global_avg_pool2d", "flatten",
    {"type": "linear", "name": "fc1", "out": 12}, "tanh", {"type": "layer_norm", "name": "norm"},
    {"type": "linear", "name": "head", "out": CLASSES}]}


def samples():
    rng = np.random.RandomState(7)
    x, y = rng.randn(ROWS, 3, 10, 10).astype("float32"), rng.randint(0, CLASSES, ROWS)
    ours.arrays(x, y)
    return paddle.to_tensor(x), paddle.to_tensor(y)


def loss_of(net, x, y):
    return nn.functional.cross_entropy(net(x), y)


def step_on(net, o, s, x, y, steps):
    losses = []
    for _ in range(steps):
        loss = loss_of(net, x, y)
        loss.backward()
        o.step()
        o.clear_grad()
        losses.append(float(loss))
        if s:
            s.step()
    return losses


def trained(make, x, y, steps=25, schedule=None):
    """A network, its optimiser and its schedule after some steps."""
    paddle.seed(2)
    net = Smooth()
    s = schedule() if schedule else None
    o = make(net.parameters(), s)
    return net, o, s, step_on(net, o, s, x, y, steps)


def saved(net, o):
    paddle.save(net.state_dict(), "theirs.pdparams")
    paddle.save(o.state_dict(), "theirs.pdopt")
    return "theirs.pdparams"


def linear_weights(net):
    return {f"{name}.weight" for name, m in net.named_sublayers() if isinstance(m, nn.Linear)}


def turned(net, arrays):
    """Their arrays as ours lie, or ours as theirs: the names are the same."""
    linear = linear_weights(net)
    return {name: a.T if name in linear else a for name, a in arrays.items()}


# --- gradients ----------------------------------------------------------------------------

@case
def gradients_of_each_step_behind_the_hand_over_are_those_of_paddle():
    x, y = samples()
    net, o, _, _ = trained(lambda p, s: paddle.optimizer.SGD(0.05, p), x, y)
    path = saved(net, o)
    before, momentum = {k: t.numpy() for k, t in net.state_dict().items()}, None
    job = ours.a_job(SMOOTH, ROWS, optimizer={"type": "sgd", "learning_rate": 0.05, "momentum": 0.5})
    paddle.set_default_dtype("float64")
    double = Smooth()
    paddle.set_default_dtype("float32")
    for step in range(1, 6):
        job["training"]["steps"] = step
        checkpoint, _ = ours.train(job, path if step == 1 else None)
        # What the momentum has taken up is the gradient.
        now = ours.safetensors(f"{checkpoint}/optimizer.safetensors")
        now = {k[:-len(".momentum_buffer")]: v.astype("float64") for k, v in now.items()}
        got = {k: v - 0.5 * momentum[k] if momentum else v for k, v in now.items()}
        for k, t in double.state_dict().items():
            t.set_value(before[k].astype("float64"))
        double.clear_gradients()
        loss_of(double, x.astype("float64"), y).backward()
        want = turned(double, {k: p.grad.numpy() for k, p in double.named_parameters()
                               if not p.stop_gradient})
        ours.near_gradients(got, want, GRADIENTS, f"step {step}")
        before, momentum = turned(net, ours.safetensors(f"{checkpoint}/model.safetensors")), now


# --- one update -----------------------------------------------------------------------------

def decayed(x):
    return paddle.regularizer.L2Decay(x)


# Theirs and ours.  Floats hold these betas exactly.
B = 0.875, 0.984375
opt = paddle.optimizer
UPDATES = [
    ("momentum", lambda p: opt.Momentum(1e-4, parameters=p),
     {"type": "sgd", "learning_rate": 1e-4, "momentum": 0.9}),
    ("momentum_nesterov", lambda p: opt.Momentum(1e-4, parameters=p, use_nesterov=True, weight_decay=decayed(0.1)),
     {"type": "sgd", "learning_rate": 1e-4, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adam", lambda p: opt.Adam(0.1, *B, 0.25, parameters=p),
     {"type": "adam", "learning_rate": 0.1, "betas": B, "eps": 0.25}),
    ("adam_decay", lambda p: opt.Adam(0.1, *B, parameters=p, weight_decay=decayed(0.5)),
     {"type": "adam", "learning_rate": 0.1, "betas": B, "weight_decay": 0.5}),
    ("adam_with_its_own_betas", lambda p: opt.Adam(0.1, parameters=p), {"type": "adam", "learning_rate": 0.1}, BETA),
    ("adamw", lambda p: opt.AdamW(0.1, *B, parameters=p, weight_decay=0.2),
     {"type": "adamw", "learning_rate": 0.1, "betas": B, "weight_decay": 0.2}),
    ("adagrad", lambda p: opt.Adagrad(0.2, parameters=p), {"type": "adagrad", "learning_rate": 0.2, "eps": 1e-6}),
    ("lamb", lambda p: opt.Lamb(0.1, parameters=p), {"type": "lamb", "learning_rate": 0.1}),
]


class Line(nn.Layer):
    """Square, so that the shape does not tell how it lies."""
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(8, 8)


def before_an_update(make):
    """Their network and optimiser after updates of random gradients, saved; and the batch."""
    rng = np.random.RandomState(3)
    x, y = rng.randint(8, 16, (ROWS, 8)).astype("float32") * 64, rng.randint(0, 8, ROWS)
    ours.arrays(x, y)
    net = Line()
    o = make(net.parameters())
    for _ in range(7):
        # The gradient of a sum with random weights is those.
        sum((p * paddle.to_tensor(rng.randn(*p.shape).astype("float32") * (300 if p.ndim > 1 else 0.1))).sum()
            for p in net.parameters()).backward()
        o.step()
        o.clear_grad()
    for p in net.parameters():
        p.set_value(rng.uniform(0.4, 0.9, p.shape).astype("float32"))
    saved(net, o)
    return net, o, paddle.to_tensor(x), paddle.to_tensor(y)


def l1_job(optimizer):
    return ours.a_job({"arch": "mlp", "sizes": [8, 8]}, ROWS, loss="l1", optimizer=optimizer,
                      warm_start={"optimizer": "all", "learning_rate_scale": 1})


@rows(UPDATES)
def one_update_from_equal_gradients(name, make, optimizer, tolerance=UPDATE):
    net, o, x, y = before_an_update(make)
    before = {k: t.numpy().astype("float64") for k, t in net.state_dict().items()}
    # These gradients do not depend on the weights while all outputs are above 1: sums that floats hold exactly.
    assert (net.fc1(x).numpy() > 2).all()
    nn.functional.l1_loss(net.fc1(x), nn.functional.one_hot(y, 8)).backward()
    o.step()
    checkpoint, _ = ours.train(l1_job(optimizer), "theirs.pdparams")
    after = turned(net, ours.safetensors(f"{checkpoint}/model.safetensors"))
    for k, t in net.state_dict().items():
        length = np.linalg.norm(t.numpy() - before[k])
        apart = np.linalg.norm(after[k].astype("float64") - t.numpy()) / length
        assert length > (0.01 if "weight" in k else 1e-5), (k, length)
        assert apart <= tolerance, f"{k}: {apart:.3g} of a step of {length:.3g}"


@case
def rmsprop_of_paddle_means_something_else_and_is_left_with_the_reason():
    before_an_update(lambda p: opt.RMSProp(0.05, parameters=p))
    said = ours.trainer(l1_job({"type": "rmsprop", "learning_rate": 0.05}), "--model", "theirs.pdparams")
    assert "RMSProp of Paddle has its epsilon inside the root" in said, said


# --- the next losses ----------------------------------------------------------------------------

lr = opt.lr
RUNS = [
    ("adamw_with_a_schedule_in_the_middle",
     lambda p, s: opt.AdamW(s, parameters=p, weight_decay=0.1), lambda: lr.CosineAnnealingDecay(0.01, 60),
     {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}, {"type": "cosine", "length": 60}),
    ("adam", lambda p, s: opt.Adam(0.01, parameters=p), None, {"type": "adam", "learning_rate": 0.01}, "constant"),
    ("momentum_with_steps", lambda p, s: opt.Momentum(s, parameters=p), lambda: lr.StepDecay(0.1, 30, 0.3),
     {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}, {"type": "step", "step_size": 30, "gamma": 0.3}),
]


@rows(RUNS)
def the_next_losses_are_those_of_paddle(name, make, schedule, optimizer, our_schedule):
    x, y = samples()
    net, o, s, _ = trained(make, x, y, schedule=schedule)
    path = saved(net, o)
    want = step_on(net, o, s, x, y, STEPS)
    job = ours.a_job(SMOOTH, ROWS, steps=STEPS, optimizer=optimizer, schedule=our_schedule, warm_start={
        "optimizer": "all", "schedule": "continue" if s else "restart", "learning_rate_scale": 1})
    checkpoint, losses = ours.train(job, path)
    assert len(losses) == STEPS, losses
    worst = max(abs(a - b) / b for a, b in zip(losses, want))
    assert worst < LOSSES, f"{worst:.3g}: {losses}, want {want}"
    assert want[-1] < 0.999 * want[0], want
    after = ours.safetensors(f"{checkpoint}/model.safetensors")
    for k, a in turned(net, {k: t.numpy() for k, t in net.state_dict().items()}).items():
        if k.rpartition(".")[2] in ("_mean", "_variance"):
            ours.near(after[k], a, 1e-5, k)
    print(f"    {name}: the next {STEPS} losses are {worst:.1e} apart")


# --- and back -----------------------------------------------------------------------------------

BACK = [
    ("adam", lambda p: opt.Adam(0.01, parameters=p), {"type": "adam", "learning_rate": 0.01}),
    ("adamw", lambda p: opt.AdamW(0.003, parameters=p, weight_decay=0.1),
     {"type": "adamw", "learning_rate": 0.003, "weight_decay": 0.1}),
    ("momentum", lambda p: opt.Momentum(0.05, parameters=p, use_nesterov=True, weight_decay=decayed(1e-3)),
     {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    ("adagrad", lambda p: opt.Adagrad(0.02, epsilon=1e-10, parameters=p), {"type": "adagrad", "learning_rate": 0.02}),
]


@rows(BACK)
def paddle_goes_on_from_our_model_and_optimiser(name, make, optimizer):
    x, y = samples()
    job = ours.a_job(SMOOTH, ROWS, steps=25, optimizer=optimizer)
    checkpoint, _ = ours.train(job)
    ours.export(job, checkpoint, "ours.pdparams")
    ours.export(job, checkpoint, "ours.pdopt")
    with paddle.utils.unique_name.guard():      # names as in a new process
        net = Smooth()
        assert net.set_state_dict(paddle.load("ours.pdparams")) == ([], [])
        o = make(net.parameters())
        o.set_state_dict(paddle.load("ours.pdopt"))
        got = step_on(net, o, None, x, y, STEPS)
    job["training"]["steps"] = 25 + STEPS
    _, losses = ours.train(job)
    worst = max(abs(a - b) / b for a, b in zip(got, losses[25:], strict=True))
    assert worst < LOSSES, f"{worst:.3g}: {got}, want {losses[25:]}"
    print(f"    {name}: Paddle's next {STEPS} losses are {worst:.1e} apart")


ours.main()
