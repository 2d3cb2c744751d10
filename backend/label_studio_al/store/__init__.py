"""Our copy of the projects, and their models."""

from label_studio_al.store.artifacts import Signer, features_kind, model_kind
from label_studio_al.store.measurements import Measurement, Prediction
from label_studio_al.store.projects import Failure, Project, Standing
from label_studio_al.store.store import Store
from label_studio_al.store.tasks import Change
from label_studio_al.store.turns import Turn
from label_studio_al.store.versions import NewVersion, Published, Version, VersionHead, VersionQuestion
from label_studio_al.store.windows import NewTasks, WindowTask

__all__ = [
    "Change",
    "Failure",
    "Measurement",
    "NewTasks",
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
    "VersionQuestion",
    "WindowTask",
    "features_kind",
    "model_kind",
]
