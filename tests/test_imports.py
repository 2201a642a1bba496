"""No file and no room imports itself by way of others: a circle can only be read, tested and changed as one."""

from __future__ import annotations

import grimp
import pytest

PACKAGES = ("siftloom", "stages", "pipeline", "models")


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that all import one another, directly or by way of others in the group."""
    reached: dict[str, set[str]] = {}
    for module in imports:
        found: set[str] = set()
        todo = [module]
        while todo:
            for other in imports[todo.pop()] - found:
                found.add(other)
                todo.append(other)
        reached[module] = found
    groups = {tuple(sorted({m} | {o for o in reached[m] if m in reached[o]})) for m in imports if m in reached[m]}
    return sorted(list(group) for group in groups)


def test_a_circle_is_found_and_a_chain_is_none():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_of_a_package_import_one_another_in_a_circle(package):
    graph = grimp.build_graph(package)
    assert circles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == []


def rooms(package: str) -> dict[str, set[str]]:
    """Folder of a package -> the folders that its files import from; files that lie in no folder are left out."""
    graph = grimp.build_graph(package)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        _, *inner = module.split(".")
        room = inner[0] if inner and (len(inner) > 1 or graph.find_children(module)) else None
        if room is not None:
            named = (other.split(".") for other in graph.find_modules_directly_imported_by(module))
            others = {other[1] for other in named if len(other) > 2}
            found.setdefault(room, set()).update(others - {room})
    return found


@pytest.mark.parametrize(("package", "least"), [("siftloom", 4), ("stages", 10), ("pipeline", 8)])
def test_no_rooms_of_a_package_import_one_another_in_a_circle(package, least):
    found = rooms(package)
    assert len(found) >= least
    assert circles({room: others & set(found) for room, others in found.items()}) == []
