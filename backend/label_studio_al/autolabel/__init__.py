"""Automatic labels: planned, set, taken back and watched."""
