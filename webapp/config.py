"""Every setting in one table, read from the environment, checked before anything starts."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from celery.app.defaults import NAMESPACES, flatten

from webapp.errors import SettingError
from webapp.instance import make_private, redis_address

CELERY_PREFIX: Final = "CELERY_"
OWN_PREFIX: Final = "VASE_"
"""What the names of settings may begin with, and must where a site has an environment of its own."""
CELERY_OPTIONS: Final[dict[str, Any]] = dict(flatten(NAMESPACES))


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: ``read`` turns its text into a value or raises ValueError with the fault in words."""

    name: str
    read: Callable[[str], Any]
    default: Any
    help: str
    example: str


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"is not a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return read


def _flower(text: str) -> str:
    """Return the address of Flower, empty for ``none``."""
    return "" if text.lower() == "none" else _url("http", "https")(text)


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("is not a number" if kind is float else "is not a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        return value

    return read


def _hosts(text: str) -> list[str]:
    return [host.strip() for host in text.split(",") if host.strip()]


def _boolean(text: str) -> bool:
    truth = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in truth:
        raise ValueError("is neither true nor false")
    return truth[text.lower()]


def _retention(text: str) -> dict[str, float]:
    """Read ``30``, or days by outcome such as ``success=14,failure=30``; outcomes left out have no end."""
    days = _number(float, 0, 36500)
    if "=" not in text:
        return dict.fromkeys(("success", "failure", "other"), float(days(text)))
    found = {"success": 0.0, "failure": 0.0, "other": 0.0}
    for part in text.split(","):
        outcome, _, number = part.partition("=")
        if outcome.strip() not in found:
            raise ValueError(f"names {outcome.strip()!r}, which is none of success, failure and other")
        found[outcome.strip()] = float(days(number.strip()))
    return found


_PORT: Final = _number(int, 1, 65535)

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "CELERY_BROKER_URL",
        _url("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "memory"),
        "redis://127.0.0.1:6379/0",
        "Where tasks are published. When it is set, `make up` starts no Redis of its own.",
        "redis://127.0.0.1:6379/0",
    ),
    Setting(
        "DEMO_WORKER",
        _boolean,
        None,
        "Whether a worker of Vase's own tasks belongs to it: `make up` starts one, pages have a form for `divide`. "
        "Default: true unless CELERY_BROKER_URL is set, since that broker may be somebody's.",
        "true",
    ),
    Setting(
        "CELERY_RESULT_BACKEND",
        _url("redis", "rediss", "redis+socket", "sentinel", "disabled"),
        None,
        "Where workers keep results, if in Redis; `disabled://` where they keep them elsewhere or not at all, as with "
        "`rpc://`. Default: the broker if that is Redis, else `disabled://`.",
        "redis://127.0.0.1:6379/0",
    ),
    Setting(
        "DATABASE_URL",
        _url("sqlite", "postgresql+psycopg"),
        None,
        "Where runs are remembered. Default: `vase.sqlite3` in the instance folder.",
        "sqlite:////var/lib/vase/vase.sqlite3",
    ),
    Setting(
        "INSTANCE_PATH",
        str,
        None,
        "The folder for everything that is kept. Default: `instance/` beside `app.py`.",
        "/var/lib/vase",
    ),
    Setting(
        "SECRET_KEY",
        str,
        None,
        "Signs the cookie that carries a notice to the next page. Default: generated once into the instance folder.",
        "a long random text",
    ),
    Setting(
        "TRUSTED_HOSTS",
        _hosts,
        ["localhost", "127.0.0.1"],
        "Host names under which the pages may be asked for, separated by commas; a leading dot admits subdomains.",
        "vase.example.org,localhost",
    ),
    Setting(
        "FLOWER_URL",
        _flower,
        None,
        "Where links to Flower lead; `none` for no links. Default: `http://127.0.0.1:FLOWER_PORT`.",
        "https://flower.example.org",
    ),
    Setting(
        "VALUE_MAX_BYTES",
        _number(int, 1024, 16 * 1024 * 1024),
        64 * 1024,
        "Longest result, traceback or list of arguments that is kept; longer ones are cut and say so.",
        "65536",
    ),
    Setting(
        "STREAM_MAX_MESSAGES",
        _number(int, 0, 100_000_000),
        250_000,
        "Messages of events, about 700 bytes each, that Redis keeps for a recorder that is away; 0 for no stream.",
        "250000",
    ),
    Setting(
        "RETENTION_DAYS",
        _retention,
        {"success": 14.0, "failure": 30.0, "other": 30.0},
        "Days after which ended runs are removed, for all or by outcome; 0 keeps them for ever.",
        "success=14,failure=30,other=30",
    ),
    Setting(
        "RETENTION_MAX_RUNS",
        _number(int, 0, 10**12),
        0,
        "Most ended runs kept, the oldest are removed first; 0 for no bound.",
        "5000000",
    ),
    Setting(
        "DOUBT_SECONDS",
        _number(float, 2, 86400),
        30.0,
        "Seconds without news after which it is looked into whether a live run is lost.",
        "30",
    ),
    Setting(
        "QUERY_SECONDS",
        _number(float, 0.1, 60),
        2.0,
        "Seconds that one search may take before it is stopped and says so.",
        "2",
    ),
    Setting("DIVIDE_SECONDS", _number(float, 0, 3600), 5.0, "How long the `divide` task waits, in seconds.", "5"),
    Setting("HOST", str, "127.0.0.1", "The address the web server listens on.", "127.0.0.1"),
    Setting("PORT", _PORT, 8000, "The port the web server listens on.", "8000"),
    Setting("WEB_WORKERS", _number(int, 1, 64), 2, "Web server processes.", "2"),
    Setting("WEB_THREADS", _number(int, 1, 256), 16, "Threads of each web server process.", "16"),
    Setting("REDIS_PORT", _PORT, 6379, "The port that `make up` tries first for its own Redis.", "6379"),
    Setting("FLOWER_ADDRESS", str, "127.0.0.1", "The address Flower listens on.", "127.0.0.1"),
    Setting("FLOWER_PORT", _PORT, 5555, "The port Flower listens on.", "5555"),
    Setting(
        "FLOWER_BASIC_AUTH",
        str,
        None,
        "`user:password` for Flower; with it Flower may also control workers.",
        "admin:a long password",
    ),
    Setting(
        "FLOWER_READ_ONLY",
        _boolean,
        None,
        "Whether Flower may only look. Default: true unless FLOWER_BASIC_AUTH is set.",
        "true",
    ),
)

