"""Refuse text files that git, editors or other systems stumble over.

    python scripts/hygiene.py [FILE ...]

Without files, all that git knows. Spaces at the ends of lines, a missing or a second newline at the end of a file,
Windows line ends, marks of an unfinished merge, and files of more than a megabyte.
"""

import re
import subprocess
import sys
from pathlib import Path

RULES = {
    "spaces at the end of a line": re.compile(rb"[ \t]+$", re.MULTILINE),
    "Windows line ends": re.compile(rb"\r\n"),
    "marks of an unfinished merge": re.compile(rb"^(<<<<<<<|>>>>>>>) ", re.MULTILINE),
    "no newline at the end": re.compile(rb"[^\n]\Z"),
    "blank lines at the end": re.compile(rb"\n\n\Z"),
}
LARGEST = 1_000_000
"""Bytes; weights and arrays may be larger."""
MADE = {".csv", ".json", ".lock", ".npz", ".safetensors"}
"""What programs write, in the forms that are theirs."""


def faults(path: Path) -> list[str]:
    """What is wrong with a file that people write."""
    content = path.read_bytes()
    if path.suffix in MADE:
        return []
    found = [name for name, rule in RULES.items() if rule.search(content)] if b"\0" not in content else []
    return [*found, f"{len(content):,} bytes"] if len(content) > LARGEST else found


def tracked() -> list[Path]:
    """Every file that git knows and that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [path for path in map(Path, listed.split("\0")) if path.is_file()]


def main(paths: list[str]) -> int:
    """Print a line for each fault; 1 if there are any."""
    told = [f"{path}: {fault}" for path in list(map(Path, paths)) or tracked() for fault in faults(path)]
    print(*told, sep="\n", end="\n" if told else "")
    return bool(told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
