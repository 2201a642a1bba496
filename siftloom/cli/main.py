"""The command line: the commands, exit codes, and what happens on a signal.

Exit codes: 0 done, 1 a node failed, 2 usage or recipe error, 75 another driver holds a node (`--no-wait`),
130 and 143 stopped by SIGINT and SIGTERM after draining. Every command takes `--json`.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from pipeline.errors import SiftloomError, Stopped
from pipeline.files.refusals import named
from pipeline.files.secrets import MaskedStream, masked
from siftloom.cli import ablate, budget, compare, generate, help, look, run, start, store, ui
from siftloom.cli.examples import EXAMPLES
from siftloom.packages import leave_out, shadowed, working_folder_first
from siftloom.screen import complain, note, say

app = typer.Typer(
    name="siftloom",
    help="Turn raw text into a trained language model on Ray. Every stage resumes; every removal has its reason.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for function in (
    start.init, start.demo,
    run.run, run.plan, run.submit, budget.budget,
    look.status, look.runs, look.report, look.why, look.removed,
    compare.whatif, compare.diff, ablate.ablate, generate.generate, ui.ui,
    store.verify, store.clean, store.doctor, store.schema, help.help,
):  # fmt: skip
    app.command(epilog=f"Example: {EXAMPLES[function.__name__]}")(function)


def _version(wanted: bool) -> None:
    if wanted:
        import siftloom

        say(f"siftloom {siftloom.__version__}")
        raise typer.Exit


WORKERS = {"run", "demo", "ablate"}  # what resumes
# They read what is in the store, and no code of a user's runs in them.
READERS = {"plan", "status", "runs", "report", "why", "removed", "whatif", "diff", "verify", "clean"}


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand in READERS:
        leave_out("pandas")  # pyarrow imports it at its first conversion, to ask whether a value is one of its


def command_line() -> Any:
    """Return the command as click knows it, with its commands and their options."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command of this process and exit."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, to their authors; ours are errors or notices
    sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
    working_folder_first()
    for place in shadowed():
        note(f"note: {place} has the name of a package of siftloom and is not imported here")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    sys.exit(_code())


def _code() -> int:
    as_json = "--json" in sys.argv
    try:
        code: Any = app(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Stopped as stopped:
        works = sys.argv[1:2] and sys.argv[1] in WORKERS
        resume = f"; finished work is kept. Resume with:\n  {command()}" if works else ""
        note(f"stopped{resume}")
        return stopped.exit_code
    except SiftloomError as error:
        return complain(error, as_json=as_json)
    except typer.Exit as left:
        return left.exit_code
    except typer.Abort:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if refused := named(error, os.getcwd(), "folder"):
            return complain(refused, as_json=as_json)
        show, text = getattr(error, "show", None), io.StringIO()
        if show is None:
            traceback.print_exc(file=text)
        else:
            show(file=text)  # click's own usage errors
        print(masked(text.getvalue()), end="", file=sys.stderr, flush=True)
        return 1 if show is None else 2


def command() -> str:
    """Return the command of this process, as it can be typed again: secrets of URIs in it are masked."""
    name = "siftloom" if not sys.argv[0].endswith("__main__.py") else "python -m siftloom"
    return f"{name} {shlex.join(map(masked, sys.argv[1:]))}"


def _stop(number: int, frame: Any) -> None:
    # the engine has handlers of its own while it runs; this one answers before and after
    raise Stopped(number)
