"""Sending what is due. Only this module sends, and only from the outbox (promise 4).

For each message: `decide` again, for an opt-out may have arrived or the device may have recovered; mark it `sending`,
durably; send; record. What may have gone is never repeated: its callback settles it, or after an hour a person does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine

from gateway.errors import ChannelDown, GatewayError, OutcomeUnknown, TryLater, Undeliverable
from gateway.ledger import casebook, outbox, people, setting
from gateway.ledger.outbox import Due
from gateway.outreach import Hold, Send, Skip, cost, decide
from gateway.ports import Channel
from gateway.services.selfcase import raise_self, recover_self

STUCK_MS = 120_000  # `sending` for longer than any channel's time-out: its process died
DOUBT_MS = 3_600_000  # a callback later than this will not come (ARCHITECTURE, "When things break")
MAX_BACKOFF_S = 900.0
DOWN = "channel_down."

log = structlog.get_logger()


@dataclass(slots=True)
class Dispatch:
    """Sends from one ledger through channels named by the kind of contact they reach (`sms`, `email`)."""

    engine: Engine
    channels: Mapping[str, Channel]
    now_ms: Callable[[], int]
    rng: random.Random = field(default_factory=random.Random)
    counts: Counter[str] = field(default_factory=Counter)  # messages by how they fared, since start

    async def run(self, *, poll_s: float = 1.0) -> None:
        """Send what is due, until cancelled."""
        while True:
            await asyncio.to_thread(self.round)
            await asyncio.sleep(poll_s)

    def round(self, *, limit: int = 50) -> Counter[str]:
        """Try everything that is due once; how the messages fared, by code. Blocks."""
        done: Counter[str] = Counter()
        now_ms = self.now_ms()
        done["crashed"] += outbox.recover(self.engine, before_ms=now_ms - STUCK_MS)
        down = {key.removeprefix(DOWN) for key in setting.read(self.engine, DOWN)}
        for due in outbox.due(self.engine, now_ms=now_ms, limit=limit):
            channel = self.channels.get(due.message.channel)
            if channel is None:
                outbox.skip(self.engine, due.message.message_id, reason="no_channel", now_ms=now_ms)
                done["no_channel"] += 1
            elif channel.name not in down:
                code = self._one(due, channel)
                done[code] += 1
                down |= {channel.name} if code == "channel_down" else set()
        self._show_doubts(now_ms)
        self.counts.update(+done)
        return +done

    def resume(self, channel: str) -> None:
        """A person has put a channel right: send through it again."""
        setting.forget(self.engine, DOWN + channel)
        recover_self(self.engine, f"ChannelDown{channel.capitalize()}", now_ms=self.now_ms())

    def _one(self, due: Due, channel: Channel) -> str:
        message, now_ms = due.message, self.now_ms()
        times = outbox.answer_times if message.answers else outbox.sent_times
        sent_ms = times(self.engine, message.contact_id, now_ms=now_ms)
        match decide(message, due.contact, sent_ms, now_ms, device_zone=due.device_zone, holds=due.holds):
            case Hold(until_ms, reason):
                outbox.hold(self.engine, message.message_id, until_ms=until_ms, reason=reason)
                return f"held_{reason}"
            case Skip(reason):
                outbox.skip(self.engine, message.message_id, reason=reason, now_ms=now_ms)
                if due.attempts and reason.startswith("expire"):  # it was tried, lost, and its time is over
                    self._tell_ticket(due, reason, now_ms)
                return f"skipped_{reason}"
            case Send():
                pass
        if not outbox.mark_sending(self.engine, message.message_id, now_ms=now_ms):
            return "taken"  # another dispatcher was faster
        try:
            provider_id = channel.send(message, address=due.contact.address)
        except GatewayError as exc:
            code = self._failed(due, channel, exc)
        else:
            segments = cost(message.text).segments
            outbox.mark_sent(
                self.engine, message.message_id, provider_id=provider_id, now_ms=self.now_ms(), segments=segments
            )
            code = "sent"
        log.info(
            f"outreach.{code}", message=message.message_id, channel=channel.name, template=message.template,
            urgent=message.urgent, attempts=due.attempts + 1, waited_ms=max(0, now_ms - message.created_ms),
        )  # fmt: skip
        return code

    def _failed(self, due: Due, channel: Channel, exc: GatewayError) -> str:
        message_id, now_ms = due.message.message_id, self.now_ms()
        match exc:
            case TryLater():
                until_ms = now_ms + int(1000 * self._backoff_s(exc.after_s, due.attempts))
                outbox.postpone(self.engine, message_id, until_ms=until_ms, reason=exc.code)
                return "postponed"
            case Undeliverable():
                outbox.fail(self.engine, message_id, reason=exc.code, now_ms=now_ms, address_is_dead=_is_dead(exc))
                self._tell_ticket(due, exc.code, now_ms)
                return "undeliverable"
            case ChannelDown():
                outbox.postpone(self.engine, message_id, until_ms=now_ms, reason=exc.code)
                self._stop(channel.name, exc, now_ms)
                return "channel_down"
            case _:  # OutcomeUnknown, or worse: it may have gone
                outbox.in_doubt(self.engine, message_id, reason=exc.code)
                return "unknown" if isinstance(exc, OutcomeUnknown) else "failed_in_channel"

    def _backoff_s(self, after_s: float, attempts: int) -> float:
        """Full jitter above what the provider asks for (AWS Architecture Blog 2015, Exponential Backoff And Jitter)."""
        return after_s + self.rng.uniform(0, min(MAX_BACKOFF_S, after_s * 2 ** min(attempts, 10)))

    def _tell_ticket(self, due: Due, code: str, now_ms: int) -> None:
        message = due.message
        if code == "opted_out":
            people.record_consent(
                self.engine, message.contact_id, "opt_out", source="provider", wording="21610", at_ms=now_ms
            )
        if message.ticket_id is not None:
            text = f"The message could not be delivered ({code}). Reach the customer another way."
            key = f"{message.message_id}:undeliverable"
            casebook.call_attention(self.engine, message.ticket_id, "undeliverable", text=text, now_ms=now_ms, key=key)

    def _stop(self, channel: str, exc: GatewayError, now_ms: int) -> None:
        setting.write(self.engine, DOWN + channel, exc.code, author="dispatch", now_ms=now_ms)
        log.error("outreach.channel_down", channel=channel, code=exc.code, detail=exc.detail)
        raise_self(
            self.engine,
            f"ChannelDown{channel.capitalize()}",
            title=f"Messages do not go out: {channel} refuses our account",
            why=f"{channel} answered {exc.code} ({exc.detail}). Messages wait; put the account right, then resume.",
            now_ms=now_ms,
        )

    def _show_doubts(self, now_ms: int) -> None:
        for message_id, ticket_id in outbox.doubtful(self.engine, before_ms=now_ms - DOUBT_MS):
            log.warning("outreach.doubt", message=message_id)
            if ticket_id is not None:
                text = "Nobody knows whether the message reached the customer. Ask before sending it again."
                key = f"{message_id}:doubt"
                casebook.call_attention(
                    self.engine, ticket_id, "unknown_outcome", text=text, now_ms=now_ms, key=key
                )  # fmt: skip


def _is_dead(exc: Undeliverable) -> bool:
    """Whether no other message can reach the address either."""
    return exc.code in {"bad_number", "not_mobile", "no_route"}
