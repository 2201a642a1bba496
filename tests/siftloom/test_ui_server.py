"""What the server of `siftloom ui` answers, to whom, and that its counts are those of the engine."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Small, siftloom

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from pipeline.errors import StoreError
from siftloom.ui.access import POLICY
from siftloom.ui.server import OWN, SHARED, VIEWS, application

TOKEN, HOST = "a-token-of-this-test", "127.0.0.1:8650"


def client(store: Path) -> TestClient:
    return TestClient(application(str(store), TOKEN, 8650), base_url=f"http://{HOST}", follow_redirects=False)


@pytest.fixture(scope="module")
def ui(small: Small) -> TestClient:
    opened = client(small.folder / "kept")
    answer = opened.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return opened


def ask(ui: TestClient, path: str, **params: Any) -> Any:
    answer = ui.get("/api/" + path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_nobody_without_the_token_is_answered(small: Small) -> None:
    stranger = client(small.folder / "kept")
    for path in ("/", "/static/app.js", "/api/runs", "/api/runs/small/document?id=x", "/nothing"):
        for more in ({}, {"params": {"token": "wrong"}}, {"headers": {"cookie": "siftloom-8650=wrong"}}):
            answer = stranger.get(path, **more)
            assert answer.status_code == 403, path
            assert "small" not in answer.text
    kind = stranger.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert "HttpOnly" in kind
    assert "SameSite=strict" in kind


def test_the_token_opens_nothing_under_another_name(ui: TestClient) -> None:
    assert ui.get("/api/runs", headers={"host": "evil.example:8650"}).status_code == 403
    assert ui.get("/api/runs", headers={"host": "localhost:8650"}).status_code == 200
    assert ui.get("/api/runs", params={"token": "wrong"}).status_code == 403


def test_it_only_reads(ui: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ui.request(method, "/api/runs").status_code == 405, method


def test_every_answer_forbids_what_the_page_does_not_need(ui: TestClient) -> None:
    for path in ("/", "/static/app.js", "/api/runs", "/nothing"):
        headers = ui.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert "http" not in POLICY  # no other host
    assert "script-src 'self';" in POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2fcli.py", "/static//etc/passwd",
        "/static/views/../../server.py", "/api/runs/..", "/api/runs/..%2f..%2fnodes", "/api/runs/%2e%2e",
        "/api/runs/small%2f..%2fsmall", "/api/runs/small/nodes/..%2f..", "/api/runs/.hidden",
    ],
)  # fmt: skip
def test_no_path_leads_out(ui: TestClient, path: str) -> None:
    answer = ui.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_all_files_of_the_page_are_served_and_no_other(ui: TestClient) -> None:
    for name in (*SHARED, *OWN):
        answer = ui.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] in ("text/html", "text/css", "text/javascript")
    assert ui.get("/static/").status_code == 404
    static = Path(__file__).parents[2] / "siftloom" / "ui" / "static"
    assert {str(file.relative_to(static)) for file in static.rglob("*") if file.is_file()} == set(OWN)


def test_a_run_is_shown_as_the_command_shows_it(ui: TestClient, small: Small) -> None:
    assert [run["run"] for run in ask(ui, "runs")["runs"]] == ["small"]
    found, told = ask(ui, "runs/small"), small.json("status", "small", "--store", "kept")
    assert found["finished"] is True
    assert {node["node"]: node["rows"] for node in found["nodes"]} == {n["node"]: n["rows"] for n in told["nodes"]}
    assert found["graph"]["actions"] == ["run"] * 5
    assert [step["documents"] for step in found["funnel"]][:2] == [44, 43]


def test_a_threshold_counts_as_whatif_does(ui: TestClient, small: Small) -> None:
    info = ask(ui, "runs/small/nodes/plain")
    assert info["reasons"] == {"gopher_quality.min_words": 1}
    assert info["cannot"] is None
    assert ask(ui, "runs/small/nodes/distinct")["cannot"] is None  # its clusters are judged again
    field = next(field for field in info["fields"] if field["name"] == "min_words")
    assert (field["value"], field["column"], field["number"]) == (20, "gopher_words", True)
    for value in ("3", "60", "20"):
        found = ask(ui, "runs/small/nodes/plain/whatif", field="min_words", value=value)
        told = small.json("whatif", "small", "plain", f"min_words={value}", "--store", "kept")
        assert {key: found[key] for key in ("documents", "kept", "reasons", "by", "sides")} == {
            key: told[key] for key in ("documents", "kept", "reasons", "by", "sides")
        }
        counts, removed = found["histogram"]["counts"], found["histogram"]["removed"]
        assert sum(counts) - sum(removed) == told["kept"]["documents"][1]
        assert all(one["value"] < int(value) for one in found["near"]["below"])
        assert all(one["value"] >= int(value) for one in found["near"]["above"])
        assert found["line"] == f"plain: {{use: gopher_quality, docs: english, min_words: {value}}}"
    keep = ask(ui, "runs/small/nodes/english/whatif", field="keep", value='["de"]')
    assert keep["kept"]["documents"] == [43, 1]
    assert keep["line"] == 'english: {use: language, docs: docs, keep: ["de"]}'


def test_documents_are_found_by_what_is_asked(ui: TestClient) -> None:
    def listed(**asked: Any) -> list[str]:
        found = ask(ui, "runs/small/documents", **asked)
        assert found["fit"] >= len(found["rows"])
        return [row["text"] for row in found["rows"]]

    assert len(listed(node="english", state="removed")) == 1
    assert listed(node="english", state="removed", lang="en") == []
    assert listed(node="plain", reason="gopher_quality.min_words") == ["The river was cold in the morning."]
    assert len(listed(node="plain", column="gopher_words", high="10")) == 1
    assert listed(node="plain", column="gopher_words", low="10", high="10") == []
    assert len(listed(node="plain", text="LETTER NUMBER 17 ")) == 2  # it comes twice
    first = ask(ui, "runs/small/documents", node="plain")
    rest = ask(ui, "runs/small/documents", node="plain", after=first["next"])
    assert len({row["id"] for row in [*first["rows"], *rest["rows"]]}) == 40
    searched = ask(ui, "runs/small/documents", node="plain", text="carrier")
    assert len(searched["rows"]) == 20
    assert searched["next"] is not None


def test_documents_come_in_the_order_that_is_asked(ui: TestClient) -> None:
    def ids(**asked: Any) -> list[str]:
        first = ask(ui, "runs/small/documents", node="plain", **asked)
        rows, after = first["rows"], first["next"]
        while after is not None:
            page = ask(ui, "runs/small/documents", node="plain", after=after, **asked)
            rows, after = rows + page["rows"], page["next"]
        assert len(rows) == len({row["id"] for row in rows})
        return [row["id"] for row in rows]

    read, drawn = ids(), ids(order="random", seed="7")
    assert drawn != read
    assert sorted(drawn) == sorted(read)
    assert ids(order="random", seed="7") == drawn != ids(order="random", seed="8")
    asked = {"node": "plain", "column": "gopher_words"}
    rows, top = (ask(ui, "runs/small/documents", **asked, order=order)["rows"] for order in ("low", "high"))
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)
    assert rows[0]["text"] == "The river was cold in the morning."
    assert top[0]["value"] > rows[0]["value"]
    hits = ids(order="random", seed="7", text="carrier")
    assert hits == [one for one in drawn if one in set(hits)]
    assert len(hits) == 42
    late = ask(ui, "runs/small/documents", node="plain", text="before the end of the week")["rows"][0]["text"]
    assert late.startswith("\u2026")
    assert "before the end of the week" in late


def test_a_selection_is_exported_whole(ui: TestClient, small: Small) -> None:
    for asked, texts in (
        ({"state": "removed"}, ["The river was cold in the morning."]),
        ({"text": "LETTER NUMBER 17 ", "column": "gopher_words"}, None),
    ):
        answer = ui.get("/api/runs/small/documents.jsonl", params={"node": "plain", **asked})
        assert answer.headers["content-disposition"] == 'attachment; filename="small-plain.jsonl"'
        rows = [json.loads(line) for line in answer.text.splitlines()]
        shown = ask(ui, "runs/small/documents", node="plain", **asked)["rows"]
        assert [row["id"] for row in rows] == [row["id"] for row in shown]
        assert [row["value"] for row in rows] == [row["value"] for row in shown]
        assert texts is None or [row["text"] for row in rows] == texts


def test_copies_stand_side_by_side(ui: TestClient) -> None:
    gone = ask(ui, "runs/small/documents", node="distinct", state="removed")["rows"][0]["id"]
    kept = ask(ui, "runs/small/document", id=gone)["steps"][-2]["columns"]["exact_duplicate_of"]
    found = ask(ui, "runs/small/pair", one=gone, two=kept)
    assert (found["ids"], found["share"], found["whole"]) == ([gone, kept], 1.0, True)
    assert [same for side in found["parts"] for _, same in side] == [True, True]
    other = ask(ui, "runs/small/documents", node="english", state="removed")["rows"][0]["id"]
    found = ask(ui, "runs/small/pair", one=gone, two=other)
    assert found["share"] < 0.5
    whole = [ask(ui, "runs/small/document", id=each)["text"] for each in (gone, other)]
    assert ["".join(text for text, _ in side) for side in found["parts"]] == whole


def test_a_run_says_its_state_and_how_long_it_worked(ui: TestClient, small: Small) -> None:
    found = ask(ui, "runs/small/card")
    assert (found["state"], found["failed"]) == ("finished", [])
    assert [step["documents"] for step in found["funnel"]] == [44, 43, 42, 40, 40]
    whole = ask(ui, "runs/small")
    assert (whole["state"], whole["began"], whole["seconds"]) == ("finished", found["began"], found["seconds"])
    assert found["seconds"] > 0
    assert all(0 <= node["seconds"] <= found["seconds"] for node in whole["nodes"])


@pytest.mark.long
def test_a_share_has_a_handle_where_it_cuts(tmp_path: Path, small: Small) -> None:
    copied = Small(tmp_path / "copy")
    shutil.copytree(small.folder, copied.folder)
    recipe = (copied.folder / "small.yaml").read_text().replace("name: small", "name: chosen")
    recipe += "  chosen: {use: select, docs: once, by: 10 * gopher_mean_word, keep_fraction: 0.5}\n"
    (copied.folder / "chosen.yaml").write_text(recipe)
    copied("run", "chosen.yaml", "--here", "--note", "half of them")
    ui = client(copied.folder / "kept")
    ui.get("/", params={"token": TOKEN})
    assert {run["run"]: run["note"] for run in ask(ui, "runs")["runs"]} == {"small": None, "chosen": "half of them"}
    info = ask(ui, "runs/chosen/nodes/chosen")
    field = next(field for field in info["fields"] if field["name"] == "keep_fraction")
    assert field["column"] == "10 * gopher_mean_word" in info["columns"]
    cuts = field["cuts"]
    assert cuts == sorted(cuts, reverse=True)
    shown = ask(ui, "runs/chosen/nodes/chosen/whatif", field="keep_fraction", value="0.25")
    mark = next(mark["x"] for mark in shown["histogram"]["marks"])
    assert cuts[0] >= mark == cuts[50] > cuts[-1]
    now, then = shown["kept"]["documents"]  # with the rows that are held out
    assert then < now
    assert all(one["value"] < mark for one in shown["near"]["below"])
    # the command works as it is copied, from another folder
    words = shlex.split(shown["command"])
    assert "chosen@2 is finished" in siftloom(*words[1:], cwd=tmp_path).stdout
    assert ask(ui, "runs/chosen@2")["funnel"][-1]["documents"] == then


def test_one_document_comes_with_its_way_and_text(ui: TestClient, small: Small) -> None:
    row = ask(ui, "runs/small/documents", node="distinct", state="removed")["rows"][0]
    found = ask(ui, "runs/small/document", id=row["id"])
    assert found["steps"] == small.json("why", "small", row["id"], "--store", "kept")["steps"]
    assert found["text"].startswith("The carrier brought letter")
    assert found["changed"] is None


def test_what_cannot_be_answered_is_said(ui: TestClient) -> None:
    for path, params, says in [
        ("runs/other", {}, "no run called"),
        ("runs/small/nodes/nothing", {}, "no node"),
        ("runs/small/nodes/plain/whatif", {"field": "words", "value": "unicode"}, "a threshold: "),
        ("runs/small/nodes/plain/whatif", {"field": "min_words", "value": "few"}, "whole number"),
        ("runs/small/nodes/plain/column", {"column": "lang"}, "no number column"),
        ("runs/small/documents", {"node": "plain", "column": "gopher_words", "low": "x"}, "a number"),
        ("runs/small/documents", {"node": "plain", "after": "1e999"}, "a number"),
        ("runs/small/document", {"id": "nobody"}, "no document"),
        ("compare", {"one": "small", "two": "../small"}, "no run called"),
    ]:
        answer = ui.get("/api/" + path, params=params)
        assert answer.status_code in (404, 409), path
        assert says in answer.json()["error"], answer.text
    answer = ui.get("/api/runs/small/documents.jsonl", params={"node": "plain", "column": "gopher_words", "low": "x"})
    assert (answer.status_code, "a number" in answer.json()["error"]) == (404, True)
    assert len(VIEWS) == 11


def test_a_store_that_is_written_meanwhile_is_seen_as_it_is(small: Small, tmp_path: Path) -> None:
    store = tmp_path / "kept"
    shutil.copytree(small.folder / "kept", store)
    record = json.loads((store / "runs" / "small" / "run.json").read_text())
    last = store / record["nodes"]["once"]["folder"] / "manifest.json"
    whole = last.read_bytes()
    last.unlink()
    ui = client(store)
    ui.get("/", params={"token": TOKEN})
    events = store / "runs" / "small" / "events" / "29990101T000000.000-host-1.jsonl"
    first = {"event": "node", "node": "once", "state": "running", "done": 0, "total": 2}
    second = {"event": "training", "node": "once", "step": 3, "steps": 9, "loss": 1.5}
    third = {"event": "training", "node": "plain", "step": 3, "loss": float("nan")}
    lines = [{"time": f"2999-01-01T00:00:0{n}+00:00", **event} for n, event in enumerate((first, second, third))]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"time": "2999-01-0')  # a torn end
    half = ask(ui, "runs/small")
    assert half["finished"] is False
    state = {node["node"]: node["live"] for node in half["nodes"]}
    assert (state["once"]["step"], state["once"]["loss"], state["once"]["total"]) == (3, 1.5, 2)
    assert "resume" in half["graph"]["actions"]
    assert ask(ui, "runs/small/models")["live"] == [{"name": "once", "points": [[3, 1.5]]}]
    assert ui.get("/api/runs/small/nodes/once").status_code == 409
    assert ask(ui, "runs/small/documents")["node"] == "distinct"
    last.write_bytes(whole)
    assert ask(ui, "runs/small")["finished"] is True
    assert ask(ui, "runs/small/documents")["node"] == "once"


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        application(str(tmp_path), TOKEN, 8650)
