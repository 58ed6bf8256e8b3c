"""What one turn decided, as one value: the ledger commits it whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.model import Alert, Incident, Message, Ticket, TicketStatus

EventKind: TypeAlias = Literal[
    "opened",
    "comment",
    "status",
    "assigned",
    "priority",
    "outcome",
    "message",
    "delivery",
    "reply",
    "incident",
    "attention",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEvent:
    """One line of a ticket's time line. `key` is unique, so the same occasion never makes two."""

    key: str
    ticket_id: str
    at_ms: int
    kind: EventKind
    author: str = "system"
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """An alert that began to fire in an incident, or was resolved."""

    alert: Alert
    incident_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOutcome:
    """Everything that one turn writes. `window` is the new watermark, or None where no block was behind it."""

    now_ms: int
    window: int | None = None
    incidents: tuple[Incident, ...] = ()  # new and changed ones, each as it shall be
    alerts: tuple[AlertChange, ...] = ()
    tickets: tuple[Ticket, ...] = ()  # new ones
    statuses: tuple[tuple[str, TicketStatus], ...] = ()  # (ticket id, new status)
    events: tuple[TicketEvent, ...] = ()
    messages: tuple[Message, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write beside the watermark."""
        return bool(self.incidents or self.alerts or self.tickets or self.statuses or self.events or self.messages)
