"""Where the records of a CSV file end: the states of Python's csv reader (`strict`), without its fields.

A line feed ends a record unless it stands in a quoted field. A quote opens one only where a field begins; a doubled one
inside stands for itself; behind the closing one a separator or a line end must follow. Where that reader reports an
error, it goes on with the next line, and so does this.
"""

from numba import int64

from stages.loops.compile import loop
from stages.loops.cuts import NEWLINE, TEXT

RETURN, QUOTE = 13, 34
# what the next byte stands in: a record that has not begun (of carriage returns alone), a field that has not, a field
# without quotes, one with them, behind a quote in it, the rest of a line in which no quote opens a field
BLANK, RETURNS, BEGIN, PLAIN, QUOTED, CLOSED, REST = range(7)
STATE, RECORDS, FIELD = range(3)
NOT_HERE, TOO_LONG = -1, -2


@loop(int64(TEXT, int64, int64, int64, int64, int64[::1]))
def record_end(data, start, wanted, separator, longest, at):
    """The place behind the first line feed at `wanted` or later that ends a record; `NOT_HERE`; `TOO_LONG` when a field
    has more than `longest` bytes.

    at: state, records that have ended (blank lines are none), bytes of the open field; of the place `start`, and then
    of the place that is returned, or of the end of the data.
    """
    state, records, field = at[STATE], at[RECORDS], at[FIELD]
    for i in range(start, len(data)):
        c = data[i]
        field += 1
        if c == NEWLINE and state != QUOTED:
            records += state > RETURNS
            state, field = BLANK, 0
            if i >= wanted:
                at[STATE], at[RECORDS], at[FIELD] = state, records, field
                return i + 1
        elif state == QUOTED:
            if c == QUOTE:
                state = CLOSED
        elif state == REST:
            pass
        elif c == RETURN:
            state = RETURNS if state <= RETURNS else REST
        elif state == RETURNS:
            state = REST
        elif c == separator:
            state, field = BEGIN, 0
        elif c == QUOTE:
            state = QUOTED if state != PLAIN else PLAIN
        else:
            state = REST if state == CLOSED else PLAIN
        if field > longest:
            return TOO_LONG
    at[STATE], at[RECORDS], at[FIELD] = state, records, field
    return NOT_HERE
