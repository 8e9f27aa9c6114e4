"""The page to look through a run: what it shows, and what it must not do."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pnpovss.batch.gallery import write_gallery
from pnpovss.hints.kinds import KINDS, kinds_of
from tests.support.program_calls import Call, save_flag

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(call: Call, tmp_path: Path) -> Path:
    """Two photos, one in a folder, one of them dropped, and a broken one; a name that would end a script."""
    for name in ("in/1.png", "in/a/2 %#?.png"):
        save_flag(tmp_path / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"no photo")
    names = ("--names", f"red, blue, {EVIL}")
    assert call("segment", "in", "-r", *names, "--presence", "all", "--out", "out", *FAKE).exit_code == 1
    (tmp_path / "out" / "decisions.json").write_text(json.dumps({"1": "drop"}))
    return tmp_path / "out"


def read(folder: Path) -> tuple[dict, list[dict], dict]:
    """What the page is told, as JSON."""
    text = (folder / "gallery" / "photos.js").read_text("utf-8")
    found = re.fullmatch(r"const RUN = (.*);\nconst PHOTOS = (\[.*\]);\nconst FAILED = (.*);\n", text, re.DOTALL)
    assert found
    return json.loads(found[1]), json.loads(found[2]), json.loads(found[3])


def test_what_the_page_is_told(call: Call, run: Path):
    done = call("gallery", "out")
    assert done.exit_code == 0, done.output
    assert "out/gallery/index.html: 2 photos" in done.stdout
    told, photos, failed = read(run)
    assert told == {
        "names": ["red", "blue", EVIL],
        "kinds": list(KINDS),
        "decisions": {"1": "drop"},
        "file": "decisions.json",
    }
    [(stem, why)] = failed.items()
    assert stem == "broken"
    assert "broken.png" in why
    assert [photo["stem"] for photo in photos] == ["1", "a/2 %#?"]
    for photo in photos:
        assert (run / "gallery" / photo["picture"]).exists()
        assert [row[0] for row in photo["names"]] == [0, 1, 2]
        assert "hardly found" in [told["kinds"][kind] for kind in photo["kinds"]], photo["hints"]
        assert any(EVIL in line for line in photo["hints"])
    assert "<" not in (run / "gallery" / "photos.js").read_text()
    rows = list(csv.DictReader((run / "gallery" / "records.csv").read_text("utf-8").splitlines()))
    first = [(row["stem"], row["decision"], row["name"]) for row in rows[:2]]
    assert first == [("1", "drop", "red"), ("1", "drop", "blue")]
    assert len(rows) == 6
    assert all("hardly found" in row["hints"] for row in rows)
    assert float(rows[0]["share"]) == pytest.approx(photos[0]["names"][0][1], abs=1e-4)
    assert call("export", "out", "--format", "masks").stdout.count("1 photos") == 1


def test_a_browser_shows_it_from_the_disk(run: Path, tmp_path: Path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no browser here")
    page, _ = write_gallery(run)
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    call = [browser, *options, page.resolve().as_uri()]
    done = subprocess.run(call, capture_output=True, text=True, timeout=200)
    assert "2 of 2 photos" in done.stdout, done.stderr[-2000:]
    assert done.stdout.count("<figure") == 2
    assert 'class="drop"' in done.stdout
    assert 'src="../a/2%20%25%23%3F.overlay.png"' in done.stdout
    assert "hardly found (2)" in done.stdout
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.stdout


def test_hints_are_told_by_what_they_say_beside_the_names():
    lines = [
        "looks jagged: the outline of 'a is in 3 pieces: b'; smooth it",
        '"it\'s" is in 12 pieces: blur more',
        "left out as absent: 'looks like confusion'",
    ]
    assert kinds_of(lines) == ["jagged", "in pieces"]
    assert kinds_of([]) == []
