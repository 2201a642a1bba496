"""No file imports itself by way of others: a circle of files can only be read, tested and changed as one."""

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
