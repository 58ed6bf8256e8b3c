"""Customers: who owns devices, how to reach them, and what was said."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.ledger import audit, views, workspace
from gateway.ledger.database import reading
from gateway.web.deps import Deps
from gateway.web.pages.fleet import last_heard
from gateway.web.pages.page import PER_PAGE, Offset, Word, show
from gateway.web.session import Viewer

router = APIRouter(prefix="/customers", include_in_schema=False)


@router.get("")
def customers(request: Request, deps: Deps, who: Viewer, text: Word = "", offset: Offset = 0) -> Response:
    """One page of customers by name."""
    with reading(deps.engine) as connection:
        page = workspace.customer_page(connection, text=text, limit=PER_PAGE, offset=offset)
    return show(request, deps, who, "customers.html", page=page, text=text, query={"text": text})


@router.get("/{customer_id}")
def customer(request: Request, deps: Deps, who: Viewer, customer_id: str) -> Response:
    """One customer: contacts and their consent, devices, tickets, conversation."""
    with reading(deps.engine) as connection:
        found = workspace.customer(connection, customer_id)
        contacts = workspace.contacts_of(connection, customer_id)
        consents = workspace.consents_of(connection, customer_id)
        devices = views.devices_of(connection, customer_id)
        tickets = workspace.ticket_page(connection, queue="all", customer_id=customer_id, limit=20)
        thread = workspace.thread(connection, customer_id=customer_id)
    if contacts and who.may("agent"):  # who sees numbers in full
        audit.note_look(deps.engine, at_ms=deps.now_ms(), actor=who.login, subject=f"customer:{customer_id}")
    return show(
        request, deps, who, "customer.html", customer=found, contacts=contacts, consents=consents, devices=devices,
        tickets=tickets, thread=thread, heard=last_heard(deps, [row.number for row in devices]),
    )  # fmt: skip
