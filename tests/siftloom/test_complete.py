"""What the TAB key offers, asked as bash asks."""

import shlex
import subprocess
import sys
from pathlib import Path

from command_line import environment

SIFTLOOM = Path(sys.executable).parent / "siftloom"
ASK = """
eval "$({siftloom} --show-completion bash)"
while IFS= read -r line; do
  COMP_WORDS=($line); [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
  COMPREPLY=()
  {function}
  echo "$line>${{COMPREPLY[*]}}"
done
"""


def offered(folder: Path, *lines: str, **more: str) -> list[list[str]]:
    """What stands behind each of the lines, in one shell."""
    ask = ASK.format(siftloom=shlex.quote(str(SIFTLOOM)), function="_siftloom_completion siftloom")
    path = f"{SIFTLOOM.parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", ask], cwd=folder, env=environment(PATH=path, **more), input="".join(f"{n}\n" for n in lines),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
    answers = done.stdout.splitlines()
    assert [answer.partition(">")[0] for answer in answers] == list(lines), done.stdout
    return [answer.partition(">")[2].split() for answer in answers]


def test_runs_recipes_and_nodes_are_offered(second):
    # its store is `kept`, which the recipe names and the line or the environment must
    runs, nodes, recipe, chosen, nothing = offered(
        second.folder, "siftloom why ", "siftloom removed small@2 ", "siftloom run small.yaml ",
        "siftloom run small.yaml plain d", "siftloom removed lost ", SIFTLOOM_STORE="kept",
    )  # fmt: skip
    assert runs == ["small", "small@2", "small.yaml"]
    assert nodes == ["docs", "english", "plain"]
    assert recipe == ["docs", "english", "plain", "distinct", "once"]
    assert chosen == ["docs", "distinct"]
    assert nothing == []


def test_a_store_on_the_line_is_asked_and_one_behind_a_network_is_not(second):
    there, away = offered(second.folder, "siftloom diff --store kept small s", "siftloom diff --store s3://b small s")
    assert there == ["small", "small@2", "small.yaml"]
    assert away == ["small.yaml"]
