"""The only code that other people's workers import: events, the description of tasks, cancels.

It opens no database. Imports `runs`, `forms` and `broker`.
"""
