"""What the console and the API read of the fleet and of incidents. Every list has a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select

from gateway.errors import NotFound
from gateway.ledger.database import Record
from gateway.ledger.tables import alerts, customers, devices, incidents, tickets

OPEN_TICKET = ("new", "open", "waiting")
"""States of tickets that still want a person."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    rows: Sequence[Record]
    total: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFilter:
    """Which devices are meant; empty means any."""

    text: str = ""
    health: str = ""  # critical | warning | offline | ok
    type: str = ""
    firmware: str = ""


_OPEN = (
    select(
        incidents.c.device_id,
        func.max(case((incidents.c.severity == "critical", 2), (incidents.c.severity == "warning", 1), else_=0)).label(
            "worst"
        ),
        func.count().label("open_incidents"),
    )
    .where(incidents.c.state == "open")
    .group_by(incidents.c.device_id)
    .subquery()
)
_HEALTH = case(
    (_OPEN.c.worst == 2, "critical"),
    (_OPEN.c.worst == 1, "warning"),
    (devices.c.online.is_(False), "offline"),
    else_="ok",
).label("health")
_RANK = case((_OPEN.c.worst == 2, 0), (_OPEN.c.worst == 1, 1), (devices.c.online.is_(False), 2), else_=3)


def _devices() -> Select[Any]:
    return (
        select(
            devices,
            customers.c.name.label("customer"),
            _HEALTH,
            func.coalesce(_OPEN.c.open_incidents, 0).label("open_incidents"),
        )
        .outerjoin(_OPEN, _OPEN.c.device_id == devices.c.device_id)
        .outerjoin(customers, customers.c.customer_id == devices.c.customer_id)
        .where(devices.c.revoked.is_(False))
    )


def fleet_counts(connection: Connection) -> Sequence[Record]:
    """(type, health, count), revoked devices left out."""
    each = _devices().subquery()
    query = select(each.c.type, each.c.health, func.count().label("count")).group_by(each.c.type, each.c.health)
    return connection.execute(query.order_by(each.c.type, each.c.health)).all()


def firmware_counts(connection: Connection) -> Sequence[Record]:
    """(type, firmware, count), revoked devices left out."""
    query = select(devices.c.type, devices.c.firmware, func.count().label("count")).where(devices.c.revoked.is_(False))
    query = query.group_by(devices.c.type, devices.c.firmware).order_by(devices.c.type, devices.c.firmware)
    return connection.execute(query).all()


def fleet_page(connection: Connection, wanted: FleetFilter, *, limit: int = 50, offset: int = 0) -> Page:
    """Devices, worst first, with `customer`, `health` and `open_incidents`."""
    where = []
    if needle := wanted.text.strip():
        fields = (devices.c.device_id, devices.c.model, devices.c.site, devices.c.firmware, customers.c.name)
        where.append(or_(*(field.icontains(needle, autoescape=True) for field in fields)))
    if wanted.health:
        where.append(_HEALTH.element == wanted.health)
    if wanted.type:
        where.append(devices.c.type == wanted.type)
    if wanted.firmware:
        where.append(devices.c.firmware == wanted.firmware)
    query = _devices().where(*where)
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    rows = connection.execute(query.order_by(_RANK, devices.c.number).limit(limit).offset(offset)).all()
    return Page(rows=rows, total=total, offset=offset, limit=limit)


def device(connection: Connection, device_id: str) -> Record:
    """One device with `customer`, `health` and `open_incidents`. Raises NotFound (`device`)."""
    row = connection.execute(_devices().where(devices.c.device_id == device_id)).one_or_none()
    if row is None:
        raise NotFound("device", device_id)
    return row


def devices_of(connection: Connection, customer_id: str) -> Sequence[Record]:
    """Devices of a customer, worst first, with `health` and `open_incidents`."""
    query = _devices().where(devices.c.customer_id == customer_id)
    return connection.execute(query.order_by(_RANK, devices.c.number).limit(200)).all()


def _incidents() -> Select[Any]:
    return (
        select(
            incidents,
            devices.c.type,
            devices.c.model,
            devices.c.firmware,
            devices.c.site,
            customers.c.name.label("customer"),
            tickets.c.ticket_id,
            tickets.c.number.label("ticket_number"),
            tickets.c.status.label("ticket_status"),
        )
        .outerjoin(devices, devices.c.device_id == incidents.c.device_id)
        .outerjoin(customers, customers.c.customer_id == devices.c.customer_id)
        .outerjoin(tickets, tickets.c.incident_id == incidents.c.incident_id)
    )


def incident_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many incidents there are by (state, severity)."""
    query = select(incidents.c.state, incidents.c.severity, func.count())
    rows = connection.execute(query.group_by(incidents.c.state, incidents.c.severity))
    return {(row[0], row[1]): row[2] for row in rows}


def incident_page(
    connection: Connection,
    *,
    state: str = "",
    severity: str = "",
    text: str = "",
    device_id: str = "",
    limit: int = 50,
    offset: int = 0,
) -> Page:
    """Incidents, newest first, with device, customer and ticket columns."""
    equal = {incidents.c.state: state, incidents.c.severity: severity, incidents.c.device_id: device_id}
    where = [column == value for column, value in equal.items() if value]
    if needle := text.strip():
        fields = (incidents.c.device_id, incidents.c.cause, customers.c.name, devices.c.site)
        where.append(or_(*(field.icontains(needle, autoescape=True) for field in fields)))
    query = _incidents().where(*where)
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    ordered = query.order_by(incidents.c.opened_ms.desc(), incidents.c.incident_id).limit(limit).offset(offset)
    return Page(rows=connection.execute(ordered).all(), total=total, offset=offset, limit=limit)


def incident(connection: Connection, incident_id: str) -> Record:
    """One incident with device, customer and ticket columns. Raises NotFound (`incident`)."""
    row = connection.execute(_incidents().where(incidents.c.incident_id == incident_id)).one_or_none()
    if row is None:
        raise NotFound("incident", incident_id)
    return row


def incident_alerts(connection: Connection, incident_id: str) -> Sequence[Record]:
    """Alerts of an incident, newest first."""
    query = select(alerts).where(alerts.c.incident_id == incident_id)
    return connection.execute(query.order_by(alerts.c.fired_ms.desc(), alerts.c.alert_id).limit(200)).all()


def children(connection: Connection, incident_id: str) -> Sequence[Record]:
    """Incidents that a parent explains."""
    query = _incidents().where(incidents.c.parent_id == incident_id)
    return connection.execute(query.order_by(incidents.c.opened_ms, incidents.c.incident_id).limit(200)).all()
