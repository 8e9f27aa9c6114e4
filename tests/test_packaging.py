"""What pyproject.toml says of other packages: lower bounds for all, and a lock file that keeps to them."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lowest import lowest

ROOT = Path(__file__).parent.parent
REQUIREMENTS = [Requirement(line) for line in metadata.requires("pnpovss") or []]
OTHERS = [each for each in REQUIREMENTS if each.name != "pnpovss"]


@pytest.mark.parametrize("requirement", OTHERS, ids=str)
def test_every_dependency_has_a_lower_bound(requirement: Requirement):
    name, _, version = lowest(requirement).partition("==")
    assert name == requirement.name
    assert requirement.specifier.contains(version)


def test_the_lock_keeps_to_the_requirements():
    """`uv lock` writes it anew."""
    text = (ROOT / "uv.lock").read_text()
    locked = re.findall(r'^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"$', text, re.MULTILINE)
    for requirement in OTHERS:
        versions = [version for name, version in locked if name == canonicalize_name(requirement.name)]
        assert versions, f"uv.lock lacks {requirement.name}"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_lock_names_public_addresses_only():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
