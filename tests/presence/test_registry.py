"""Filters that other packages bring: installed for real, asked for on the command line, broken without harm."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image

from pnpovss import plugins
from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence import (
    Photo,
    Presence,
    PresenceFilter,
    PresenceSpec,
    known_filters,
    make_presence,
    parse_presence,
    register,
    registry,
)
from pnpovss.presence.given import AllNames
from tests.support.program_calls import save_flag

ROOT = Path(__file__).parents[2]
OWN = ["all", "oracle", "itm", "itc", "itm+itc", "itm+itc+attention", "file", "clip", "llm"]
NAMES = (Name("cat"), Name("dog"))
PHOTO = Photo(Image.new("RGB", (8, 8)), "cat_on_sofa.jpg")


def example_of_the_documentation() -> str:
    page = (ROOT / "docs" / "presence.md").read_text()
    [program] = re.findall(r"```python\n(# filename_filter\.py\n.*?)```", page, flags=re.DOTALL)
    return program


def install(folder: Path, package: str, code: str, **points: str) -> None:
    """A package as pip leaves it: its module and its metadata."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = "\n".join(f"{key} = {value}" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[pnpovss.presence]\n{lines}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, and a registry that has not looked yet."""
    monkeypatch.syspath_prepend(tmp_path)
    own = registry._filters
    fresh = plugins.Registry(own._what, own._kind, own._group, own._own)
    monkeypatch.setattr(registry, "_filters", fresh)
    monkeypatch.setattr(plugins, "entry_points", lambda group: entry_points(group=group))
    return tmp_path


def test_the_example_of_the_documentation(site: Path):
    install(site, "filename_filter", example_of_the_documentation(), filename="filename_filter:SPEC")
    assert list(known_filters()) == [*OWN, "filename"]
    filter = make_presence("filename:_")
    assert isinstance(filter, PresenceFilter)
    assert filter.decide(PHOTO, NAMES) == Presence((0,), (1.0, 0.0))
    with pytest.raises(PresenceError, match="give one character"):
        parse_presence("filename:abc")


def test_it_works_on_the_command_line(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    install(site, "filename_filter", example_of_the_documentation(), filename="filename_filter:SPEC")
    save_flag(tmp_path / "red_and_blue.png")
    program = [sys.executable, "-m", "tests.support.program", "segment", str(tmp_path / "red_and_blue.png")]
    options = ["--names", "red, green, blue", "--presence", "filename:_", "--model", "fake", "--out", str(tmp_path)]
    path = os.pathsep.join([str(site), str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [*program, *options], cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "red_and_blue.json").read_text())
    assert told["presence"] == {
        "filter": "filename:_", "scores": {"red": 1.0, "green": 0.0, "blue": 1.0}, "note": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("SPEC = 3", "TypeError: expected a PresenceSpec, got int"),
        ("raise RuntimeError('bang')", "RuntimeError: bang"),
        (
            "from pnpovss.presence import PresenceSpec\nSPEC = PresenceSpec('other', '', print)",
            "ValueError: its key is 'other'",
        ),
    ],
)
def test_a_broken_filter_breaks_nobody(site: Path, caplog: pytest.LogCaptureFixture, code: str, reason: str):
    install(site, "broken_filter", code, shattered="broken_filter:SPEC")
    for _ in range(2):
        assert make_presence("all").decide(PHOTO, NAMES).kept == (0, 1)
        assert list(known_filters()) == OWN
    assert caplog.text.count("'shattered' of the package broken_filter 1.2 cannot be used") == 1
    with pytest.raises(PresenceError, match=re.escape(reason) + ".*update or uninstall broken_filter"):
        make_presence("shattered:3")
    sys.modules.pop("broken_filter", None)


def test_own_filters_cannot_be_replaced(site: Path, caplog: pytest.LogCaptureFixture):
    install(site, "taking_filter", "raise RuntimeError", itm="taking_filter:SPEC")
    assert known_filters()["itm"].summary.startswith("the model's matching head")
    with pytest.raises(ValueError, match="there is a presence filter with key 'all' already"):
        register(PresenceSpec("all", "", lambda argument, context: AllNames()))
    spec = PresenceSpec("mine", "", lambda argument, context: AllNames())
    assert register(spec) is register(spec)
    with pytest.raises(ValueError, match="key 'mine' already"):
        register(PresenceSpec("mine", "", lambda argument, context: AllNames()))
    assert isinstance(make_presence("mine"), AllNames)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(lambda a, c: 1 / 0, "cannot be made: ZeroDivisionError"), (lambda a, c: 3, "made a int, without key, decide")],
)
def test_a_filter_that_cannot_be_made_says_so(site: Path, make, reason: str):
    register(PresenceSpec("mine", "", make))
    with pytest.raises(PresenceError, match=f"'mine' {reason}"):
        make_presence("mine")


@pytest.mark.parametrize(
    ("kept", "scores", "says"),
    [
        ((0,), (float("nan"),), "gave the score nan"),
        ((0,), (float("inf"),), "gave the score inf"),
        ((1,), (0.5,), r"kept \[1\] of 1 names"),
        ((1, 0), (0.5, 0.5), r"kept \[1, 0\]"),
        ((0, 0), (0.5, 0.5), r"kept \[0, 0\]"),
        ((-1,), (0.5,), r"kept \[-1\]"),
    ],
)
def test_what_no_filter_may_answer(kept, scores, says):
    with pytest.raises(PresenceError, match=says):
        Presence(kept, scores)
