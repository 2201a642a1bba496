"""Who is answered by `siftloom ui`, over a store without runs; and a port that is taken."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from pipeline.errors import UserError
from pipeline.files.objects import LocalStore
from pipeline.files.open_store import mark_store
from siftloom.ui.server import HOST, application, serve

TOKEN = "a-token-of-this-test"


@pytest.fixture
def store(tmp_path: Path) -> str:
    mark_store(LocalStore(str(tmp_path)))
    return str(tmp_path)


@pytest.mark.parametrize("other", ['prefs={"a": [1, 2]}', "a/b=1", "odd name=x", 'quoted="open'])
def test_cookies_of_other_programs_of_this_machine_do_no_harm(store: str, other: str) -> None:
    """Cookies know no ports: those of a notebook server come along."""
    client = TestClient(application(store, TOKEN, 8650), base_url=f"http://{HOST}:8650")
    for cookies in (f"{other}; siftloom-8650={TOKEN}", f"siftloom-8650={TOKEN}; {other}"):
        assert client.get("/api/runs", headers={"cookie": cookies}).status_code == 200
    assert client.get("/api/runs", headers={"cookie": other}).status_code == 403


def test_a_port_that_is_taken_is_named(store: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: .*in use.*siftloom ui --port 0"):
            serve(store, port, lambda address: None)
