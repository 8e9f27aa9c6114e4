"""A page whose start fails says so for as long as it does, and starts when it can."""

from tests.service.test_page import answered_first, browser, done, page, pytestmark  # noqa: F401


def test_a_start_that_failed_is_told_and_tried_again_when_something_is_asked(page):  # noqa: F811
    answered_first(page, *[(500, {}, "broken")] * 3, address="**/v1/models")
    failed = "#model:has-text('No model')"  # a new attempt takes that away at once, but leaves the last one's problem
    page.reload()
    page.wait_for_selector(failed)
    assert page.locator("#problem").inner_text() == "it is broken"
    with page.expect_response("**/v1/models"):
        page.get_by_role("button", name="cat, sofa").click()
    page.wait_for_selector(failed)
    assert page.locator("#problem").inner_text() == "it is broken"
    with page.expect_response("**/v1/models"):
        page.get_by_role("button", name="Label map").click()
    page.wait_for_selector(failed)
    page.get_by_label("What to look for").fill("grass")
    page.keyboard.press("Enter")
    done(page)
    assert page.locator("#names li").count() == 3
    assert not page.locator("#problem").inner_text()
    page.wait_for_selector("#model.ready")


def test_a_key_that_no_header_holds_is_refused_by_its_box(page):  # noqa: F811
    answered_first(page, (401, {}, "key"))
    page.get_by_role("button", name="cat, sofa").click()
    for key, says in (("a-key-of-letters-01\u2026", "\u2026"), ("a key-of-letters-01", " ")):
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Use it").click()
        page.wait_for_selector(f"#problem-key:has-text('holds \"{says}\"')")
        assert page.locator("#key-box[open]").count() == 1
        assert page.evaluate("sessionStorage.getItem('key')") is None
    page.get_by_label("Key", exact=True).fill(" a-key-of-letters-0123456789 ")
    page.get_by_role("button", name="Use it").click()
    done(page)
    assert page.evaluate("sessionStorage.getItem('key')") == "a-key-of-letters-0123456789"
