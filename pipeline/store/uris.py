"""URIs of object stores: what their parts mean, and how they are shown.

`s3://bucket/path?region=...`, `gs://bucket/path`, `az://account/container/path`. Options stand in the query:

    region               of an S3 bucket
    endpoint_override    host:port of an S3 server that is not Amazon's; `scheme=http` where it has no TLS
    any other            a configuration key of obstore (`virtual_hosted_style_request=true`, `skip_signature=true`)

Credentials belong into the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY),
or come from the machine's role. Those in a URI work (`s3://KEY:SECRET@bucket`), and are masked where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
SECRET = re.compile(r"secret|password|token|sas|signature|credential|key|account", re.IGNORECASE)
# a user, alone or with a secret, which may hold slashes where nobody has quoted them; a number there is a port
USER = re.compile(r"://(?![^/?#@]*:\d+(?:[/?#]|$))(?:[^/?#@:]*|[^/?#@:]*:[^?#@]*)@")
OPTION = re.compile(r"([?&][^=&#]*)=[^&#]*")
URI = re.compile(r"""\w[\w+.-]*://[^\s'"<>,\]})]+""")
IGNORED = ("allow_bucket_creation",)  # of pyarrow.fs: whoever pays for a bucket creates it


def is_uri(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


def masked(uri: str) -> str:
    """The URI as it may be shown: without the secrets in it."""
    if not is_uri(uri):
        return uri
    uri = USER.sub("://***@", uri, count=1)
    return OPTION.sub(lambda found: f"{found[1]}=***" if SECRET.search(found[1]) else found[0], uri)


def masked_in(value: Any) -> Any:
    """A text, or a value of JSON with texts in it, with every URI masked."""
    if isinstance(value, str):
        return URI.sub(lambda found: masked(found[0]), value)
    if isinstance(value, Mapping):
        return {key: masked_in(item) for key, item in value.items()}
    return [masked_in(item) for item in value] if isinstance(value, list | tuple) else value


def split(uri: str) -> tuple[str, str]:
    """The URI of the bucket, with the options, and the name of an object in it."""
    parts = urlsplit(uri)
    head, path = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
    if parts.scheme.startswith("az") or parts.scheme.startswith("abfs"):  # the container is the first part of the path
        container, _, path = path.partition("/")
        head += f"/{container}"
    return head + (f"?{parts.query}" if parts.query else ""), path


def below(uri: str, name: str) -> str:
    """The URI of an object below another."""
    head, mark, query = uri.partition("?")
    return f"{head.rstrip('/')}/{name}{mark}{query}"


@lru_cache(maxsize=16)
def connect(uri: str) -> ObjectStore:
    """The object store behind a URI, with its connections; one for all who ask in this process.

    Raises StoreError for a scheme or an option that there is not.
    """
    from obstore import exceptions
    from obstore.store import from_url

    parts = urlsplit(uri)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if parts.scheme not in SCHEMES:
        raise StoreError(masked(uri), f"the scheme {parts.scheme}://", "a path, or one of s3://, gs://, az://")
    scheme = options.pop("scheme", "https")
    if endpoint := options.pop("endpoint_override", None):
        options["endpoint"] = f"{scheme}://{endpoint}"
    if parts.username:
        options |= {"access_key_id": unquote(parts.username), "secret_access_key": unquote(parts.password or "")}
    for name in IGNORED:
        options.pop(name, None)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    try:
        return from_url(
            plain, config=options,  # pyright: ignore[reportArgumentType, reportCallIssue]
            client_options={"allow_http": scheme == "http", "connect_timeout": "10s", "timeout": "300s"},
            retry_config={"max_retries": 5, "retry_timeout": timedelta(minutes=1)},
        )  # fmt: skip
    except (exceptions.BaseError, ValueError, OSError) as error:
        raise StoreError(
            masked(uri), f"no object store: {first_line(error)}", "a bucket, and options that obstore knows",
            "docs/store.md lists them",
        ) from None  # fmt: skip


def first_line(error: BaseException) -> str:
    """The first line of an error: what follows is the answer of a server, in XML."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
