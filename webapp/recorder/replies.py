"""The answers of worker processes to what is asked of all: kept apart even where two processes have one name.

Celery's own ``inspect`` keeps one answer for each host name. Only that to ``stats`` says from which process it comes.
Of the others it is told by what was known of each process before, or else by the logical clock that every answer
carries: two processes of one name never put each other's forward, and each goes on counting from where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from celery import Celery

from webapp.broker.content import TolerantMailbox
from webapp.broker.control import note_asked
from webapp.recorder.worker_registry import Key

ATTRIBUTE: Final = "vase_schema"
"""The attribute of our tasks that ``inspect registered`` is asked for; see ``celery_app``."""
ANSWER_SECONDS: Final = 1.0
"""Seconds for which answers are awaited, three times."""
ROUNDS: Final = 3
"""How often two processes of one name are asked, and must answer in the same order of their clocks."""
refused: Final[dict[str, str]] = {}
"""The content types of answers that were not read, by the hostname of the worker."""
T = TypeVar("T")


class StillClock:
    """A mailbox's clock that notes the one of the last answer, and never puts forward those of the workers.

    Celery's own would bring those of all to the same value with each command.
    """

    def __init__(self) -> None:
        self.last = 0

    def forward(self) -> int:
        return 0

    def adjust(self, other: Any) -> int:
        self.last = other if isinstance(other, int) else 0
        return self.last


def ask(
    celery: Celery, command: str, hostnames: Collection[str], limit: int, **arguments: Any
) -> dict[str, list[tuple[int, Any]]]:
    """Ask workers for something; return by hostname the answers of all its processes, each with its logical clock."""
    clock, found = StillClock(), {hostname: [] for hostname in hostnames}  # type: ignore[var-annotated]

    def take(body: Any) -> None:
        for hostname, answer in body.items() if isinstance(body, dict) else ():
            if hostname in found:
                found[hostname].append((clock.last, answer))

    mailbox = copy(celery.control.mailbox)
    mailbox.clock = clock
    with celery.connection_or_acquire() as connection:
        options = {"reply": True, "timeout": ANSWER_SECONDS, "limit": limit, "callback": take}
        asking = TolerantMailbox.of(mailbox(connection), celery)
        try:
            asking._broadcast(command, arguments, list(hostnames), **options)
        finally:
            note_asked(asking)
    silent = [hostname for hostname, answers in found.items() if not answers]
    if asking.refused and len(silent) <= len(asking.refused):
        # Each of those that were asked answered, and of these nothing could be read.
        refused.update(dict.fromkeys(silent, asking.refused[0]))
    return found


@dataclass(slots=True)
class Replies:
    """What each hostname's processes say: statistics by process id; tasks and queues as whichever process says."""

    stats: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    registered: dict[str, list[list[str]]] = field(default_factory=dict)
    queues: dict[str, list[list[Any]]] = field(default_factory=dict)

    @classmethod
    def ask(cls, celery: Celery, online: Collection[Key]) -> Replies:
        """Ask all processes that are online."""
        replies, names = cls(), sorted({hostname for hostname, _ in online})
        limit = len(online)
        for hostname, answers in ask(celery, "stats", names, limit).items():
            given = [answer for _, answer in answers if isinstance(answer, dict)]
            replies.stats[hostname] = {_pid(answer): answer for answer in given}
        for hostname, answers in ask(celery, "registered", names, limit, taskinfoitems=[ATTRIBUTE]).items():
            replies.registered[hostname] = [answer for _, answer in answers if isinstance(answer, list)]
        for hostname, answers in ask(celery, "active_queues", names, limit).items():
            replies.queues[hostname] = [answer for _, answer in answers if isinstance(answer, list)]
        return replies


def _pid(stats: dict[str, Any]) -> int:
    pid = stats.get("pid")
    return pid if type(pid) is int else 0


def whose(before: Mapping[Key, Any], told: list[T], comparable: Callable[[T], Any]) -> dict[Key, T]:
    """Return which process each answer is from, as far as that is certain.

    It is where there is one process, where all say the same, and where every process but one says what it said before,
    ``before`` being what each said when that was certain.
    """
    if not told or len(told) > len(before):
        return {}
    if len(before) == 1 or (len(told) == len(before) and all(comparable(one) == comparable(told[0]) for one in told)):
        return dict.fromkeys(before, told[0])
    if len(told) < len(before):
        return {}
    rest, open_, found = list(told), [], {}
    for key, said in before.items():
        same = next((one for one in rest if said and comparable(one) == said), None)
        if same is None:
            open_.append(key)
        else:
            rest.remove(same)
            found[key] = same
    return {**found, open_[0]: rest[0]} if len(open_) == 1 else found


def by_clock(celery: Celery, hostname: str, processes: int) -> dict[int, tuple[list[Any], list[Any]]]:
    """Return by process id what each of several processes of one name says of its tasks and queues.

    They are asked again and again, and tell which is which by their logical clocks, in the same order each time. Empty
    where that is not certain.
    """
    first: dict[int, tuple[list[Any], list[Any]]] = {}
    for _ in range(ROUNDS):
        given = [
            sorted(ask(celery, command, [hostname], processes, **more)[hostname], key=lambda answer: answer[0])
            for command, more in (("stats", {}), ("registered", {"taskinfoitems": [ATTRIBUTE]}), ("active_queues", {}))
        ]
        clear = all(len({clock for clock, _ in answers}) == len(answers) == processes for answers in given)
        if not clear or not all(isinstance(stats, dict) for _, stats in given[0]):
            return {}
        stats, *rest = ([answer for _, answer in answers] for answers in given)
        found = {_pid(one): (tasks, queues) for one, tasks, queues in zip(stats, *rest, strict=True)}
        first = first or found
        if found != first or len(found) != processes:
            return {}
    return first


def pool_of(stats: Mapping[str, Any]) -> str | None:
    """Return which kind of pool a worker has, as Celery spells it; before 5.3 that follows from what it tells."""
    pool = stats.get("pool")
    if not isinstance(pool, dict):
        return None
    told = pool.get("implementation")
    if told:
        return str(told)[:255]
    if "writes" in pool:
        return "celery.concurrency.prefork:TaskPool"
    if "threads" in pool:
        return "celery.concurrency.thread:TaskPool"
    if pool.get("processes") == [stats.get("pid")]:
        return "celery.concurrency.solo:TaskPool"
    return None
