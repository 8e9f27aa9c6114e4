"""The command: `python -m tests.fuzz --inputs 10000 --seed 0 --table benchmarks/results/fuzz.md`."""

import argparse
import platform
import sys
from datetime import date
from pathlib import Path

from tests.fuzz.hunt import LIMIT_BYTES, LIMIT_SECONDS, hunt
from tests.fuzz.worker import TARGETS, Outcome

# Of every hundred inputs. What is slow gets fewer.
SHARES = {
    "photos": 40,
    "pictures": 10,
    "names": 10,
    "settings": 8,
    "checkpoints": 8,
    "results": 8,
    "chat": 8,
    "journals": 8,
}
FINDS = ("foreign", "crash", "hang", "large")
_COLUMNS = "target;inputs;taken;refused;foreign;crashes;too long;too large;slowest [s];peak [MiB]".split(";")
_TOLD = f"""The inputs of each target are tried in a process that is watched:
foreign is any exception but this package's own, too long is over {LIMIT_SECONDS:g} s twice, too large over \
{LIMIT_BYTES >> 30} GiB
of memory that the process holds, the model included. What is thrown at the package: `tests/fuzz/targets`."""
assert SHARES.keys() == TARGETS.keys()
assert sum(SHARES.values()) == 100


def main() -> int:
    """Hunt, print what was found and how to see it again; exit code 1 where anything was."""
    given = _arguments()
    outcomes: dict[str, list[Outcome]] = {}
    for name in given.only or TARGETS:
        numbers = given.case or range(round(given.inputs * SHARES[name] / 100))
        outcomes[name] = hunt(name, numbers, given.seed, lambda outcome, name=name: _show(name, outcome, given))
        print(_row(name, outcomes[name]), flush=True)
    table = table_of(outcomes, given.seed)
    print(table)
    if given.table:
        given.table.write_text(table)
    return int(any(outcome.kind in FINDS for each in outcomes.values() for outcome in each))


def table_of(outcomes: dict[str, list[Outcome]], seed: int) -> str:
    """The counts, as a page."""
    everything = [outcome for each in outcomes.values() for outcome in each]
    command = f"python -m tests.fuzz --inputs {len(everything)} --seed {seed} --table benchmarks/results/fuzz.md"
    return "\n".join(
        [
            "# Hostile inputs",
            "",
            f"`{command}`,",
            f"{date.today()}, Python {platform.python_version()}. {_TOLD}",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            "|---|" + "---:|" * 9,
            *(_row(name, each) for name, each in outcomes.items()),
            _row("all", everything),
            "",
        ]
    )


def _row(name: str, outcomes: list[Outcome]) -> str:
    counts = [sum(outcome.kind == kind for outcome in outcomes) for kind in ("taken", "refused", *FINDS)]
    slowest = max((outcome.seconds for outcome in outcomes), default=0)
    most = max((outcome.peak for outcome in outcomes), default=0) >> 20
    cells = [name, len(outcomes), *counts, f"{slowest:.1f}", most]
    return f"| {' | '.join(map(str, cells))} |"


def _show(name: str, outcome: Outcome, given: argparse.Namespace) -> None:
    if outcome.kind in FINDS or given.verbose:
        print(f"\n{name} {outcome.number}: {outcome.kind}, {outcome.seconds:.1f} s, {outcome.peak >> 20} MiB")
        print(outcome.told[-given.lines :])
        print(f"again: python -m tests.fuzz --seed {given.seed} --only {name} --case {outcome.number}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=sys.modules["tests.fuzz"].__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="these targets")
    parser.add_argument("--case", type=int, nargs="*", help="these numbers")
    parser.add_argument("--table", type=Path, help="where to write the counts")
    parser.add_argument("--verbose", action="store_true", help="tell of every input")
    parser.add_argument("--lines", type=int, default=3000, help="characters of an error that are shown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
