"""Files of weights for tests, and archives of them.  Not a test itself."""
import hashlib
import io
import os
import tarfile

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")


def sample(name):
    with open(f"{SAMPLES}/{name}", "rb") as f:
        return f.read()


def resnet20():
    return sample("resnet20/best.pdparams")


def sha(body):
    return hashlib.sha256(body).hexdigest()


def tar_of(members, packed=False):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if packed else "w") as t:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            t.addfile(info, io.BytesIO(body))
    return out.getvalue()
