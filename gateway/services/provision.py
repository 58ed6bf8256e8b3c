"""Giving a device its identity, and taking it away.

A device gets a token (MQTT password, 32 random bytes) and a command key. The ledger keeps the token's hash and the
key; the agent's configuration, which holds both, is returned once and kept nowhere.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from edge.wire import DEVICE_ID
from gateway.broker import hash_token, signs_itself
from gateway.config import BrokerSettings
from gateway.errors import ConfigError, Refused
from gateway.ledger import registry
from gateway.ledger.registry import DeviceRecord, NewDevice
from gateway.model import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where devices find the broker; `ca_pem` is the certificate they trust, empty for the system's."""

    host: str
    port: int
    tls: bool = True
    ca_pem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets of one device, seen once."""

    device: Device
    token: str
    command_key: str  # hex

    def __repr__(self) -> str:
        return f"Credentials({self.device.device_id})"


def add(engine: Engine, wanted: Sequence[NewDevice], *, now_ms: int) -> tuple[Credentials, ...]:
    """Provision devices, all or none.

    Raises:
        Refused: `bad_device_id` or `device_exists`.
    """
    for new in wanted:
        if not DEVICE_ID.fullmatch(new.device_id):
            raise Refused("bad_device_id", f"{new.device_id[:70]!r}: use 1 to 64 letters, digits, `_` or `-`")
    secret = [(secrets.token_urlsafe(32), secrets.token_hex(32)) for _ in wanted]
    rows = [
        replace(new, credentials_hash=hash_token(token), command_key=key)
        for new, (token, key) in zip(wanted, secret, strict=True)
    ]
    made = registry.add_devices(engine, rows, now_ms=now_ms)
    return tuple(
        Credentials(device=device, token=token, command_key=key)
        for device, (token, key) in zip(made, secret, strict=True)
    )


def renew(engine: Engine, device_id: str) -> Credentials:
    """New secrets for a device, also one that was revoked; the old ones are void. Raises NotFound (`device`)."""
    token, key = secrets.token_urlsafe(32), secrets.token_hex(32)
    registry.set_credentials(engine, device_id, credentials_hash=hash_token(token), command_key=key)
    return Credentials(device=registry.find_device(engine, device_id).device, token=token, command_key=key)


def show(engine: Engine, device_id: str) -> DeviceRecord:
    """What is known of a device, without secrets. Raises NotFound (`device`)."""
    return registry.find_device(engine, device_id)


def revoke(engine: Engine, device_id: str) -> None:
    """Take a device's right to connect; a running gateway ends its link. Raises NotFound (`device`)."""
    registry.revoke_device(engine, device_id)


def agent_toml(credentials: Credentials, endpoint: Endpoint) -> str:
    """The agent's configuration file, secrets included: for the operator's eyes, once."""
    device = credentials.device
    lines = ["[device]", f"id = {_text(device.device_id)}", f"type = {_text(device.type)}"]
    lines += [f"{key} = {_text(value)}" for key in ("model", "hardware", "firmware") if (value := getattr(device, key))]
    lines += ["", "[link]", f"host = {_text(endpoint.host)}", f"port = {endpoint.port}"]
    lines += [f"password = {_text(credentials.token)}", f"tls = {str(endpoint.tls).lower()}"]
    if endpoint.tls and endpoint.ca_pem:
        lines.append(f'ca_pem = """\n{endpoint.ca_pem.strip()}\n"""')
    lines += ["", "[command]", f"key = {_text(credentials.command_key)}"]
    return "\n".join(lines) + "\n"


def endpoint_of(held: BrokerSettings, host: str = "") -> Endpoint:
    """Where devices find the broker and what they trust, by the settings; `host` where they know it by another name.

    Raises:
        ConfigError: `tls_unreadable`.
    """
    if held.url:
        scheme, _, address = held.url.partition("://")
        name, _, port = address.rpartition("@")[2].partition(":")
        tls = scheme == "mqtts"
        ca_pem = _read(held.ca_file).decode() if tls and held.ca_file else ""
        return Endpoint(host=host or name, port=int(port or (8883 if tls else 1883)), tls=tls, ca_pem=ca_pem)
    return Endpoint(host=host or held.host, port=held.port, tls=bool(held.tls_cert), ca_pem=_trusted(held))


def _trusted(held: BrokerSettings) -> str:
    if held.tls_ca:
        return _read(held.tls_ca).decode()
    pem = _read(held.tls_cert) if held.tls_cert else b""
    try:
        return pem.decode() if pem and signs_itself(pem) else ""
    except ValueError as exc:
        raise ConfigError("tls_unreadable", f"{held.tls_cert} is no PEM certificate: correct broker.tls_cert") from exc


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError("tls_unreadable", f"{path}: {exc.strerror}; let this user read it") from exc


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(value, ensure_ascii=False)
