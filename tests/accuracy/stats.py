"""What is said of several runs of a recipe: their mean, how sure it is, and whether
two programs that were given the same recipe differ; and what a table of confusions
says.  Pure functions of lists of numbers."""
import math
from collections import namedtuple

# difference: of the means, a's less b's; error: its standard error; alike: at most
# two of these; sure: the error is small enough for that to mean something.
Compared = namedtuple("Compared", "difference error alike sure")
ERRORS = 2              # standard errors that two alike programs may be apart


def mean(v):
    v = list(v)
    return sum(v) / len(v)


def deviation(v):
    """Of the sample: divided by n - 1.  Not known of one number."""
    if len(v) < 2:
        raise ValueError(f"{len(v)} runs have no deviation, want 2 or more")
    middle = mean(v)
    return math.sqrt(sum((x - middle) ** 2 for x in v) / (len(v) - 1))


def difference_error(a, b):
    """Standard error of mean(a) - mean(b), each with a variance of its own (Welch)."""
    return math.sqrt(deviation(a) ** 2 / len(a) + deviation(b) ** 2 / len(b))


def compare(a, b, most):
    """Two lists of figures; most: what the error may be."""
    difference, error = mean(a) - mean(b), difference_error(a, b)
    return Compared(difference, error, abs(difference) <= ERRORS * error, error <= most)


def add(tables):
    """Tables of confusions of the same classes, added up: [label][answer] counts samples."""
    return [[sum(cells) for cells in zip(*rows)] for rows in zip(*tables)]


def f1(table):
    """F1 of each class, 2 right / (samples of the class + answers of it); None of a class
    that neither a label nor an answer has."""
    out = []
    for i, row in enumerate(table):
        both = sum(row) + sum(r[i] for r in table)
        out.append(2 * row[i] / both if both else None)
    return out


def macro_f1(table):
    """The mean of the classes' F1: each counts the same, however rare it is."""
    return mean([x for x in f1(table) if x is not None])


def recalls(table):
    """Of each class, the share of its samples that was answered right; None of one without samples."""
    return [row[i] / sum(row) if sum(row) else None for i, row in enumerate(table)]


# --- curves: a figure after each epoch ----------------------------------------------

def mean_curve(curves):
    """Of each epoch; all have as many."""
    return [mean(v) for v in zip(*curves, strict=True)]


def reaches(curve, goal):
    """The first epoch, from 1 on, after which it is at least that; None where none is."""
    return next((n for n, x in enumerate(curve, 1) if x >= goal), None)
