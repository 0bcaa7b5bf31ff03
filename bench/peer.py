"""The peer of the web figures: a constant view of a bare Flask app."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def constant() -> str:
    """Answer the same two bytes."""
    return "ok"


@app.get("/health")
def health() -> dict[str, bool]:
    """Say that the process answers, as ours does."""
    return {"ok": True}
