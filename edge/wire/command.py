"""Commands to a device and its replies. A device does only what is signed for it, in time, and once.

    command  {"v":1,"body":"<JSON text>","sig":"<64 hex digits>"}
             body: {"id":"c17","name":"diagnostics","args":{},"expires":ms,"nonce":"<32 hex digits>"}
             sig:  HMAC-SHA256 (RFC 2104) under the device's command key of
                   "bf1-command" LF device id LF body, as UTF-8, byte for byte as sent
    reply    {"v":1,"id":"c17","ok":1,"code":"done","part":0,"parts":3,"text":"..."}

The signature is over the text itself, so no canonical JSON is needed. A nonce is remembered on disk until its command
has expired, before the command is carried out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field

from edge.wire.form import Json, WireError, deflate, dump, integer, load, mapping, text

MAX_LIFE_MS = 24 * 3600 * 1000  # a command may not be valid for longer: nonces are kept that long
MAX_PARTS = 1_000
PART_CHARACTERS = 48_000  # of one reply part: four bytes a character stay under MAX_PAYLOAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order to one device."""

    command_id: str
    name: str  # `diagnostics`, `ping`, or a hook of the operator's
    expires_ms: int  # device clock
    nonce: str  # 16 random bytes or more, hex
    args: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One part of the answer to a command; `code` is `done`, `failed` or the reason of a refusal."""

    command_id: str
    ok: bool
    code: str
    part: int = 0
    parts: int = 1
    text: str = ""  # this part's text; all parts in order make the whole


def encode_command(command: Command, *, device_id: str, key: bytes) -> bytes:
    """The signed payload of a command for one device."""
    body = dump(
        {
            "id": command.command_id,
            "name": command.name,
            "args": command.args,
            "expires": command.expires_ms,
            "nonce": command.nonce,
        }
    ).decode()
    return dump({"v": 1, "body": body, "sig": _signature(device_id, body, key)})


def decode_command(payload: bytes, *, device_id: str, key: bytes, now_ms: int) -> Command:
    """A command that was signed for this device and is still valid; whether it is a repeat is the caller's question.

    Raises:
        WireError: what `load` raises, `bad_field`, `bad_signature` or `expired`; nothing else.
    """
    envelope = load(payload)
    body = text(envelope, "body", limit=64_000)
    expected = _signature(device_id, body, key)
    if not hmac.compare_digest(text(envelope, "sig").encode(), expected.encode()):
        raise WireError("bad_signature", "not signed for this device")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise WireError("not_json", "body") from None
    if not isinstance(document, dict):
        raise WireError("bad_field", "body: not an object")
    command = Command(
        command_id=text(document, "id", limit=64),
        name=text(document, "name", limit=64),
        args=mapping(document, "args", default={}),
        expires_ms=integer(document, "expires"),
        nonce=text(document, "nonce", limit=128),
    )
    if not now_ms < command.expires_ms <= now_ms + MAX_LIFE_MS:
        raise WireError("expired", f"expires at {command.expires_ms}, it is {now_ms}, longest life {MAX_LIFE_MS} ms")
    return command


def _signature(device_id: str, body: str, key: bytes) -> str:
    if len(key) < 16:
        raise WireError("bad_signature", "the device has no command key")
    return hmac.new(key, f"bf1-command\n{device_id}\n{body}".encode(), hashlib.sha256).hexdigest()


def replies(command_id: str, *, ok: bool, code: str, answer: str = "") -> list[Reply]:
    """An answer of any length as parts; text beyond MAX_PARTS parts is cut."""
    pieces = [answer[i : i + PART_CHARACTERS] for i in range(0, len(answer), PART_CHARACTERS)][:MAX_PARTS] or [""]
    return [
        Reply(command_id=command_id, ok=ok, code=code, part=i, parts=len(pieces), text=piece)
        for i, piece in enumerate(pieces)
    ]


def encode_reply(reply: Reply) -> bytes:
    """The payload of one part of a reply."""
    document: Json = {"v": 1, "id": reply.command_id, "ok": int(reply.ok), "code": reply.code}
    return deflate(dump(document | {"part": reply.part, "parts": reply.parts, "text": reply.text}))


def decode_reply(payload: bytes) -> Reply:
    """Turn a payload into a Reply. Raises WireError only."""
    document = load(payload)
    reply = Reply(
        command_id=text(document, "id", limit=64),
        ok=integer(document, "ok") == 1,
        code=text(document, "code", limit=64),
        part=integer(document, "part", default=0),
        parts=integer(document, "parts", low=1, default=1),
        text=text(document, "text", default="", limit=PART_CHARACTERS),
    )
    if not reply.part < reply.parts <= MAX_PARTS:
        raise WireError("bad_field", f"part {reply.part} of {reply.parts}, limit {MAX_PARTS}")
    return reply
