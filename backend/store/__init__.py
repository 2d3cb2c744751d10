"""Our copy of the projects, and their models."""

from backend.store.artifacts import Signer
from backend.store.store import NewVersion, Project, Store, Turn, Version

__all__ = ["NewVersion", "Project", "Signer", "Store", "Turn", "Version"]
