"""Print the lowest versions that the installed pnpovss says it works with, as constraints for pip.

    .venv/bin/python scripts/lowest.py [EXTRA ...] > lowest.txt && pip install -c lowest.txt '.[EXTRA, ...]'

torch is left out: on Linux, its old releases come from PyPI with gigabytes of CUDA libraries.
"""

import sys
from importlib import metadata

from packaging.requirements import Requirement


def lowest(requirement: Requirement) -> str:
    """numpy==1.26 for numpy>=1.26."""
    [bound] = [each.version for each in requirement.specifier if each.operator == ">="]
    return f"{requirement.name}=={bound}"


def main(extras: list[str]) -> None:
    """Print a line per dependency, of the package itself and of these extras."""
    requirements = [Requirement(line) for line in metadata.requires("pnpovss") or []]
    wanted = [
        each
        for each in requirements
        if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras)
    ]
    print(*(lowest(each) for each in wanted if each.name not in ("torch", "pnpovss")), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
