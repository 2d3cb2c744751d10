"""Embeds what projects' tasks show with encoders that are too slow for a turn, in a thread of its own.

Turns say what is missing, and go on with what is there. What was embedded is appended to a file at once, so that a
kill loses a batch at most. Now and then a turn is called for, which takes the new embeddings over.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from label_studio_al.learning.deferred import IMAGE, TEXT, Deferred, Kind
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.types import Array
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.pool.tasks import Pool
from label_studio_al.pool.thumbnails import Thumbnails
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.errors import BackendError, InvalidSettings, StudioError
from label_studio_al.store import Store
from label_studio_al.turns.due import is_idle
from label_studio_al.turns.seeing import (
    Encoders,
    Fetching,
    Seen,
    Shown,
    SlowEncoder,
    embed_images,
    embed_texts,
    kinds_of,
    shows_texts,
)

TASKS_AT_ONCE = 32
# Between two turns that take over what was embedded meanwhile.
CALL_SECONDS = 5.0
# Before an encoder that could not be loaded, or a file that could not be written, is tried again.
RETRY_SECONDS = 60.0
# Before an image that could not be had is asked for again.
FAILED_SECONDS = 3600.0
# The same where the reason may pass by itself.
PASSING_SECONDS = 300.0
# The first order of a queue of images is made of so many, or of what is there after so long.
FIRST_TASKS = 1_000
FIRST_SECONDS = 15.0
# Behind turns and requests, which people wait for.
NICENESS = 10
PROGRESS = "embeddings"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failure:
    """An image that could not be had. content: the task's, see draws.text_hashes. at: when it was last asked for."""

    content: int
    why: str
    at: float
    may_pass: bool

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask for it again."""
        return now - self.at > (PASSING_SECONDS if self.may_pass else FAILED_SECONDS)


@dataclass
class _Work:
    """What is left to do for one kind of content of a project.

    is_known: whether what is missing was looked for yet. failed: by task, also while it is asked for again.
    """

    config: LabelConfig
    tasks: deque[int]
    n_tasks: int
    began: float
    is_known: bool = False
    failed: dict[int, _Failure] = field(default_factory=dict)

    def note(self, missing: Sequence[int], contents: Mapping[int, int]) -> None:
        """Take what is missing, but what failed. contents: of the tasks that failed and are still there."""
        # A task that shows something else by now is asked for at once.
        self.failed = {task_id: one for task_id, one in self.failed.items() if contents.get(task_id) == one.content}
        held = self.failed.keys() - set(self.tasks if self.failed else ())
        self.is_known = True
        self.tasks = deque(task_id for task_id in missing if task_id not in held)

    def until(self, now: float) -> float:
        """When a turn is to take over what is embedded by then: the first one when people have waited long enough."""
        first_at = self.began + FIRST_SECONDS
        return min(now + CALL_SECONDS, first_at) if now < first_at else now + CALL_SECONDS


class Encoding:
    """Fills in embeddings of all projects of this process."""

    def __init__(self, store: Store, clock: Clock, folder: Path, encoders: Encoders) -> None:
        """folder: where the embeddings of all projects lie."""
        self._store = store
        self._clock = clock
        self._folder = folder
        self._encoders = encoders
        self._loaded: dict[Kind, tuple[SlowEncoder, Deferred]] = {}
        self._errors: dict[Kind, tuple[str, float]] = {}
        self._work: dict[tuple[str, Kind], _Work] = {}
        self._without_thumbnails: set[str] = set()
        self._lock = threading.Lock()
        self._is_wanted = threading.Event()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self, pool: Pool, config: LabelConfig, first: Sequence[int]) -> None:
        """Let a pool use what is embedded, and note what is missing of it. first: ids of the tasks that it needs most.

        Raises FeaturesNotStored.
        """
        wanted = [kind for kind in kinds_of(config) if kind in self._encoders.names]
        found = []
        for kind in wanted:
            if kind in self._loaded:
                found.append(self._loaded[kind][1])
            elif kind == IMAGE or kind not in self._errors:
                # It is being loaded.
                found += [one for one in pool.features.deferred if one.kind == kind]
        pool.offer(found, first, self._unseen(pool.key, config))
        for kind in wanted:
            self._note(pool, kind, config, first)
        if wanted:
            self._begin()

    def _unseen(self, key: str, config: LabelConfig) -> list[int]:
        """Contents whose images cannot be had, of tasks that show texts, too: these are looked at alone."""
        with self._lock:
            work = self._work.get((key, IMAGE))
            return [one.content for one in work.failed.values()] if work is not None and shows_texts(config) else []

    def _note(self, pool: Pool, kind: Kind, config: LabelConfig, first: Sequence[int]) -> None:
        missing: list[int] | None = None
        if kind in self._loaded:
            missing = pool.waiting(self._loaded[kind][1], first)
        with self._lock:
            new = _Work(config, deque(), pool.n_tasks, self._clock.elapsed())
            work = self._work.setdefault((pool.key, kind), new)
            work.config, work.n_tasks = config, pool.n_tasks
            if missing is not None:
                work.note(missing, pool.contents_of(list(work.failed)))

    def keep_thumbnails(self, key: str, is_wanted: bool) -> None:
        """Keep a small picture of what is embedded of a project from now on, or none. Raises FeaturesNotStored."""
        with self._lock:
            self._without_thumbnails -= {key}
            self._without_thumbnails |= set() if is_wanted else {key}
        if not is_wanted:
            Thumbnails(self._folder / key).remove_all()

    def is_awaited(self, pool: Pool, config: LabelConfig) -> bool:
        """Whether the first images should be waited for, of which too few are there to choose from.

        Raises InvalidSettings where the encoder cannot be used.
        """
        if IMAGE not in kinds_of(config):
            return False
        n_there = len(pool.live) if any(one.kind == IMAGE for one in pool.features.deferred) else 0
        if not n_there and IMAGE in self._errors:
            raise InvalidSettings(self._errors[IMAGE][0])
        work = self._find(pool.key, IMAGE)
        if work is None or n_there >= FIRST_TASKS or (work.is_known and not work.tasks):
            return False
        return not n_there or self._clock.elapsed() - work.began < FIRST_SECONDS

    def failures(self, key: str) -> dict[int, str]:
        """Why tasks of a project have no embedding, by task."""
        with self._lock:
            work = self._work.get((key, IMAGE))
            return {} if work is None else {task_id: one.why for task_id, one in work.failed.items()}

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        with self._lock:
            for known in [known for known in self._work if known[0] not in keys]:
                del self._work[known]
            self._without_thumbnails &= set(keys)

    def close(self) -> None:
        """End after the running batch."""
        self._is_over.set()
        self._is_wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _find(self, key: str, kind: Kind) -> _Work | None:
        """What is left to do; None once the project is forgotten."""
        with self._lock:
            return self._work.get((key, kind))

    # -- in the thread ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._is_wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="encoding", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._is_over.is_set():
            self._is_wanted.clear()
            for key, kind in self._waiting():
                try:
                    if self._load(kind):
                        self._fill(key, kind)
                except (StudioError, *UNAVAILABLE):
                    self._is_over.wait(CALL_SECONDS)
                except Exception as exc:
                    said = str(exc) if isinstance(exc, BackendError) else type(exc).__name__
                    log.error("project %s: %ss are not embedded: %s", key, kind, said)
                    self._errors[kind] = (said, self._clock.elapsed())
            if not self._waiting():
                self._is_wanted.wait(RETRY_SECONDS)

    def _waiting(self) -> list[tuple[str, Kind]]:
        now = self._clock.elapsed()
        held = {kind for kind, (_, at) in self._errors.items() if now - at < RETRY_SECONDS}
        with self._lock:
            for work in self._work.values():
                again = {task_id: one for task_id, one in work.failed.items() if one.is_due(now)}
                work.failed |= {task_id: replace(one, at=now) for task_id, one in again.items()}
                work.tasks.extend(again)
            works = [of for of, work in self._work.items() if work.tasks or of[1] not in self._loaded]
        return [of for of in works if of[1] not in held and not self._is_over.is_set()]

    def _load(self, kind: Kind) -> bool:
        """Whether the encoder is there; the turns of its projects take it up."""
        if kind in self._loaded:
            return True
        assert self._encoders.load is not None
        encoder = self._encoders.load(kind)
        deferred = Deferred(kind, encoder.name, encoder.fingerprint, encoder.n_dimensions)
        self._loaded[kind] = (encoder, deferred)
        self._errors.pop(kind, None)
        log.info("the encoder %s is loaded: %d dimensions", encoder.name, encoder.n_dimensions)
        with self._lock:
            keys = [key for key, own in self._work if own == kind]
        for key in keys:
            self._store.projects.call_turn(key)
        return False

    def _fill(self, key: str, kind: Kind) -> None:
        """Embed what is missing of a project, for some seconds; then other projects have their turn."""
        work = self._find(key, kind)
        if work is None:
            return
        encoder, deferred = self._loaded[kind]
        file = EmbeddingFile(self._folder / key, deferred)
        until, n_done = work.until(self._clock.elapsed()), 0
        with file.filling() as is_mine:
            if not is_mine:
                # Another process of this machine fills it in.
                self._is_over.wait(CALL_SECONDS)
                return
            for task_ids, found in self._batches(key, kind, file, until):
                if found:
                    contents, vectors, thumbnails = self._embedded(key, kind, encoder, found)
                    file.append(contents, vectors)
                    if any(thumbnails):
                        self._keep(key, task_ids, contents, thumbnails)
                n_done += len(task_ids)
                self._done(key, kind, task_ids)
        if n_done:
            self._errors.pop(kind, None)
            self._store.projects.call_turn(key)

    def _keep(self, key: str, task_ids: Sequence[int], contents: Array, thumbnails: Sequence[bytes]) -> None:
        """Keep thumbnails; none of what was deleted meanwhile, by a turn that cannot have seen them yet."""
        kept = Thumbnails(self._folder / key)
        kept.add(contents, thumbnails)
        with self._lock:
            work = None if key in self._without_thumbnails else self._work.get((key, IMAGE))
        tasks = () if work is None else self._store.tasks.some(key, task_ids)
        texts = [text for one in tasks if work and (text := work.config.text_of(one.data)) is not None]
        kept.remove(np.setdiff1d(contents, text_hashes(texts)))

    def _done(self, key: str, kind: Kind, task_ids: Sequence[int]) -> None:
        done = set(task_ids)
        with self._lock:
            work = self._work.get((key, kind))
            if work is None:
                return
            # A turn may have put others before them meanwhile.
            while work.tasks and work.tasks[0] in done:
                done.discard(work.tasks.popleft())
            if done:
                work.tasks = deque(task_id for task_id in work.tasks if task_id not in done)
            n_left, n_tasks = len(work.tasks), work.n_tasks
        if n_left:
            self._store.projects.show_progress(key, PROGRESS, n_tasks - n_left, n_tasks)
        else:
            self._store.projects.hide_progress(key)

    def _batches(
        self, key: str, kind: Kind, file: EmbeddingFile, until: float
    ) -> Iterator[tuple[list[int], list[Shown]]]:
        """Tasks with what is to be embedded of them; the next ones are read while one batch is embedded.

        until: from then on none are begun.
        """
        with Fetching(self._encoders, self._is_idle, self._is_over) as fetching:
            ahead: deque[tuple[list[int], list[Shown]]] = deque()
            taken: set[int] = set()
            while True:
                is_time = self._clock.elapsed() <= until
                while is_time and len(ahead) < 2 and (some := self._next(key, kind, taken)):
                    taken.update(some)
                    ahead.append((some, self._shown(key, kind, self._missing(key, kind, file, some), fetching)))
                if not ahead or self._is_over.is_set():
                    return
                yield ahead.popleft()

    def _shown(self, key: str, kind: Kind, missing: Mapping[int, str], fetching: Fetching) -> list[Shown]:
        with self._lock:
            work = self._work.get((key, kind))
            has_thumbnails = key not in self._without_thumbnails
        if work is None:
            return []
        return fetching.shown(kind, work.config.content.layout, missing, has_thumbnails=has_thumbnails)

    def _is_idle(self) -> bool:
        """Whether nobody labels, in any project: Label Studio has one process for all."""
        now = self._clock.now()
        return all(is_idle(one, now) for one in self._store.projects.standings())

    def _next(self, key: str, kind: Kind, taken: Collection[int]) -> list[int]:
        with self._lock:
            work = self._work.get((key, kind))
            tasks = () if work is None else work.tasks
            found = []
            for task_id in tasks:
                if task_id not in taken:
                    found.append(task_id)
                if len(found) == TASKS_AT_ONCE:
                    break
            return found

    def _missing(self, key: str, kind: Kind, file: EmbeddingFile, task_ids: Sequence[int]) -> dict[int, str]:
        """The texts of the tasks whose embedding is not in the file: a turn may have looked before it was."""
        work = self._find(key, kind)
        if work is None:
            return {}
        texts = {one.id: work.config.text_of(one.data) for one in self._store.tasks.some(key, task_ids)}
        known = {task_id: text for task_id, text in texts.items() if text is not None}
        is_there = file.places(text_hashes([*known.values()])) >= 0
        return {task_id: text for (task_id, text), has in zip(known.items(), is_there, strict=True) if not has}

    def _embedded(
        self, key: str, kind: Kind, encoder: SlowEncoder, shown: Sequence[Shown]
    ) -> tuple[Array, Array, list[bytes]]:
        """Contents, their embeddings and their thumbnails, of those that could be read."""
        if kind == TEXT:
            return *embed_texts(encoder, shown), []
        seen = [(one, images) for one in shown if (images := self._images(key, one))]
        return embed_images(encoder, seen)

    def _images(self, key: str, shown: Shown) -> list[Seen]:
        """Those of a task with their thumbnails, none where one of them cannot be had."""
        images, error = shown.seen()
        with self._lock:
            work = self._work.get((key, IMAGE))
            if work is not None:
                work.failed.pop(shown.task_id, None)
                if error is not None:
                    content = int(text_hashes([shown.content])[0])
                    failure = _Failure(content, str(error), self._clock.elapsed(), error.may_pass)
                    work.failed[shown.task_id] = failure
        return images
