"""The doors through which replies come in: Twilio's webhooks, validated, and the console's phones page."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast, get_args
from urllib.parse import parse_qsl, urlsplit

from gateway.errors import Refused
from gateway.ledger import people
from gateway.ledger.outbox import ProviderStatus
from gateway.services.inbound import Inbound

EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
"""We answer through the outbox alone: one path for policy, audit and cost."""

Validate = Callable[[str, Mapping[str, str], str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """What the console hands over. `signed(url, form, signature)` says whether a webhook is the provider's."""

    inbound: Inbound
    signed: Validate = lambda _url, _form, _signature: False

    def say(self, contact_id: str, text: str) -> None:
        """A contact writes from the phones page. Raises NotFound (`contact`)."""
        contact = people.find_contact(self.inbound.engine, contact_id)
        self.inbound.reply(
            address=contact.address, text=text, provider_id=f"console-{uuid.uuid4().hex}", channel=contact.channel
        )

    def twilio_inbound(self, url: str, params: Mapping[str, str], signature: str) -> str:
        """Take an SMS from Twilio; the TwiML to answer with.

        Raises:
            Refused: `bad_signature`, `bad_webhook` (a field is missing).
        """
        self._check(url, params, signature)
        sid, address = params.get("MessageSid", ""), params.get("From", "")
        if not sid or not address:
            raise Refused("bad_webhook", "MessageSid or From is missing")
        opt_out_type = params.get("OptOutType", "")
        self.inbound.reply(address=address, text=params.get("Body", ""), provider_id=sid, opt_out_type=opt_out_type)
        return EMPTY_TWIML

    def twilio_status(self, url: str, params: Mapping[str, str], signature: str) -> None:
        """Take a delivery status from Twilio; our id of the message is in the address it calls.

        Raises:
            Refused: `bad_signature`, `bad_webhook` (no message, or a status Twilio does not have).
        """
        self._check(url, params, signature)
        status = params.get("MessageStatus", "")
        message_id = dict(parse_qsl(urlsplit(url).query)).get("message", "")
        if status not in get_args(ProviderStatus) or not message_id:
            raise Refused("bad_webhook", "no message, or an unknown status")
        self.inbound.status(
            message_id=message_id,
            status=cast("ProviderStatus", status),
            provider_id=params.get("MessageSid", ""),
            code=params.get("ErrorCode", ""),
        )

    def _check(self, url: str, params: Mapping[str, str], signature: str) -> None:
        if not self.signed(url, params, signature):
            raise Refused("bad_signature", "the request is not signed by the provider")
