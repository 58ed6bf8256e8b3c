"""Service records: which part of a device was serviced, when, and whether it had failed."""

from __future__ import annotations

import re

from sqlalchemy import Connection, Engine, select

from gateway.errors import Refused
from gateway.ledger import audit, registry
from gateway.ledger.database import Record, add_new, reading, writing
from gateway.ledger.tables import service
from gateway.model import Service

COMPONENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def note(engine: Engine, device_id: str, component: str, *, at_ms: int, failed: bool, author: str, now_ms: int) -> None:
    """Note that a part was serviced. Noting the same part and time again changes nothing.

    Raises:
        NotFound: `device`.
        Refused: `bad_component`, `bad_service_time`: it lies ahead, or before 1970.
    """
    if not COMPONENT.fullmatch(component):
        raise Refused("bad_component", f"{component!r}: write a part as compressor or comp_2, at most 64 characters")
    if not 0 <= at_ms <= now_ms:
        raise Refused("bad_service_time", f"{at_ms} is not between 0 and now ({now_ms})")
    device = registry.find_device(engine, device_id).device.device_id
    row = {
        "device_id": device, "component": component, "at_ms": at_ms, "failed": failed, "author": author,
        "noted_ms": now_ms,
    }  # fmt: skip
    with writing(engine) as connection:
        add_new(connection, service, [row])
        audit.record(
            connection, at_ms=now_ms, actor=author, action="device.service", subject=device,
            detail={"component": component, "at_ms": at_ms, "failed": failed},
        )  # fmt: skip


def of_device(connection: Connection, device_id: str, *, limit: int = 50) -> tuple[Service, ...]:
    """The newest records of a device, newest first."""
    newest = service.c.at_ms.desc(), service.c.service_id.desc()
    query = select(service).where(service.c.device_id == device_id).order_by(*newest).limit(limit)
    return tuple(_record(row) for row in connection.execute(query))


def noted_after(engine: Engine, number: int) -> tuple[Service, ...]:
    """The records noted since that one, in order."""
    query = select(service).where(service.c.service_id > number).order_by(service.c.service_id)
    with reading(engine) as connection:
        return tuple(_record(row) for row in connection.execute(query))


def _record(row: Record) -> Service:
    return Service(
        number=row.service_id, device_id=row.device_id, component=row.component, at_ms=row.at_ms, failed=row.failed,
        author=row.author,
    )  # fmt: skip
