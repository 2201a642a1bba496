"""Addresses print themselves masked, and what fails at an object store has a name: the address, what, and what next."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import s3

from pipeline.errors import SourceError, StoreError
from pipeline.files.address import Address
from pipeline.files.open_store import mark_store, open_store
from pipeline.files.opening import connect
from pipeline.files.secrets import masked
from pipeline.files.sources import expand

KEY, SECRET = "AKIAOPENSESAME77", "sw0rdf1sh/plus+Slash/9Zqx"
WHOLE = f"s3a://{KEY}:{SECRET}@bucket/a/b@2?region=x&session_token=t0ken&skip_signature=false"


def test_an_address_prints_itself_masked_wherever_it_stands():
    address = Address(WHOLE)
    printed = (str(address), repr(address), f"{address}", f"{address:>200}", repr([address]), str(address.below("x")))
    for text in printed:
        assert KEY not in text
        assert "sw0rdf1sh" not in text
        assert "t0ken" not in text
        assert "s3a://***@bucket/a/b@2" in text
    assert address.plain() == "s3a://bucket/a/b@2?region=x&skip_signature=false"
    assert address.name == "b@2"


def test_an_address_is_a_value_and_options_stay_behind_its_path():
    address = Address(WHOLE)
    assert pickle.loads(pickle.dumps(address)) == address == Address(address)
    assert address != Address(address.plain())
    with pytest.raises(AttributeError):
        address._whole = "other"
    assert address.below("ray/x").reveal() == WHOLE.replace("b@2?", "b@2/ray/x?")
    bucket, name = address.split()
    assert (bucket.plain(), name) == ("s3a://bucket?region=x&skip_signature=false", "a/b@2")
    assert str(Address("file:///a/b").below("c")) == "/a/b/c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a/b", 'S3Store(bucket="bucket", prefix="a/b")'),
        (WHOLE, 'S3Store(bucket="bucket", prefix="a/b@2")'),
        ("gs://bucket/a", 'GCSStore(bucket="bucket", prefix="a")'),
        ("az://me/box/a?account_key=c2VjcmV0", 'AzureStore(container_name="box", account_name="me", prefix="a")'),
        ("az://box/a?account_name=me", 'AzureStore(container_name="box", account_name="me", prefix="a")'),
        ("abfss://box@me.dfs.core.windows.net/a", 'AzureStore(container_name="box", account_name="me", prefix="a")'),
    ],
)
def test_every_kind_of_address_opens_its_bucket_and_its_path(text, shown):
    assert repr(connect(Address(text))) == shown
    bucket, name = Address(text).split()
    assert name == shown.partition('prefix="')[2][:-2]
    assert shown.startswith(repr(connect(bucket))[:-1])


def test_a_text_of_a_library_is_shown_without_the_secrets_of_its_address():
    text = f"GET http://h/x?sig=abc refused {KEY} and {SECRET}, sw0rdf1sh%2Fplus%2BSlash%2F9Zqx, token t0ken; {WHOLE}"
    hidden = masked(text)
    assert all(word not in hidden for word in (KEY, "sw0rdf1sh", "t0ken", "abc"))
    assert masked({"a": [WHOLE, 3]}) == {"a": [str(Address(WHOLE)), 3]}


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    """A server that answers in the way that the bucket is called: `403`, `301`, ..."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code = int(self.path.strip("/")[:3])
            said = {403: "InvalidAccessKeyId", 400: "AuthorizationHeaderMalformed", 301: "PermanentRedirect"}[code]
            body = f"<Error><Code>{said}</Code><Message>it was {KEY}</Message></Error>".encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def silent() -> str:
    """host:port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def place(request, answering, silent) -> str:
    bucket, where, more = request.param
    endpoint = {"answering": answering, "silent": silent}.get(where, where)
    return f"s3a://{KEY}:{SECRET.replace('/', '%2F')}@{bucket}/runs?endpoint=http://{endpoint}&region=eu-west-1{more}"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (("b", "silent", ""), r"nothing answers at http://127\.0\.0\.1:\d+ \(Connection refused\)"),
        (("b", "no-such-host.invalid", ""), r"nothing answers at http://no-such-host\.invalid \(.*\)"),
        (("403", "answering", ""), r"access denied(: InvalidAccessKeyId it was \*\*\*)?; expected credentials"),
        (("400", "answering", ""), r"in another region than eu-west-1; expected \?region=NAME"),
        (("301", "answering", ""), r"in another region than eu-west-1; expected \?region=NAME"),
        (("b", "silent", "&endpont=x"), r"an option 'endpont' that there is not"),
    ],
    indirect=["place"],
    ids=["unreachable", "no such host", "denied", "region", "redirected", "option"],
)
def test_what_fails_has_a_name_and_holds_no_secret_and_no_dump(place, found):
    for call, error in (
        (lambda: mark_store(open_store(place)), StoreError),
        (lambda: open_store(place).read("x"), StoreError),
        (lambda: expand(place, "docs.paths"), SourceError),
    ):
        with pytest.raises(error, match=rf"s3a://\*\*\*@\w+/runs\?.*{found}.*Next: ") as caught:
            call()
        text = str(caught.value)
        assert "\n" not in text
        assert all(word not in text for word in (KEY, "sw0rdf1sh", "Generic", "RetryError", "Error performing"))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_bucket_that_is_missing_is_named(monkeypatch):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3.server() as endpoint:
        place = f"s3://K3Y77:S3CRET@nowhere/runs?endpoint=http://{endpoint}&region=us-east-1"
        for call in (
            lambda: mark_store(open_store(place)),
            lambda: open_store(place).read("x"),
            lambda: expand(place, "docs.paths"),
        ):
            with pytest.raises((StoreError, SourceError), match=r"no bucket s3://nowhere; expected a bucket that"):
                call()


def test_a_place_is_a_file_system_of_arrows(monkeypatch, tmp_path):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    from pyarrow import fs

    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3.server() as endpoint:
        uri = s3.bucket(endpoint, "arrow")
        for place in (open_store(uri).below("ray"), open_store(str(tmp_path / "ray"))):
            files, root = pickle.loads(pickle.dumps(place)).file_system()
            files.create_dir(f"{root}/run")
            for name in ("a.json", "deep/b.json"):
                files.create_dir(f"{root}/run/deep")
                with files.open_output_stream(f"{root}/run/{name}") as stream:
                    stream.write(b"1")
            kinds = {f"{root}/run": 3, f"{root}/run/a.json": 2, f"{root}/run/none": 0}
            infos = files.get_file_info(list(kinds))
            assert [info.type for info in infos] == [fs.FileType(kind) for kind in kinds.values()]
            found = files.get_file_info(fs.FileSelector(f"{root}/run", recursive=True))
            below = sorted(info.path.removeprefix(f"{root}/run/") for info in found)
            assert below == ["a.json", "deep", "deep/b.json"]
            found = files.get_file_info(fs.FileSelector(f"{root}/run"))
            assert sorted(info.base_name for info in found) == ["a.json", "deep"]
            assert files.open_input_stream(f"{root}/run/a.json").read() == place.read("run/a.json") == b"1"
            files.delete_file(f"{root}/run/a.json")
            files.delete_dir(f"{root}/run/deep")
            assert place.sizes("run") == {}
            assert files.get_file_info(fs.FileSelector(f"{root}/gone", allow_not_found=True)) == []
