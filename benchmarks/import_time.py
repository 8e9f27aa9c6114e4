"""How long `import pnpovss` and `pnpovss --help` take, in this copy and in earlier ones, side by side.

    python benchmarks/import_time.py [--before REVISION ...] [--rounds 15] [--out benchmarks/results/import_time.md]

A fresh process for each, with compiled bytecode there, the copies in turn in every round: what else a machine does
meanwhile meets all of them. Processor seconds (user and system), medians, with the lowest and highest.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = {
    "python -c pass": "pass",
    "import pnpovss": "import pnpovss",
    "from pnpovss import Segmenter": "from pnpovss import Segmenter",
    "pnpovss --help": "import sys; sys.argv = ['pnpovss', '--help']; from pnpovss.cli.main import run; run()",
    "pnpovss segment --help": (
        "import sys; sys.argv = ['pnpovss', 'segment', '--help']; from pnpovss.cli.main import run; run()"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", nargs="*", default=["2017282"], help="git revisions to compare with")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/import_time.md"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = {revision: checkout(revision, Path(folder)) for revision in [*arguments.before, "HEAD"]}
        seconds = measure(copies, arguments.rounds)
    command = f"python benchmarks/import_time.py --before {' '.join(arguments.before)} --rounds {arguments.rounds}"
    arguments.out.write_text(table(seconds, command, commit("HEAD")))
    print(arguments.out.read_text())


def commit(revision: str) -> str:
    """Its short hash."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", revision], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


def checkout(revision: str, folder: Path) -> Path:
    """The source of a revision, without history."""
    copy = folder / revision
    copy.mkdir()
    archive = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", copy], input=archive.stdout, check=True)
    return copy / "src"


def measure(copies: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Processor seconds by program and copy; a first run of each is not counted."""
    seconds = {program: {revision: [] for revision in copies} for program in PROGRAMS}
    for number in range(rounds + 1):
        for program, code in PROGRAMS.items():
            for revision, source in copies.items():
                taken = processor_seconds(code, source)
                if number:
                    seconds[program][revision].append(taken)
    return seconds


def processor_seconds(code: str, source: Path) -> float:
    """User and system time of one fresh Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(seconds: dict[str, dict[str, list[float]]], command: str, head: str) -> str:
    """The page of results."""
    revisions = list(next(iter(seconds.values())))
    names = [head if revision == "HEAD" else revision for revision in revisions]
    lines = [
        "# Import time",
        "",
        f"`{command}`, {date.today()}, Python {platform.python_version()}",
        "",
        f"Processor seconds of a fresh process, median (lowest to highest), commits {' and '.join(names)}.",
        "",
        f"| program | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for program, taken in seconds.items():
        cells = [f"{statistics.median(x):.2f} ({min(x):.2f} to {max(x):.2f})" for x in taken.values()]
        lines.append(f"| `{program}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
