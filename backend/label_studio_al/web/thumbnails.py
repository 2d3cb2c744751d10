"""The small pictures of tasks' images that the worker has made, if this machine has them."""

from __future__ import annotations

from collections.abc import Iterable

from label_studio_al.labeling import Task
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.images import WithImages
from label_studio_al.pool.thumbnails import Thumbnails
from label_studio_al.runtime.errors import UnsupportedConfig
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Project
from label_studio_al.web.parts import Parts

DEFAULT = ProjectSettings().thumbnails


def pictured(here: Parts, project: Project, tasks: Iterable[Task]) -> frozenset[int]:
    """Those of the tasks, by id, that have a thumbnail."""
    kept, contents = _kept(here, project), _contents(project, tasks)
    return frozenset(task_id for task_id, content in contents.items() if kept.has(content))


def thumbnail_of(here: Parts, project: Project, task_id: int) -> bytes | None:
    """A JPEG of a task's image; None where none is kept, or none may be shown."""
    kept, contents = _kept(here, project), _contents(project, here.store.tasks.some(project.key, [task_id]))
    return None if task_id not in contents else kept.read(contents[task_id])


def _kept(here: Parts, project: Project) -> Thumbnails:
    return Thumbnails(here.settings.embeddings_dir / project.key)


def _contents(project: Project, tasks: Iterable[Task]) -> dict[int, int]:
    """By what the thumbnails of tasks are found; none where they are switched off, or tasks show no images."""
    try:
        config = project.config
    except UnsupportedConfig:
        return {}
    if project.extra_params.get("thumbnails", DEFAULT) != "on" or not isinstance(config.content.layout, WithImages):
        return {}
    texts = {one.id: text for one in tasks if (text := config.text_of(one.data)) is not None}
    return dict(zip(texts, text_hashes(list(texts.values())).tolist(), strict=True))
