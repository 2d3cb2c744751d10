"""Encoders: pretrained models that turn texts or images into embeddings, loaded by name, once per process."""

from __future__ import annotations

from label_studio_al.learners.encoders.base import TEXTS_AT_ONCE, ImageEncoder, TextEncoder
from label_studio_al.learners.encoders.choosing import (
    RECOMMENDED,
    Choice,
    choose_encoders,
    find_encoder,
    slow_encoder,
)
from label_studio_al.learners.encoders.loading import (
    AUTO,
    NONE,
    load_encoder,
    load_image_encoder,
)
from label_studio_al.learners.encoders.static import WORDLLAMA, ModelEncoder, WordLlamaEncoder

__all__ = [
    "AUTO",
    "NONE",
    "RECOMMENDED",
    "TEXTS_AT_ONCE",
    "WORDLLAMA",
    "Choice",
    "ImageEncoder",
    "ModelEncoder",
    "TextEncoder",
    "WordLlamaEncoder",
    "choose_encoders",
    "find_encoder",
    "load_encoder",
    "load_image_encoder",
    "slow_encoder",
]
