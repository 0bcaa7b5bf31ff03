"""What a run is, and what may be done to it: states, the merge, ids, durations.

Pure. Imports only `errors`, `text` and `formatting`.
"""
