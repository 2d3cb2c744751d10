"""What label configs ask. A question alone knows its control's JSON and what an answer is."""

from label_studio_al.questions.base import UNREAD, Answer, Question, Reading
from label_studio_al.questions.choices import MultipleChoice, SingleChoice
from label_studio_al.questions.config import Control, LabelConfig, parse_config, read_controls
from label_studio_al.questions.votes import answers, label_counts, unread

__all__ = [
    "UNREAD",
    "Answer",
    "Control",
    "LabelConfig",
    "MultipleChoice",
    "Question",
    "Reading",
    "SingleChoice",
    "answers",
    "label_counts",
    "parse_config",
    "read_controls",
    "unread",
]
