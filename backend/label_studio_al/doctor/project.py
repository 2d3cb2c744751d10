"""Checks of one project."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from functools import partial

from label_studio_al.doctor.findings import Finding, failure, ok, skipped, warning
from label_studio_al.doctor.setup import ProjectLook, Setup
from label_studio_al.labeling import ACTIONS, project_id_of
from label_studio_al.learners.encoders import NONE
from label_studio_al.learners.registry import check_content
from label_studio_al.learning.images import WithImages
from label_studio_al.pool.pictures import decode
from label_studio_al.questions import NO_OFFERS, answers, parse_config
from label_studio_al.runtime.errors import (
    AddressRefused,
    AwaitsTasks,
    ImageUnusable,
    StudioRefused,
    TurnRunning,
    UnknownProject,
)
from label_studio_al.runtime.settings import read_project_settings
from label_studio_al.studio.connections import Connection
from label_studio_al.studio.projects import SAMPLING
from label_studio_al.studio.webhooks import Webhook
from label_studio_al.turns.due import routine_seconds
from label_studio_al.wording import activity_sentence, config_lines

# In Label Studio's own list of networks that it does not call, and nobody's: tells whether that list is in use.
_DOCUMENTATION_URL = "http://192.0.2.1:9"
TURN_SECONDS = 30.0
# Reasons for which one image cannot be read, and others can.
_OF_ONE_IMAGE = ("missing", "too_large", "not_an_image", "broken")
# A turn that is due waits for the sweep, for other projects' turns, and may itself take long.
LATE_SECONDS = 120.0
_KEEP_METADATA = "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16,0.0.0.0/8"


def project(look: ProjectLook) -> Finding:
    """Whether the project is there, and is the one that was set up here. Raises StudioError."""
    try:
        theirs = look.theirs
    except StudioRefused as exc:
        if exc.code != 404:
            raise
        return failure(
            f"Label Studio has no project {look.id} that the user of LABEL_STUDIO_API_KEY may see: correct --project, "
            f"give them the right, or label-studio-al forget --project {look.id}"
        )
    if look.ours is None and look.is_known_otherwise:
        return failure(
            f"project {look.id} was created at another time than the one that was set up here: correct "
            f"LABEL_STUDIO_URL, or label-studio-al forget --project {look.id} and connect it"
        )
    return ok(f'"{theirs.title}" has {theirs.n_tasks} tasks')


def rights(look: ProjectLook) -> Finding:
    """Whether the token's user may change the project. Raises StudioRefused."""
    # Raises where the right is missing; whether the address is refused is another check.
    _ = look.address_refused
    return ok("the user of LABEL_STUDIO_API_KEY may change the project")


def config(look: ProjectLook) -> Finding:
    """What of the label config is learned. Raises UnsupportedConfig where nothing is."""
    offers = _offers(look)
    try:
        parse_config(look.theirs.label_config, offers)
    except AwaitsTasks as exc:
        return warning(f"{exc}. Import tasks, and let a turn read them")
    lines = config_lines(look.theirs.label_config, look.setup.settings.image_encoder, offers)
    check_content(look.theirs.label_config, look.setup.settings.image_encoder, offers)
    return ok("; ".join(lines))


def images(look: ProjectLook) -> Finding:
    """Whether the first image of the project can be had and read. Raises StudioError, and InvalidSettings."""
    try:
        content = parse_config(look.theirs.label_config, _offers(look)).content
    except AwaitsTasks as exc:
        return skipped(str(exc))
    layout = content.layout
    if not isinstance(layout, WithImages):
        return ok("the label config shows no images")
    if look.setup.settings.image_encoder == NONE:
        return warning("images are left out, because AL_IMAGE_ENCODER names no encoder of images")
    tasks = [listed.task for listed in next(iter(look.setup.studio.tasks.pages(look.id)), [])]
    texts = ((task.id, content.text_of(task.data)) for task in tasks)
    found = ((address, task_id) for task_id, text in texts if text for address in layout.addresses(text))
    address, task_id = next(found, ("", 0))
    if not address:
        return warning(f"none of the first {len(tasks)} tasks has an image in {', '.join(content.fields)}")
    try:
        size = decode(look.setup.studio.media.fetch(address, task_id)).size
    except ImageUnusable as exc:
        # Its file may be the only one.
        state = warning if exc.reason in _OF_ONE_IMAGE else failure
        return state(f"the image of task {task_id} cannot be read: {exc}")
    return ok(f"the image of task {task_id} can be fetched and read, at {size[0]} x {size[1]} pixels")


