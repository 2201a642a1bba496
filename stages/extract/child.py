"""The parser's process: pages come in on its standard input, texts go out on its standard output.

A page that takes longer than its share of CPU seconds ends the process (SIGPROF), whatever C code it is in, and a page
that crashes a parser ends it too. So nothing of the worker is lost but this process, and how it ended tells which of
the two it was. CPU time and not the clock: a busy machine must not shorten what a page may take.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import BinaryIO


def send(stream: BinaryIO, data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """One message, None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    length = int.from_bytes(head, "little")
    data = stream.read(length)
    return data if len(data) == length else None


def main() -> None:
    from stages.extract.engines import extractor

    engine, main_content, seconds = sys.argv[1], sys.argv[2] == "True", float(sys.argv[3])
    pages, texts = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no message
    extract = extractor(engine, main_content)
    extract("<p>A first page, so that what is loaded late is loaded before a page's time is counted.</p>")
    send(texts, b"ready")
    while (page := receive(pages)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = extract(page.decode("utf-8"))
        except Exception as error:  # whatever a parser raises belongs to this page
            answer = f"{type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        send(texts, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
