"""Personal data at rest: names, numbers and what was said are sealed in the ledger's columns and opened on reading.

The cipher is AES-256-SIV (RFC 5297): authenticated, and safe even where a nonce repeats. A sealed text is

    sealed1:base64url(key id, 4 bytes | nonce, 16 bytes | synthetic IV and ciphertext)

bound to its column, so that it opens nowhere else. A telephone number is sealed without a nonce of its own: equal
numbers look equal, which is how the sender of a reply is found and a number kept unique; nothing else of a sealed
column can be compared or searched by the database. An empty text stays empty, so that what is erased looks erased.

Keys lie in a file, the newest first: it seals, all of them open. An engine holds its vault on its dialect, which
SQLAlchemy hands to every column type; an engine without a vault (a replay's ledger of one run) keeps plain text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Dialect, Engine, Text
from sqlalchemy.types import TypeDecorator

from gateway.errors import ConfigError

MARK = "sealed1:"
KEY_BYTES, ID_BYTES, NONCE_BYTES = 64, 4, 16  # AES-256-SIV takes two keys of 32 bytes; nonce: RFC 5297, 3
KNOWN, SHORT = 50_000, 160  # opened texts that are remembered, and the longest of them: 20 MB at most
KEPT_APART = "restore it from where you keep it apart from the backup of the ledger"


class Vault:
    """Seals with the newest of its keys and opens with any; each key is 64 bytes."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.ids = tuple(hashlib.sha256(key).digest()[:ID_BYTES] for key in keys)
        self._ciphers = {key_id: AESSIV(key) for key_id, key in zip(self.ids, keys, strict=True)}
        self._known = lru_cache(maxsize=KNOWN)(self._opened)  # names are listed and searched again and again

    @property
    def newest(self) -> str:
        """The name of the key that seals: a hash of it, in hex."""
        return self.ids[0].hex()

    def seal(self, text: str, place: str, *, alike: bool = False) -> str:
        """The text sealed for a column; `alike` seals equal texts alike."""
        if not text:
            return text
        nonce = bytes(NONCE_BYTES) if alike else os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self.ids[0]].encrypt(text.encode(), [place.encode(), nonce])
        return MARK + base64.urlsafe_b64encode(self.ids[0] + nonce + sealed).decode()

    def open(self, sealed: str, place: str) -> str:
        """What was sealed; a text that never was is returned as it is.

        Raises:
            ConfigError: `ledger_key`: its key is not here, or it was sealed for another place or changed.
        """
        if not sealed.startswith(MARK):
            return sealed
        return self._known(sealed, place) if len(sealed) <= SHORT else self._opened(sealed, place)

    def _opened(self, sealed: str, place: str) -> str:
        try:
            held = base64.b64decode(sealed[len(MARK) :], altchars=b"-_", validate=True)
            key_id, nonce, rest = held[:ID_BYTES], held[ID_BYTES:][:NONCE_BYTES], held[ID_BYTES + NONCE_BYTES :]
            return self._ciphers[key_id].decrypt(rest, [place.encode(), nonce]).decode()
        except (KeyError, InvalidTag, binascii.Error, ValueError) as exc:
            raise ConfigError("ledger_key", f"a text of {place} does not open with the keys at hand") from exc


class Sealed(TypeDecorator[str]):
    """A text column whose values are sealed at rest."""

    impl = Text
    cache_ok = True

    def __init__(self, place: str, *, alike: bool = False) -> None:
        super().__init__()
        self.place, self.alike = place, alike

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Seal on the way in."""
        vault = vault_of(dialect)
        return value if value is None or vault is None else vault.seal(value, self.place, alike=self.alike)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        """Open on the way out."""
        if value is None or not value.startswith(MARK):
            return value
        return (vault_of(dialect) or Vault(())).open(value, self.place)


def vault_of(dialect: Dialect) -> Vault | None:
    """The vault that an engine was given; None: it keeps plain text."""
    return getattr(dialect, "beforehand_vault", None)


def give(engine: Engine, vault: Vault) -> None:
    """Let an engine seal and open with these keys from now on."""
    engine.dialect.beforehand_vault = vault  # type: ignore[attr-defined] # ours; see the module's text


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys of a file, newest first; none where there is no file.

    Raises:
        ConfigError: `ledger_key_unreadable`.
    """
    try:
        lines = path.read_text("ascii").split()
        keys = tuple(base64.b64decode(line, validate=True) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as exc:
        raise ConfigError("ledger_key_unreadable", f"{path}: {type(exc).__name__}; {KEPT_APART}") from exc
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ConfigError("ledger_key_unreadable", f"{path} holds no key of {KEY_BYTES} bytes; {KEPT_APART}")
    return keys


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Replace the file at once, readable for its owner alone, on disk before this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(base64.b64encode(key).decode() + "\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_key() -> bytes:
    """A key that nobody has."""
    return AESSIV.generate_key(KEY_BYTES * 8)
