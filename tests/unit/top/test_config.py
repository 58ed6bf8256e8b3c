"""Settings: the environment wins, secrets stay out of the file, mistakes are named."""

import pytest

from gateway import config
from gateway.errors import ConfigError


def test_defaults_need_no_file():
    assert config.load(None, {}).web.port == 8460


def test_the_environment_overrides_the_file(tmp_path):
    path = tmp_path / "beforehand.toml"
    path.write_text("[web]\nport = 9000\nhost = '0.0.0.0'\n")

    settings = config.load(path, {"BEFOREHAND_WEB__PORT": "9001"})

    assert (settings.web.port, settings.web.host) == (9001, "0.0.0.0")


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        ("[web]\nprot = 1\n", "settings_invalid", "web.prot"),
        ("[web]\nport = 99999\n", "settings_invalid", "web.port"),
        ("[detect]\nrisk_horizon = '30m'\n", "settings_invalid", "an hour at least"),
        ("[ingest]\nlinger = 'soon'\n", "settings_invalid", "ingest.linger"),
        ("[outreach]\ntwilio_auth_token = 'x'\n", "secret_in_file", "BEFOREHAND_OUTREACH__TWILIO_AUTH_TOKEN"),
        ("web = [", "settings_invalid", "beforehand.toml"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path, text, code, names):
    path = tmp_path / "beforehand.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        config.load(path, {})

    assert caught.value.code == code
    assert names in caught.value.detail


def test_a_secret_is_read_from_a_file_and_never_shown(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")

    settings = config.load(None, {"BEFOREHAND_OUTREACH__TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "token")})

    assert settings.outreach.twilio_auth_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def test_the_password_of_the_ledger_goes_into_its_url():
    environ = {"BEFOREHAND_LEDGER__URL": "postgresql+psycopg://b@db/b", "BEFOREHAND_LEDGER__PASSWORD": "p@ss"}

    assert config.load(None, environ).ledger_url == "postgresql+psycopg://b:p%40ss@db/b"


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("1d12h", 129_600), ("0.5h", 1800)])
def test_durations(text, seconds):
    assert config.duration_s(text) == seconds


def test_every_setting_has_a_sentence():
    assert [key for key, _, sentence, _ in config.fields() if not sentence.endswith(".")] == []
