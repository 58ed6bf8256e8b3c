"""Snapshots: whole or not there, the newest that fits, two kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.services import snapshot

PARTS = {
    "engine": {"level/mean": np.array([1.5, np.nan]), "rooms": np.array([2, 3])},
    "rules": {"rules": np.array(["A"])},
}


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    snapshot.save(tmp_path / "state", 7, PARTS)
    window, parts = snapshot.restore(tmp_path / "state", dict)

    assert window == 7
    assert parts["rules"]["rules"].tolist() == ["A"]
    np.testing.assert_array_equal(parts["engine"]["level/mean"], [1.5, np.nan])


def test_without_any_learning_starts_from_nothing(tmp_path: Path) -> None:
    assert snapshot.restore(tmp_path / "state", dict) == (0, {})


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for window in (1, 2, 3):
        snapshot.save(tmp_path, window, PARTS)

    assert held(tmp_path) == ["000000000002.npz", "000000000003.npz"]


def test_those_of_a_store_that_is_gone_are_removed(tmp_path: Path) -> None:
    snapshot.save(tmp_path, 500, PARTS)
    snapshot.save(tmp_path, 3, PARTS)

    assert held(tmp_path) == ["000000000003.npz"]


@pytest.mark.parametrize("damage", [lambda b: b[:200], lambda b: b"", lambda b: b[:-40], lambda b: bytes(len(b))])
def test_one_that_cannot_be_read_gives_way_to_the_one_before(tmp_path: Path, damage) -> None:
    snapshot.save(tmp_path, 1, PARTS)
    path = snapshot.save(tmp_path, 2, PARTS)
    path.write_bytes(damage(path.read_bytes()))

    assert snapshot.restore(tmp_path, sorted) == (1, ["engine", "rules"])


def test_one_that_does_not_fit_gives_way_to_the_one_before(tmp_path: Path) -> None:
    snapshot.save(tmp_path, 1, PARTS)
    snapshot.save(tmp_path, 2, {"rules": PARTS["rules"]})

    window, _ = snapshot.restore(tmp_path, lambda parts: parts["engine"]["rooms"] if parts else None)

    assert window == 1


def test_another_layout_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot.save(tmp_path, 1, PARTS)
    monkeypatch.setattr(snapshot, "VERSION", snapshot.VERSION + 1)

    assert snapshot.restore(tmp_path, dict) == (0, {})


def test_a_disk_that_fills_up_leaves_the_older_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot.save(tmp_path, 1, PARTS)

    def full(file, **_arrays: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            snapshot.save(tmp_path, 2, PARTS)

    assert held(tmp_path) == ["000000000001.npz"]
    assert snapshot.restore(tmp_path, dict)[0] == 1
