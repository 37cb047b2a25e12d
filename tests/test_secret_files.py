"""A variable's value may lie in a file."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from txstore.secret_files import NAMES, with_files


@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_the_text_of_the_file(tmp_path, name):
    (tmp_path / "value").write_text("redis://:password@redis/0\n")
    assert with_files({f"{name}_FILE": str(tmp_path / "value")})[name] == "redis://:password@redis/0"
    assert with_files({name: "as it is", f"{name}_FILE": ""})[name] == "as it is"


def test_a_file_that_is_not_there_and_two_values_are_refused(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL_FILE cannot be read"):
        with_files({"DATABASE_URL_FILE": str(tmp_path / "nowhere")})
    (tmp_path / "value").write_text("x")
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL_FILE are both set"):
        with_files({"DATABASE_URL": "x", "DATABASE_URL_FILE": str(tmp_path / "value")})
