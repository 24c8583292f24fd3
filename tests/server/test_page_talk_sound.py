"""The sound of a conversation in a real browser: kept only if that was asked for; a hidden page says that it hears."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.server.conftest import Running
from tests.server.language_model_stub import StubLanguageModel
from tests.server.pages import open_page, press, text, until
from tests.server.test_page import answers, type_to_it
from tests.server.test_page_accessibility import check
from tests.server.test_page_dialogue import KEEP_FILES, READ_FILE

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


def state(browser: WebDriver) -> str:
    return str(browser.find_element(By.ID, "talk-hold").get_attribute("data-state"))


def saved(browser: WebDriver) -> np.ndarray:
    """What Save the sound gives: (N, 2), you and it."""
    browser.find_element(By.ID, "talk-save-sound").click()
    name, encoded = browser.execute_async_script(READ_FILE, -1)
    assert name == "conversation.wav"
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="int16")
    assert rate_hz == 24_000
    return np.asarray(samples)


def keep_sound(browser: WebDriver) -> None:
    browser.find_element(By.ID, "show-settings").click()
    until(lambda: browser.find_element(By.ID, "set-keep").is_displayed())
    browser.find_element(By.ID, "set-keep").click()
    press(browser, Keys.ESCAPE)


def test_both_sides_are_saved_each_on_its_own_channel(
    browser: WebDriver, talker: Running, stub: StubLanguageModel
) -> None:
    open_page(browser, f"{talker.url}/#talk")
    browser.set_script_timeout(60)
    browser.execute_script(KEEP_FILES)
    button = browser.find_element(By.ID, "talk-save-sound")
    assert not button.is_displayed(), "nothing is kept unless that is asked for"
    keep_sound(browser)
    assert button.is_displayed() and not button.is_enabled()
    type_to_it(browser, "Are you there?")
    until(lambda: state(browser) == "speaking", 60)
    until(lambda: state(browser) == "ready", 60)
    one_sided = saved(browser)
    assert np.any(one_sided[:, 1]) and not np.any(one_sided[:, 0])
    assert len(one_sided) > 24_000
    browser.execute_script("document.activeElement.blur()")
    webdriver.ActionChains(browser).key_down(Keys.SPACE).perform()
    until(lambda: state(browser) == "listening")
    webdriver.ActionChains(browser).pause(2).key_up(Keys.SPACE).perform()
    until(lambda: len(answers(browser)) == 2, 60)
    until(lambda: state(browser) == "ready", 60)
    both = saved(browser)
    assert np.array_equal(both[: len(one_sided)], one_sided)
    you, it = (np.flatnonzero(both[len(one_sided) :, side]) for side in (0, 1))
    assert len(you) > 24_000
    assert len(it) > 24_000
    assert you[-1] < it[0], "the answer comes after the question"
    check(browser, "the sound is kept")
    browser.find_element(By.ID, "talk-forget").click()
    until(lambda: not button.is_enabled())


def test_a_tape_puts_sound_where_it_was_heard(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#talk")
    browser.set_script_timeout(60)
    script = """
    const done = arguments[0];
    import("/page/talk-tape.js").then(async ({ Tape, YOU, IT }) => {
      let now = 0;
      performance.now = () => now;
      const tape = new Tape();
      const add = (side, seconds, ms, loud) => {
        now = ms;
        tape.add(side, new Float32Array(seconds * 24000).fill(loud));
      };
      add(YOU, 0.5, 500, 0.25);   // 0 to 0.5 s
      add(YOU, 0.5, 1050, 0.25);  // late by the timer's 50 ms: joins, 0.5 to 1 s
      add(IT, 1, 3000, 0.5);      // 2 to 3 s
      add(YOU, 0.5, 3500, 0.25);  // 3 to 3.5 s
      const blob = tape.asWav();
      const all = new Int16Array(await blob.slice(44).arrayBuffer());
      const at = (seconds) => [all[2 * Math.round(seconds * 24000)], all[2 * Math.round(seconds * 24000) + 1]];
      done({ seconds: all.length / 48000, at: [0.2, 0.99, 1.5, 2.5, 3.2].map(at) });
    });
    """
    found: dict[str, Any] = browser.execute_async_script(script)
    assert found == {"seconds": 3.5, "at": [[8192, 0], [8192, 0], [0, 0], [0, 16384], [8192, 0]]}


def test_a_hidden_page_says_that_it_still_listens(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#talk")
    usual = browser.title
    browser.find_element(By.ID, "talk-free").click()
    browser.find_element(By.ID, "talk-hold").click()
    until(lambda: state(browser) in ("waiting", "listening"), 60)
    browser.minimize_window()
    until(lambda: browser.execute_script("return document.hidden"))
    title = browser.title
    browser.set_window_rect(0, 0, 800, 600)
    until(lambda: not browser.execute_script("return document.hidden"))
    assert title == f"● It still listens – {usual}"
    until(lambda: browser.title == usual)
    until(lambda: "still listened" in text(browser, "talk-status") or state(browser) == "listening")
    browser.find_element(By.ID, "talk-end").click()
    until(lambda: state(browser) == "ready")


def test_a_hidden_page_says_what_goes_on_now_and_not_what_did(
    browser: WebDriver, talker: Running, stub: StubLanguageModel
) -> None:
    open_page(browser, f"{talker.url}/#talk")
    usual = browser.title
    hide = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange')); return document.title"
    webdriver.ActionChains(browser).key_down(Keys.SPACE).perform()
    until(lambda: state(browser) == "listening")
    webdriver.ActionChains(browser).pause(1).perform()
    assert browser.execute_script(hide + tell, True) == usual, "what was held is let go, so nobody listens"
    until(lambda: browser.title == f"● It still speaks – {usual}", 60)
    until(lambda: browser.title == usual, 60)
    browser.execute_script(hide + tell, False)
    assert text(browser, "talk-status") == "While you were away it still spoke."
    webdriver.ActionChains(browser).key_up(Keys.SPACE).perform()
    browser.find_element(By.ID, "talk-forget").click()


def test_holding_ends_when_the_page_loses_the_keyboard(
    browser: WebDriver, talker: Running, stub: StubLanguageModel
) -> None:
    open_page(browser, f"{talker.url}/#talk")
    webdriver.ActionChains(browser).key_down(Keys.SPACE).perform()
    until(lambda: state(browser) == "listening")
    webdriver.ActionChains(browser).pause(1).perform()
    browser.execute_script("window.dispatchEvent(new Event('blur'))")
    until(lambda: state(browser) != "listening", 5)
    webdriver.ActionChains(browser).key_up(Keys.SPACE).perform()
    until(lambda: answers(browser), 60)
    browser.find_element(By.ID, "talk-forget").click()
