"""Every learner that makes models. A new one is one line here."""

from __future__ import annotations

from contextlib import suppress

from label_studio_al.learners.base import Learner
from label_studio_al.learners.encoders import NONE
from label_studio_al.learners.linear import Linear
from label_studio_al.learners.spans import Spans
from label_studio_al.learning.asking import AUTO
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.strategies import pick
from label_studio_al.questions import NO_OFFERS, LabelConfig, parse_config
from label_studio_al.runtime.errors import AwaitsTasks, InvalidSettings, NotPossible, UnsupportedConfig
from label_studio_al.runtime.settings import ProjectSettings

# The first that serves a question is taken.
LEARNERS: list[Learner] = [Linear(), Spans()]


def find_learner(coding: Coding) -> Learner:
    """The learner for such answers. Raises NotPossible where there is none."""
    found = next((learner for learner in LEARNERS if learner.serves(coding)), None)
    if found is None:
        raise NotPossible("no learner makes models of such answers")
    return found


def check_settings(settings: ProjectSettings, config: LabelConfig) -> None:
    """Raises InvalidSettings where a project's settings do not suit what its label config asks."""
    for name in settings.steering:
        if name not in config.names:
            raise InvalidSettings(f"questions: the label config asks {', '.join(config.names)!a}, not {name[:60]!a}")
    for question in config.questions:
        check_strategy(settings.strategy, question.coding)


def check_project(settings: ProjectSettings, label_config: str, offers: str = NO_OFFERS) -> str:
    """As `check_settings`, of what the label config asks. Gives what that waits for, a sentence; mostly nothing.

    offers: what the project's tasks offer (see questions.offers). Raises UnsupportedConfig, too.
    """
    try:
        check_settings(settings, parse_config(label_config, offers))
    except AwaitsTasks as exc:
        return str(exc)
    return ""


def check_content(label_config: str, image_encoder: str, offers: str = NO_OFFERS) -> None:
    """Raises UnsupportedConfig where tasks show nothing but images and no encoder looks at these.

    image_encoder: of AL_IMAGE_ENCODER. offers: as of `check_project`.
    """
    if not is_seen(label_config, image_encoder, offers):
        raise UnsupportedConfig(
            "the label config shows images and no text: AL_IMAGE_ENCODER must name an encoder of images"
        )


def is_seen(label_config: str, image_encoder: str, offers: str = NO_OFFERS) -> bool:
    """Whether models see anything of tasks; arguments as of `check_content`. Raises UnsupportedConfig."""
    if image_encoder == NONE:
        with suppress(AwaitsTasks):
            layout = parse_config(label_config, offers).content.layout
            return not isinstance(layout, WithImages) or layout.has_texts
    return True


def check_strategy(strategy: str, coding: Coding) -> None:
    """Raises InvalidSettings where a strategy cannot work for such answers, or with their learner."""
    if strategy == AUTO:
        return
    learner = find_learner(coding)
    unsuitable = pick(strategy).unsuitable(
        has_one_class=coding.has_one_class, marks=coding.marks is not None, refits=learner.refits
    )
    if unsuitable is not None:
        raise InvalidSettings(f"strategy: {unsuitable}; choose margin, for example")
