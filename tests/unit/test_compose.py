"""Holds docker-compose.yml and the Dockerfile to the rest of the project, as no engine runs them here."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

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
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def is_setting(name: str) -> bool:
    """Say whether Vase, or Celery by way of it, reads this variable."""
    celery_option = name.removeprefix("CELERY_").lower() in CELERY_OPTIONS if name.startswith("CELERY_") else False
    return celery_option or name in {setting.name for setting in SETTINGS}


def test_compose_file_is_valid() -> None:
    """The file follows the compose specification."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


def test_compose_has_a_service_for_each_part() -> None:
    """Every part of the Procfile has a service; besides them there is only a database for those who want one."""
    assert set(LASTING) - {"postgres"} == PROCFILE.keys()


@pytest.mark.parametrize("name", sorted(PROCFILE.keys() - {"redis"}))
def test_compose_runs_the_commands_of_the_procfile(name: str) -> None:
    """A service runs what `make up` runs, without the keeper."""
    assert SERVICES[name]["command"] == PROCFILE[name].removeprefix("bin/keep ")


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_known_settings_only(name: str) -> None:
    """A misspelt or dropped setting is noticed."""
    assert [key for key in SERVICES[name].get("environment", {}) if not is_setting(key)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_compose_publishes_on_this_machine_only(name: str) -> None:
    """Nothing is published on an address that other machines reach."""
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_compose_publishes_nothing_that_keeps_data(name: str) -> None:
    """Only the other containers reach Redis, which has no password, and the database."""
    assert "ports" not in SERVICES[name]


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


def value_of(setting: str, environ: dict[str, str]) -> str:
    """Return what docker compose makes of a setting's value, by the rules of its specification."""
    text = SERVICES["web"]["environment"][setting]
    innermost = re.compile(r"\$\{(\w+)(?:(:[-+])([^${}]*))?\}")
    while found := innermost.search(text):
        known, operator, word = environ.get(found[1], ""), found[2], found[3]
        meant = (known or word) if operator == ":-" else (word if known else "") if operator == ":+" else known
        text = text.replace(found[0], meant, 1)
    return text


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, ""),
        ({"POSTGRES_PASSWORD": "secret"}, "postgresql+psycopg://vase:secret@postgres/vase"),
        ({"DATABASE_URL": "sqlite:////x", "POSTGRES_PASSWORD": "secret"}, "sqlite:////x"),
    ],
    ids=["nothing said", "password", "elsewhere"],
)
def test_compose_points_to_its_postgresql_where_a_password_is_given(environ: dict[str, str], url: str) -> None:
    """Without one the setting is empty, which means SQLite; an address given by hand stands."""
    assert value_of("DATABASE_URL", environ) == url


def test_compose_starts_no_postgresql_unasked() -> None:
    """SQLite is enough for most, so it belongs to a profile."""
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["postgres"]


def test_compose_makes_the_user_that_the_address_names() -> None:
    """User and password of the address are those that PostgreSQL is set up with."""
    url = urlsplit(value_of("DATABASE_URL", {"POSTGRES_PASSWORD": "secret"}))
    assert (url.hostname, url.username, url.path) == (
        "postgres",
        SERVICES["postgres"]["environment"]["POSTGRES_USER"],
        "/vase",
    )


def test_compose_migrates_a_postgresql_that_answers() -> None:
    """The migration waits for the database where it runs, and for nothing where it does not."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy", "required": False}}


def test_compose_keeps_postgresql_on_disk() -> None:
    """The folder of the data is a volume."""
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert "postgres" in COMPOSE["volumes"]


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
