"""Tasks whose annotations are texts, some of which nobody can resolve, and whose docstrings speak of parameters."""
# ruff: noqa: ANN201  # What a task returns is no part of its form.

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from celery import shared_task

from tests.integration.forms.signatures.cases import Cases, told

if TYPE_CHECKING:
    from collections.abc import Awaitable as Unknown

CASES = Cases()
case = CASES.case


@dataclass
class Place:
    name: str
    opened: date | None = None
    inner: Place | None = None


@case({"a": "1", "b": "x", "c": "1\n2"}, {"a": 1, "b": "x", "c": [1, 2]}, {"a": "x", "b": "x"}, "whole number")
@shared_task
def texts(a: int, b: Literal["x", "y"], c: list[int] | None = None):
    return told(locals())


@case(
    {"value.name": "a", "value.inner": '{"name": "b", "opened": "2026-03-01"}'},
    {"value": {"name": "a", "inner": {"name": "b", "opened": date(2026, 3, 1)}}},
    {"value.name": "a", "value.opened": "x"},
    "such as 2026-03-01",
    where="value.opened",
)
@shared_task
def place(value: Place):
    return told(locals())


@case({"a": "hello", "b": "2"}, {"a": "hello", "b": 2, "c": []}, {"a": "x", "b": "x"}, "whole number", where="b")
@case({"a": "[1]", "b": "2", "c": "x"}, {"a": [1], "b": 2, "c": "x"}, {"a": "[1", "b": "1"}, "not JSON")
@shared_task
def unresolvable(a: Unknown[int], b: int, c: list[Unknown[int]] = []):  # noqa: B006
    return told(locals())


@case({"args": "1\nx", "kwargs": "a = 1"}, {"args": (1, "x"), "kwargs": {"a": 1}}, {"args": "{}"}, "must be a list")
@shared_task
def several_unresolvable(*args: Unknown[int], **kwargs: Unknown[int]):
    return told(locals())


@case({"path": "/a", "count": "2"}, {"path": "/a", "count": 2}, {"path": "/a", "count": "x"}, "whole", where="count")
@shared_task
def google(path: str, count: int = 1):
    """Read a file.

    Args:
        path (str): Where the file is.
        count: How often.
    """
    return told(locals())


@case({"path": "/a", "count": "2"}, {"path": "/a", "count": 2}, {"count": "1"}, "This is needed", where="path")
@shared_task
def numpy(path: str, count: int = 1):
    """Read a file.

    Parameters
    ----------
    path : str
        Where the file is.
    count : int, optional
        How often.
    """
    return told(locals())


@case({"path": "/a"}, {"path": "/a", "count": 1}, {"path": ""}, "This is needed")
@shared_task
def sphinx(path: str, count: int = 1):
    """Read a file.

    :param path: Where the file is.
    :param count: How often.
    :type count: int
    """
    return told(locals())


@case({"values": '{"a": 1}'}, {"values": {"a": 1}}, {"values": "[1]"}, "must be a dictionary")
@shared_task
def loose(values: dict[str, Any]):
    return told(locals())
