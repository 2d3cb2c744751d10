"""One call of Label Studio and its errors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.client_wrapper import SyncClientWrapper
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.errors import (
    AddressRefused,
    InvalidRequest,
    StudioError,
    StudioRefused,
    StudioUnreachable,
)
from label_studio_al.runtime.redaction import know
from label_studio_al.studio.circuit import RETRY_AFTER_AT_MOST, Circuit
from label_studio_al.studio.tokens import ACCESS, LEGACY, token_kind
from label_studio_al.studio.transport import (
    LIMITS,
    AnswerBroken,
    AnswerTooLarge,
    AnswerTooSlow,
    bounded_client,
    ending_after,
    tls_advice,
)

# Repeated where that is safe, within about two seconds: what lasts longer is repeated by the next turn.
TRIES = 3
_REPEATABLE = ("GET", "PATCH", "DELETE")
_BUSY = (408, 429)
# What is answered whatever file is asked for. Not 502 and 504: a proxy in front says so where a storage is slow.
_NOT_OF_A_FILE = (401, 429, 503)
ADDRESS_ADVICE = (
    "Label Studio refuses to call this address. Start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false and "
    "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16,0.0.0.0/8 (metadata addresses stay blocked), "
    "or give an address that is not private with --backend-url"
)
# Measured on 1.23.2: neither by the API nor with a new connection is such a webhook made.
DOTLESS_ADVICE = (
    "Label Studio takes no webhook to a host name without a dot, as containers have: give this backend's container a "
    "network alias with one (backend.internal), and that to AL_BACKEND_URL or --backend-url"
)
NAME_ADVICE = (
    "Label Studio cannot resolve this backend's name. Give the address under which Label Studio reaches it (in Docker "
    "a network alias or host.docker.internal) in AL_BACKEND_URL or with --backend-url"
)
_LEGACY_TOKENS_OFF = "legacy token authentication has been disabled"
# Label Studio resolves a backend's name itself, before anything else.
_UNRESOLVED = "resolve hostname"
_BLOCKED = re.compile(r"\(block: ([0-9a-fA-F.:/]+)\)")
_MARKUP = re.compile(r"<[^>]{0,200}>")


class TooLarge(StudioUnreachable):
    """An answer was larger than what is taken."""


class TooSlow(StudioUnreachable):
    """An answer did not come to its end in time."""


@dataclass(frozen=True)
class Answer:
    """What was answered. told_at: the server's clock, in seconds since 1970."""

    content: Any
    n_bytes: int
    told_at: float | None


