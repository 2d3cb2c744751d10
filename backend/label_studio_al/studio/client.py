"""What the loop asks of Label Studio.

Every method raises StudioUnreachable (try again later) or StudioRefused (somebody must change something first).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

from label_studio_al.labeling import version_number
from label_studio_al.runtime.errors import PredictionsLost
from label_studio_al.studio.api import Api
from label_studio_al.studio.connections import Connections
from label_studio_al.studio.predictions import Predictions
from label_studio_al.studio.projects import Projects
from label_studio_al.studio.tabs import Tabs
from label_studio_al.studio.tasks import Tasks
from label_studio_al.studio.webhooks import Webhooks

if TYPE_CHECKING:
    from label_studio_al.runtime.hosts import Reach
    from label_studio_al.studio.media import Media


class Studio:
    """One Label Studio, seen with one user's token, by what is asked of it."""

    def __init__(
        self,
        api: Api,
        installation: str = "",
        basic_auth: tuple[str, str] | None = None,
        reach: Reach | None = None,
    ) -> None:
        """installation: what the names of this backend's versions tell. basic_auth: what Label Studio must send us.

        reach: where images are fetched; by default at Label Studio only.
        """
        self.url = api.url
        self.installation = installation
        self.projects = Projects(api)
        self.tasks = Tasks(api)
        self.predictions = Predictions(api, self.tasks)
        self.connections = Connections(api, installation, basic_auth)
        self.webhooks = Webhooks(api)
        self.tabs = Tabs(api)
        self._api, self._reach = api, reach

    @cached_property
    def media(self) -> Media:
        """The files of images. Imported when one is asked for: most processes never do."""
        from label_studio_al.studio.media import Media

        return Media(self._api, self._reach)

    def switch(self, project_id: int, backend_url: str | None, version: str, *, is_pushed: bool) -> None:
        """Make a version the one that orders the queue and that /predict is asked for.

        Renaming the connection moves the project's version along, and changes nothing else of the project. PATCHing
        the project saves the whole of it, and so undoes what an admin saves in the same moment: it is left to where
        renaming cannot do it. is_pushed: whether the version has predictions, without which Label Studio refuses it.
        Raises PredictionsLost where it should have some and has none.
        """
        # Asked for each time: an admin may have corrected its address, and renaming sends it along.
        connection = self.connections.ours(project_id, backend_url, [version])
        is_moved_along = not is_pushed or self.projects.get(project_id).model_version == connection.title
        # Last, so that nothing but the switch itself comes between: it would not be refused.
        if is_pushed and not self.predictions.versions(project_id).get(version):
            raise PredictionsLost(
                f"Label Studio lacks the predictions of {version} that it was sent (was it put back to a backup?): the "
                "next turn asks it what else it lacks, and makes a new version"
            )
        if not is_moved_along:
            self.projects.point_to(project_id, version)
        self.connections.rename(project_id, connection, version)

    def renew_webhooks(self, project_id: int, backend_url: str | None, secret: str) -> bool:
        """Give this secret to the webhooks to this backend that carry another one. Returns whether there were any."""
        connection = self.connections.find(project_id, backend_url)
        return connection is not None and self.webhooks.renew(project_id, connection.url.rstrip("/"), secret)

    def disconnect(self, project_id: int, backend_url: str, versions: Collection[str]) -> None:
        """Undo what connecting and publishing made: connection, webhook, tabs, sampling and our predictions.

        versions: names of this backend's versions that do not tell whose they are (see `version_number`).
        """
        connection = self.connections.find(project_id, backend_url, versions)
        if connection is not None:
            self.connections.remove(connection.id)
            backend_url = connection.url.rstrip("/")
        for webhook in self.webhooks.to(project_id, backend_url):
            self.webhooks.remove(webhook)
        self.tabs.remove(project_id)
        self.projects.unarrange(project_id)
        for name in self.predictions.versions(project_id):
            if version_number(name, self.installation) is not None or name in versions:
                self.predictions.delete(project_id, name)
