"""The Dialogue tab in a real browser: lines change places by key, button and drag; each voice can be had alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.server.conftest import Running, Serve
from tests.server.pages import open_page, press, text, uncomplaining, until
from tests.server.test_page_accessibility import check

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

KEEP_FILES = """
window.files = [];
const made = URL.createObjectURL;
URL.createObjectURL = (blob) => { window.files.push(blob); return made.call(URL, blob); };
HTMLAnchorElement.prototype.click = function () { window.files.at(-1).label = this.download; };
"""
WATCH_LINES = """
const marked = window.marked = [];
new MutationObserver(() => {
  const line = document.querySelector("#lines [aria-current] input")?.value;
  if (line && line !== marked.at(-1)) marked.push(line);
}).observe(document.getElementById("lines"), { subtree: true, attributeFilter: ["aria-current"] });
"""
READ_FILE = """
const [index, done] = arguments;
const reader = new FileReader();
reader.onload = () => done([window.files.at(index).label, reader.result.split(",")[1]]);
reader.readAsDataURL(window.files.at(index));
"""


@pytest.fixture
def page(browser: WebDriver, server: Running) -> Iterator[WebDriver]:
    with uncomplaining(browser, f"{server.url}/#dialogue") as opened:
        write(opened, "First.", "Second.", "Third.")
        yield opened


def write(page: WebDriver, *words: str) -> None:
    for field, line in zip(page.find_elements(By.CSS_SELECTOR, "#lines input"), words, strict=True):
        field.clear()
        field.send_keys(line)


def lines(page: WebDriver) -> list[str]:
    found: list[str] = page.execute_script(
        "return [...document.querySelectorAll('#lines input')].map((field) => field.value)"
    )
    return found


def part(page: WebDriver, line: int, act: str) -> WebElement:
    return page.find_elements(By.CSS_SELECTOR, f"#lines [data-act={act}]")[line - 1]


def test_arrow_keys_on_the_handle_move_a_line_and_the_focus_stays(page: WebDriver) -> None:
    handle = part(page, 1, "drag")
    handle.send_keys(Keys.ARROW_DOWN)
    assert lines(page) == ["Second.", "First.", "Third."]
    assert text(page, "dialogue-status") == "Now it is line 2."
    assert page.switch_to.active_element == handle
    press(page, Keys.ARROW_DOWN)
    assert lines(page) == ["Second.", "Third.", "First."]
    press(page, Keys.ARROW_DOWN)
    assert text(page, "dialogue-status") == "It can't go further."
    until(lambda: handle.get_attribute("aria-label").endswith("line 3"))


def test_alt_and_an_arrow_key_move_the_line_that_is_being_written(page: WebDriver) -> None:
    page.find_elements(By.CSS_SELECTOR, "#lines input")[2].send_keys(Keys.ALT + Keys.ARROW_UP + Keys.NULL + "!")
    assert lines(page) == ["First.", "Third.!", "Second."]


def test_buttons_move_a_line(page: WebDriver) -> None:
    part(page, 3, "up").click()
    assert lines(page) == ["First.", "Third.", "Second."]
    part(page, 1, "down").click()
    assert lines(page) == ["Third.", "First.", "Second."]


def test_a_line_that_goes_leaves_the_focus_to_the_next(page: WebDriver) -> None:
    part(page, 2, "remove").click()
    assert lines(page) == ["First.", "Third."]
    assert page.switch_to.active_element == part(page, 2, "remove")
    press(page, Keys.ENTER)
    press(page, Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "line-add"


def test_a_line_is_dragged_and_escape_puts_it_back(page: WebDriver) -> None:
    height = 20 + page.execute_script("return document.querySelector('#lines li').offsetHeight")
    drag = lambda: webdriver.ActionChains(page).click_and_hold(part(page, 1, "drag"))  # noqa: E731
    drag().move_by_offset(0, height).move_by_offset(0, height).release().perform()
    assert lines(page) == ["Second.", "Third.", "First."]
    assert text(page, "dialogue-status") == "Now it is line 3."
    drag().move_by_offset(0, height).perform()
    assert lines(page) == ["Third.", "Second.", "First."]
    assert page.find_elements(By.CSS_SELECTOR, "#lines .dragged")
    webdriver.ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert lines(page) == ["Second.", "Third.", "First."]
    webdriver.ActionChains(page).move_by_offset(0, height).release().perform()
    assert lines(page) == ["Second.", "Third.", "First."]
    assert not page.find_elements(By.CSS_SELECTOR, "#lines .dragged")


def saved(page: WebDriver, button: WebElement) -> tuple[str, np.ndarray]:
    button.click()
    name, encoded = page.execute_async_script(READ_FILE, -1)
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="int16")
    assert rate_hz == 24_000
    return name, samples


def test_each_voice_can_be_saved_alone_and_together_they_are_the_mix(page: WebDriver) -> None:
    page.execute_script(KEEP_FILES)
    assert not page.find_element(By.ID, "dialogue-stems").is_displayed()
    page.execute_script(WATCH_LINES)
    page.find_element(By.ID, "dialogue-go").click()
    until(lambda: page.find_element(By.ID, "dialogue-stop").get_attribute("disabled"), 60)
    assert page.execute_script("return window.marked") == ["First.", "Second.", "Third."], "as they are heard"
    _, mix = saved(page, page.find_element(By.ID, "dialogue-save"))
    page.find_element(By.ID, "dialogue-subtitles").click()
    name, encoded = page.execute_async_script(READ_FILE, -1)
    _, *cues = base64.b64decode(encoded).decode().split("\n\n")
    assert name == "dialogue.vtt"
    assert [cue.splitlines()[1] for cue in cues] == ["<v one>First.", "<v two>Second.", "<v one>Third."]
    assert cues[-1].split()[2] == f"00:00:{len(mix) / 24_000:06.3f}"
    buttons = page.find_elements(By.CSS_SELECTOR, "#dialogue-stems button")
    assert [button.text for button in buttons] == ["one WAV", "two WAV"]
    (name_one, one), (name_two, two) = (saved(page, button) for button in buttons)
    assert (name_one, name_two) == ("dialogue-1-one.wav", "dialogue-2-two.wav")
    assert len(one) == len(two) == len(mix)
    assert np.array_equal(one + two, mix)
    assert not np.any((one != 0) & (two != 0)), "one speaks at a time"
    assert np.any(one) and np.any(two)
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        check(page, f"performed, {scheme}")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    page.find_elements(By.CSS_SELECTOR, "#lines input")[1].send_keys("!")
    assert not page.find_element(By.ID, "dialogue-stems").is_displayed(), "a single voice is the mix"


def perform(page: WebDriver, button: WebElement) -> None:
    page.execute_script("performance.clearResourceTimings()")
    button.click()
    until(lambda: page.find_element(By.ID, "dialogue-stop").get_attribute("disabled"), 60)
    assert text(page, "dialogue-status") == ""


def asked(page: WebDriver) -> list[str]:
    """The last words of the addresses that were asked since."""
    script = "return performance.getEntriesByType('resource').map(({ name }) => name.split('/').at(-1))"
    wanted = ("hear", "say", "speech", "conversations")
    return [name for name in page.execute_script(script) if name in wanted]


def test_a_line_is_spoken_anew_with_the_lines_before_it_in_mind_or_without(page: WebDriver) -> None:
    page.execute_script(KEEP_FILES)
    save = page.find_element(By.ID, "dialogue-save")
    perform(page, part(page, 3, "play"))
    assert asked(page) == ["conversations", "say", "say", "say"], "those before it are spoken unheard"
    _, first = saved(page, save)
    perform(page, part(page, 2, "play"))
    assert asked(page) == ["conversations", "hear", "say"], "it hears what was spoken before"
    _, second = saved(page, save)
    kept = next(n for n in range(len(first)) if first[n] != second[n])
    assert kept > 1_920, "the first line is the same"
    assert np.array_equal(first[-1_920:], second[-1_920:]), "and so is the last"
    page.find_element(By.ID, "with-context").click()
    perform(page, part(page, 2, "play"))
    assert asked(page) == ["speech"]


def test_a_line_that_is_too_long_to_be_heard_is_told_as_words(browser: WebDriver, serve: Serve) -> None:
    open_page(browser, f"{serve(max_heard_seconds=0.1).url}/#dialogue")
    write(browser, "First.", "Second.", "Third.")
    perform(browser, part(browser, 2, "play"))
    perform(browser, part(browser, 2, "play"))
    assert asked(browser) == ["conversations", "hear", "say"]


def test_a_voice_that_is_gone_takes_what_it_spoke_with_it(page: WebDriver) -> None:
    perform(page, page.find_element(By.ID, "dialogue-go"))
    assert page.find_element(By.ID, "dialogue-stems").is_displayed()
    page.execute_async_script(
        "const done = arguments[0], lines = document.querySelectorAll('#lines select');"
        "for (const option of document.querySelectorAll('#lines option[value=two]')) option.remove();"
        "import('/page/dialogue.js').then(({ refresh }) => { refresh(); done(); });"
    )
    assert not page.find_element(By.ID, "dialogue-stems").is_displayed()


def test_what_was_written_anew_is_left_out_and_that_is_said(page: WebDriver) -> None:
    page.execute_script(KEEP_FILES)
    perform(page, page.find_element(By.ID, "dialogue-go"))
    save = page.find_element(By.ID, "dialogue-save")
    _, whole = saved(page, save)
    assert text(page, "dialogue-status") == ""
    page.find_elements(By.CSS_SELECTOR, "#lines input")[1].send_keys("!")
    _, rest = saved(page, save)
    assert len(rest) < len(whole)
    assert text(page, "dialogue-status").startswith("Saved. Not spoken yet, so not in it: line 2.")
    page.find_elements(By.CSS_SELECTOR, "#lines input")[1].clear()
    part(page, 2, "play").click()
    assert text(page, "dialogue-status") == "Write something into that line first."
