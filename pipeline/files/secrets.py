"""What must not leave this process: secrets that it took, and those in URIs. One function, `masked`, hides both.

Known are keys that somebody has taken with `take`, users and passwords of every address that was made, variables of
the environment by their names (headers and files of secrets, too), the accounts of proxies, `~/.netrc`, and the token
of the Hugging Face hub.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import netrc
import os
import pickle
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote

SECRET = re.compile(r"secret|password|token|sas|(?<!skip_)sig|credential|key", re.IGNORECASE)
# a user, alone or with a secret, which may hold slashes where nobody has quoted them; a number there is a port
USER = re.compile(r"://(?![^/?#@]*:\d+(?:[/?#]|$))([^/?#@:]*|[^/?#@:]*:[^?#@]*)@")
OPTION = re.compile(r"([?&])([^=&#]*)=([^&#]*)")
URI = re.compile(r"""\w[\w+.-]*://[^\s'"<>,\]})]+""")
CONTAINER = re.compile(r"abfss?://[^/?#@:]*@")  # what stands there before the host is no user
VARIABLE = re.compile(
    r"(?:^|_)(?:(?:API)?KEY|KEY_ID|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|SIGNATURE|SAS|HEADERS?)(_FILE|_PATH)?$",
    re.IGNORECASE,
)
HEADER = re.compile(r"""[:=][ \t"']*([^",'\r\n]+)""")  # of JSON, of `Name: value` a line, of `name=value,name=value`
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
    return _masked(value, _known(), uris)


def _masked(value: Any, known: re.Pattern[str] | None, uris: bool) -> Any:
    if isinstance(value, str):
        text = known.sub("***", value) if known is not None else value
        return URI.sub(lambda found: masked_uri(found[0]), text) if uris else text
    if isinstance(value, Mapping):
        return {key: _masked(item, known, uris) for key, item in value.items()}
    return [_masked(item, known, uris) for item in value] if isinstance(value, list | tuple) else value


def masked_json(value: Any, *, uris: bool = True, **how: Any) -> str:
    """Return the value without secrets as JSON; what JSON has no form for is text."""
    return json.dumps(masked(value, uris=uris), default=lambda item: masked(str(item), uris=uris), **how)


def masked_trace() -> str:
    """Return where the error at work was raised, without secrets."""
    return masked(traceback.format_exc())


def masked_error(error: BaseException) -> BaseException:
    """Return the error without secrets, as it may cross to another process and be raised there: itself where it can and
    neither it nor what it came from tells one, else a RuntimeError that says the same.
    """
    told = str(error)
    try:
        packed = pickle.dumps(error)  # errors of HTTP libraries hold requests with their headers
        pickle.loads(packed)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {masked(told)}")
    known = _known()
    if masked(told) != told or (known is not None and known.search(packed.decode("utf-8", "replace"))):
        return RuntimeError(f"{type(error).__name__}: {masked(told)}")
    if any(masked(str(cause)) != str(cause) for cause in _causes(error)):
        error.__cause__, error.__suppress_context__ = None, True  # Python prints it
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        error = cause


class MaskedStream:
    """A stream of this process that masks what is written: lines of libraries, and errors that nobody has caught."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text, uris=False))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def masked_uri(text: str) -> str:
    """Return a URI with `***` for its user and for the options that are secret by their names."""
    if "://" not in text:
        return text
    if not CONTAINER.match(text):
        text = USER.sub("://***@", text, count=1)
    return OPTION.sub(lambda f: f"{f[1]}{f[2]}=***" if SECRET.search(f[2]) else f[0], text)


def _known() -> re.Pattern[str] | None:
    return _pattern(tuple(_taken), tuple(item for item in os.environ.items() if _telling(*item)))


@lru_cache(maxsize=4096)
def _telling(name: str, value: str) -> bool:
    return VARIABLE.search(name) is not None or ("@" in value and "://" in value)


@lru_cache(maxsize=8)
def _pattern(taken: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    """One expression of all forms of all secrets, the longest first."""
    secrets = {*taken, *_in_files()}
    for name, value in environment:
        secrets.update(_in_variable(name, value))
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


def _in_variable(name: str, value: str) -> Iterator[str]:
    """Secrets of a variable: its value, the values of headers in it, or those in the file that it names."""
    found = VARIABLE.search(name)
    if found is None:
        return
    if found[1] or os.path.exists(value):
        value = _content(Path(value))
    values = [value]
    if "HEADER" in found[0].upper():
        values = [part for one in HEADER.findall(value) for part in (one.strip(), *one.split()[-1:])]
    yield from (one for one in values if len(one) >= 8 and not one.isalpha())


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
    yield _content(Path(os.environ.get("HF_HOME") or home / ".cache" / "huggingface") / "token")


def _content(path: Path) -> str:
    """The text of a file of one secret, "" where there is none that could be one."""
    with contextlib.suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size < 65536:
            return path.read_text(encoding="utf-8").strip()
    return ""
