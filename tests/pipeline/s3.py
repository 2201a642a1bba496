"""An S3 server on loopback, in this process."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def server(address: str = "127.0.0.1") -> Iterator[str]:
    """`host:port` of the server while it runs, at an address of this machine."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    running.start()
    listening = running._server
    assert listening is not None
    listening.app = conditions_at_once(listening.app)
    try:
        yield "{}:{}".format(*running.get_host_and_port())
    finally:
        running.stop()


def conditions_at_once(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """S3 looks at a condition and writes in one step. moto looks first and writes then, so two of its threads can both
    be told that a name was free: seen on a busy machine.
    """
    one = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and "HTTP_IF_NONE_MATCH" in environ:
            with one:
                return app(environ, start_response)
        return app(environ, start_response)

    return answer


def bucket(endpoint: str, name: str) -> str:
    """A new bucket; the URI of a store in it. The credentials must stand in the environment."""
    from pyarrow import fs

    query = f"endpoint_override={endpoint}&scheme=http&allow_bucket_creation=true&region=us-east-1"
    fs.FileSystem.from_uri(f"s3://{name}?{query}")[0].create_dir(name)
    return f"s3://{name}/runs?{query}"


@contextmanager
def without_conditions(endpoint: str, *, refuses: bool) -> Iterator[str]:
    """`host:port` of a server as it was before S3 could write on a condition: it does not look at the condition, or
    refuses such a request. All else is done by the server at `endpoint`.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            condition = self.headers.get("If-None-Match")
            if refuses and condition:
                self._send(501, {}, b"<Error><Code>NotImplemented</Code><Message>If-None-Match</Message></Error>")
                return
            del self.headers["If-None-Match"]
            connection = http.client.HTTPConnection(endpoint)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._send(answer.status, dict(answer.getheaders()), answer.read())
            connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the screen."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
