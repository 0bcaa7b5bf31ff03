"""Accepted runs are rows first and messages second: submit, relay, options.

Imports `search` and what stands below it.
"""
