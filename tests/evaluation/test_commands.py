"""eval, report, ablate and sweep through the program itself."""

import re

import pytest

from pnpovss.evaluation.runs.folder import read_run
from tests.support.chat_server import ChatServer, answer
from tests.support.colours import colour_dataset
from tests.support.fakes import colour_backbone
from tests.support.program_fixtures import program_over


@pytest.fixture
def program(monkeypatch, tmp_path):
    """The program with a backbone by hand, and a data set of colours in whatever folder."""
    return program_over(monkeypatch, tmp_path, colour_backbone(), colour_dataset)


COMMON = ("--root", "data", "--model", "fake", "--preset", "paper")


def test_measure_then_report(program, tmp_path):
    first = program("eval", "colours", *COMMON, "--out", "one", "--without", "crf", "--save-maps")
    assert re.search(r"mIoU \d\d\.\d, pixels \d\d\.\d, fwIoU \d\d\.\d", first)
    assert "colours, all 6, field protocol, names: oracle, fake, preset paper" in first
    lines = re.findall(r"^(\d) of 6, mIoU [\d.]+, \d+ s left$", first, re.MULTILINE)
    assert lines == list("123456"), "progress, where there is no terminal for a bar"
    assert len(list((tmp_path / "one" / "maps").glob("*.png"))) == 6
    program("eval", "colours", *COMMON, "--out", "two", "--presence", "all", "--limit", "3", "--set", "crf=none")
    program("report", "one", "two", "--out", "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| two | colours | subset of 3 of 6 | field | all |" in text
    assert (tmp_path / "report" / "report.html").read_text().startswith("<!doctype html>")


def test_other_settings_are_refused_in_a_line(program):
    program("eval", "colours", *COMMON, "--out", "one", "--without", "crf", "--limit", "1")
    output = program("eval", "colours", *COMMON, "--out", "one", "--without", "blur", "--limit", "1", code=2)
    assert "another config" in output
    assert "Traceback" not in output


def test_a_bar_of_the_step_that_the_filter_replaces_is_refused(program):
    output = program("eval", "colours", *COMMON, "--out", "one", "--set", "presence.above=0.2", code=2)
    assert "presence.above is of the step presence, in whose place the filter 'oracle' decides" in output


def test_ablate_writes_its_table(program, tmp_path):
    output = program("ablate", "colours", *COMMON, "--out", "run", "--steps", "dropout,blur", "--set", "crf=none")
    assert output.count("\n|") >= 3
    table = (tmp_path / "run" / "ablation.md").read_text()
    assert "| without blur |" in table
    assert "field protocol" in table


@pytest.mark.parametrize(("axis", "rows"), [("heads", 1), ("threshold", 3)])
def test_sweep_writes_a_table_and_a_picture(program, tmp_path, axis, rows):
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    values = ["--values", "0.1", "--values", "0.3"] if axis == "threshold" else []
    program("sweep", axis, "colours", *COMMON, "--out", "run", "--without", "crf", *values)
    assert len((tmp_path / "run" / "sweep.csv").read_text().splitlines()) == 1 + rows
    assert (tmp_path / "run" / "sweep.png").exists()


@pytest.mark.parametrize(
    ("axis", "values", "message"),
    [
        ("threshold", "much", "wants numbers"),
        ("dropout", "2.5", "a sweep over dropout takes whole numbers, got 2.5"),
        ("size", "16,16.5", "a sweep over size takes whole numbers, got 16.5"),
        ("heads", "1,2", "a sweep over heads takes all of them"),
    ],
)
def test_values_that_cannot_be(program, tmp_path, axis, values, message):
    assert message in program("sweep", axis, "colours", *COMMON, "--out", "run", "--values", values, code=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", ["file", "file/run", "x" * 300])
def test_a_folder_that_cannot_be_is_no_bug(program, tmp_path, out):
    (tmp_path / "file").write_text("")
    program("eval", "colours", *COMMON, "--out", "one", "--without", "crf", "--limit", "1")
    for command in (("eval", "colours", *COMMON), ("ablate", "colours", *COMMON), ("report", "one")):
        said = program(*command, "--out", out, code=2)
        assert "cannot be made a folder" in said
        assert "bug" not in said
    assert "holds no run" in program("report", "file", code=2)


def test_maps_for_a_finished_run(program, tmp_path):
    words = ("eval", "colours", *COMMON, "--out", "one", "--without", "crf", "--limit", "2")
    program(*words)
    said = program(*words, "--save-maps")
    assert "2 of 2, mIoU" in said
    assert len(list((tmp_path / "one" / "maps").glob("*.png"))) == 2


def test_settings_of_a_language_model_reach_it(program, tmp_path):
    options = (
        "--limit",
        "2",
        "--without",
        "crf",
        "--out",
        "run",
        "--presence",
        "llm:some-model",
        "--llm",
        "cache=kept",
    )
    with ChatServer() as server:
        server.acts = [answer([(1, "red", 90)])]
        program("eval", "colours", *COMMON, *options, "--llm", f"base_url={server.url}")
        assert len(server.requests) == 2
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 2
    assert re.fullmatch("llm:some-model@[0-9a-f]{8}:0.7", read_run(tmp_path / "run").settings.presence)


@pytest.mark.parametrize(
    ("presence", "message"),
    [
        ("llm:some-model", "unknown llm setting 'nonsense'; known: base_url"),
        ("oracle", "--llm is for filters with settings"),
    ],
)
def test_wrong_settings_of_a_language_model_are_refused_before_loading(program, presence, message):
    for command in (("eval",), ("ablate",), ("sweep", "threshold")):
        words = (*command, "colours", "--root", "data", "--model", "no-such-model", "--out", "run")
        assert message in program(*words, "--presence", presence, "--llm", "nonsense=1", code=2)
