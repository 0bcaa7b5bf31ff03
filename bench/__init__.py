"""The figures that Vase promises, each measured beside its peer or floor: ``python -m bench [NAME ...]``."""
