"""Settings in a real browser: the loudspeaker can be chosen where the browser can, and only what works is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.server.conftest import Running
from tests.server.pages import open_page, press, text, until
from tests.server.test_page_accessibility import check

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

ALLOW = "navigator.mediaDevices.getUserMedia({audio: true}).then((s) => s.getTracks().forEach((t) => t.stop()))"
WATCH_SINKS = """
window.sinks = [];
const plain = AudioContext.prototype.setSinkId;
AudioContext.prototype.setSinkId = async function (id) { await plain.call(this, id); window.sinks.push(this.sinkId); };
"""


def open_settings(page: WebDriver) -> Select:
    page.find_element(By.ID, "show-settings").click()
    until(lambda: page.find_element(By.ID, "settings").is_displayed())
    return Select(page.find_element(By.ID, "set-output"))


def say(page: WebDriver) -> None:
    page.find_element(By.ID, "say-text").send_keys("Hello.", Keys.CONTROL, Keys.ENTER)
    until(lambda: "s of speech" in text(page, "say-figures"))
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))


def test_speech_goes_to_the_loudspeaker_that_was_chosen(page: WebDriver) -> None:
    page.execute_script(WATCH_SINKS)
    page.execute_script(f"return {ALLOW}")
    output = open_settings(page)
    assert len(output.options) > 1, "the browser has several"
    chosen = output.options[-1].get_attribute("value")
    output.select_by_index(len(output.options) - 1)
    press(page, Keys.ESCAPE)
    say(page)
    assert page.execute_script("return window.sinks") == [chosen]
    output = open_settings(page)
    assert output.first_selected_option.get_attribute("value") == chosen
    output.select_by_index(0)
    until(lambda: page.execute_script("return window.sinks") == [chosen, ""])
    press(page, Keys.ESCAPE)


def test_a_loudspeaker_that_fails_is_said_and_the_usual_one_used(page: WebDriver) -> None:
    page.execute_script(f"return {ALLOW}")
    say(page)
    page.execute_script(
        "AudioContext.prototype.setSinkId = async () => { throw new DOMException('', 'NotFoundError'); }"
    )
    output = open_settings(page)
    output.select_by_index(1)
    until(lambda: "can't be used now" in text(page, "set-output-state"))
    assert output.first_selected_option.text == "the usual one"
    check(page, "a loudspeaker that fails")
    press(page, Keys.ESCAPE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_server_that_can_t_talk_offers_the_loudspeaker_alone(page: WebDriver, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    narrow = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        assert open_settings(page)
        assert not page.find_element(By.ID, "set-microphone").is_displayed()
        assert page.execute_script("return document.documentElement.scrollWidth") <= 320
        check(page, f"settings without talk, {scheme}, 320 px")
        press(page, Keys.ESCAPE)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_browser_that_can_t_choose_is_not_asked(browser: WebDriver, server: Running) -> None:
    without = {"source": "delete AudioContext.prototype.setSinkId;"}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", without)
    try:
        open_page(browser, f"{server.url}/#say")
        assert not browser.find_element(By.ID, "show-settings").is_displayed()
        say(browser)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_the_microphone_is_tried_before_anybody_is_called(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#talk")
    browser.set_script_timeout(60)
    sessions = set(talker.app.state.realtime.sessions)
    open_settings(browser)
    button = browser.find_element(By.ID, "set-trial")
    level = lambda: float(browser.find_element(By.ID, "set-trial-level").get_attribute("value") or 0)  # noqa: E731
    button.click()
    until(lambda: text(browser, "set-trial-state") == "It hears you.", seen=lambda: text(browser, "set-trial-state"))
    until(lambda: level() > 0)
    assert button.text == "Stop trying"
    assert len(Select(browser.find_element(By.ID, "set-microphone")).options) > 1, "their names are known now"
    check(browser, "trying the microphone")
    button.click()
    until(lambda: level() == 0)
    button.click()
    until(lambda: text(browser, "set-trial-state") == "It hears you.")
    press(browser, Keys.ESCAPE)
    until(lambda: button.get_attribute("textContent") == "Try it")
    assert set(talker.app.state.realtime.sessions) == sessions


def test_a_silent_or_refused_microphone_is_said(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#talk")
    browser.set_script_timeout(60)
    silent = "const c = new AudioContext(), d = c.createMediaStreamDestination(); return d.stream;"
    browser.execute_script(f"navigator.mediaDevices.getUserMedia = async () => {{ {silent} }}")
    open_settings(browser)
    browser.find_element(By.ID, "set-trial").click()
    until(lambda: "Nothing is heard" in text(browser, "set-trial-state"), 20)
    check(browser, "nothing heard")
    browser.find_element(By.ID, "set-trial").click()
    refuse = "throw new DOMException('', 'NotAllowedError')"
    browser.execute_script(f"navigator.mediaDevices.getUserMedia = async () => {{ {refuse} }}")
    browser.find_element(By.ID, "set-trial").click()
    until(lambda: "was refused" in text(browser, "set-trial-state"))
    assert browser.find_element(By.ID, "set-trial").text == "Try it"
    press(browser, Keys.ESCAPE)
