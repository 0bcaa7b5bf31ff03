"""The runs that began with one run, as a tree: chains, groups, chords and callbacks, by root and parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, select, text

from webapp.history.queries import runs
from webapp.runs import durations
from webapp.runs.states import FAILURE, LIVE, OTHER, is_settled

MEMBERS_MAX: Final = 2000
"""Most runs of a workflow that are shown."""
OPEN_MAX: Final = 12
"""Most children of a run that are shown without being folded away."""
FOLDED_MAX: Final = 100
"""Most children that are listed in what is folded away."""
DEPTH_MAX: Final = 50
"""Most generations that are shown one below the other; a task that calls itself has no end of them."""
BARS_MAX: Final = 100
"""Most runs of the timeline, evenly chosen among more."""

_COLUMNS: Final = [
    runs.c[name]
    for name in (
        "id task_id name state phase publish_state retries root_id parent_id created_at sent_at started_at state_at "
        "runtime changed eta group_id"
    ).split()
]


class Parts(list["Part"]):
    """Parts that stand beside each other: what one run called, or what all those called that are folded away."""

    @property
    def folded(self) -> bool:
        """Whether they are too many to be shown at once."""
        return len(self) > OPEN_MAX

    def members(self) -> Parts:
        """Return them without the callbacks of chords, which are not folded away with those that they wait for."""
        return Parts(part for part in self if not part.callback)

    def tally(self) -> list[tuple[Row[Any], int]]:
        """Return how many of them are in which state, the most frequent first, each with a row in that state."""
        members = self.members()
        rows = {part.row.state: part.row for part in members}
        return [(rows[state], number) for state, number in Counter(part.row.state for part in members).most_common()]

    def listed(self, here: str) -> list[Part]:
        """Return those that are listed when they are many: the run ``here``, then what failed, then what is live."""
        order = {FAILURE: 0, OTHER: 1, LIVE: 2}
        return sorted(
            self.members(), key=lambda part: -1 if part.row.task_id == here else order.get(part.row.phase, 3)
        )[:FOLDED_MAX]

    def called(self) -> Parts:
        """Return what they called, such as the callback of a chord; it is not folded away with them."""
        callbacks = [part for part in self if part.callback]
        return Parts([*callbacks, *(child for part in self if not part.callback for child in part.children)])


@dataclass(slots=True)
class Part:
    """A run of a workflow, and those that it called."""

    row: Row[Any]
    above: Part | None = None
    depth: int = 0
    children: Parts = field(default_factory=Parts)
    callback: bool = False
    """Whether it is what follows when those beside it have ended: the callback of their chord."""
    again: list[Row[Any]] = field(default_factory=list)
    """The runs that this one was run again as."""

    def hang_on(self, parent: Part) -> None:
        """Become a child; what would stand too deep becomes one of the last ancestor that does not."""
        while parent.depth >= DEPTH_MAX and parent.above is not None:
            parent = parent.above
        self.above, self.depth = parent, parent.depth + 1
        parent.children.append(self)


@dataclass(frozen=True, slots=True)
class Bar:
    """A run in the timeline; places and widths are thousandths of the whole span."""

    row: Row[Any]
    at: float
    waited: float
    ran: float


@dataclass(frozen=True, slots=True)
class Workflow:
    """A tree of runs, its timeline, how many there are and whether more were left out."""

    root_id: str
    roots: Parts
    bars: list[Bar]
    seconds: float
    count: int
    more: bool


_VERSION: Final = text(
    "SELECT max(changed), min(phase), max(name) FROM ("
    "SELECT changed, phase, group_id AS name FROM vase_task_runs WHERE task_id IN (:task_id, :parent, :root) "
    "UNION ALL SELECT changed, phase, NULL FROM (SELECT changed, phase FROM vase_task_runs WHERE root_id = :root "
    "ORDER BY id LIMIT :most) AS members "
    "UNION ALL SELECT changed, phase, NULL FROM vase_task_runs WHERE retry_of = :task_id) AS shown"
)
_VERSION_OF_GROUP: Final = text(
    "WITH members AS ("
    "SELECT task_id, changed, phase FROM vase_task_runs WHERE group_id = :name ORDER BY id LIMIT :most) "
    "SELECT max(changed), min(phase) FROM (SELECT changed, phase FROM members "
    "UNION ALL SELECT changed, phase FROM vase_task_runs WHERE root_id IN (SELECT task_id FROM members)) AS shown"
)


def version(connection: Connection, row: Row[Any]) -> tuple[int, bool]:
    """Return the latest version of any run of the workflow that is shown, or that this one was run again as, and
    whether any of them is live; (0, False) for none."""
    values = {"task_id": row.task_id, "parent": row.parent_id or row.task_id, "root": _root(row), "most": MEMBERS_MAX}
    changed, least, group = connection.execute(_VERSION, values).one()
    if group:
        of_group = connection.execute(_VERSION_OF_GROUP, {"name": group, "most": MEMBERS_MAX}).one()
        changed, least = max(changed, of_group[0] or 0), min(least, of_group[1] or LIVE)
    return int(changed or 0), least == LIVE


def _root(row: Row[Any]) -> str:
    return str(row.root_id or row.task_id)


def _groups(connection: Connection, row: Row[Any]) -> list[str]:
    """Return the groups that a run and its root are part of. A group that was sent by itself has no other root: each
    member is its own."""
    mine = select(runs.c.group_id).where(runs.c.task_id.in_({row.task_id, _root(row)}), runs.c.group_id.is_not(None))
    return list(connection.execute(mine.distinct()).scalars())


def _members(connection: Connection, row: Row[Any]) -> tuple[list[Row[Any]], bool]:
    """Return the runs that are shown, in the order of ids, and whether there are more.

    They are the oldest, and always the run that is looked at and its parent: a task that sends itself anew has one
    root for ever.
    """
    oldest = select(*_COLUMNS).order_by(runs.c.id).limit(MEMBERS_MAX + 1)
    members: list[Row[Any]] = []
    for name in _groups(connection, row):
        members += connection.execute(oldest.where(runs.c.group_id == name)).all()
    roots = {_root(row), *(_root(member) for member in members)}
    members += connection.execute(oldest.where(runs.c.root_id.in_(roots))).all()
    members = sorted({one.id: one for one in members}.values(), key=lambda one: one.id)
    near = {row.task_id, row.parent_id or row.task_id, *roots}
    rows = [*members[:MEMBERS_MAX], *connection.execute(select(*_COLUMNS).where(runs.c.task_id.in_(near)))]
    return sorted({one.id: one for one in rows}.values(), key=lambda one: one.id), len(members) > MEMBERS_MAX


def workflow_of(connection: Connection, row: Row[Any], now: float) -> Workflow | None:
    """Return the workflow that a run is part of, None where it stands alone."""
    rows, more = _members(connection, row)
    if len(rows) < 2:
        return None
    ids = [one.task_id for one in rows]
    retries = select(*_COLUMNS, runs.c.retry_of).where(runs.c.retry_of.in_(ids)).order_by(runs.c.id).limit(MEMBERS_MAX)
    roots = tree(rows, connection.execute(retries))
    begin = min(_began(one) for one in rows)
    seconds = max(max(_ended(one, now) for one in rows) - begin, 0.001)
    chosen = rows if len(rows) <= BARS_MAX else [rows[n * (len(rows) - 1) // (BARS_MAX - 1)] for n in range(BARS_MAX)]
    bars = [_bar(one, begin, seconds, now) for one in chosen]
    return Workflow(_root(row), roots, bars, seconds, len(rows), more)


def tree(rows: Sequence[Row[Any]], retries: Iterable[Row[Any]] = ()) -> Parts:
    """Return the runs that have no parent among them, each with its children and retries; circles are cut.

    ``rows`` are in the order of ids.
    """
    parts = {row.task_id: Part(row) for row in rows}
    for row in retries:
        parts[row.retry_of].again.append(row)
    roots = Parts()
    for row in rows:
        parent = parts.get(row.parent_id) if row.parent_id != row.task_id else None
        if parent is not None and row.group_id and row.group_id == parent.row.group_id:
            # The callback of a chord, which Celery says was called by the member that ended last.
            parts[row.task_id].callback, parent = True, parent.above
        # A child was made after its parent; whoever says otherwise would make a circle.
        if parent is not None and parent.row.id < row.id:
            parts[row.task_id].hang_on(parent)
        else:
            roots.append(parts[row.task_id])
    return roots


def _began(row: Row[Any]) -> float:
    return float(row.sent_at or row.created_at)


def _ended(row: Row[Any], now: float) -> float:
    return float(row.state_at) if is_settled(row.phase) else now


def _bar(row: Row[Any], begin: float, seconds: float, now: float) -> Bar:
    """Return where a run stands in the whole, and which part of it was waiting and which was work."""
    scale = 1000 / seconds
    start, end = _began(row), max(_ended(row, now), _began(row))
    waited = durations.wait_time(row.sent_at, row.created_at, row.started_at)
    waiting = min(waited if waited is not None else end - start, end - start)
    return Bar(row, (start - begin) * scale, waiting * scale, (end - start - waiting) * scale)
