"""Ids derived from what they name, so that two replays of one recording give the same ids.

A fingerprint starts with the version of its recipe: when the recipe changes, old incidents keep the one they have.
"""

from __future__ import annotations

import hashlib

SELF = "gateway"
"""The device id under which the gateway raises incidents about itself."""


def derive(prefix: str, *parts: object) -> str:
    """`prefix` and 16 hex digits of a hash over the parts; equal parts give equal ids."""
    return f"{prefix}_{_digest(parts)[:16]}"


def fingerprint(device_id: str, cause: str) -> str:
    """What makes two alerts the same trouble: the device and the cause."""
    return f"v1:{_digest((device_id, cause))[:32]}"


def _digest(parts: tuple[object, ...]) -> str:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