def _offers(look: ProjectLook) -> str:
    return NO_OFFERS if look.ours is None else look.ours.offers


def labels(look: ProjectLook) -> Finding:
    """What of the annotations teaches."""
    try:
        config = parse_config(look.theirs.label_config, _offers(look))
    except AwaitsTasks as exc:
        return warning(str(exc))
    annotations = look.setup.studio.tasks.annotations(look.id)
    by_question = answers(annotations, config)
    # The question with the most answers is the nearest to a model.
    question = max(config.questions, key=lambda one: len(by_question[one.name]))
    taught = by_question[question.name]
    wanted = read_project_settings(None if look.ours is None else look.ours.extra_params).min_labels
    if not annotations:
        return warning(f"nobody has labelled a task yet: the first model needs {wanted} labels of at least 2 kinds")
    kinds = Counter(taught.values())
    n_skipped = sum(annotation.was_cancelled for annotation in annotations)
    n_foreign = sum(
        all(reading.answer is None for reading in config.read(annotation.result).values())
        for annotation in annotations
        if not annotation.was_cancelled
    )
    rest = f"; {n_skipped} annotations are skips, {n_foreign} hold no label of the label config"
    if not kinds:
        return failure(
            f"none of {len(annotations)} annotations teaches{rest}: label some tasks, or correct the label config"
        )
    if sum(kinds.values()) < wanted or len(kinds) < 2:
        return warning(
            f"a model needs {wanted} labelled tasks of at least 2 kinds, there are {sum(kinds.values())} of "
            f"{len(kinds)}: label more{rest}"
        )
    n_labels = len(question.coding.counts(kinds))
    return ok(f"{len(taught)} tasks are labelled, with {n_labels} different label{'s' * (n_labels != 1)}{rest}")


def address(look: ProjectLook) -> Finding:
    """Whether Label Studio's settings let it call this backend's address, for predictions and for webhooks."""
    model, webhook = look.address_refused, look.webhook_refused
    refused = model or webhook
    if refused is None:
        return ok(f"Label Studio may call {look.setup.backend_url}")
    if refused.subnet is None:
        return failure(str(refused))
    cause = _setting(look, refused)
    if webhook is None:
        what, switch = "predictions", "ML_BLOCK_LOCAL_IP"
    elif model is None:
        what, switch = "webhooks", "SSRF_PROTECTION_ENABLED"
    else:
        what, switch = "predictions and webhooks", "ML_BLOCK_LOCAL_IP or SSRF_PROTECTION_ENABLED"
    return failure(
        f"Label Studio does not call {look.setup.backend_url} for {what}, since it is in {refused.subnet}. {cause}. "
        f"That counts while {switch} is true, as it is unless set; another way is an address outside of that network "
        "(AL_BACKEND_URL)"
    )


def _setting(look: ProjectLook, refused: AddressRefused) -> str:
    """Which list of Label Studio's forbids the address, and what to set."""
    network = ipaddress.ip_network(refused.subnet or "")
    has_defaults = False
    if not network.is_global:
        try:
            look.setup.studio.connections.try_address(look.id, _DOCUMENTATION_URL)
        except AddressRefused:
            has_defaults = True
    if has_defaults:
        return (
            "Label Studio's own list of networks forbids it: start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false "
            f"and {_KEEP_METADATA} (addresses of cloud metadata stay blocked)"
        )
    return "Label Studio's setting USER_ADDITIONAL_BANNED_SUBNETS forbids it: take that network out"


def connection(look: ProjectLook) -> Finding:
    """Whether the project has a model connection to this backend."""
    found = look.connection
    if found is None:
        others = "".join(f'; "{one.title}" calls {one.url}' for one in look.connections)
        return failure(
            f"no model connection calls {look.setup.backend_url}{others}: run label-studio-al connect --project "
            f"{look.id} (or doctor --fix)",
            partial(look.setup.connect, look.id),
        )
    return ok(f"connection {found.id} calls {look.url}")


def other_backends(look: ProjectLook) -> Finding:
    """Whether ours is the project's only connection."""
    others = [one for one in look.connections if one != look.connection]
    if not others:
        return ok("it is the only model connection")
    doubles = [one for one in others if one.url.rstrip("/") == look.url]
    if doubles:
        return warning(
            f"{len(doubles) + 1} model connections call {look.url}: remove all but one on the project's model page "
            "(or doctor --fix)",
            partial(_remove, look.setup, doubles),
        )
    named = ", ".join(f'"{one.title}" at {one.url}' for one in others)
    return warning(
        f"the project has another model connection ({named}): Label Studio may ask that one instead of this backend; "
        "remove it on the project's model page"
    )


