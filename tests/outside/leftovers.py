"""What a run leaves in its folder, and what evaluations write.  Not a test itself."""
import ast
import glob
import struct

from t import eq


def newest(rundir):
    """The folder of the newest checkpoint."""
    return sorted(glob.glob(f"{rundir}/checkpoints/step-*"))[-1]


def npy(path):
    """The rows of a NumPy file of floats, by the description of its format 1.0."""
    with open(path, "rb") as f:
        raw = f.read()
    eq(raw[:8], b"\x93NUMPY\x01\x00", "magic and version")
    n, = struct.unpack("<H", raw[8:10])
    eq((10 + n) % 64, 0, "where the numbers begin, modulo 64")
    eq(raw[9 + n:10 + n], b"\n", "the header's last byte")
    head = ast.literal_eval(raw[10:10 + n].decode("ascii"))
    eq({k: head[k] for k in head if k != "shape"}, {"descr": "<f4", "fortran_order": False}, "header")
    rows, columns = head["shape"]
    data = raw[10 + n:]
    eq(len(data), 4 * rows * columns, "bytes of numbers")
    v = struct.unpack(f"<{rows * columns}f", data)
    return [v[i:i + columns] for i in range(0, len(v), columns)]
