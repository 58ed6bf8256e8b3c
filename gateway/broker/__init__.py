"""The embedded NATS server: configuration, supervision, device credentials and topic permissions."""

from gateway.broker.admission import Admission, hash_token
from gateway.broker.certificate import Tls, certificate_ends_ms, signs_itself
from gateway.broker.config import GATEWAY, BrokerConfig
from gateway.broker.nkey import load_seed
from gateway.broker.server import Broker, binary, end_orphan

__all__ = [
    "GATEWAY",
    "Admission",
    "Broker",
    "BrokerConfig",
    "Tls",
    "binary",
    "certificate_ends_ms",
    "end_orphan",
    "hash_token",
    "load_seed",
    "signs_itself",
]
