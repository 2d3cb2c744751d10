"""label-studio-ml with our model, as a process: 1.0.9 in environments of its own, 2.x as a stand-in.

The environments are made once, outside of the repository, by the commands of docs/label-studio-ml.md.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import platformdirs
from filelock import FileLock

from label_studio_al.cli.host_dir import MODEL_DIRECTORY
from label_studio_al.cli.local import free_port
from tests.support.studio import until

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("label_studio_ml_2")
RELEASE_1 = "label-studio-ml==1.0.9"


def extra() -> list[str]:
    """What the extra `label-studio-ml` installs."""
    return _listed("label-studio-ml = [")


def dependencies() -> list[str]:
    """What this package needs."""
    return _listed("dependencies = [")


def beside_old_flask() -> Path:
    """The Python of an environment with all that 1.0.9 pins, Flask 1.1.2 above all."""
    wanted = [RELEASE_1, "rq==1.10.1", "-r", str(MODEL_DIRECTORY / "requirements.txt")]
    return _environment("old-flask", [wanted], (MODEL_DIRECTORY / "requirements.txt").read_text(encoding="utf-8"))


def beside_current_flask() -> Path:
    """The Python of an environment with a current Flask, and 1.0.9 without what it pins."""
    return _environment("current-flask", [[*dependencies(), *extra()], ["--no-deps", RELEASE_1]])


class OfficialHost:
    """A running server. python: of the environment; release: "1" or "2"."""

    def __init__(self, python: Path, release: str, folder: Path, **environment: str) -> None:
        self.release = release
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        ours = ("AL_", "LABEL_STUDIO_", "BASIC_AUTH_", "DATABASE_URL")
        paths = [str(ROOT / "backend")] if release == "1" else [str(STAND_IN), str(ROOT / "backend")]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            # `label-studio-ml start` runs whatever `python` is found first.
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(paths),
            "MODEL_DIR": str(folder),
            "AL_ENCODER": "none",
            "AL_BACKEND_URL": self.url,
            **environment,
        }
        # 2.x starts its directories in the same way, but the stand-in has no command.
        start = [str(python.parent / "label-studio-ml"), "start", str(MODEL_DIRECTORY)]
        wsgi = [str(python), str(MODEL_DIRECTORY / "_wsgi.py")]
        self.command = [*(start if release == "1" else wsgi), "--port", str(self.port)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> OfficialHost:
        """Start it and wait until it answers."""
        with (self.folder / "host.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "label-studio-ml answers", 60)
        return self

    def kill(self) -> None:
        """`kill -9` of the server, and of the command that started it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """What it answers."""
        return httpx.post(f"{self.url}/{path}", json=body, timeout=60)

    def log(self) -> str:
        """Everything it has written."""
        return (self.folder / "host.log").read_text(errors="replace")

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"it ended: {self.log()[-3000:]}")
        try:
            return httpx.get(f"{self.url}/health", timeout=1).is_success
        except httpx.HTTPError:
            return False


def _environment(name: str, installs: list[list[str]], also: str = "") -> Path:
    digest = hashlib.sha256(repr((installs, also)).encode()).hexdigest()[:8]
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    folder = platformdirs.user_cache_path("label-studio-active-learning") / f"label-studio-ml-{name}-{python}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    marker, uv = folder / "is-whole", str(Path(sys.executable).with_name("uv"))
    with FileLock(f"{folder}.lock"):
        if not marker.exists():
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            for wanted in installs:
                at = ["--python", str(folder / "bin" / "python")]
                subprocess.run([uv, "pip", "install", "--quiet", *at, *wanted], check=True)
            marker.touch()
    return folder / "bin" / "python"


def _listed(opening: str) -> list[str]:
    # Python 3.10 cannot read TOML.
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'^    "(.*)",$', text[text.index(f"\n{opening}") :].partition("\n]")[0], re.MULTILINE)
