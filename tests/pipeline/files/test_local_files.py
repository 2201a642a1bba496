"""What lies in a folder besides plain files: each is read, or is an error that names it."""

import os
import socket

import pytest

from pipeline.errors import SourceError
from pipeline.files.sources import expand


def names(*paths) -> list[str]:
    return [entry.name for entry in expand([str(path) for path in paths], "read.paths").entries]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "b.txt").write_text("b")
    return tmp_path / "in"


def test_a_linked_folder_and_a_linked_file_are_read(folder):
    (folder / "linked").symlink_to(folder.parent / "far")
    (folder / "c.txt").symlink_to(folder.parent / "far" / "b.txt")
    assert names(folder) == ["a.txt", "c.txt", "linked/b.txt"]
    assert names(folder / "**" / "*.txt") == ["a.txt", "c.txt", "linked/b.txt"]


def test_a_folder_linked_twice_side_by_side_is_no_circle(folder):
    (folder / "one").symlink_to(folder.parent / "far")
    (folder / "two").symlink_to(folder.parent / "far")
    assert names(folder) == ["a.txt", "one/b.txt", "two/b.txt"]


def _circle(folder):
    (folder / "round").symlink_to(folder)


def _dangling(folder):
    (folder / "gone.txt").symlink_to(folder / "nothing")


def _self_link(folder):
    (folder / "self.txt").symlink_to(folder / "self.txt")


def _pipe(folder):
    os.mkfifo(folder / "pipe.txt")


def _socket(folder):
    here = os.getcwd()
    os.chdir(folder)  # a socket's path may be 107 characters long
    with socket.socket(socket.AF_UNIX) as it:
        it.bind("socket.txt")
    os.chdir(here)


def _device(folder):
    (folder / "zero.txt").symlink_to("/dev/zero")


def _not_utf8(folder):
    with open(os.fsencode(folder) + b"/\xff.txt", "wb"):
        pass


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (_circle, "a link to a folder that contains it"),
        (_dangling, "a link to nothing"),
        (_self_link, "too many levels of symbolic links"),
        (_pipe, "a named pipe"),
        (_socket, "a socket"),
        (_device, "a device"),
        (_not_utf8, "a name that is not UTF-8"),
    ],
)
@pytest.mark.parametrize("pattern", ["", "**/*.txt"])
def test_what_cannot_be_read_is_named_and_never_waited_for(folder, make, found, pattern):
    make(folder)
    with pytest.raises(SourceError, match=f"read.paths: .*{found}") as caught:
        expand([f"{folder}/{pattern}" if pattern else str(folder)], "read.paths")
    str(caught.value).encode("utf-8")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(folder):
    (folder / "a.txt").chmod(0)
    with pytest.raises(SourceError, match="may not be read"):
        expand([str(folder)], "read.paths")
