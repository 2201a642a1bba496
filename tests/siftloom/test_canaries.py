"""A different canary in each door, a server that repeats all it is sent in every way it can fail: none may come out."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import threading
import traceback
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from command_line import siftloom, write_documents
from served import served

from pipeline.errors import UserError

CANARIES = {
    "endpoint": "sk-3ndp0int/Canary+Aa1", "system": "sk-0ther/Canary+Bb2", "user": "AKIASTORECANARY7",
    "password": "st0re/Canary+Cc3", "query": "qu3ry/Canary+Dd4", "source": "s0urce/Canary+Ee5",
    "proxy": "pr0xy/Canary+Ff6", "hub": "hf_Canary7Gg/7+x", "netrc": "n3trc/Canary+Hh8",
    "session": "s3ss10n/Canary+Ii9", "header": "h3ader/Canary+Jj1", "file": "f1le/Canary+Kk2",
    "odd": "oddlynamedcanary",
}  # fmt: skip
WAYS = ("refused", "307", "400", "401", "500", "cut", "text", "shape", "content")
ENDPOINT = "{endpoint: {url: 'URL', model: m, tries: 1, timeout: 5.0, key_variable: A_KEY}}"
ASKED = f"""\
name: asked
store: kept
nodes:
  docs: {{use: read, paths: ["docs/*.jsonl"], id: name}}
  written: {{use: generate, docs: docs, prompt: "Say: {{text}}", model: {ENDPOINT}}}
  judged: {{use: judge, docs: docs, prompt: "Rate: {{text}}", model: {ENDPOINT}}}
"""


class Parrot(BaseHTTPRequestHandler):
    """Repeats method, path, headers and body."""

    server: Any

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("latin-1")
        self.server.bytes += length
        first = sorted(self.headers.items(), key=lambda pair: "uthorization" not in pair[0])  # what is quoted is short
        said = json.dumps({"headers": dict(first), "decoded": self._decoded(), "path": self.path, "body": body})
        self.server.asked += 1
        way = self.server.way
        if way == "jobs":
            return self._job_server(body)
        if way == "307":
            return self._send(307, said, Location=f"http://{self.server.host}:{self.server.other}{self.path}")
        if way == "cut":
            return self._send(200, said, **{"Content-Length": str(len(said) + 999)})
        if way == "content":
            choice = {"message": {"content": f"yes {said}"}, "finish_reason": "stop"}
            said = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        return self._send(int(way) if way.isdigit() else 200, said if way != "text" else f"<html>{said}")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def _decoded(self) -> list[str]:
        """What stands in Basic authentication, as a gateway logs it."""
        found = [self.headers.get(name, "") for name in ("Authorization", "Proxy-Authorization")]
        return [base64.b64decode(text[6:]).decode() for text in found if text.startswith("Basic ")]

    def _job_server(self, body: str) -> None:
        """Ray's, which takes a package and refuses the job."""
        self.server.sent.append(body)
        if self.path == "/api/version":
            return self._send(200, json.dumps({"version": "4", "ray_version": "2.99.0", "ray_commit": ""}))
        if self.command == "GET":
            return self._send(404 if "packages" in self.path else 200, "[]")
        return self._send(200 if self.command == "PUT" else 500, json.dumps(dict(self.headers)))

    def _send(self, status: int, said: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(said.encode()))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""


