"""Made sentences in which people, places and numbers of orders are marked, in several alphabets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

# Where each begins and ends in code points, and its label.
Spans: TypeAlias = "Sequence[tuple[int, int, str]]"

CONFIG = """<View>
  <Labels name="entity" toName="text">
    <Label value="Person"/><Label value="Place"/><Label value="Order" alias="ORD"/>
  </Labels>
  <Text name="text" value="$text"/>
</View>"""
PEOPLE = ["Anna Berg", "Tom", "Mira Okafor", "José", "Lena Fischer", "Ravi", "Зоя Белова", "李娜", "Nurit", "Sam 👩‍🚀"]
PLACES = ["Bergen", "Lagos", "New Delhi", "Oslo", "Zürich", "Москва", "北京", "São Paulo", "Kyoto", "Quito"]
PATTERNS = [
    "Please send {Order} to {Person} in {Place}.",
    "{Person} asked about {Order} again.",
    "Nothing has arrived in {Place} since Monday.",
    "Thank you 😀 for the quick answer!",
    "Yesterday {Person} moved from {Place} to {Place}.",
    "The parcel {Order} is still missing, wrote {Person}.",
]


def sentence(random: np.random.Generator) -> tuple[str, list[tuple[int, int, str]]]:
    """A sentence, and its spans in code points."""
    text, spans = "", []
    pattern = PATTERNS[random.integers(len(PATTERNS))]
    for piece in pattern.replace("}", "{").split("{"):
        if piece in ("Person", "Place", "Order"):
            number = f"{'AB'[random.integers(2)]}-{random.integers(1000, 9999)}"
            names = {"Person": PEOPLE, "Place": PLACES, "Order": [number]}[piece]
            name = names[random.integers(len(names))]
            spans.append((len(text), len(text) + len(name), "ORD" if piece == "Order" else piece))
            text += name
        else:
            text += piece
    return text, spans


def sentences(n: int = 120, seed: int = 0) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """So many of them."""
    random = np.random.default_rng(seed)
    return [sentence(random) for _ in range(n)]


def items(text: str, spans: Spans, name: str = "entity") -> list[dict[str, Any]]:
    """As Label Studio writes them."""
    return [
        {
            "id": f"{start}-{end}",
            "from_name": name,
            "to_name": "text",
            "type": "labels",
            "origin": "manual",
            "value": {"start": start, "end": end, "text": text[start:end], "labels": [label]},
        }
        for start, end, label in spans
    ]
