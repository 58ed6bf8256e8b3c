"""Commands on customers: take them in from a list, look at them, hand out, erase and seal again what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway.cli.common import SettingsPath, console, now_ms, open_ledger, settings_of
from gateway.errors import ConfigError

customer_app = typer.Typer(help="Customers, who own devices and are written to.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Customer id.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(customer_app, name="customer")


@customer_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header; docs/operate.md describes its columns.")],
    path: SettingsPath = None,
) -> None:
    """Add or replace customers with their telephones, agreements and devices: all of the list or nothing."""
    from gateway.ledger import persons
    from gateway.services import roll

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("list_unreadable", f"{file}: {exc}; name a CSV file in UTF-8") from exc
    read = roll.read(text)
    persons.take_in(open_ledger(settings_of(path)), read.customers, read.agreements, read.owned, now_ms=now_ms())
    console.print(f"{len(read.customers)} customers, {len(read.agreements)} agreements, {len(read.owned)} devices")
    without = sum(len(customer.contacts) for customer in read.customers) - len(read.agreements)
    if without:
        console.print(f"{without} telephones without an agreement: nothing is sent to them")


@customer_app.command("list")
def list_(
    search: Annotated[str, typer.Argument(help="Part of an id, a name or a number.")] = "",
    path: SettingsPath = None,
) -> None:
    """List customers; telephones show their last digits."""
    from gateway.ledger import people

    table = Table(box=None, pad_edge=False)
    for title in ("customer", "name", "contact", "phone", "language", "may be written to"):
        table.add_column(title, overflow="fold")
    for customer in people.list_customers(open_ledger(settings_of(path)), search=search):
        for contact in customer.contacts:
            may = "opted out" if contact.opted_out else "yes" if contact.consented else "no agreement"
            table.add_row(
                customer.customer_id, customer.name, contact.contact_id, f"…{contact.address[-4:]}", contact.language,
                contact.unreachable or may,
            )  # fmt: skip
    console.print(table)


@customer_app.command("export")
def export(customer_id: Id, path: SettingsPath = None) -> None:
    """Print all that is kept about a customer, as JSON: for the person who asks."""
    from gateway.ledger import persons

    print(json.dumps(persons.hand_out(open_ledger(settings_of(path)), customer_id), indent=2, ensure_ascii=False))


@customer_app.command("erase")
def erase(
    customer_id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    path: SettingsPath = None,
) -> None:
    """Forget who a customer is and what was said; what their devices did stays, nobody's. Cannot be undone."""
    from gateway.ledger import persons

    if not yes:
        typer.confirm(f"Erase {customer_id} for good?", abort=True)
    emptied = persons.erase(open_ledger(settings_of(path)), customer_id, actor="command line", now_ms=now_ms())
    console.print(f"{customer_id} is erased, with the text of {emptied} messages; backups still hold it")


@customer_app.command("rekey")
def rekey(path: SettingsPath = None) -> None:
    """Seal all personal data with a new key; the gateway must be stopped. Earlier backups still need the old key."""
    from gateway import ledger
    from gateway.app.make import data_folder

    settings = settings_of(path)
    with data_folder(Path(settings.data_dir)):
        name = ledger.rekey(settings.ledger_url, settings.ledger_key_file, actor="command line", now_ms=now_ms())
    console.print(f"sealed with the new key {name} of {settings.ledger_key_file}")
    console.print("copy it to where you keep it apart; backups made before need the key that you kept with them")
