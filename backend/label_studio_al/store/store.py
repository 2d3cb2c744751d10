"""Our fast copy of Label Studio's projects, on SQLite or PostgreSQL.

Label Studio holds the truth; everything here can be rebuilt from it. Every change of a project's rows raises the
project's revision by one, in the same transaction.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import sqlalchemy as sa

from label_studio_al.runtime.database import PATIENT_SECONDS, open_engine
from label_studio_al.store import schema
from label_studio_al.store.annotations import Annotations
from label_studio_al.store.automation import Automation
from label_studio_al.store.counters import Counters
from label_studio_al.store.features import FeatureArtifacts
from label_studio_al.store.locks import open_locks
from label_studio_al.store.maps import Maps
from label_studio_al.store.measurements import Measurements
from label_studio_al.store.migrations import is_current, migrate
from label_studio_al.store.projects import Projects
from label_studio_al.store.tasks import Tasks
from label_studio_al.store.turns import Turns
from label_studio_al.store.updates import Updates
from label_studio_al.store.versions import Versions
from label_studio_al.store.windows import Windows


class Store:
    """The state of every project, by what is stored. Safe to use from several threads and processes."""

    def __init__(self, url: str, *, patience_seconds: float = PATIENT_SECONDS, installation: str = "") -> None:
        """patience_seconds: how long a write waits for others' writes. installation: under whose name it publishes."""
        self._engine = open_engine(url, patience_seconds=patience_seconds)
        self._locks = open_locks(url)
        self.projects = Projects(self._engine)
        self.updates = Updates(self._engine, self.projects)
        self.tasks = Tasks(self._engine)
        self.annotations = Annotations(self._engine)
        self.versions = Versions(self._engine, installation)
        self.windows = Windows(self._engine)
        self.measurements = Measurements(self._engine)
        self.maps = Maps(self._engine)
        self.features = FeatureArtifacts(self._engine)
        self.automation = Automation(self._engine)
        self.turns = Turns(self._engine)
        self.counters = Counters(self._engine)

    @property
    def installation(self) -> str:
        """Under whose name versions are published."""
        return self.versions.installation

    def migrate(self) -> None:
        """Bring the tables to this release, from nothing or an older one. Raises SchemaTooNew.

        Processes that start at once may do so together.
        """
        migrate(self._engine)

    def is_current(self) -> bool:
        """Whether the tables are those of this release; False if they are older or not there. Raises SchemaTooNew."""
        with self._engine.connect() as connection:
            return is_current(connection)

    def check_writable(self) -> None:
        """Raises what the database does if it takes no writes. Changes nothing."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(schema.projects).where(sa.false()).values(n_turns=0))

    def close(self) -> None:
        """Give the connections back."""
        self._locks.close()
        self._engine.dispose()

    def shred(self) -> None:
        """Make sure that nothing deleted is left in the database's files (PostgreSQL: in its tables)."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- one turn at once -------------------------------------------------------------------------------------

    def turn_lock(self, key: str, wait_seconds: float = 0.0) -> AbstractContextManager[bool]:
        """Take the project's turn, over all processes and hosts; False if somebody else still has it after waiting.

        It is given back at the end of the block, or when the process dies, however it dies.
        """
        return self._locks.hold(f"turn {key}", wait_seconds)

    def autolabel_lock(self, key: str) -> AbstractContextManager[bool]:
        """The right to set or remove a project's automatic labels, as `turn_lock`."""
        return self._locks.hold(f"autolabel {key}", 0.0)