@contextmanager
def parrot(way: str, other: int = 0, host: str = "127.0.0.1") -> Iterator[Any]:
    """A server that fails in one way; `host` and `other` are where it sends whoever asks."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    server.way, server.other, server.host, server.bytes, server.asked, server.sent = way, other, host, 0, 0, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an account everywhere."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret_of_mine").write_text(CANARIES["file"], encoding="utf-8")
    (folder / ".netrc").write_text(f"machine 127.0.0.1 login me password {CANARIES['netrc']}\n", encoding="utf-8")
    (folder / ".netrc").chmod(0o600)
    return {
        "HOME": str(folder), "A_KEY": CANARIES["endpoint"], "OTHER_API_KEY": CANARIES["system"],
        "HF_TOKEN": CANARIES["hub"], "AWS_SESSION_TOKEN": CANARIES["session"], "TMPDIR": str(tmp_path),
        "RAY_JOB_HEADERS": json.dumps({"X-Key": "1", "Authorization": f"Bearer {CANARIES['header']}"}),
        "MY_PASSWORD_FILE": str(folder / "secret_of_mine"), "LETMEIN": CANARIES["odd"],
        "RAY_AUTH_TOKEN": CANARIES["system"],
    }  # fmt: skip


def forms() -> dict[str, bytes]:
    found = {}
    for name, canary in CANARIES.items():
        found |= {f"{name} {how.__name__}": how(canary).encode() for how in (str, quote, quote_plus)}
        found[f"{name} quoted whole"] = quote(canary, safe="").encode()
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + canary.encode()).decode()
            found[f"{name} base64 {shift}"] = whole[-(-shift * 8 // 6) + 1 : -4].encode()
    return found


def leaks(folder: Path, printed: str) -> list[str]:
    """What holds a canary: the terminal, and every file but the user's own."""
    known = forms()
    found = [f"printed: {name}" for name, form in known.items() if form in printed.encode()]
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".yaml" and path.name not in (".netrc", "secret_of_mine"):
            data = path.read_bytes()
            if path.suffix == ".parquet":
                import pyarrow.parquet as pq

                data += repr(pq.read_table(path).to_pydict()).encode()
            found += [f"{path.relative_to(folder)}: {name}" for name, form in known.items() if form in data]
    return found


def looked_at(folder: Path, run: str, home: dict[str, str]) -> str:
    """What the commands say of a run that has failed, and what its page shows."""
    said = ""
    for words in (["status", run], ["status", run, "--json"], ["report", run], ["runs"], ["runs", "--json"]):
        done = siftloom(*words, cwd=folder, code=None, SIFTLOOM_STORE="kept", **home)
        said += done.stdout + done.stderr
    return said


def shown_by_the_page(folder: Path, run: str) -> str:
    with served(folder / "kept") as address:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        said = browser.open(address).read().decode()
        for view in ("runs", f"runs/{run}", f"runs/{run}/models"):
            said += browser.open(f"{address.partition('?')[0]}api/{view}").read().decode()
    return said


def test_the_forms_are_found():
    canary = CANARIES["proxy"]
    whole = base64.b64encode(f"me:{canary}".encode())
    assert any(form in whole for name, form in forms().items() if name.startswith("proxy base64"))
    assert forms()["proxy quoted whole"] == quote(canary, safe="").encode()


@pytest.mark.parametrize(
    ("node", "way"), [*(("written", way) for way in WAYS), *(("judged", way) for way in ("307", "401", "shape"))]
)
def test_what_an_endpoint_repeats_stays_here(tmp_path, home, node, way):
    work = tmp_path / "work"
    write_documents(work / "docs")
    with parrot("content") as elsewhere, parrot(way, elsewhere.server_port) as server:
        port = server.server_port if way != "refused" else 9
        (work / "asked.yaml").write_text(ASKED.replace("URL", f"http://127.0.0.1:{port}/v1"), encoding="utf-8")
        done = siftloom("run", "asked.yaml", node, "--here", "--limit", "3", cwd=work, code=None, **home)
        assert way == "refused" or server.bytes > 0
        assert elsewhere.bytes == 0
        assert elsewhere.asked == 0
    if way == "400":
        assert leaks(tmp_path / "nothing", shown_by_the_page(work, "asked")) == []
    if way == "307":
        assert f"127.0.0.1:{server.server_port} to 127.0.0.1:{elsewhere.server_port}" in done.stderr
    assert leaks(tmp_path, done.stdout + done.stderr + looked_at(work, "asked", home)) == []
    assert "Traceback" not in done.stderr


