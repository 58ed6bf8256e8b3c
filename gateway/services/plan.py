"""One turn's casework as a pure function: transitions to incidents, tickets and messages, as one value to commit.

`plan_turn` composes `incidents.fold`, tickets with their evidence, `outreach.compose` and `outreach.decide`. Ids come
from keys and time from the caller, so the same input gives the same outcome, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from gateway.incidents import SELF, AlertChange, Fleet, RuleInfo, TicketEvent, Timing, TurnOutcome, View, derive, fold
from gateway.incidents.outcome import EventKind
from gateway.model import (
    Alert,
    Contact,
    CustomerId,
    Device,
    Evidence,
    Forecast,
    Incident,
    Message,
    Ticket,
    TicketStatus,
)
from gateway.outreach import Hold, Send, Texts, compose, decide
from rules import Rule

DAY_MS = 86_400_000
WARNING_LIVES_MS = 2 * DAY_MS  # a warning older than this has lost its point (judgement)
RECOVERED = "recovered"  # the text that says all is well again
URGENT_LIVES_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Whom a turn may write to; asked only for devices that just fell ill."""

    contacts: Callable[[CustomerId], Sequence[Contact]] = lambda _customer: ()
    sent_ms: Callable[[str], Sequence[int]] = lambda _contact: ()  # by contact id, within the last day
    told: Callable[[str], Sequence[str]] = lambda _ticket: ()  # ids of contacts whom a ticket's warning has reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Casework:
    """What stays the same from turn to turn, until settings, rules or the roster change."""

    rules: Mapping[str, RuleInfo]
    fleet: Fleet
    device: Callable[[str], Device | None]
    texts: Texts
    sender: str = "Beforehand"
    channel: str = "sms"  # of contacts that are written to
    timing: Timing = field(default_factory=Timing)


def rule_info(rule: Rule) -> RuleInfo:
    """What casework needs of a rule. One without a ticket is only recorded."""
    told = rule.tell_customer
    return RuleInfo(
        name=rule.alert,
        severity=rule.severity,
        inhibited_by=rule.inhibited_by,
        priority=rule.ticket.priority if rule.ticket else "normal",
        template=told.template if told else "",
        urgent=told.urgent if told else False,
        reach="record" if rule.ticket is None else "message" if told else "ticket",
    )


def plan_turn(
    alerts: Sequence[Alert],
    view: View,
    casework: Casework,
    *,
    now_ms: int,
    window: int | None = None,
    evidence_of: Callable[[str, str], Evidence],
    title_of: Callable[[str, str], str] = lambda _device, rule: words(rule),
    people: People | None = None,
) -> TurnOutcome:
    """What follows from this turn's alerts; nothing is written.

    Args:
        alerts: transitions of this turn.
        view: the casebook, as `ledger.caseview.load_view` read it.
        casework: rules, fleet, texts.
        now_ms: event time of the turn.
        window: the new watermark.
        evidence_of: (device id, rule) -> what the ticket shows; asked once for each new ticket.
        title_of: (device id, rule) -> the ticket's title.
        people: contacts of customers; None writes to nobody.
    """
    changed, alert_changes = fold(
        alerts, view, rules=casework.rules, fleet=casework.fleet, now_ms=now_ms, timing=casework.timing
    )
    before = {incident.incident_id: incident for incident in (*view.recent, *view.open)}
    plan = _Plan(view, casework, now_ms, evidence_of, title_of, people or People())
    for incident in changed:
        plan.follow(before.get(incident.incident_id), incident)
    return TurnOutcome(
        now_ms=now_ms,
        window=window,
        incidents=changed,
        alerts=_owned(alert_changes),
        tickets=tuple(plan.tickets),
        statuses=tuple(plan.statuses),
        events=tuple(plan.events),
        messages=tuple(plan.messages),
    )


def _owned(changes: Sequence[AlertChange]) -> tuple[AlertChange, ...]:
    return tuple(change for change in changes if change.alert.state != "pending")


