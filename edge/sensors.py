"""What the host says of itself, read from /proc and /sys. A sensor gives what it finds and leaves out the rest.

Rates (`..._per_second`, busy ratios) are means since the sensor's last reading, so the first reading has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

SECTOR_BYTES = 512  # of /proc/diskstats, whatever the disk's own sectors (kernel Documentation/admin-guide/iostats.rst)
NO_DISK = re.compile(r"(loop|ram|zram|dm-|md|sr|fd)\d")
NO_NETWORK = re.compile(r"(lo|docker|veth|br-|ifb|virbr|dummy|tun|tap)")


class Sensor(Protocol):
    """Something that is read at every sample."""

    name: str

    def read(self, now_s: float) -> dict[str, float]:
        """Readings by metric name; `now_s` is monotonic. An OSError or ValueError is counted, and the rest goes on."""
        ...


class Rate:
    """The growth of counters per second since they were last seen."""

    def __init__(self) -> None:
        self._seen: tuple[float, dict[str, float]] | None = None

    def __call__(self, now_s: float, counters: dict[str, float]) -> dict[str, float]:
        """Growth per second by name; nothing at first, and none of a counter that went back."""
        seen, self._seen = self._seen, (now_s, counters)
        if seen is None or now_s <= seen[0]:
            return {}
        span = now_s - seen[0]
        return {
            name: (value - seen[1][name]) / span
            for name, value in counters.items()
            if value >= seen[1].get(name, 1e300)
        }


class Host:
    """A host sensor: a name, and a function from (root, rate, now_s) to readings."""

    def __init__(self, name: str, measure: Callable[[Path, Rate, float], dict[str, float]], root: Path) -> None:
        self.name = name
        self._measure = measure
        self._root = root
        self._rate = Rate()

    def read(self, now_s: float) -> dict[str, float]:
        """See `Sensor`."""
        return self._measure(self._root, self._rate, now_s)


def cpu(root: Path, rate: Rate, now_s: float) -> dict[str, float]:
    """Busy and waiting shares of all processors, and the load."""
    user, nice, system, idle, iowait, *rest = (int(n) for n in _line(root / "proc/stat").split()[1:9])
    total = user + nice + system + idle + iowait + sum(rest)
    grown = rate(now_s, {"total": total, "idle": idle + iowait, "iowait": iowait})
    readings = {"load_1m_tasks": float(_line(root / "proc/loadavg").split()[0])}
    if grown.get("total"):
        readings["cpu_busy_ratio"] = 1 - grown.get("idle", 0.0) / grown["total"]
        readings["cpu_iowait_ratio"] = grown.get("iowait", 0.0) / grown["total"]
    return readings


def memory(root: Path, _rate: Rate, _now_s: float) -> dict[str, float]:
    """What is available, and the swap in use."""
    fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
    kib = {name: int(text.split()[0]) for name, text in fields.items()}
    return {
        "memory_available_bytes": kib["MemAvailable"] * 1024,
        "memory_available_ratio": kib["MemAvailable"] / kib["MemTotal"],
        "swap_used_bytes": (kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)) * 1024,
    }


def disk(root: Path, rate: Rate, now_s: float) -> dict[str, float]:
    """Space of one file system (`root` here is a path on it, see `host_sensors`), and what all disks do."""
    blocks = [path for path in _listed(root / "sys/block") if not NO_DISK.match(path.name)]
    counters = {"read": 0.0, "write": 0.0, "busy": 0.0}
    for path in blocks:
        stat = _line(path / "stat").split()  # kernel Documentation/block/stat.rst
        counters["read"] += int(stat[2]) * SECTOR_BYTES
        counters["write"] += int(stat[6]) * SECTOR_BYTES
        counters["busy"] = max(counters["busy"], int(stat[9]) / 1000)
    grown = rate(now_s, counters)
    names = {"read": "disk_read_bytes_per_second", "write": "disk_write_bytes_per_second"}
    readings = {names[key]: value for key, value in grown.items() if key in names}
    if "busy" in grown:
        readings["disk_busy_ratio"] = min(1.0, grown["busy"])
    errors = [_number(path, base=0) for block in blocks for path in [block / "device/ioerr_cnt"]]
    errors += [_number(path / "errors_count") for path in _listed(root / "sys/fs/ext4")]
    if known := [count for count in errors if count is not None]:
        readings["disk_io_errors_total"] = sum(known)
    wear = [int(word, 16) for block in blocks for word in _line_or(block / "device/life_time").split()]
    if wear:
        readings["flash_wear_ratio"] = max(wear) / 10  # JEDEC JESD84-B51: steps of 10 % of the life used
    return readings


def space(path: Path) -> dict[str, float]:
    """Space and inodes left to a file system."""
    found = os.statvfs(path)
    readings = {
        "disk_free_bytes": float(found.f_bavail * found.f_frsize),
        "disk_free_ratio": found.f_bavail / max(1, found.f_blocks),
    }
    if found.f_files:
        readings["disk_inodes_free_ratio"] = found.f_favail / found.f_files
    return readings


def temperature(root: Path, _rate: Rate, _now_s: float) -> dict[str, float]:
    """The hottest zone."""
    zones = [_number(path / "temp") for path in _listed(root / "sys/class/thermal", "thermal_zone*")]
    zones += [_number(path) for path in _listed(root / "sys/class/hwmon", "*/temp*_input")]
    known = [value / 1000 for value in zones if value is not None]
    return {"temperature_celsius": max(known)} if known else {}


def network(root: Path, rate: Rate, now_s: float) -> dict[str, float]:
    """Traffic, errors and drops of all physical interfaces."""
    sums = [0.0] * 6
    for line in (root / "proc/net/dev").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        if not NO_NETWORK.match(name.strip()):
            counters = [int(word) for word in rest.split()]
            for at, column in enumerate((0, 8, 2, 10, 3, 11)):  # bytes, errors, drops: received, sent
                sums[at] += counters[column]
    grown = rate(now_s, {"network_receive_bytes_per_second": sums[0], "network_transmit_bytes_per_second": sums[1]})
    return grown | {"network_errors_total": sums[2] + sums[3], "network_drops_total": sums[4] + sums[5]}


def wifi(root: Path, _rate: Rate, _now_s: float) -> dict[str, float]:
    """Signal and link quality of the first wireless interface."""
    lines = _text_or(root / "proc/net/wireless").splitlines()[2:]
    if not lines:
        return {}
    words = lines[0].partition(":")[2].replace(".", " ").split()
    link, level, retries = int(words[1]), int(words[2]), int(words[7])
    signal = level if level < 0 else level - 256  # drivers that give an unsigned byte
    readings = {"wifi_quality_ratio": min(1.0, link / 70), "wifi_retries_total": float(retries)}
    return readings | ({"wifi_signal_dbm": float(signal)} if signal > -120 else {})


def battery(root: Path, _rate: Rate, _now_s: float) -> dict[str, float]:
    """The first battery (kernel Documentation/ABI/testing/sysfs-class-power: microvolts, microamperes, 0.1 degrees)."""
    for supply in _listed(root / "sys/class/power_supply"):
        if _line_or(supply / "type") == "Battery":
            found = {
                "battery_level_ratio": _scaled(supply / "capacity", 0.01),
                "battery_volts": _scaled(supply / "voltage_now", 1e-6),
                "battery_current_amperes": _scaled(supply / "current_now", 1e-6),
                "battery_temperature_celsius": _scaled(supply / "temp", 0.1),
            }
            for kind in ("charge", "energy"):
                full, design = _number(supply / f"{kind}_full"), _number(supply / f"{kind}_full_design")
                if full is not None and design:
                    found["battery_health_ratio"] = full / design
            return {name: value for name, value in found.items() if value is not None}
    return {}


def system(root: Path, _rate: Rate, _now_s: float) -> dict[str, float]:
    """Uptime, processes and open files."""
    return {
        "uptime_s": float(int(float(_line(root / "proc/uptime").split()[0]))),
        "process_count": float(sum(name.isdigit() for name in os.listdir(root / "proc"))),
        "open_files_count": float(_line(root / "proc/sys/fs/file-nr").split()[0]),
    }


MEASURES: dict[str, Callable[[Path, Rate, float], dict[str, float]]] = {
    "cpu": cpu,
    "memory": memory,
    "disk": disk,
    "temperature": temperature,
    "network": network,
    "wifi": wifi,
    "battery": battery,
    "system": system,
}


def host_sensors(names: Sequence[str], *, disk_path: Path = Path("/"), root: Path = Path("/")) -> list[Sensor]:
    """The named host sensors, in the order of MEASURES; `root` is where proc and sys are."""

    def with_space(base: Path, rate: Rate, now_s: float) -> dict[str, float]:
        return space(disk_path) | disk(base, rate, now_s)

    return [
        Host(name, with_space if name == "disk" else measure, root)
        for name, measure in MEASURES.items()
        if name in names
    ]


def reboot_reason(*, root: Path, first: bool, same_boot: bool, clean: bool) -> str:
    """Why the agent starts: what the system tells, else what the last run left behind.

    Args:
        root: where proc and sys are.
        first: nothing is known of a run before.
        same_boot: the kernel has not started anew since the last run.
        clean: the last run ended on purpose.
    """
    if same_boot:
        return "agent_restarted" if clean else "agent_died"
    if any(_listed(root / "sys/fs/pstore")):
        return "kernel_panic"
    if any(_number(path / "bootstatus", base=0) for path in _listed(root / "sys/class/watchdog")):
        return "watchdog"
    if found := re.search(
        r"\b(?:\w+\.)?(?:bootreason|reset_reason|reboot_reason)=(\S{1,60})", _line_or(root / "proc/cmdline")
    ):
        return found[1].lower()
    if first:
        return "first_start"
    return "reboot" if clean else "power_loss"


def kernel_boot_id(root: Path = Path("/")) -> str:
    """A name of the kernel's present start; empty where there is none."""
    return _line_or(root / "proc/sys/kernel/random/boot_id")


def _line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


def _line_or(path: Path) -> str:
    try:
        return _line(path)
    except OSError:
        return ""


def _text_or(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path, *, base: int = 10) -> int | None:
    try:
        return int(_line(path), base)
    except (OSError, ValueError):
        return None


def _scaled(path: Path, scale: float) -> float | None:
    found = _number(path)
    return None if found is None else found * scale


def _listed(folder: Path, pattern: str = "*") -> Iterable[Path]:
    return sorted(folder.glob(pattern))
