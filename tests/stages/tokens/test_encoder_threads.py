"""An encoder outlives the thread that made it. In processes of their own: what goes wrong here ends a process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.generate.small_models import folder_of

ROOT = Path(__file__).resolve().parents[3]
ON_A_THREAD = """
import sys, threading
from pathlib import Path

def on_a_thread(act):
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
"""
# the first thread that asks for the library ends before the others begin
OURS = """
from stages.tokens.encoder import Encoder
made = []
on_a_thread(lambda: made.append(Encoder.load(Path(sys.argv[1]))))
first = made[0].encode(["the cat sat on the mat"])[0].tolist()
for _ in range(3):
    on_a_thread(lambda: made.append(made[0].encode(["the cat sat on the mat"])[0].tolist()))
on_a_thread(lambda: made.append(Encoder.load(Path(sys.argv[1])).encode(["the cat sat on the mat"])[0].tolist()))
print(made[1:] == [first] * 4)
"""
THEIRS = """
import importlib
on_a_thread(lambda: importlib.import_module("kitoken"))
made = importlib.import_module("kitoken").Kitoken.from_tokenizers(Path(sys.argv[1]).read_bytes())
on_a_thread(lambda: made.encode_all(["the cat sat on the mat"], False))
"""


def run(script, tokenizer):
    command = [sys.executable, "-c", ON_A_THREAD + script, str(tokenizer)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("model") / "m") / "tokenizer.json"


def test_an_encoder_is_used_after_the_thread_that_made_it_has_ended(tokenizer):
    done = run(OURS, tokenizer)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_library_by_itself_still_ends_its_process(tokenizer):
    """When it no longer does, `stages.tokens.kitoken_library` may go. Freed memory is sometimes there still."""
    assert any(run(THEIRS, tokenizer).returncode == -signal.SIGSEGV for _ in range(10))
