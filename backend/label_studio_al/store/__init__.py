"""Our copy of the projects, and their models."""

from label_studio_al.store.artifacts import Signer, features_kind, model_kind
from label_studio_al.store.store import (
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
