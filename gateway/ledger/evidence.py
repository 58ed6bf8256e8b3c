"""Evidence as JSON and back: a ticket keeps what was known when it was opened."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import cast

from pydantic import TypeAdapter

from gateway.model import Evidence

_EVIDENCE = TypeAdapter(Evidence)


def to_json(evidence: Evidence) -> dict[str, object]:
    """A JSON-ready mapping; numbers that are no numbers become None."""
    return cast("dict[str, object]", _finite(asdict(evidence)))


def from_json(kept: object) -> Evidence:
    """What `to_json` kept."""
    return _EVIDENCE.validate_python(kept)


def _finite(value: object) -> object:
    match value:
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
