"""Topics: `bf/1/<device id>/<kind>`. A device publishes and subscribes under its own id only; the broker sees to it."""

from __future__ import annotations

import re
from functools import lru_cache

from edge.wire.form import WireError

PREFIX = "bf/1"
UP = ("batch", "birth", "death", "reported", "reply")  # device to gateway
DOWN = ("stored", "desired", "command")  # gateway to device

MANY = 1 << 16  # topics remembered, so that a gateway looks at each but once

DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""No dot, star or blank: the id is one token of an MQTT topic and of a NATS subject alike."""


@lru_cache(MANY)
def topic(device_id: str, kind: str) -> str:
    """The topic of one device and kind.

    Raises:
        WireError: `bad_topic` where the id or kind is none.
    """
    if not DEVICE_ID.fullmatch(device_id) or kind not in UP + DOWN:
        raise WireError("bad_topic", f"device {device_id[:70]!r}, kind {kind[:20]!r}")
    return f"{PREFIX}/{device_id}/{kind}"


@lru_cache(MANY)
def parse_topic(text: str) -> tuple[str, str]:
    """(device id, kind) of one of our topics.

    Raises:
        WireError: `bad_topic`.
    """
    head, _, kind = text.rpartition("/")
    prefix, _, device_id = head.rpartition("/")
    if prefix != PREFIX or kind not in UP + DOWN or not DEVICE_ID.fullmatch(device_id):
        raise WireError("bad_topic", text[:100])
    return device_id, kind
