"""No request to the API or the console makes it fail: whatever the parameters, the answer has a code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web_site import Site, seeded

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
VALUE = st.one_of(
    TEXT, st.integers(-(2**70), 2**70).map(str), st.sampled_from(("lock-1001", "1", "battery_volts", "%00"))
)
NAMES = (
    "text", "health", "type", "firmware", "offset", "limit", "metric", "from", "to", "queue", "span", "charts", "phone",
    "state", "device_id", "site", "cause", "rule",
)  # fmt: skip
PATHS = (
    "/api/v1/devices", "/api/v1/devices/{}", "/api/v1/devices/{}/series", "/api/v1/devices/{}/timeline",
    "/api/v1/devices/{}/logs", "/api/v1/devices/{}/metrics", "/api/v1/incidents", "/api/v1/incidents/{}",
    "/api/v1/tickets", "/api/v1/tickets/{}", "/api/v1/customers", "/api/v1/customers/{}",
    "/api/v1/devices/{}/desired", "/api/v1/devices/lock-1001/commands/{}", "/api/v1/silences",
    "/", "/devices/{}", "/incidents", "/incidents/{}", "/tickets", "/tickets/{}", "/customers", "/phones", "/audit",
    "/silences", "/devices/lock-1001/commands/{}", "/devices/lock-1001/commands/{}/answer",
)  # fmt: skip
WORDS = st.sampled_from(
    ("text", "status", "outcome", "contact_id", "assignee", "name", "labels", "until_ms", "from_ms", "reason", "kind",
     "device_id", "sample_every", "sensors", "log_level")
) | TEXT  # fmt: skip
BODY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=6,
)
CHANGES = (
    ("PATCH", "/api/v1/tickets/5"),
    ("POST", "/api/v1/tickets/5/comments"),
    ("POST", "/api/v1/tickets/5/replies"),
    ("POST", "/api/v1/devices/lock-1001/commands"),
    ("PUT", "/api/v1/devices/lock-1001/desired"),
    ("POST", "/api/v1/silences"),
)
FORMS = ("/silences", "/silences/x/end", "/devices/lock-1001/commands", "/devices/lock-1001/desired")
FORM = ("device_id", "site", "until", "begins", "zone", "lasts", "reason", "kind", "name", "sample_every", "log_level")
FIXED = settings(max_examples=120, deadline=None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with seeded(tmp_path_factory.mktemp("console")) as held:
        yield held


@FIXED
@given(path=st.sampled_from(PATHS), name=VALUE, params=st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=5))
def test_any_question_is_answered_or_refused_with_a_code(
    site: Site, path: str, name: str, params: dict[str, str]
) -> None:
    client = site.client("admin")

    answer = client.get(path.format(quote(name, safe="")), params=params)

    assert answer.status_code < 500
    if path.startswith("/api/") and answer.status_code >= 400:
        assert answer.json()["code"]


@FIXED
@given(form=st.dictionaries(st.sampled_from(FORM), VALUE, max_size=6), path=st.sampled_from(FORMS))
def test_any_form_is_taken_or_refused(site: Site, form: dict[str, str], path: str) -> None:
    answer = site.client("admin").post(path, data={"csrf": site.csrf["admin"], **form})

    assert answer.status_code < 500


@FIXED
@pytest.mark.parametrize(("method", "path"), CHANGES)
@given(body=BODY)
def test_any_body_is_taken_or_refused_with_a_code(site: Site, method: str, path: str, body: object) -> None:
    answer = site.client().request(method, path, headers=site.bearer["agent"], json=body)

    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.json()["code"]
