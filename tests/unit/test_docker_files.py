"""Dockerfile and Compose files: valid, and in step with the settings. `make docker-check` runs what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compose_spec import PyCompose

from label_studio_al.cli import main
from label_studio_al.cli.local import FAST_IMPORT
from label_studio_al.cli.secrets import POSTGRES_USER
from label_studio_al.runtime.settings import Settings
from label_studio_al.studio.about import LABEL_STUDIO_VERSION
from tests.docker.compose import CLUSTER, OURS, ROOT, SINGLE, ours, read, services
from tests.docker.image import context_files, instructions

DOCKERFILE = ROOT / "Dockerfile"
ENV_NAMES = {str(field.validation_alias) for field in Settings.model_fields.values()}

every_file = pytest.mark.parametrize("files", [SINGLE, CLUSTER], ids=["single", "cluster"])


def test_dockerfile_passes_hadolint() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_last_stage_is_not_root_and_copies_no_build_tools() -> None:
    steps = instructions(DOCKERFILE.read_text())
    last = steps[max(number for number, (keyword, _) in enumerate(steps) if keyword == "FROM") :]
    assert [arguments for keyword, arguments in last if keyword == "USER"] == ["10001:0"]
    assert [arguments for keyword, arguments in last if keyword == "COPY"] == ["--from=build /opt/backend /opt/backend"]
    assert {"HEALTHCHECK", "ENTRYPOINT"} <= {keyword for keyword, _ in last}


def test_image_has_what_the_lock_has_and_resolves_nothing() -> None:
    """What requirements/without.txt leaves out is declared by others, and has no hash."""
    runs = " ".join(arguments for keyword, arguments in instructions(DOCKERFILE.read_text()) if keyword == "RUN")
    (lock,) = (step for step in re.split("&&", runs) if "requirements/run.txt" in step)
    (wheel,) = (step for step in re.split("&&", runs) if "/opt/dist/*.whl" in step)
    assert " pip sync " in lock
    assert "--require-hashes" in lock
    assert " --no-deps " in wheel


def test_image_sets_only_settings_that_exist() -> None:
    text = DOCKERFILE.read_text()
    assert "MODEL_DIR=/data" in text
    assert "PORT=9090" in text
    assert {"MODEL_DIR", "PORT"} <= ENV_NAMES


def test_a_model_becomes_a_part_of_the_image_where_it_is_asked_for() -> None:
    steps = instructions(DOCKERFILE.read_text())
    # An argument ends with its stage.
    assert [arguments for keyword, arguments in steps if keyword == "ARG"] == ['ENCODER=""'] * 2
    (step,) = (arguments for keyword, arguments in steps if keyword == "RUN" and "ENCODER" in arguments)
    asked, installed = re.split("then", step)
    assert asked.strip() == 'if [ -n "$ENCODER" ];'
    assert re.search(r"--require-hashes .*-r requirements/fastembed.txt", installed)
    (folder,) = re.findall(r"AL_MODELS=(\S+) ", installed)
    (environment,) = (arguments for keyword, arguments in steps if keyword == "ENV" and "MODEL_DIR" in arguments)
    assert f"AL_MODELS={folder}" in environment.split()
    assert "AL_ENCODER=$ENCODER" in environment.split()
    assert {"AL_MODELS", "AL_ENCODER"} <= ENV_NAMES
    for files in (SINGLE, CLUSTER):
        for chosen in ("", "fastembed:some/model"):
            found = services(files, ENCODER=chosen)
            assert all(found[name]["build"]["args"]["ENCODER"] == chosen for name in found if "build" in found[name])


def test_build_context_is_what_the_dockerfile_copies() -> None:
    copied = [
        source
        for keyword, arguments in instructions(DOCKERFILE.read_text())
        if keyword == "COPY" and not arguments.startswith("--")
        for source in arguments.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert context_files(ROOT, source), f".dockerignore leaves nothing of {source}"
    for other in ("tests", "docs", "CHANGELOG.md", "docker-compose.yml", ".git"):
        assert context_files(ROOT, other) == []
    assert "backend/label_studio_al/cli/label-studio-constraints.txt" in context_files(ROOT, "backend")


@every_file
def test_compose_files_follow_the_specification(files: tuple[Path, ...]) -> None:
    parsed = PyCompose.from_json(json.dumps(read(files)))
    assert set(OURS) - {"worker"} <= set(parsed.service_names())


@every_file
def test_variables_of_our_containers_are_settings(files: tuple[Path, ...]) -> None:
    for name, service in ours(files).items():
        assert set(service["environment"]) <= ENV_NAMES | {"LABEL_STUDIO_PASSWORD", "PGPASSFILE"}, name


@every_file
def test_commands_exist(files: tuple[Path, ...]) -> None:
    for service in ours(files).values():
        command, *arguments = service.get("command", ["serve"])
        known = main.get_command(main.make_context("label-studio-al", ["--"], resilient_parsing=True), command)
        assert known is not None
        known.make_context(command, list(arguments))


@every_file
def test_volumes_and_conditions_name_what_there_is(files: tuple[Path, ...]) -> None:
    merged = read(files)
    for name, service in merged["services"].items():
        for mount in service.get("volumes", []):
            volume = mount.split(":")[0]
            assert volume.startswith("/") or volume in merged["volumes"], f"{name}: {mount}"
        for other, how in service.get("depends_on", {}).items():
            assert other in merged["services"], f"{name} waits for {other}"
            waited = merged["services"][other]
            if how["condition"] == "service_healthy":
                assert not waited.get("healthcheck", {}).get("disable"), f"{name} waits for {other}, which has no check"


@every_file
def test_addresses_are_those_of_the_services(files: tuple[Path, ...]) -> None:
    found = services(files)
    settings = found["backend"]["environment"]
    assert settings["LABEL_STUDIO_URL"] == "http://label-studio:8080"
    assert found["label-studio"]["ports"] == ["127.0.0.1:8080:8080"]
    assert settings["AL_BACKEND_URL"] == "http://backend.internal:9090"
    assert found["backend"]["networks"]["default"]["aliases"] == ["backend.internal"]
    assert "9090" in json.dumps(found["backend"]["ports"])


def test_label_studio_is_the_tested_one_with_the_settings_it_needs() -> None:
    service = services(SINGLE)["label-studio"]
    assert service["image"] == f"heartexlabs/label-studio:{LABEL_STUDIO_VERSION}"
    needed = FAST_IMPORT | {
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16,0.0.0.0/8",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }
    assert needed.items() <= service["environment"].items()


def test_ports_password_and_login_can_be_chosen() -> None:
    found = services(SINGLE, LABEL_STUDIO_PORT="8888", BACKEND_PORT="9999", LABEL_STUDIO_PASSWORD="mine")
    assert found["label-studio"]["ports"] == ["127.0.0.1:8888:8080"]
    assert found["backend"]["ports"] == ["127.0.0.1:9999:9090"]
    assert found["secrets"]["environment"] == {"LABEL_STUDIO_PASSWORD": "mine"}  # pragma: allowlist secret


def test_cluster_has_two_webs_and_two_workers_on_postgresql() -> None:
    found = services(CLUSTER)
    assert found["backend"]["command"] == ["serve", "--no-worker", "--host", "0.0.0.0"]
    assert found["worker"]["command"] == ["worker"]
    assert found["worker"]["ports"] == []
    for name in ("backend", "worker"):
        assert found[name]["deploy"]["replicas"] == 2
        assert (
            found[name]["environment"]["DATABASE_URL"]
            == f"postgresql+psycopg://{POSTGRES_USER}@postgres/{POSTGRES_USER}"
        )
        # Two processes that sign with keys of their own would refuse each other's models.
        assert found[name]["environment"]["AL_SECRETS_DIR"] == "/secrets"
    assert found["postgres"]["environment"]["POSTGRES_USER"] == POSTGRES_USER
