"""The end of each command's help, and every command line that documents show: all are parsed as they stand."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pnpovss.cli.main import app
from pnpovss.cli.manual import EXAMPLES, PAGES
from tests.support.program_calls import Call

ROOT = Path(__file__).parents[2]
PROGRAM: Any = typer.main.get_command(app)
CARD = ROOT / "src/pnpovss/backbones/mini/MODEL_CARD.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", CARD, *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"`(pnpovss [a-z]+ [^`]*--[^`]*)`")


def shown(text: str) -> Iterator[str]:
    """Whole command lines of this program in a document."""
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&?|\|", line.partition("  #")[0]):
                if found := re.search(r"(?:^|/| )(pnpovss .*)", command):
                    yield found[1]
    for line in INLINE.findall(text):
        if "..." not in line:
            yield line


def parse(line: str) -> None:
    """As the program reads it, without carrying it out.

    Raises:
        click.UsageError: an unknown command or option, a value of the wrong kind, or a required one that is missing.
    """
    _, *words = shlex.split(line, comments=True)
    if words[0].startswith("-"):
        return
    top = PROGRAM.make_context("pnpovss", [], resilient_parsing=True)
    name, command, rest = PROGRAM.resolve_command(top, words)
    try:
        command.make_context(name, rest, parent=top)
    except typer.Exit:  # of an option that only prints something, such as --settings
        return


@pytest.mark.parametrize("name", ["pnpovss", *PROGRAM.commands])
def test_help_ends_with_examples_that_are_parsed(name: str, call: Call):
    said = call("--help") if name == "pnpovss" else call(name, "--help")
    assert 2 <= len(EXAMPLES[name]) <= 4
    assert said.stdout.endswith(
        "\nExamples:\n" + "".join(f"  {line}\n" for line in EXAMPLES[name]) + f"\nMore: docs/{PAGES[name]}\n"
    )
    for line in EXAMPLES[name]:
        assert name == "pnpovss" or line.split()[1] == name
        parse(line)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_command_lines_of_documents_are_parsed(document: Path):
    for line in shown(document.read_text()):
        parse(line)


def test_a_wrong_line_is_seen():
    lines = list(shown('```bash\nX=1 .venv/bin/pip x && .venv/bin/pnpovss segment a.jpg --colour "b c"  # d\n```\n'))
    assert lines == ['pnpovss segment a.jpg --colour "b c"']
    with pytest.raises(Exception, match="No such option"):
        parse(lines[0])


def test_pages_are_there_with_their_sections():
    from pnpovss import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    pages = {page for kind in kinds if (page := getattr(kind, "page", None))} | set(PAGES.values())
    for page in pages:
        file, _, section = page.partition("#")
        text = (ROOT / "docs" / file).read_text()
        headings = [
            re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)
        ]
        assert not section or section in headings, page
