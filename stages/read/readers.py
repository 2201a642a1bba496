"""Which function reads the rows of which format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stages.read.given import Given, Row


def reader(form: str) -> Callable[[Given], Iterator[Row]]:
    """The function that yields the rows of a file of this format.

    The modules are named as imports, not as strings: so they are code behind the nodes that read.
    """
    from stages.read import arrow, html, json_files, tables, tar, text_files, warc

    readers = {
        "jsonl": json_files.lines,
        "json": json_files.file,
        "csv": tables.commas,
        "tsv": tables.tabs,
        "txt": text_files.rows,
        "html": html.rows,
        "warc": warc.rows,
        "arrow": arrow.rows,
        "tar": tar.rows,
    }
    return readers[form]
