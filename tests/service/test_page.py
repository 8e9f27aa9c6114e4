"""The page, used as a person would, in a real browser that reaches the service alone; CI lets none of it be skipped."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.service.conftest import Served

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60_000  # milliseconds that anything may take on a busy machine
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no browser here"),
    # A browser that is driven leaves its event loop to the interpreter's end.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *CAMERA]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, mini: Served) -> Iterator:
    """The page, opened; at its end nothing was said on the console, and nobody else was asked for anything."""
    context = browser.new_context(viewport={"width": 1024, "height": 900}, permissions=["clipboard-write", "camera"])
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    said, foreign = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    host = urlsplit(mini.url).netloc

    def only_here(route) -> None:
        if urlsplit(route.request.url).netloc in (host, ""):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    context.route("**/*", only_here)
    page.expected = ["Canvas2D: Multiple readback"]  # which these tests do
    page.goto(mini.url)
    page.wait_for_selector("#model.ready")
    yield page
    unexpected = [text for text in said if not any(re.search(pattern, text) for pattern in page.expected)]
    context.close()
    assert not unexpected
    assert not foreign


def done(page) -> None:
    """Wait until the last answer is drawn."""
    page.wait_for_selector("#names li")
    page.wait_for_selector("#busy", state="hidden")


def open_example(page, text: str = "cat, sofa") -> None:
    page.get_by_role("button", name=text).click()
    done(page)


def wait_for_held(page, held: list, count: int = 1) -> None:
    """Wait until so many calls are held back: the browser tells of a call before its route is given it."""
    end = time.monotonic() + SECONDS / 1000
    while len(held) < count:
        assert time.monotonic() < end, "it was never asked"
        page.wait_for_timeout(10)


SUM = """() => {
    const canvas = document.getElementById('stage'), context = canvas.getContext('2d');
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum = (31 * sum + data[i] + 3 * data[i + 1] + 7 * data[i + 2]) % 999983;
    return sum;
}"""


def pixels(page) -> int:
    """A sum over the canvas: another picture, another number."""
    return page.evaluate(SUM)


def test_an_example_is_segmented_and_looked_at(page):
    open_example(page)
    rows = page.locator("#names li")
    assert "cat" in rows.nth(0).inner_text()
    assert re.search(r"\d+%", rows.nth(0).inner_text())
    assert "absent" in rows.nth(1).get_attribute("class")
    drawn = pixels(page)
    page.get_by_role("button", name="Show cat").click()
    bare = pixels(page)
    assert bare != drawn
    page.get_by_role("button", name="Show cat").click()
    assert pixels(page) == drawn
    page.get_by_label("Outlines").uncheck()
    assert pixels(page) not in (drawn, bare)
    page.get_by_label("Outlines").check()
    page.locator("#opacity").fill("0.9")
    assert page.locator("#opacity + output").inner_text() == "90%"
    assert pixels(page) != drawn
    # A word, and a name, show where they make the model look; a press keeps it.
    page.locator("#opacity").fill("0.5")
    words = page.locator("#words button")
    assert words.all_inner_texts() == ["A", "picture", "of", "cat"]
    words.nth(3).hover()
    warm = pixels(page)
    assert warm != drawn
    assert page.locator("#scale").is_visible()
    words.nth(0).hover()
    assert pixels(page) not in (warm, drawn)
    page.mouse.move(5, 5)
    assert pixels(page) == drawn
    page.locator("#names .name").nth(0).click()
    page.mouse.move(5, 5)
    assert page.locator("#names .name").nth(0).get_attribute("aria-pressed") == "true"
    assert pixels(page) != drawn
    page.locator("#names .name").nth(0).click()
    page.mouse.move(5, 5)
    page.keyboard.press("Tab")


def test_a_pixel_tells_its_name_by_mouse_and_by_keyboard(page):
    open_example(page)
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    assert re.fullmatch(r"cat, \d+% sure", page.locator("#pointed").inner_text())
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.5)
    assert re.fullmatch(r"background, \d+% sure", page.locator("#pointed").inner_text())
    page.mouse.move(1, 1)
    page.locator("#stage").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#pointed").inner_text().startswith("cat, ")
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    assert page.locator("#pointed").inner_text().startswith("background, ")


def test_names_are_typed_with_synonyms_and_taken_back(page):
    page.locator("#file").set_input_files(EXAMPLES / "coffee.jpg")
    page.wait_for_selector("#work:not([hidden])")
    field = page.get_by_label("What to look for")
    assert field.evaluate("field => field === document.activeElement")
    field.press_sequentially("cup, mug")
    field.press("Enter")
    done(page)
    assert "mug" in page.locator("#names li").nth(0).inner_text()
    field.press_sequentially("table")
    field.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 2")
    field.press("Backspace")
    assert field.input_value() == "table"
    field.fill("")
    page.get_by_role("button", name="Remove cup").click()
    assert page.locator(".chip").count() == 0
    field.press_sequentially("cup")
    field.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 1")
    done(page)
    page.expected.append("422")
    field.press_sequentially("CUP")
    field.press("Enter")
    page.wait_for_selector("#problem-names:not(:empty)")
    assert "give every name and synonym once" in page.locator("#problem-names").inner_text()


def test_a_name_that_was_pressed_stays_warm_in_the_next_answer_whatever_its_place(page):
    open_example(page, "A cup of coffee")
    names = page.locator("#names .name")
    kept = names.nth(1).inner_text().split("\n")[0]
    names.nth(1).click()
    first = page.locator(".chip button").nth(0)
    first.click()
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 2")
    done(page)
    assert kept in names.nth(0).inner_text()
    assert [names.nth(i).get_attribute("aria-pressed") for i in range(2)] == ["true", "false"]
    warm = pixels(page)
    names.nth(1).hover()
    names.nth(0).hover()
    assert pixels(page) == warm
    page.mouse.move(5, 5)
    first.click()
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 1")
    done(page)
    page.mouse.move(5, 5)
    assert names.nth(0).get_attribute("aria-pressed") == "false"
    assert page.locator("#scale").is_hidden()


@pytest.mark.parametrize(
    ("address", "button", "found"),
    [("/v1/steps", "Show each step", "#steps li"), ("/v1/heads", "Show all heads", "#heads .layer")],
)
def test_what_was_asked_of_another_photo_is_dropped_when_it_comes(page, address: str, button: str, found: str):
    held: list = []
    open_example(page)
    page.route(f"**{address}", lambda route: held.append(route))
    page.get_by_role("button", name=button).click()
    wait_for_held(page, held)
    open_example(page, "A cup of coffee")
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 3")
    with page.expect_response(f"**{address}"):
        held[0].continue_()
    page.wait_for_selector(f"button:enabled:has-text('{button}')")
    assert page.locator(found).count() == 0
    assert page.locator(".problem:not(:empty)").count() == 0


def test_photos_are_dropped_pasted_and_taken(page):
    content = list((EXAMPLES / "cat.jpg").read_bytes())
    make = """(content) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(content)], 'mine.jpg', { type: 'image/jpeg' })); return data; }"""
    data = page.evaluate_handle(make, content)
    page.dispatch_event("#drop", "dragover", {"dataTransfer": data})
    assert "over" in page.locator("body").get_attribute("class")
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.wait_for_selector("body.has-photo")
    page.get_by_label("What to look for").fill("cat")
    page.keyboard.press("Enter")
    done(page)
    paste = f"(content) => dispatchEvent(Object.assign(new Event('paste'), {{ clipboardData: ({make})(content) }}))"
    page.evaluate(paste, list((EXAMPLES / "coffee.jpg").read_bytes()))
    page.wait_for_function("() => document.getElementById('stage').width === 600")
    done(page)
    page.get_by_role("button", name="Take a photo").click()
    page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
    page.get_by_role("button", name="Take it").click()
    page.wait_for_function("() => document.getElementById('stage').width !== 600")
    done(page)
    assert page.locator("#camera-box[open]").count() == 0
    page.locator("#file").set_input_files(EXAMPLES / "README.md")
    assert "no photo" in page.locator("#problem-photo").inner_text()


def test_sliders_draw_anew_from_what_is_remembered(page):
    open_example(page)
    drawn, sent = pixels(page), []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    slider = page.locator("input[name=threshold]")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => !/draft/.test(document.getElementById('took').textContent)")
    done(page)
    assert pixels(page) != drawn
    assert sent
    assert not [request for request in sent if b"filename" in (request.post_data_buffer or b"")], "the photo went once"
    assert "0.13" in page.locator("input[name=threshold] + output").inner_text()
    page.locator("input[name='crf.iterations']").fill("0")
    page.locator("input[name='crf.iterations']").dispatch_event("change")
    done(page)
    assert page.locator("input[name='crf.iterations'] + output").inner_text() == "off"
    page.get_by_text("The same on the command line").click()
    shell = page.locator("#shell").inner_text()
    assert "--set threshold=0.13" in shell
    assert "--set crf=none" in shell
    assert "--names-file names.txt" in shell
    page.get_by_text("The same in Python").click()
    python = page.locator("#python").inner_text()
    compile(python, "page", "exec")
    assert '"crf": None' in python
    page.locator(".copy").nth(0).click()
    page.get_by_role("button", name="As recommended").click()
    page.wait_for_function("() => document.querySelector('input[name=threshold] + output').textContent === '0.10'")
    done(page)
    page.get_by_text("How the model looks").click()
    page.get_by_label("Weigh by the gradient").uncheck()
    done(page)
    page.locator("input[name='presence.above']").fill("0")
    page.locator("input[name='presence.above']").dispatch_event("change")
    page.wait_for_function("() => !document.querySelector('#names li.absent')")


def test_things_of_one_name_are_told_apart(page):
    page.get_by_role("button", name="woman, flag, rocket").click()
    done(page)
    drawn = pixels(page)
    assert page.locator(".things").count() == 0
    assert not page.locator("#save-instances").is_visible()
    choice = page.get_by_label("One thing from another")
    choice.select_option(label="by connected pieces")
    page.wait_for_selector(".things")
    done(page)
    numbered = pixels(page)
    assert numbered != drawn, "numbers and outlines"
    things = page.locator(".things button")
    assert all(re.fullmatch(r"\d+ \d+% sure, (< 1|\d+)% of the photo", text) for text in things.all_inner_texts())
    things.nth(0).hover()
    alone = pixels(page)
    assert alone != numbered or things.count() == 1
    page.mouse.move(5, 5)
    assert pixels(page) == numbered
    things.nth(0).focus()
    assert pixels(page) == alone
    things.nth(0).blur()
    # A pixel of the suit belongs to a woman with a number.
    place = page.evaluate("""async () => {
        const { x, y, width, height } = document.getElementById('stage').getBoundingClientRect();
        return [x + 0.35 * width, y + 0.7 * height];
    }""")
    page.mouse.move(*place)
    assert re.fullmatch(r"woman \d+, \d+% sure", page.locator("#pointed").inner_text())
    with page.expect_download() as download:
        page.get_by_role("button", name="Numbers of things").click()
    assert download.value.suggested_filename == "astronaut.instances.png"
    assert "--set instances.split=pieces" in page.locator("#shell").text_content()
    choice.select_option(label="by peaks of the heat, too")
    done(page)
    assert "--set instances.split=heat" in page.locator("#shell").text_content()
    choice.select_option(label="off")
    page.wait_for_function("() => !document.querySelector('.things')")
    done(page)
    assert pixels(page) == drawn


def test_the_method_is_shown_and_played_and_heads_are_chosen(page):
    open_example(page)
    page.get_by_role("button", name="Show each step").click()
    page.wait_for_selector("#steps li")
    titles = page.locator("#steps b").all_inner_texts()
    looks = [f"Look {i}" for i in range(1, 5)]
    assert titles == [
        "The photo",
        "Attention",
        "GradCAM",
        *looks,
        "The sum",
        "Threshold",
        "Labels",
        "Blur",
        "Dense CRF",
    ]
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => /^([2-9]|1\\d)\\./.test(document.querySelector('#steps-said').textContent)")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name=re.compile("^Step 5")).click()
    assert page.locator("#steps-said").inner_text().startswith("5. Look 2")
    page.get_by_role("button", name="Show all heads").click()
    page.wait_for_selector(".layer button")
    assert page.locator(".layer button").count() == 8
    drawn = pixels(page)
    page.get_by_role("button", name="Layer 3, head 1").click()
    page.wait_for_selector(".layer button[aria-label='Layer 3, head 1'][aria-pressed=true]")
    done(page)
    assert pixels(page) != drawn
    assert "--set layer=3" in page.locator("#shell").text_content()


def test_of_two_heads_chosen_one_after_the_other_the_last_is_shown_though_its_answer_comes_first(page):
    open_example(page)
    page.get_by_role("button", name="Show all heads").click()
    page.wait_for_selector(".layer button")
    held: list = []
    page.route("**/v1/heads", lambda route: held.append(route))
    for head in (1, 2):
        page.get_by_role("button", name=f"Layer 3, head {head}").click()
        wait_for_held(page, held, head)
    for route in reversed(held):
        with page.expect_response("**/v1/heads") as answer:
            route.continue_()
        answer.value.finished()
    page.wait_for_selector("button:enabled:has-text('Show all heads')")
    page.wait_for_timeout(200)  # for the answer that must not be shown
    pressed = page.locator(".layer button[aria-pressed=true]")
    assert [pressed.nth(i).get_attribute("aria-label") for i in range(pressed.count())] == ["Layer 3, head 2"]


def test_what_is_found_is_taken_along(page, tmp_path: Path):
    open_example(page)
    for text, name, start in (
        ("Label map", "cat.labels.png", b"\x89PNG"),
        ("Overlay", "cat.overlay.png", b"\x89PNG"),
        ("COCO JSON", "cat.json", b"{"),
        ("Heat maps", "cat.heat.zip", b"PK"),
        ("Everything", "cat.npz", b"PK"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=text).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    record = json.loads((tmp_path / "cat.json").read_text())
    assert record["names"][0]["segmentation"]["size"] == [300, 451]


@pytest.mark.parametrize("width", [390, 1024, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_in_the_way_of_anybody(page, width: int, dark: bool, tmp_path: Path):
    page.set_viewport_size({"width": width, "height": 900})
    if dark:
        page.get_by_role("button", name="Dark").click()
    open_example(page)
    page.get_by_label("One thing from another").select_option("pieces")
    page.wait_for_selector(".things")
    page.get_by_role("button", name="Show each step").click()
    page.wait_for_selector("#steps li")
    page.get_by_role("button", name="Show all heads").click()
    page.wait_for_selector(".layer button")
    for box in page.locator("details").all():
        box.evaluate("box => { box.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert not serious
    page.screenshot(path=tmp_path / f"{width}.png", full_page=True)


def test_all_of_it_is_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    open_example(page)
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
            )
        )
    wanted = {"theme", "choose", "camera", "name", "stage", "opacity", "outlines", "threshold", "reset", "show-steps"}
    assert wanted <= reached
    assert {"instances.split", "show-heads", "swatch"} <= reached


def answered_first(page, *answers: tuple[int, dict[str, str], str], address: str = "**/v1/segment") -> list[bytes]:
    """Answer the next calls in the place of the service; what all calls brought is collected."""
    left, sent = list(answers), []

    def answer(route) -> None:
        sent.append(route.request.post_data_buffer or b"")
        if not left:
            route.fallback()
            return
        status, headers, kind = left.pop(0)
        problem = {"type": f"urn:pnpovss:problem:{kind}", "title": "Busy", "status": status, "detail": f"it is {kind}"}
        route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=json.dumps(problem))

    page.route(address, answer)
    page.expected.append("the server responded with a status of")
    return sent


def test_it_waits_where_many_ask_sends_a_forgotten_photo_again_and_asks_for_a_key(page):
    sent = answered_first(page, (429, {"retry-after": "1"}, "full"))
    open_example(page)
    assert len(sent) == 2
    page.unroute("**/v1/segment")
    sent = answered_first(page, (404, {}, "forgotten"))
    with page.expect_download():
        page.get_by_role("button", name="Label map").click()
    assert b"filename" not in sent[0]
    assert b"filename" in sent[1]
    page.unroute("**/v1/segment")
    answered_first(page, (401, {}, "key"))
    page.get_by_role("button", name="A cup of coffee").click()
    page.get_by_label("Key", exact=True).fill("a-key-of-letters-0123456789")
    page.get_by_role("button", name="Use it").click()
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 3")
    assert page.evaluate("sessionStorage.getItem('key')") == "a-key-of-letters-0123456789"
    page.unroute("**/v1/segment")
    answered_first(page, (422, {}, "photo"))
    page.get_by_label("What to look for").fill("plate")
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem:not(:empty)")
    assert page.locator("#problem").inner_text() == "it is photo"


def test_a_model_that_loads_for_long_is_waited_for(page):
    answered_first(page, *[(503, {"retry-after": "0.01"}, "loading")] * 9, address="**/v1/models")
    page.reload()
    page.wait_for_selector("#model.ready")


def test_a_key_that_is_refused_is_said_to_be_and_one_that_is_not_given_is_not_taken(page):
    answered_first(page, *[(401, {}, "key")] * 3)
    page.get_by_role("button", name="cat, sofa").click()
    page.get_by_label("Key", exact=True).fill("not-this-one-0123456789")
    assert not page.locator("#problem-key").inner_text()
    page.get_by_role("button", name="Use it").click()
    page.wait_for_selector("#problem-key:not(:empty)")
    page.get_by_label("Key", exact=True).fill("nor-this-one-0123456789")
    page.keyboard.press("Escape")
    page.wait_for_selector("#problem:not(:empty)")
    assert page.evaluate("sessionStorage.getItem('key')") == "not-this-one-0123456789"


def test_calls_that_want_a_key_at_once_share_one_answer(page):
    problem = {"type": "urn:pnpovss:problem:key", "title": "A key is needed", "status": 401, "detail": "no key"}

    def answer(route) -> None:
        if "authorization" in route.request.headers:
            route.fallback()
        else:
            route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem))

    page.route("**/v1/*", answer)
    page.expected.append("the server responded with a status of 401")
    page.evaluate("""() => {
        const both = ({ get }) => Promise.all([get('/v1/models'), get('/v1/settings')]);
        const { json } = Response.prototype;
        window.read = 0; // answers that the page read, and did at once what follows from them
        Response.prototype.json = function () {
            return json.call(this).finally(() => setTimeout(() => { window.read += 1; }));
        };
        import('/page/api.js').then(both).then((answers) => { window.answers = answers.length; });
    }""")
    page.wait_for_selector("#key-box[open]")
    page.wait_for_function("() => window.read === 2")
    page.get_by_label("Key", exact=True).fill("a-key-of-letters-0123456789")
    page.get_by_role("button", name="Use it").click()
    page.wait_for_function("() => window.answers === 2")


def test_of_two_photos_that_come_at_once_the_last_is_shown_though_it_is_there_first(page):
    held: list = []
    page.route("**/page/examples/cat.jpg", lambda route: held.append(route))
    page.get_by_role("button", name="A cat").click()
    wait_for_held(page, held)
    open_example(page, "A cup of coffee")
    with page.expect_response("**/page/examples/cat.jpg") as answer:
        held[0].continue_()
    answer.value.finished()
    page.wait_for_timeout(200)  # for the photo that must not be shown
    assert page.locator("#stage").evaluate("stage => stage.width") == 600
    assert "cup" in page.locator(".chip").nth(0).inner_text()


def test_an_example_that_cannot_be_had_is_said_to_be_missing(page):
    page.route("**/page/examples/cat.jpg", lambda route: route.abort())
    page.expected.append("net::ERR_FAILED")
    page.get_by_role("button", name="A cat").click()
    page.wait_for_selector("#problem-photo:not(:empty)")
    assert "does not answer" in page.locator("#problem-photo").inner_text()


def test_where_all_names_are_taken_back_nothing_is_shown_any_more(page):
    open_example(page)
    drawn = pixels(page)
    for _ in range(2):
        page.locator(".chip button").nth(0).click()
    page.wait_for_function("() => !document.querySelector('#names li')")
    assert pixels(page) != drawn
    assert page.locator("#stage").get_attribute("aria-label") == "The photo"
    assert page.locator("#method").is_hidden()
    assert not page.locator("#shell").text_content()


def test_a_file_is_called_as_the_photo_that_it_was_asked_of(page):
    held: list = []

    def answer(route) -> None:
        is_file = b'name="outputs"\r\n\r\nlabels\r\n' in route.request.post_data_buffer
        held.append(route) if is_file else route.fallback()

    open_example(page)
    page.route("**/v1/segment", answer)
    page.get_by_role("button", name="Label map").click()
    wait_for_held(page, held)
    open_example(page, "A cup of coffee")
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 3")
    with page.expect_download() as download:
        held[0].continue_()
    assert download.value.suggested_filename == "cat.labels.png"


def test_what_cannot_be_copied_is_selected(page):
    open_example(page)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_text("The same in Python").click()
    page.evaluate("""() => { // what the button says it says for a moment
        const button = document.querySelector('.copy[data-of=python]');
        window.said = [];
        new MutationObserver(() => window.said.push(button.textContent)).observe(button, { childList: true });
    }""")
    page.get_by_role("button", name="Copy").click()
    page.wait_for_function("() => window.said.includes('Selected')")
    assert page.evaluate("getSelection().toString()").startswith("from pnpovss import Segmenter")


def test_enter_that_ends_a_composed_word_adds_no_name(page):
    open_example(page)
    field = page.get_by_label("What to look for")
    field.fill("ねこ")
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    assert page.locator(".chip").count() == 2
    assert field.input_value() == "ねこ"
    field.fill("")


def test_the_head_that_is_read_is_marked_and_keeps_the_focus(page):
    open_example(page)
    page.get_by_role("button", name="Show all heads").click()
    own = page.locator(".layer button[aria-pressed=true]").get_attribute("aria-label")
    page.get_by_role("button", name="Layer 3, head 1").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".layer button[aria-label='Layer 3, head 1'][aria-pressed=true]")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 3, head 1"
    page.get_by_role("button", name="As recommended").click()
    page.wait_for_selector(f".layer button[aria-label='{own}'][aria-pressed=true]")
    assert page.locator(".layer button[aria-pressed=true]").count() == 1


def test_of_a_large_photo_a_small_copy_is_kept(page, tmp_path: Path):
    Image.new("RGB", (2600, 1300), (90, 140, 60)).save(tmp_path / "large.png")
    page.evaluate("""() => {
        const make = window.createImageBitmap;
        window.made = [];
        window.createImageBitmap = async (...asked) => {
            const bitmap = await make(...asked);
            window.made.push(bitmap);
            return bitmap;
        };
    }""")
    page.locator("#file").set_input_files(tmp_path / "large.png")
    page.get_by_label("What to look for").fill("grass")
    page.keyboard.press("Enter")
    done(page)
    open_ones = "window.made.filter((bitmap) => bitmap.width).map(({ width, height }) => [width, height])"
    assert page.evaluate(open_ones) == [[1280, 640]]
    assert page.locator("#stage").evaluate("stage => [stage.width, stage.height]") == [1280, 640]
