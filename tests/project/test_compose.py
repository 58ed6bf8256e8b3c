"""docker-compose.yml is valid, and runs the production shape."""

import json
import re
from pathlib import Path

import jsonschema
import yaml

from gateway import config

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_it_keeps_to_the_compose_specification():
    schema = json.loads((Path(__file__).parent / "compose_spec" / "schema.json").read_text())

    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


def test_it_runs_nats_influxdb_postgresql_and_the_gateway():
    images = [service["image"].partition(":")[0] for service in COMPOSE["services"].values()]

    assert sorted(images) == ["beforehand", "influxdb", "nats", "postgres"]


def test_every_variable_it_gives_the_gateway_is_a_setting():
    known = {config.env_name(key) for key, _, _, _ in config.fields()}
    given = {name.removesuffix("_FILE") for name in COMPOSE["services"]["gateway"]["environment"]}

    assert given <= known


def test_every_secret_used_is_declared():
    used = {secret for service in COMPOSE["services"].values() for secret in service.get("secrets", [])}

    assert used == set(COMPOSE["secrets"])


def test_no_password_is_written_in_it():
    text = (ROOT / "docker-compose.yml").read_text()

    assert not re.search(r"(?i)(password|token)\w*: *[^/\s]+$", text.replace("_FILE:", "_FILE_"), re.MULTILINE)
