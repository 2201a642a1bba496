"""What is masked in texts, errors and streams."""

from __future__ import annotations

import io
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files.secrets import MaskedStream, masked, masked_error, take

KEY = take("c4nary/of+the=unit~tests")


class OfALibrary(Exception):
    """Holds its request, as errors of HTTP libraries do."""

    def __init__(self, text: str, request: str) -> None:
        super().__init__(text, request)
        self.text = text

    def __str__(self) -> str:
        return self.text


def test_an_error_that_holds_a_key_in_its_request_crosses_without_it():
    crossing = masked_error(OfALibrary("no answer", f"Bearer {KEY}"))
    assert KEY.encode() not in pickle.dumps(crossing)
    assert str(crossing) == "OfALibrary: no answer"


def test_an_error_without_secrets_stays_itself():
    error = OfALibrary("no answer", "GET /")
    assert masked_error(error) is error


def test_what_an_error_came_from_is_not_printed_with_a_key():
    try:
        try:
            raise ValueError(f"of {KEY}")
        except ValueError as first:
            raise RuntimeError("it failed") from first
    except RuntimeError as error:
        shown = "".join(traceback.format_exception(masked_error(error)))
    assert "it failed" in shown
    assert KEY not in shown


def test_a_stream_masks_what_a_library_prints():
    stream = io.StringIO()
    print(f"Retrying with {KEY}", file=MaskedStream(stream))  # pyright: ignore[reportArgumentType]
    assert stream.getvalue() == "Retrying with ***\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOME_HEADERS", '{"Content-Type": "json", "Authorization": "Bearer h3ader-unit-key"}'),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,api-key=h3ader-unit-key"), ("MY_HEADER", "X-Key: h3ader-unit-key"),
        ("SOME_APIKEY", "h3ader-unit-key"),
    ],
)  # fmt: skip
def test_values_of_headers_in_the_environment_are_masked(monkeypatch, name, value):
    assert "h3ader" in masked("h3ader-unit-key")
    monkeypatch.setenv(name, value)
    assert masked("it said h3ader-unit-key twice") == "it said *** twice"
    assert masked("Content-Type: json") == "Content-Type: json"


def test_a_file_of_headers_that_the_environment_names_is_masked(monkeypatch, tmp_path):
    file = tmp_path / "headers"
    file.write_text("Accept: text\nX-Token: f1le-unit-key\n", encoding="utf-8")
    monkeypatch.setenv("MY_HEADERS_FILE", str(file))
    assert masked("f1le-unit-key, Accept") == "***, Accept"


@given(before=st.text(), after=st.text())
def test_a_key_is_found_in_any_text(before, after):
    assert KEY not in masked(before + KEY + after)