def test_a_proxy_that_repeats_its_account(tmp_path, home):
    work = tmp_path / "work"
    write_documents(work / "docs")
    with parrot("400") as server:
        (work / "asked.yaml").write_text(ASKED.replace("URL", "http://model.invalid/v1"), encoding="utf-8")
        proxy = f"http://me:{quote(CANARIES['proxy'], safe='')}@127.0.0.1:{server.server_port}"
        home |= {"HTTP_PROXY": proxy, "http_proxy": proxy}
        for node in ("written", "judged"):
            done = siftloom("run", "asked.yaml", node, "--here", "--limit", "2", cwd=work, code=None, **home)
        assert server.bytes > 0
    assert leaks(tmp_path, done.stdout + done.stderr + looked_at(work, "asked", home)) == []


@pytest.mark.parametrize("way", ["refused", "307", "400", "401", "text", "shape"])
def test_a_store_and_a_source_that_repeat_their_account(tmp_path, home, way):
    work = tmp_path / "work"
    write_documents(work / "docs")
    with parrot("content") as elsewhere, parrot(way, elsewhere.server_port, "localhost") as server:
        port = server.server_port if way != "refused" else 9
        where = f"endpoint=http://127.0.0.1:{port}&region=us-east-1"

        def address(secret: str) -> str:
            account = f"{CANARIES['user']}:{quote(CANARIES[secret], safe='')}"
            return f"s3://{account}@vault/x?{where}&session_token={quote(CANARIES['query'], safe='')}"

        recipe = f"name: asked\nstore: kept\nnodes:\n  docs: {{use: read, paths: ['{address('source')}/*.jsonl']}}\n"
        (work / "asked.yaml").write_text(recipe, encoding="utf-8")
        said = ""
        for words in (
            ("run", "asked.yaml", "--here"),
            ("status", "asked", "--store", address("password")),
            ("run", "asked.yaml", "--here", "--store", address("password")),
            ("plan", "asked.yaml", "--json"),
        ):
            done = siftloom(*words, cwd=work, code=None, **home)
            assert done.returncode != 0
            assert "Traceback" not in done.stderr
            said += done.stdout + done.stderr
        assert (elsewhere.bytes, elsewhere.asked) == (0, 0)
    assert leaks(tmp_path, said) == []


MINE = """\
import base64, os, urllib.parse
import pyarrow as pa

def fails(table: pa.Table) -> dict:
    said = []
    for name in ("A_KEY", "OTHER_API_KEY", "HF_TOKEN", "AWS_SESSION_TOKEN"):
        value = os.environ[name]
        said += [value, urllib.parse.quote(value, safe=""), base64.b64encode(b"x:" + value.encode()).decode()]
    said += [os.environ["RAY_JOB_HEADERS"], open(os.environ["MY_PASSWORD_FILE"]).read()]
    raise RuntimeError(f"{said} {open(os.path.expanduser('~/.netrc')).read()}")
"""
USERS = """\
name: mine
store: kept
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"]}
  mine: {use: map, docs: docs, fn: "nodes_of_mine:fails", version: 1, writes: {n: int32}}
"""


@pytest.mark.parametrize("how", ["--here", pytest.param("--cpus=1", marks=pytest.mark.long)])
def test_an_error_of_a_library_that_repeats_everything(tmp_path, home, how):
    """With Ray, the error crosses from a worker to the driver, and Ray keeps logs of its own."""
    work = tmp_path / "work"
    write_documents(work / "docs")
    (work / "nodes_of_mine.py").write_text(MINE, encoding="utf-8")
    (work / "mine.yaml").write_text(USERS, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="c-") as short:  # Ray's sockets lie in it
        home["TMPDIR"] = short
        done = siftloom("run", "mine.yaml", how, cwd=work, code=1, **home)
        again = siftloom("run", "mine.yaml", how, "--json", cwd=work, code=1, **home)
        said = done.stdout + done.stderr + again.stdout + again.stderr
        assert "***" in said
        assert leaks(Path(short), said) == []
    assert leaks(tmp_path, looked_at(work, "mine", home)) == []
    said = shown_by_the_page(work, "mine")
    assert "***" in said
    assert leaks(tmp_path / "nothing", said) == []


