"""Pieces of text put together."""

from numba import njit


@njit(cache=True, nogil=True)
def gather(data, starts, stops, offsets, out):
    """Copy runs of bytes one behind the other."""
    for i in range(len(starts)):
        at = offsets[i]
        for j in range(starts[i], stops[i]):
            out[at] = data[j]
            at += 1
