"""Folders of runs, each of their files damaged: read, resumed and reported."""

import json
import shutil
from pathlib import Path
from random import Random

from typer.testing import CliRunner

from pnpovss.cli.main import app
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.files.journal import Journal, read_journal
from pnpovss.presence.registry import make_presence
from pnpovss.segmenter import Segmenter
from tests.fuzz.mutate import change_bytes, change_json
from tests.support.colours import colour_dataset
from tests.support.fakes import colour_backbone


class Journals:
    """A finished run of six photos, damaged, and everything that reads one."""

    def __init__(self, folder: Path) -> None:
        self._whole, self._run = folder / "whole", folder / "run"
        self._data = colour_dataset(folder / "data")
        self._oracle = make_presence("oracle")
        self._segmenter = Segmenter(colour_backbone())
        evaluate(self._segmenter, self._data, self._oracle, self._whole)

    def run(self, rng: Random, number: int) -> None:
        """One damaged folder."""
        shutil.rmtree(self._run, ignore_errors=True)
        shutil.copytree(self._whole, self._run)
        damaged = self._run / ("images.jsonl", "images.jsonl", "run.json", "summary.json")[number % 4]
        damaged.write_bytes(_damage(damaged, rng))
        match rng.randrange(5):
            case 0:
                read_run(self._run)
            case 1:
                read_journal(self._run / "images.jsonl")
            case 2:
                with Journal(self._run / "images.jsonl") as journal:
                    journal.append({"key": "another", "n": 1})
            case 3:
                evaluate(self._segmenter, self._data, self._oracle, self._run)
            case _:
                _call("report", str(self._run), "--out", str(self._run / "report.html"))


def _damage(path: Path, rng: Random) -> bytes:
    content = path.read_bytes()
    if rng.random() < 0.4:
        return change_bytes(content, rng)
    if path.suffix == ".json":
        return change_json(json.loads(content), rng).encode("utf-8", "surrogatepass")
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[at] = change_json(json.loads(lines[at]), rng).encode("utf-8", "surrogatepass") + b"\n"
        case 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 2:
            del lines[at]
        case _:
            rng.shuffle(lines)
    return b"".join(lines)


def _call(*arguments: str) -> None:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
