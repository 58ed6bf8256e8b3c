"""NATS keys and tokens: what the authorization service signs with.

NATS names Ed25519 keys by a role letter and a checksum in base32, and its tokens are JWTs of algorithm `ed25519-nkey`.
Both are a few lines, so no client library is needed.

Source: github.com/nats-io/nkeys (strkey.go, crc16.go) and github.com/nats-io/jwt (v2/claims.go).
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigError

_SEED_BYTES = 32
_ACCOUNT = 0 << 3  # the role letter is the first five bits: A


def load_seed(path: Path) -> bytes:
    """The secret of the account key, made at the first call; only its owner may read the file.

    Raises:
        ConfigError: `key_unreadable`.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(_SEED_BYTES))
        seed = path.read_bytes()
    except OSError as exc:
        raise ConfigError("key_unreadable", f"{path}: {exc.strerror}; let the gateway read and write it") from exc
    if len(seed) != _SEED_BYTES:
        raise ConfigError("key_unreadable", f"{path} is not {_SEED_BYTES} bytes: delete it, and a new one is made")
    return seed


class AccountKey:
    """An account's key pair, made from 32 secret bytes; signs the tokens that admit devices."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = _name(_ACCOUNT, self._key.public_key().public_bytes_raw())

    def sign(self, claims: Mapping[str, object]) -> str:
        """`claims` as a token, with this key as issuer."""
        head = _b64({"typ": "JWT", "alg": "ed25519-nkey"})
        body = f"{head}.{_b64({**claims, 'iss': self.public})}"
        return f"{body}.{_strip(self._key.sign(body.encode()))}"


def claims_of(token: bytes) -> dict[str, object]:
    """The claims of a token, unchecked: only for tokens that come over a subject which the broker alone may write.

    Raises:
        ValueError: it is no token.
    """
    parts = token.split(b".")
    if len(parts) != 3:
        raise ValueError("not a token")
    claims: object = json.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("claims are no object")
    return claims


def _name(role: int, key: bytes) -> str:
    raw = bytes([role]) + key
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _b64(document: Mapping[str, object]) -> str:
    return _strip(json.dumps(document, separators=(",", ":")).encode())


def _strip(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
