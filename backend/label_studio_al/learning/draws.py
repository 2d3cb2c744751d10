"""Random draws of tasks that depend on the tasks themselves, never on their places in an array.

Every draw has a purpose. For each purpose and seed, every possible task has its own random number. So there is one
random order of all tasks: tasks that leave or join do not affect the others, and neither does the order of a file or an
import. Draws for different purposes are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from label_studio_al.learning.rows import blocks
from label_studio_al.learning.types import Array

# Purposes that are named in more than one place: the strategy `random`, and tasks that tell how good a model is.
RANDOM = "random"
AUDIT = "audit"

# As many numbers as the processor's cache holds while they are mixed.
_AT_ONCE = 1 << 14
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_BITS = 53


def hashes(keys: Array, seed: int, *purpose: str | int) -> Array:
    """A random number of 64 bits for each key; distinct keys get distinct numbers.

    keys: shape (n_tasks,), whole numbers that tell the tasks apart. purpose: what is drawn, and which time if it is
    drawn more than once. Returns shape (n_tasks,), uint64. Two rounds of the finaliser of SplitMix64, a bijection, each
    with a salt that is hashed from seed and purpose. Source: Steele, Lea and Flood 2014; the multipliers are Stafford's
    variant 13.
    """
    digest = blake2b(repr((int(seed), *purpose)).encode(), digest_size=16).digest()
    salts = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    mixed: Array = np.asarray(keys).astype(np.uint64)
    scratch = np.empty(min(len(mixed), _AT_ONCE), dtype=np.uint64)
    for block in blocks(len(mixed), _AT_ONCE):
        part = mixed[block]
        part *= _GOLDEN
        for salt in salts:
            part ^= salt
            _finalise(part, scratch[: len(part)])
    return mixed


def uniforms(keys: Array, seed: int, *purpose: str | int) -> Array:
    """A draw from [0, 1) for each key, as `hashes`. Returns shape (n_tasks,), float64."""
    return (hashes(keys, seed, *purpose) >> np.uint64(64 - _BITS)) * 2.0**-_BITS


def shuffled(keys: Array, seed: int, *purpose: str | int) -> Array:
    """Indices of all tasks in their random order, which is the same whatever the order of the keys."""
    return np.argsort(hashes(keys, seed, *purpose), kind="stable")


def first(keys: Array, n: int, seed: int, *purpose: str | int) -> Array:
    """The first n of `shuffled`, or all where there are fewer, without putting the others in order."""
    order = hashes(keys, seed, *purpose)
    if not 0 < n < len(order):
        return np.argsort(order, kind="stable")[:n]
    some = np.flatnonzero(order <= np.partition(order, n - 1)[n - 1])
    return np.asarray(some[np.argsort(order[some], kind="stable")][:n])


def text_hashes(texts: Sequence[str]) -> Array:
    """A number for each text, the same for the same text everywhere. Returns shape (n_texts,), uint64.

    Two different texts among a million share a number with a probability of 3 in 100 million.
    """
    digests = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def text_keys(contents: Array) -> Array:
    """Keys of tasks that are known by their texts only: copies of a text are tasks of their own, told apart by count.

    contents: shape (n_tasks,), see `text_hashes`. Returns shape (n_tasks,), uint64.
    """
    order = np.argsort(contents, kind="stable")
    in_order = contents[order]
    occurrence = np.empty(len(contents), dtype=np.uint64)
    occurrence[order] = np.arange(len(contents)) - np.searchsorted(in_order, in_order)
    return np.asarray(contents + occurrence * _GOLDEN)


def _finalise(values: Array, scratch: Array) -> None:
    """Mix the bits in place."""
    for shift, multiplier in zip(_SHIFTS[:2], _MULTIPLIERS, strict=True):
        values ^= np.right_shift(values, shift, out=scratch)
        values *= multiplier
    values ^= np.right_shift(values, _SHIFTS[2], out=scratch)
