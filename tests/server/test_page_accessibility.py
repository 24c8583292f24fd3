"""The page with axe-core: no tab and no state of it breaks WCAG 2.2 AA, light or dark, wide or narrow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.server.conftest import Running, Serve
from tests.server.pages import open_page, press, text, until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { runOnly: arguments[0], resultTypes: ["violations"] }).then(
  ({ violations, passes }) => done({
    passes: passes.length,
    violations: violations.map(({ id, help, nodes }) => ({ id, help, at: nodes.map(({ html }) => html.slice(0, 99)) })),
  }),
  (error) => done({ passes: 0, violations: [String(error)] }));
"""
TABS = ("talk", "say", "dialogue", "voices")


def check(page: WebDriver, state: str) -> None:
    if not page.execute_script("return typeof axe === 'object'"):
        page.execute_script(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.execute_async_script(RUN, RULES)
    assert found["violations"] == [], state
    assert found["passes"] > 10, state


@pytest.fixture(autouse=True)
def axe_is_installed() -> None:
    assert AXE.is_file(), "npm ci --prefix tests/node"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab(page: WebDriver, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    width = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    try:
        for name in TABS:
            page.find_element(By.ID, f"tab-{name}").click()
            check(page, f"{name}, {scheme}")
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", width)
        for name in TABS:
            page.find_element(By.ID, f"tab-{name}").click()
            check(page, f"{name}, {scheme}, 320 px")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_say_with_everything_open(page: WebDriver) -> None:
    for number in range(2):
        page.find_element(By.ID, "say-text").clear()
        page.find_element(By.ID, "say-text").send_keys(f"Hello, number {number}.")
        press(page, Keys.CONTROL, Keys.ENTER)
        until(lambda number=number: f"number {number}" in text(page, "say-curl"))
    check(page, "speaking")
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    check(page, "spoken, with code and history")


def test_dialogs_and_complaints(page: WebDriver) -> None:
    page.find_element(By.ID, "say-go").click()
    check(page, "nothing to say")
    press(page, Keys.ESCAPE)
    page.find_element(By.ID, "show-keys").click()
    check(page, "keys")
    press(page, Keys.ESCAPE)
    page.find_element(By.ID, "tab-dialogue").click()
    page.find_element(By.ID, "lines-paste").click()
    check(page, "script")
    press(page, Keys.ESCAPE)
    page.find_element(By.ID, "tab-voices").click()
    page.find_element(By.ID, "voice-name").send_keys("Ada")
    page.find_element(By.ID, "voice-text").send_keys("Words.")
    page.find_element(By.CSS_SELECTOR, "#voice-form button.primary").click()
    until(lambda: "missing" in text(page, "voice-status"))
    check(page, "a recording is missing")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_talk_tab_with_ears_on(browser: WebDriver, talker: Running, scheme: str) -> None:
    """Every state that a talk goes through, with a microphone that hears speech over and over."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.set_script_timeout(120)
    open_page(browser, f"{talker.url}/#talk")
    state = lambda: browser.find_element(By.ID, "talk-hold").get_attribute("data-state")  # noqa: E731
    try:
        check(browser, "ready")
        browser.find_element(By.ID, "talk-text").send_keys("Hello?")
        press(browser, Keys.ENTER)
        until(lambda: browser.find_elements(By.CSS_SELECTOR, "#talk-captions .assistant"), 60, state)
        check(browser, "typed and answered")
        browser.find_element(By.ID, "talk-show-lab").click()
        check(browser, "lab")
        browser.find_element(By.ID, "show-settings").click()
        until(lambda: browser.find_element(By.ID, "settings").is_displayed())
        check(browser, "settings")
        press(browser, Keys.ESCAPE)
        browser.find_element(By.ID, "talk-free").click()
        browser.find_element(By.ID, "talk-hold").click()
        until(lambda: state() in ("waiting", "listening"), 60, state)
        check(browser, "hands-free")
        until(lambda: state() == "listening", 60, state)
        check(browser, "listening")
        browser.find_element(By.ID, "talk-mute").click()
        until(lambda: state() == "muted", 60, state)
        check(browser, "muted")
        browser.find_element(By.ID, "talk-mute").click()
        browser.find_element(By.ID, "talk-end").click()
        until(lambda: state() == "ready", 60, state)
        browser.execute_script("document.getElementById('talk-hold').dataset.state = 'reconnecting'")
        check(browser, "reconnecting")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_server_that_asks_for_a_key(browser: WebDriver, serve: Serve) -> None:
    server = serve(api_keys=("the-key-of-this-page",))
    browser.get("about:blank")
    browser.get(server.url)
    until(lambda: browser.find_element(By.ID, "ask-key").is_displayed())
    check(browser, "key wanted")
    press(browser, "the-key-of-this-page", Keys.ENTER)
    until(lambda: browser.execute_script("return document.body.dataset.ready") == "true")
    assert "the-key-of-this-page" not in browser.page_source
    check(browser, "key given")
    browser.get_log("browser")  # the 401 that made the page ask


def test_everything_that_can_be_clicked_can_be_reached_by_tab(page: WebDriver) -> None:
    wanted = """
    const open = [...document.querySelectorAll("section:not([hidden]) :is(button, input, textarea, select, summary)")];
    return open.filter((each) => !each.disabled && each.checkVisibility()).length;
    """
    reached = """
    const seen = document.activeElement;
    if (seen === document.body) return [0, ""];
    if (seen.closest("section") && !seen.dataset.reached) seen.dataset.reached = "yes";
    const style = getComputedStyle(seen.type === "radio" ? seen.closest(".card") : seen);
    return [document.querySelectorAll("[data-reached]").length, style.outlineStyle];
    """
    for name in ("say", "dialogue", "voices"):
        page.find_element(By.ID, f"tab-{name}").click()
        page.execute_script(
            "for (const each of document.querySelectorAll('[data-reached]')) delete each.dataset.reached"
        )
        radios = page.execute_script("return document.querySelectorAll('section:not([hidden]) [type=radio]').length")
        count = page.execute_script(wanted) - max(0, radios - 1)  # Tab stops once in a group of radio buttons
        best = 0
        for _ in range(count + 12):
            webdriver.ActionChains(page).send_keys(Keys.TAB).perform()  # send_keys on a file input would mean a file
            best, outline = page.execute_script(reached)
            assert outline != "none", page.execute_script("return document.activeElement.outerHTML")[:200]
            if best >= count:
                break
        assert best >= count, f"{name}: {best} of {count}"


def test_the_policy_holds_against_what_is_put_into_the_page(page: WebDriver) -> None:
    page.execute_script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned = 1\">')")
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 2'; document.body.append(s)"
    )
    loaded = page.execute_async_script(
        "const done = arguments[0]; fetch('https://example.org/').then(() => done('loaded'), () => done('refused'))"
    )
    assert loaded == "refused"
    assert page.execute_script("return window.pwned") is None
    told = [entry["message"] for entry in page.get_log("browser")]
    assert sum("Content Security Policy" in message for message in told) >= 3, told
