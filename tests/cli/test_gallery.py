"""The page to look through a run: what it shows, and what it must not do."""

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

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
        assert (run / "gallery" / unquote(photo["picture"])).exists()
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


def test_other_files_are_not_replaced(call: Call, run: Path):
    page = run / "gallery"
    page.write_bytes(b"mine")
    assert "out/gallery: it is a file; move it away" in call("gallery", "out").stderr
    page.unlink()
    assert call("gallery", "out").exit_code == 0
    assert call("gallery", "out").exit_code == 0
    for name in ("index.html", "photos.js", "records.csv"):
        old = (page / name).read_bytes()
        (page / name).write_bytes(b"mine")
        done = call("gallery", "out")
        assert done.exit_code == 2
        assert f"out/gallery/{name} was not made by `pnpovss gallery`" in done.stderr
        assert (page / name).read_bytes() == b"mine"
        (page / name).write_bytes(old)


@pytest.fixture
def page(run: Path) -> Iterator:
    """The page, opened from the disk in a real browser; at its end, nothing was said on the console."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no browser here")
    index, _ = write_gallery(run)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        opened, said = browser.new_context(viewport={"width": 1024, "height": 800}).new_page(), []
        opened.set_default_timeout(60_000)
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(index.resolve().as_uri())
        yield opened
        browser.close()
    assert not said


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a driven browser leaves its event loop to the end
def test_a_browser_shows_it_from_the_disk(call: Call, run: Path, page):
    figures = page.locator("figure")
    assert page.locator("#told").inner_text() == "2 of 2 photos"
    assert figures.count() == 2
    assert figures.nth(0).get_attribute("class") == "drop"
    assert figures.nth(1).locator("img").get_attribute("src") == "../a/2%20%25%23%3F.overlay.png"
    assert figures.nth(1).locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert re.search(r"red \d+\.\d%( \(.*?\))?, blue \d+\.\d%", figures.nth(1).inner_text())
    assert f"{EVIL} (0)" in page.locator("#name").inner_text()
    assert "hardly found (2)" in page.locator("#hint").inner_text()
    assert figures.nth(1).get_by_role("button", name="drop a/2 %#?", exact=True).count() == 1
    assert EVIL not in figures.nth(1).locator("details").inner_text()
    figures.nth(1).locator("summary").click()  # by keyboard and touch, too: hints are no mere tooltip
    assert EVIL in figures.nth(1).locator("details").inner_text()

    page.locator("#hint").select_option("jagged (0)")
    assert page.locator("#told").inner_text() == "0 of 2 photos"
    page.locator("#hint").select_option("hardly found (2)")
    assert figures.count() == 2
    page.locator("#which").select_option("failed (1)")
    assert page.locator("#told").inner_text() == "1 of 1 photos"
    assert "broken.png" in figures.nth(0).inner_text()
    page.locator("#which").select_option("dropped")
    assert figures.count() == 1
    page.locator("#which").select_option("all")

    figures.nth(0).get_by_role("button", name="keep").click()
    figures.nth(1).get_by_role("button", name="drop").click()
    assert page.locator("#dropped").inner_text() == "1 dropped"
    page.reload()  # decisions outlive the page
    assert figures.nth(1).get_attribute("class") == "drop"
    with page.expect_download() as saved:
        page.get_by_role("button", name="save decisions").click()
    assert saved.value.suggested_filename == "decisions.json"
    saved.value.save_as(run / "decisions.json")
    assert call("export", "out", "--format", "masks").exit_code == 0
    assert [path.name for path in (run / "export" / "masks" / "labels").rglob("*.png")] == ["1.png"]


def test_the_address_of_a_picture_whose_name_is_no_text(call: Call, tmp_path: Path):
    save_flag(tmp_path / os.fsdecode(b"in/caf\xe9.png"))
    call("segment", "in", "--names", "red", "--out", "out", *FAKE)
    write_gallery(tmp_path / "out")
    [photo] = read(tmp_path / "out")[1]
    assert photo["picture"] == "../caf%E9.overlay.png"
    assert (tmp_path / "out" / "gallery" / os.fsdecode(unquote_to_bytes(photo["picture"]))).exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_file_of_decisions_counts_where_it_was_changed_since(run: Path, page):
    page.locator("figure").nth(1).get_by_role("button", name="drop").click()
    (run / "decisions.json").write_text("{}")
    write_gallery(run)
    page.reload()
    assert page.locator("#dropped").inner_text() == "0 dropped"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_decisions_of_two_tabs_come_together_and_what_is_not_stored_is_said(page):
    page.evaluate("localStorage.setItem(`pnpovss ${location.pathname} {}`, '{}')")
    page.evaluate("localStorage.setItem('pnpovss /elsewhere {}', '{}')")
    page.reload()
    other = page.context.new_page()
    other.goto(page.url)
    page.locator("figure").nth(0).get_by_role("button", name="keep").click()
    other.locator("figure").nth(1).get_by_role("button", name="drop").click()
    for tab in (page, other):
        tab.wait_for_function("() => document.querySelectorAll('figure')[1].className === 'drop'")
        assert tab.locator("figure").nth(0).get_attribute("class") == ""
    page.reload()
    assert [each.get_attribute("class") for each in page.locator("figure").all()] == ["", "drop"]
    keys = page.evaluate("Object.keys(localStorage).sort()")
    assert len(keys) == 2
    assert keys[0] == "pnpovss /elsewhere {}"
    assert re.search(r"/gallery/index\.html \d+-\d+$", keys[1])

    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    page.locator("figure").nth(0).get_by_role("button", name="drop").click()
    assert "save them before you leave" in page.locator("#unstored").inner_text()
    assert page.locator("#dropped").inner_text() == "2 dropped"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_region_of_a_few_pixels_is_no_photo_without(run: Path, page):
    record = run / "1.json"
    told = json.loads(record.read_text())
    for name, share in zip(told["names"], (1 / 30_000, 0, 0), strict=True):
        name["share"] = share
    record.write_text(json.dumps(told))
    write_gallery(run)
    assert read(run)[1][0]["names"][0][1] == pytest.approx(1 / 30_000, rel=1e-3)
    page.reload()
    assert "red < 0.1%" in page.locator("figure").nth(0).inner_text()
    page.locator("#which").select_option("nothing found")
    assert page.locator("#told").inner_text() == "0 of 2 photos"


def test_hints_are_told_by_what_they_say_beside_the_names():
    lines = [
        "looks jagged: the outline of 'a is in 3 pieces: b'; smooth it",
        '"it\'s" is in 12 pieces: blur more',
        "left out as absent: 'looks like confusion'",
    ]
    assert kinds_of(lines) == ["jagged", "in pieces"]
    assert kinds_of([]) == []
