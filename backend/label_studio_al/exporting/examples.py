"""The example that lies beside an exported model."""

from __future__ import annotations

from pathlib import Path

from label_studio_al.exporting.forms import Form
from label_studio_al.exporting.pipeline import Sight

_LINES = "python predict.py < texts.txt        # one text a line\n"
_READS = 'texts = sys.argv[1:] or [line.rstrip("\\n") for line in sys.stdin]'
_READS_A_PAIR = "texts = [(sys.argv[1], sys.argv[2:])] if len(sys.argv) > 1 else []"


def example_of(form: Form, sees: Sight) -> str:
    """The source of `predict.py`."""
    source = Path(__file__).with_name(form.example).read_text(encoding="utf-8")
    if not sees.images:
        return source
    if sees.texts:
        pairs = source.replace(_READS, _READS_A_PAIR).replace(_LINES, "")
        return pairs.replace('"a text" "another text"', '"a text" photo.jpg        # a text and its images')
    return of_images(source.replace('"a text" "another text"', "photo.jpg another.jpg"))


def of_images(words: str) -> str:
    """The same words about images."""
    for text, image in (("a text", "an image"), ("A text", "An image"), ("texts", "images"), ("text", "image")):
        words = words.replace(text, image)
    return words
