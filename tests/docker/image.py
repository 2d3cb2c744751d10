"""Carries out a Dockerfile's instructions in directories, by chroot instead of containers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

# What a build machine brings along to reach package registries.
NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
NETWORK_VARIABLES = re.compile(r"(https?|no)_proxy|(PIP|UV)_(INDEX|CERT|DEFAULT_INDEX)\w*|SSL_CERT_FILE", re.IGNORECASE)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Image:
    """A root directory, and how its process is started."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """What a build's commands see."""
        return self.arguments | self.environment


def instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and arguments, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.strip().split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(keyword.upper(), arguments) for keyword, arguments in found]


def build(dockerfile: Path, base: Path, work: Path) -> Image:
    """The last stage. base: a root that stands for every FROM. work: empty folder for the stages' roots."""
    context = dockerfile.parent
    stages: dict[str, Image] = {}
    image = Image(work / "none")
    for keyword, arguments in instructions(dockerfile.read_text(encoding="utf-8")):
        print(f"  {keyword} {arguments[:100]}", flush=True)
        if keyword == "FROM":
            name = arguments.split()[-1]
            image = stages[name] = Image(work / f"stage-{len(stages)}", {"PATH": PATH})
            subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(image.root)], check=True)
        else:
            _carry_out(keyword, arguments, image, stages, context)
    return image


def _carry_out(keyword: str, arguments: str, image: Image, stages: dict[str, Image], context: Path) -> None:
    if keyword == "RUN":
        _run(arguments, image)
    elif keyword == "COPY":
        _copy(arguments.split(), image, stages, context)
    elif keyword == "ENV":
        for pair in shlex.split(arguments):
            name, _, value = pair.partition("=")
            image.environment[name] = re.sub(r"\$(\w+)", lambda one: image.variables[one[1]], value)
    elif keyword == "ARG":
        name, _, default = shlex.split(arguments)[0].partition("=")
        image.arguments[name] = default
    elif keyword == "WORKDIR":
        image.workdir = arguments
        (image.root / arguments.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif keyword == "USER":
        image.user = arguments
    elif keyword == "ENTRYPOINT":
        image.entrypoint = json.loads(arguments)
    elif keyword == "CMD":
        image.command = json.loads(arguments)
    elif keyword == "HEALTHCHECK":
        image.healthcheck = json.loads(arguments.partition("CMD ")[2])
    elif keyword not in ("LABEL", "EXPOSE"):
        raise ValueError(f"{keyword} is not carried out here")


def _run(command: str, image: Image) -> None:
    kept = {}
    for name in NETWORK_FILES:
        inside = image.root / name.lstrip("/")
        kept[inside] = inside.read_bytes() if inside.exists() else None
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.unlink(missing_ok=True)
        shutil.copy(name, inside)
    network = {name: value for name, value in os.environ.items() if NETWORK_VARIABLES.fullmatch(name)}
    script = f"cd {shlex.quote(image.workdir)} && {command}"
    # What is left running ends with the namespace of its process numbers.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={image.root}/proc"]
    try:
        subprocess.run(
            [*apart, "chroot", str(image.root), "/bin/sh", "-c", script],
            env=network | image.variables,
            check=True,
        )
    finally:
        for inside, content in kept.items():
            inside.unlink(missing_ok=True)
            if content is not None:
                inside.write_bytes(content)


def _copy(words: list[str], image: Image, stages: dict[str, Image], context: Path) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    place = image.root / Path(image.workdir, target).as_posix().lstrip("/")
    for source in sources:
        if options:
            (stage,) = (option.removeprefix("--from=") for option in options)
            origin = stages[stage].root / source.lstrip("/")
            shutil.copytree(origin, place, symlinks=True)
            continue
        found = context_files(context, source)
        if not found:
            raise ValueError(f"COPY {source}: .dockerignore leaves nothing of it")
        for path in found:
            # Of a folder its content is copied, of a file itself.
            below = Path(path).relative_to(source) if path != source else Path(Path(path).name)
            (place / below).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / path, place / below)


def context_files(context: Path, source: str) -> list[str]:
    """The source's files that .dockerignore lets into the build's context."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").split()
    # Unlike Git's, its patterns start at the top.
    patterns = ["!/" + line[1:] if line.startswith("!") else "/" + line for line in lines if not line.startswith("#")]
    ignored = pathspec.GitIgnoreSpec.from_lines(patterns)
    place = context / source
    paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    found = [path.relative_to(context).as_posix() for path in paths if path.is_file()]
    return [path for path in found if not ignored.match_file(path)]
