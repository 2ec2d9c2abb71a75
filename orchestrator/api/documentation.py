"""OpenAPI, and a page that shows it: one file without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, JSONResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h2 { margin-top: 2.5rem; text-transform: capitalize } code, .method { font-family: ui-monospace, monospace }
details { border-top: 1px solid #ddd; padding: .4rem 0 } summary { cursor: pointer } .method { display: inline-block;
width: 4.5rem; font-weight: 600 } .what { color: #555; margin-left: 5.6rem } table { border-collapse: collapse }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #e6e6e6 } .what { color: #aaa }
details { border-color: #333 } }
"""


def add_documentation(app: FastAPI) -> None:
    """Add `/api/openapi.json` and `/api/docs`."""

    @app.get("/api/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))


def page(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append("".join(_operation(method, path=path, operation=operation)))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(operations)}" for tag, operations in groups.items())
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>retrain API</title><style>{_STYLE}</style>"
        "<h1>retrain API</h1><p>Send <code>Authorization: Bearer TOKEN</code> with every request. "
        "The same as <a href='/api/openapi.json'>OpenAPI</a>.</p>"
        f"{body}</html>"
    )


def _operation(method: str, *, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<details><summary><span class='method'>{method.upper()}</span> <code>{escape(path)}</code></summary>"
    yield f"<p class='what'>{escape(operation.get('description', ''))}</p><table class='what'>"
    for parameter in operation.get("parameters", ()):
        name, kind = escape(parameter["name"]), escape(_type(parameter.get("schema", {})))
        yield f"<tr><td><code>{name}</code><td>{escape(parameter['in'])}<td>{kind}"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield f"<tr><td>body<td><td>{escape(_type(content.get('schema', {})))}"
    for status, response in operation.get("responses", {}).items():
        for content in response.get("content", {}).values():
            yield f"<tr><td>{escape(status)}<td><td>{escape(_type(content.get('schema', {})))}"
    yield "</table></details>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")
