"""Install and run a real Label Studio on this machine: for the demo, the tests and the benchmarks.

Linux and macOS. Label Studio pins very many packages, so it gets its own virtual environment; nothing from it is
imported here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import httpx
import platformdirs

from label_studio_al.runtime.errors import BackendError, PortInUse
from label_studio_al.studio.about import LABEL_STUDIO_VERSION

# A feature flag of Label Studio's. Without it, each import of predictions counts the annotations of all the project's
# tasks anew, which holds up a Submit by 0.2 s at 10,000 tasks (measured on 1.23.2, benchmarks/live_loop.py).
FAST_IMPORT = {"fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short": "true"}

Report = Callable[[str], None]

_CONSTRAINTS = Path(__file__).with_name("label-studio-constraints.txt")
# Of its own, so that nothing else of this package can be imported there.
_SETTINGS_FOLDER = Path(__file__).with_name("label_studio_settings")
_MARKER = "installed-by-label-studio-al"
_SIGN_OF_LIFE_SECONDS = 15
_POLL_SECONDS = 0.25


class LabelStudioInstallError(BackendError):
    """Label Studio could not be installed: the message names the step, the reason and the log."""


class LabelStudioStartError(BackendError):
    """Label Studio did not start: the message names the reason and the log."""


class LabelStudioLoginError(BackendError):
    """Label Studio refused the email and password."""


@dataclass(frozen=True)
class Login:
    """The first user of a local Label Studio; token is a legacy token, 40 hex digits."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


# --- installing --------------------------------------------------------------------------------------------


def environment_path() -> Path:
    """The virtual environment that holds Label Studio; AL_LABEL_STUDIO_ENV overrides it."""
    chosen = os.environ.get("AL_LABEL_STUDIO_ENV")
    if chosen:
        return Path(chosen).expanduser().absolute()
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    cache = platformdirs.user_cache_path("label-studio-active-learning")
    return cache / f"label-studio-{LABEL_STUDIO_VERSION}-{python}"


def install(environment: Path, report: Report) -> None:
    """Install Label Studio into `environment`, unless it is there already.

    An environment that somebody else made is used if it has the right version, and never changed. One that we made
    is rebuilt if it is half-finished or if the constraints have changed. The installer's output goes to
    `<environment>.log`. Raises LabelStudioInstallError.
    """
    environment = environment.absolute()
    if _is_ready(environment):
        return
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        with _lock(_beside(environment, ".lock"), report) as lock_fd:
            if not _is_ready(environment):  # Another process may have finished it while we waited.
                _install_anew(environment, report, lock_fd)
    except OSError as exc:
        raise LabelStudioInstallError(f"cannot install Label Studio into {environment}: {exc}") from exc


def _is_ready(environment: Path) -> bool:
    if not all((environment / "bin" / name).exists() for name in ("python", "label-studio")):
        return False
    marker = environment / _MARKER
    if marker.exists():
        return marker.read_text(encoding="utf-8") == _marker_text()
    wanted = f"lib/python*/site-packages/label_studio-{LABEL_STUDIO_VERSION}.dist-info"
    return any(environment.glob(wanted))


def _marker_text() -> str:
    digest = hashlib.sha256(_CONSTRAINTS.read_bytes()).hexdigest()
    return f"label-studio {LABEL_STUDIO_VERSION}\nconstraints sha256 {digest}\n"


