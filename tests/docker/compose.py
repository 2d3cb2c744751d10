"""Reads Compose files as Docker Compose does: merged, `extends` followed, variables at their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SINGLE = (ROOT / "docker-compose.yml",)
CLUSTER = (*SINGLE, ROOT / "docker-compose.cluster.yml")
OURS = ("secrets", "backend", "connect", "worker")
# Lists that a later file replaces; all others grow.
REPLACED = ("command", "entrypoint", "test")


@dataclass(frozen=True)
class Replacement:
    """A value after `!override`."""

    value: Any


class _Loader(yaml.SafeLoader):
    pass


def _override(loader: _Loader, node: yaml.Node) -> Replacement:
    construct = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return Replacement(construct(node, deep=True))  # type: ignore[arg-type]


_Loader.add_constructor("!override", _override)


def read(files: tuple[Path, ...], environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The files merged, as plain values. environment: what the caller's shell has."""
    merged: dict[str, Any] = {}
    for file in files:
        content = yaml.load(_interpolate(file.read_text(encoding="utf-8"), environment), _Loader)
        for service in content["services"].values():
            origin = service.pop("extends", None)
            if origin:
                base = read((file.parent / origin["file"],), environment)["services"][origin["service"]]
                service.update(_merge(base, dict(service)))
        merged = _merge(merged, content)
    return merged


def _interpolate(text: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda one: environment.get(one[1]) or one[2], text)


def _merge(base: Any, later: Any, name: str = "") -> Any:
    if isinstance(later, Replacement):
        return later.value
    if isinstance(later, dict):
        old = base if isinstance(base, dict) else {}
        return {**old, **{key: _merge(old.get(key), value, key) for key, value in later.items()}}
    if isinstance(later, list) and isinstance(base, list) and name not in REPLACED:
        return base + [item for item in later if item not in base]
    return later


def services(files: tuple[Path, ...], **environment: str) -> dict[str, Any]:
    """The services of the files, by name. environment: what the operator has chosen."""
    found: dict[str, Any] = read(files, environment)["services"]
    return found


def ours(files: tuple[Path, ...]) -> dict[str, Any]:
    """Those of them that run this project's image."""
    return {name: service for name, service in services(files).items() if name in OURS}
