"""An S3 server on loopback, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def server() -> Iterator[str]:
    """`host:port` of the server while it runs."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        yield "{}:{}".format(*running.get_host_and_port())
    finally:
        running.stop()


def bucket(endpoint: str, name: str) -> str:
    """A new bucket; the URI of a store in it. The credentials must stand in the environment."""
    from pyarrow import fs

    query = f"endpoint_override={endpoint}&scheme=http&allow_bucket_creation=true&region=us-east-1"
    fs.FileSystem.from_uri(f"s3://{name}?{query}")[0].create_dir(name)
    return f"s3://{name}/runs?{query}"
