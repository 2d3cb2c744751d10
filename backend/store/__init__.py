"""Our copy of the projects, and their models."""

from backend.store.artifacts import Signer, features_kind, model_kind
from backend.store.store import (
    Change,
    Measurement,
    NewVersion,
    Prediction,
    Project,
    Published,
    Standing,
    Store,
    Turn,
    Version,
    VersionHead,
    WindowTask,
)

__all__ = [
    "Change",
    "Measurement",
    "NewVersion",
    "Prediction",
    "Project",
    "Published",
    "Signer",
    "Standing",
    "Store",
    "Turn",
    "Version",
    "VersionHead",
    "WindowTask",
    "features_kind",
    "model_kind",
]
