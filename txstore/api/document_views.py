"""The OpenAPI document and the page that shows it: open to everybody, without anything from elsewhere."""

from __future__ import annotations

from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from txstore.api import openapi


class Document(APIView):
    """GET gives the OpenAPI document."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []
    schema = None

    def get(self, request: Request) -> Response:
        return Response(openapi.document())


class DocumentPage(SpectacularSwaggerView):
    """GET shows the OpenAPI document."""

    throttle_classes = []
