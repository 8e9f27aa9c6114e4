"""Photos that browsers show otherwise than the model sees them: turned by metadata that few follow, or transparent."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.conftest import Serve
from tests.service.test_api import post
from tests.service.test_page import browser, done, page, pytestmark  # noqa: F401

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves() -> Image.Image:
    """60 x 40 pixels as stored: red on the left, blue on the right."""
    picture = Image.new("RGB", (60, 40), RED)
    picture.paste(BLUE, (30, 0, 60, 40))
    return picture


def turned(form: str, orientation: int, *, by_xmp: bool = False) -> bytes:
    """`halves` in a file whose metadata ask for a turn."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    halves().save(file, form, quality=95, **({"xmp": xmp} if by_xmp else {"exif": exif.tobytes()}))
    return file.getvalue()


def near(pixel: list[int], colour: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(pixel, colour, strict=False)) < 40


def look(page, content: bytes, tmp_path: Path, name: str = "photo") -> None:  # noqa: F811
    """Segment a photo by a name."""
    (tmp_path / name).write_bytes(content)
    page.locator("#file").set_input_files(tmp_path / name)
    page.get_by_label("What to look for").fill("grass")
    page.keyboard.press("Enter")
    done(page)


PIXEL = """([x, y]) => {
    const canvas = document.getElementById('stage');
    return [...canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
}"""


@pytest.mark.parametrize(
    ("form", "orientation", "by_xmp", "size", "red", "blue"),
    [
        ("WEBP", 6, False, [40, 60], (0.5, 0.1), (0.5, 0.9)),
        ("WEBP", 3, False, [60, 40], (0.9, 0.5), (0.1, 0.5)),
        ("JPEG", 8, True, [40, 60], (0.5, 0.9), (0.5, 0.1)),
        ("JPEG", 6, False, [40, 60], (0.5, 0.1), (0.5, 0.9)),
    ],
)
def test_a_photo_is_shown_as_the_service_saw_it(
    page,  # noqa: F811
    tmp_path: Path,
    form: str,
    orientation: int,
    by_xmp: bool,
    size: list,
    red: tuple,
    blue: tuple,
):
    name = f"photo.{form.lower()}"
    with page.expect_response("**/v1/segment") as answer:
        look(page, turned(form, orientation, by_xmp=by_xmp), tmp_path, name)
    view = answer.value.json()
    assert [view["width"], view["height"]] == size
    assert page.locator("#stage").evaluate("stage => [stage.width, stage.height]") == size
    page.locator("#opacity").fill("0")
    page.get_by_label("Outlines").uncheck()
    assert near(page.evaluate(PIXEL, red), RED)
    assert near(page.evaluate(PIXEL, blue), BLUE)
    assert (view["photo"] is None) == (form == "JPEG" and not by_xmp)


def test_a_view_holds_the_photo_only_where_browsers_may_turn_it_otherwise(serve: Serve):
    client = serve()
    for content, alike in (
        (turned("JPEG", 6), True),
        (turned("JPEG", 1, by_xmp=True), True),
        (turned("WEBP", 1), True),
        (turned("JPEG", 6, by_xmp=True), False),
        (turned("WEBP", 5), False),
        (turned("PNG", 2), False),
    ):
        for _ in range(2):  # the second time it is remembered
            assert (post(client, content, names="red", outputs="view").json()["photo"] is None) == alike
    view = post(client, turned("WEBP", 3), names="red", outputs="view").json()
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(view["photo"]))))
    assert shown.shape == (40, 60, 3)
    assert near(shown[20, 50].tolist(), RED)
    assert post(client, turned("WEBP", 3), names="red", outputs="view", draft="true").json()["photo"] is None


def test_what_is_transparent_is_white_and_keeps_nothing_of_what_was_drawn_on_it(page, tmp_path: Path):  # noqa: F811
    photo, file = Image.new("RGBA", (90, 60), (0, 0, 0, 0)), io.BytesIO()
    photo.paste((90, 140, 60, 255), (0, 0, 30, 60))
    photo.save(file, "PNG")
    look(page, file.getvalue(), tmp_path, "photo.png")
    page.get_by_text("How the model looks").click()
    page.locator("input[name='presence.above']").fill("0")  # it is looked for, whether it is there or not
    page.wait_for_selector("#names li:not(.absent)")
    done(page)
    page.get_by_role("button", name="Show grass").click()
    page.locator("#names .name").hover()
    assert page.evaluate(PIXEL, (0.9, 0.5)) != [255, 255, 255, 255], "a map lies over all of the photo"
    page.mouse.move(1, 1)
    assert page.evaluate(PIXEL, (0.9, 0.5)) == [255, 255, 255, 255]
