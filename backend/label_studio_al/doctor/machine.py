"""Checks of this machine, of Label Studio and of the running backend."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from urllib.parse import urlsplit

import httpx

from label_studio_al.doctor.findings import Finding, failure, ok, skipped, warning
from label_studio_al.doctor.setup import Setup, known_projects
from label_studio_al.learners.encoders import NONE, choose_encoders, load_encoder, load_image_encoder
from label_studio_al.runtime.database import UNAVAILABLE, CorruptDatabase, unavailable
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.studio.about import LABEL_STUDIO_VERSION
from label_studio_al.studio.tokens import token_kind

# What the loop relies on was measured on this release; the ones before answer otherwise.
OLDEST_RELEASE = (1, 23)
# Access tokens live for 300 s by our clock and by theirs.
SKEW_SECONDS = 60.0
SCARCE_BYTES = 1024**3
_NOT_REACHED = "the running backend is not reached from this machine"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def settings(setup: Setup) -> Finding:
    """Whether Label Studio's address and a token are given."""
    given = {
        "LABEL_STUDIO_URL": setup.settings.label_studio_url,
        "LABEL_STUDIO_API_KEY": setup.settings.label_studio_api_key,
    }
    missing = [name for name, value in given.items() if not value]
    if missing:
        return failure(
            f"{' and '.join(missing)} must be set: the token stands in Label Studio under "
            "Account & Settings > Personal Access Token"
        )
    return ok("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are set")


def disk(setup: Setup) -> Finding:
    """Whether MODEL_DIR can be written to, and has room."""
    folder = setup.settings.model_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        n_free = shutil.disk_usage(folder).free
    except OSError as exc:
        return failure(
            f"MODEL_DIR {folder} cannot be written to ({exc.strerror}): let this user write there, make room, or set "
            "MODEL_DIR to another folder"
        )
    if n_free < SCARCE_BYTES:
        return warning(f"MODEL_DIR {folder} has {n_free / 1024**2:.0f} MB left: make room")
    return ok(f"MODEL_DIR {folder} can be written to, {n_free / 1024**3:.0f} GB are free")


def database(setup: Setup) -> Finding:
    """Whether the database opens, has this release's tables, and takes writes. Raises SchemaTooNew."""
    if not setup.has_database:
        return skipped("there is no database yet: label-studio-al serve makes it (DATABASE_URL, MODEL_DIR)")
    try:
        if not setup.store.is_current():
            return failure(
                "the database's tables are of an older release, or missing: start label-studio-al serve again"
            )
        setup.store.check_writable()
        n_projects = len(known_projects(setup.store))
    except CorruptDatabase as exc:
        return failure(
            f"{exc.path} is damaged: start label-studio-al serve again, which sets it aside and fills another one"
        )
    except UNAVAILABLE as exc:
        return failure(f"{unavailable(exc)}, or correct DATABASE_URL or MODEL_DIR")
    return ok(f"the database answers and takes writes; projects: {n_projects}")


def embeddings(setup: Setup) -> Finding:
    """Whether the encoders load, and those of texts encode. Raises InvalidSettings and EncoderFailed."""
    settings = setup.settings
    where = settings.models_dir, settings.encoder_threads
    images = None if settings.image_encoder == NONE else load_image_encoder(settings.image_encoder, *where)
    of_images = f", {images.name} images in {images.n_dimensions}" if images else ""
    if settings.encoder == NONE:
        return ok(f"embeddings are switched off (AL_ENCODER=none){of_images}")
    choice = choose_encoders(settings.encoder, settings.models_dir)
    slow = choice.slow and load_encoder(choice.slow, *where)
    found = [one for one in (choice.static, slow) if one]
    if not found:
        return warning(
            "wordllama is not installed here, so features are words and topics only: install the extra wordllama, or "
            "set AL_ENCODER"
        )
    said = [f"{one.name} encodes texts in {one.encode(['a text']).shape[1]} dimensions" for one in found]
    return ok(", ".join(said) + of_images)


def label_studio(setup: Setup) -> Finding:
    """Whether Label Studio answers, in a release that the loop knows. Raises StudioError."""
    about, _ = setup.about
    release = _numbers(about.release)
    tested = _numbers(LABEL_STUDIO_VERSION)
    if release < OLDEST_RELEASE:
        oldest = ".".join(map(str, OLDEST_RELEASE))
        return failure(f"Label Studio {about.release} is too old: upgrade it to {oldest} or newer")
    if release[:2] > tested[:2]:
        return warning(
            f"Label Studio {about.release} is newer than {LABEL_STUDIO_VERSION}, which this release was tested with: "
            "look for a newer label-studio-active-learning if the queue's order is wrong"
        )
    return ok(f"Label Studio {about.release} answers at {setup.settings.label_studio_url}")


