"""Holds the Makefile to what it promises."""

from __future__ import annotations

import re
import subprocess

from tests.support import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_lists_every_target() -> None:
    """A target that a person may want is never missing from `make help`."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    promised = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[0].split()
    # The browser, PostgreSQL and RabbitMQ come by themselves, before the tests that need them.
    assert set(re.findall(r"make (\w+)", shown)) == set(promised) - {"chromium", "postgresql", "rabbitmq"}


def test_ci_runs_what_a_person_runs() -> None:
    """The gate and `make test` cannot drift apart."""
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
