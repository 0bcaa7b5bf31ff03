"""Numbers in addresses and forms that name a row: larger ones than a database has are nobody's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from werkzeug.routing import IntegerConverter, Map

ID_MAX: Final = 2**63 - 1


class IdConverter(IntegerConverter):
    """The number of a row as a part of an address; what is larger is not found."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=ID_MAX)


def ids(texts: Iterable[str]) -> list[int]:
    """Return those of the texts that may name a row or a version, as numbers."""
    numbers = [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 20]
    return [number for number in numbers if number <= ID_MAX]
