"""The search index: the words of every settled run, in SQLite's FTS5 or in PostgreSQL's tsvector.

Both are kept in the table ``vase_run_words``, whose number is the run's id. FTS5 keeps no text of its own here, so what
is taken out must be said again word by word; the words follow from the row, so they can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select

from webapp.history.copy import copy
from webapp.history.models import TaskRun
from webapp.history.tokens import keyword_token, run_tokens, with_phase
from webapp.runs.states import FAILURE, LIVE, OTHER, SUCCESS

runs = TaskRun.__table__

COLUMNS: Final = tuple(
    runs.c[name]
    for name in (
        "id name state phase worker queue root_id publish_state retries steps args kwargs result exception"
    ).split()
)
BATCH: Final = 1000
SETTLED: Final = frozenset({SUCCESS, FAILURE, OTHER})

Tokens = list[str]


def tokens_of(row: Mapping[str, Any] | RowMapping) -> Tokens:
    """Return the words of a row, given by the names of its columns; none for a live one, which is not indexed."""
    settled = row["phase"]
    if settled == LIVE:
        return []
    tags = (
        ("phase", str(settled)),
        ("state", row["state"]),
        ("task", row["name"]),
        ("worker", row["worker"]),
        ("queue", row["queue"]),
        ("root", row["root_id"]),
        ("origin", "here" if row["publish_state"] else None),
        ("retried", "yes" if row["retries"] or row["steps"] else None),
    )
    kwargs = row["kwargs"]
    arguments = row["args"] if kwargs in (None, "", "{}") else f"{row['args']} {kwargs}"
    return run_tokens(settled, tags, arguments, row["result"], row["exception"])


def update_index(connection: Connection, old: Sequence[tuple[int, Tokens]], new: Sequence[tuple[int, Tokens]]) -> None:
    """Take ids with their old words out and put ids with their new words in; runs without words are passed over."""
    gone = [(id_, " ".join(words)) for id_, words in old if words]
    come = [(id_, words) for id_, words in new if words]
    if connection.dialect.name == "sqlite":
        if gone:
            connection.exec_driver_sql(
                "INSERT INTO vase_run_words(vase_run_words, rowid, words) VALUES ('delete', ?, ?)", gone
            )
        if come:
            rows = [(id_, " ".join(words)) for id_, words in come]
            connection.exec_driver_sql("INSERT INTO vase_run_words(rowid, words) VALUES (?, ?)", rows)
        return
    if gone or come:
        ids = [id_ for id_, _ in (*gone, *come)]
        connection.exec_driver_sql("DELETE FROM vase_run_words WHERE id = ANY(%s)", (ids,))
    if come:
        # Between quotes a tsvector takes a word as it is; no word has a quote or a backslash.
        vectors = ((id_, " ".join(f"'{word}'" for word in words)) for id_, words in come)
        copy(connection, "vase_run_words", ("id", "words"), vectors)


def index_everything(connection: Connection) -> None:
    """Index every run, for a database that was made before there was an index."""
    last = -1
    while rows := connection.execute(select(*COLUMNS).where(runs.c.id > last).order_by(runs.c.id).limit(BATCH)).all():
        update_index(connection, [], [(row.id, tokens_of(row._mapping)) for row in rows])
        last = rows[-1].id


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition: the run has all words of at least one alternative, or of none where ``negated``.

    ``named`` says that each alternative is one tag, of which there is another that names the phase as well.
    """

    alternatives: tuple[tuple[str, ...], ...]
    negated: bool = False
    named: bool = False


def match_expression(dialect: str, phases: Iterable[int], conditions: Iterable[Clause]) -> str:
    """Return the query for runs in these phases that meet all conditions, in the language of the database."""
    conditions = list(conditions)
    both, either, no = ("AND", "OR", "NOT") if dialect == "sqlite" else ("&", "|", "& !")
    quote = '"{}"' if dialect == "sqlite" else "'{}'"

    def spell(alternatives: Iterable[tuple[str, ...]]) -> str:
        parts = (f" {both} ".join(quote.format(word) for word in words) for words in alternatives)
        return "(" + f" {either} ".join(f"({part})" for part in parts) + ")"

    phases = sorted(phases)
    positive = [condition for condition in conditions if not condition.negated]
    wanted = [spell(condition.alternatives) for condition in positive]
    if set(phases) < SETTLED or not positive:
        named = next((number for number, condition in enumerate(positive) if condition.named), None)
        if named is not None:
            words = ((with_phase(word, number),) for (word,) in positive[named].alternatives for number in phases)
            wanted[named] = spell(words)
        else:
            wanted.append(spell((keyword_token("phase", str(number)),) for number in phases))
    unwanted = [spell(c.alternatives) for c in conditions if c.negated]
    text = f"({f' {both} '.join(wanted)})"
    return f"{text} {no} ({f' {either} '.join(unwanted)})" if unwanted else text


def matching(dialect: str) -> str:
    """Return what is to follow a SELECT: the entries between ``:low`` and ``:high`` that match ``:match``."""
    name, condition = (
        ("rowid", "vase_run_words MATCH :match") if dialect == "sqlite" else ("id", "words @@ CAST(:match AS tsquery)")
    )
    return f"FROM vase_run_words WHERE {condition} AND {name} > :low AND {name} < :high"


def matching_ids(dialect: str, direction: str) -> str:
    """Return the SQL for the ids of the first ``:limit`` of them; ``direction`` is ASC or DESC."""
    name = "rowid" if dialect == "sqlite" else "id"
    return f"SELECT {name} AS id {matching(dialect)} ORDER BY {name} {direction} LIMIT :limit"
