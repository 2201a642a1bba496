"""One small finished run that all tests of this room share."""

import pytest
from command_line import RECIPE, Small, siftloom, write_documents


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    write_documents(folder / "docs")
    (folder / "small.yaml").write_text(RECIPE, encoding="utf-8")
    done = siftloom("run", "small.yaml", "--cpus", "1", cwd=folder)
    assert "small is finished" in done.stdout
    return Small(folder)