@pytest.mark.long
def test_a_key_under_any_name_does_not_come_back_from_a_worker(tmp_path, home):
    """Ray's workers ask the server; what they say crosses to the driver and into Ray's logs."""
    work = tmp_path / "work"
    write_documents(work / "docs")
    with parrot("400") as server, tempfile.TemporaryDirectory(prefix="c-") as short:
        recipe = ASKED.replace("URL", f"http://127.0.0.1:{server.server_port}/v1").replace("A_KEY", "LETMEIN")
        (work / "asked.yaml").write_text(recipe, encoding="utf-8")
        home["TMPDIR"] = short
        done = siftloom("run", "asked.yaml", "written", "judged", "--cpus", "1", cwd=work, code=None, **home)
        assert server.bytes > 0
        assert leaks(Path(short), done.stdout + done.stderr) == []
    assert leaks(tmp_path, looked_at(work, "asked", home)) == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["refused", "307", "401", "500", "text", "cut", "jobs"])
def test_a_cluster_that_repeats_its_token(tmp_path, home, way):
    """What `submit` says, and what it packs: the folder with a run that has failed in it."""
    work = tmp_path / "work"
    write_documents(work / "docs")
    with parrot("400") as asked:
        recipe = ASKED.replace("URL", f"http://127.0.0.1:{asked.server_port}/v1")
        (work / "asked.yaml").write_text(recipe, encoding="utf-8")
        siftloom("run", "asked.yaml", "written", "--here", "--limit", "2", cwd=work, code=None, **home)
    home |= {"RAY_AUTH_MODE": "token"}
    with parrot("content") as elsewhere, parrot(way, elsewhere.server_port) as server:
        where = f"http://127.0.0.1:{server.server_port if way != 'refused' else 9}"
        words = ("submit", "asked.yaml", "--address", where, "--store", str(tmp_path / "shared"))
        done = siftloom(*words, cwd=work, code=None, **home)
        assert (elsewhere.bytes, elsewhere.asked) == (0, 0)
    assert done.returncode != 0
    if way == "307":
        assert f"127.0.0.1:{server.server_port}: a redirect to 127.0.0.1:{elsewhere.server_port}" in done.stderr
    packed = "".join(server.sent)
    if way == "jobs":
        found = next(zipfile.ZipFile(io.BytesIO(body.encode("latin-1"))) for body in server.sent if body[:2] == "PK")
        assert any("/events/" in name for name in found.namelist())
        packed += "".join(found.read(name).decode("latin-1") for name in found.namelist() if name[-4:] != "yaml")
    assert leaks(tmp_path, done.stdout + done.stderr + packed) == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["307", "401", "500", "text"])
def test_a_tracker_that_repeats_its_token(monkeypatch, tmp_path, way):
    pytest.importorskip("mlflow")
    from stages.training.trackers import open_tracker

    with parrot("content") as elsewhere, parrot(way, elsewhere.server_port) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", CANARIES["endpoint"])
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "")
        monkeypatch.delenv("MLFLOW_ALLOW_HTTP_REDIRECTS")  # set and taken away, so that it is put back
        with pytest.raises(UserError) as caught:
            open_tracker("mlflow", "training", {"label": "mine"})
        assert server.asked > 0
        assert elsewhere.asked == 0
    said = "".join(traceback.format_exception(caught.value))
    assert leaks(tmp_path, said) == []
    assert len(str(caught.value)) < 500
