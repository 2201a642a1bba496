"""Texts without some of their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stages.clean.cut import Cut


def lines_of(cut: Cut, places: np.ndarray, whole: bool) -> pa.Array:
    """Lines as strings, `whole` or without the white space around them; `places` of `cut.lines`."""
    import numpy as np
    import pyarrow as pa

    from stages.loops.text import gather

    start, stop = (cut.lines[places, i] for i in ((0, 1) if whole else (2, 3)))
    offsets = np.zeros(len(places) + 1, np.int64)
    np.cumsum(stop - start, out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    gather(cut.data, start, stop, offsets, data)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeStringArray.from_buffers(len(places), buffers[1], buffers[2])


def joined(lines: pa.Array, owner: np.ndarray, documents: int) -> pa.Array:
    """The lines of each document with newlines between them; `owner`: the document of each line, ascending."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.searchsorted(owner, np.arange(documents + 1))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lines.cast(pa.large_string()))
    return pc.binary_join(lists, pa.scalar("\n", pa.large_string())).cast(pa.string())
