"""Settings: one table, documented, checked before anything starts."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from webapp.config import SETTINGS, load_settings
from webapp.errors import SettingError
from webapp.instance import keep_redis_address

DOCUMENTS = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NAMES_OF_REDIS = ("BROKER_URL", "RESULT_BACKEND")


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCUMENTS


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_example_can_be_used(setting: Any) -> None:
    setting.read(setting.example)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("PORT", "99999", "is not between 1 and 65535"),
        ("PORT", "http", "is not a whole number"),
        ("DIVIDE_SECONDS", "soon", "is not a number"),
        ("DIVIDE_SECONDS", "nan", "is not between"),
        ("CELERY_BROKER_URL", "127.0.0.1:6379", "is not a URL"),
        ("DATABASE_URL", "mysql://localhost/vase", "is not a URL"),
        ("FLOWER_READ_ONLY", "perhaps", "is neither true nor false"),
        ("CELERY_TASK_ACKS_LATE", "perhaps", "is not a bool"),
        ("CELERY_BROKER_TRANSPORT_OPTIONS", "{", "is not a dict"),
    ],
)
def test_a_wrong_value_is_named_with_its_fault_and_an_example(
    name: str, value: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as raised:
        load_settings(tmp_path, {})
    text = str(raised.value)
    assert text.startswith(f"{name}=")
    assert fault in text
    assert f"Example: {name}=" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["DATABASE_URL", "CELERY_BROKER_URL"])
def test_a_password_in_a_wrong_value_is_not_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mysql://me:secret@localhost/x")
    with pytest.raises(SettingError) as raised:
        load_settings(tmp_path, {})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("CELERY_TASK_ACKS_LATE", "true", True),
        ("CELERY_WORKER_PREFETCH_MULTIPLIER", "7", 7),
        ("CELERY_IMPORTS", "shop.tasks, mail.tasks", ("shop.tasks", "mail.tasks")),
        ("CELERY_BROKER_TRANSPORT_OPTIONS", '{"visibility_timeout": 60}', {"visibility_timeout": 60}),
        ("CELERY_TASK_ROUTES", '{"mail.*": {"queue": "mail"}}', {"mail.*": {"queue": "mail"}}),
        ("CELERY_TASK_DEFAULT_QUEUE", "runs", "runs"),
        ("CELERY_BROKER_USE_SSL", '{"ssl_cert_reqs": "required"}', {"ssl_cert_reqs": "required"}),
        ("CELERY_BROKER_USE_SSL", "true", True),
    ],
)
def test_any_celery_setting_is_read_by_its_type(
    name: str, text: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    assert load_settings(tmp_path, {})[name] == value


def test_what_is_given_to_the_factory_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIVIDE_SECONDS", "9")
    assert load_settings(tmp_path, {"DIVIDE_SECONDS": 1.5})["DIVIDE_SECONDS"] == 1.5


def test_in_somebodys_site_only_variables_with_our_prefix_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://site@db/site")
    monkeypatch.setenv("QUERY_SECONDS", "never")
    monkeypatch.setenv("VASE_DIVIDE_SECONDS", "3")
    settings = load_settings(tmp_path, {}, mounted=True)
    assert (settings["DATABASE_URL"][:6], settings["QUERY_SECONDS"], settings["DIVIDE_SECONDS"]) == ("sqlite", 2.0, 3.0)


def test_what_kubernetes_says_of_a_service_called_redis_is_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PORT", "tcp://10.0.0.1:6379")
    assert load_settings(tmp_path, {})["REDIS_PORT"] == 6379


@pytest.mark.parametrize(
    ("variables", "ours"),
    [
        ({}, True),
        ({"CELERY_BROKER_URL": "redis://shop/0"}, False),
        ({"CELERY_BROKER_URL": "redis://shop/0", "DEMO_WORKER": "true"}, True),
        ({"VASE_CELERY_BROKER_URL": "redis://shop/0"}, False),
    ],
)
def test_on_somebodys_broker_no_worker_of_ours_belongs_unless_asked_for(
    variables: dict[str, str], ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert load_settings(tmp_path, {})["DEMO_WORKER"] is ours


def test_the_secret_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_settings(tmp_path, {})["SECRET_KEY"]
    assert load_settings(tmp_path, {})["SECRET_KEY"] == first
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "instance" / "secret_key").stat().st_mode) == 0o600


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


def test_the_instance_folder_is_its_owners_alone_an_old_one_too(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    folder.mkdir(mode=0o755)
    for name in ("vase.sqlite3", "vase.sqlite3-wal"):
        (folder / name).touch(mode=0o644)
    (folder / "redis").mkdir(mode=0o755)
    load_settings(tmp_path, {})
    private = {"vase.sqlite3": 0o600, "vase.sqlite3-wal": 0o600, "secret_key": 0o600, "redis": 0o700, "instance": 0o700}
    assert modes(folder) == private


def test_a_folder_with_other_uses_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "other.txt").touch()
    (folder / "other.txt").chmod(0o644)
    load_settings(tmp_path, {"INSTANCE_PATH": str(folder)})
    assert modes(folder) == {"shared": 0o755, "other.txt": 0o644, "secret_key": 0o600}


def test_processes_that_start_together_agree_on_one_secret_key(tmp_path: Path) -> None:
    code = "import pathlib, sys; from webapp.config import load_settings; "
    code += "print(load_settings(pathlib.Path(sys.argv[1]), {})['SECRET_KEY'])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({process.communicate(timeout=60)[0] for process in started}) == 1


def test_requirements_are_pinned_exactly() -> None:
    texts = [(ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")]
    wanted = [line for text in texts for line in text.splitlines() if line and not line.startswith(("#", "-r"))]
    assert [line for line in wanted if "==" not in line] == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("none", ""),
        ("None", ""),
        ("", "http://127.0.0.1:5555"),
        ("https://flower.example.org/", "https://flower.example.org"),
    ],
)
def test_links_to_flower_can_be_left_out(
    text: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_URL", text)
    assert load_settings(tmp_path, {})["FLOWER_URL"] == address


def left_open(folder: Path, *names: str) -> list[Path]:
    """Make a folder and files as older versions left them: everybody can read them."""
    paths = [folder, *(folder / name for name in names)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if path == folder else path.write_text("kept")
        path.chmod(0o755 if path == folder else 0o644)
    return paths


def test_what_redis_wrote_for_an_older_version_is_private_from_the_next_start(tmp_path: Path) -> None:
    names = ["redis/appendonlydir/appendonly.aof", "redis/dump.rdb"]
    folder, *files = left_open(tmp_path / "instance", *names)
    load_settings(tmp_path, {"INSTANCE_PATH": str(folder)})
    folders = [folder, folder / "redis", folder / "redis" / "appendonlydir"]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder, theirs = left_open(tmp_path / "elsewhere", "theirs")
    instance = tmp_path / "instance"
    instance.mkdir()
    (instance / "redis").symlink_to(folder)
    load_settings(tmp_path, {"INSTANCE_PATH": str(instance)})
    assert theirs.stat().st_mode & 0o777 == 0o644


def test_commands_in_other_terminals_find_the_redis_of_make_up(tmp_path: Path) -> None:
    url = keep_redis_address(tmp_path, 7001)
    found = [load_settings(tmp_path, {"INSTANCE_PATH": str(tmp_path)})[f"CELERY_{name}"] for name in NAMES_OF_REDIS]
    assert found == [url, url]


def test_the_password_of_redis_stays_when_its_port_changes(tmp_path: Path) -> None:
    assert keep_redis_address(tmp_path, 7001).replace("7001", "7002") == keep_redis_address(tmp_path, 7002)


def test_a_broker_that_is_set_comes_before_the_redis_of_make_up(tmp_path: Path) -> None:
    keep_redis_address(tmp_path, 7001)
    given = {"INSTANCE_PATH": str(tmp_path), "CELERY_BROKER_URL": "redis://shop/0"}
    assert load_settings(tmp_path, given)["CELERY_BROKER_URL"] == "redis://shop/0"
