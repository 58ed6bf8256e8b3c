"""API: customers."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.ledger import audit, views, workspace
from gateway.ledger.database import reading
from gateway.web.api.fleet import Text
from gateway.web.api.form import ERRORS, ContactOut, CustomerOut, CustomerRow, Limit, ListOf, Offset, list_of
from gateway.web.deps import Deps
from gateway.web.render import mask
from gateway.web.session import Viewer

router = APIRouter(prefix="/api/v1/customers", tags=["customers"], responses=ERRORS)


@router.get("", summary="List customers")
def customers(deps: Deps, who: Viewer, text: Text = "", limit: Limit = 50, offset: Offset = 0) -> ListOf[CustomerRow]:
    """By name."""
    with reading(deps.engine) as connection:
        return list_of(CustomerRow, workspace.customer_page(connection, text=text, limit=limit, offset=offset))


@router.get("/{customer_id}", summary="One customer")
def customer(deps: Deps, who: Viewer, customer_id: str) -> CustomerOut:
    """With contacts and devices. Numbers are masked for viewers; who sees them in full is in the audit chain."""
    with reading(deps.engine) as connection:
        row = workspace.customer(connection, customer_id)
        contacts = [ContactOut.of(contact) for contact in workspace.contacts_of(connection, customer_id)]
        devices = [device.device_id for device in views.devices_of(connection, customer_id)]
    if contacts and who.may("agent"):
        audit.note_look(deps.engine, at_ms=deps.now_ms(), actor=who.login, subject=f"customer:{customer_id}")
    else:
        contacts = [contact.model_copy(update={"address": mask(contact.address)}) for contact in contacts]
    return CustomerOut(customer_id=row.customer_id, name=row.name, contacts=contacts, devices=devices)
