"""One turn of a project: start reading at loop.py."""
