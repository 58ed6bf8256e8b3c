"""Who owns devices, what they agreed to, and what is written to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.model.telemetry import CustomerId

MessageState: TypeAlias = Literal[
    "queued", "held", "sending", "sent", "delivered", "undelivered", "failed", "skipped", "unknown"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person and address we may write to. `consented` and `opted_out` are this contact's own words."""

    contact_id: str
    customer_id: CustomerId
    channel: str  # "sms", "email", ...
    address: str  # E.164 for SMS; never logged
    language: str = "en"  # "en", "zh", ...
    zone: str | None = None  # IANA; None: derived from the number, then from the device
    consented: bool = False
    opted_out: bool = False
    daily_cap: int = 3
    quiet_from: str = "20:00"  # local time from which only urgent messages go
    quiet_to: str = "09:00"
    name: str = ""
    unreachable: str = ""  # why this address can never be reached, as `not_mobile`; "" while it can


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who owns devices."""

    customer_id: CustomerId
    name: str
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SMS or mail to one contact. `key` is unique: the same occasion never makes two messages."""

    message_id: str
    key: str
    contact_id: str
    ticket_id: str | None
    channel: str
    text: str
    language: str
    urgent: bool
    created_ms: int
    expires_ms: int  # after this moment it is not worth sending
    state: MessageState = "queued"
    template: str = ""  # which text; "" for one a person wrote
    due_ms: int = 0  # not to be tried before
    answers: str | None = None  # the incoming message this one replies to
    reason: str = ""  # of the last hold, skip or failure: a stable code
