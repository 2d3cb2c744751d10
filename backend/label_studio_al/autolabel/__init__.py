"""Automatic labels: plan, apply, undo and monitor."""
