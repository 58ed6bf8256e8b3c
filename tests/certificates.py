"""A certificate authority of the tests' own."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates; its own is `pem`."""

    def __init__(self, name: str = "test authority") -> None:
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _named(name)
        self.pem = self._signed(self._name, self._key, days=30.0, authority=True).decode()

    def issue(self, cert: Path, key: Path, *, days: float = 90.0, host: str = "127.0.0.1") -> int:
        """Write a server's certificate and key; the serial number."""
        secret = ec.generate_private_key(ec.SECP256R1())
        pem = self._signed(_named("broker"), secret, days=days, host=host)
        key.write_bytes(_pem_of(secret))
        cert.write_bytes(pem)
        return x509.load_pem_x509_certificate(pem).serial_number

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: float,
        host: str = "127.0.0.1",
        authority: bool = False,
    ) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=100))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([_address(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _address(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
