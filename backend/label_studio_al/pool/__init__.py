"""A project's tasks as rows of features."""
