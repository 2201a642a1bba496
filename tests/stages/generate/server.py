"""A real HTTP server that speaks the OpenAI interface, and answers as it is told to: a queue of mishaps, then well."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], str]


class Server(ThreadingHTTPServer):
    """`mishaps` are used up one by one: an HTTP status, `hang`, `garbage` (no JSON), `odd` (JSON of another shape), or
    an answer that is sent as it is.
    """

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.mishaps, self.asked = answer, list[Any](), list[dict[str, Any]]()
        self.released = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked | {"_key": self.headers.get("Authorization"), "_path": self.path})
            mishap = self.server.mishaps.pop(0) if self.server.mishaps else None
        if mishap == "hang":
            self.server.released.wait(30)
            return
        if mishap == "garbage":
            self._send(200, b"<html>not today</html>")
        elif mishap == "odd":
            self._send(200, json.dumps({"choices": [{"text": "an older interface"}]}).encode())
        elif isinstance(mishap, dict):
            self._send(200, json.dumps(mishap).encode())
        elif mishap is not None:
            self._send(mishap, b'{"error": "mishap"}')
        elif self.path.endswith("/embeddings"):
            rows = [
                {"index": i, "embedding": [float(len(text)), float(text.count("a"))]}
                for i, text in enumerate(asked["input"])
            ]
            self._send(200, json.dumps({"data": rows[::-1]}).encode())
        else:
            prompt = asked["messages"][-1]["content"]
            choice = {"message": {"content": self.server.answer(asked)}, "finish_reason": "stop"}
            usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": 3 * asked["n"]}
            self._send(200, json.dumps({"choices": [choice] * asked["n"], "usage": usage}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""


@contextmanager
def serving(answer: Answer = lambda asked: "yes") -> Iterator[Server]:
    """A server for as long as the block runs."""
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
