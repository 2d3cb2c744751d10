"""Every kind of question that is learned. A new kind is one line here."""

from __future__ import annotations

from label_studio_al.labeling.tags import Tag
from label_studio_al.questions.base import Kind
from label_studio_al.questions.choices import MultipleChoice, SingleChoice
from label_studio_al.questions.pairwise import Pairwise
from label_studio_al.questions.rating import Rating
from label_studio_al.questions.spans import Spans
from label_studio_al.questions.taxonomy import Taxonomy
from label_studio_al.runtime.errors import UnsupportedConfig

KINDS: list[Kind] = [SingleChoice, MultipleChoice, Rating, Taxonomy, Pairwise, Spans]


def find_kind(control: Tag) -> Kind:
    """The kind of question that a control asks. Raises UnsupportedConfig, with the reason, where none of them does."""
    found = next((kind for kind in KINDS if kind.reads(control)), None)
    if found is None:
        raise UnsupportedConfig(f"no model for <{control.tag}> is built in")
    return found
