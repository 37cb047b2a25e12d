"""What the watch knows, over REST: the state of every check now, and the changes of states, newest first, in pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.health import flips, health
from monitoring.rules import TITLES
from monitoring.verdicts import STATES
from nodes.errors import BadRequest
from txstore.api.shapes import TEXT
from txstore.api.store_view import StoreView

PAGE, PAGE_MAX = 50, 500
ID_MAX = 2**63 - 1
PARAMETERS = ("limit", "after", "check", "subject")


class SubjectForm(serializers.Serializer):
    """Where one subject of a check stands."""

    subject = serializers.CharField(help_text="a node, a group, or the cluster")
    state = serializers.ChoiceField(STATES)
    since = serializers.DateTimeField(help_text="when the state began")
    words = serializers.CharField(help_text="of the last sample")
    value = serializers.FloatField(allow_null=True, help_text="what was measured last")


class CheckForm(serializers.Serializer):
    """One check: its last run, and its subjects."""

    check = serializers.ChoiceField(list(TITLES))
    title = serializers.CharField()
    enabled = serializers.BooleanField()
    every_s = serializers.FloatField(allow_null=True, help_text="null when it is off or its schedule is no interval")
    state = serializers.ChoiceField(STATES, help_text="the worst of its subjects; unknown when it is stale")
    at = serializers.DateTimeField(allow_null=True, help_text="of the last run")
    took_ms = serializers.IntegerField(allow_null=True)
    words = serializers.CharField(help_text="of the worst sample of the last run")
    stale = serializers.BooleanField(help_text="it has missed so many runs that its result tells nothing any more")
    subjects = SubjectForm(many=True)


class HealthForm(serializers.Serializer):
    """The state of all: the worst of the checks that are switched on."""

    state = serializers.ChoiceField(STATES)
    checks = CheckForm(many=True)


class FlipForm(serializers.Serializer):
    """A change of a state, with its cause."""

    id = serializers.IntegerField()
    check = serializers.CharField()
    subject = serializers.CharField()
    at = serializers.DateTimeField()
    before = serializers.ChoiceField(STATES)
    after = serializers.ChoiceField(STATES)
    cause = serializers.CharField()
    told_at = serializers.DateTimeField(allow_null=True, help_text="when the webhook took it")


class FlipPageForm(serializers.Serializer):
    results = FlipForm(many=True)
    next = serializers.CharField(allow_null=True, help_text="the path of the next page; null on the last")


class Health(StoreView):
    """GET tells the state of every check and of each of its subjects."""

    @extend_schema(operation_id="health", responses=HealthForm)
    def get(self, request: Request) -> Response:
        return Response(HealthForm(health(timezone.now())).data)


class HealthFlips(StoreView):
    """GET tells what changed, newest first."""

    known = {"GET": PARAMETERS}

    @extend_schema(
        operation_id="health_flips",
        parameters=[
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE}),
            OpenApiParameter(
                "after",
                {"type": "integer", "minimum": 1, "maximum": ID_MAX},
                description="the id of the last flip of the page before",
            ),
            OpenApiParameter("check", str, enum=list(TITLES), description="only of this check"),
            OpenApiParameter("subject", {"type": "string", "pattern": TEXT}, description="only of this subject"),
        ],
        responses=FlipPageForm,
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit", str(PAGE)), "limit", PAGE_MAX)
        after = _number(query["after"], "after", ID_MAX) if "after" in query else None
        check, subject = query.get("check", ""), _text(query.get("subject", ""))
        if "check" in query and check not in TITLES:
            raise BadRequest(f"There is no check {check[:80]!r}; there are {', '.join(TITLES)}.")
        found = flips(limit + 1, after, check, subject)
        return Response(FlipPageForm({"results": found[:limit], "next": _next(request, found, limit)}).data)


def _number(text: str, name: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= len(text) <= 19 or not 1 <= int(text) <= most:
        raise BadRequest(f"{name} must be a whole number from 1 to {most}, not {text[:40]!r}.")
    return int(text)


def _text(text: str) -> str:
    if "\0" in text:
        raise BadRequest("subject contains a NUL character.", sqlstate="22021")
    return text


def _next(request: Request, found: list[dict[str, Any]], limit: int) -> str | None:
    """One flip more than the page holds was asked for, to know whether there is another page."""
    if len(found) <= limit:
        return None
    kept = {name: value for name, value in request.query_params.items() if name != "after"}
    return f"{request.path}?{urlencode({**kept, 'after': found[limit - 1]['id']})}"
