"""The runs that began with one run, as a tree: chains, groups, chords and callbacks, by root and parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, func, or_, select

from webapp import spans
from webapp.queries import runs
from webapp.states import FAILURE, LIVE, OTHER, is_settled

MEMBERS_MAX: Final = 2000
"""Most runs of a workflow that are shown."""
OPEN_MAX: Final = 12
"""Most children of a run that are shown without being folded away."""
FOLDED_MAX: Final = 100
"""Most children that are listed in what is folded away."""
BARS_MAX: Final = 100
"""Most runs of the timeline, evenly chosen among more."""

_COLUMNS: Final = [
    runs.c[name]
    for name in (
        "id task_id name state phase publish_state retries root_id parent_id created_at sent_at started_at state_at "
        "runtime changed"
    ).split()
]


@dataclass(slots=True)
class Part:
    """A run of a workflow, and those that it called."""

    row: Row[Any]
    children: list[Part] = field(default_factory=list)
    again: list[Row[Any]] = field(default_factory=list)
    """The runs that this one was run again as."""

    @property
    def folded(self) -> bool:
        """Whether the children are too many to be shown at once."""
        return len(self.children) > OPEN_MAX

    def tally(self) -> list[tuple[Row[Any], int]]:
        """Return how many children are in which state, the most frequent first, each with a row in that state."""
        rows = {child.row.state: child.row for child in self.children}
        return [(rows[state], number) for state, number in Counter(c.row.state for c in self.children).most_common()]

    def listed(self) -> list[Part]:
        """Return the children that are listed when there are many: what failed first, then what is live."""
        order = {FAILURE: 0, OTHER: 1, LIVE: 2}
        return sorted(self.children, key=lambda child: order.get(child.row.phase, 3))[:FOLDED_MAX]

    def callbacks(self) -> list[Part]:
        """Return what the children called, such as the callback of a chord; it is not folded away with them."""
        return [part for child in self.children for part in child.children]


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
    roots: list[Part]
    bars: list[Bar]
    seconds: float
    count: int
    more: bool


def version(connection: Connection, row: Row[Any]) -> tuple[int, bool]:
    """Return the latest version of any run of the workflow, or that this one was run again as, and whether any of
    them is live; (0, False) for none."""
    query = select(func.max(runs.c.changed), func.min(runs.c.phase))
    query = query.where(or_(_mine(row), runs.c.retry_of == row.task_id))
    changed, least = connection.execute(query).one()
    return int(changed or 0), least == LIVE


def _root(row: Row[Any]) -> str:
    return str(row.root_id or row.task_id)


def _mine(row: Row[Any]) -> Any:
    return or_(runs.c.root_id == _root(row), runs.c.task_id == _root(row))


def workflow_of(connection: Connection, row: Row[Any], now: float) -> Workflow | None:
    """Return the workflow that a run is part of, None where it stands alone."""
    rows = list(connection.execute(select(*_COLUMNS).where(_mine(row)).order_by(runs.c.id).limit(MEMBERS_MAX + 1)))
    more, rows = len(rows) > MEMBERS_MAX, rows[:MEMBERS_MAX]
    if len(rows) < 2:
        return None
    ids = [one.task_id for one in rows]
    retries = select(*_COLUMNS, runs.c.retry_of).where(runs.c.retry_of.in_(ids)).order_by(runs.c.id).limit(MEMBERS_MAX)
    roots = tree(rows, list(connection.execute(retries)))
    begin = min(_began(one) for one in rows)
    seconds = max(max(_ended(one, now) for one in rows) - begin, 0.001)
    chosen = rows if len(rows) <= BARS_MAX else [rows[n * (len(rows) - 1) // (BARS_MAX - 1)] for n in range(BARS_MAX)]
    bars = [_bar(one, begin, seconds, now) for one in chosen]
    return Workflow(_root(row), roots, bars, seconds, len(rows), more)


def tree(rows: Sequence[Row[Any]], retries: Sequence[Row[Any]] = ()) -> list[Part]:
    """Return the runs that have no parent among them, each with its children and retries; circles are cut."""
    parts = {row.task_id: Part(row) for row in rows}
    for row in retries:
        parts[row.retry_of].again.append(row)
    roots = []
    for row in rows:
        parent = parts.get(row.parent_id) if row.parent_id != row.task_id else None
        # A child was made after its parent; whoever says otherwise would make a circle.
        if parent is not None and parent.row.id < row.id:
            parent.children.append(parts[row.task_id])
        else:
            roots.append(parts[row.task_id])
    return roots


def _began(row: Row[Any]) -> float:
    return float(row.sent_at or row.created_at)


def _ended(row: Row[Any], now: float) -> float:
    return float(row.state_at) if is_settled(row.state) else now


def _bar(row: Row[Any], begin: float, seconds: float, now: float) -> Bar:
    """Return where a run stands in the whole, and which part of it was waiting and which was work."""
    scale = 1000 / seconds
    start, end = _began(row), max(_ended(row, now), _began(row))
    waited = spans.waited(row.sent_at, row.created_at, row.started_at)
    waiting = min(waited if waited is not None else end - start, end - start)
    return Bar(row, (start - begin) * scale, waiting * scale, (end - start - waiting) * scale)
