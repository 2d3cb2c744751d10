"""What the views work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import current_app

from backend.clock import Clock
from backend.jobs import JobClient
from backend.models import Models
from backend.settings import Settings
from backend.store import Signer, Store


@dataclass
class Parts:
    """The app's own objects; one set an app."""

    settings: Settings
    store: Store
    jobs: JobClient
    signer: Signer
    clock: Clock
    models: Models = field(init=False)

    def __post_init__(self) -> None:
        self.models = Models(self.store, self.signer)


def parts() -> Parts:
    """The parts of the app that answers the current request."""
    found: Parts = current_app.extensions["parts"]
    return found