_PORTS: Final = {setting.name for setting in SETTINGS if setting.read is _PORT}

CELERY_DEFAULTS: Final[dict[str, Any]] = {
    "CELERY_INCLUDE": ("webapp.tasks",),
    # Not Celery's own: any other app's workers read that one on the same broker, and know none of our tasks.
    "CELERY_TASK_DEFAULT_QUEUE": "vase",
    "CELERY_ACCEPT_CONTENT": ["json"],
    "CELERY_TASK_SERIALIZER": "json",
    "CELERY_RESULT_SERIALIZER": "json",
    "CELERY_EVENT_SERIALIZER": "json",
    # The result then carries the exact arguments, the worker and the queue, which events only abridge.
    "CELERY_RESULT_EXTENDED": True,
    "CELERY_TASK_SEND_SENT_EVENT": True,
    "CELERY_WORKER_SEND_TASK_EVENTS": True,
    "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
    # Without it a Redis that is out of memory ends a worker's main process.
    "CELERY_BROKER_CHANNEL_ERROR_RETRY": True,
}

FLASK_DEFAULTS: Final[dict[str, Any]] = {
    # Arguments may have 256 KB, and percent-encoding triples some of them.
    "MAX_CONTENT_LENGTH": 1024 * 1024,
    "MAX_FORM_MEMORY_SIZE": 1024 * 1024,
    "MAX_FORM_PARTS": 100,
    "SESSION_COOKIE_NAME": "vase",
    "SESSION_COOKIE_SAMESITE": "Lax",
}


