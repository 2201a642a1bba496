"""The one way to open an address of an object store, and what its errors mean.

Options in the query of an address:

    region               of an S3 bucket
    endpoint             `http://host:port` of a server that is not Amazon's, Google's or Azure's
    endpoint_override    host:port of one, as `pyarrow.fs` has it; with `scheme=http` where it has no TLS
    account_name         of Azure, where the address names the container alone
    any other            a configuration key of obstore (`virtual_hosted_style_request=true`, `skip_signature=true`)

Credentials belong into the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY),
or come from the machine's role. Those in an address work (`s3://KEY:SECRET@bucket`).
"""

from __future__ import annotations

import contextlib
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import StoreError
from pipeline.files.address import Address
from pipeline.files.secrets import masked

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

S3, AZURE = ("s3", "s3a"), ("az", "azure")
SCHEMES = (*S3, "gs", *AZURE, "abfs", "abfss")
IGNORED = ("allow_bucket_creation",)  # of pyarrow.fs: whoever pays for a bucket creates it
MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist", re.IGNORECASE)
REGION = re.compile(
    r"without LOCATION|AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|IncorrectEndpoint|"
    r"the region '[^']*' is wrong|400 Bad Request: *(?:\n|$)"  # of a HEAD, which has no answer that would say more
)
ROLE = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")  # what gives a machine's role its credentials
NOWHERE = "255.255.255.255"
CLOUD = re.compile(r"AWS_|AZURE_|GOOGLE_|IDENTITY_|MSI_")  # variables that may name a server which gives credentials
CLOUDS = (".amazonaws.com", ".googleapis.com", ".google.internal", ".microsoftonline.com", "169.254.0.0/16")
CAUSES = (  # of the innermost cause in what the library tells of itself
    re.compile(r'Os \{[^}]*message: "([^"]+)"', re.DOTALL),
    re.compile(r'Custom \{[^}]*error: "([^"]+)"', re.DOTALL),
    re.compile(r"(operation timed out|TimedOut)"),
    re.compile(r'(invalid peer certificate[^"\n]*|certificate verify failed)'),
)
ASKED = re.compile(r"performing \w+ (\w+://[^/\s?]+)")
ANSWER = re.compile(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL)


@lru_cache(maxsize=16)
def connect(address: Address) -> ObjectStore:
    """Return the object store at an address. All callers in a process share it and its connections. Names are relative
    to the address. Raises StoreError for a scheme or an option that there is not.
    """
    from obstore import exceptions
    from obstore.store import from_url

    url, options = _arguments(address)
    plain = str(options.get("endpoint", "")).startswith("http://")
    try:
        return from_url(
            url, config=options,  # pyright: ignore[reportArgumentType, reportCallIssue]
            client_options={"allow_http": plain, "connect_timeout": "10s", "timeout": "300s", **_elsewhere(options)},
            retry_config={"max_retries": 5, "retry_timeout": timedelta(minutes=1)},
        )  # fmt: skip
    except exceptions.UnknownConfigurationKeyError as error:
        name = next(iter(re.findall(r"key: '([^']*)'", str(error))), "")
        raise StoreError(
            f"store {address}", f"an option {name!r} that there is not", "region, endpoint, or a key of obstore",
            "docs/store.md lists the options",
        ) from None  # fmt: skip
    except (exceptions.BaseError, ValueError, OSError) as error:
        raise StoreError(
            f"store {address}", f"no object store: {first_line(address, error)}",
            "a bucket, and options that obstore knows", "docs/store.md lists them",
        ) from None  # fmt: skip


def _arguments(address: Address) -> tuple[str, dict[str, Any]]:
    """URL and options as obstore takes them."""
    if address.scheme not in SCHEMES:
        raise StoreError(f"store {address}", f"the scheme {address.scheme}://", "a path, or one of s3://, gs://, az://")
    url, user, secret, options = address.revealed()
    scheme = options.pop("scheme", "https")
    if endpoint := options.pop("endpoint_override", None):
        options["endpoint"] = f"{scheme}://{endpoint}"
    if user and address.scheme not in S3:
        raise StoreError(
            f"store {address}", "a user before the bucket", "credentials in the environment, or in the options",
            "docs/store.md lists them",
        )  # fmt: skip
    if user:
        options |= {"access_key_id": user, "secret_access_key": secret}
    if address.scheme in AZURE and "account_name" not in options:
        account, _, path = url.partition("://")[2].partition("/")
        options["account_name"], url = account, f"az://{path}"
    for name in IGNORED:
        options.pop(name, None)
    return url.rstrip("/"), options


