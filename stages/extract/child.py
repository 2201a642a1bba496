"""The parser's process: pages come in on its standard input, texts go out on its standard output.

A page that crashes a parser ends the process, and so does one for which a parser finds no end (SIGPROF, whatever C code
it is in). So nothing of the worker is lost but this process, and how it ended tells which of the two it was. CPU time
and not the clock: a busy machine must not shorten what a page may take.
"""

from __future__ import annotations

import marshal
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

    engine, seconds = sys.argv[1], float(sys.argv[4])
    main_content, keep_links = (word == "True" for word in sys.argv[2:4])
    pages, texts = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no message
    extract = extractor(engine, main_content, keep_links)
    extract("<p>A first page, so that what is loaded late is loaded before a page's time is counted.</p>")
    send(texts, b"ready")
    while (page := receive(pages)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = extract(page.decode("utf-8"))
        except MemoryError:
            raise  # of the machine and not of the page: the process ends, which is no reason
        except Exception as error:  # whatever else a parser raises belongs to this page
            answer = f"{type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        send(texts, marshal.dumps(answer))  # both ends are one interpreter


if __name__ == "__main__":
    main()