def _install_anew(environment: Path, report: Report, lock_fd: int) -> None:
    marker = environment / _MARKER
    _make_empty(environment, marker)
    log = _beside(environment, ".log")
    with _open_private(log) as output:
        output.truncate(0)
    python = str(environment / "bin" / "python")
    requirement = f"label-studio=={LABEL_STUDIO_VERSION}"
    uv = _find_uv()
    if uv:
        without_pip = ["--without-pip"]  # Also spares Debian's users the python3-venv package.
        installer = [uv, "pip", "install", "--python", python]
    else:
        without_pip = []
        # -I: a PYTHONPATH of the user must not hide what is to be installed.
        installer = [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    report(f"Installing Label Studio {LABEL_STUDIO_VERSION} into {environment} (once, up to two minutes)")
    started = time.monotonic()
    steps = {
        "making the virtual environment": [sys.executable, "-m", "venv", *without_pip, str(environment)],
        f"installing {requirement}": [*installer, "--constraint", str(_CONSTRAINTS), requirement],
    }
    for step, command in steps.items():
        _run(step, command, log, report, lock_fd)
    # Last, and whole or not at all: the marker says that everything before it was done.
    unfinished = environment / f"{_MARKER}.new"
    unfinished.write_text(_marker_text(), encoding="utf-8")
    unfinished.replace(marker)
    report(f"Label Studio {LABEL_STUDIO_VERSION} is installed ({time.monotonic() - started:.0f} s)")


def _make_empty(environment: Path, marker: Path) -> None:
    """Leave nothing in `environment` but an empty marker, which says that the directory is ours to empty."""
    environment.mkdir(exist_ok=True)
    if not marker.exists() and any(environment.iterdir()):
        raise LabelStudioInstallError(
            f"{environment} is not empty, was not made by this program and does not hold Label Studio "
            f"{LABEL_STUDIO_VERSION}: remove it or name another directory in AL_LABEL_STUDIO_ENV"
        )
    marker.write_bytes(b"")
    for path in environment.iterdir():
        if path == marker:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _find_uv() -> str | None:
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _run(step: str, command: list[str], log: Path, report: Report, lock_fd: int) -> None:
    with _open_private(log) as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        begin = output.tell()
        # The child inherits the lock: if we are killed, nobody touches the environment before it ends too.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=(lock_fd,)
        )
        try:
            code = _wait(process, lambda seconds: report(f"Still {step} ({seconds} s)"))
        except BaseException:  # Ctrl-C above all.
            process.kill()
            process.wait()
            raise
    if code:
        reason = f"ended by signal {-code}" if code < 0 else last_meaningful_line(log, begin)
        raise LabelStudioInstallError(f"{step} failed: {reason or f'exit code {code}'} (full output: {log})")


def _wait(process: subprocess.Popen[bytes], sign_of_life: Callable[[int], None]) -> int:
    seconds = 0
    while True:
        try:
            return process.wait(_SIGN_OF_LIFE_SECONDS)
        except subprocess.TimeoutExpired:
            seconds += _SIGN_OF_LIFE_SECONDS
            sign_of_life(seconds)


@contextmanager
def _lock(path: Path, report: Report) -> Iterator[int]:
    """Hold the file lock at `path`; gives its descriptor, so that child processes can hold it too."""
    import fcntl  # Here, because Windows has none: the package must still be importable there.

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"Another process is installing Label Studio: waiting for it ({path})")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


# --- running -----------------------------------------------------------------------------------------------


class LocalLabelStudio:
    """A Label Studio server of our own on 127.0.0.1; leaving the `with` block stops it.

        with LocalLabelStudio(environment, data_dir, free_port(), login, log_path) as studio:
            studio.start(report)

    What people do in it stays in `data_dir`: the next start on the same directory finds it again.
    """

    def __init__(self, environment: Path, data_dir: Path, port: int, login: Login, log_path: Path) -> None:
        self.environment = environment.absolute()  # The server runs in another working directory.
        self.data_dir = data_dir.absolute()
        self.port = port
        self.login = login
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalLabelStudio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address it listens on."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, report: Report, extra_env: Mapping[str, str] | None = None, timeout_seconds: float = 180) -> None:
        """Start the server and wait until it accepts the login's token.

        Raises PortInUse before anything is started, LabelStudioStartError otherwise.
        """
        try:
            # Label Studio itself would silently take the next free port.
            if not port_is_free(self.port):
                raise PortInUse(
                    f"port {self.port} is already in use: stop the program that uses it or choose another with --port"
                )
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with _open_private(self.log_path) as output:
                begin = output.tell()
                self._process = self._spawn(output.fileno(), extra_env or {})
        except OSError as exc:
            raise LabelStudioStartError(f"cannot start Label Studio on port {self.port}: {exc}") from exc
        report(f"Starting Label Studio on {self.url} (up to a minute, the first time)")
        started = time.monotonic()
        try:
            self._wait_until_ready(self._process, begin, started + timeout_seconds)
        except BaseException:
            self.stop()
            raise
        report(f"Label Studio is ready on {self.url} ({time.monotonic() - started:.0f} s)")

    def stop(self, wait_seconds: float = 10) -> None:
        """End the server that start() made, with its process group and nothing else.

        After `wait_seconds` it is killed.
        """
        # Only while the leader is not reaped: afterwards its number may belong to somebody else.
        if self._process is None or not self.is_running:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _spawn(self, output: int, extra_env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = str(self.environment / "bin" / "label-studio")
        arguments = ["start", "--no-browser", "--port", str(self.port), "--internal-host", "127.0.0.1"]
        return subprocess.Popen(
            [program, *arguments],
            cwd=self.data_dir,
            env=_server_environment(self.data_dir, self.login) | dict(extra_env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes], begin: int, deadline: float) -> None:
        # trust_env: a proxy of the user must not come between us and our own machine.
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise self._start_error(f"it ended with code {process.returncode}", begin)
                status = _whoami_status(client, self.login)
                if status == httpx.codes.OK:
                    return
                if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                    raise LabelStudioStartError(
                        f"Label Studio on {self.url} does not accept the token of {self.login.email}: "
                        f"{self.data_dir} was made with another login"
                    )
                time.sleep(_POLL_SECONDS)
        raise self._start_error("it did not answer in time", begin)

    def _start_error(self, what: str, begin: int) -> LabelStudioStartError:
        last = last_meaningful_line(self.log_path, begin) or "no output"
        return LabelStudioStartError(f"Label Studio did not start, {what}: {last} (log: {self.log_path})")


def _whoami_status(client: httpx.Client, login: Login) -> int | None:
    try:
        headers = {"Authorization": f"Token {login.token}"}
        return client.get("/api/current-user/whoami", headers=headers).status_code
    except httpx.HTTPError:
        return None


# All that the server gets of the user's environment. Label Studio reads over a hundred variables, many with
# no prefix (HOST, DEBUG, DATABASE_NAME, SECRET_KEY ...): one that happens to be set would change the server.
_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|(DY)?LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)"
)


