"""What the rows of make accuracy are about.  Raises Absent with a sentence where something
is not there."""
import os

from lab import Absent


def file(path):
    if not os.path.exists(path):
        raise Absent(f"{path} is not there")
    return path
