"""A disk that really fills up under a running gateway: it says so, devices keep what they have, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.services import provision
from tests.agents import quick, running
from tests.brokers import until
from tests.integration.test_gateway import get, now_ms, serving

pytestmark = pytest.mark.timeout(120)
DISK_MB = 200  # a start asks for half of it


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, or a skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not one free block."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        while free := shutil.disk_usage(folder).free:
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
    return ballast


async def test_a_full_disk_is_told_and_once_there_is_room_everything_is_stored_once(disk: Path, tmp_path: Path):
    async with serving(disk / "data") as gateway:
        wanted = [NewDevice(device_id=DeviceId("r1"), type="router")]
        (made,) = provision.add(gateway.ledger, wanted, now_ms=now_ms())
        endpoint = provision.endpoint_of(gateway.settings.broker.model_copy(update={"port": gateway.mqtt_port}))
        with running(quick(provision.agent_toml(made, endpoint), tmp_path / "agent")) as device:
            device.feed(range(20))
            await until(lambda: gateway.receiver.counts["batches"] == 20 and device.agent.waiting == 0)

            ballast = fill(disk)
            device.feed(range(20, 60))
            await until(lambda: bool({"store_full", "broker_full"} & set(gateway.watch.problems)), seconds=30)
            told = [problem.sentence for problem in gateway.watch.problems.values()]
            down = await get(gateway, "/readyz")
            kept = device.agent.waiting

            ballast.unlink()
            device.feed(range(60, 80))
            await until(lambda: device.agent.waiting == 0, seconds=60)
            await until(lambda: not {"store_full", "broker_full"} & set(gateway.watch.problems), seconds=30)
            up = await get(gateway, "/readyz")
        series = gateway.roster.series_number(0, gateway.roster.metric("sent_total"))
        _, value = await asyncio.to_thread(gateway.store.range, series, 0, 1 << 50)

    assert kept == 40
    assert (down.status_code, up.status_code) == (503, 200)
    assert any("disk" in sentence and "ree some" in sentence for sentence in told)
    assert np.sort(value).tolist() == [float(n) for n in range(80)]
