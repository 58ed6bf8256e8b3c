"""docs/agent.md says what the code does."""

import re
from pathlib import Path

from edge import lines
from edge.commands import BUILT_IN
from edge.config import SENSORS, read_settings
from edge.desired import CHANGEABLE
from edge.selfview import COUNTERS
from edge.wire import METRICS

TEXT = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()


def test_its_settings_can_be_read():
    minimal, hooks = re.findall(r"```toml\n(.+?)```", TEXT, re.S)

    settings = read_settings(minimal + hooks)

    assert settings.file[0].scale == 1e-6
    assert settings.command.hooks["reboot"][0] == "/usr/bin/systemctl"


def test_every_sensor_and_changeable_setting_is_in_it():
    assert (
        tuple(re.findall(r"^\| `(\w+)` \| .* \| .*\|$", TEXT.split("## What it reads")[1].split("## ")[0], re.M))
        == SENSORS
    )
    section = TEXT.split("## Desired configuration")[1].split("## ")[0]
    assert tuple(re.findall(r"`(\w+)`", section)) == CHANGEABLE
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT.split("## Commands")[1], re.M)) == set(BUILT_IN)


def test_the_line_protocol_is_that_of_the_code():
    verbs = re.findall(r"^    (\w+)  ?<", TEXT, re.M)
    assert verbs == re.findall(r"^    (\w+)  ?<", lines.__doc__, re.M)


def test_every_counter_is_a_known_metric():
    assert set(COUNTERS.values()) <= set(METRICS)