def _server_environment(data_dir: Path, login: Login) -> dict[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return passed_on | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_USERNAME": login.email,
        "LABEL_STUDIO_PASSWORD": login.password,
        "LABEL_STUDIO_USER_TOKEN": login.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        # By default it refuses 127.0.0.1, where our backend is. Metadata addresses stay refused.
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16,0.0.0.0/8",
        "DEBUG": "false",
        "LOG_LEVEL": "INFO",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(_SETTINGS_FOLDER),
        "DJANGO_SETTINGS_MODULE": "al_settings",
    }


def personal_access_token(url: str, login: Login) -> str:
    """A new personal access token (a refresh token) of the login's user; revokes an earlier one.

    Label Studio keeps one token a user and shows it only once, when it is made. Raises LabelStudioLoginError.
    """
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        client.get("/user/login/").raise_for_status()  # Sets the CSRF cookie.
        form = {"email": login.email, "password": login.password}
        answer = client.post("/user/login/", data=form | {"csrfmiddlewaretoken": client.cookies["csrftoken"]})
        if not answer.is_redirect:  # A refused login answers 200 and the form again.
            raise LabelStudioLoginError(f"Label Studio on {url} refuses the password of {login.email}")
        client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
        answer = client.post("/api/token/")
        if answer.status_code == httpx.codes.CONFLICT:
            for earlier in client.get("/api/token/").raise_for_status().json():
                client.post("/api/token/blacklist/", json={"refresh": earlier["token"]}).raise_for_status()
            answer = client.post("/api/token/")
        return str(answer.raise_for_status().json()["token"])


# --- ports -------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port. Raises OSError if the port is forbidden to us."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)) == 0:  # macOS lets one bind beside a server on 0.0.0.0.
            return False
    with socket.socket() as probe:
        # As servers do: a connection that was closed a moment ago does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return False
            raise
    return True


# --- logs --------------------------------------------------------------------------------------------------

# What explains a failure better than the line that merely reports it; the first that occurs wins.
_CAUSES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"no space left on device|disk quota exceeded",
        r"ensurepip is not available",
        r"command '.*' failed|compiler .*not found|unable to find .*compiler",
        r"name resolution|name or service not known|nodename nor servname|network is unreachable",
    )
]
_ERROR = re.compile(r"error|failed|exception|no solution", re.IGNORECASE)
_NOISE = re.compile(r"(\[notice\]|hint:|note:|warning:|\[end of output\]|traceback )", re.IGNORECASE)
_DECORATION = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[╰├─▶│\u00d7]")
_LONGEST_LINE = 300


def last_meaningful_line(log: Path, begin: int = 0) -> str:
    """The line of the log, from byte `begin` on, that best says what went wrong; "" if there is none."""
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read().decode("utf-8", errors="replace")
    lines = [_DECORATION.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in reversed(lines) if line]
    for cause in _CAUSES:
        for line in lines:
            found = cause.search(line)
            if found:
                return line[max(0, found.end() - _LONGEST_LINE) :][:_LONGEST_LINE]
    telling = [line for line in lines if not _NOISE.match(line)] or lines
    errors = [line for line in telling if _ERROR.search(line)]
    return next(iter(errors + telling), "")[:_LONGEST_LINE]


@contextmanager
def _open_private(path: Path) -> Iterator[BinaryIO]:
    """Open a log to append to it; nobody but the user can read it, for it may hold tokens."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        yield file


def _beside(environment: Path, suffix: str) -> Path:
    return environment.with_name(environment.name + suffix)
