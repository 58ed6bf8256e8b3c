"""SMS through Twilio's own client: its failures become our four, its callbacks carry our id.

Facts that shape this module: creating a message takes no idempotency key, so a time-out after sending is in doubt and
is settled by the status callback, whose address names our message; the client has no base URL, so another host is
reached by mapping the first label of the host name in its HTTP client; `str()` of its errors may hold terminal colours
and personal data, so only codes are kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ConnectTimeout, RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from gateway.errors import ChannelDown, OutcomeUnknown, TryLater, Undeliverable
from gateway.model import Message

TIMEOUT_S = 20.0  # Twilio answers a create within a second or two; a longer wait only holds the line
MAX_VALIDITY_S = 36_000  # Twilio's API description, ValidityPeriod: 1 to 36000

NEVER: Mapping[int, str] = {
    21211: "bad_number",
    21214: "bad_number",
    21217: "bad_number",
    21610: "opted_out",
    21612: "no_route",
    21614: "not_mobile",
    21617: "too_long",
}
"""Errors of one recipient. Source: twilio.com/docs/api/errors."""
LATER: Mapping[int, float] = {20429: 30.0, 21611: 600.0, 63038: 3600.0}
"""Errors that pass, and after how many seconds to try again: too many requests, full sender queue, daily limit."""


class MappedHttpClient(TwilioHttpClient):
    """Twilio's HTTP client, sending to another host by product (`api`, `messaging`): for tests and proxies.

    A host that is not mapped is refused, so that no test reaches the real service.
    """

    def __init__(self, bases: Mapping[str, str], *, timeout: float = TIMEOUT_S) -> None:
        super().__init__(timeout=timeout)
        self.bases = bases

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """As Twilio's, to the mapped host. Raises ChannelDown (`unmapped_host`)."""
        parts = urlsplit(url)
        product = parts.netloc.split(".")[0]
        if product not in self.bases:
            raise ChannelDown("unmapped_host", product)
        base = urlsplit(self.bases[product])
        return super().request(
            method, urlunsplit((base.scheme, base.netloc, base.path + parts.path, parts.query, "")), *args, **kwargs
        )


class TwilioSms:
    """A channel to phones. One of `service_sid` (preferred) and `sender` says who sends."""

    name = "twilio"

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        service_sid: str = "",
        sender: str = "",
        callback_url: str = "",
        bases: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`callback_url` is the public address of the status webhook; "" asks for no callbacks."""
        http = MappedHttpClient(bases, timeout=timeout_s) if bases else TwilioHttpClient(timeout=timeout_s)
        self.client = Client(account_sid, auth_token, http_client=http)
        self.sender = {"messaging_service_sid": service_sid} if service_sid else {"from_": sender}
        self.callback_url = callback_url

    def send(self, message: Message, *, address: str) -> str:
        """Hand a message to Twilio; its SID.

        Raises:
            TryLater: `unreachable`, `rate_limited`: nothing happened.
            OutcomeUnknown: `no_reply`, `server_error`: it may be on its way.
            Undeliverable: a code of `NEVER`.
            ChannelDown: `refused`: our account, sender or settings.
        """
        validity_s = int(message.expires_ms / 1000 - time.time())
        options: dict[str, Any] = {**self.sender, "validity_period": max(1, min(validity_s, MAX_VALIDITY_S))}
        if self.callback_url:
            options["status_callback"] = f"{self.callback_url}?{urlencode({'message': message.message_id})}"
        try:
            sent = self.client.messages.create(to=address, body=message.text, **options)
        except ConnectTimeout as exc:  # nothing has left this machine
            raise TryLater("unreachable", after_s=30) from exc
        except RequestsConnectionError as exc:
            if _never_connected(exc):
                raise TryLater("unreachable", after_s=30) from exc
            raise OutcomeUnknown("no_reply") from exc
        except RequestException as exc:
            raise OutcomeUnknown("no_reply") from exc
        except TwilioRestException as exc:
            raise _ours(exc) from exc
        except TwilioException as exc:
            raise OutcomeUnknown("bad_answer") from exc
        return str(sent.sid)


def _never_connected(exc: RequestsConnectionError) -> bool:
    """Whether no connection was made: refused, or no such host."""
    reason = getattr(exc.args[0], "reason", None) if exc.args else None
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}


def _ours(exc: TwilioRestException) -> TryLater | OutcomeUnknown | Undeliverable | ChannelDown:
    """Twilio's answer as one of our four failures."""
    code = int(exc.code or 0)
    if code in LATER or exc.status == 429:
        return TryLater("rate_limited", f"Twilio {code}", after_s=LATER.get(code, 30.0))
    if exc.status >= 500:
        return OutcomeUnknown("server_error", f"HTTP {exc.status}")
    if code in NEVER:
        return Undeliverable(NEVER[code], f"Twilio {code}")
    return ChannelDown("refused", f"Twilio {code}, HTTP {exc.status}")


def signature_fits(auth_tokens: tuple[str, ...], *, url: str, form: Mapping[str, str], signature: str) -> bool:
    """Whether a webhook comes from Twilio: signed with one of our tokens (two while one is replaced).

    Args:
        auth_tokens: primary, and secondary during a rotation.
        url: the public address that Twilio called, query included; from the settings, never from `Host`.
        form: the posted fields.
        signature: header `X-Twilio-Signature`; "" where it is missing.
    """
    return bool(signature) and any(
        RequestValidator(token).validate(url, dict(form), signature) for token in auth_tokens if token
    )
