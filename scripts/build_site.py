"""Build the documentation site: pages from docs/, notebooks that are run, and what pages link to elsewhere.

    python -m scripts.build_site [--out DIR] [--without-notebooks]

Lays everything out in build/site-source and calls mkdocs there; every warning is an error, links and their anchors are
checked, and a page that would fetch anything from another host is refused. Needs the extra `docs`, and no network.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.notebooks import run_notebook

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "build/site-source"
OUTSIDE = "repository"
"""Folder of the site for files of the repository that are no pages of docs/."""
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)((?:#[^)]*)?\))")
FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".sh": "bash", ".yml": "yaml", ".yaml": "yaml"}
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg"}
FETCHES = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"?(?:https?:)?//", re.IGNORECASE)
LONGEST = 200_000
"""Characters of a text file that is shown as a page."""


class Site:
    """Pages to be, each made from a file of the repository; what they link to becomes a page, too."""

    def __init__(self) -> None:
        self.done: dict[Path, Path] = {}
        self.waiting: list[Path] = []

    def place(self, path: Path) -> Path:
        """Where a file of the repository is in the site's source."""
        path = path.resolve()
        if path not in self.done:
            if path.is_relative_to(ROOT / "docs"):
                target = SOURCE / path.relative_to(ROOT / "docs")
            else:
                target = SOURCE / OUTSIDE / path.relative_to(ROOT)
                if path.is_dir():
                    target /= "index.md"
                elif path.suffix != ".md" and path.suffix not in PICTURES:
                    target = target.with_name(f"{target.name}.md")
            self.done[path] = target
            self.waiting.append(path)
        return self.done[path]

    def write_all(self) -> None:
        """Write what was placed, and what it links to."""
        while self.waiting:
            path = self.waiting.pop()
            target = self.done[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                target.write_text(self.linked(_listing(path), path / "index.md", target))
            elif path.suffix == ".md":
                target.write_text(self.linked(path.read_text(), path, target))
            elif path.is_relative_to(ROOT / "docs") or path.suffix in PICTURES:
                shutil.copyfile(path, target)
            else:
                target.write_text(_as_page(path))

    def linked(self, text: str, path: Path, target: Path) -> str:
        """A page's text with its links turned to where their files are in the site; code is left as it is."""

        def turned(link: re.Match[str]) -> str:
            if (target.parent / link[2]).is_file() and not (path.parent / link[2]).exists():
                return link[0]  # a picture that the notebook drew
            to = (path.parent / link[2]).resolve()
            if not to.exists():
                sys.exit(f"{path.relative_to(ROOT)} links to {link[2]}, which is not there")
            if not to.is_relative_to(ROOT):
                sys.exit(f"{path.relative_to(ROOT)} links out of the repository: {link[2]}")
            return f"{link[1]}{os.path.relpath(self.place(to), target.parent)}{link[3]}"

        parts, inside = [], False
        for line in text.splitlines(keepends=True):
            inside ^= bool(FENCE.match(line))
            parts.append(line if inside else LINK.sub(turned, line))
        return "".join(parts)


def _listing(folder: Path) -> str:
    """A folder as a page: what is in it."""
    files = sorted(each for each in folder.iterdir() if each.suffix in (".md", ".png"))
    return f"# {folder.relative_to(ROOT)}\n\n" + "".join(f"- [{each.name}]({each.name})\n" for each in files)


def _as_page(path: Path) -> str:
    """A text file as a page."""
    text = path.read_text()
    if len(text) > LONGEST:
        return f"# {path.relative_to(ROOT)}\n\n{len(text):,} characters; see it in a copy of the repository.\n"
    return f"# {path.relative_to(ROOT)}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n````\n"


def lay_out(*, notebooks: bool) -> None:
    """Everything that mkdocs is to build, in `SOURCE`."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    site, tutorials = Site(), ROOT / "docs/tutorials"
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            site.place(path)
    site.write_all()
    for path in sorted(tutorials.glob("*.md")) if notebooks else ():
        page = run_notebook(path, SOURCE / "tutorials")
        (SOURCE / "tutorials" / path.name).write_text(site.linked(page, path, SOURCE / "tutorials" / path.name))
    site.write_all()


def build(out: Path) -> None:
    """Call mkdocs; its warnings are errors."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out.resolve())]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})


def refuse_fetches(out: Path) -> None:
    """Say which pages would ask another host for something that they show."""
    found = {
        page.relative_to(out): FETCHES.search(page.read_text())
        for page in sorted(out.rglob("*.html"))
        if FETCHES.search(page.read_text())
    }
    for page, fetch in found.items():
        print(f"{page} would fetch something: {fetch[0] if fetch else ''}", file=sys.stderr)
    if found:
        sys.exit(1)


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="where the site is written")
    parser.add_argument("--without-notebooks", action="store_true", help="show tutorials without what they print")
    wanted = parser.parse_args()
    lay_out(notebooks=not wanted.without_notebooks)
    build(wanted.out)
    refuse_fetches(wanted.out)
    print(f"{wanted.out}: {sum(1 for _ in wanted.out.rglob('*.html'))} pages")


if __name__ == "__main__":
    main()
