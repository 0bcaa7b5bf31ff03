"""Typed forms for tasks: a schema becomes fields, and what was typed becomes a call.

Pure: it knows no database and no broker.
"""