@dataclass(slots=True)
class _Plan:
    """Collects what one turn adds to tickets and the outbox."""

    view: View
    casework: Casework
    now_ms: int
    evidence_of: Callable[[str, str], Evidence]
    title_of: Callable[[str, str], str]
    people: People
    tickets: list[Ticket] = field(default_factory=list)
    statuses: list[tuple[str, TicketStatus]] = field(default_factory=list)
    events: list[TicketEvent] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def follow(self, before: Incident | None, after: Incident) -> None:
        """Open the incident's ticket, or tell its ticket what changed."""
        ticket_id = self.view.tickets.get(after.incident_id)
        if ticket_id is None:
            if after.state == "open" and after.firing and not after.muted:
                self._open(after)
        elif before is not None and before.state == "open" and after.state == "resolved":
            self._recovered(after, ticket_id)
        elif before is not None and before.state != "open" and after.state == "open":
            self._tell(ticket_id, after, f"reopened-{after.reopened}", "The trouble has returned.", "open")
        elif before is not None and after.state == "open" and not after.muted:
            for name in sorted(set(after.firing) - set(before.rules)):
                self._worsened(after, ticket_id, name)

    def _open(self, incident: Incident) -> None:
        rule = self._leading(incident)
        if rule is None:
            return
        device = self.casework.device(incident.device_id)
        ticket = Ticket(
            ticket_id=derive("tic", incident.incident_id),
            incident_id=incident.incident_id,
            device_id=incident.device_id,
            customer_id=device.customer_id if device else None,
            title=self._title(incident, rule),
            status="new",
            priority="urgent" if incident.severity == "critical" and rule.priority == "high" else rule.priority,
            opened_ms=self.now_ms,
            updated_ms=self.now_ms,
            evidence=Evidence() if incident.device_id == "" else self.evidence_of(incident.device_id, rule.name),
        )
        self.tickets.append(ticket)
        self._event(ticket.ticket_id, "opened", ticket.title, key=f"{ticket.ticket_id}:opened")
        if device is not None and rule.reach == "message":
            self._write(rule, incident, ticket.ticket_id, device, evidence=ticket.evidence)

    def _worsened(self, incident: Incident, ticket_id: str, name: str) -> None:
        """Another rule fires in an incident that has its ticket."""
        self._event(ticket_id, "incident", f"{words(name)}.", key=f"{incident.incident_id}:rule:{name}")
        rule, device = self.casework.rules.get(name), self.casework.device(incident.device_id)
        if rule is not None and device is not None and rule.reach == "message":
            evidence = self.evidence_of(device.device_id, name)
            self._write(rule, incident, ticket_id, device, evidence=evidence)

    def _leading(self, incident: Incident) -> RuleInfo | None:
        """The firing rule that carries furthest: to a message, then to a ticket; then the most severe."""
        known = [self.casework.rules[name] for name in incident.firing if name in self.casework.rules]
        if incident.device_id == SELF and not known:
            return RuleInfo(name=incident.rules[0], severity=incident.severity, priority="high")
        reaching = [rule for rule in known if rule.reach != "record"]
        order = ("info", "warning", "critical")
        return max(reaching, key=lambda r: (order.index(r.severity), r.reach == "message", r.name), default=None)

    def _title(self, incident: Incident, rule: RuleInfo) -> str:
        if incident.device_id:
            return self.title_of(incident.device_id, rule.name)
        return f"{words(rule.name)} on many devices at once: {incident.cause.partition('=')[2]}"

    def _write(
        self,
        rule: RuleInfo,
        incident: Incident,
        ticket_id: str,
        device: Device,
        *,
        evidence: Evidence,
        only: Container[str] | None = None,
    ) -> None:
        """One message to each contact of the customer (of `only` those), each as policy decides now."""
        facts = message_facts(evidence.forecasts, device, self.now_ms)
        lives_ms = URGENT_LIVES_MS if rule.urgent else WARNING_LIVES_MS
        for contact in self.people.contacts(device.customer_id) if device.customer_id else ():
            if contact.channel != self.casework.channel or (only is not None and contact.contact_id not in only):
                continue
            composed = compose(
                self.casework.texts, rule.template, contact.language, facts,
                sender=self.casework.sender, device_type=device.type,
            )  # fmt: skip
            key = f"{incident.incident_id}:{incident.reopened if only else ''}:{rule.template}:{contact.contact_id}"
            message = Message(
                message_id=derive("msg", key), key=key, contact_id=contact.contact_id, ticket_id=ticket_id,
                channel=contact.channel, text=composed.text, language=composed.language, urgent=rule.urgent,
                created_ms=self.now_ms, expires_ms=self.now_ms + lives_ms, template=rule.template, due_ms=self.now_ms,
            )  # fmt: skip
            self.messages.append(self._decided(message, contact, device))

    def _decided(self, message: Message, contact: Contact, device: Device) -> Message:
        sent_ms = self.people.sent_ms(contact.contact_id)
        match decide(message, contact, sent_ms, self.now_ms, device_zone=device.zone):
            case Send():
                decided, told = message, "queued"
            case Hold(until_ms, reason):
                decided, told = replace(message, state="held", due_ms=until_ms, reason=reason), f"held: {reason}"
            case skip:
                decided, told = replace(message, state="skipped", reason=skip.reason), f"not sent: {skip.reason}"
        assert message.ticket_id is not None
        self._event(message.ticket_id, "message", f"{message.template} {told}", key=f"{message.message_id}:{told}")
        return decided

    def _recovered(self, incident: Incident, ticket_id: str) -> None:
        self._tell(ticket_id, incident, f"recovered-{incident.reopened}", "The device has recovered.", "solved")
        told, device = self.people.told(ticket_id), self.casework.device(incident.device_id)
        if told and device is not None and not device.revoked:
            self._write(
                RuleInfo(name="", template=RECOVERED), incident, ticket_id, device, evidence=Evidence(), only=told
            )

    def _tell(self, ticket_id: str, incident: Incident, key: str, text: str, status: TicketStatus) -> None:
        self.statuses.append((ticket_id, status))
        self._event(ticket_id, "incident", text, key=f"{incident.incident_id}:{key}")

    def _event(self, ticket_id: str, kind: EventKind, text: str, *, key: str) -> None:
        self.events.append(TicketEvent(key=key, ticket_id=ticket_id, at_ms=self.now_ms, kind=kind, text=text))


def message_facts(forecasts: Sequence[Forecast], device: Device, now_ms: int) -> dict[str, object]:
    """What texts may name: the soonest forecast in days, rounded up, at least 1; where the device stands."""
    facts: dict[str, object] = {"site": device.site, "firmware": device.firmware}
    dated = [f for f in forecasts if f.median_ms is not None]
    if dated:
        soonest = min(dated, key=lambda f: (f.median_ms or 0, f.name))
        for name, at_ms in (("days", soonest.median_ms), ("low_days", soonest.low_ms), ("high_days", soonest.high_ms)):
            if at_ms is not None:
                facts[name] = max(1, ceil((at_ms - now_ms) / DAY_MS))
    return facts


def words(rule: str) -> str:
    """A rule's name as a person reads it: `BatteryWearingOut` is `Battery wearing out`."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in rule).strip()
    return spaced[:1].upper() + spaced[1:]
