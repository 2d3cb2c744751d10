"""Carries out the Dockerfile, then starts the Compose files' services with a real Label Studio, all without Docker.

    make docker-check        needs root and debootstrap; three to six minutes

A Debian with Python, made by debootstrap, stands for the base image, and chroot for containers: in network, process and
mount namespaces of their own, as the image's user, without any capability, with a read-only root. Host names and ports
are those of the Compose files. Of the cluster one web container is run. The images of Label Studio and PostgreSQL are
not run: their packages are, with the environment of the files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import platformdirs

from label_studio_al.cli.local import environment_path, install
from label_studio_al.examples import example_tasks
from tests.docker import compose, containers, database
from tests.docker.containers import Volumes
from tests.docker.image import Image, build
from tests.support.studio import Annotator, Truth, until, version_number

SUITE = "trixie"
LABEL_STUDIO = "http://label-studio:8080"
BACKEND = "http://backend.internal:9090"
GOLD = {task["text"]: task["gold"] for task in example_tasks()}
N_LABELS = 8
INSIDE = "--inside"


def main() -> None:
    """Build with the network, run without."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("docker-check needs root (for chroot) and debootstrap (apt install debootstrap)")
    if len(sys.argv) > 2 and sys.argv[1] == INSIDE:
        return _check(Path(sys.argv[2]))
    install(environment_path(), print)
    work = Path(tempfile.mkdtemp(prefix="docker-check-"))
    work.chmod(0o755)
    try:
        began = time.monotonic()
        image = build(compose.ROOT / "Dockerfile", _base(), work)
        size = subprocess.run(["du", "-sm", image.root / "opt"], capture_output=True, text=True, check=True).stdout
        print(f"The image's steps are done ({time.monotonic() - began:.0f} s): {size.split()[0]} MB beside the base")
        for program in ("gcc", "cc", "curl", "uv"):
            assert shutil.which(program, path=f"{image.root}/usr/bin:{image.root}/opt/backend/bin") is None, program
        (work / "image.json").write_text(json.dumps({**vars(image), "root": str(image.root)}))
        apart = ["unshare", "--mount", "--net", "--propagation", "private"]
        me = [sys.executable, "-m", "tests.docker", INSIDE, str(work)]
        subprocess.run([*apart, *me], check=True)
    finally:
        containers.remove(work)


