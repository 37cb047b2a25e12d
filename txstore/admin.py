"""The admin pages of the front: tokens, and Django's own users and groups in the theme."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from monitoring.admin import ReadOnlyAdmin, moment
from txstore import token_admin as token_admin
from txstore.models import Operation

OUTCOMES = {"happened": "success", "asked": "info", "unknown": "warning", "did_not_happen": "danger"}

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class Users(UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class Groups(GroupAdmin, ModelAdmin):
    pass


@admin.register(Operation)
class Operations(ReadOnlyAdmin):
    """What operators did, newest first."""

    list_display = (moment("at"), "by", "via", "what", "told", "words")
    list_filter = ("via", "outcome")
    search_fields = ("by", "what")

    @display(description="outcome", ordering="outcome", label=OUTCOMES)
    def told(self, row: Operation) -> str:
        return row.outcome
