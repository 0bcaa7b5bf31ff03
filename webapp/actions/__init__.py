"""What a person does to runs that exist: cancel, retry, bulk.

Imports `outbox` and what stands below it.
"""
