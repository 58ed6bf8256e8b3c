"""What comes back: replies, opt-outs, delivery status, from a provider's webhook or the console's phones page.

A reply is kept once, threaded to the ticket it answers, understood, and then answered through the outbox or handed to a
person, all in one ledger transaction. One that needs a person and answers no ticket gets one first, for what is said of
us ("our team has been alerted") must be so. Methods block; webhooks call them through `to_thread`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import structlog
from sqlalchemy import Connection, Engine

from gateway.conversation import Response, Understanding, brief, respond, understand
from gateway.incidents import SELF, derive, fingerprint
from gateway.ledger import casebook, inbox, outbox, people
from gateway.ledger.database import reading, writing
from gateway.ledger.inbox import Thread
from gateway.ledger.outbox import ProviderStatus
from gateway.model import Contact, Message
from gateway.outreach import Texts, compose
from gateway.services.selfcase import raise_self

ANSWER_LIVES_MS = 3_600_000  # an automatic answer an hour late only puzzles
DEAD = {"30004": "blocked", "30005": "unknown_number", "30006": "not_mobile"}  # Twilio: no retry, mark the number
PASSING = {"30003": "phone_unreachable", "30008": "lost_by_carrier"}
"""Errors after which the same message may yet arrive. Twilio's page on 30003: phone off, without signal, or a carrier's
trouble: "Retry the message"; 30008 is a carrier's failure without a reason."""
AGAIN_MS = (15 * 60_000, 3_600_000, 4 * 3_600_000)
"""Waits before the second, third and fourth sending: a reboot, a charge, an evening out (judgement)."""
OPTED_OUT = "21610"
WROTE = "A customer wrote to us"
NO_TICKET = "The message answers none of ours and its customer has no open ticket."

