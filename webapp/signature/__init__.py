"""Typed forms for tasks: a signature becomes a schema, a schema becomes fields, and what was typed becomes a call.

A worker publishes ``schema.schema_of(task.run)``; whoever shows a form has nothing but that dictionary, and does not
trust it. Read ``schema.py`` (code to schema), ``fields.py`` (schema to fields), ``reading.py`` (text to call) and
``calls.py`` (raw JSON, and a call back to fields).
"""