def round_trip(look: ProjectLook) -> Finding:
    """Whether Label Studio reaches this backend and is answered: it has just called /health and /setup."""
    found = look.connection
    assert found is not None  # `connection` has looked
    if not found.is_lost:
        return ok(f"Label Studio reaches {look.url}, and is answered")
    reconnect = partial(look.setup.connect, look.id)
    if found.refusal is not None:
        if "401 " in found.refusal:
            return failure(
                f"Label Studio reaches {look.url}, which refuses the user and password of the connection: run "
                f"label-studio-al connect --project {look.id} (or doctor --fix), which sends BASIC_AUTH_USER and "
                "BASIC_AUTH_PASS",
                reconnect,
            )
        return failure(f"Label Studio reaches {look.url}, which refuses the project: {_one_line(found.refusal)}")
    try:
        look.setup.studio.connections.call_back(look.id, found)
    except AddressRefused:
        return failure(
            f"Label Studio's settings forbid it to call {look.url}: another address is needed, or other settings"
        )
    except StudioRefused as exc:
        has_moved = look.url != look.setup.backend_url
        return failure(
            f"Label Studio does not reach {look.url}: start label-studio-al serve, with --host 0.0.0.0 if Label Studio "
            "runs in a container or on another machine, and give the address under which it reaches this backend in "
            f"AL_BACKEND_URL. It said: {_one_line(str(exc))}",
            reconnect if has_moved else None,
        )
    return ok(f"Label Studio reaches {look.url} again, and is answered")


def webhook(look: ProjectLook) -> Finding:
    """Whether one webhook tells this backend what it needs, with the right secret."""
    secrets = look.secrets
    repair = partial(look.setup.studio.webhooks.replace, look.id, look.url, secrets[0])
    advice = f"run label-studio-al connect --project {look.id} (or doctor --fix)"
    if not look.webhooks:
        return failure(
            f"no webhook tells {look.url} of new labels, which are found only every now and then: {advice}", repair
        )
    faults = []
    if len(look.webhooks) > 1:
        faults.append(f"there are {len(look.webhooks)} webhooks to {look.url}, so each label is told as often")
    for one in look.webhooks:
        missing = [] if one.actions is None else [action for action in ACTIONS if action not in one.actions]
        if not one.is_active:
            faults.append("the webhook is switched off")
        if not one.sends_payload:
            faults.append("the webhook sends no payload")
        if missing:
            faults.append(f"the webhook does not tell {', '.join(missing)}")
        if one.secret is not None and one.secret not in secrets:
            faults.append("the webhook carries a secret that is not the project's, so it is refused")
        if one.secret is None and _demands_secret(look.setup):
            faults.append("the webhook carries no secret, and this backend demands one")
    if faults:
        return failure(f"{'; '.join(dict.fromkeys(faults))}: {advice}", repair)
    if any(one.secret is None for one in look.webhooks):
        return warning(
            f"the webhook carries no secret, so whoever reaches this backend could send labels: {advice}", repair
        )
    return ok("one webhook tells of labels and tasks, with this backend's secret")


def other_webhooks(look: ProjectLook) -> Finding:
    """Whether webhooks of this backend's are left that lead to an address that it had."""
    secrets = look.secrets
    left = [one for one in look.all_webhooks if one not in look.webhooks and one.secret in secrets]
    if left:
        return warning(
            f"the webhook to {left[0].url} carries this backend's secret, and this backend is called at {look.url}: "
            "each Submit waits for it, up to a second; remove it on the project's webhook page (or doctor --fix)",
            partial(_remove_webhooks, look.setup, left),
        )
    return ok("no webhook is left of another address of this backend")


def sampling(look: ProjectLook) -> Finding:
    """Whether the queue follows scores."""
    if look.theirs.sampling != SAMPLING:
        return failure(
            f'the project\'s sampling is "{look.theirs.sampling}", so the queue does not follow the scores: run '
            f'label-studio-al connect --project {look.id} (or doctor --fix), which sets "{SAMPLING}"',
            partial(look.setup.studio.projects.arrange, look.id),
        )
    return ok(f'the project\'s sampling is "{SAMPLING}"')


def predictions(look: ProjectLook) -> Finding:
    """Whether annotators see predictions. Hiding them makes Label Studio forget the project's version, too (1.23.2)."""
    if not look.theirs.shows_predictions:
        return failure(
            "predictions are hidden from annotators, and tasks from outside of the window get none: run "
            f"label-studio-al connect --project {look.id} (or doctor --fix), or switch on the project's Annotation > "
            "Use predictions to prelabel tasks",
            partial(look.setup.studio.projects.arrange, look.id),
        )
    return ok("predictions are shown to annotators")