def load_settings(root: Path, overrides: Mapping[str, Any], mounted: bool = False) -> dict[str, Any]:
    """Return the whole configuration: defaults, then the environment, then ``overrides``.

    ``overrides`` holds values or their texts. ``mounted`` in somebody's site, only those variables count that begin
    with ``VASE_``. Raises ``SettingError`` with one line that names the setting, what is wrong with its value and an
    example.
    """
    values: dict[str, Any] = CELERY_DEFAULTS | FLASK_DEFAULTS
    known = {setting.name for setting in SETTINGS}
    environment = _environment(mounted)
    for setting in SETTINGS:
        given = overrides.get(setting.name, environment.get(setting.name))
        values[setting.name] = setting.default if given in (None, "") else _read(setting, given)
    own_broker = not (overrides.get("CELERY_BROKER_URL") or environment.get("CELERY_BROKER_URL"))
    if values["DEMO_WORKER"] is None:
        values["DEMO_WORKER"] = own_broker
    for name, text in environment.items():
        option = name.removeprefix(CELERY_PREFIX).lower()
        if name.startswith(CELERY_PREFIX) and name not in known and option in CELERY_OPTIONS:
            values[name] = _read_celery(name, text)
    values.update({name: value for name, value in overrides.items() if name not in known})
    _derive(values, root, own_broker)
    # Only Flower needs it, which reads it by itself; a worker tells its configuration to whoever asks for it.
    del values["FLOWER_BASIC_AUTH"]
    return values


def _environment(mounted: bool) -> dict[str, str]:
    """Return the environment variables that may be settings of ours, without the prefix."""
    own = {name.removeprefix(OWN_PREFIX): text for name, text in os.environ.items() if name.startswith(OWN_PREFIX)}
    variables = own if mounted else {**os.environ, **own}
    # Kubernetes gives every container such variables for a service called redis or flower.
    return {name: text for name, text in variables.items() if not (name in _PORTS and text.startswith("tcp://"))}


def _read(setting: Setting, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return setting.read(given)
    except ValueError as fault:
        shown = "…" if setting.name in ("SECRET_KEY", "FLOWER_BASIC_AUTH") or "@" in given else repr(given[:80])
        raise SettingError(f"{setting.name}={shown} {fault}. Example: {setting.name}={setting.example}") from None


def _read_celery(name: str, text: str) -> Any:
    """Read any other ``CELERY_*`` variable by the type that Celery's own table gives the option."""
    kind = CELERY_OPTIONS[name.removeprefix(CELERY_PREFIX).lower()].type
    examples = {"int": "10", "float": "0.5", "bool": "true", "dict": '{"visibility_timeout": 60}'}
    try:
        if kind in ("tuple", "list"):
            return tuple(json.loads(text)) if text.startswith("[") else tuple(_hosts(text))
        # Some are a truth value or a table, such as broker_use_ssl, whatever their one type says.
        if kind == "dict" or text[:1] in "{[":
            return json.loads(text)
        if kind == "bool":
            return _boolean(text)
        if kind in ("int", "float"):
            return int(text) if kind == "int" else float(text)
        return text
    except ValueError:
        example = examples.get(kind, '["one", "two"]')
        # A table may have a password in it.
        shown = "…" if kind == "dict" or "{" in text else repr(text[:80])
        raise SettingError(f"{name}={shown} is not a {kind}. Example: {name}={example}") from None


def _derive(values: dict[str, Any], root: Path, own_broker: bool) -> None:
    """Fill in the settings whose default depends on another one."""
    instance = Path(values["INSTANCE_PATH"] or root / "instance").resolve()
    try:
        make_private(instance, ours=instance == (root / "instance").resolve())
        values["SECRET_KEY"] = values["SECRET_KEY"] or _secret_key(instance / "secret_key")
    except OSError as fault:
        raise SettingError(f"INSTANCE_PATH={instance} cannot be used: {fault.strerror}") from None
    values["INSTANCE_PATH"] = str(instance)
    if own_broker:
        values["CELERY_BROKER_URL"] = redis_address(instance) or values["CELERY_BROKER_URL"]
    values["DATABASE_URL"] = values["DATABASE_URL"] or f"sqlite:///{instance / 'vase.sqlite3'}"
    values["SQLALCHEMY_DATABASE_URI"] = values["DATABASE_URL"]
    if values["FLOWER_URL"] is None:
        values["FLOWER_URL"] = f"http://127.0.0.1:{values['FLOWER_PORT']}"
    values["FLOWER_URL"] = values["FLOWER_URL"].rstrip("/")
    if values["CELERY_RESULT_BACKEND"] is None:
        in_redis = values["CELERY_BROKER_URL"].startswith(("redis", "sentinel"))
        values["CELERY_RESULT_BACKEND"] = values["CELERY_BROKER_URL"] if in_redis else "disabled://"


def _secret_key(path: Path) -> str:
    """Return the key kept at ``path``, made on first use and readable by its owner alone.

    It is linked into place whole, so that two processes that start together agree on one key.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
