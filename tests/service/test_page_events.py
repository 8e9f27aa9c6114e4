"""What is done with a mouse or by keyboard comes to what was meant, and what is said of it is true."""

from tests.service.test_page import answered_first, browser, done, open_example, page, pixels, pytestmark  # noqa: F401


def test_a_slider_that_is_brought_back_to_where_it_was_ends_with_the_whole_picture(page):  # noqa: F811
    open_example(page)
    drawn, slider = pixels(page), page.locator("input[name=threshold]")
    slider.scroll_into_view_if_needed()
    before, box = slider.input_value(), slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    start = box["x"] + 8 + (box["width"] - 16) * float(before) / 0.9  # where the thumb is
    page.mouse.move(start, middle)
    page.mouse.down()
    page.mouse.move(start + 60, middle, steps=4)
    page.wait_for_function("() => /draft/.test(document.getElementById('took').textContent)")
    page.mouse.move(start, middle, steps=4)
    page.mouse.move(start, middle + 90)
    assert slider.input_value() == before
    # A draft of the way back may still be sent before it.
    with page.expect_request(lambda asked: b'name="draft"\r\n\r\nfalse' in (asked.post_data_buffer or b"")):
        page.mouse.up()
    page.wait_for_function("() => !/draft/.test(document.getElementById('took').textContent)")
    done(page)
    page.mouse.move(1, 1)
    assert pixels(page) == drawn


def test_a_chip_that_is_pressed_while_a_name_is_typed_goes_and_the_name_stays(page):  # noqa: F811
    open_example(page)
    page.get_by_label("What to look for").press_sequentially("grass")
    page.get_by_role("button", name="Remove sofa").click()
    done(page)
    assert page.locator(".chip span").all_inner_texts() == ["cat", "grass"]
    assert page.get_by_label("What to look for").input_value() == ""
    page.get_by_role("button", name="Remove cat").click()
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 1")


def test_a_name_that_was_taken_back_is_asked_for_when_the_field_is_left(page):  # noqa: F811
    open_example(page)
    field, chips = page.get_by_label("What to look for"), page.locator(".chip > span")
    field.press("Backspace")
    assert field.input_value() == "sofa, couch"
    field.press("Tab")
    assert chips.all_inner_texts() == ["cat", "sofa, couch"]
    assert field.input_value() == ""
    field.press("Backspace")
    page.get_by_role("button", name="Remove cat").click()
    assert chips.all_inner_texts() == ["sofa, couch"]
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 1")


def test_what_is_said_does_not_outlive_its_cause(page):  # noqa: F811
    open_example(page)
    answered_first(page, *[(429, {"retry-after": "1"}, "full")] * 5)
    field = page.get_by_label("What to look for")
    field.fill("cat")
    field.press("Enter")
    page.wait_for_selector("#took:has-text('trying again in 1 s')")
    page.wait_for_selector("#problem:has-text('it is full')")
    assert page.locator("#took").inner_text() == ""
    page.get_by_label("Outlines").focus()
    page.get_by_role("button", name="As recommended").click()
    page.wait_for_selector("#problem-names:not(:empty)")  # twice the same name
    for _ in range(3):
        page.locator(".chip button").nth(0).click()
    assert page.locator(".chip").count() == 0
    assert page.locator("#problem-names").inner_text() == ""


SENT = """([selector, kind, text, picture]) => {
    const data = new DataTransfer();
    for (const type of text) data.setData(type, 'https://elsewhere.example/');
    if (picture) data.items.add(new File([new Uint8Array([1])], 'mine.png', { type: 'image/png' }));
    const event = new Event(kind, { bubbles: true, cancelable: true });
    Object.assign(event, { clipboardData: data, dataTransfer: data });
    document.querySelector(selector).dispatchEvent(event);
    return [event.defaultPrevented, document.body.classList.contains('over')];
}"""


def test_text_that_is_pasted_or_dropped_at_the_name_is_a_name_and_no_photo(page):  # noqa: F811
    open_example(page)
    for kind in ("dragover", "drop"):
        assert page.evaluate(SENT, ["#name", kind, ["text/plain"], False]) == [False, False]
        assert page.evaluate(SENT, ["#stage", kind, ["text/uri-list"], False]) == [True, False]
    page.evaluate(SENT, ["#name", "paste", ["text/plain", "text/html"], True])
    page.get_by_label("What to look for").fill("grass")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#names li').length === 3")
    assert page.locator("#problem-photo").inner_text() == ""
    page.evaluate(SENT, ["#name", "paste", ["text/html"], True])
    page.wait_for_selector("#problem-photo:has-text('cannot show this photo')")
