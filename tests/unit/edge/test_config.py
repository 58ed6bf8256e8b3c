import pytest

from edge.config import ConfigError, read_settings
from edge.desired import apply_desired, shown

LEAST = '[device]\nid = "d1"\n[link]\nhost = "h"\n'


def test_the_least_settings_are_enough():
    settings = read_settings(LEAST)

    assert settings.link.username == "d1"
    assert settings.collect.sample_every == 10
    assert settings.buffer.size == 32 << 20


def test_secrets_come_from_files_and_do_not_show(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    text = LEAST + f'password_file = "{tmp_path}/password"\n[command]\nkey_file = "{tmp_path}/key"\n'

    settings = read_settings(text)

    assert settings.link.password == "hunter2"
    assert settings.command.key == b"\xab" * 32
    assert "hunter2" not in repr(settings)
    assert repr(b"\xab" * 32) not in repr(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("device", "not TOML"),
        ('[device]\nid = "d1"\n', "link.host: missing"),
        ('[link]\nhost = "h"\n', "device.id: missing"),
        (LEAST + "[rocket]\n", r"\[rocket\]: unknown; known are device"),
        (LEAST + "rocket = 1\n", "link.rocket: unknown"),
        (LEAST + "port = 70000\n", "link.port: '70000': expected an integer from 1 to 65535"),
        (LEAST + "tls = 1\n", "link.tls: '1': expected true or false"),
        (LEAST + 'password_file = "/nowhere"\n', "link.password_file: .*No such file"),
        (LEAST + "password = 5\n", "link.password: expected text"),
        (LEAST + '[buffer]\nsize = "3MB"\n', "buffer.size: '3MB': expected a size"),
        (LEAST + '[buffer]\nsync = "sometimes"\n', "expected one of always, alarms, never"),
        (LEAST + '[collect]\nsample_every = "10"\n', "collect.sample_every: '10': expected a duration"),
        (LEAST + '[collect]\nsensors = ["cpu", "mood"]\n', "mood unknown"),
        (LEAST + '[collect]\nredact = ["("]\n', "not a regular expression"),
        (LEAST + '[command]\nkey = "abc"\n', "command.key: expected hex"),
        (LEAST + '[command]\nkey = "abcd"\n', "command.key: expected at least 32"),
        (LEAST + '[log]\npath = "x"\n', "double brackets"),
        (LEAST + "[[log]]\n", "log.path: missing"),
        (LEAST + '[[exec]]\nname = "x"\nargv = []\n', "expected a program"),
        (LEAST + '[[file]]\nmetric = "Volts"\npath = "x"\n', "expected a metric name"),
        ('[device]\nid = "a.b"\n[link]\nhost = "h"\n', "device.id: 'a.b': expected 1 to 64 letters"),
    ],
)
def test_a_wrong_setting_is_told_with_its_key_and_what_was_expected(text, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(text)


def test_desired_settings_apply_but_for_the_wrong_ones():
    before = read_settings(LEAST).collect

    after, refused = apply_desired(before, {"sample_every": "1m", "sensors": ["cpu"], "log_level": 3, "disk": "/"})

    assert (after.sample_every, after.sensors, after.log_level) == (60, ("cpu",), before.log_level)
    assert set(refused) == {"log_level", "disk"}
    assert apply_desired(before, shown(after)) == (after, {})
