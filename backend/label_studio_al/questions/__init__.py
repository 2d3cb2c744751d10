"""What label configs ask. A question alone knows its control's JSON and what an answer is."""

from label_studio_al.questions.base import UNREAD, Answer, Question, Reading
from label_studio_al.questions.choices import MultipleChoice, SingleChoice
from label_studio_al.questions.config import Control, LabelConfig, awaited_fields, parse_config, read_controls
from label_studio_al.questions.exported import (
    column_question,
    items_in_cell,
    question_of,
    stated,
    stated_names,
    tells_its_question,
)
from label_studio_al.questions.offers import NO_OFFERS, Offer, write_offers
from label_studio_al.questions.rating import Rating
from label_studio_al.questions.taxonomy import Taxonomy
from label_studio_al.questions.votes import Readings, answers, label_counts

__all__ = [
    "NO_OFFERS",
    "UNREAD",
    "Answer",
    "Control",
    "LabelConfig",
    "MultipleChoice",
    "Offer",
    "Question",
    "Rating",
    "Reading",
    "Readings",
    "SingleChoice",
    "Taxonomy",
    "answers",
    "awaited_fields",
    "column_question",
    "items_in_cell",
    "label_counts",
    "parse_config",
    "question_of",
    "read_controls",
    "stated",
    "stated_names",
    "tells_its_question",
    "write_offers",
]
