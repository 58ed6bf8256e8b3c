"""Every route of the OpenAPI document, asked with anything: never an error of ours, always a code and a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web_site import Site, seeded

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
ODD = st.sampled_from(
    ("", "0", "-1", "1e309", "NaN", "null", "%00", "\x00", "'; DROP TABLE tickets --", "../../etc/passwd", "𝟙" * 30,
     "9" * 40, "lock-1001", "1", "battery_volts", "\ud7ff", "<script>", "a" * 5_000)
)  # fmt: skip
WORD = TEXT | ODD | st.integers(-(2**70), 2**70).map(str)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | ODD
ANY_JSON = st.recursive(
    LEAF, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3), max_leaves=8
)
BYTES = st.binary(max_size=200)
TYPES = st.sampled_from(
    ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml", "",
     "application/json; charset=utf-9")
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with seeded(tmp_path_factory.mktemp("console")) as held:
        yield held


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of every route that answers and ends."""
    return [
        (method.upper(), path, operation)
        for path, item in sorted(document["paths"].items())
        for method, operation in sorted(item.items())
        if method in ("get", "post", "put", "patch", "delete") and not path.endswith("/events")
    ]


def body_for(document: dict[str, Any], operation: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Bodies that nearly fit: the declared fields, each with a value that may be right."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    fields = {name: fitting(document, part) | ANY_JSON for name, part in schema.get("properties", {}).items()}
    return st.fixed_dictionaries({}, optional=fields) | ANY_JSON


def fitting(document: dict[str, Any], schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return fitting(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return st.one_of([fitting(document, part) for part in schema["anyOf"]])
    match schema.get("type"):
        case "integer" | "number":
            return st.integers(-(2**63), 2**63) | st.integers(0, 2_000_000_000_000)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(fitting(document, schema.get("items", {})), max_size=3)
        case "object":
            return st.dictionaries(TEXT, ANY_JSON, max_size=3)
        case "null":
            return st.none()
        case _:
            return WORD


def checked(answer: Any) -> None:
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400:
        said = answer.json()
        assert set(said) >= {"code", "detail"}, said
        assert isinstance(said["code"], str)
        assert said["code"] == said["code"].lower()
        assert isinstance(said["detail"], str)


def test_every_route_answers_whatever_it_is_asked(site: Site) -> None:
    document = site.app.openapi()
    routes = operations(document)
    client = TestClient(site.app, follow_redirects=False, raise_server_exceptions=False)
    asked = set()

    @settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        method, path, operation = data.draw(st.sampled_from(routes), label="route")
        known = {"device_id": ("lock-1001", "pump-1003"), "number": ("1", "5"), "metric": ("battery_volts",)}
        query = {}
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            value = data.draw(st.sampled_from(known.get(name, ("1",))) | WORD, label=name)
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", quote(value, safe="") or "x")
            elif parameter["in"] == "query" and data.draw(st.booleans()):
                query[name] = data.draw(fitting(document, parameter["schema"]).map(str) | WORD, label=name)
        role = data.draw(st.sampled_from(("admin", "agent", "viewer", "")), label="role")
        headers = dict(site.bearer[role]) if role else {}
        more: dict[str, Any] = {}
        if method != "GET":
            if data.draw(st.booleans(), label="json"):
                body = data.draw(body_for(document, operation), label="body")
                more["content"] = json.dumps(body).encode("utf-8", "surrogatepass")
                headers["content-type"] = "application/json"
            else:
                more["content"] = data.draw(BYTES, label="bytes")
                headers["content-type"] = data.draw(TYPES, label="type")
        answer = client.request(method, path, params=query, headers=headers, **more)
        asked.add((method, operation.get("operationId")))
        checked(answer)

    ask()

    assert len(asked) == len(routes)  # none was left out


@pytest.mark.parametrize("length", ["²", "-1", "9" * 5_000, "x"])
def test_a_strange_length_is_refused_with_a_code(site: Site, length: str) -> None:
    client = TestClient(site.app, raise_server_exceptions=False)
    headers = site.bearer["agent"] | {"content-length": length.encode("latin-1")}
    answer = client.request("PATCH", "/api/v1/tickets/5", headers=headers, content=b"{}")

    assert answer.status_code == 413
    checked(answer)


@pytest.mark.parametrize("token", ["", "x", "Bearer", "é", "a" * 10_000, "bf_" + "0" * 40])
def test_a_wrong_token_is_refused_with_a_code(site: Site, token: str) -> None:
    client = TestClient(site.app, raise_server_exceptions=False)
    answer = client.get("/api/v1/devices", headers={"Authorization": f"Bearer {token}".encode()})

    assert answer.status_code == 401
    checked(answer)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/devices"), ("GET", "/api/")]
)
def test_a_route_that_is_not_there_is_refused_with_a_code(site: Site, method: str, path: str) -> None:
    answer = TestClient(site.app, raise_server_exceptions=False).request(method, path, headers=site.bearer["admin"])

    assert answer.status_code in (404, 405)
    checked(answer)
