"""One request to one endpoint, on the openai client with its own retries switched off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from choose.models.endpoints.retry import Fault, of_connection, of_error_in_200, of_status
from choose.models.endpoints.settings import Endpoint, scrubbed

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON object that came with HTTP 200, the headers, and how long it took in seconds."""

    payload: dict[str, Any]
    headers: Mapping[str, str]
    seconds: float


class Wire:
    """The HTTP side of an endpoint; it lives in one event loop.

    `transport` replaces the network in tests.
    """

    def __init__(self, endpoint: Endpoint, key: str | None, transport: Any = None) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit

        self._keys, self._timeout = [key] if key else [], endpoint.timeout
        parts = urlsplit(endpoint.base_url)
        network: dict[str, Any] = {"transport": transport} if transport is not None else {}
        # Rows go to the host that was confirmed: not where it redirects, and a server on this
        # machine is never reached through a proxy.
        network |= {"follow_redirects": False, "trust_env": not endpoint.stays_here}
        self._client = AsyncOpenAI(
            base_url=parts._replace(query="").geturl(),
            api_key=key or "none",
            default_query=dict(parse_qsl(parts.query)),
            max_retries=0,
            timeout=endpoint.timeout,
            http_client=DefaultAsyncHttpxClient(**network),
        )
        self._headers: dict[str, Any] = {}
        if parts.hostname != "api.openai.com":
            # These come from the environment and are none of another server's business.
            self._headers = dict.fromkeys(("OpenAI-Organization", "OpenAI-Project"), Omit())
        if key is None or endpoint.api_key_header:
            self._headers["Authorization"] = Omit()
        if key is not None and endpoint.api_key_header:
            self._headers[endpoint.api_key_header] = key

    async def post(self, body: Body) -> Reply:
        """Send one chat completion.

        Raises:
            Fault: whatever went wrong, in words that hold no key.
        """
        import openai

        start = perf_counter()
        try:
            # The client's own limit is on silence; a server that drips would never meet it.
            async with asyncio.timeout(self._timeout):
                response = await self._send(body)
        except openai.APIStatusError as error:
            raise self._refusal(error.response) from None
        except TimeoutError:
            raise of_connection("it did not answer in time", sent=True) from None
        except openai.APITimeoutError as error:
            unsent = type(error.__cause__).__name__ in ("ConnectTimeout", "PoolTimeout")
            raise of_connection("it did not answer in time", sent=not unsent) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            said = scrubbed(str(cause) or type(cause).__name__, self._keys)
            unsent = type(cause).__name__ in ("ConnectError", "ProxyError", "UnsupportedProtocol")
            raise of_connection(said, sent=not unsent) from None
        except Exception as error:  # whatever else a client raises may quote a header
            said = scrubbed(f"{type(error).__name__}: {error}", self._keys)
            raise Fault("unsure", said) from None
        return Reply(self._payload(response.text), response.headers, perf_counter() - start)

    async def _send(self, body: Body) -> Any:
        raw = await self._client.chat.completions.with_raw_response.create(
            model=body["model"],
            messages=body["messages"],
            extra_body={k: v for k, v in body.items() if k not in ("model", "messages")},
            extra_headers=self._headers,
        )
        return raw.http_response

    def _payload(self, text: str) -> dict[str, Any]:
        """Return what came with HTTP 200, if it is an answer and no error in its clothes."""
        found = _object(text)
        if (error := _error_in(found)) is not None:
            raise of_error_in_200(_code_of(error), scrubbed(_words(error), self._keys))
        if not ("choices" in found or "usage" in found):
            raise Fault("unsure", "it answered with JSON that is no chat completion")
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _refusal(self, response: Any) -> Fault:
        headers = response.headers
        said = scrubbed(_told(response.text), self._keys)
        if 300 <= response.status_code < 400:
            said = f"it sends us to {scrubbed(headers.get('location', 'nowhere'), self._keys)}"
        return of_status(response.status_code, said, pause_of(headers))


def pause_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that ``Retry-After`` names, as a number or as a date."""
    try:
        if (millis := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(millis) / 1000)
        if (text := headers.get("retry-after")) is None:
            return None
        if text.strip().replace(".", "", 1).isdigit():
            return float(text)
        when = parsedate_to_datetime(text)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        html = text.lstrip()[:1] == "<"
        what = "HTML instead of JSON" if html else "what is not JSON"
        raise Fault("unsure", f"it answered with {what}") from None
    if not isinstance(found, dict):
        raise Fault("unsure", "it answered with JSON that is no chat completion")
    return found


def _error_in(found: Mapping[str, Any]) -> Any:
    """Return the error that stands where an answer should: gateways send one with HTTP 200."""
    choices = found.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, dict):
        told = first.get("message")
        content = told.get("content") if isinstance(told, dict) else None
        return None if content else first.get("error") or None
    return found.get("error") or None


def _code_of(error: Any) -> int | None:
    """Return the HTTP status that an error names, if it does."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    text = str(code)
    return int(text) if text.isdecimal() and 400 <= int(text) < 600 else None


def _told(text: str) -> str:
    """Return what a server says in the body of an error."""
    if text.lstrip()[:1] == "<":
        return "an HTML page"
    try:
        return _words(json.loads(text))
    except ValueError:
        return text


def _words(found: Any) -> str:
    """Return what an error says, whatever shape it has."""
    for name in ("error", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    if not isinstance(found, dict):
        return str(found)
    message = str(found.get("message") or found)
    codes = [str(found[name]) for name in ("code", "type", "param") if found.get(name)]
    return f"{message} ({', '.join(codes)})" if codes else message
