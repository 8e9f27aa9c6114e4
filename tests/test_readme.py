"""What the documents say is so: snippets run, tables match the settings, and every link leads somewhere."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pnpovss
from scripts import settings_page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "examples").glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_snippet_runs_and_its_comments_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    [snippet] = blocks(README, "python")
    statements = [line for line in snippet.splitlines() if line.strip()]
    assert len(statements) <= 10
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(snippet, "README.md", "exec"), scope)
    result = scope["result"]
    size = {"h": result.size[0], "w": result.size[1]}
    checked = 0
    for line in statements:
        said = re.match(r"(result\S*)  # (\w+) \(([\w, ]+)\)", line)
        if said:
            value = eval(said[1], scope)
            assert value.dtype == np.dtype(said[2])
            assert value.shape == tuple(size.get(axis) or int(axis) for axis in said[3].split(", "))
            checked += 1
    assert checked == 4
    assert (tmp_path / "dog.overlay.png").stat().st_size > 0


def test_the_page_of_settings_is_of_today():
    assert (ROOT / "docs/settings.md").read_text() == settings_page.page(), "run scripts/docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_map_of_the_source_is_complete():
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## Map of the source")[1].split("## To add")[0]
    mapped = set(re.findall(r"`([\w]+(?:\.py|/))`", table))
    source = Path(pnpovss.__file__).parent
    there = {path.name for path in source.glob("*.py") if path.name != "__init__.py"}
    there |= {f"{path.parent.name}/" for path in source.glob("*/__init__.py")}
    assert there <= mapped
    assert mapped - there <= {"fakes.py", "training/", "benchmarks/", "tests/", "base.py", "main.py", "parts/"}
