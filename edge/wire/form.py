"""The outer form of every payload: plain JSON, or a zlib stream of JSON, told apart by the first byte.

    0x7B  '{'   the JSON text itself, UTF-8: what a small C client writes
    0x78        a zlib stream (RFC 1950) of that text; with FDICT set, the four bytes after the header are the Adler-32
                of one of `DICTIONARIES`, which a decoder must hold

Dictionaries are never changed, only added; an old one stays for as long as agents in the field use it.
"""

from __future__ import annotations

import json
import zlib
from typing import NoReturn, TypeAlias

Json: TypeAlias = dict[str, object]

MAX_PAYLOAD = 256 * 1024  # bytes on the wire; NATS' own limit is 1 MiB
MAX_INFLATED = 4 * 1024 * 1024  # bytes of JSON
MAX_INTEGER = 2**53  # exclusive; what every JSON reader holds exactly
VERSION = 1


class WireError(Exception):
    """Bytes that are not what they claim to be; `code` is stable, `detail` for people.

    Codes: `too_large`, `bad_form`, `bad_zlib`, `bad_dictionary`, `not_json`, `bad_version`, `bad_field`, `bad_topic`,
    `bad_signature`, `expired`.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


DICTIONARY_1 = (
    b',"debug","info","critical","failed to  timeout after connection reset by peer restarted because of  error: '
    b"not found permission denied out of memory no space left on device kernel: temperature started stopped "
    b'"warning","error","kernel","system","agent","'
    b'],"outdoor_temperature_celsius":[],"indoor_temperature_celsius":[],"setpoint_temperature_celsius":['
    b'],"supply_temperature_celsius":[],"return_temperature_celsius":[],"evaporator_temperature_celsius":['
    b'],"discharge_temperature_celsius":[],"suction_pressure_pascals":[],"discharge_pressure_pascals":['
    b'],"water_pressure_pascals":[],"superheat_kelvin":[],"subcooling_kelvin":[],"compressor_current_amperes":['
    b'],"compressor_speed_hertz":[],"compressor_starts_total":[],"power_watts":[],"heat_output_watts":['
    b'],"performance_ratio":[],"water_flow_cubic_meters_per_second":[],"valve_opening_ratio":[],"defrosts_total":['
    b'],"fan_speed_rpm":[],"fan_vibration_meters_per_second_squared":[],"wan_latency_s":[],"wan_loss_ratio":['
    b'],"dns_latency_s":[],"wifi_clients_count":[],"wifi_noise_dbm":[],"wifi_retry_ratio":['
    b'],"wifi_channel_busy_ratio":[],"conntrack_used_ratio":[],"wan_drops_total":['
    b'],"battery_resistance_ohms":[],"motor_current_amperes":[],"bolt_travel_s":[],"lock_operations_total":['
    b'],"lock_jams_total":[],"keypad_failures_total":[],"tamper_total":[],"ble_signal_dbm":['
    b'],"agent_memory_bytes":[],"agent_cpu_ratio":[],"agent_buffer_bytes":[],"agent_buffer_left_s":['
    b'],"cpu_busy_ratio":[],"cpu_iowait_ratio":[],"load_1m_tasks":[],"memory_available_bytes":['
    b'],"memory_available_ratio":[],"swap_used_bytes":[],"heap_free_bytes":[],"disk_free_bytes":['
    b'],"disk_free_ratio":[],"disk_inodes_free_ratio":[],"disk_read_bytes_per_second":['
    b'],"disk_write_bytes_per_second":[],"disk_busy_ratio":[],"disk_io_errors_total":[],"flash_wear_ratio":['
    b'],"temperature_celsius":[],"network_receive_bytes_per_second":[],"network_transmit_bytes_per_second":['
    b'],"network_errors_total":[],"network_drops_total":[],"wifi_signal_dbm":[],"wifi_quality_ratio":['
    b'],"wifi_retries_total":[],"battery_level_ratio":[],"battery_health_ratio":[],"battery_volts":['
    b'],"battery_current_amperes":[],"battery_temperature_celsius":[],"uptime_s":[],"process_count":['
    b'],"open_files_count":[],"boots_total":[],"clock_offset_s":['
    b',null,null,null,null,0,0,0,0,0,0,0,0]},"h":1}]},"a":1}]},"l":[[-'
    b',60000,60000,60000,30000,30000,30000,10000,10000,10000,10000,10000,10000],"m":{"'
    b'{"v":1,"boot":1,"seq":,"sent":17,"t":[17'
)

DICTIONARIES: dict[int, bytes] = {zlib.adler32(DICTIONARY_1): DICTIONARY_1}


def deflate(text: bytes) -> bytes:
    """The payload of a JSON text: zlib with the newest dictionary, or the text itself where that is no longer.

    Raises:
        WireError: `too_large`, as `inflate` would.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY_1)
    packed = packer.compress(text) + packer.flush()
    payload = packed if len(packed) < len(text) else text
    if len(payload) > MAX_PAYLOAD or len(text) > MAX_INFLATED:
        raise WireError("too_large", f"{len(payload)} bytes of {len(text)}, limits {MAX_PAYLOAD} and {MAX_INFLATED}")
    return payload


