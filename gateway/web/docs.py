"""`docs/api.md`, made from the API's own description: `python -m gateway.web.docs > docs/api.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from gateway.web.app import ABOUT, add_routes

HEAD = f"""# API

Made from the code by `python -m gateway.web.docs`; the machine-readable form is `/api/v1/openapi.json` of a running
gateway.

{ABOUT}
"""


def openapi() -> dict[str, Any]:
    """The OpenAPI document; it needs no running gateway."""
    app = FastAPI(title="Beforehand API", version="1", description=ABOUT)
    add_routes(app)
    return app.openapi()


def markdown(spec: dict[str, Any]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_routes(spec), "## Values\n", *_values(spec)])


def _routes(spec: dict[str, Any]) -> Iterator[str]:
    tags: dict[str, list[str]] = {}
    for path, by_method in spec["paths"].items():
        for method, route in by_method.items():
            tags.setdefault(route["tags"][0], []).append(_route(path, method, route))
    for tag, texts in tags.items():
        yield f"## {tag.capitalize()}\n"
        yield from texts


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    lines = [f"### `{method.upper()} {path}`\n", f"{route['summary']}. {route.get('description', '')}\n"]
    parameters = [p for p in route.get("parameters", ()) if p["in"] != "header"]
    if parameters:
        lines += ["| Parameter | In | Type | Default | Meaning |", "|---|---|---|---|---|"]
        lines += [_parameter(p) for p in parameters]
        lines.append("")
    if body := route.get("requestBody"):
        lines.append(f"Body: {_type(next(iter(body['content'].values()))['schema'])}\n")
    for status, response in route["responses"].items():
        if status.startswith("2"):
            content = response.get("content", {}).get("application/json", {}).get("schema", {})
            lines.append(f"Answers {status}" + (f": {_type(content)}\n" if content else ".\n"))
    return "\n".join(lines)


def _parameter(p: dict[str, Any]) -> str:
    schema = p["schema"]
    set_to = schema.get("default")
    default = "needed" if p.get("required") else f"`{set_to!r}`" if set_to not in (None, "") else ""
    meaning = p.get("description", schema.get("description", ""))
    return f"| `{p['name']}` | {p['in']} | {_type(schema)} | {default} | {meaning} |"


def _values(spec: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(spec["components"]["schemas"].items()):
        if name in ("HTTPValidationError", "ValidationError"):
            continue
        yield f"### {name}\n\n{schema.get('description', '')}\n"
        yield "| Field | Type | Meaning |\n|---|---|---|"
        yield from (f"| `{key}` | {_type(f)} | {f.get('description', '')} |" for key, f in schema["properties"].items())
        yield ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    return {"null": "null", None: "any"}.get(schema.get("type"), str(schema.get("type")))


if __name__ == "__main__":
    sys.stdout.write(markdown(openapi()))
