"""Ray jobs: what is sent to a cluster, and how its run is followed to its own exit code.

`ray job submit` answers 1 for every failure and 0 with `--no-wait`; the code of the run stands in `driver_exit_code`. A
submission id is never taken twice, so each attempt gets a new one, and what is the same in all of them (the run, its
recipe) goes into the metadata. Going on is the store's business: an attempt is the same command again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UserError
from pipeline.safe_text import quoted

EXCLUDES = (".git", ".venv", "__pycache__")  # beside what .gitignore and .rayignore leave out
POLL_SECONDS = 0.5
LOST_CONNECTIONS = 10  # in a row, before the log is given up


@dataclass(frozen=True)
class Package:
    """What would be sent: relative path and bytes of every file, largest first."""

    files: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        """Before compression."""
        return sum(size for _, size in self.files)

    def by_part(self) -> list[tuple[str, int, int]]:
        """Return (name, files, bytes) of each file and folder at the top, largest first; folders end in a slash."""
        parts: dict[str, tuple[int, int]] = {}
        for name, size in self.files:
            top, slash, _ = name.partition("/")
            files, total = parts.get(top + slash, (0, 0))
            parts[top + slash] = (files + 1, total + size)
        return sorted(((name, *sums) for name, sums in parts.items()), key=lambda part: (-part[2], part[0]))


def measure(folder: str) -> Package:
    """The files that Ray would pack from a working directory, by Ray's own walk."""
    from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE
    from ray._private.runtime_env import packaging

    git = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    root, found = Path(folder).absolute(), []

    def note(path: Path) -> None:
        if path.is_file():
            found.append((str(path.relative_to(root)), path.stat().st_size))

    quiet = logging.getLogger("siftloom.package")
    quiet.setLevel(logging.ERROR)
    excludes = [packaging._get_excludes(root, list(EXCLUDES))]
    packaging._dir_travel(root, excludes, note, include_gitignore=git, logger=quiet)
    return Package(tuple(sorted(found, key=lambda file: (-file[1], file[0]))))


def largest_package() -> int:
    """Bytes that a cluster takes at most, packed."""
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    return GCS_STORAGE_MAX_SIZE


class JobServer:
    """The job server of a cluster. Raises UserError when it cannot be reached or refuses the token."""

    def __init__(self, address: str) -> None:
        from pipeline.ray_runtime.session import quiet_environment

        quiet_environment()
        self.address = address if "://" in address else f"http://{address}"
        with self._explained():
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray").setLevel(logging.ERROR)

            class Client(JobSubmissionClient):
                def _do_request(self, method: str, endpoint: str, **how: Any) -> Any:
                    answer = super()._do_request(method, endpoint, allow_redirects=False, **how)
                    if answer.is_redirect:  # the package and the token of a cluster are for that cluster
                        raise UserError(
                            f"job server {self._address}",
                            f"a redirect to {urlsplit(answer.headers['location']).netloc}, where nothing was sent",
                            "the server itself", "siftloom submit --address with the place that answers",
                        )  # fmt: skip
                    return answer

            self._client = Client(self.address)

    def submit(
        self, command: Sequence[str], *, name: str, folder: str, metadata: Mapping[str, str], env: Mapping[str, str]
    ) -> str:
        """Sends a working directory and starts a command in it; returns the submission id, `<name>-<n>`."""
        # Not the job's own `env_vars`: Ray refuses a driver that sets a variable which the job sets too.
        words = ["env", *(f"{key}={value}" for key, value in env.items()), *command] if env else command
        while True:
            job = self._free_id(name)
            try:
                with self._explained():
                    return self._client.submit_job(
                        entrypoint=shlex.join(words),
                        submission_id=job,
                        metadata=dict(metadata),
                        runtime_env={"working_dir": str(Path(folder).absolute()), "excludes": list(EXCLUDES)},
                    )
            except RuntimeError as error:
                if f"{job} already exists" in str(error):
                    continue  # another client has taken the id since it was seen to be free
                raise UserError(
                    f"job server {self.address}", f"it does not take the job: {_answer(error)}",
                    "a job server that starts it", "mend what it says, then the same command again",
                ) from error  # fmt: skip

    def follow(self, job: str, write: Callable[[str], Any]) -> int:
        """Passes the log on as it comes; returns the exit code of the command."""
        seen = lost = 0
        while True:
            try:
                read = 0
                for text in self._log(job):
                    # a new connection begins at the beginning of the log
                    read += len(text)
                    if read > seen:
                        write(text[max(0, len(text) - (read - seen)) :])
                        seen, lost = read, 0
            except (RuntimeError, OSError):
                lost += 1
            if (code := self.exit_code(job)) is not None:
                return code
            if lost >= LOST_CONNECTIONS:
                raise UserError(
                    f"job {job}", "its log cannot be reached any more", "a job server that answers",
                    f"ray job logs -f {job}",
                )  # fmt: skip
            time.sleep(POLL_SECONDS)

    def exit_code(self, job: str) -> int | None:
        """The command's exit code (128 + the signal that ended it), None while it runs."""
        with self._explained():
            info = self._client.get_job_info(job)
        if not info.status.is_terminal():
            return None
        code = info.driver_exit_code
        if code is not None and code != 0:
            return 128 - code if code < 0 else code
        return {"SUCCEEDED": 0, "STOPPED": 143}.get(info.status.value, 1)

    def message(self, job: str) -> str:
        """What the job server says of a job."""
        with self._explained():
            return self._client.get_job_info(job).message or ""

    def _free_id(self, name: str) -> str:
        with self._explained():
            taken = {job.submission_id for job in self._client.list_jobs()}
        number = 1
        while f"{name}-{number}" in taken:
            number += 1
        return f"{name}-{number}"

    def _log(self, job: str) -> Iterator[str]:
        """Pieces of the log until the connection ends."""
        loop = asyncio.new_event_loop()
        pieces = self._client.tail_job_logs(job)
        try:
            while True:
                try:
                    yield loop.run_until_complete(anext(pieces))
                except StopAsyncIteration:
                    return
        finally:
            loop.run_until_complete(pieces.aclose())  # pyright: ignore[reportAttributeAccessIssue] (a generator)
            loop.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Named errors for a server that is not there, or that wants a token."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise UserError(
                f"job server {self.address}", "it refuses this client's token, or has had none",
                "the cluster's token", "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE on every machine",
            ) from error  # fmt: skip
        except (ConnectionError, OSError) as error:
            raise UserError(
                f"job server {self.address}", "nothing answers", "the address of a cluster's dashboard",
                "ray start --head, or siftloom submit --address http://HEAD:8265",
            ) from error  # fmt: skip


def _answer(error: RuntimeError) -> str:
    """Return what a job server says, without the trace that it sends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return quoted(lines[-1]) if lines else "no answer"
