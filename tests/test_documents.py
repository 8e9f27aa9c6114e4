"""What is written for readers runs: code in documents, example programs, the page of the command line."""

import json
import re
import runpy
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.pictures import PICTURES
from benchmarks.real_sizes import SIZES
from pnpovss.backbones.registry import known_backbones
from pnpovss.datasets import open_dataset
from scripts.help import helps
from scripts.models_table import MEASURED, PAGE, filled
from scripts.site_nav import on_config
from tests.support import trees
from tests.support.serving import served

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
WITH_CODE = [document for document in DOCUMENTS if "\n```python\n" in document.read_text()]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def given(document: str, folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The values and files that a page takes as given."""
    if document == "crf.md":
        return {"photo": np.zeros((6, 8, 3), np.uint8), "softmax": np.full((3, 6, 8), 1 / 3, np.float32)}
    if document == "datasets.md":
        trees.voc(folder)
        return {"result": SimpleNamespace(labels=np.zeros((4, 6), np.uint8))}
    if document == "presence.md":
        return {"data": open_dataset("voc2012", trees.voc(folder))}
    if document == "service.md":
        return {"service": stack.enter_context(served(folder)).url.rstrip("/")}
    return {}


@pytest.mark.parametrize("document", WITH_CODE, ids=lambda path: path.name)
def test_code_in_documents_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with ExitStack() as stack:
        scope = given(document.name, tmp_path, stack)
        for block in re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE):
            exec(compile(block, document.name, "exec"), scope)


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out or set(tmp_path.rglob("*")) > before


def test_the_page_of_the_command_line_is_of_today():
    page = (ROOT / "docs/cli.md").read_text()
    sections = dict(re.findall(r"^## ([^\n]+)\n\n```text\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE))
    assert sections.keys() == helps().keys()
    for command, text in helps().items():
        # Where lines break is a matter of typer's release.
        assert sections[command].split() == text.split(), f"{command} --help has changed: run scripts/docs"


def test_the_table_of_models_says_what_was_measured():
    page = PAGE.read_text()
    found = json.loads(MEASURED.read_text())
    assert filled(page, found) == page, "other costs were measured: run scripts/docs"
    faster = json.loads(MEASURED.read_text().replace('"3": ', '"3": 1'))
    assert filled(page, faster) != page
    named = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert {SIZES[name].like for name in found} <= set(named)
    listed = {model for spec in known_backbones().values() for model in spec.models}
    assert set(named) <= listed, "the page says that `pnpovss models` lists more"


def test_every_picture_of_a_page_is_made_by_a_command():
    shown = {
        Path(target).stem
        for document in [ROOT / "README.md", *DOCUMENTS]
        for target in re.findall(r"!\[[^\]]*\]\((?:docs/)?pictures/([^)]+)\)", document.read_text())
    }
    there = {path.stem for path in (ROOT / "docs/pictures").glob("*.webp")}
    assert shown <= there <= set(PICTURES)
    assert sum(path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()) < 4_000_000


def test_the_site_lists_pages_that_are_there_and_those_that_nobody_listed(tmp_path: Path):
    for page in ("index.md", "new.md", "tutorials/first.md", "repository/x.md"):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).touch()
    nav = [{"Home": "index.md"}, {"Gone": ["gone.md"]}, {"Tutorials": ["tutorials/first.md", "tutorials/gone.md"]}]
    config = on_config(SimpleNamespace(docs_dir=str(tmp_path), nav=nav))
    assert config.nav == [{"Home": "index.md"}, {"Tutorials": ["tutorials/first.md"]}, {"More": ["new.md"]}]
