"""A local Ray belongs to its run: nobody reaches it from another machine, nor without the run's token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from pipeline.errors import UserError
from pipeline.ray_runtime import session

PROGRAM = """
import json, grpc, psutil
from pipeline.ray_runtime import session
session.start(cpus=1, address=None)
import ray
here = psutil.Process()
addresses = sorted({
    connection.laddr.ip
    for process in (here, *here.children(recursive=True))
    for connection in process.net_connections("inet") if connection.status == psutil.CONN_LISTEN
})
channel = grpc.insecure_channel(ray.get_runtime_context().gcs_address)
try:
    channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")(b"", timeout=20)
    answer = "OK"
except grpc.RpcError as error:
    answer = error.code().name
print(json.dumps({"addresses": addresses, "answer": answer, "works": ray.get(ray.put(3))}))
session.stop()
"""


@pytest.mark.long
def test_a_local_ray_listens_on_loopback_and_asks_for_a_token() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=200, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["works"] == 3
    assert {address.removeprefix("::ffff:") for address in found["addresses"]} == {"127.0.0.1"}
    assert found["answer"] == "UNAUTHENTICATED"


AGAIN = """
import os, psutil
from pipeline.ray_runtime import session

def tell(line):
    print(line)
    os.environ["RAY_gcs_server_port_wait_time_s"] = "120"

session.start(1, None, tell)
import ray
print(ray.get(ray.put(3)), sorted(each.name() for each in psutil.Process().children() if "_" in each.name()))
session.stop()
"""


@pytest.mark.long
def test_a_ray_that_does_not_come_up_in_time_is_started_again() -> None:
    environment = {**os.environ, "RAY_gcs_server_port_wait_time_s": "0"}  # no head is up at once
    done = subprocess.run(
        [sys.executable, "-c", AGAIN], env=environment, capture_output=True, text=True, timeout=200, check=True
    )
    *said, works = done.stdout.splitlines()
    assert said
    for line in said:  # two on a machine so busy that Ray is late by itself
        assert line.startswith("Ray has not come up (")
        assert line.endswith("): starting it again")
    assert works == "3 ['gcs_server']", "that of the first start is gone"
    assert "Traceback" not in done.stderr


def test_an_address_of_ray_client_is_refused_with_the_way_that_works() -> None:
    with pytest.raises(UserError, match=r"ray at ray://x:10001: .*Next: siftloom submit"):
        session.start(None, "ray://x:10001")


def test_an_address_where_nobody_answers_is_named_soon(monkeypatch):
    monkeypatch.setattr(session, "ANSWER_SECONDS", 0.0)
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"ray at {address}: nobody answers .*unset RAY_ADDRESS"):
            session.start(None, address)
