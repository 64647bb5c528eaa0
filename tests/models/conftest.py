import pytest


@pytest.fixture(scope="module", autouse=True)
def _compiled_quickly(compiled_quickly):
    return compiled_quickly
