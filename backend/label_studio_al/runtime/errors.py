"""Every error that a caller of this package can meet.

BackendError
├── InvalidRequest          what came is not what the protocol asks for
│   ├── UnsupportedConfig   the label config has nothing that can be learned
│   │   └── AwaitsTasks     the tasks say what can be learned, and none is read yet
│   └── InvalidSettings     an environment variable or an extra param is wrong
├── TooMuch                 a request is larger than a limit
├── TooManyProjects         too many projects use this backend
├── Overloaded              an answer would come too late
├── Unauthorized            credentials or the webhook's secret are missing or wrong
├── Forbidden               a web page of somebody else sends requests through a browser
├── UnknownProject          a project that was never set up here
├── NoThumbnail             no small picture of a task's image is kept
├── StudioError             Label Studio could not be asked, or refused
│   ├── StudioUnreachable   no answer, or a server error: worth another try
│   ├── StudioRefused       Label Studio said no: another try needs a change first
│   │   ├── NotConnected    the project's model connection is gone, or another backend's
│   │   └── PredictionsLost Label Studio lacks what it was sent
│   └── AddressRefused      Label Studio does not accept the address of this backend
├── ImageUnusable           an image cannot be fetched or decoded
├── ArtifactRejected        a stored model is corrupt, foreign or of another release
├── FeaturesNotStored       the disk does not take the features of a pool
├── EncoderFailed           an encoder gives no embeddings
├── ModelNotFetched         a published model cannot be downloaded, or came changed
├── NotExportable           there is no model, or it cannot be written as was asked
├── DatabaseUnavailable     the database does not answer
├── SchemaTooNew            the database's tables are of a newer release
├── TurnOvertaken           another process has taken a project's turn over
├── TurnRunning             a project's turn is running and would write again
├── NotPossible             nothing can be labelled automatically as things stand
├── PlanOutdated            labels or settings changed since a plan was made
├── TurnsCutShort           whoever took a project's last turns was killed
├── LabelStudioInstallError, LabelStudioStartError, LabelStudioLoginError    of the demo's own (cli/local.py)
├── PortInUse               another program listens there
├── HostNotInstalled        label-studio-ml, the official server, is not there
└── ProcessFailed           a process that `serve` watches ended and does not come up again
    └── CannotStart         another start would end the same way

A message says the rule and what came. `status` is the HTTP status of an answer that carries the error.
"""

from __future__ import annotations

from typing import Literal

from label_studio_al.runtime.redaction import hide

# refused: by a rule of ours. forbidden: by who has the image. broken: of a format that is read, but damaged.
ImageReason = Literal["refused", "forbidden", "missing", "too_large", "slow", "unavailable", "not_an_image", "broken"]


class BackendError(Exception):
    """Something went wrong in the active-learning backend."""

    status = 500

    def __str__(self) -> str:
        """The sentence, without secrets: it may quote what a library or a server said."""
        return hide(super().__str__())


class InvalidRequest(BackendError):
    """Send the JSON that Label Studio's ML backend protocol describes."""

    status = 400


class UnsupportedConfig(InvalidRequest):
    """Use a label config with a control that is learned (label-studio-al questions says which)."""

    status = 422


class AwaitsTasks(UnsupportedConfig):
    """Import tasks: what the label config offers comes from them."""


class InvalidSettings(InvalidRequest):
    """Correct the named setting."""

    status = 422


class TooMuch(BackendError):
    """Send less at once, or raise the limit that the message names."""

    status = 413


class TooManyProjects(BackendError):
    """Forget projects that are not needed any more (label-studio-al forget), or raise AL_MAX_PROJECTS."""

    status = 429


class Overloaded(BackendError):
    """Ask for less at once, or try again later."""

    status = 503


class Unauthorized(BackendError):
    """Send the configured user and password, or the webhook's secret header."""

    status = 401


class Forbidden(BackendError):
    """Call this backend under its own address, and not from another web page."""

    status = 403


class UnknownProject(BackendError):
    """Connect the project first: Label Studio's model page, or `label-studio-al connect`."""

    status = 404


class NoThumbnail(BackendError):
    """Nothing to do: not every image has a thumbnail, and `thumbnails` may be off."""

    status = 404


class StudioError(BackendError):
    """Label Studio could not do what was asked."""

    status = 502


class StudioUnreachable(StudioError):
    """Label Studio does not answer: start it, or correct LABEL_STUDIO_URL."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """retry_after: seconds that Label Studio asked to be left alone, or that its circuit stays open."""
        super().__init__(message)
        self.retry_after = retry_after


class StudioRefused(StudioError):
    """Label Studio refused the request: correct the token, the project or the right that it names."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        """code: the HTTP status that Label Studio answered."""
        super().__init__(message)
        self.code = code


class PredictionsLost(StudioRefused):
    """Nothing to do: the next turn asks Label Studio what else it lacks, and makes a new version."""


class NotConnected(StudioRefused):
    """Connect the project again: its model page in Label Studio, or `label-studio-al connect`."""


class AddressRefused(StudioError):
    """Label Studio does not call this address: change the setting of Label Studio that the message names."""

    def __init__(self, message: str, subnet: str | None = None) -> None:
        """subnet: the network that Label Studio refuses."""
        super().__init__(message)
        self.subnet = subnet


class ImageUnusable(BackendError):
    """Correct the image or its address, or name its host in AL_MEDIA_HOSTS: the message says which."""

    def __init__(self, message: str, reason: ImageReason = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """Whether the same image may be usable later, though nobody changes anything."""
        return self.reason in ("slow", "unavailable")


class ArtifactRejected(BackendError):
    """A stored model was refused; it is trained again from the labels."""


class FeaturesNotStored(BackendError):
    """Features cannot be written: make room in MODEL_DIR, or let this user write there."""


class EncoderFailed(BackendError):
    """Choose another encoder, or repair this one."""


class ModelNotFetched(BackendError):
    """Check the model's name and the network, and fetch it again."""


class NotExportable(BackendError):
    """The model cannot be exported: train one first, or ask for what the message names."""


class DatabaseUnavailable(BackendError):
    """The database does not answer: start it, or correct DATABASE_URL."""

    status = 503


class SchemaTooNew(BackendError):
    """Upgrade label-studio-active-learning, or give another DATABASE_URL: the database is of a newer release."""


class TurnOvertaken(BackendError):
    """Another process has begun a turn of the same project since: it does what this one would have done."""


class TurnRunning(BackendError):
    """Try again in a minute: a turn of the project is running."""


class NotPossible(BackendError):
    """Nothing can be labelled automatically yet: do what the message says, then plan again."""

    status = 409


class FilesLeft(BackendError):
    """A project was forgotten but for files that this user may not remove: they hold numbers made of its texts."""


class PlanOutdated(BackendError):
    """Plan again: labels or settings changed since the plan was made, and nothing was applied."""

    status = 409


class TurnsCutShort(BackendError):
    """The last turns of a project never came to their end: look into the log for what ended their process."""


class PortInUse(BackendError):
    """Stop the program that listens on the port, or choose another port."""


class HostNotInstalled(BackendError):
    """Install label-studio-ml as docs/label-studio-ml.md says."""


class ProcessFailed(BackendError):
    """A process of the backend keeps ending: its log says why."""


class CannotStart(ProcessFailed):
    """A process of the backend ends at its start, and will at the next: correct what it says."""
