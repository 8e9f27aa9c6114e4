"""Print docs/cli.md: what `--help` says of the program and of each of its commands.

python scripts/help.py > docs/cli.md
"""

from typing import Any

import typer

from pnpovss.cli.main import app

HEAD = """\
# The command line

What `pnpovss --help` and `pnpovss COMMAND --help` say; `scripts/docs` writes this page.
"""
WIDTH = 100


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in helps().items())


def helps() -> dict[str, str]:
    """What `--help` says, by command, without the frames that terminals show."""
    program: Any = typer.main.get_command(app)
    top = program.make_context("pnpovss", [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    below = [each.make_context(name, [], top, resilient_parsing=True) for name, each in program.commands.items()]
    for context in (top, *below):
        context.command.rich_markup_mode = None
    return {context.command_path: context.get_help() for context in (top, *below)}


if __name__ == "__main__":
    print(page(), end="")
