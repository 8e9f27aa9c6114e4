"""A run that is killed and begun again: nothing half written is taken for done, and nothing is left out."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.archives import write_tar
from training import __main__ as program
from training import features, pseudo, stages, workspace
from training.batches import Batches, FitConfig
from training.fit import _report, forget_behind
from training.made_with import FILE, OtherCacheError
from training.photos import ARCHIVES, EVALUATION_ARCHIVE, SHARP, Photo, PhotoReader, index_photos, save_index
from training.pseudo import make_pseudo_maps, open_pseudo
from training.vocabulary import Vocabulary
from training.whole import whole
from training.workspace import Workspace


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """All archives, of a few bytes each; photo 9 of COCO is one that is measured on, by the other split's name."""
    data = tmp_path / "data"
    data.mkdir()
    table = io.StringIO()
    csv.writer(table).writerows([["file", "labels", "closed"], ["a/1.jpg", "dog", ""], ["a/2.jpg", "dog", ""]])
    write_tar(data / EVALUATION_ARCHIVE, {"images/000000000009.jpg": b"x", "masks/000000000007.png": b"x"})
    files = {
        "coco": {"COCO_train2014_000000000009.jpg": b"x", "COCO_train2014_000000000007.jpg": b"yy"},
        "flickr8k": {"b/9.jpg": b"z", "captions.csv": b""},
        "caltech101": {"cup/image_0009.jpg": b"z"},
        "imagenet": {},
        "sharp": {"a/2.jpg": b"2", "a/1.jpg": b"1", "labels.csv": table.getvalue().encode()},
    }
    for source, each in files.items():
        write_tar(data / ARCHIVES[source], each)
    return data


def test_the_index_keeps_out_what_is_measured_on_and_says_where_the_others_lie(archives: Path):
    photos = index_photos(archives)
    assert [photo.name for photo in photos] == [
        "COCO_train2014_000000000007.jpg",
        "b/9.jpg",
        "cup/image_0009.jpg",
        "a/1.jpg",
        "a/2.jpg",
    ]
    first = photos[0]
    assert (archives / ARCHIVES["coco"]).read_bytes()[first.offset : first.offset + first.size] == b"yy"


def test_a_cache_of_other_options_or_archives_is_refused(archives: Path, tmp_path: Path):
    cache = tmp_path / "cache"

    def photos(**options: Any) -> list[Photo]:
        return Workspace(archives, cache, tmp_path, **options).photos

    assert len(photos(alike=2)) == 5
    assert photos(alike=2, dtype=torch.bfloat16) == photos(alike=2)
    with pytest.raises(OtherCacheError, match=r"\(--side: 320, now 336; --alike: 2, now 1\)"):
        photos(alike=1, side=336)
    (cache / FILE).unlink()  # as of runs that noted nothing
    photos(alike=2)
    with (archives / ARCHIVES[SHARP]).open("ab") as archive:
        archive.write(b"more")
    before = json.loads((cache / FILE).read_text())[ARCHIVES[SHARP]]
    with pytest.raises(OtherCacheError, match=rf"\({ARCHIVES[SHARP]}: {before}, now {before + 4}\): give those, or"):
        photos(alike=2)
    (cache / "photos.json").unlink()  # nothing is made of the others yet
    assert len(photos(alike=1)) == 4


def test_what_ends_in_the_middle_is_not_there(tmp_path: Path):
    (tmp_path / "done").write_text("8")

    def end() -> None:
        with whole(tmp_path / "done") as part:
            part.write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end()
    assert (tmp_path / "done").read_text() == "8"


def of_photos(cache: Path, _: pytest.MonkeyPatch) -> None:
    save_index([Photo(SHARP, "a.jpg", 0, 1)], cache / "photos.json")


def of_names(cache: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(workspace, "build_vocabulary", lambda *_: Vocabulary(["dog"], [()], [frozenset()], [False]))
    work = Workspace(cache, cache, cache)
    work.__dict__.update(wordnet=None, classes=[], spoken={})
    work.vocabulary  # noqa: B018


def of_classes(cache: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stages, "class_embeddings", lambda *_: (np.zeros(2), np.zeros(2)))
    work = SimpleNamespace(cache=cache, photos=[], vocabulary=SimpleNamespace(names=[]), wordnet=None, classes=[])
    stages.prepare(work)  # type: ignore[arg-type]


def of_features(cache: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(features, "load_trunk", lambda _: torch.nn.Identity())
    patch.setattr(features, "tokens_of", lambda _, pixels: torch.zeros(len(pixels), 4, features.CHANNELS))
    reader, cpu = SimpleNamespace(square=lambda *_: np.zeros((32, 32, 3), np.uint8)), torch.device("cpu")
    features.cache_features(reader, np.arange(1), cache, 32, range(1), device=cpu, dtype=torch.float32)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "files"),
    [
        (of_photos, {"photos.json"}),
        (of_names, {"names.json", "vocabulary.pkl"}),
        (of_classes, {"class-embeddings.npz"}),
        (of_features, {"trunk-32-0.done", "trunk-32.f16"}),
    ],
)
def test_what_stands_for_done_appears_at_once(
    make: Callable[[Path, pytest.MonkeyPatch], None],
    files: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, patch)
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".part"} <= {"trunk-32.f16"}
    make(tmp_path, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == files


def test_a_log_ends_where_the_checkpoint_does_and_begins_with_its_names(tmp_path: Path):
    log = tmp_path / "log.csv"
    log.touch()  # a kill came before the header
    for step in (25, 200, 225):
        _report(log, step, {"match": 1 / step}, 2.0)
    with log.open("a") as file:
        file.write("25")  # of 250
    forget_behind(log, 200)
    _report(log, 225, {"match": 0.5}, 2.0)
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["match"]) for row in rows] == [("25", "0.0400"), ("200", "0.0050"), ("225", "0.5000")]
    forget_behind(log, 0)
    assert log.read_text() == "step,match,seconds_a_step\n"


