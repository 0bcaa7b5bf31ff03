"""The tasks that can be run, and the named calls of each.

Imports `actions` and what stands below it.
"""
