"""Every address of the web server. Whatever else begins with /api/ is answered in problem+json, too."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from txstore import doubts_page, group_page, nodes_page
from txstore.api import (
    catalog_views,
    document_views,
    errors,
    group_views,
    health,
    interactive_views,
    node_views,
    token_views,
    views,
)

admin.autodiscover()

NODE_PAGES = [
    path("", nodes_page.nodes, name="nodes"),
    path("live/", nodes_page.nodes_live, name="nodes-live"),
    path("<int:node>/add/", nodes_page.add, name="node-add"),
    path("<int:node>/leave/", nodes_page.leave, name="node-leave"),
]
DOUBT_PAGES = [
    path("", doubts_page.doubts, name="doubts"),
    path("live/", doubts_page.doubts_live, name="doubts-live"),
    path("<str:id>/resolve/", doubts_page.resolve, name="doubt-resolve"),
]
urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("api/v1/transactions", views.Transactions.as_view()),
    path("api/v1/transactions/<str:id>", views.TransactionFate.as_view(), name="transaction"),
    path("api/v1/transactions/<str:id>/fence", views.TransactionFence.as_view()),
    path("api/v1/transactions/<str:id>/trace", views.TransactionTrace.as_view()),
    path("api/v1/transactions/<str:id>/statements", interactive_views.TransactionStatements.as_view()),
    path("api/v1/transactions/<str:id>/commit", interactive_views.TransactionCommit.as_view()),
    path("api/v1/transactions/<str:id>/rollback", interactive_views.TransactionRollback.as_view()),
    path("api/v1/transactions/<str:id>/savepoints", interactive_views.Savepoints.as_view()),
    path("api/v1/transactions/<str:id>/savepoints/<str:name>/rollback", interactive_views.SavepointRollback.as_view()),
    path("api/v1/cluster", views.ClusterStatus.as_view()),
    path("api/v1/groups/<str:group>/leader", group_views.GroupLeader.as_view()),
    path("api/v1/nodes", node_views.Nodes.as_view()),
    path("api/v1/nodes/<int:node>", node_views.OneNode.as_view()),
    path("api/v1/nodes/<int:node>/successor", node_views.NodeSuccessor.as_view()),
    path("api/v1/tables", catalog_views.Tables.as_view()),
    path("api/v1/tables/<path:name>", catalog_views.OneTable.as_view()),
    path("api/v1/shards", catalog_views.Shards.as_view()),
    path("api/v1/tokens", token_views.Tokens.as_view()),
    path("api/v1/tokens/<str:id>", token_views.OneToken.as_view()),
    path("api/v1/health", health.Health.as_view()),
    path("api/v1/health/flips", health.HealthFlips.as_view()),
    path("api/schema/", document_views.Document.as_view(), name="schema"),
    path("api/docs/", document_views.DocumentPage.as_view()),
    re_path("^api(?:/|$)", views.no_such_path),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("admin/cluster/groups/", include([path("<str:name>/", group_page.group, name="group")])),
    path("admin/cluster/nodes/", include(NODE_PAGES)),
    path("admin/in-doubt/", include(DOUBT_PAGES)),
    path("admin/", include("monitoring.urls")),
    path("admin/", admin.site.urls),
]

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
