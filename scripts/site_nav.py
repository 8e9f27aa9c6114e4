"""A hook of mkdocs: pages that are listed and not there are left out, pages that are there and not listed come last."""

from pathlib import Path
from typing import Any

__all__ = ["on_config"]

OTHERS = "More"
OUTSIDE = ("repository/",)


def on_config(config: Any) -> Any:
    """Bring the list of pages in line with the folder."""
    source = Path(config.docs_dir)
    there = {path.relative_to(source).as_posix() for path in source.rglob("*.md")}
    listed: set[str] = set()
    nav = [kept for item in config.nav if (kept := _there(item, there, listed))]
    others = sorted(page for page in there - listed if not page.startswith(OUTSIDE))
    config.nav = [*nav, {OTHERS: others}] if others else nav
    return config


def _there(item: Any, there: set[str], listed: set[str]) -> Any:
    """An entry without what is missing; nothing where nothing is left."""
    if isinstance(item, str):
        listed.add(item)
        return item if item in there else None
    [(title, below)] = item.items()
    if isinstance(below, str):
        return item if _there(below, there, listed) else None
    kept = [each for entry in below if (each := _there(entry, there, listed))]
    return {title: kept} if kept else None
