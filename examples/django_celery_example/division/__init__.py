"""An app of the project, with one task."""
