"""The tables, and everything that reads and writes them.

Imports `runs`, `forms` and `broker`.
"""
