"""What is typed into the form of a task, what its code then gets, and what is wrong with another text and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from celery import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One way to fill in the form of a task; the keys of ``typed`` and ``wrong`` are names of inputs without ``p.``.

    A key that begins with ``s.`` is the choice beside an input: None, or empty. ``message`` is expected beside the
    first input of ``wrong``, or beside the one that ``where`` names.
    """

    task: Any
    typed: Mapping[str, str]
    arrives: Mapping[str, Any]
    wrong: Mapping[str, str] | None = None
    message: str = ""
    where: str = ""
    state: str = "SUCCESS"

    @property
    def name(self) -> str:
        """The name of the task; asking a task for it makes the task, which must not happen while it is imported."""
        return str(self.task.name)


@dataclass
class Cases:
    """The cases of one module, in the order of its tasks."""

    found: list[Case] = field(default_factory=list)

    def case(
        self,
        typed: Mapping[str, str] | str,
        arrives: Any,
        wrong: Mapping[str, str] | str | None = None,
        message: str = "",
        **more: str,
    ) -> Callable[[T], T]:
        """Return a decorator that notes a case; where texts are given as such, the parameter is called ``value``."""

        def note(task: T) -> T:
            plain = isinstance(typed, str)
            self.found.append(
                Case(task, _named(typed), {"value": arrives} if plain else arrives, _named(wrong), message, **more)
            )
            return task

        return note


def _named(texts: Any) -> Any:
    return {"value": texts} if isinstance(texts, str) else texts


def told(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what a task got, in the form in which Python shows it, so that 1, 1.0, "1" and true are told apart."""
    return {name: repr(value) for name, value in values.items() if not isinstance(value, Task)}
