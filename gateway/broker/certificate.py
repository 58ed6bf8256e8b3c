"""The certificate of the MQTT listener: whether it can be used, when it ends, and whether its files were renewed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

from gateway.errors import ConfigError

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Where certificate (with what it is signed by, if that is not known everywhere) and key are, as PEM."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, cert: str, key: str) -> Tls | None:
        """The pair that the settings name; None where they name none. Raises ConfigError (`tls_half`)."""
        if bool(cert) != bool(key):
            raise ConfigError("tls_half", "TLS needs both: set broker.tls_cert and broker.tls_key, or neither")
        return cls(cert=Path(cert), key=Path(key)) if cert else None


def certificate_ends_ms(tls: Tls) -> int:
    """When the certificate ends, Unix ms; certificate and key are there and belong together.

    Raises:
        ConfigError: `tls_unreadable`.
    """
    try:
        found = x509.load_pem_x509_certificates(tls.cert.read_bytes())[0]
        tls.key.read_bytes()
    except OSError as exc:
        raise ConfigError("tls_unreadable", f"{exc.filename}: {exc.strerror}; let the gateway read it") from exc
    except ValueError as exc:
        raise ConfigError("tls_unreadable", f"{tls.cert} is no PEM certificate: correct broker.tls_cert") from exc
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key, password="")
    except (OSError, ValueError) as exc:
        detail = f"{tls.key} is not the key of {tls.cert}, or has a password: correct broker.tls_key"
        raise ConfigError("tls_unreadable", detail) from exc
    return int(found.not_valid_after_utc.timestamp() * 1000)


def stamp_of(tls: Tls) -> Stamp:
    """Equal as long as neither file is written or replaced; empty where one is missing."""
    try:
        found = [path.stat() for path in (tls.cert, tls.key)]
    except OSError:
        return ()
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def signs_itself(pem: bytes) -> bool:
    """Whether a certificate is its own issuer, so that who trusts it needs no other. Raises ValueError: no PEM."""
    found = x509.load_pem_x509_certificates(pem)[0]
    return found.issuer == found.subject
