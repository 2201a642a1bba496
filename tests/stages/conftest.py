"""This folder's helpers are importable by the tests below it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