class Maps:
    """A teacher of maps that are large on the left, which notes for how many photos it was asked."""

    cut = (0.05, 0.4)

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, given: torch.Tensor, names: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += len(given)
        return torch.linspace(1, 0, given.shape[1]).expand(len(given), 4, -1), torch.full((len(given), 4), 0.5)


def test_a_round_that_was_killed_is_mapped_to_its_end_by_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stored = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stored, "JPEG")
    (tmp_path / ARCHIVES[SHARP]).write_bytes(stored.getvalue())
    reader = PhotoReader(tmp_path, [Photo(SHARP, "a.jpg", 0, len(stored.getvalue()))] * 7)
    random = np.random.default_rng(0)
    small = [random.normal(size=(7, 16, width)).astype(np.float16) for width in (472, 128)]
    batches = Batches(*small, torch.zeros(16, 600), FitConfig())
    chosen, rival = {6: [1], 5: [0, 1], 4: [], 3: [0], 2: [1], 1: [0], 0: [1, 0]}, ~np.eye(2, dtype=bool)
    cut = iter([*[False] * 4, True])

    def cut_out(maps: torch.Tensor, *_: object) -> list[np.ndarray]:
        if next(cut, False):
            raise KeyboardInterrupt
        return [np.full(9, 0.2, np.float32)] * len(maps)

    monkeypatch.setattr(pseudo, "cut_out", cut_out)

    def run(teacher: Maps, part: int, parts: int) -> None:
        mine = dict(list(chosen.items())[part::parts])
        make_pseudo_maps(teacher, batches, reader, rival, mine, tmp_path / "maps", cells=3, batch=2)

    open_pseudo(tmp_path / "maps", 7, 9, write=True).names[:] = -1
    with pytest.raises(KeyboardInterrupt):
        run(Maps(), 0, 1)
    maps = open_pseudo(tmp_path / "maps", 7, 9, write=False)
    filled = [6, 5, 3, 2]
    assert sorted(np.flatnonzero(maps.filled(np.arange(7)))) == sorted(filled)
    again = Maps()
    for part in range(3):
        run(again, part, 3)
    assert maps.names[:, :2].tolist() == [[1, 0], [0, -1], [1, -1], [0, -1], [-1, -1], [0, 1], [1, -1]]
    assert (maps.maps[0, :2] == 51).all()
    assert (maps.maps[4] == 0).all()
    assert again.asked < 6  # batches that were filled are not made again
    assert maps.sure[[0, 1]].tolist() == [[0.5] * 4] * 2


def test_a_row_of_maps_counts_once_it_is_whole(tmp_path: Path):
    maps = open_pseudo(tmp_path, 1, 9, write=True)
    maps.names[:] = -1
    with pytest.raises(ValueError, match="broadcast"):
        maps.fill(0, [1, 2], np.zeros((1, 8)), 1.0)
    assert not maps.filled(0)
    maps.fill(0, [1, 2], np.ones((2, 9)), 1.0)
    assert maps.filled(0)
    assert (maps.names[0].tolist(), maps.maps[0].sum()) == ([1, 2, -1, -1], 2 * 9 * 255)


def test_a_round_is_not_gone_on_with_for_another_number_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("rival_names", "kindred_names"):
        monkeypatch.setattr(stages, name, lambda *_: np.eye(2, dtype=bool))
    work = SimpleNamespace(cache=tmp_path, photos=[0, 1], cells=3, vocabulary=None, wordnet=None)

    def begin(mapped: int) -> Path:
        return stages.begun_maps(work, 1, mapped)  # type: ignore[arg-type]

    folder = begin(40)
    open_pseudo(folder, 2, 9, write=True).names[1] = [5, -1, -1, -1]
    assert begin(40) == folder
    with pytest.raises(OtherCacheError, match="begun with --mapped 40, not 30: give that, or delete"):
        begin(30)
    (folder / "begun").write_text("")  # as of runs that noted nothing
    begin(30)
    assert open_pseudo(folder, 2, 9, write=False).names[:, 0].tolist() == [-1, 5]


def test_weights_are_kept_where_somebody_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["training", "keep", "--data", "nowhere", "--cache", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert "keep needs --out" in capsys.readouterr().err


def test_a_cache_that_is_refused_ends_the_program_with_a_line(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "cache"
    assert Workspace(archives, cache, tmp_path, alike=1).photos
    folders = ["--data", str(archives), "--cache", str(cache)]
    monkeypatch.setattr(sys, "argv", ["training", "prepare", *folders])
    with pytest.raises(SystemExit, match="was made with other options"):
        program.main()
