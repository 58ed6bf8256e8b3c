"""Numbers, times and forecasts in words; live events."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model import DeviceId, Forecast
from gateway.web.hub import QUEUE, RING, Hub
from gateway.web.render import cause, initials, local_time, mask, tongue, word
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
        ("heap_free_bytes", 999_999.0, "1 MB"),
        ("heap_free_bytes", 999_400.0, "999 kB"),
        ("values_stored", 1_234e12, "1,234 T"),
        ("anything", 9_999.7, "10,000"),
        ("some_ratio", 12.5, "1,250 %"),
        ("wan_latency_s", 0.0154, "15.4 ms"),
        ("uptime_s", 86_400.0 * 9, "9 days"),
        ("temperature_celsius", -3.0, "−3 °C"),
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
    assert (cause("battery"), cause("firmware firmware=router R-200 4.3.0")) == (
        "Battery",
        "Firmware: router R-200 4.3.0",
    )
    assert (tongue("zh-Hant"), tongue("nl")) == ("Chinese", "nl")
    assert mask("+4915112345601") == "+49 ••• 5601"
    assert mask("ada@example.org") == "a•••@example.org"


def test_sentences_call_metrics_by_their_titles() -> None:
    assert plain("heap_free_bytes fell. cpu_busy_ratio and oil_level_ratio rose in lock_a_1.") == (
        "Heap free fell. CPU in use and oil level rose in lock_a_1."
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "memory_available_bytes falls by 1.19e+07 a day, for 4 days now; at this pace it reaches 1.67772e+07",
            "Memory available falls by 11.9 MB a day, for 4 days now; at this pace it reaches 16.8 MB",
        ),
        ("uptime_s has varied for 11 hours, near 130,499.", "Uptime has varied for 11 hours, near 2 days."),
        ("boots_total is 24, 300 % above its usual 6.01.", "Boots is 24, 300 % above its usual 6.01."),
        (
            "Something new: temperature_celsius is 60.5, usually 52; wifi_signal_dbm is -80. It is 3 of 5",
            "Something new: temperature is 60.5 °C, usually 52 °C; Wi-Fi signal is −80 dBm. It is 3 of 5",
        ),
        (
            "battery_health_ratio has sunk 30 % from its usual 0.97.",
            "Battery health has sunk 30 % from its usual 97 %.",
        ),
        (
            "The device behaves unlike its own past: supply_temperature_celsius has been 61, where its other metrics "
            "suggest 52.",
            "The device behaves unlike its own past: supply temperature has been 61 °C, where its other metrics "
            "suggest 52 °C.",
        ),
        ("Free memory is 77.4 MiB; at 16 MiB it restarts.", "Free memory is 77.4 MiB; at 16 MiB it restarts."),
    ],
)
def test_numbers_about_a_metric_get_its_unit(said: str, told: str) -> None:
    assert plain(said) == told


def test_moments_are_told_from_now() -> None:
    assert ago(NOW_MS - 180_000, NOW_MS) == "3 min ago"
    assert ago(NOW_MS + 9 * DAY_MS, NOW_MS) == "in 9 days"
    assert ago(None, NOW_MS) == "never"
    assert local_time(NOW_MS, "Asia/Shanghai") == "01:20"
    assert local_time(NOW_MS, "Mars/Olympus") == ""
    assert local_time(NOW_MS, "Europe") == ""


def forecast(**more: object) -> Forecast:
    named = {"device_id": DeviceId("d"), "name": "battery", "made_ms": NOW_MS}
    return Forecast(**(named | more))  # type: ignore[arg-type]


LIMIT = {"metric": "battery_health_ratio", "limit": 0.55}
MINUTE_MS = 60_000
MONTH = {"risk_ratio": 1.0, "horizon_ms": 30 * DAY_MS}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            LIMIT | {"median_ms": NOW_MS + 6 * DAY_MS, "low_ms": NOW_MS + 4 * DAY_MS, "high_ms": NOW_MS + 9 * DAY_MS},
            "Battery health reaches 55 % in about 6 days (31 Jul); 9 times in 10 between 29 Jul and 3 Aug.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS + 34 * MINUTE_MS, "low_ms": NOW_MS - 5, "high_ms": NOW_MS + 75 * MINUTE_MS}
            | MONTH,
            "Battery health reaches 55 % in about 34 min (17:54 UTC); 9 times in 10 between 17:20 and 18:35 UTC.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS + 20 * 60 * MINUTE_MS},
            "Battery health reaches 55 % in about 20 h (26 Jul 13:20 UTC).",
        ),
        (
            LIMIT | {"median_ms": NOW_MS + 5 * DAY_MS, "low_ms": NOW_MS + 5 * DAY_MS - MINUTE_MS,
                     "high_ms": NOW_MS + 5 * DAY_MS + MINUTE_MS},
            "Battery health reaches 55 % in about 5 days (30 Jul); 9 times in 10 on 30 Jul.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS + 20 * DAY_MS, "low_ms": NOW_MS + 9 * DAY_MS, "high_ms": NOW_MS + 40 * DAY_MS}
            | MONTH | {"risk_ratio": 0.83},
            "Battery health reaches 55 % in about 20 days (14 Aug); 9 times in 10 between 3 Aug and 3 Sep. "
            "It reaches its limit within 30 days with 83 % probability.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS, "low_ms": NOW_MS, "high_ms": NOW_MS} | MONTH,
            "Battery health has reached 55 %.",
        ),
        (
            LIMIT | {"median_ms": NOW_MS - 2 * DAY_MS, "made_ms": NOW_MS - 6 * DAY_MS} | MONTH,
            "Battery health was to reach 55 % about 23 Jul, as seen 6 days ago.",
        ),
        (
            LIMIT | MONTH, "Battery health reaches its limit within 30 days with 99 % probability.",
        ),
        (
            LIMIT | MONTH | {"risk_ratio": 0.004},
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
