"""One bucket for some daemons: a real object store's where one is installed, else a folder.  Not a test itself.

    b = bucket(d.root)              # BUCKET=file in the environment: a folder
    b.uri b.stores                  # for the configuration
    b.get(key)  b.keys(prefix)      # below the prefix
"""
import glob
import os

import s3
from t import Skip


class Folder:
    """A folder as a bucket."""

    def __init__(self, root):
        self.root = f"{root}/bucket"
        self.uri = f"file://{self.root}/"
        self.stores = []

    def get(self, key):
        with open(f"{self.root}/{key}", "rb") as f:
            return f.read()

    def keys(self, prefix):
        return sorted(os.path.relpath(p, self.root) for p in glob.glob(f"{self.root}/{prefix}**", recursive=True)
                      if os.path.isfile(p))


class Gateway:
    """A prefix of a bucket in a real object store."""

    def __init__(self, root):
        self.g = s3.rgw()
        self.b = self.g.bucket()
        self.uri = f"s3://{self.b}/team/"
        self.stores = [self.g.store()]

    def get(self, key):
        return self.g.get(self.b, f"team/{key}")

    def keys(self, prefix):
        return sorted(k[len("team/"):] for k in self.g.keys_of(self.b, f"team/{prefix}"))


def bucket(root):
    if os.environ.get("BUCKET") != "file":
        try:
            return Gateway(root)
        except Skip:
            pass
    return Folder(root)
