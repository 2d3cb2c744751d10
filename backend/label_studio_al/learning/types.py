"""Array types."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

# Shapes, units and ranges stand in the docstrings: type checkers cannot hold them.
Array: TypeAlias = NDArray[Any]
