"""Files that hold keys and passwords, known by their names or their first lines: `submit` does not send them unasked.

The names are those that common tools give to such files. A name says nothing for certain, so a user may send a file
all the same, by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

# Lower case, as names are compared. Each is a name that a tool writes keys, tokens or passwords into by default.
NAMES = (
    ".env", ".env.*", "*.env", ".envrc",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "*.ppk", "*.key",
    "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    ".netrc", "_netrc", ".git-credentials", ".npmrc", ".yarnrc.yml", ".pypirc", ".gem_credentials",
    ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg", ".boto", ".s3cfg", ".vault-token",
    "credentials", "credentials.json", "credentials.csv", "credentials.toml", "credentials.db", "access_tokens.db",
    "kubeconfig", "*.kubeconfig",
    "application_default_credentials.json", "service-account*.json", "service_account*.json",
    "secrets.toml", "secrets.yaml", "secrets.yml", "secrets.json", "*.tfstate",
)  # fmt: skip
EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.example.env", "example.env", "sample.env")
FOLDERS = (".aws", ".ssh", ".gnupg", ".kube", ".azure", ".docker", ".oci")
# A key of OpenSSL or OpenSSH that begins a line, with a line of base64 or of headers under it: not a mention of one.
KEY = re.compile(
    rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\r?\n(?:[A-Za-z0-9+/=]{16}|[\w-]+: |\r?\n)", re.MULTILINE
)
LOOKED_THROUGH = 64 * 1024  # bytes at the beginning of a file; a file of keys is smaller


def private_files(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, why it is thought private) of those `names`, which are relative to `folder`, that hold secrets.

    A link counts by its own name and by that of the file behind it.
    """
    root = folder.resolve()
    for name in names:
        path = root / name
        why = _by_name(PurePosixPath(name))
        if why is None and (behind := path.resolve()) != path:
            linked = _by_name(PurePosixPath(behind))
            why = linked and f"a link to {behind.name}"
        if why is None and _holds_key(path):
            why = "a private key"
        if why is not None:
            yield name, why


def _by_name(name: PurePosixPath) -> str | None:
    """Return what a path's name says, None for an ordinary one."""
    last = name.name.lower()
    if any(fnmatch(last, example) for example in EXAMPLES):
        return None
    for part in name.parts[:-1]:
        if part.lower() in FOLDERS:
            return f"in {part}/"
    return "by its name" if any(fnmatch(last, pattern) for pattern in NAMES) else None


def _holds_key(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return KEY.search(file.read(LOOKED_THROUGH)) is not None
    except OSError:  # Ray leaves out what cannot be opened, too
        return False
