"""The pages of tasks: the catalogue, the form of each, and how they fared."""
