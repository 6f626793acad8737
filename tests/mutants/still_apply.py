#!/usr/bin/env python3
"""Each breakage of `make mutants` can still be made, and its tests are there."""
import os
import sys

os.execv(sys.executable, [sys.executable, f"{os.path.dirname(os.path.abspath(__file__))}/mutants.py", "--check"])
