"""What holds for all tests.

Shapes and types of signatures are checked at every call, but in tests marked `wrong_types`. Tests that need an extra
which development does without are skipped where it is missing; `--extras` runs these alone.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.support.shapes import check_signatures, unchecked

check_signatures()


@cache
def missing(extra: str) -> list[str]:
    """Packages of an extra of this project that are not installed."""
    requirements = [Requirement(line) for line in metadata.requires("pnpovss") or []]
    wanted = [each.name for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
    assert wanted, f"pyproject.toml has no extra {extra!r}, or this installation is older than it"
    there = {distribution.metadata["Name"].lower().replace("_", "-") for distribution in metadata.distributions()}
    return [name for name in wanted if name.lower().replace("_", "-") not in there]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--extras", action="store_true", help="run only what needs an extra, and let nothing be skipped")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("extras"):
        others = [item for item in items if item.get_closest_marker("extra") is None]
        items[:] = [item for item in items if item.get_closest_marker("extra")]
        config.hook.pytest_deselected(items=others)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("extra"):
        [extra] = mark.args
        if packages := missing(extra):
            told = f"needs {', '.join(packages)}: pip install -e '.[{extra}]'"
            (pytest.fail if item.config.getoption("extras") else pytest.skip)(told)


@pytest.fixture(autouse=True)
def signatures(request: pytest.FixtureRequest) -> Iterator[None]:
    with unchecked() if request.node.get_closest_marker("wrong_types") else nullcontext():
        yield
