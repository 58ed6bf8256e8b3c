"""What people have found of devices: the truth that learning is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person found of one incident."""

    number: int  # of the outcome: 1, 2, 3, ... in order
    device_id: str
    opened_ms: int  # when the incident was opened
    at_ms: int  # when the outcome was told
    outcome: str  # see `Outcome`
    cause: str = ""  # of the incident
    before_ms: int | None = None  # when the same incident was said to be confirmed before, which this takes back


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One part of a device was serviced."""

    number: int  # 1, 2, 3, ... in the order in which they were noted
    device_id: str
    component: str
    at_ms: int
    failed: bool  # the part had failed; else it was serviced before that
    author: str = ""
