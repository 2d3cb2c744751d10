"""The run-time lock: all that is needed, without what the SDK declares and our calls never import."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.run_environment import ROOT, locked_names

SDK = "label-studio-sdk"
LEFT_OUT = {
    line for line in (ROOT / "requirements" / "without.txt").read_text().splitlines() if not line.startswith("#")
}


def needs(package: str) -> set[str]:
    """The names of what a package declares for this platform, without extras."""
    declared = (Requirement(line) for line in distribution(package).requires or ())
    return {canonicalize_name(one.name) for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})}


def installed() -> set[str]:
    found = set()
    for name in locked_names():
        try:
            distribution(name)
        except PackageNotFoundError:
            # For other platforms, or other Pythons.
            continue
        found.add(name)
    return found


def test_only_what_the_sdk_declares_is_left_out() -> None:
    assert needs(SDK) >= LEFT_OUT
    assert not LEFT_OUT & locked_names()


@pytest.mark.parametrize("package", [*sorted(installed()), "label-studio-active-learning"])
def test_every_other_requirement_is_locked(package: str) -> None:
    left_out = LEFT_OUT if package == SDK else set()
    assert needs(package) - left_out <= locked_names()


def test_the_lock_of_the_extra_fits_the_others() -> None:
    """Installed after run.txt, it changes nothing there."""
    pinned, run = (_pins(ROOT / "requirements" / name) for name in ("fastembed.txt", "run.txt"))
    [declared] = re.findall(r"^fastembed = \[(.+)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    extra = {canonicalize_name(Requirement(one.strip('" ')).name) for one in declared.split(",")}
    assert extra <= set(pinned)
    assert {name: pinned[name] for name in pinned.keys() & run.keys()} == {
        name: run[name] for name in pinned.keys() & run.keys()
    }


def _pins(lock: Path) -> dict[str, set[str]]:
    """Which releases of each package a lock has."""
    found: dict[str, set[str]] = {}
    for name, release in re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(release)
    return found


def test_the_metadata_declare_the_sdk() -> None:
    assert SDK in needs("label-studio-active-learning")


def test_the_client_loads_nothing_of_what_is_left_out() -> None:
    code = (
        "import sys; from label_studio_al.studio.api import Api; from label_studio_al.studio.client import Studio;"
        "Studio(Api('http://127.0.0.1:1', 'a' * 40)).projects._api._tokens.get_headers();"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {re.sub("_", "-", name) for name in done.stdout.split()}
    assert SDK in loaded
    assert not loaded & (LEFT_OUT | {"cv2", "faker", "black", "requests", "numpy", "scipy", "sklearn"})
