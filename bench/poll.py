"""What a page that waits costs: the poll that finds nothing new."""

from __future__ import annotations

import re
import urllib.request

from bench.common import Figure, against_peer
from bench.rows import fill
from tests.support import Stack


def measure() -> Figure:
    """Compare the unchanged poll (204) with a constant view."""
    return against_peer("unchanged poll (204)", 0.75, 204, address)


def address(stack: Stack) -> str:
    """Fill the list and return the address that its page polls."""
    fill(stack)
    with urllib.request.urlopen(f"{stack.url}/") as answer:
        found = re.search(r'hx-get="([^"]*/fragments/runs[^"]*)"', answer.read().decode())
    if found is None:
        raise AssertionError("the page polls nothing")
    return found[1].replace("&amp;", "&")
