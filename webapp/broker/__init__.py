"""Everything that knows a broker: its keys, queues, errors, and the questions to its workers.

Imports `runs`, and no tables.
"""
