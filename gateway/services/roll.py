"""Customers from a list: a CSV file to customers, agreements and owned devices, or to what is wrong with it.

    customer,name,phone,language,zone,agreed,agreed_on,devices
    c-0001,Ada Abbott,+1 312 555 0100,en,America/Chicago,terms 2026-01,2026-01-31,hall-lock attic-router

`customer` and `phone` must be there. `agreed` names what the person agreed to, on `agreed_on`; without it nothing is
ever sent. A customer with several telephones has a row and a `contact` name for each.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

from gateway.errors import Refused
from gateway.ledger.persons import Agreement
from gateway.model import Contact, Customer, CustomerId

COLUMNS = ("customer", "contact", "name", "phone", "language", "zone", "agreed", "agreed_on", "devices")
WORD = re.compile(r"[\w.@-]{1,64}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")


@dataclass(frozen=True, slots=True)
class Roll:
    """What a list says."""

    customers: tuple[Customer, ...]
    agreements: tuple[Agreement, ...]
    owned: tuple[tuple[str, str], ...]  # (device id, customer id)


@dataclass(slots=True)
class _Reading:
    names: dict[str, str] = field(default_factory=dict)
    contacts: dict[str, list[Contact]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # contact ids and addresses
    agreements: list[Agreement] = field(default_factory=list)
    owned: dict[str, str] = field(default_factory=dict)


def read(text: str) -> Roll:
    """The list.

    Raises:
        Refused: `bad_list` with the line and the column, never with what stands there.
    """
    found = _Reading()
    for line, row in _rows(text):
        _take(found, row, line)
    customers = tuple(
        Customer(customer_id=CustomerId(key), name=name, contacts=tuple(found.contacts[key]))
        for key, name in found.names.items()
    )
    return Roll(customers, tuple(found.agreements), tuple(found.owned.items()))


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        header = list(reader.fieldnames or ())
        if missing := {"customer", "phone"} - set(header):
            raise _bad(1, f"there is no column {', '.join(sorted(missing))}")
        if unknown := set(header) - set(COLUMNS):
            raise _bad(1, f"unknown column {', '.join(sorted(unknown))[:100]}; known are {', '.join(COLUMNS)}")
        for row in reader:
            if None in row or None in row.values():
                raise _bad(reader.line_num, f"{len(header)} fields are expected")
            yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except csv.Error as exc:
        raise _bad(reader.line_num, str(exc)) from exc


def _take(found: _Reading, row: dict[str, str], line: int) -> None:
    customer = row["customer"]
    contact_id = row.get("contact") or f"{customer}-phone"
    for column, value in (("customer", customer), ("contact", contact_id)):
        if not WORD.fullmatch(value):
            raise _bad(line, f"{column}: 1 to 64 letters, digits, `_`, `.`, `@`, `-`")
    address, language, zone = _phone(row["phone"], line), _language(row, line), _zone(row, line)
    for key in (contact_id, address):
        if key in found.seen:
            raise _bad(line, "this contact or telephone stands in the list before")
        found.seen.add(key)
    name = row.get("name", "")
    found.names[customer] = found.names.get(customer) or name
    found.contacts.setdefault(customer, []).append(
        Contact(
            contact_id=contact_id, customer_id=CustomerId(customer), channel="sms", address=address,
            language=language, zone=zone, name=name,
        )
    )  # fmt: skip
    if row.get("agreed"):
        agreed_ms = _day_ms(row.get("agreed_on", ""), line)
        found.agreements.append(Agreement(contact_id=contact_id, wording=row["agreed"], at_ms=agreed_ms))
    for device_id in row.get("devices", "").split():
        if found.owned.setdefault(device_id, customer) != customer:
            raise _bad(line, "devices: one of them belongs to another customer of the list")


def _language(row: dict[str, str], line: int) -> str:
    language = row.get("language") or "en"
    if not LANGUAGE.fullmatch(language):
        raise _bad(line, "language: two letters, as en or zh")
    return language


def _zone(row: dict[str, str], line: int) -> str | None:
    name = row.get("zone", "")
    try:
        return ZoneInfo(name).key if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _bad(line, "zone: an IANA name, as Europe/Berlin") from None


def _phone(text: str, line: int) -> str:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise _bad(line, "phone: an international number with its country, as +1 312 555 0100")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _day_ms(text: str, line: int) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _bad(line, "agreed_on: the day of the agreement, as 2026-01-31") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _bad(line: int, what: str) -> Refused:
    return Refused("bad_list", f"line {line}: {what}")
