# numba compiles what it decorates, so the types of the Python source say nothing of calls: it is treated as untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