def _base() -> Path:
    """A Debian with Python in place of the base image, made once."""
    base = platformdirs.user_cache_path("label-studio-active-learning") / f"docker-base-{SUITE}"
    if not base.exists():
        unfinished = base.with_name(f"{base.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", packages, SUITE, str(unfinished)], check=True)
        # Where the base image has it.
        (unfinished / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        unfinished.rename(base)
    return base


def _check(work: Path) -> None:
    values = json.loads((work / "image.json").read_text())
    image = Image(**{**values, "root": Path(values["root"])})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    names = work / "hosts"
    names.write_text("127.0.0.1 localhost label-studio backend.internal postgres\n")
    subprocess.run(["mount", "--bind", str(names), containers.HOSTS], check=True)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    _Check(image, work).run()
    print("docker-check: all is well")


class _Check:
    """`docker compose up`, labelling, `stop`, and `up` again; then the cluster's."""

    def __init__(self, image: Image, work: Path) -> None:
        self.image = image
        self.work = work
        self.volumes = Volumes(work / "volumes")
        self.services: dict[str, Any] = compose.read(compose.SINGLE)["services"]
        self.studio: subprocess.Popen[bytes] | None = None
        self.ours: dict[str, subprocess.Popen[bytes]] = {}
        self.postgres: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Raises AssertionError with the sentence of what is wrong."""
        try:
            began = time.monotonic()
            self.up()
            print(f"up: {time.monotonic() - began:.0f} s\n{self.connect()}")
            self.label()
            self.lose_a_process()
            self.look_at_files()
            self.stop()
            before = self.secret("AL_SIGNING_KEY"), self.secret("LABEL_STUDIO_PASSWORD")
            self.up()
            said = self.connect()
            assert "Making the project" not in said, f"the second start made another project: {said}"
            assert before == (self.secret("AL_SIGNING_KEY"), self.secret("LABEL_STUDIO_PASSWORD"))
            print("a second start: same secrets, same project")
            self.stop()
            self.services = compose.read(compose.CLUSTER)["services"]
            self.up(workers=self.services["worker"]["deploy"]["replicas"])
            self.connect()
            self.label()
            self.look_at_files()
            print("the cluster's services with PostgreSQL: connected, learnt")
            self.stop()
        except BaseException:
            for log in sorted(self.work.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
            raise
        finally:
            for process in (*self.ours.values(), self.studio, self.postgres):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()

    def up(self, workers: int = 0) -> None:
        """Start the services in the order of their conditions. workers: containers of the service `worker`."""
        self.one_shot("secrets")
        if "postgres" in self.services:
            self.postgres = database.start(
                self.services["postgres"], self.volumes.made["database-secrets"], self.work / "postgres"
            )
        self.studio = self.start_label_studio()
        self.start("backend", "backend")
        for number in range(workers):
            self.start("worker", f"worker-{number + 1}")
        until(self.backend_answers, "the backend answers", 90)
        until(lambda: self.answers(f"{LABEL_STUDIO}/health", self.studio), "Label Studio answers", 600)
        self.one_shot("backend", self.image.healthcheck)

    def start(self, service: str, name: str) -> None:
        """Start a container of ours."""
        self.ours[name] = containers.start(self.image, self.services[service], self.volumes, self.work / f"{name}.log")

    def connect(self) -> str:
        """What the service `connect` says, when all is well."""
        said = self.one_shot("connect")
        assert "Connected: the queue follows" in said, said
        return said

    def backend_answers(self) -> bool:
        """Whether the web server is up."""
        return self.answers(f"{BACKEND}/health", self.ours["backend"])

    def lose_a_process(self) -> None:
        """Kill both processes below process 1: they are started again, and reaped."""
        first = containers.first_process(self.ours["backend"])
        killed = containers.children(first)
        assert len(killed) == 2, killed
        for process_id in killed:
            os.kill(process_id, signal.SIGKILL)
        until(lambda: not set(killed) & set(containers.children(first)), "killed processes are reaped", 30)
        until(self.backend_answers, "the backend answers after its processes were killed", 90)
        until(lambda: len(containers.children(first)) == 2, "both processes run again", 30)
        print("both processes were killed: reaped, and started again")

    def one_shot(self, name: str, command: list[str] | None = None) -> str:
        """Run a service's container to its end."""
        return containers.run(self.image, self.services[name], self.volumes, self.work / f"{name}-once.log", command)

    def start_label_studio(self) -> subprocess.Popen[bytes]:
        """As its image's entry point does."""
        service = self.services["label-studio"]
        data = self.work / "label-studio"
        data.mkdir(exist_ok=True)
        folder = str(self.volumes.made["label-studio-secrets"])
        sources = service["environment"]["ENV_INJECT_SOURCES"].replace("/label-studio-secrets", folder)
        # What its image's user may read.
        as_its_user = ["setpriv", "--reuid=1001", "--regid=0", "--clear-groups", "--bounding-set=-all", "cat"]
        assert subprocess.run([*as_its_user, sources], capture_output=True, check=False).returncode == 0
        hidden = self.volumes.made["secrets"] / "AL_SIGNING_KEY"
        assert subprocess.run([*as_its_user, hidden], capture_output=True, check=False).returncode != 0
        environment = {
            "PATH": f"{environment_path()}/bin:/usr/bin:/bin",
            "HOME": str(data),
            "LABEL_STUDIO_BASE_DATA_DIR": str(data),
            **service["environment"],
        }
        with (self.work / "label-studio.log").open("ab") as log:
            return subprocess.Popen(
                ["bash", "-e", "-c", f"IFS=','; . {sources}; unset IFS; exec label-studio"],
                cwd=data,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self, url: str, process: subprocess.Popen[bytes] | None) -> bool:
        """Whether it is up."""
        assert process is not None
        assert process.poll() is None, f"{url}: its process ended with {process.returncode}"
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.HTTPError:
            return False

    def secret(self, name: str) -> str:
        """What the first start made."""
        return (self.volumes.made["secrets"] / name).read_text().strip()

    def label(self) -> None:
        """Label until a model of the labels fills in the next task."""
        admin = Annotator(LABEL_STUDIO, token=self.secret("LABEL_STUDIO_API_KEY"))
        (project,) = admin.call("GET", "/api/projects/")["results"]
        for _ in range(N_LABELS):
            task = admin.next(project["id"])
            assert version_number(task.version) > 0, f"the queue is not ours: {task}"
            admin.submit(task.task_id, GOLD[task.text])
        filled: Callable[[], Any] = lambda: admin.next(project["id"]).label  # noqa: E731
        label = until(filled, f"the next task comes with a label filled in: {self.state()}", 60)
        versions = Truth(self.work / "label-studio").predictions(project["id"])
        print(f"{N_LABELS} labels: the next task has {label!r} filled in; versions {versions}")
        (hook,) = admin.call("GET", f"/api/webhooks/?project={project['id']}")
        assert hook["headers"], "the webhook carries no secret"
        assert httpx.get(f"{BACKEND}/status").status_code == 401, "everybody may read /status"

    def state(self) -> Any:
        """What /status says."""
        user = self.services["backend"]["environment"]["BASIC_AUTH_USER"]
        return httpx.get(f"{BACKEND}/status", auth=(user, self.secret("BASIC_AUTH_PASS"))).json()

    def look_at_files(self) -> None:
        """Nothing secret in the logs, nothing that others may read."""
        for name in self.ours:
            log = (self.work / f"{name}.log").read_text(errors="replace")
            for path in self.volumes.made["secrets"].iterdir():
                assert path.read_text().strip() not in log, f"{path.name} stands in the log of {name}"
        loose = [path for path in self.volumes.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o007]
        assert not loose, f"others may read {loose}"

    def stop(self) -> None:
        """`docker compose stop`: SIGTERM to process 1, which must end in time, and leave nobody behind."""
        began = time.monotonic()
        for container in self.ours.values():
            os.kill(containers.first_process(container), signal.SIGTERM)
        for name, container in self.ours.items():
            code = container.wait(int(self.services["backend"]["stop_grace_period"].removesuffix("s")))
            assert code == 0, f"{name} ended with {code}"
        self.ours.clear()
        print(f"SIGTERM: ended after {time.monotonic() - began:.1f} s")
        assert self.studio is not None
        os.killpg(self.studio.pid, signal.SIGTERM)
        self.studio.wait(20)
        if self.postgres is not None:
            self.postgres.send_signal(signal.SIGINT)
            self.postgres.wait(20)


if __name__ == "__main__":
    main()