class Api:
    """Calls of Label Studio, each counted, bounded, and repeated where that does no harm."""

    def __init__(
        self,
        url: str,
        api_key: str,
        http: httpx.Client | None = None,
        clock: Clock | None = None,
        counts: Counts | None = None,
    ) -> None:
        """counts: where calls are counted.

        Of the SDK we use the tokens only: it repeats every failed call, also those that may have taken effect. Its
        typed methods make an object of 40 fields of every answer's item, and importing them costs 80 MB.
        """
        http, clock = http or bounded_client(), clock or Clock()
        self.url = url
        self._api_key = api_key
        self.clock = clock
        self._counts = counts or Counts()
        self._circuit = Circuit(clock)
        self._http = http
        try:
            self._tokens = SyncClientWrapper(base_url=f"{url}/", api_key=api_key, httpx_client=http)
        except ApiError as exc:
            raise StudioRefused(self._sentence(exc)) from exc

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """What was answered. Raises StudioUnreachable, StudioRefused."""
        return self.ask(method, path, body).content

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """The answer. Repeated only where a call that took effect does no harm twice."""
        repeat = Retrying(
            stop=stop_after_attempt(TRIES if method in _REPEATABLE else 1),
            wait=wait_random_exponential(multiplier=0.25, max=1.0),
            retry=retry_if_exception(_is_worth_repeating),
            sleep=self.clock.sleep,
            reraise=True,
        )
        return repeat(self._ask_once, method, path, body)

    def file(self, path: str, transport: httpx.BaseTransport) -> httpx.Response:
        """The answer to a GET of a file, whatever it says of the file; asked once, within other limits.

        Raises AnswerTooLarge, AnswerTooSlow and AnswerBroken, which say nothing of Label Studio itself (a storage may
        be behind it), StudioUnreachable and StudioRefused.
        """
        with self._circuit.call(), self._counting("GET"), self.understanding():
            try:
                answer = self._send(
                    lambda headers: transport.handle_request(
                        httpx.Request("GET", f"{self.url}/{path}", headers=headers)
                    ),
                    "*/*",
                )
            except (AnswerTooLarge, AnswerTooSlow, AnswerBroken) as exc:
                of_the_file = exc
            else:
                if answer.status_code in _NOT_OF_A_FILE:
                    raise _api_error(answer)
                return answer
        raise of_the_file

    def _ask_once(self, method: str, path: str, body: Any) -> Answer:
        # The token's exchange and its repetition count, too.
        with self._circuit.call(), self._counting(method), self.understanding(), ending_after(LIMITS.seconds):
            answer = self._send(
                lambda headers: self._http.request(method, f"{self.url}/{path}", json=body, headers=headers)
            )
            headers, content = answer.headers, answer.content
            if answer.status_code >= 400:
                raise _api_error(answer)
            return Answer(json.loads(content) if content else None, len(content), http_date(headers.get("date")))

    def _send(
        self, send: Callable[[dict[str, str]], httpx.Response], accept: str = "application/json"
    ) -> httpx.Response:
        """What is answered to a request with our credentials, and if these are outdated, to one with new ones."""
        answer = send({**self._credentials(), "Accept": accept})
        if answer.status_code == 401 and token_kind(self._api_key) != LEGACY:
            # The access token may have been revoked before its time.
            self._tokens._tokens_client._access_token = None
            answer = send({**self._credentials(), "Accept": accept})
        return answer

    def _credentials(self) -> dict[str, str]:
        credentials = self._tokens.get_headers()
        # An access token may be new.
        know(credentials.get("Authorization", "").rpartition(" ")[2])
        return credentials

    @contextmanager
    def _counting(self, method: str) -> Iterator[None]:
        outcome = "unreachable"
        try:
            with self._counts.timing("label_studio_al_studio_call_seconds", method=method):
                yield
            outcome = "answered"
        except StudioUnreachable:
            raise
        except StudioError:
            outcome = "refused"
            raise
        finally:
            self._counts.add("label_studio_al_studio_calls_total", method=method, outcome=outcome)

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """Turns what goes wrong with a call, or with reading its answer, into our errors."""
        try:
            yield
        except ApiError as exc:
            sentence = self._sentence(exc)
            if "reserved network address" in str(exc.body) or "is not allowed" in str(exc.body):
                raise AddressRefused(f"{ADDRESS_ADVICE}. It said: {_detail(exc.body)}", _subnet(exc.body)) from exc
            if "Enter a valid URL" in str(exc.body):
                raise AddressRefused(f"{DOTLESS_ADVICE}. It said: {_detail(exc.body)}") from exc
            if _UNRESOLVED in str(exc.body):
                raise AddressRefused(f"{NAME_ADVICE}. It said: {_detail(exc.body)}") from exc
            if exc.status_code is None or exc.status_code in _BUSY or exc.status_code >= 500:
                raise StudioUnreachable(sentence, retry_after=_retry_after(exc, self.clock.now())) from exc
            raise StudioRefused(sentence, code=exc.status_code) from exc
        except AnswerTooLarge as exc:
            raise TooLarge(f"Label Studio at {self.url} {exc}") from exc
        except AnswerTooSlow as exc:
            raise TooSlow(f"Label Studio at {self.url} {exc}") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            reason = tls_advice(str(exc)) or str(exc) or type(exc).__name__
            raise StudioUnreachable(f"Label Studio at {self.url} does not answer: {reason}") from exc
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            InvalidRequest,
        ) as exc:
            # Broken JSON, half an answer, or a page that is not Label Studio's.
            raise StudioUnreachable(
                f"Label Studio at {self.url} gave an answer that is not understood: {type(exc).__name__}"
            ) from exc

    def _sentence(self, exc: ApiError) -> str:
        detail = _detail(exc.body)
        if exc.status_code == 401:
            kind = token_kind(self._api_key)
            if kind == ACCESS:
                why = (
                    "an access token, which is valid for minutes: give the personal access token that it was made "
                    "from (Account & Settings)"
                )
            elif kind != LEGACY:
                why = "a personal access token: it has expired or was revoked; make a new one (Account & Settings)"
            elif _LEGACY_TOKENS_OFF in detail:
                why = (
                    "a legacy token, and this Label Studio has legacy tokens switched off: use a personal access token "
                    "(Account & Settings), or switch them on (Organization > API Tokens Settings)"
                )
            else:
                why = "no personal access token, so taken for a legacy token, and not one that it knows: copy it again"
            return f"Label Studio at {self.url} refuses LABEL_STUDIO_API_KEY, which is {why}"
        if exc.status_code == 403:
            return (
                f"Label Studio at {self.url} does not let the user of LABEL_STUDIO_API_KEY do this: "
                f"give them the right to change the project. It said: {detail}"
            )
        return f"Label Studio at {self.url} answered {exc.status_code}: {detail}"


class Part:
    """A part of what is asked of Label Studio."""

    def __init__(self, api: Api) -> None:
        self._api = api


def _is_worth_repeating(exc: BaseException) -> bool:
    """Whether the same call may well succeed in a second. One that says when it wants to be asked again, does not."""
    return isinstance(exc, StudioUnreachable) and not isinstance(exc, (TooLarge, TooSlow)) and exc.retry_after is None


def _retry_after(exc: ApiError, now: float) -> float | None:
    """Seconds that the server asks for: a number, or a date (RFC 9110, 10.2.3). None if it asks for none.

    300 at most: no server puts a project to sleep for years. now: what the time is if the server does not tell, by
    whose clock its date is meant.
    """
    headers = exc.headers or {}
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        moment, theirs = http_date(value), http_date(headers.get("date"))
        if moment is None:
            return None
        seconds = moment - (now if theirs is None else theirs)
    return None if math.isnan(seconds) else min(RETRY_AFTER_AT_MOST, max(0.0, seconds))


def http_date(value: str | None) -> float | None:
    """A date of HTTP's in seconds since 1970."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _api_error(answer: httpx.Response) -> ApiError:
    return ApiError(status_code=answer.status_code, headers=dict(answer.headers), body=_body(answer.content))


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content[:300].decode("utf-8", "replace")


def _detail(body: Any) -> str:
    """What Label Studio's error body says, in one line without markup or repetition."""
    if isinstance(body, dict):
        errors = body.get("validation_errors")
        if isinstance(errors, dict) and errors:
            body = "; ".join(str(error) for values in errors.values() for error in _listed(values))
        else:
            body = body.get("detail") or body
    text = str(body)
    if text.lstrip().startswith("<"):
        text = "a web page instead of JSON"
    return " ".join(_MARKUP.sub("", text).split())[:400]


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _subnet(body: Any) -> str | None:
    """The network that an address was refused for."""
    found = _BLOCKED.search(str(body))
    return None if found is None else found[1]