def inflate(payload: bytes) -> bytes:
    """The JSON text of a payload, at most MAX_INFLATED bytes; its content is not looked at.

    Raises:
        WireError: `too_large`, `bad_form`, `bad_zlib` or `bad_dictionary`. For any bytes, nothing else is raised.
    """
    if len(payload) > MAX_PAYLOAD:
        raise WireError("too_large", f"{len(payload)} bytes, limit {MAX_PAYLOAD}")
    if payload[:1] == b"{":
        return payload
    if payload[:1] != b"\x78":
        raise WireError("bad_form", f"first byte {payload[:1].hex() or 'missing'}, expected 7b or 78")
    dictionary = b""
    if len(payload) >= 6 and payload[1] & 0x20:
        number = int.from_bytes(payload[2:6], "big")
        if number not in DICTIONARIES:
            raise WireError("bad_dictionary", f"{number:08x} is not known here")
        dictionary = DICTIONARIES[number]
    unpacker = zlib.decompressobj(zdict=dictionary) if dictionary else zlib.decompressobj()
    try:
        text = unpacker.decompress(payload, MAX_INFLATED + 1)
    except zlib.error as exc:
        raise WireError("bad_zlib", str(exc)[:100]) from None
    if len(text) > MAX_INFLATED:
        raise WireError("too_large", f"inflates beyond {MAX_INFLATED} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise WireError("bad_zlib", "cut short" if not unpacker.eof else "bytes after the end")
    return text


def dump(document: Json) -> bytes:
    """Compact JSON, UTF-8. A lone surrogate becomes `?`."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def load(payload: bytes) -> Json:
    """The JSON object of a payload of our version.

    Raises:
        WireError: what `inflate` raises, `not_json`, `bad_field` (no object) or `bad_version`.
    """
    try:
        document = json.loads(inflate(payload).decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:  # ValueError covers UTF-8, JSON and over-long integers
        raise WireError("not_json", str(exc)[:100]) from None
    if not isinstance(document, dict):
        raise WireError("bad_field", "not an object")
    if document.get("v") != VERSION or document.get("v") is True:
        raise WireError("bad_version", f"v is {str(document.get('v'))[:20]}, expected {VERSION}")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def integer(document: Json, key: str, *, low: int = 0, default: int | None = None) -> int:
    """An integer field in [low, 2^53).

    Raises:
        WireError: `bad_field`.
    """
    value = document.get(key, default)
    if type(value) is not int or not low <= value < MAX_INTEGER:
        raise WireError("bad_field", f"{key} is {str(value)[:40]}, expected an integer from {low}")
    return value


def text(document: Json, key: str, *, default: str | None = None, limit: int = 200) -> str:
    """A text field of at most `limit` characters.

    Raises:
        WireError: `bad_field`.
    """
    value = document.get(key, default)
    if not isinstance(value, str) or len(value) > limit:
        raise WireError("bad_field", f"{key}: expected text of at most {limit} characters")
    return clean(value)


def mapping(document: Json, key: str, *, default: Json | None = None) -> Json:
    """An object field.

    Raises:
        WireError: `bad_field`.
    """
    value = document.get(key, default)
    if not isinstance(value, dict):
        raise WireError("bad_field", f"{key}: expected an object")
    return value


def clean(value: str) -> str:
    """Text that any store takes: no lone surrogate, no NUL."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "\ufffd")
