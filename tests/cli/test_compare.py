"""Models side by side: real ones, small and random, through the whole program; what fails costs the others nothing."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.batch.comparison import WIDTH, Look, compare, models_and_photos
from pnpovss.batch.model import ModelChoice
from pnpovss.batch.sheet import sheet
from pnpovss.names import Name
from pnpovss.segmenter import Segmenter
from tests.support.checkpoints import SMALL
from tests.support.program_calls import Call, save_flag

QUICK = ("--without", "blur,crf")
EVIL = "<b>cat</b>"


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SMALL["blip"].save(tmp_path_factory.mktemp("blip"))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A flag, and one twice as wide as it is high."""
    wide = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 40, 3), np.uint8)).save(wide)
    return [save_flag(tmp_path / "flag.png"), wide]


def embedded(page: str) -> list[Image.Image]:
    """The pictures that lie in a page."""
    found = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_two_models_on_one_sheet(call: Call, blip: Path, photos: list[Path], tmp_path: Path):
    done = call(
        "compare", "mini", blip, *photos, "--names", f"cat, {EVIL}", "--out", "s.html", "--out", "s.png", *QUICK
    )
    assert done.exit_code == 0, done.output
    assert "s.html: 2 models, 2 photos" in done.stdout
    page = (tmp_path / "s.html").read_text()
    assert EVIL not in page
    assert page.count("&lt;b&gt;cat&lt;/b&gt;") >= 4
    assert page.count("<article>") == 4
    pictures = embedded(page)
    assert len(pictures) == 2 * 2 * (1 + 2), "an overlay and two heat maps of each photo under each model"
    assert {picture.width for picture in pictures} == {WIDTH}
    assert "untuned" in page
    segmenter = Segmenter.from_pretrained(blip, without=["blur", "crf"])
    [match, _] = segmenter(photos[0], ["cat", EVIL], name_match=True).name_match or ()
    assert f"match {match:.2f}" in page
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > 3 * WIDTH
        assert picture.height > 2 * (WIDTH + WIDTH // 2), "under either model, a square photo and one half as high"


def test_a_narrow_photo_takes_no_more_room_than_others(tmp_path: Path):
    tall = tmp_path / "tall.png"
    Image.new("RGB", (2, 600)).save(tall)
    rows = compare([ModelChoice("mini", without=("blur", "crf"))], [tall], (Name("cat"),))
    [look] = rows[0].looks
    assert isinstance(look, Look)
    for picture in (look.overlay, *look.heats):
        assert picture.width <= WIDTH
        assert picture.height <= 5 * WIDTH
    assert len(embedded(sheet(tmp_path / "s.html", [tall], [Name("cat")], rows).decode())) == 2


def test_every_name_is_looked_for_with_every_model(blip: Path, photos: list[Path]):
    names = (Name("cat"), Name("dog"), Name("sofa"))
    seen: list[tuple[str, str]] = []
    rows = compare(
        [ModelChoice("mini", without=("crf",)), ModelChoice(str(blip), without=("crf",))],
        photos,
        names,
        lambda model, photo: seen.append((model, photo.name)),
    )
    assert seen == [(model, photo.name) for model in ("mini", str(blip)) for photo in photos]
    assert rows[0].told.endswith("MODEL_CARD.md of mini)")
    for row in rows:
        for look in row.looks:
            assert isinstance(look, Look)
            assert (len(look.heats), len(look.match)) == (3, 3)
    assert not np.array_equal(*(np.asarray(row.looks[0].heats[0]) for row in rows if isinstance(row.looks[0], Look)))


def test_what_fails_under_one_model_costs_the_others_nothing(call: Call, photos: list[Path], tmp_path: Path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text('{"model_type": "blip"}')
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")
    done = call(
        "compare", "damaged", "mini", photos[0], broken, "--names", "cat", "--out", "s.html", "--out", "s.png", *QUICK
    )
    assert done.exit_code == 1, done.output
    page = (tmp_path / "s.html").read_text()
    assert "no weights in damaged" in page
    assert "broken.png" in done.stderr
    assert "damaged: no weights in damaged" in done.stderr
    assert len(embedded(page)) == 2
    assert (tmp_path / "s.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mini"], "found 1 models and 0 photos"),
        (["flag.png"], "found 0 models and 1 photos"),
        (["mini", "no*.png"], "no*.png"),
        (["mini", "missing.png"], "missing.png"),
        (["mini", "flag.png", "--set", "dropout.speed=3"], "unknown setting"),
        (["nobody/knows", "flag.png", "--local-files-only"], "nobody/knows"),
        (["mini", "flag.png", "--out", "sheet.pdf"], r"ends in .png or .html"),
        (["mini", "flag.png", "--out", "away/sheet.png"], "there is no folder away"),
        (["mini", "flag.png", "--out", "flag.png"], "flag.png exists"),
    ],
)
def test_what_cannot_be_done_writes_nothing(
    call: Call, photos: list[Path], tmp_path: Path, arguments: list[str], says: str
):
    there = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = call("compare", *arguments, "--names", "cat", *([] if "--out" in arguments else ["--out", "s.png"]), *QUICK)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == there


