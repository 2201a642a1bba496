"""The kill tests use the small nodes and the corpus of the engine's tests, and the models and the server of others."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "pipeline"), str(TESTS / "stages" / "generate")]
