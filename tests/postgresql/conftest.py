"""These tests run with ``VASE_TEST_DATABASE=postgresql``, as in ``make postgres``; otherwise there is nothing here."""

from __future__ import annotations

from tests import postgres

collect_ignore_glob = [] if postgres.CHOSEN else ["test_*.py"]