def clock(setup: Setup) -> Finding:
    """Whether Label Studio's clock and ours agree."""
    about, asked_at = setup.about
    if about.now is None:
        return skipped("Label Studio's answers carry no Date")
    skew = about.now - asked_at
    if abs(skew) > SKEW_SECONDS:
        return failure(
            f"Label Studio's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's, so its "
            "tokens expire at the wrong time: set both clocks (NTP)"
        )
    return ok("Label Studio's clock and this machine's agree within a minute")


def token(setup: Setup) -> Finding:
    """Whether Label Studio takes the token, and of which kind it is. Raises StudioError."""
    assert setup.settings.label_studio_api_key is not None  # `settings` has looked
    kind = token_kind(setup.settings.label_studio_api_key.get_secret_value())
    return ok(f"LABEL_STUDIO_API_KEY is {kind} of {setup.studio.projects.user()}")


def backend(setup: Setup) -> Finding:
    """Whether this machine reaches the running backend."""
    if setup.running_at is None:
        return warning(
            f"no backend answers this machine at {setup.backend_url} or on port {setup.settings.port}: start "
            "label-studio-al serve, or correct PORT, AL_BACKEND_URL or --backend-url, unless it runs elsewhere"
        )
    return ok(f"the backend answers at {setup.running_at}")


def credentials(setup: Setup) -> Finding:
    """Whether the running backend asks for the basic auth that is configured here."""
    if setup.running_at is None:
        return skipped(_NOT_REACHED)
    without = setup.http.get(f"{setup.running_at}/status")
    advice = "start the backend and this command with the same BASIC_AUTH_USER and BASIC_AUTH_PASS"
    if not setup.settings.is_protected:
        if without.status_code == httpx.codes.UNAUTHORIZED:
            return failure(f"the running backend asks for a user and a password, and none are set here: {advice}")
        if without.is_error:
            return failure(f"the running backend refuses this command: {_said(without)}")
        if urlsplit(setup.backend_url).hostname not in _LOOPBACK:
            return warning(
                f"whoever reaches {setup.backend_url} may come in: set BASIC_AUTH_USER and BASIC_AUTH_PASS, start the "
                "backend again and connect again"
            )
        return ok("no user and password are asked for, and the backend's address is this machine's own")
    if without.status_code != httpx.codes.UNAUTHORIZED:
        return failure(f"the running backend does not ask for the user and password that are set here: {advice}")
    with_them = setup.http.get(f"{setup.running_at}/status", auth=setup.settings.login)
    if with_them.status_code == httpx.codes.UNAUTHORIZED:
        return failure(f"the running backend refuses the user and password that are set here: {advice}")
    if with_them.is_error:
        return failure(f"the running backend does not work: {_said(with_them)}")
    return ok("the backend asks for the user and password that are set here")


def proxy(setup: Setup) -> Finding:
    """Whether the running backend knows under which address it is asked, for the status page's links and cookie."""
    if setup.running_at != setup.backend_url:
        return skipped(f"this machine does not reach the backend at {setup.backend_url}")
    answer = setup.http.get(f"{setup.backend_url}/openapi.json", auth=setup.settings.login)
    try:
        believed = str(answer.json()["servers"][0]["url"])
    except (ValueError, KeyError, IndexError, TypeError):
        return failure(f"the running backend does not say where it is ({_said(answer)}): start it again")
    if httpx.URL(believed) != httpx.URL(setup.backend_url):
        return warning(
            f"asked at {setup.backend_url}, the backend believes that it is {believed}, so links or buttons of its "
            "pages do not work there: have the proxy send X-Forwarded-Proto, -Host and -Prefix, set AL_TRUSTED_PROXIES "
            "to the number of proxies, and start the backend again"
        )
    return ok(f"the backend knows that it is asked at {setup.backend_url}")


def secret(setup: Setup) -> Finding:
    """Whether the running backend takes webhook secrets that are made from the key that is known here."""
    if setup.running_at is None:
        return skipped(_NOT_REACHED)
    # An action that it ignores, whatever the project.
    headers = {WEBHOOK_HEADER: webhook_secret(setup.webhook_keys[0], "doctor")}
    answer = setup.http.post(f"{setup.running_at}/webhook", json={"action": "DOCTOR"}, headers=headers)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return failure(
            "the running backend refuses webhook secrets made from the key that is known here: start both with the "
            "same MODEL_DIR or AL_WEBHOOK_SECRET"
        )
    if answer.is_error:
        return failure(f"the running backend takes no webhooks: {_said(answer)}")
    return ok("the running backend takes the webhook secrets that are known here")


def _said(answer: httpx.Response) -> str:
    """Status and sentence of an answer of ours."""
    try:
        sentence = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        sentence = answer.reason_phrase
    return f"{answer.status_code} {sentence}"


def _numbers(release: str) -> tuple[int, ...]:
    """(1, 23, 2) of "1.23.2" and of "1.23.2.post1"."""
    found = re.match(r"\d+(\.\d+)*", release)
    if found is None:
        raise InvalidSettings(f"LABEL_STUDIO_URL must be a Label Studio's, whose release is not {release[:40]!r}")
    return tuple(map(int, found[0].split(".")))
