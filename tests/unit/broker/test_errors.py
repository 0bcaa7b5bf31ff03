"""Whatever a broker's library says ends in an outage, in a refusal of one message, or in an attempt that counts."""

from __future__ import annotations

import pytest
from amqp import exceptions as amqp
from kombu.exceptions import OperationalError
from redis._parsers.base import BaseParser

from webapp.broker.errors import explained
from webapp.errors import BrokerError, UnexplainedError, UnpublishableError


def answer(line: str) -> Exception:
    """The error that redis-py makes of what Redis answers."""
    return BaseParser.parse_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOAUTH Authentication required.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "NOPERM User web has no permissions to run the 'lpush' command",
        "ERR max number of clients reached",
    ],
)
def test_an_answer_to_everything_is_an_outage(line: str) -> None:
    assert type(explained(answer(line))) is BrokerError


@pytest.mark.parametrize(
    "line",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOPERM No permissions to access a key",
        "NOPERM this user has no permissions to access one of the keys used as arguments",
    ],
)
def test_an_answer_to_one_key_is_that_messages_own_fault(line: str) -> None:
    fault = explained(answer(line))
    assert isinstance(fault, UnpublishableError)
    assert str(fault).startswith(line.split()[0])


@pytest.mark.parametrize("kind", [amqp.PreconditionFailed, amqp.AccessRefused, amqp.ContentTooLarge])
def test_rabbitmq_refuses_one_message_by_closing_its_channel(kind: type[Exception]) -> None:
    fault = kind("inequivalent arg 'x-max-priority'")
    assert isinstance(explained(fault), UnpublishableError)


@pytest.mark.parametrize("fault", [amqp.ConnectionForced("closed"), amqp.RecoverableConnectionError("gone"), OSError()])
def test_a_connection_that_ends_is_an_outage(fault: Exception) -> None:
    assert type(explained(fault)) is BrokerError


def test_the_drivers_own_error_counts_and_not_the_one_that_hides_it() -> None:
    fault = OperationalError("WRONGTYPE")
    fault.__cause__ = answer("WRONGTYPE Operation against a key")
    assert isinstance(explained(fault), UnpublishableError)


@pytest.mark.parametrize(
    "fault", [ValueError("odd"), answer("ERR unknown command"), amqp.NotFound(), amqp.MessageNacked()]
)
def test_anything_else_counts_as_an_attempt(fault: Exception) -> None:
    assert isinstance(explained(fault), UnexplainedError)
