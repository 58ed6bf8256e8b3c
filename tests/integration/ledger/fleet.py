"""A small fleet with one owner for tests of casework, and turns over it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from gateway.incidents import Fleet, RuleInfo, Timing
from gateway.ledger import casebook, caseview, outbox, people, registry, seal
from gateway.model import Alert, Contact, Customer, CustomerId, DeviceId, Evidence, Forecast
from gateway.outreach import load_texts
from gateway.services.plan import Casework, People, plan_turn

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
T0 = 1_773_140_400_000  # 2026-03-10, noon in Berlin
TEXTS = load_texts()
VAULT = seal.Vault([bytes(range(64))])
RULES = {
    "BatteryWearingOut": RuleInfo(
        name="BatteryWearingOut", template="battery_wearing_out", reach="message", priority="normal"
    ),
    "BatteryNearlyEmpty": RuleInfo(
        name="BatteryNearlyEmpty", template="battery_nearly_empty", reach="message", urgent=True, severity="critical"
    ),
    "FlashWorn": RuleInfo(name="FlashWorn", reach="ticket"),
    "OddNoise": RuleInfo(name="OddNoise", reach="record", severity="info"),
}
CONTACT = Contact(
    contact_id="anna", customer_id=CustomerId("c1"), channel="sms", address="+4915112345678", zone="Europe/Berlin"
)


@dataclass(slots=True)
class Turns:
    """Runs turns on a ledger, as the service does."""

    engine: Engine
    casework: Casework

    def turn(self, *alerts: Alert, now: int = T0, window: int | None = None):
        view = caseview.load_view(self.engine, now_ms=now)
        outcome = plan_turn(
            alerts,
            view,
            self.casework,
            now_ms=now,
            window=window,
            evidence_of=evidence,
            people=People(
                contacts=lambda customer: people.contacts_for(self.engine, customer),
                sent_ms=lambda contact: outbox.sent_times(self.engine, contact, now_ms=now),
                told=lambda ticket: outbox.told(self.engine, ticket),
            ),
        )
        casebook.commit_turn(self.engine, outcome)
        return outcome


def evidence(device: str, _rule: str = "", *, now_ms: int = T0) -> Evidence:
    battery = Forecast(
        device_id=DeviceId(device), name="battery", made_ms=now_ms, median_ms=now_ms + 12 * DAY, low_ms=now_ms + 9 * DAY
    )
    return Evidence(facts=(("battery_volts", 5.1),), forecasts=(battery,), why="The battery is wearing out.")


def settle_in(engine: Engine, *, consent: bool = True) -> Turns:
    """Three locks of one customer who has agreed to messages."""
    customer = Customer(customer_id=CustomerId("c1"), name="Anna", contacts=(CONTACT,))
    people.save_customers(engine, [customer], now_ms=T0)
    if consent:
        people.record_consent(engine, "anna", "opt_in", source="import", wording="v1", at_ms=T0)
    wanted = [
        registry.NewDevice(
            device_id=DeviceId(f"d{n}"), type="smart_lock", customer_id=CustomerId("c1"), zone="Europe/Berlin"
        )
        for n in range(3)
    ]
    registry.add_devices(engine, wanted, now_ms=T0)
    return turns(engine)


def turns(engine: Engine) -> Turns:
    """Turns over the fleet of a ledger that is settled in."""
    roster = registry.load_roster(engine)
    casework = Casework(
        rules=RULES, fleet=Fleet.of(roster.devices), device=roster.device, texts=TEXTS, timing=Timing(quiet_ms=MINUTE)
    )
    return Turns(engine, casework)


def alert(rule: str = "BatteryWearingOut", state="firing", *, at: int = T0, device: str = "d0") -> Alert:
    return Alert(
        rule=rule, device_id=DeviceId(device), state=state, at_ms=at, since_ms=at, severity=RULES[rule].severity,
        cause="battery" if rule.startswith("Battery") else "",
    )  # fmt: skip
