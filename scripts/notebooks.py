"""Run a tutorial: a notebook in Markdown (jupytext's form), whose code runs and whose output is shown below it."""

import base64
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
SECONDS = 120
"""What a cell may take on a busy machine."""
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run_notebook(path: Path, pictures: Path) -> str:
    """The tutorial as a page, with what its cells printed and drew.

    It runs in an empty folder beside a link to examples/, so that nothing else can be taken for granted.

    Args:
        path: Markdown with ```python blocks, as jupytext reads it.
        pictures: folder for the pictures that cells draw, named after the tutorial.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    start = time.monotonic()
    with TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    print(f"{path.name}: {time.monotonic() - start:.0f} s")
    pictures.mkdir(parents=True, exist_ok=True)
    cells = [_as_markdown(cell, f"{path.stem}-{number}", pictures) for number, cell in enumerate(notebook.cells)]
    return "\n\n".join(cells) + "\n"


def _as_markdown(cell: Any, name: str, pictures: Path) -> str:
    """A cell as a page shows it."""
    if cell.cell_type != "code":
        return cell.source
    parts = [f"```python\n{cell.source}\n```"]
    for number, output in enumerate(cell.outputs):
        if output.get("name") == "stderr":
            continue  # progress, and what libraries say to each other
        data = output.get("data", {})
        if "image/png" in data:
            (pictures / f"{name}-{number}.png").write_bytes(base64.b64decode(data["image/png"]))
            parts.append(f"![what the code above draws]({name}-{number}.png)")
        elif text := ANSI.sub("", output.get("text") or data.get("text/plain", "")).rstrip():
            parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts)
