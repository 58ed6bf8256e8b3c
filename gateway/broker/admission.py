"""Who may connect to the embedded broker: NATS asks here for every device that connects (its `auth callout`).

The answer is a token with the device's permissions: its own topics and nothing else. The secret a device shows is
compared by hash; the hash comes from the ledger at that moment, so that adding and revoking need no reload. Answering
takes well under a millisecond (measured: tests/integration/test_broker.py prints it with `-s`).

Source: docs.nats.io, Auth Callout; claims as in github.com/nats-io/jwt (v2/authorization_claims.go).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from edge.wire import DEVICE_ID, UP
from gateway.broker.config import ACCOUNT
from gateway.broker.nkey import AccountKey, claims_of
from gateway.ingest.subject import subject_of

REQUEST_SUBJECT = "$SYS.REQ.USER.AUTH"
log = structlog.get_logger(__name__)


def hash_token(token: str) -> str:
    """What the ledger keeps of a device's secret: a token is 32 random bytes, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def permissions(device_id: str, patterns: Sequence[str] = ()) -> dict[str, object]:
    """What a device may publish and subscribe to: its own topics, and the subjects NATS keeps for MQTT sessions.

    `patterns` are the topics of plain MQTT devices; `{device}` stands for the id, and those without it are left out.
    """
    own = f"bf.1.{device_id}"
    up = [f"{own}.{kind}" for kind in UP]
    plain = [subject_of(p.replace("{device}", device_id)) for p in patterns if "{device}" in p.split("/")]
    return {
        "pub": {"allow": [*up, *plain, "$MQTT.deliver.pubrel.>"]},
        "sub": {"allow": [own, f"{own}.>", "$MQTT.sub.>", "$MQTT.deliver.pubrel.>"]},
    }


class Admission:
    """Answers the broker's question whether a device may connect.

    `credential` gives the hash of a device's token, or None where the device is unknown or revoked; it may block, so
    it runs in a thread. `refused` counts by reason; `connections` holds the broker's number of each admitted link.
    """

    def __init__(
        self, key: AccountKey, credential: Callable[[str], str | None], *, patterns: Sequence[str] = ()
    ) -> None:
        self._key = key
        self._patterns = patterns
        self._credential = credential
        self.refused: Counter[str] = Counter()
        self.connections: dict[str, int] = {}

    async def serve(self, client: Client) -> None:
        """Subscribe to the broker's questions; they are answered until `client` is closed."""
        await client.subscribe(REQUEST_SUBJECT, cb=self._answer)

    async def _answer(self, message: Msg) -> None:
        try:
            request = claims_of(message.data)["nats"]
            assert isinstance(request, dict)
            user, server = str(request["user_nkey"]), str(request["server_id"]["id"])
            options, client = request["connect_opts"], request["client_info"]
        except (ValueError, KeyError, TypeError, AssertionError) as exc:
            log.error("broker.auth_question", error=str(exc))
            return
        device_id = str(options.get("user", ""))
        code = await asyncio.to_thread(self._judge, device_id, str(options.get("pass", "")))
        if code:
            self.refused[code] += 1
            log.warning("broker.refused", device_id=device_id[:64], code=code)
            await message.respond(self._response(user, server, error=code))
            return
        self.connections[device_id] = int(client.get("id", 0))
        await message.respond(self._response(user, server, grant=self._grant(user, device_id)))

    def _judge(self, device_id: str, token: str) -> str:
        """Empty where the device may come in, else why not."""
        expected = self._credential(device_id) if DEVICE_ID.fullmatch(device_id) else None
        if expected is None:
            return "unknown_device"
        return "" if hmac.compare_digest(expected, hash_token(token)) else "wrong_token"

    def _grant(self, user: str, device_id: str) -> str:
        rights = {"subs": -1, "data": -1, "payload": -1, "allowed_connection_types": ["MQTT", "MQTT_WS"]}
        rights |= permissions(device_id, self._patterns)
        return self._key.sign({"sub": user, "aud": ACCOUNT, "name": device_id, **_stamp("user", rights)})

    def _response(self, user: str, server: str, *, grant: str = "", error: str = "") -> bytes:
        nats = {"jwt": grant} if grant else {"error": error}
        return self._key.sign({"sub": user, "aud": server, **_stamp("authorization_response", nats)}).encode()


def _stamp(kind: str, nats: Mapping[str, object]) -> dict[str, object]:
    body = {**nats, "type": kind, "version": 2}
    now = int(time.time())
    identity = hashlib.sha256(json.dumps([now, body]).encode()).hexdigest()[:32]
    return {"iat": now, "jti": identity, "nats": body}
