"""Functions that the tests of `map` and of whole runs give to `map`."""

import pyarrow as pa
import pyarrow.compute as pc


def letters(table, least=0):
    """A column, a removal, from a batch."""
    count = pc.utf8_length(table["text"])
    return {"letters": count, "removed": pc.if_else(pc.less(count, least), "short", pa.scalar(None, pa.string()))}


def shout(row, mark="!"):
    """A changed text and a column, row by row; a text without `quiet` in it stays."""
    return {"text": row["text"].upper() + mark, "loud": True} if "quiet" in row["text"] else {"loud": False}


def places(table):
    """A list for each row."""
    return {"places": [list(range(len(text) // 4)) for text in table["text"].to_pylist()]}


def too_short(table):
    return {"letters": [1]}


def wrong_type(table):
    return {"letters": ["many"] * table.num_rows}


def wrong_name(table):
    return {"words": [1] * table.num_rows}


def unknown_reason(table):
    return {"letters": [1] * table.num_rows, "removed": ["odd"] * table.num_rows}


def fails(table):
    raise KeyError("colour")


def noted(table, log):
    """A column and a changed text; every text that is seen goes into a file."""
    with open(log, "a", encoding="utf-8") as file:
        file.writelines(text + "\n" for text in table["text"].to_pylist())
    return {"letters": pc.utf8_length(table["text"]), "text": pc.utf8_upper(table["text"])}
