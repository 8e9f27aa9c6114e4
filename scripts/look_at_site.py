"""Look at every page of the built site in Chromium, at the widths of a telephone, a tablet and a desk.

    python -m scripts.look_at_site [--site DIR] [--pictures DIR] [PAGE ...]

Says which pages are wider than the window, have a picture that does not load, or a script that fails; exit code 1 then.
With --pictures, writes each page as WIDTH/PAGE.png. Needs the extra `dev`, and Chromium.
"""

import argparse
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WIDTHS = (390, 1024, 1600)
TALLEST = 16_000
"""Of a picture [px]: Chromium draws no more."""
WRONG = """() => {
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  const broken = [...document.images].filter(each => !each.complete || !each.naturalWidth).map(each => each.src);
  return [...(wide > 0 ? [`${wide} px wider than the window`] : []), ...broken.map(each => `no picture: ${each}`)];
}"""


def look(site: Path, names: list[str], pictures: Path | None) -> Iterator[str]:
    """What is wrong, in lines that name page and width."""
    from playwright.sync_api import sync_playwright

    pages = [site / name for name in names] or [
        page for page in sorted(site.rglob("*.html")) if "repository" not in page.relative_to(site).parts
    ]
    with served(site) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width in WIDTHS:
            window = browser.new_page(viewport={"width": width, "height": 900})
            said: list[str] = []
            window.on("pageerror", lambda error, said=said: said.append(str(error)))
            for page in pages:
                name = page.relative_to(site).as_posix()
                window.goto(f"{address}/{name}")
                for line in (*window.evaluate(WRONG), *said):
                    yield f"{name} at {width} px: {line}"
                said.clear()
                if pictures is not None:
                    _photograph(window, pictures / str(width) / name.replace("/", "-"))


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a server of this machine for the site: its search does not work from the disk."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


def _photograph(window: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    size = window.viewport_size
    height = min(TALLEST, window.evaluate("document.documentElement.scrollHeight"))
    window.set_viewport_size({"width": size["width"], "height": height})
    window.screenshot(path=target.with_suffix(".png"))
    window.set_viewport_size(size)


def main() -> None:
    """Look, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="pages below the site, such as start.html; else all")
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="what scripts/site built")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page at each width")
    wanted = parser.parse_args()
    wrong = list(look(wanted.site, wanted.pages, wanted.pictures))
    print("\n".join(wrong) or f"nothing is wrong at {', '.join(map(str, WIDTHS))} px")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
