"""What each of our own workers has said that it took: by which life, and which message that was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from webapp.worker.submissions import IGNORED

HELD_MAX: Final = 100_000
"""Most runs kept in mind; the oldest are forgotten first, and then nothing is proved of them."""
_ENDS: Final = frozenset({"task-succeeded", "task-failed", "task-rejected", "task-revoked", "task-retried", IGNORED})


@dataclass(frozen=True, slots=True)
class Taken:
    """The token of the life that took a run's message, and the message's delivery tag.

    No tag where the message had been delivered before: then somebody else may have the next delivery, and nothing in
    Redis tells the two apart.
    """

    token: str
    tag: str | None


@dataclass(slots=True)
class Deliveries:
    """What was taken and not ended, by task id, in the order of taking."""

    taken: dict[str, Taken] = field(default_factory=dict)

    def hear(self, event: dict[str, Any]) -> None:
        """Take a task event."""
        kind, task_id = event.get("type"), event.get("uuid")
        if not isinstance(task_id, str):
            return
        if kind == "task-received":
            self.note(task_id, event.get("life"), event.get("tag"))
        elif kind in _ENDS:
            self.taken.pop(task_id, None)

    def note(self, task_id: str, token: Any, tag: Any) -> None:
        """Note who has a run now; a worker that is not ours does not say, and nothing is known of it then."""
        self.taken.pop(task_id, None)
        if isinstance(token, str):
            self.taken[task_id] = Taken(token, tag if isinstance(tag, str) else None)
            if len(self.taken) > HELD_MAX:
                self.taken.pop(next(iter(self.taken)), None)

    def by(self, token: str) -> dict[str, Taken]:
        """Return what a life has taken."""
        return {task_id: taken for task_id, taken in list(self.taken.items()) if taken.token == token}

    def owner(self, task_id: str) -> str | None:
        """Return the token of the life that took a run last, None where that is not known."""
        taken = self.taken.get(task_id)
        return taken.token if taken else None
