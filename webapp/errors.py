"""The failures that a person may read: each message says what is wrong and what to do about it."""

from __future__ import annotations


class VaseError(Exception):
    """Base of every failure whose text is fit for a page or a terminal."""


class SettingError(VaseError):
    """A setting has a value that cannot be used; raised before anything starts."""


class SearchTimeoutError(VaseError):
    """A search that was stopped because it took too long."""


class InvalidArgumentsError(VaseError, ValueError):
    """Arguments that would harm a worker; raised before anything is stored or published."""


class BrokerError(VaseError):
    """The message broker takes nothing now: it could not be reached in time, or refuses everything.

    ``delivered`` says whether the message may have arrived all the same.
    """

    def __init__(self, message: str, delivered: bool = True) -> None:
        super().__init__(message)
        self.delivered = delivered


class UnpublishableError(BrokerError):
    """A message that the broker does not take, for a reason of its own; others can be sent."""


class UnexplainedError(BrokerError):
    """A message that was not taken, and nobody can say whether others would be."""


class ActionNotAllowedError(VaseError):
    """An action that the state of a run does not allow."""
