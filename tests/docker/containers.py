"""Runs a service of a Compose file in an image's root: no rights, and nothing to write to but its volumes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.docker.image import Image

HOSTS = "/etc/hosts"
DEVICES = ("null", "zero", "random", "urandom")


@dataclass
class Volumes:
    """Named volumes as folders: a new one takes over the image's owner and mode of the place where it is mounted."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def find(self, name: str, image: Image, target: str) -> Path:
        """The volume's folder."""
        if name not in self.made:
            place = self.folder / name
            place.mkdir(parents=True)
            like = (image.root / target.lstrip("/")).stat()
            os.chown(place, like.st_uid, like.st_gid)
            place.chmod(like.st_mode & 0o7777)
            self.made[name] = place
        return self.made[name]


def start(
    image: Image, service: dict[str, Any], volumes: Volumes, log: Path, command: Sequence[str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the service's container; its process is number 1 of a process namespace of its own.

    command: instead of the entry point and the service's own.
    """
    if not service["read_only"] or service["cap_drop"] != ["ALL"]:
        raise ValueError("the service may do more than it needs")
    if command is None:
        command = [*image.entrypoint, *service.get("command", image.command)]
    environment = {"HOME": image.workdir} | image.environment | service.get("environment", {})
    user, _, group = image.user.partition(":")
    script = [
        *_mounts(image, service, volumes),
        shlex.join(
            [
                *["exec", "chroot", str(image.root)],
                *["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"],
                *["--bounding-set=-all", "--inh-caps=-all"],
                *["env", "--ignore-environment", f"--chdir={image.workdir}"],
                *[f"{name}={value}" for name, value in environment.items()],
                *command,
            ]
        ),
    ]
    with log.open("ab") as output:
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", "\n".join(script)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _mounts(image: Image, service: dict[str, Any], volumes: Volumes) -> list[str]:
    """Commands that mount what the service asks for, and then make the root read-only."""
    root = image.root
    (root / HOSTS.lstrip("/")).touch()
    lines = [
        shlex.join(["mount", "--bind", str(root), str(root)]),
        shlex.join(["mount", "-t", "proc", "proc", f"{root}/proc"]),
        shlex.join(["mount", "--bind", HOSTS, f"{root}{HOSTS}"]),
        shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "dev", f"{root}/dev"]),
        shlex.join(["mkdir", "-m", "1777", f"{root}/dev/shm"]),
    ]
    for name in DEVICES:
        place = f"{root}/dev/{name}"
        lines += [shlex.join(["touch", place]), shlex.join(["mount", "--bind", f"/dev/{name}", place])]
    for mount in service.get("tmpfs", []):
        target, _, options = mount.partition(":")
        lines.append(shlex.join(["mount", "-t", "tmpfs", "-o", options, "tmpfs", f"{root}{target}"]))
    for mount in service.get("volumes", []):
        name, _, rest = mount.partition(":")
        target, _, mode = rest.partition(":")
        if not target:
            # A volume without a name.
            name, target = f"anonymous-{len(volumes.made)}", name
        place = f"{root}{target}"
        lines.append(shlex.join(["mount", "--bind", str(volumes.find(name, image, target)), place]))
        if mode == "ro":
            lines.append(shlex.join(["mount", "-o", "remount,bind,ro", place]))
    return [*lines, shlex.join(["mount", "-o", "remount,bind,ro", str(root)])]


def first_process(container: subprocess.Popen[bytes]) -> int:
    """The number, outside of it, of a container's process 1."""
    return children(container.pid)[0]


def children(process_id: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def run(
    image: Image, service: dict[str, Any], volumes: Volumes, log: Path, command: Sequence[str] | None = None
) -> str:
    """Run the service's container to its end. Returns what it said; raises AssertionError if it failed."""
    log.unlink(missing_ok=True)
    code = start(image, service, volumes, log, command).wait(180)
    said = log.read_text(errors="replace")
    assert code == 0, f"{command or service.get('command')} ended with {code}: {said[-3000:]}"
    return said


def remove(folder: Path) -> None:
    """Remove roots and volumes; their mounts ended with their namespaces."""
    shutil.rmtree(folder, ignore_errors=True)
