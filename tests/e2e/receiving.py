"""The receiving half of a gateway as a process of its own, to be killed: broker, source, store, receiver.

python -m tests.e2e.receiving FOLDER PORT DEVICES    writes FOLDER/broker.pid once it runs
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.broker import Broker, BrokerConfig
from gateway.ingest import Intake
from gateway.model import Block, Device, DeviceId, Roster
from gateway.services.receive import Pace, Receiver
from gateway.stores.duckdb import DuckDbStore
from tests.brokers import SEED, credential, source_of


def roster(devices: int) -> Roster:
    made = Roster()
    for number in range(devices):
        made.put_device(Device(device_id=DeviceId(f"d{number}"), number=number, type="router"))
        made.series(number, made.metric("sent_total"))
    return made


async def main(folder: Path, port: int, devices: int) -> None:
    config = BrokerConfig(directory=folder / "broker", mqtt_port=port)
    broker = Broker(config, seed=SEED, credential=credential)
    await broker.start()
    fleet, store = roster(devices), DuckDbStore(folder / "series.duckdb", memory="256MB", threads=1, hot_rows=1_000)

    async def turn(block: Block) -> None:
        await asyncio.to_thread(store.settle, block.window)

    receiver = Receiver(
        source=source_of(broker, ack_wait_s=2.0), store=store, roster=fleet, intake=Intake(fleet),
        save_series=lambda _, __: None, on_block=turn, pace=Pace(linger_s=0.02, marks_every_s=0.05),
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.watch())
        group.create_task(receiver.run())
        pid = 0
        while True:
            if broker.pid not in (0, pid):
                pid = broker.pid
                (folder / "broker.pid").write_text(str(pid))
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
