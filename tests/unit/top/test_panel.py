"""What the demo shows in the terminal."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from gateway.cli.panel import Counted, Moment, NewTicket, line, panel

NOW_MS = 1_795_568_400_000
TICKET = NewTicket(
    at_ms=NOW_MS - 240_000, number=22, device="router-0044", title="Restarts [again] and again: " + "10 times " * 20,
    priority="urgent", told=True,
)  # fmt: skip
COUNTED = Counted(online=198, incidents=29, tickets=22, messages=Counter(delivered=5, held=2), newest=(TICKET,))
LIVE = Moment(
    url="http://localhost:8460", login="demo", password="245279-show", devices=200, days=30, share=None,
    values=4_807_704, behind_s=0.31, now_ms=NOW_MS, counted=COUNTED,
)  # fmt: skip


def shown(moment: Moment, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as held:
        console.print(panel(moment, width=width))
    return held.get()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_panel_fits_the_terminal_and_tells_the_door_the_find_and_who_was_told(width):
    text = shown(LIVE, width)

    assert max(len(row) for row in text.splitlines()) <= width
    for told in ("http://localhost:8460", "245279-show", "198 of 200", "owner told", "4 min ago", "Restarts ["):
        assert told in text


@pytest.mark.parametrize(
    ("moment", "advice"),
    [
        (replace(LIVE, share=0.43), "43%"),
        (LIVE, "answer as one of the owners"),
        (replace(LIVE, counted=replace(COUNTED, messages=Counter(received=1))), "open the ticket that was answered"),
    ],
)
def test_the_panel_says_what_to_try_next(moment, advice):
    assert advice in shown(moment, 104)


def test_without_a_terminal_the_same_is_one_line():
    assert line(LIVE).startswith("console http://localhost:8460 login demo password 245279-show | live | 198 online,")
    assert "playing the last 30 days: 43%" in line(replace(LIVE, share=0.43))
