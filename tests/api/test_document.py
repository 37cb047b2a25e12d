"""The OpenAPI document is valid, complete, and open; its page takes everything from this server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import URLPattern
from jsonschema import Draft202012Validator

from nodes.errors import ErrorInfo
from tests.api.conftest import FakeCluster
from txstore import urls
from txstore.api import errors
from txstore.api.components import SCHEMAS
from txstore.api.examples import PROBLEMS
from txstore.api.openapi import document

OPEN = {"/healthz", "/readyz", "/api/schema/", "/api/docs/"}


@pytest.fixture
def told(client: Any) -> dict[str, Any]:
    response = client.get("/api/schema/")
    assert response["Content-Type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, methods in told["paths"].items() for method, each in methods.items()]


def fitting(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}})


def test_every_address_of_the_api_is_described_and_no_other(told: dict[str, Any]) -> None:
    routes = {str(each.pattern) for each in urls.urlpatterns if isinstance(each, URLPattern)}
    named = {"/" + re.sub("<[a-z]+:([a-z]+)>", r"{\1}", route) for route in routes if not route.startswith("^")}
    assert set(told["paths"]) == named - {"/"}


def test_every_verb_is_described_with_the_methods_that_it_takes(told: dict[str, Any], api: Any) -> None:
    for path, methods in told["paths"].items():
        if path not in OPEN:
            refused = api.generic("PATCH", re.sub("{.*?}", "0", path))
            taken = {method.strip().lower() for method in refused["Allow"].split(",")} - {"head"}
            assert (path, set(methods)) == (path, taken)


def test_every_path_of_the_api_names_the_errors_that_each_has(told: dict[str, Any]) -> None:
    for path, _, operation in operations(told):
        if path in OPEN:
            assert operation["security"] == [{}]
            continue
        assert operation["security"] == [{"bearer": []}]
        assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"])
        assert ("404" in operation["responses"]) >= ("{" in path)
        assert ({"413", "415"} <= set(operation["responses"])) == ("requestBody" in operation)
    assert told["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}


def test_every_status_and_code_of_the_table_has_its_answer_with_an_example(told: dict[str, Any]) -> None:
    answers = told["components"]["responses"]
    assert set(answers) == {f"Error{row.status}" for row in errors.TABLE.values()}
    shown = {code for answer in answers.values() for code in answer["content"][errors.PROBLEM]["examples"]}
    # Nobody is ever told that results were lost: the answer says so itself.
    assert shown == set(errors.TABLE) - {"results_lost"}
    for answer in answers.values():
        content = answer["content"][errors.PROBLEM]
        validator = Draft202012Validator({**content["schema"], "components": told["components"]})
        for example in content["examples"].values():
            validator.validate(example["value"])


@pytest.mark.parametrize("info", PROBLEMS, ids=lambda info: info.code)
def test_an_example_of_an_error_says_what_its_class_says(info: ErrorInfo) -> None:
    from nodes.errors import StoreError

    known = type(StoreError.of(info))
    assert (info.outcome, info.retryable) == (known.outcome, known.retryable) or known is StoreError


def test_every_reference_leads_somewhere(told: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    found = set(references(told))
    assert found
    for reference in found:
        at: Any = told
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
    names = {each["operationId"] for _, _, each in operations(told)}
    linked = {
        link["operationId"]
        for _, _, each in operations(told)
        for answer in each["responses"].values()
        for link in answer.get("links", {}).values()
    }
    assert linked
    assert linked <= names


def test_every_shape_is_json_schema() -> None:
    for name in SCHEMAS:
        Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(
    "body",
    [{"statements": []}, {"statements": [{"sql": "x", "y": 1}]}, {"mode": "interactive", "read_only": True}],
)
def test_the_document_refuses_what_the_api_refuses(body: Any, api: Any, cluster: FakeCluster) -> None:
    assert not fitting("Transaction").is_valid(body)
    assert api.post("/api/v1/transactions", body, content_type="application/json").status_code == 400


def test_the_answers_of_the_store_fit(api: Any, cluster: FakeCluster) -> None:
    body = {"statements": [{"sql": "SELECT 1"}]}
    fitting("Reply").validate(api.post("/api/v1/transactions", body, content_type="application/json").json())
    for path, name in (
        ("cluster", "Cluster"),
        ("tables", "Tables"),
        ("shards", "Shards"),
        ("tokens", "Tokens"),
        ("nodes", "Nodes"),
    ):
        fitting(name).validate(api.get(f"/api/v1/{path}").json())


def test_the_document_is_built_once() -> None:
    assert document() is document()


def test_the_page_needs_no_token_and_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert sources
    for source in sources:
        assert source.startswith("/static/"), source
        assert client.get(source).status_code == 200, source
    assert "http://" not in text
    assert "https://" not in text
