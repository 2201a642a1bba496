"""The helpers of the whole suite and of tests/stages are importable by the tests of this folder."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# At the end: this folder's sub-folders are named after the rooms they test.
sys.path += [str(TESTS), str(TESTS / "stages")]
