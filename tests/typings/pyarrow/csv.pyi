# pyarrow ships no types, and the stubs there are refuse correct calls: it is treated as untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
