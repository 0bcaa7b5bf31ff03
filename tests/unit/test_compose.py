"""Holds docker-compose.yml and the Dockerfile to the rest of the project, as no engine runs them here."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from honcho.environ import parse_procfile
from ruamel.yaml import YAML

from tests.support import ROOT
from webapp.config import CELERY_OPTIONS, SETTINGS

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCFILE: dict[str, str] = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
LASTING = sorted(SERVICES.keys() - {"migrate"})


def is_setting(name: str) -> bool:
    """Say whether Vase, or Celery by way of it, reads this variable."""
    celery_option = name.removeprefix("CELERY_").lower() in CELERY_OPTIONS if name.startswith("CELERY_") else False
    return celery_option or name in {setting.name for setting in SETTINGS}


def test_compose_file_is_valid() -> None:
    """The file follows the compose specification."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


def test_compose_has_a_service_for_each_part() -> None:
    """Every part of the Procfile has a service."""
    assert set(LASTING) == PROCFILE.keys()


@pytest.mark.parametrize("name", sorted(PROCFILE.keys() - {"redis"}))
def test_compose_runs_the_commands_of_the_procfile(name: str) -> None:
    """A service runs what `make up` runs, without the keeper."""
    assert SERVICES[name]["command"] == PROCFILE[name].removeprefix("bin/keep ")


@pytest.mark.parametrize("name", SERVICES)
def test_compose_sets_known_settings_only(name: str) -> None:
    """A misspelt or dropped setting is noticed."""
    assert [key for key in SERVICES[name].get("environment", {}) if not is_setting(key)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_compose_publishes_on_this_machine_only(name: str) -> None:
    """Nothing is published on an address that other machines reach."""
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []


def test_compose_publishes_no_redis() -> None:
    """Redis has no password, so only the other containers reach it."""
    assert "ports" not in SERVICES["redis"]


def test_compose_keeps_redis_on_disk() -> None:
    """What waits in the queue survives a restart of Redis."""
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"


@pytest.mark.parametrize("name", LASTING)
def test_compose_restarts_what_ends(name: str) -> None:
    """A part that dies comes back."""
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", LASTING)
def test_compose_checks_health(name: str) -> None:
    """Each part that lasts is asked whether it is well."""
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_compose_takes_rights_away(name: str) -> None:
    """No part may become root or write outside what it keeps."""
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


@pytest.mark.parametrize("name", sorted(PROCFILE.keys() - {"redis"}))
def test_compose_waits_for_the_database(name: str) -> None:
    """A part starts on a database that is up to date."""
    assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_image_runs_as_an_ordinary_user() -> None:
    """The last USER of the image is not root."""
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.M)[-1] == "vase"


def test_image_sets_known_settings_only() -> None:
    """Every variable of the image is a setting, or one of Python's own."""
    words = [word for line in re.findall(r"^ENV (.*)$", DOCKERFILE, re.M) for word in shlex.split(line)]
    names = [word.partition("=")[0] for word in words]
    assert [name for name in names if not is_setting(name) and not name.startswith("PYTHON")] == []


def test_image_serves_the_site() -> None:
    """The image alone runs the web server."""
    command = re.findall(r"^CMD (.*)$", DOCKERFILE, re.M)[-1]
    assert " ".join(json.loads(command)) == PROCFILE["web"].removeprefix("bin/keep ")


@pytest.mark.parametrize("path", ["app.py", "celery_worker.py", "gunicorn.conf.py", "requirements.txt", "webapp"])
def test_image_holds_what_runs(path: str) -> None:
    """What the parts need is not left out of the image."""
    assert f"!{path}" in (ROOT / ".dockerignore").read_text().splitlines()
