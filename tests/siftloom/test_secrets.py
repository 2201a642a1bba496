"""No secret of an address leaves the process that opens it: all that a run with training writes and prints."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from command_line import environment, in_its_own, write_documents

from pipeline.files.open_store import open_store
from pipeline.files.store import Store
from tests.pipeline import s3

pytest.importorskip("moto.server", reason="moto[server] is not installed")
KEY, SECRET = "AKIAOPENSESAME77", "sw0rdf1sh/plus+Slash/9Zqx"
TRAINED = "model: {llama: 1m, hidden: 32, inter: 48, layers: 2, heads: 2}, steps: 3, batch_rows: 4, checkpoint_every: 2"
RECIPE = """\
name: hidden
store: STORE
nodes:
  docs: {use: read, paths: ["SOURCE/docs/*.jsonl"], id: name}
  table: {use: read, paths: ["SOURCE/in_place.parquet"]}
  plain: {use: gopher_quality, docs: docs, min_words: 5}
  tokenizer: {use: tokenizer, docs: plain, vocab_size: 300}
  rows: {use: pack, docs: plain, tokenizer: tokenizer, length: 32}
  alone: {use: pretrain, rows: rows, TRAINED}
  pair: {use: pretrain, rows: rows, TRAINED, workers: 2, seed: 1}
  wild: {use: pretrain, rows: rows, TRAINED, optimizer: {adamw: {lr: 1.0e+30, clip: 0.0}}}
  folder: {use: export, model: alone}
  out: {use: write, docs: plain, to: "SOURCE/out"}
  out_of_place: {use: write, docs: table}
