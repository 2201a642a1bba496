"""What must not leave this process: secrets that it took, and those in URIs. One function, `masked`, hides both.

Known are keys that somebody has taken with `take`, users and passwords of every address that was made, variables of the
environment by their names, the accounts of proxies, `~/.netrc`, and the token of the Hugging Face hub.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import netrc
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

SECRET = re.compile(r"secret|password|token|sas|(?<!skip_)sig|credential|key", re.IGNORECASE)
# a user, alone or with a secret, which may hold slashes where nobody has quoted them; a number there is a port
USER = re.compile(r"://(?![^/?#@]*:\d+(?:[/?#]|$))([^/?#@:]*|[^/?#@:]*:[^?#@]*)@")
OPTION = re.compile(r"([?&])([^=&#]*)=([^&#]*)")
URI = re.compile(r"""\w[\w+.-]*://[^\s'"<>,\]})]+""")
CONTAINER = re.compile(r"abfss?://[^/?#@:]*@")  # what stands there before the host is no user
VARIABLE = re.compile(r"(?:^|_)(?:KEY|KEY_ID|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|SIGNATURE|SAS)$", re.IGNORECASE)
SHORTEST = 4  # characters of a secret that is looked for; a shorter one hides nothing
ALONE = 12  # a shorter one is looked for as a word of its own: `test` as a password masks no `latest`
_taken: dict[str, None] = {}


def take(secret: str) -> str:
    """Return a secret that this process has got from outside, and mask it from now on."""
    if len(secret) >= SHORTEST:
        _taken[secret] = None
    return secret


def take_account(user: str, password: str) -> None:
    """Mask a password, what Basic authentication makes of both, and a user that looks like a key."""
    take(password)
    if password:
        take(base64.b64encode(f"{user}:{password}".encode()).decode())
    if len(user) >= 8 and re.search(r"\d", user):  # `minio` is a word; an access key is none
        take(user)


def masked(value: Any, *, uris: bool = True) -> Any:
    """Return the value without secrets: all text of ours passes here before it leaves the process. The value is a text,
    such as a line, a recipe or JSON, or a tree of mappings and lists; keys of mappings stay.

    uris  also what looks like a secret in any URI: not where documents are shown, whose links are the user's data
    """
    if isinstance(value, str):
        known = _known()
        text = known.sub("***", value) if known is not None else value
        return URI.sub(lambda found: masked_uri(found[0]), text) if uris else text
    if isinstance(value, Mapping):
        return {key: masked(item, uris=uris) for key, item in value.items()}
    return [masked(item, uris=uris) for item in value] if isinstance(value, list | tuple) else value


def masked_json(value: Any, *, uris: bool = True, **how: Any) -> str:
    """Return the value without secrets as JSON; what JSON has no form for is text."""
    return json.dumps(masked(value, uris=uris), default=lambda item: masked(str(item), uris=uris), **how)


def masked_trace() -> str:
    """Return where the error at work was raised, without secrets."""
    return masked(traceback.format_exc())


def masked_uri(text: str) -> str:
    """Return a URI with `***` for its user and for the options that are secret by their names."""
    if "://" not in text:
        return text
    if not CONTAINER.match(text):
        text = USER.sub("://***@", text, count=1)
    return OPTION.sub(lambda f: f"{f[1]}{f[2]}=***" if SECRET.search(f[2]) else f[0], text)


def _known() -> re.Pattern[str] | None:
    environment = tuple(
        (name, value)
        for name, value in os.environ.items()
        if VARIABLE.search(name) or ("@" in value and "://" in value)
    )
    return _pattern(tuple(_taken), environment)


@lru_cache(maxsize=8)
def _pattern(taken: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    """One expression of all forms of all secrets, the longest first."""
    secrets = {*taken, *_in_files()}
    for name, value in environment:
        if VARIABLE.search(name) and len(value) >= 8 and not value.isalpha() and not os.path.exists(value):
            secrets.add(value)
        for found in USER.finditer(value):
            user, _, password = found[1].partition(":")
            secrets |= {unquote(password), *([unquote(user)] if re.search(r"\d", user) and len(user) >= 8 else [])}
            secrets.add(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    parts = [
        rf"(?<![^\W_]){re.escape(form)}(?![^\W_])" if len(form) < ALONE else re.escape(form)
        for form in sorted(forms, key=lambda form: (-len(form), form))
    ]
    return re.compile("|".join(parts)) if parts else None


def _forms(secret: str) -> Iterator[str]:
    """What a secret looks like in texts: as it is, quoted, escaped, in hex and in base64, there at any offset."""
    plain = (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (*plain, quote(plain[2], safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], html.escape(secret))
    data = secret.encode("utf-8", "surrogatepass")
    if len(data) >= 8:
        yield data.hex()
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + data).decode()
            core = whole[-(-shift * 8 // 6) + (shift > 0) : -4]
            yield from (core, core.translate(str.maketrans("+/", "-_")))


def _in_files() -> Iterable[str]:
    """Passwords of `~/.netrc` and the hub's token, which libraries read by themselves."""
    home = Path(os.path.expanduser("~"))
    with contextlib.suppress(OSError, ValueError, netrc.NetrcParseError):
        for login, _, password in netrc.netrc(os.environ.get("NETRC") or home / ".netrc").hosts.values():
            yield password
            yield base64.b64encode(f"{login}:{password}".encode()).decode()
    token = Path(os.environ.get("HF_HOME") or home / ".cache" / "huggingface") / "token"
    with contextlib.suppress(OSError, ValueError):
        yield token.read_text(encoding="utf-8").strip()
