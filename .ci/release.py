"""Builds wheel and sdist, and tries the wheel out in an empty environment, with no file of the checkout in reach.

    make release-check

The demo is started from the wheel, as somebody does who has installed it: it must connect a project to a real Label
Studio, and a model of the first labels must fill in the next task's label.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from label_studio_al import __version__  # noqa: E402
from label_studio_al.cli.local import free_port  # noqa: E402
from label_studio_al.examples import example_tasks  # noqa: E402
from tests.support.studio import Annotator, until  # noqa: E402

NAME = "label_studio_active_learning"
GOLD = {task["text"]: task["gold"] for task in example_tasks()}
N_LABELS = 8
READY_SECONDS = 300.0


def main() -> None:
    """Raises AssertionError or CalledProcessError with what is wrong."""
    _check_changes()
    with tempfile.TemporaryDirectory(prefix="release-check-") as folder:
        wheel = _build(Path(folder, "dist"))
        python = _install(wheel, Path(folder, "environment"))
        _try(python, Path(folder))
    print(f"release-check: {__version__} is well")


def _check_changes() -> None:
    """A version that has its tag needs a section of its own; until then its changes may stand under Unreleased."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## \[?([^\s\]]+)[^\n]*\n(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL))
    is_tagged = bool(_git("tag", "--list", f"v{__version__}"))
    names = [__version__] if is_tagged else [__version__, "Unreleased"]
    assert any(sections.get(name, "").strip() for name in names), (
        f"CHANGELOG.md says nothing under {' or '.join(names)}"
    )


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(
        [shutil.which("git") or "git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _build(folder: Path) -> Path:
    """The wheel; that it and the sdist hold every file of the package, and metadata that an index accepts."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    wheel = folder / f"{NAME}-{__version__}-py3-none-any.whl"
    sources = set(_git("ls-files", "backend"))
    wanted = {name.removeprefix("backend/") for name in sources}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        text = archive.read(f"{NAME}-{__version__}.dist-info/METADATA")
    assert wanted <= held, f"the wheel lacks {sorted(wanted - held)}"
    foreign = {name for name in held - wanted if not name.startswith(f"{NAME}-{__version__}.dist-info/")}
    assert not foreign, f"the wheel also holds {sorted(foreign)}"
    metadata = Metadata.from_email(text, validate=True)
    assert str(metadata.version) == __version__
    assert metadata.description, "the wheel has no description"
    with tarfile.open(folder / f"{NAME}-{__version__}.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert sources <= held, f"the sdist lacks {sorted(sources - held)}"
    print(f"built: {wheel.name}, {len(wanted)} files")
    return wheel


def _install(wheel: Path, environment: Path) -> Path:
    """The Python of a new environment that holds the wheel and what its metadata ask for, in the pinned releases."""
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*uv, "--constraint", str(ROOT / "requirements" / "run.txt"), str(wheel)], check=True)
    return python


def _try(python: Path, folder: Path) -> None:
    """Start the demo from the wheel, and label."""
    passed_on = ("PATH", "LANG", "TMPDIR", "HOME", "AL_LABEL_STUDIO_ENV", "SSL_CERT_FILE", "PIP_CERT")
    environment = {name: os.environ[name] for name in passed_on if name in os.environ}
    where = [str(python), "-c", "import label_studio_al; print(label_studio_al.__file__)"]
    file = subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert file.startswith(str(folder)), f"the package came from {file}"
    port, studio_port = free_port(), free_port()
    command = [str(python.with_name("label-studio-al")), "demo", "--data-dir", str(folder / "data")]
    ports = ["--port", str(port), "--label-studio-port", str(studio_port)]
    log = folder / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen([*command, *ports], cwd=folder, env=environment, stdout=output, stderr=output)
    try:

        def is_ready() -> bool:
            assert demo.poll() is None, f"the demo ended: {log.read_text()}"
            return "Ready to label." in log.read_text()

        until(is_ready, "the demo is ready to label", READY_SECONDS)
        _label(f"http://127.0.0.1:{studio_port}", (folder / "data" / "login.json").read_text())
    except BaseException:
        print(log.read_text(), file=sys.stderr)
        raise
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
    assert demo.returncode == 0, f"Ctrl-C: the demo ended with {demo.returncode}"


def _label(url: str, login: str) -> None:
    (token,) = re.findall(r'"token": "(\w+)"', login)
    annotator = Annotator(url, token=token)
    (project,) = annotator.call("GET", "/api/projects/")["results"]
    for _ in range(N_LABELS):
        task = annotator.next(project["id"])
        annotator.submit(task.task_id, GOLD[task.text])
    label = until(lambda: annotator.next(project["id"]).label, "the next task has a label filled in")
    print(f"{N_LABELS} labels: the next task has {label!r} filled in")


if __name__ == "__main__":
    main()
