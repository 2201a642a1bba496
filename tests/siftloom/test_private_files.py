"""What `submit` does not send unasked, on folders as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import RECIPE, siftloom, write_documents
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline.ray_runtime.job_server import measure
from siftloom.private_files import private_files

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with a recipe, its documents, and the files that a developer's folder has."""
    write_documents(tmp_path / "docs")
    (tmp_path / "job.yaml").write_text(RECIPE.replace("store: kept", f"store: {tmp_path.parent}/store"))
    (tmp_path / ".env.example").write_text("TOKEN=\n")
    (tmp_path / "secrets.py").write_text('HEADER = "-----BEGIN PRIVATE KEY-----"\n')
    return tmp_path


def found(folder: Path) -> dict[str, str]:
    return dict(private_files(folder, [name for name, _ in measure(str(folder)).files]))


def test_an_ordinary_folder_holds_nothing_private(job: Path) -> None:
    assert found(job) == {}


def test_this_checkout_holds_nothing_private() -> None:
    names = [name for name, _ in measure(str(CHECKOUT)).files]
    assert "siftloom/submit.py" in names
    assert list(private_files(CHECKOUT, names)) == []


@pytest.mark.parametrize(
    "name", [".env", "deep/.env.local", "id_rsa", "keys/ID_ED25519", ".aws/credentials", "home/.ssh/config", ".netrc",
             ".git-credentials", "a/application_default_credentials.json", "tls/server.key", "store.P12"],
)  # fmt: skip
def test_names_of_private_files(job: Path, name: str) -> None:
    path = job / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    assert list(found(job)) == [name]


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.OpenSSH])
def test_a_private_key_under_any_name(job: Path, form: PrivateFormat) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (job / "notes.txt").write_bytes(b"from Ann:\n" + key.private_bytes(Encoding.PEM, form, NoEncryption()))
    (job / "public.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert found(job) == {"notes.txt": "a private key"}


def test_a_link_is_what_it_leads_to(job: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\n")
    (job / "settings").symlink_to(home / ".aws")
    assert found(job) == {"settings/config": "a link to config"}


@pytest.mark.long
def test_submit_refuses_before_it_asks_any_server(job: Path) -> None:
    (job / ".env").write_text("TOKEN=abc\n")
    (job / "id_rsa").write_text("x")
    done = siftloom("submit", "job.yaml", "--send", ".env", "--address", "http://127.0.0.1:1", cwd=job, code=1)
    assert "files that look private: id_rsa (by its name)" in done.stderr
    assert ".rayignore" in done.stderr
    assert "docs/" in done.stdout  # what would be sent

    (job / ".rayignore").write_text("id_rsa\n.env\n")
    done = siftloom("submit", "job.yaml", "--address", "http://127.0.0.1:1", cwd=job, code=1)
    assert "nothing answers" in done.stderr

    done = siftloom("submit", "job.yaml", "--send", ".env", "--address", "http://127.0.0.1:1", cwd=job, code=1)
    assert "--send .env: no file of the package" in done.stderr


def test_ray_may_be_told_to_send_what_git_ignores(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job / ".env").write_text("TOKEN=abc\n")
    (job / ".gitignore").write_text(".env\n")
    assert found(job) == {}
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")
    assert found(job) == {".env": "by its name"}