def _elsewhere(options: Mapping[str, Any]) -> ClientConfig:
    """Return the settings with which obstore reaches only the hosts that the user has named, and a cloud's own.

    It follows redirects of reads to any host, and takes a session token along, and in `Referer` a signature; no setting
    forbids that. So all other hosts lie behind a proxy that no network leads to. Not where the user's own proxy is
    needed, and another port of a named host is not told from it.
    """
    endpoint = str(options.get("endpoint", ""))
    host, proxies = urlsplit(endpoint).hostname, urllib.request.getproxies()
    if host is None or ((proxies.keys() & {"http", "https", "all"}) and not urllib.request.proxy_bypass(host)):
        return {}
    named = [*map(str, options.values()), *(value for name, value in os.environ.items() if CLOUD.match(name))]
    hosts = {found for text in named if "://" in text and (found := urlsplit(text).hostname)}
    return {"proxy_url": f"http://{NOWHERE}", "proxy_excludes": ",".join([*sorted(hosts), *CLOUDS])}


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn errors of an object store and of its library into named errors without secrets. FileNotFoundError (not
    there) and FileExistsError (there already) stay as they are.
    """
    from obstore import exceptions

    try:
        yield
    except exceptions.AlreadyExistsError:
        raise FileExistsError(str(address)) from None
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        if MISSING.search(str(error)):
            raise _missing(address) from None
        raise FileNotFoundError(f"{address}: {first_line(address, error)}") from None
    except (exceptions.BaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of a disk of this machine
            raise
        raise named(address, error) from None


def named(address: Address, error: BaseException) -> StoreError:
    """The error that says which address it is, what failed, what to look at, and what to do next."""
    text, place = str(error), f"store {address}"
    if any(host in first_line(address, error) for host in ROLE):
        return StoreError(
            place, "no credentials: none in the environment, and this machine has no role that gives them",
            "credentials that may read and write", "set them in the environment (docs/store.md)",
        )  # fmt: skip
    if MISSING.search(text):
        return _missing(address)
    if REGION.search(text):
        region = address.options().get("region", "us-east-1, where the address names none")
        return StoreError(
            place, f"refused, as where the bucket is in another region than {region}", "?region=NAME of the bucket",
            "look it up (aws s3api get-bucket-location), and name it in the address",
        )  # fmt: skip
    if _denied(error):
        return StoreError(
            place, f"access denied{_answer(address, text)}", "credentials that may read and write",
            "set them in the environment (docs/store.md), then siftloom doctor --store with the address",
        )  # fmt: skip
    if "error sending request" in text or "ConnectError" in text:
        asked = ASKED.search(text)
        cause = next((found[1] for pattern in CAUSES if (found := pattern.search(text))), "the connection failed")
        if "Network is unreachable" in cause:
            cause += ", or a redirect to another host, where nothing was sent"
        return StoreError(
            place, f"nothing answers at {masked(asked[1]) if asked else 'its endpoint'} ({masked(cause)})",
            "a server that answers there", "look at ?endpoint= and at the network, then run the same command again",
        )  # fmt: skip
    return StoreError(
        place, _answer(address, text).lstrip(": ") or first_line(address, error), "a store that answers",
        "siftloom doctor --store with the address",
    )  # fmt: skip


def first_line(address: Address, error: BaseException) -> str:
    """Return the first line of an error, without secrets. The others are a server's answer or the library's state."""
    return masked((str(error).strip() or type(error).__name__).splitlines()[0])[:300]


def _missing(address: Address) -> StoreError:
    return StoreError(
        f"store {address}",
        f"no bucket {address.split()[0].short()}",
        "a bucket that exists",
        "make it, or name another",
    )


def _denied(error: BaseException) -> bool:
    from obstore import exceptions

    known = (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    return isinstance(error, known) or re.search(r"\b40[13] (Forbidden|Unauthorized)", str(error)) is not None


def _answer(address: Address, text: str) -> str:
    """Code and message of a server's answer, behind a colon."""
    found = ANSWER.search(text)
    return "" if found is None else ": " + masked(" ".join(filter(None, (found[1], found[2]))))[:300]
