"""A separate worker for the official server: training in the server's process would delay its answers."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

from filelock import FileLock

from label_studio_al.runtime.errors import ProcessFailed
from label_studio_al.runtime.keeping import Watched, watch

# A worker that keeps ending is tried again after so long: somebody may have fixed what ended it.
REST_SECONDS = 60.0

log = logging.getLogger(__name__)


def keep_worker(model_dir: Path) -> None:
    """Keep a worker running, one for all processes with this MODEL_DIR, as long as this process lives.

    Workers that are started by hand, here or on other machines, share the turns with it.
    """
    rest = threading.Event()
    # Others wait here until this process ends, and then take over.
    with FileLock(model_dir / "host-worker.lock", mode=0o600):
        while True:
            try:
                # It reads from a pipe whether this process still lives, and ends with it.
                watch([Watched("worker", [sys.executable, "-m", "label_studio_al", "worker"])], threading.Event())
            except ProcessFailed as exc:
                log.error("no turns are taken: %s", exc)
            rest.wait(REST_SECONDS)
