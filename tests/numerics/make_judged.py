#!/usr/bin/env python3
"""Write tests/unit/judge_goldens.h: outputs and labels that are drawn here, and what scikit-learn says of them.

    make_judged.py      with scikit-learn >= 1.3 and numpy

tests/unit/judge_count.c holds src/judge against it.  Draws are by a generator of whole numbers that is written out
here, so that the file is the same everywhere.  The calibration error of one label a row is written out, too, since
scikit-learn has none: Guo et al., 15 bins of equal width.
"""
import os
import warnings

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve

HERE = os.path.dirname(os.path.abspath(__file__))
BINS = 15


class Draw:
    def __init__(self, seed):
        self.s = seed

    def next(self):
        """0 to 2^31 - 1: Lehmer's generator, of Park and Miller."""
        self.s = self.s * 48271 % 2147483647
        return self.s

    def logit(self):
        """-4 to 4 in steps of 1/64, which float and text hold exactly."""
        return (self.next() % 513 - 256) / 64


def floats(name, v):
    v = np.asarray(v, dtype=np.float64).ravel()
    rows = [", ".join(f"{x:.17g}" for x in v[i:i + 4]) for i in range(0, len(v), 4)]
    return f"static const double {name}[] = {{\n\t" + ",\n\t".join(rows) + "\n};\n"


def ints(name, v):
    v = np.asarray(v).ravel()
    rows = [", ".join(str(int(x)) for x in v[i:i + 12]) for i in range(0, len(v), 12)]
    return f"static const int {name}[] = {{\n\t" + ",\n\t".join(rows) + "\n};\n"


def one(name, x):
    return f"#define {name} {x:.17g}\n"


def ece(confidence, right):
    total = 0
    for b in range(BINS):
        of = (confidence > b / BINS) & (confidence <= (b + 1) / BINS)
        if of.any():
            total += abs(right[of].sum() - confidence[of].sum())
    return total / len(confidence)


def classes(rows, k, absent):
    """One label of k a row; `absent` is nobody's label and nobody's prediction."""
    d = Draw(7)
    z = np.array([[d.logit() for _ in range(k)] for _ in range(rows)])
    y = np.array([d.next() % k for _ in range(rows)])
    z[:, absent] = -5
    y[y == absent] = 0
    for i in range(0, rows, 2):         # half of them right, more or less
        z[i, y[i]] += 3
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    said = z.argmax(1)
    every = metrics.precision_recall_fscore_support(y, said, labels=range(k), zero_division=0)
    macro = metrics.precision_recall_fscore_support(y, said, average="macro", zero_division=0)
    out = f"#define C_ROWS {rows}\n#define C_K {k}\n" + floats("c_z", z) + ints("c_y", y)
    out += ints("c_matrix", metrics.confusion_matrix(y, said, labels=range(k)))
    for word, v in zip(("precision", "recall", "f1"), every):
        out += floats(f"c_{word}", v)
    out += ints("c_support", every[3])
    out += one("C_ACCURACY", metrics.accuracy_score(y, said))
    out += one("C_MACRO_PRECISION", macro[0]) + one("C_MACRO_RECALL", macro[1]) + one("C_MACRO_F1", macro[2])
    out += one("C_TOP5", metrics.top_k_accuracy_score(y, z, k=5, labels=range(k)))
    out += one("C_LOG_LOSS", metrics.log_loss(y, p, labels=range(k)))
    out += one("C_ECE", ece(p.max(1), said == y))
    return out


def labels(rows, k):
    """k labels a row, each there or not; the last is never said and never there."""
    d = Draw(11)
    z = np.array([[d.logit() for _ in range(k)] for _ in range(rows)])
    t = np.array([[d.next() % 3 == 0 for _ in range(k)] for _ in range(rows)]).astype(int)
    z += 1.5 * t
    z[z == 0] = 1 / 64
    z[:, k - 1] = -3
    t[:, k - 1] = 0
    said = (z > 0).astype(int)
    p = 1 / (1 + np.exp(-z))
    every = metrics.precision_recall_fscore_support(t, said, zero_division=0)
    macro = metrics.precision_recall_fscore_support(t, said, average="macro", zero_division=0)
    share, sure = calibration_curve(t.ravel(), p.ravel(), n_bins=BINS)
    n = np.histogram(p.ravel(), np.linspace(0, 1, BINS + 1))[0]
    out = f"#define L_ROWS {rows}\n#define L_K {k}\n" + floats("l_z", z) + ints("l_t", t)
    for word, v in zip(("precision", "recall", "f1"), every):
        out += floats(f"l_{word}", v)
    out += ints("l_support", every[3])
    out += one("L_ACCURACY", metrics.accuracy_score(t, said))
    out += one("L_MACRO_PRECISION", macro[0]) + one("L_MACRO_RECALL", macro[1]) + one("L_MACRO_F1", macro[2])
    out += one("L_ECE", (n[n > 0] * abs(share - sure)).sum() / n.sum())
    return out


def numbers(rows):
    d = Draw(13)
    z = np.array([d.logit() for _ in range(rows)])
    t = np.array([d.logit() for _ in range(rows)])
    return (f"#define N_ROWS {rows}\n" + floats("n_z", z) + floats("n_t", t) +
            one("N_MAE", metrics.mean_absolute_error(t, z)))


def main():
    warnings.simplefilter("error")
    with open(os.path.join(HERE, "../unit/judge_goldens.h"), "w") as f:
        f.write("/* Made by tests/numerics/make_judged.py: scikit-learn's numbers. */\n")
        f.write(classes(60, 7, 5) + labels(40, 5) + numbers(33))


if __name__ == "__main__":
    main()
