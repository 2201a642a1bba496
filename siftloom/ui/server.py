"""The server: addresses to views, errors to answers, and the files of the page by name from fixed lists."""

from __future__ import annotations

import math
import mimetypes
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.errors import DataError, SiftloomError, UserError
from pipeline.files.address import Address
from pipeline.files.secrets import masked_json
from siftloom.ui import compare, copies, documents, models, overview, thresholds
from siftloom.ui.access import Access
from siftloom.ui.shelf import Shelf

HOST = "127.0.0.1"
SHARED = {"echarts.js": "echarts/echarts.js", "charts.js": "charts.js", "page.css": "page.css"}  # with the report
OWN = (
    "index.html", "ui.css", "theme.js", "app.js", "dom.js", "views/runs.js", "views/run.js", "views/thresholds.js",
    "views/documents.js", "views/document.js", "views/answer.js", "views/handle.js", "views/models.js",
    "views/compare.js",
)  # fmt: skip
View = Callable[[Shelf, Mapping[str, str]], Any]
VIEWS: dict[str, View] = {
    "/api/runs": overview.runs,
    "/api/runs/{run}": overview.run,
    "/api/runs/{run}/nodes/{node}": thresholds.node,
    "/api/runs/{run}/nodes/{node}/column": thresholds.column,
    "/api/runs/{run}/nodes/{node}/whatif": thresholds.whatif,
    "/api/runs/{run}/documents": documents.listed,
    "/api/runs/{run}/document": documents.one,
    "/api/runs/{run}/models": models.models,
    "/api/runs/{run}/card": overview.card,
    "/api/runs/{run}/pair": copies.pair,
    "/api/compare": compare.compared,
}
EXPORT = "/api/runs/{run}/documents.jsonl"


def application(store: str | Address, token: str, port: int) -> Starlette:
    """The page over a store, for whoever has the token."""
    shelf = Shelf(store)
    files = {name: _file(name) for name in (*SHARED, *OWN)}

    def page(request: Request) -> Response:
        return _found(files, "index.html")

    def static(request: Request) -> Response:
        return _found(files, request.path_params["name"])

    def export(request: Request) -> Response:
        asked = _asked(request)
        try:
            lines = documents.exported(shelf, asked)
        except SiftloomError as error:
            return _refused(error)
        name = re.sub(r"[^\w.-]+", "-", f"{asked['run']}-{asked.get('node', 'documents')}")
        held = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
        return StreamingResponse(lines, media_type="application/jsonl", headers=held)

    routes = [Route(EXPORT, export), Route("/", page), Route("/static/{name:path}", static)]
    routes += [Route(path, _answering(view, shelf)) for path, view in VIEWS.items()]
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    access = Middleware(Access, token=token, hosts=hosts, cookie=f"siftloom-{port}")  # type: ignore[arg-type]
    return Starlette(routes=routes, middleware=[access])


def serve(store: str | Address, port: int, told: Callable[[str], None]) -> None:
    """Serve a store on this machine until a signal comes. `told` is given the address once it can be opened."""
    import uvicorn

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"--port {port}", str(error.strerror or error).lower(), "a free port of this machine",
            "siftloom ui --port 0 takes one",
        ) from None  # fmt: skip
    port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
    server = uvicorn.Server(uvicorn.Config(application(store, token, port), log_level="warning", server_header=False))
    listener.listen(128)
    told(f"http://{HOST}:{port}/?token={token}")
    server.run([listener])


def _answering(view: View, shelf: Shelf) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            found = view(shelf, _asked(request))
        except SiftloomError as error:
            return _refused(error)
        # Texts may hold lone surrogates, which JSON can only name.
        try:
            text = masked_json(found, uris=False, allow_nan=False)
        except ValueError:
            text = masked_json(_finite(found), uris=False, allow_nan=False)
        return Response(text, media_type="application/json")

    return answer


def _asked(request: Request) -> dict[str, str]:
    return {**request.query_params, **request.path_params}


def _refused(error: SiftloomError) -> Response:
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, DataError) else 404)


def _finite(value: Any) -> Any:
    """The value with null in the place of what JSON has no number for: the loss of a training that has diverged."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file(name: str) -> bytes:
    place = resources.files("pipeline.report") / SHARED[name] if name in SHARED else None
    return (place or resources.files("siftloom.ui") / "static" / name).read_bytes()


def _found(files: Mapping[str, bytes], name: str) -> Response:
    if name not in files:
        raise HTTPException(404, "no such file")
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return Response(files[name], media_type=kind)