""".replace("TRAINED", TRAINED)
FIRST = ("alone", "wild", "folder", "out", "out_of_place")
WRITTEN = ("out", "out_of_place")
FINISHED = ("pair", "folder", "out", "out_of_place")
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@dataclass
class Hidden:
    """A folder with a recipe whose addresses hold a key, and the bucket behind them."""

    folder: Path
    temporary: Path
    bucket: Store
    store: str

    def __call__(self, *words: object, code: int | None = 0):
        more = {**NO_KEYS, "TMPDIR": str(self.temporary), "SIFTLOOM_STORE": self.store}
        done = in_its_own(*map(str, words), cwd=self.folder, **more)
        assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def leaks(self, printed: dict[str, subprocess.CompletedProcess[str]]) -> list[str]:
        """What holds a secret: what was printed, the objects of the bucket, and files on this machine."""
        known = forms()
        found = [leak for words, done in printed.items()
                 for leak in leaks(f"printed by {words}", (done.stdout + done.stderr).encode(), known)]  # fmt: skip
        for name in self.bucket.sizes(""):
            found += leaks(f"object {name}", self.bucket.read(name) or b"", known)
        for path in self.local():
            found += leaks(str(path), path.read_bytes(), known)
        return found

    def local(self) -> list[Path]:
        return [path for folder in (self.temporary, self.folder) for path in folder.rglob("*")
                if path.is_file() and path.name != "hidden.yaml"]  # fmt: skip


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3.server() as running:
        for name, value in s3.CREDENTIALS.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def hidden(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("hidden")
    s3.bucket(endpoint, "vault")
    options = f"?endpoint=http://{endpoint}&region=us-east-1"
    source = f"s3a://{KEY}:{quote(SECRET, safe='')}@vault"
    bucket = open_store(f"s3://vault{options}")
    write_documents(folder / "docs")
    for path in (folder / "docs").iterdir():
        bucket.write(f"docs/{path.name}", path.read_bytes())
    shutil.rmtree(folder / "docs")
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "text": ["one text of the table", "another one"]}), sink)
    bucket.write("in_place.parquet", sink.getvalue())
    store = f"{source}/runs{options}"
    text = re.sub(r'SOURCE/([^"]*)', lambda found: f"{source}/{found[1]}{options}", RECIPE).replace("STORE", store)
    (folder / "hidden.yaml").write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory(
        prefix="h-"
    ) as temporary:  # Ray's sockets lie in it, and their paths must be short
        yield Hidden(folder, Path(temporary), bucket, store)


def forms() -> dict[str, bytes]:
    """What the secrets look like, plain and encoded."""
    found = {}
    for name, secret in (("key", KEY), ("secret", SECRET), ("both", f"{KEY}:{SECRET}")):
        for how in (
            str,
            lambda text: quote(text, safe=""),
            quote,
            quote_plus,
            lambda text: quote(quote(text, safe="")),
        ):
            found[f"{name} {how(secret)}"] = how(secret).encode()
        found[f"{name} in hex"] = secret.encode().hex().encode()
        for shift in range(3):  # base64 of a text that holds it anywhere
            whole = base64.b64encode(b"\0" * shift + secret.encode()).decode()
            core = whole[-(-shift * 8 // 6) + 1 : -4]
            found[f"{name} in base64, {shift}"] = core.encode()
            found[f"{name} in base64 for URLs, {shift}"] = core.translate(str.maketrans("+/", "-_")).encode()
    return found


def leaks(place: str, data: bytes, known: dict[str, bytes]) -> list[str]:
    if place.endswith(".gz"):
        data = gzip.decompress(data)
    if place.endswith(".parquet"):
        import pyarrow.parquet as pq

        file = pq.ParquetFile(io.BytesIO(data))
        data += repr(file.read().to_pydict()).encode() + repr(file.schema_arrow.metadata).encode()
    return [f"{place}: {name}" for name, form in known.items() if form in data]


def test_the_forms_find_what_they_look_for():
    both = f"{KEY}:{SECRET}".encode()
    for data in (both, base64.b64encode(both), base64.b64encode(b"x" + both), quote_plus(both).encode()):
        assert {found.split()[1] for found in leaks("x", data, forms())} >= {"key", "secret"}


def test_a_run_without_training_leaves_no_secret_anywhere(hidden):
    """Reading, curation and writing, without Ray, and the commands that look at it."""
    printed = {"run": hidden("run", "hidden.yaml", *WRITTEN, "--here", "--store", hidden.store)}
    assert "hidden is finished" in printed["run"].stdout
    for words in (["status", "hidden"], ["why", "hidden", "letter-3"], ["plan", "hidden.yaml"], ["verify", "hidden"]):
        printed[words[0]] = hidden(*words, code=None)
    names = [*hidden.bucket.sizes("")]
    assert any("/run.json" in name for name in names)
    assert any("/events/" in name for name in names)
    assert {"out/README.md", "out/prov.json", "out/manifest.json"} <= set(names)
    assert any(path.suffix == ".parquet" for path in hidden.local()), "the private copies"
    assert hidden.leaks(printed) == []
    assert [record["text"] for record in rows_of(hidden)] == ["one text of the table", "another one"]


@pytest.mark.faults  # four trainings and four starts of Ray: six minutes
@pytest.mark.timeout(900)
def test_a_run_with_training_leaves_no_secret_anywhere(hidden):
    """Reading, curation, one and two training processes, a training that fails, export and writing."""
    printed = {}
    printed["plan"] = hidden("plan", "hidden.yaml")
    printed["run"] = hidden("run", "hidden.yaml", *FIRST, "--cpus", "2", "--store", hidden.store, code=1)
    assert "wild" in printed["run"].stderr
    assert "loss" in printed["run"].stderr
    printed["again"] = hidden("run", "hidden.yaml", *FINISHED, "--cpus", "2")
    printed["json"] = hidden("run", "hidden.yaml", *FINISHED, "--cpus", "2", "--json")
    assert "hidden is finished" in printed["again"].stdout
    asked = (
        "status hidden",
        "report hidden",
        "runs",
        "verify hidden",
        "doctor",
        "why hidden letter-3",
        "clean --dry-run",
    )
    for words in (*map(str.split, asked), ["plan", "hidden.yaml", "-s", "plain.min_words=6"]):
        printed[" ".join(words)] = hidden(*words, code=None)
    names = [*hidden.bucket.sizes("")]
    assert any("/run.json" in name for name in names)
    assert any("/events/" in name for name in names)
    assert any("/scratch/ray/" in name for name in names), "what Ray Train keeps"
    assert {"out/README.md", "out/prov.json", "out/manifest.json"} <= set(names)
    local = hidden.local()
    assert any("session_" in str(path) and path.name == "gcs_server.out" for path in local), "Ray's logs"
    assert any(path.suffix == ".parquet" for path in local), "the private copies"
    assert hidden.leaks(printed) == []
    assert [record["text"] for record in rows_of(hidden)] == ["one text of the table", "another one"]


def rows_of(hidden: Hidden) -> list[dict]:
    import pyarrow.parquet as pq

    names = [name for name in hidden.bucket.sizes("runs/nodes") if re.match(r"write-\w+/data/files/", name)]
    tables = [pq.read_table(io.BytesIO(hidden.bucket.read(f"runs/nodes/{name}"))) for name in names]
    (table,) = [table for table in tables if len(table) == 2]
    return table.to_pylist()


SHOWN = """
import json, psutil, ray
from ray._private import state
from pipeline.ray_runtime import session
session.start(1, None)
print(json.dumps([state.jobs(), ray.get_runtime_context().runtime_env, psutil.Process().cmdline()], default=str))
"""


@pytest.mark.long
def test_ray_is_shown_no_secret_of_the_command_line_and_the_environment():
    address = f"s3a://{KEY}:{SECRET}@vault/runs"
    with tempfile.TemporaryDirectory(prefix="h-") as temporary:
        done = subprocess.run(
            [sys.executable, "-c", SHOWN, "--store", address], capture_output=True, text=True, timeout=280, check=True,
            env=environment(SIFTLOOM_STORE=address, SIFTLOOM_OTHER="seen", TMPDIR=temporary),
        )  # fmt: skip
    jobs, runtime_env, words = json.loads(done.stdout)
    assert leaks("ray", done.stdout.encode(), forms()) == []
    assert re.search(r"--store s3a://\*+@vault/runs$", jobs[0]["Entrypoint"])
    assert re.fullmatch(r"s3a://\*+@vault/runs", words[-1])
    assert runtime_env["env_vars"]["SIFTLOOM_OTHER"] == "seen"


def test_python_shows_no_secret_of_a_node_a_pipeline_or_a_run(hidden):
    from siftloom import Pipeline, stages

    address = hidden.store
    read = stages.Read(paths=[address])
    pipeline = Pipeline(stages.Write(docs=read, to=address), store=address)
    shown = "".join(map(repr, (read, pipeline, pipeline.store, pipeline.graph, vars(pipeline), open_store(address))))
    assert leaks("repr", (shown + pipeline._repr_html_()).encode(), forms()) == []
    with pytest.raises(TypeError, match=r"s3a://\*\*\*@vault"):
        os.fspath(pipeline.store)
