"""Numbers, times and forecasts in words; live events."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model import DeviceId, Forecast
from gateway.web.hub import QUEUE, RING, Hub
from gateway.web.render import initials, local_time, mask, word
from gateway.web.words import DAY_MS, ago, amount, forecast_sentence, plain, title

NOW_MS = 1_785_000_000_000


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("battery_health_ratio", 0.683, "68.3 %"),
        ("performance_ratio", 3.4, "3.4"),
        ("memory_available_bytes", 54_000_000.0, "54 MB"),
        ("values_stored", 9_482_113.0, "9.48 M"),
        ("values_per_s", 18_450.0, "18.4 k/s"),
        ("wan_latency_s", 0.0154, "15.4 ms"),
        ("uptime_s", 86_400.0 * 9, "9 days"),
        ("temperature_celsius", -3.0, "-3 °C"),
        ("anything", float("nan"), "–"),
    ],
)
def test_a_value_is_written_with_its_unit(metric: str, value: float, text: str) -> None:
    assert amount(value, metric) == text


def test_names_are_written_for_people() -> None:
    assert title("battery_health_ratio") == "Battery health"
    assert title("inlet_pressure_pascals") == "Inlet pressure"
    assert title("") == "Whole device"
    assert word("BatteryWearingOut") == "Battery wearing out"
    assert word("wifi_router") == "Wi-Fi router"
    assert initials("Mara Jensen") == "MJ"
    assert initials("陈伟") == "陈"
    assert mask("+4915112345601") == "+4•••••5601"


def test_sentences_call_metrics_by_their_titles() -> None:
    assert plain("heap_free_bytes fell. cpu_busy_ratio and oil_level_ratio rose in lock_a_1.") == (
        "Heap free fell. CPU in use and oil level rose in lock_a_1."
    )


def test_moments_are_told_from_now() -> None:
    assert ago(NOW_MS - 180_000, NOW_MS) == "3 min ago"
    assert ago(NOW_MS + 9 * DAY_MS, NOW_MS) == "in 9 days"
    assert ago(None, NOW_MS) == "never"
    assert local_time(NOW_MS, "Asia/Shanghai") == "01:20"
    assert local_time(NOW_MS, "Mars/Olympus") == ""


def forecast(**more: object) -> Forecast:
    named = {"device_id": DeviceId("d"), "name": "battery", "made_ms": NOW_MS}
    return Forecast(**(named | more))  # type: ignore[arg-type]


LIMIT = {"metric": "battery_health_ratio", "limit": 0.55}
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            LIMIT | {"median_ms": NOW_MS + 6 * DAY_MS, "low_ms": NOW_MS + 4 * DAY_MS, "high_ms": NOW_MS + 9 * DAY_MS},
            "Battery health reaches 55 % in about 6 days (31 Jul); 9 times in 10 between 29 Jul and 3 Aug.",
        ),
        (
            LIMIT
            | {
                "median_ms": NOW_MS + 34 * MINUTE_MS, "low_ms": NOW_MS - 5, "high_ms": NOW_MS + 75 * MINUTE_MS,
                "risk_ratio": 1.0, "horizon_ms": 30 * DAY_MS,
            },
            "Battery health reaches 55 % in about 34 min (17:54 UTC); 9 times in 10 between 17:20 and 18:35 UTC. "
            "It reaches its limit within 30 days with 99 % probability.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS + 20 * 60 * MINUTE_MS},
            "Battery health reaches 55 % in about 20 h (26 Jul 13:20 UTC).",
        ),
        (
            LIMIT | {"median_ms": NOW_MS - 1, "low_ms": NOW_MS - 9, "high_ms": NOW_MS - 1},
            "Battery health reaches 55 % now.",
        ),
        (
            LIMIT | {"risk_ratio": 0.004, "horizon_ms": 30 * DAY_MS},
            "Battery health reaches its limit within 30 days with under 1 % probability.",
        ),
        ({"risk_ratio": 0.31, "horizon_ms": 30 * DAY_MS}, "31 of 100 devices in this state fail within 30 days."),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_forecast_says_limit_time_interval_and_what_its_probability_is_of(
    said: dict[str, object], sentence: str
) -> None:
    assert forecast_sentence(forecast(**said), NOW_MS) == sentence


async def first(hub: Hub, count: int, last_id: str | None = None, *, then: int = 0) -> list[str]:
    """The first blocks of a new stream, `then` events being published once it listens."""
    seen, stream = [], hub.stream(last_id)
    async for block in stream:
        if block.startswith("retry"):
            for n in range(then):
                hub.publish("ticket", str(n))
            continue
        seen.append(block)
        if len(seen) == count:
            break
    await stream.aclose()
    return seen


async def test_open_pages_hear_what_changes() -> None:
    hub = Hub(started_ms=5)

    assert await first(hub, 1, then=1) == ['id: 5-1\nevent: ticket\ndata: {"id": "0"}\n\n']


async def test_a_page_that_reconnects_hears_what_it_missed_and_nothing_twice() -> None:
    hub = Hub(started_ms=5)
    for n in range(3):
        hub.publish("ticket", str(n))

    missed = await first(hub, 2, "5-1")

    assert [block.split("\n")[0] for block in missed] == ["id: 5-2", "id: 5-3"]


@pytest.mark.parametrize("last_id", ["4-1", "5-0", "nonsense", "5-", ""])
async def test_where_the_ring_does_not_reach_back_the_page_reloads(last_id: str) -> None:
    hub = Hub(started_ms=5)
    for n in range(RING + 2):
        hub.publish("ticket", str(n))

    assert "event: resync" in (await first(hub, 1, last_id))[0]


async def test_a_slow_page_is_told_to_reload_instead_of_growing() -> None:
    hub = Hub(started_ms=5)

    blocks = await first(hub, 1, then=QUEUE + 1)

    assert "event: resync" in blocks[0]


async def test_closing_ends_the_streams() -> None:
    hub = Hub(started_ms=5)
    stream = hub.stream()
    await anext(stream)
    hub.close()

    assert [block async for block in stream] == []
    await asyncio.sleep(0)