def turns(look: ProjectLook) -> Finding:
    """Whether a worker takes this project's turns, and they come to their end."""
    ours = look.ours
    if ours is None:
        return skipped("the project was not set up here yet: connect it")
    if ours.is_parked:
        return failure(f"turns failed again and again, so no more are taken until something changes: {ours.error}")
    if ours.error:
        return failure(f"the last turn failed: {ours.error}")
    if ours.is_paused:
        return warning("the project is paused on the status page: nothing is trained until somebody resumes it")
    since = ours.heard_at if ours.synced_at is None else ours.synced_at
    silent = look.setup.clock.now() - since
    if silent > routine_seconds(look.setup.settings.sync_seconds, len(look.setup.store.projects.keys())) + LATE_SECONDS:
        return failure(
            f"no worker has taken a turn for {silent:.0f} s: start label-studio-al "
            "serve, or label-studio-al worker beside serve --no-worker"
        )
    return ok(f"turns are taken: {activity_sentence(ours.activity)}")


def version(look: ProjectLook) -> Finding:
    """Whether Label Studio orders the queue by the published version."""
    if look.version is None:
        return skipped("no version is published yet")
    name, found = look.version.name, look.connection
    assert found is not None  # `connection` has looked
    if look.theirs.model_version == name == found.title:
        return ok(f"Label Studio orders the queue by {name}")
    repair = partial(_switch, look.setup, look.theirs.key)
    if look.ours is not None and not look.ours.is_switched and not look.ours.error:
        return warning(f"a turn is just switching Label Studio to {name}: look again in a minute", repair)
    return failure(
        f"the project's model version is \"{look.theirs.model_version or ''}\" and the connection's name "
        f'"{found.title}"; both must be {name}, else the queue is random: a running worker repairs that within '
        f"AL_SYNC_SECONDS ({look.setup.settings.sync_seconds:.0f} s), doctor --fix does at once",
        repair,
    )


def queue(look: ProjectLook) -> Finding:
    """Whether the tasks to be asked next have predictions of the version, and some are left."""
    version = look.version
    if version is None:
        return skipped("no version is published yet")
    store, key = look.setup.store, look.theirs.key
    # Predictions go with their tasks. Of some of these Label Studio is still to be asked whether they are gone.
    window = {
        task.id
        for task in store.tasks.some(
            key, sorted(store.windows.pushed(version.id).difference(store.updates.claims(key)))
        )
    }
    n_pushed = look.setup.studio.predictions.versions(look.id).get(version.name, 0)
    if n_pushed < len(window):
        return failure(
            f"{len(window) - n_pushed} of {len(window)} predictions of {version.name} are missing in Label Studio: a "
            "worker pushes a new version within AL_SYNC_SECONDS, or now with doctor --fix",
            partial(store.projects.want_training, key, look.setup.clock.now()),
        )
    annotated = {annotation.task_id for annotation in store.annotations.all(key)}
    n_left = len(window - annotated)
    if not n_left and len(annotated) < look.theirs.n_tasks:
        return failure("all tasks of the window are labelled, so the queue is random: see whether a worker takes turns")
    return ok(f"{n_left} tasks lie in order to be asked next")


def _demands_secret(setup: Setup) -> bool:
    return setup.settings.is_protected or setup.settings.webhook_secret is not None


def _remove(setup: Setup, connections: Sequence[Connection]) -> None:
    for one in connections:
        setup.studio.connections.remove(one.id)


def _remove_webhooks(setup: Setup, webhooks: Sequence[Webhook]) -> None:
    for one in webhooks:
        setup.studio.webhooks.remove(one)


def _switch(setup: Setup, key: str) -> None:
    """As the loop, and not while it does."""
    store = setup.store
    with store.turn_lock(key, TURN_SECONDS) as is_mine:
        if not is_mine:
            raise TurnRunning(f"a turn of project {key} is running: try again in a minute")
        project = store.projects.get(key)
        version = store.versions.find(project.version_id)
        if version is None:
            raise UnknownProject(f"project {key} has no version any more")
        is_pushed = bool(store.windows.pushed(version.id))
        store.projects.note_switched(key, False)
        setup.studio.switch(project_id_of(key), setup.backend_url, version.name, is_pushed=is_pushed)
        store.projects.note_switched(key, True)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