def test_a_sheet_is_replaced_only_if_that_is_asked(call: Call, photos: list[Path], tmp_path: Path):
    sheets = {"s.png": b"\x89PNG", "s.html": b"<!doctype html>"}
    for name, begins in sheets.items():
        command = ("compare", "mini", photos[0], "--names", "cat", "--out", name, *QUICK)
        assert call(*command).exit_code == 0
        old = (tmp_path / name).read_bytes()
        assert "--overwrite" in call(*command).stderr
        (tmp_path / name).write_bytes(old + b"old")
        assert call(*command, "--overwrite").exit_code == 0
        assert (tmp_path / name).read_bytes() == old
        assert old.startswith(begins)


@pytest.mark.parametrize("name", ["flag.png", "wide.png", "page.html", "link.png"])
def test_what_is_no_sheet_is_never_replaced(call: Call, photos: list[Path], tmp_path: Path, name: str):
    (tmp_path / "page.html").write_text("<p>pnpovss compare</p>")
    (tmp_path / "link.png").symlink_to("flag.png")
    there = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = call("compare", "mini", photos[0], "--names", "cat", "--out", name, "--overwrite", *QUICK)
    assert done.exit_code == 2, done.output
    assert f"{name} exists, and is no sheet" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == there


def test_a_sheet_beside_its_photos_is_none_of_them(call: Call, photos: list[Path]):
    command = ("compare", "mini", ".", "--names", "cat", "--out", "s.png", "--overwrite", *QUICK)
    for _ in range(2):
        assert "1 models, 2 photos" in call(*command).stdout
    named = call(*command[:2], "s.png", *command[3:])
    assert named.exit_code == 2
    assert "s.png is one of the photos" in named.stderr


def test_models_are_told_from_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("checkpoint", "photos"):
        Path(folder).mkdir()
    Path("checkpoint/config.json").write_text("{}")
    Path("odd").write_bytes(b"")
    given = ["mini", "photos", "org/name", "checkpoint", "odd", "*.jpg", "missing.JPG", "org/name.v2"]
    assert models_and_photos(given, ["mini"]) == (
        ["mini", "org/name", "checkpoint", "org/name.v2"],
        ["photos", "odd", "*.jpg", "missing.JPG"],
    )


def test_a_sheet_without_any_picture_can_be_drawn(tmp_path: Path):
    """Of one photo that failed under a model whose other photos did not."""
    rows = compare([ModelChoice("mini", without=("crf",))], [tmp_path / "none.png"], (Name("cat"),))
    assert sheet(Path("s.png"), [tmp_path / "none.png"], (Name("cat"),), rows).startswith(b"\x89PNG")
