"""What the API sends: pydantic models, which are also its documentation."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.ledger.database import Record
from gateway.ledger.views import Page
from gateway.model import IncidentState, Outcome, Severity, TicketPriority, TicketStatus
from gateway.web.error import Problem

T = TypeVar("T", bound="Form")

ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "`not_signed_in`"},
    403: {"model": Problem, "description": "`forbidden`, or `bad_csrf` for cookie sessions"},
    404: {"model": Problem, "description": "`not_found`"},
    422: {"model": Problem, "description": "`invalid`, or the code of what was refused"},
}
Limit = Annotated[int, Query(ge=1, le=500, description="Rows at most.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="Rows to pass over.")]


class Form(BaseModel):
    """Base of all: filled from a ledger row, fields it does not name are left out."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    @classmethod
    def of(cls: type[T], row: Record | object) -> T:
        """From a row."""
        return cls.model_validate(row, from_attributes=True)


class ListOf(BaseModel, Generic[T]):
    """Some rows of many."""

    total: int = Field(description="Rows that fit, on all pages.")
    offset: int
    items: list[T]


def list_of(kind: type[T], page: Page) -> ListOf[T]:
    """A page of rows as the API sends it."""
    return ListOf[T](total=page.total, offset=page.offset, items=[kind.of(row) for row in page.rows])


class Me(Form):
    """Who is asking."""

    login: str
    name: str
    role: str


class FleetCount(Form):
    """Devices of one product type in one state."""

    type: str
    health: str = Field(description="`critical`, `warning`, `offline` or `ok`.")
    devices: int


class DeviceRow(Form):
    """A device as lists show it."""

    device_id: str
    type: str
    model: str
    hardware: str
    firmware: str
    customer_id: str | None
    zone: str
    site: str
    health: str
    open_incidents: int


class DeviceOut(Form):
    """One device."""

    device_id: str
    type: str
    model: str
    hardware: str
    firmware: str
    customer_id: str | None
    zone: str
    site: str
    health: str
    revoked: bool
    online: bool
    presence_ms: int | None
    birth_ms: int | None
    boot: int
    reboot_reason: str
    config_version: int
    provisioned_ms: int


class IncidentOut(Form):
    """Alerts folded together because they share a cause."""

    incident_id: str
    device_id: str
    cause: str
    state: IncidentState
    severity: Severity
    opened_ms: int
    updated_ms: int
    resolved_ms: int | None
    reopened: int
    rules: list[str]
    muted: str
    parent_id: str | None
    ticket_number: int | None


class TicketRow(Form):
    """A ticket as lists show it."""

    number: int
    ticket_id: str
    incident_id: str
    device_id: str
    customer_id: str | None
    title: str
    status: TicketStatus
    priority: TicketPriority
    assignee: str | None
    outcome: Outcome | None
    attention: str
    opened_ms: int
    updated_ms: int
    cause: str
    severity: Severity
    incident_state: IncidentState


class TicketEventOut(Form):
    """One line of a ticket's time line."""

    at_ms: int
    kind: str
    author: str
    text: str


class MessageOut(Form):
    """A message to or from a contact."""

    message_id: str
    direction: str
    contact_id: str
    channel: str
    text: str
    language: str
    state: str
    reason: str
    created_ms: int


class TicketOut(TicketRow):
    """One ticket with its evidence and conversation."""

    evidence: dict[str, Any] = Field(description="Facts, episodes, forecasts, log tail, firmware and `why`.")
    events: list[TicketEventOut]
    messages: list[MessageOut]


class TicketChange(BaseModel):
    """What to set; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    status: TicketStatus | None = None
    priority: TicketPriority | None = None
    assignee: str | None = Field(None, max_length=60, description="A login; an empty text for nobody.")
    outcome: Outcome | None = Field(None, description="Also solves the ticket.")
    note: str = Field("", max_length=2000, description="Kept with the outcome.")


class CommentIn(BaseModel):
    """An internal note."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=5000)


class ReplyIn(BaseModel):
    """A message to the customer."""

    model_config = ConfigDict(extra="forbid")

    contact_id: str = Field(max_length=200)
    text: str = Field(min_length=1, max_length=1000)


class Queued(BaseModel):
    """The message is in the outbox."""

    message_id: str


class ContactOut(Form):
    """A person and address."""

    contact_id: str
    channel: str
    address: str = Field(description="Masked for viewers.")
    language: str
    zone: str | None
    consented: bool
    opted_out: bool
    quiet_from: str
    quiet_to: str
    daily_cap: int


class CustomerRow(Form):
    """A customer as lists show it."""

    customer_id: str
    name: str
    devices: int
    open_tickets: int


class CustomerOut(BaseModel):
    """One customer."""

    customer_id: str
    name: str
    contacts: list[ContactOut]
    devices: list[str]


class PartOut(Form):
    """A part of the gateway."""

    name: str
    state: str
    detail: str


class ProblemOut(Form):
    """Something about the gateway itself that waits for a person."""

    code: str = Field(description="`channel_down.<channel>`, or what the gateway noticed.")
    sentence: str = Field(description="What it is, and the way out.")
    since_ms: int


class SystemOut(BaseModel):
    """Whether the gateway keeps up."""

    gauges: dict[str, float]
    counts: dict[str, dict[str, int]] = Field(description="Counter, then reason (may be empty), since the start.")
    parts: list[PartOut]
    problems: list[ProblemOut] = Field(description="What waits for a person.")
    outbox: dict[str, int] = Field(description="Messages by state.")
