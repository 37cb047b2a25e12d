"""Tokens on Django's admin pages: made for a user, told once, revoked by deleting them. Superusers only.

A token cannot be changed, and what is kept of it tells nobody what it was: the page that follows its making is the
only one that shows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from knox.admin import AuthTokenAdmin, AuthTokenCreateForm
from knox.models import AuthToken
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from txstore.api.tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S


def default_expiry() -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(seconds=DEFAULT_LIFETIME_S)


class TokenForm(AuthTokenCreateForm):
    """Every token has an end, as over REST."""

    expiry = forms.SplitDateTimeField(initial=default_expiry, widget=UnfoldAdminSplitDateTimeWidget())

    def clean_expiry(self) -> datetime:
        expiry: datetime = self.cleaned_data["expiry"]
        left_s = (expiry - timezone.now()).total_seconds()
        if not 0 < left_s <= MAX_LIFETIME_S:
            raise forms.ValidationError(f"A token ends at most {MAX_LIFETIME_S // 86_400} days from now.")
        return expiry


admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(AuthTokenAdmin, ModelAdmin):
    """`id` is the beginning of the token, as over REST."""

    add_form = TokenForm
    list_display = ("id", "user", "created", "expiry")
    list_filter = ("user",)
    search_fields = ("token_key", "user__username")
    autocomplete_fields = ("user",)
    raw_id_fields = ()

    @admin.display(ordering="token_key")
    def id(self, row: AuthToken) -> str:
        return str(row.token_key)

    def save_model(self, request: HttpRequest, obj: AuthToken, form: Any, change: bool) -> None:
        obj.told = form.token
        obj.save()

    def response_add(self, request: HttpRequest, obj: AuthToken, post_url_continue: str | None = None) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "title": "The new token", "row": obj, "opts": self.opts}
        return TemplateResponse(request, "admin/knox/authtoken/made.html", context)

    def has_view_permission(self, request: HttpRequest, obj: AuthToken | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_add_permission = has_delete_permission = has_module_permission = has_view_permission

    def has_change_permission(self, request: HttpRequest, obj: AuthToken | None = None) -> bool:
        return False
