"""What is asked for, and how it is found: query, plan, pages and counts.

Imports `history` and what stands below it.
"""
