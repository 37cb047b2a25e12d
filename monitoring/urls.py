"""The pages of the watch, below /admin/."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from monitoring import views

app_name = "monitoring"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="monitoring:cluster")),
    path("cluster/", views.cluster, name="cluster"),
    path("cluster/live/", views.cluster_live, name="cluster-live"),
    path("transactions/", views.transactions, name="transactions"),
    path("transactions/live/", views.transactions_live, name="transactions-live"),
    path("transactions/<str:id>/", views.transaction, name="transaction"),
]
