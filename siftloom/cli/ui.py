"""`ui`: a page in the browser over a store."""

from __future__ import annotations

from typing import Annotated

import typer

from siftloom.screen import find_store, say


def ui(
    store: Annotated[
        str | None, typer.Argument(help="the store; $SIFTLOOM_STORE or runs if left out", metavar="[STORE]")
    ] = None,
    port: Annotated[int, typer.Option(help="the port on this machine; 0 takes a free one", min=0, max=65535)] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="open the page in your browser")] = False,
) -> None:
    """Serve a page over a store: runs, thresholds, documents, models. It only reads, on this machine only."""
    from pipeline.errors import MissingExtra

    try:
        from siftloom.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise MissingExtra(
            "siftloom ui", f"{error.name} is not installed", "the extra `ui`", "pip install 'siftloom[ui]'"
        ) from error

    def told(address: str) -> None:
        say(f"{address}\nOpen this address in a browser on this machine. Ctrl-C ends the server.")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    serve(find_store(store), port, told)