Taken: TypeAlias = Literal["kept", "repeat", "stranger"]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Takes what comes in, into one ledger."""

    engine: Engine
    texts: Texts
    now_ms: Callable[[], int]
    sender: str = "Beforehand"

    def reply(
        self, *, address: str, text: str, provider_id: str, channel: str = "sms", opt_out_type: str = ""
    ) -> Taken:
        """Take one message from a contact.

        Args:
            address: whom it is from, as the channel writes addresses.
            text: as it came.
            provider_id: the provider's id of it (Twilio: MessageSid); the same id is taken once.
            channel: kind of contact.
            opt_out_type: Twilio's `OptOutType` (STOP, START, HELP): its service has answered already.
        """
        contact, now_ms = people.find_by_address(self.engine, channel, address), self.now_ms()
        if contact is None:
            log.info("inbound.stranger", channel=channel, provider_id=provider_id)
            return "stranger"
        key = f"{channel}:{provider_id}"
        self._see_to_ticket(contact, text, opt_out_type, key=key)
        with writing(self.engine) as connection:
            if not outbox.first_sight(connection, key, now_ms=now_ms):
                return "repeat"
            thread = inbox.find_thread(connection, contact.contact_id, now_ms=now_ms)
            meaning = self._meaning(text, thread, contact, opt_out_type)
            message_id = derive("msg", "in", channel, provider_id)
            inbox.keep_reply(
                connection, message_id=message_id, contact_id=contact.contact_id, channel=channel, text=text,
                provider_id=provider_id, ticket_id=thread.ticket_id, understanding=asdict(meaning), now_ms=now_ms,
            )  # fmt: skip
            earlier = [Understanding(**kept) for kept in thread.earlier]
            response = respond(
                meaning, earlier=earlier, told_by_provider=bool(opt_out_type), person_wrote=thread.person_wrote
            )
            self._carry_out(connection, response, meaning, contact, thread=thread, text=text, answers=message_id)
        log.info(
            "inbound.reply", message=message_id, intent=meaning.intent, answer=meaning.answer, mood=meaning.mood,
            attention=response.attention,
        )  # fmt: skip
        return "kept"

    def status(self, *, message_id: str, status: ProviderStatus, provider_id: str = "", code: str = "") -> bool:
        """Take a delivery status; whether it moved the message. Late, repeated and unknown ones move nothing.

        A message lost for a passing reason goes back into the outbox, some times, and is asked about again by policy.
        """
        if code in PASSING and status in ("failed", "undelivered") and self._again(message_id, provider_id, code):
            return True
        moved = outbox.settle(
            self.engine, message_id, status=status, code=code, provider_id=provider_id, now_ms=self.now_ms()
        )
        if moved and status in ("failed", "undelivered"):
            self._undelivered(message_id, code)
        log.info("inbound.status", message=message_id, status=status, code=code, moved=moved)
        return moved

    def _see_to_ticket(self, contact: Contact, text: str, opt_out_type: str, *, key: str) -> None:
        """Open a ticket where a message needs a person and its customer has none that is open."""
        now_ms = self.now_ms()
        with reading(self.engine) as connection:
            thread = inbox.find_thread(connection, contact.contact_id, now_ms=now_ms)
            if thread.ticket_id is not None or outbox.was_seen(connection, key):
                return
        if respond(self._meaning(text, thread, contact, opt_out_type)).attention:
            cause = f"CustomerWrote {contact.customer_id}"
            raise_self(self.engine, cause, title=WROTE, why=NO_TICKET, now_ms=now_ms, severity="warning")
            casebook.give_to_customer(self.engine, fingerprint(SELF, cause), contact.customer_id)

    def _meaning(self, text: str, thread: Thread, contact: Contact, opt_out_type: str) -> Understanding:
        match opt_out_type.upper():
            case "STOP" | "START" | "HELP" as kind:
                words = {"STOP": "stop", "START": "start", "HELP": "help"}[kind]
                return understand(words)
            case _:
                offered = self.texts.answers(thread.template, contact.language) if thread.template else ()
                return understand(text, offered)

    def _carry_out(
        self, connection: Connection, response: Response, meaning: Understanding, contact: Contact, *,
        thread: Thread, text: str, answers: str,
    ) -> None:  # fmt: skip
        now_ms = self.now_ms()
        if response.consent:
            inbox.keep_consent(connection, contact.contact_id, response.consent, text=text, now_ms=now_ms)
        if thread.ticket_id is not None:
            facts = [fact for fact in (thread.title, thread.why) if fact]
            inbox.change(
                connection, thread.ticket_id, author=contact.contact_id, now_ms=now_ms, status=response.status,
                priority=response.priority, outcome=response.outcome, attention=response.attention,
                brief=str(brief(response.attention, meaning, said=text, facts=facts)),
            )  # fmt: skip
        if response.template:
            inbox.queue_answer(connection, self._answer(response, meaning, contact, thread, answers=answers))

    def _answer(
        self, response: Response, meaning: Understanding, contact: Contact, thread: Thread, *, answers: str
    ) -> Message:
        """The automatic answer, in the language the contact wrote in where the script tells, else in theirs.

        It is a millisecond younger than what it answers, so that a conversation has one order.
        """
        now_ms = self.now_ms()
        composed = compose(
            self.texts, response.template, meaning.language or contact.language, {},
            sender=self.sender, device_type=thread.device_type,
        )  # fmt: skip
        key = f"{answers}:answer"
        return Message(
            message_id=derive("msg", key), key=key, contact_id=contact.contact_id, ticket_id=thread.ticket_id,
            channel=contact.channel, text=composed.text, language=composed.language, template=response.template,
            urgent=meaning.intent == "urgent", created_ms=now_ms + 1, due_ms=now_ms,
            expires_ms=now_ms + ANSWER_LIVES_MS,
            answers=answers,
        )  # fmt: skip

    def _again(self, message_id: str, provider_id: str, code: str) -> bool:
        """Whether a message that was lost is sent again later; its ticket is told when."""
        now_ms, reason = self.now_ms(), PASSING[code]
        with writing(self.engine) as connection:
            due_ms = outbox.lose(
                connection, message_id, provider_id=provider_id, waits_ms=AGAIN_MS, reason=reason, now_ms=now_ms
            )
            if due_ms is None:
                return False
            minutes = (due_ms - now_ms) // 60_000
            text = f"The message did not reach the phone ({code}); it is tried again in {minutes} minutes."
            inbox.remark(connection, message_id, text, key=f"{message_id}:lost:{provider_id}", now_ms=now_ms)
        log.info("inbound.lost", message=message_id, code=code, again_ms=due_ms)
        return True

    def _undelivered(self, message_id: str, code: str) -> None:
        contact_id, ticket_id = outbox.recipient(self.engine, message_id)
        now_ms = self.now_ms()
        if code in DEAD:
            people.mark_unreachable(self.engine, contact_id, DEAD[code])
        if code == OPTED_OUT:
            people.record_consent(self.engine, contact_id, "opt_out", source="provider", wording=code, at_ms=now_ms)
        if ticket_id is not None:
            text = f"The message was not delivered ({code or 'no reason given'}). Reach the customer another way."
            casebook.call_attention(
                self.engine, ticket_id, "undelivered", text=text, now_ms=now_ms, key=f"{message_id}:undelivered"
            )
