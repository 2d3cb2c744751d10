"""What containers may do and see, as the Compose files say it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from label_studio_al.cli import main
from label_studio_al.runtime.settings import Settings
from tests.docker.compose import CLUSTER, ROOT, SINGLE, ours, services
from tests.docker.image import instructions

DOCKERFILE = ROOT / "Dockerfile"

every_file = pytest.mark.parametrize("files", [SINGLE, CLUSTER], ids=["single", "cluster"])


@every_file
def test_our_containers_may_do_no_more_than_they_need(files: tuple[Path, ...]) -> None:
    for name, service in ours(files).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"], name


@every_file
def test_every_container_has_limits(files: tuple[Path, ...]) -> None:
    for name, service in services(files).items():
        assert service["pids_limit"] <= 512, name
        assert re.fullmatch(r"[1-4]g", service["mem_limit"]), name
    assert {service["mem_limit"] for service in services(files, BACKEND_MEMORY="8g").values()} >= {"8g"}


@every_file
def test_temporary_files_have_no_more_room_than_they_need(files: tuple[Path, ...]) -> None:
    two_bodies = 2 * Settings().max_body_bytes // 1024**2
    for name, service in ours(files).items():
        (mount,) = (mount for mount in service["tmpfs"] if mount.startswith("/tmp:"))
        megabytes = int(re.search(r"size=(\d+)m", mount)[1])
        assert megabytes == (two_bodies if name == "backend" else 16), name


@pytest.mark.parametrize(
    ("name", "variable", "file", "others"),
    [
        ("postgres", "POSTGRES_PASSWORD_FILE", "POSTGRES_PASSWORD", {"postgres": "/var/lib/postgresql"}),
        ("label-studio", "ENV_INJECT_SOURCES", "label-studio.env", {"label-studio": "/label-studio/data"}),
    ],
)
def test_neighbours_see_no_secret_but_their_own(
    tmp_path: Path, name: str, variable: str, file: str, others: dict[str, str]
) -> None:
    found = services(CLUSTER)
    seen = {mount.split(":")[0]: mount.split(":")[1] for mount in found[name]["volumes"]}
    (volume,) = set(seen) - set(others)
    folder = seen.pop(volume)
    assert seen == others
    assert found[name]["environment"][variable] == f"{folder}/{file}"
    # The command writes into that volume, and nothing else into it.
    written = {mount.split(":")[1]: tmp_path / mount.split(":")[0] for mount in found["secrets"]["volumes"]}
    command = [str(written.get(word, word)) for word in found["secrets"]["command"]]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert [path.name for path in (tmp_path / volume).iterdir()] == [file]
    assert file not in [path.name for path in (tmp_path / "secrets").iterdir()]
    mounted = [one for one, service in found.items() if volume in json.dumps(service.get("volumes", []))]
    assert sorted(mounted) == sorted([name, "secrets"])
    # A new volume takes over the owner of the image's folder.
    steps = [arguments for keyword, arguments in instructions(DOCKERFILE.read_text()) if keyword == "RUN"]
    assert any("--owner 10001 --group 0 --mode 0750" in step and f" {folder}" in step for step in steps)


def test_images_can_be_pinned_by_digest() -> None:
    pins = {"LABEL_STUDIO_IMAGE": "heartexlabs/label-studio@sha256:1", "POSTGRES_IMAGE": "postgres@sha256:2"}
    found = services(CLUSTER, **pins)
    assert {found["label-studio"]["image"], found["postgres"]["image"]} == set(pins.values())


@every_file
def test_ports_are_for_this_machine_only(files: tuple[Path, ...]) -> None:
    for name, service in services(files).items():
        for port in service.get("ports", []):
            host = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
            assert host == "127.0.0.1", f"{name} publishes {port}"


@every_file
def test_no_secret_stands_in_the_files(files: tuple[Path, ...]) -> None:
    for name, service in services(files).items():
        for variable, value in service["environment"].items():
            is_file = variable.endswith("_FILE") or variable in ("PGPASSFILE", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN")
            is_secret = re.search(r"PASS|TOKEN|SECRET|KEY", variable) and not is_file
            assert not is_secret or value in ("", "/secrets"), f"{name}: {variable}"
