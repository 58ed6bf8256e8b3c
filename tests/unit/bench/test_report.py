"""What the benchmarks say of themselves: reached or not, fleets merged, and the document that quotes them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.detection.report import DOCUMENT, refreshed, sections
from bench.detection.row import Row
from bench.sim_table import CUTS, summary
from firmware_sim import MODES, Opened, Truth, score
from gateway.detect import DETECTORS

HOUR_MS = 3_600_000


def row(key: str, ours: float | None, reach: float | None) -> Row:
    return Row(key, "a figure", ours, None, None, reach, 1.0, 1.0)


@pytest.mark.parametrize(
    ("key", "ours", "reach", "reached"),
    [
        ("anomaly.nab_standard", 71.0, 70.0, True),
        ("anomaly.unseen_false_alarms_day", 0.21, 0.20, False),
        ("failures.engines.fd001.rmse", 10.0, 10.5, True),
        ("failures.disks.lead_days", 12.0, 10.0, True),
        ("failures.disks.calibration_high", 1.4, 1.25, False),
        ("failures.bearings.coverage", 0.99, 0.9, False),
        ("logs.clusters", 532.0, None, None),
        ("anomaly.nab_standard", None, 70.0, None),
    ],
)
def test_a_figure_is_reached_in_its_own_direction(
    key: str, ours: float | None, reach: float | None, reached: bool | None
) -> None:
    assert row(key, ours, reach).reached is reached


def test_what_a_thousand_series_cost_is_told_where_something_is_kept_of_them(tmp_path: Path) -> None:
    cheap, dear = replace(row("anomaly.a", 1.0, 1.0), series=500, state_mb=0.6), replace(row("anomaly.b", 1.0, 1.0))
    dear = replace(dear, seconds=9.0, series=3_000, state_mb=2.4)
    assert cheap.per_thousand == (2.0, 1.2)
    assert row("logs.a", 1.0, 1.0).per_thousand is None

    rows = {of.key: asdict(of) for of in (cheap, dear, row("anomaly.c", 1.0, 1.0))}
    (tmp_path / "x.json").write_text(json.dumps({"commit": "c", "rows": rows}))

    told = sections(tmp_path)["anomaly"].splitlines()[-1]
    assert told == "By data set, a thousand series took 2 to 3 s of one core, and 0.8 to 1.2 MB are kept of them."


def test_only_what_stands_between_markers_is_written_anew() -> None:
    text = "before <!-- logs: begin -->\nold\n<!-- logs: end --> after\n"

    fresh = refreshed(text, {"logs": "new", "cost": "nowhere"})

    assert fresh == "before <!-- logs: begin -->\nnew\n<!-- logs: end --> after\n"
    assert refreshed(fresh, {"logs": "new"}) == fresh


def test_results_that_are_missing_are_named_with_their_command(tmp_path: Path) -> None:
    parts = sections(tmp_path)

    assert set(parts) == {"anomaly", "failures", "logs", "simulated", "cost", "disks"}
    assert all("Not measured yet: `python -m bench." in part for part in parts.values())


def test_fleets_are_merged_by_occasion_and_the_best_cut_within_the_budget_is_told() -> None:
    truth = [Truth(device="a", mode="disk_filling", onset_ms=0, noticed_ms=50 * HOUR_MS, failed_ms=60 * HOUR_MS)]
    early, none = [Opened("a", 10 * HOUR_MS, "disk")], []
    noisy = [*early, *(Opened("b", k * HOUR_MS, "memory") for k in range(9))]

    def fleet(low: list[Opened], recorded: list[Opened]) -> dict[str, object]:
        tickets = dict.fromkeys(CUTS, none) | {"low": low, "recorded": recorded}
        return {c: score(truth, t, devices=10, start_ms=0, end_ms=720 * HOUR_MS) for c, t in tickets.items()}

    found = summary({1: fleet(early, noisy), 2: fleet(none, noisy)})

    assert (found["due"], found["recall"], found["median_lead_hours"]) == (2, 0.5, 40.0)
    assert [mode["found"] for mode in found["modes"]] == [1]
    assert (found["recall_at_one_false"], found["cut_at_one_false"]) == (0.5, "low")
    assert found["cuts"][-1]["recall"] == 1.0
    assert found["cuts"][-1]["false_per_100_device_months"] == pytest.approx(100.0, rel=0.02)


def test_the_document_names_every_detector_and_its_pictures_are_there() -> None:
    text = DOCUMENT.read_text("utf-8")
    pictures = re.findall(r"\]\((img/[\w-]+\.png)\)", text)

    assert not [d.name for d in DETECTORS if f"`{d.name}`" not in text]
    assert pictures
    assert all(0 < (DOCUMENT.parent / picture).stat().st_size < 150_000 for picture in pictures)
    assert not [mode.name for mode in MODES if f"`{mode.name}`" not in text]
