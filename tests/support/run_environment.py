"""An environment with what requirements/run.txt names and nothing else, as the image and `make serve` have it."""

from __future__ import annotations

import re
import shutil
import sysconfig
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "run.txt"


def locked_names(lock: Path = LOCK) -> set[str]:
    """The names of a lock's packages, normalised; also of those that other platforms need."""
    return {_normalised(name) for name in re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)}


def make_run_environment(folder: Path, *, as_copy: bool = False) -> Path:
    """Make it from the packages that are installed here. Returns its Python; the backend is this working copy.

    as_copy: copy the packages (400 MB) instead of linking to them: then no other process shares pages of their files.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    python = folder / "bin" / "python"
    target = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    wanted = locked_names()
    for package in distributions(path=[sysconfig.get_path("purelib")]):
        if _normalised(package.metadata["Name"]) in wanted:
            _add(package, target, as_copy=as_copy)
    (target / "working-copy.pth").write_text(f"{ROOT / 'backend'}\n", encoding="utf-8")
    return python


def _add(package: Distribution, target: Path, *, as_copy: bool) -> None:
    origin = Path(sysconfig.get_path("purelib"))
    tops = {file.parts[0] for file in package.files or ()}
    for top in tops - {"..", "__pycache__"}:
        if (target / top).exists():
            continue
        if not as_copy:
            (target / top).symlink_to(origin / top)
        elif (origin / top).is_dir():
            shutil.copytree(origin / top, target / top)
        else:
            shutil.copyfile(origin / top, target / top)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
