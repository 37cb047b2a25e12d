"""From the bytes of a body to JSON values, stricter than `json`: one meaning or a refusal.

Refused: a body over the limit (before it is read), what is not UTF-8 or not JSON, a key twice in one object, NaN and
infinities, numbers and nestings that would take the parser down.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.conf import settings
from django.http import UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from nodes.errors import BadRequest, TooLarge


class StrictJSONParser(BaseParser):
    """DRF's door to `parse`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        length = int(stream.META.get("CONTENT_LENGTH") or 0)
        if length > settings.MAX_BODY_BYTES:
            raise TooLarge(f"The body has {length} bytes; at most {settings.MAX_BODY_BYTES} are taken.")
        try:
            return parse(stream.read())
        except UnreadablePostError as error:
            raise BadRequest("The body ended too early.") from error


class AlwaysJSON(BaseContentNegotiation):
    """There is one form of answer, so an Accept header chooses nothing."""

    def select_parser(self, request: Request, parsers: list[BaseParser]) -> BaseParser | None:
        kind, parameters = parse_header_parameters(request.content_type or "")
        charset = parameters.get("charset", "utf-8").lower()
        return parsers[0] if kind == parsers[0].media_type and charset in ("utf-8", "utf8") else None

    def select_renderer(
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


def parse(body: bytes) -> Any:
    """The JSON value of a body; BadRequest in every other case."""
    try:
        return _decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: dict[str, Any] = {}
        twice = next(key for key, _ in pairs if key in seen or seen.setdefault(key, None))
        raise BadRequest(f"The key {twice!r} stands twice in one object.")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest(f"The number {text[:40]} is out of range.", sqlstate="22003")
    return number


def _integer(text: str) -> int:
    if len(text) > 1000:
        raise BadRequest("A number is out of range.", sqlstate="22003")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not JSON.")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant, strict=True
)
