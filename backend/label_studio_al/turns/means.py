"""What turns work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from label_studio_al.learners.encoders import find_encoder
from label_studio_al.pool.fitting import PoolMeans
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio.client import Studio
from label_studio_al.turns.encoding import Encoding


@dataclass(frozen=True)
class Means:
    """What turns work with.

    studio: None without a token; then versions are only served to /predict, and nothing is pushed. background: where
    features of large pools are fitted again while turns go on. encoding: what fills in embeddings meanwhile; None where
    nothing does. counts: where turns are counted. webhook_keys: what
    projects' webhook secrets are made from, none where that is not known.
    """

    store: Store
    studio: Studio | None
    signer: Signer
    settings: Settings
    clock: Clock
    computing: Computing
    background: Executor
    counts: Counts = field(default_factory=Counts)
    webhook_keys: Callable[[], Sequence[str]] = tuple
    encoding: Encoding | None = None

    def of_pools(self) -> PoolMeans:
        """What pools work with. Raises InvalidSettings if the encoder cannot be loaded."""
        return PoolMeans(
            store=self.store,
            signer=self.signer,
            clock=self.clock,
            computing=self.computing,
            background=self.background,
            encoder=find_encoder(self.settings.encoder),
            folder=self.settings.features_dir,
            embeddings=self.settings.embeddings_dir,
        )
