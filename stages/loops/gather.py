"""Pieces of text put together."""

from numba import int64, uint8, void

from stages.loops.compile import loop, read


@loop(void(read(uint8), read(int64), read(int64), read(int64), uint8[::1]))
def gather(data, starts, stops, offsets, out):
    """Copy runs of bytes one behind the other."""
    for i in range(len(starts)):
        at = offsets[i]
        for j in range(starts[i], stops[i]):
            out[at] = data[j]
            at += 1
