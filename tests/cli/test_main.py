"""The program as a whole: version, help, models, and what happens to wrong requests."""

import json
from pathlib import Path

import pytest

import pnpovss
from tests.support.program_calls import Call, files


def test_version(call: Call):
    assert call("--version").stdout == f"pnpovss {pnpovss.__version__}\n"


@pytest.mark.parametrize("command", ["segment", "models"])
def test_help(call: Call, command: str):
    assert call(command, "--help").exit_code == 0
    assert command in call("--help").stdout


def test_models(call: Call):
    done = call("models")
    assert done.exit_code == 0, done.output
    assert "fake" in done.stdout
    rows = {row["model"]: row for row in json.loads(call("models", "--json").stdout)}
    assert rows["fake"]["on_this_machine"] is True
    assert rows["mini"]["backbone"] == "mini"
    assert "Salesforce/blip-itm-large-flickr" in rows


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no names were given"),
        (["--names", "red", "--preset", "finest"], "unknown preset 'finest'; known: default, best, paper, authors"),
        (["--names", "red", "--without", "magic"], "no step is called 'magic'"),
        (["--names", "red", "--set", "dropout.speed=3"], "unknown setting 'dropout.speed'; known: layer"),
        (["--names", "red", "--set", "threshold=2"], "setting threshold: Input should be less than 1, got 2"),
        (["--names", "red", "--set", "threshold"], "NAME=VALUE"),
        (["--names", "red", "--set", "crf=none", "--set", "crf=none"], "given twice"),
        (["--names", "red", "--model", "unheard-of"], "no backbone knows the model 'unheard-of'"),
        (["--names", "red", "--model", "fake", "--device", "abacus"], "unknown device 'abacus'"),
        (["--names", "red", "--model", "fake", "--dtype", "int4"], "unknown dtype 'int4'"),
        (["--names", "red", "--model", "fake", "--set", "layer=7"], "layer 7 of 'fake' cannot be read"),
        (["--names", "red", "--out", "flag.png"], "cannot write into the folder flag.png: it is a file"),
    ],
)
def test_wrong_requests_are_one_line_and_exit_code_2(
    call: Call, photo: Path, tmp_path: Path, arguments: list[str], says: str
):
    done = call("segment", photo, *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(tmp_path) == {"flag.png"}


def test_debug_shows_where(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red", "--preset", "finest", "--debug")
    assert isinstance(done.exception, pnpovss.ConfigError)


def test_unknown_options_and_commands(call: Call):
    assert call("segment", "x.jpg", "--fast").exit_code == 2
    assert call("paint").exit_code == 2


def test_errors_name_the_page_that_says_more(call: Call, photo: Path):
    assert "(more: docs/names.md)" in call("segment", photo, "--names", ",").stderr
    assert "(more: docs/settings.md)" in call("segment", photo, "--names", "red", "--set", "crf=maybe").stderr
    assert (
        "(more: docs/troubleshooting.md#models)" in call("segment", photo, "--names", "red", "--model", "nobody").stderr
    )


def test_nothing_moves_where_no_terminal_is(call: Call, photo: Path, monkeypatch: pytest.MonkeyPatch):
    """Notebooks set FORCE_COLOR for what they start."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = call("segment", photo, "--names", "red", "--model", "fake", "--out", "out", "--no-details")
    assert done.exit_code == 0, done.output
    assert "\x1b[" not in done.stderr
