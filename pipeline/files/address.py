"""Where bytes lie: a path, or a URI of an object store that may hold secrets, which `pipeline.files.secrets` masks.

An address is a value. Whatever prints it, in a message, a log, a file or a table, prints `***` in the place of the
secrets; only what opens it asks for them. It travels to workers as it is: Ray serialises the secrets with it.

    s3://bucket/path, s3a://KEY:SECRET@bucket/path       Amazon S3, and servers that speak its protocol
    gs://bucket/path                                     Google Cloud Storage
    az://account/container/path                          Azure; also abfss://container@account.dfs.core.windows.net/path

Options stand in the query, `s3://bucket/path?region=eu-west-1`; `pipeline.files.opening` knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

from pipeline.files.secrets import CONTAINER, SECRET, USER, masked_uri, take, take_account


class Address:
    """A path or a URI. Equal addresses open the same, with the same credentials."""

    __slots__ = ("_whole",)
    _whole: str

    def __init__(self, text: str | Address) -> None:
        whole = text._whole if isinstance(text, Address) else text.removeprefix("file://")
        object.__setattr__(self, "_whole", whole)
        if "://" in whole and ("@" in whole or "?" in whole):
            self._take()

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("an address does not change")

    def __reduce__(self) -> tuple[Any, ...]:
        return Address, (self._whole,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self._whole == other._whole

    def __hash__(self) -> int:
        return hash(self._whole)

    def __str__(self) -> str:
        return masked_uri(self._whole)

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __fspath__(self) -> str:
        if self.remote:
            raise TypeError(f"{self} is no path of a file system")
        return self._whole

    @property
    def remote(self) -> bool:
        """Whether it is a URI."""
        return "://" in self._whole

    @property
    def scheme(self) -> str:
        """The word before `://`, empty for a path."""
        return self._whole.partition("://")[0] if self.remote else ""

    @property
    def secret(self) -> bool:
        """Whether there is something to hide in it."""
        return masked_uri(self._whole) != self._whole

    @property
    def name(self) -> str:
        """The last part of the path."""
        path = urlsplit(self._parts()[0]).path if self.remote else self._whole
        return path.rstrip("/").rpartition("/")[2]

    def below(self, name: str) -> Address:
        """The address of a file or folder in this one; the options stay behind it."""
        if not self.remote:
            return Address(f"{self._whole.rstrip('/')}/{name}" if self._whole else name)
        head, mark, query = self._whole.partition("?")
        return Address(f"{head.rstrip('/')}/{name}{mark}{query}")

    def split(self) -> tuple[Address, str]:
        """The bucket, with user and options, and the name of an object in it."""
        whole, mark, query = self._whole.partition("?")
        user = self._user()
        start = user.end() if user else whole.index("://") + 3
        netloc, _, path = whole[start:].partition("/")
        head, path = whole[:start] + netloc, path.strip("/")
        if self.scheme in ("az", "azure") and "account_name" not in self.options():  # the first part is the container
            container, _, path = path.partition("/")
            head += f"/{container}"
        return Address(f"{head}{mark}{query}"), path

    def plain(self) -> str:
        """The path, or the URI without secrets. Records keep this form, and it tells two places apart. Whoever has
        credentials in the environment can open it.
        """
        if not self.secret:
            return self._whole
        plain, *_ = self._parts()
        options = [f"{quote(n)}={quote(value, safe='/:')}" for n, value in self._options() if not SECRET.search(n)]
        return plain + ("?" + "&".join(options) if options else "")

    def short(self) -> str:
        """The path, or the URI without user and options: for a table."""
        return self._parts()[0]

    def reveal(self) -> str:
        """The whole address with its secrets. Only code that opens it may ask for it."""
        return self._whole

    def revealed(self) -> tuple[str, str, str, dict[str, str]]:
        """The four parts of the URI: itself without the others, user, secret, options. Only code that opens it asks for
        them.
        """
        return *self._parts(), self.options()

    def options(self) -> dict[str, str]:
        """The options of the query, secrets among them."""
        return dict(self._options())

    def _parts(self) -> tuple[str, str, str]:
        """The URI without user and query, the user, and the secret."""
        found = self._user()
        if found is None:
            return self._whole.partition("?")[0] if self.remote else self._whole, "", ""
        user, _, password = found[1].partition(":")
        head, tail = self._whole[: found.start()], self._whole[found.end() :].partition("?")[0]
        return f"{head}://{tail}", unquote(user), unquote(password)

    def _take(self) -> None:
        """Let no text that leaves this process hold what is secret here, such as an error of a library."""
        _, user, password = self._parts()
        take_account(user, password)
        for name, value in self._options():
            if SECRET.search(name):
                take(value)

    def _user(self) -> re.Match[str] | None:
        return None if not self.remote or CONTAINER.match(self._whole) else USER.search(self._whole)

    def _options(self) -> Iterator[tuple[str, str]]:
        for pair in self._whole.partition("?")[2].split("&") if self.remote else ():
            name, _, value = pair.partition("=")
            if name:
                yield unquote(name), unquote(value)  # a `+` is a `+`: keys hold them
