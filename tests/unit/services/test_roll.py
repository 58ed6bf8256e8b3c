"""A list of customers: taken whole, or refused with line and column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.services import roll

HEADER = "customer,name,phone,language,zone,agreed,agreed_on,devices\n"
ADA = "c1,Ada Abbott,+1 (312) 555-0100,en,America/Chicago,terms 2026-01,2026-01-31,hall-lock attic-router\n"


def test_a_row_becomes_a_customer_with_a_telephone_an_agreement_and_devices() -> None:
    read = roll.read("\ufeff" + HEADER + ADA)

    (customer,) = read.customers
    (contact,) = customer.contacts
    assert (customer.customer_id, customer.name) == ("c1", "Ada Abbott")
    assert (contact.contact_id, contact.address, contact.zone) == ("c1-phone", "+13125550100", "America/Chicago")
    assert [(a.contact_id, a.wording, a.at_ms) for a in read.agreements] == [
        ("c1-phone", "terms 2026-01", 1_769_817_600_000)
    ]
    assert read.owned == (("hall-lock", "c1"), ("attic-router", "c1"))


def test_what_may_be_left_out_may_be_left_out() -> None:
    read = roll.read("phone,customer\n+13125550101,c2\n")

    assert read.customers[0].contacts[0].language == "en"
    assert read.customers[0].contacts[0].zone is None
    assert read.agreements == ()


def test_a_customer_may_have_two_telephones() -> None:
    read = roll.read("customer,contact,name,phone\nc1,ada,Ada,+13125550100\nc1,ben,Ben,+13125550101\n")

    assert [contact.contact_id for contact in read.customers[0].contacts] == ["ada", "ben"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name\nAda\n", "line 1: there is no column customer, phone"),
        (HEADER.replace("zone", "timezone") + ADA, "line 1: unknown column timezone"),
        (HEADER + ADA.replace("555-0100", "55-01"), "line 2: phone"),
        (HEADER + ADA.replace("+1 ", ""), "line 2: phone"),
        (HEADER + ADA.replace("America/Chicago", "Chicago"), "line 2: zone"),
        (HEADER + ADA.replace("America/Chicago", "../etc"), "line 2: zone"),
        (HEADER + ADA.replace(",en,", ",English,"), "line 2: language"),
        (HEADER + ADA.replace("2026-01-31", "31.1.2026"), "line 2: agreed_on"),
        (HEADER + ADA.replace("2026-01-31", ""), "line 2: agreed_on"),
        (HEADER + ADA + ADA, "line 3: this contact or telephone"),
        (HEADER + ADA + ADA.replace("c1", "c2").replace("0100", "0101"), "line 3: devices"),
        (HEADER + "c 1" + ADA[2:], "line 2: customer"),
        (HEADER + "c1,Ada\n", "line 2: 8 fields"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_column_and_without_the_person(text: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        roll.read(text)

    assert refused.value.code == "bad_list"
    assert refused.value.detail.startswith(says)
    assert "Ada" not in refused.value.detail
    assert "555" not in refused.value.detail.replace("+1 312 555 0100", "")


@given(st.text(max_size=300) | st.text(max_size=200).map(lambda text: HEADER + text))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    refused = ""
    try:
        roll.read(text)
    except Refused as exc:
        refused = exc.code

    assert refused in ("", "bad_list")
