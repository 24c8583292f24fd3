"""The page in a real browser: every tab does what it says, by keyboard alone, without a complaint in the console."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from duologue.api import Model
from duologue.server.settings import ServerSettings
from tests.server.conftest import PacedEngine, Running, Serve, running
from tests.server.language_model_stub import StubLanguageModel
from tests.server.pages import RECORDING, open_page, press, text, until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

EIGHTY_LETTERS = "These words have about eighty letters, so that they fit a recording of three to twenty-five seconds."


def test_it_speaks_while_the_waveform_grows_and_shows_how_to_repeat_it(page: WebDriver) -> None:
    page.find_element(By.ID, "say-text").send_keys("Hello there, this is a test.")
    press(page, Keys.CONTROL, Keys.ENTER)
    until(lambda: "first sound after" in text(page, "say-figures"))
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))
    assert "s of speech" in text(page, "say-figures")
    assert text(page, "say-status") == ""
    inked = """
        const canvas = document.getElementById("say-wave");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
    """
    assert page.execute_script(inked)
    assert '"seed":' in text(page, "say-curl")
    assert "client.audio.speech" in text(page, "say-python")


def test_the_python_that_it_shows_runs_and_gives_the_same_speech(page: WebDriver, tmp_path: Path) -> None:
    page.find_element(By.ID, "say-text").send_keys('Say it\'s "quoted".')
    press(page, Keys.CONTROL, Keys.ENTER)
    until(lambda: text(page, "say-python"))
    program = text(page, "say-python").replace("speech.mp3", str(tmp_path / "speech.mp3"))
    exec(compile(program, "page.py", "exec"), {})
    samples, rate_hz = soundfile.read(tmp_path / "speech.mp3")
    shown = float(text(page, "say-figures").split(" s of speech")[0].split()[-1].lstrip("ms"))
    assert len(samples) / rate_hz == pytest.approx(shown, abs=0.2)


def test_escape_stops(page: WebDriver) -> None:
    page.find_element(By.ID, "say-text").send_keys("One two three four five six seven eight nine ten eleven.")
    press(page, Keys.CONTROL, Keys.ENTER)
    until(lambda: "first sound" in text(page, "say-figures"))
    press(page, Keys.ESCAPE)
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"), 2)


def test_nothing_to_say_is_said(page: WebDriver) -> None:
    page.find_element(By.ID, "say-go").click()
    assert text(page, "say-status") == "Type something first."


def test_tabs_work_by_keyboard_alone(page: WebDriver) -> None:
    page.find_element(By.ID, "tab-say").send_keys(Keys.ARROW_RIGHT)
    assert page.current_url.endswith("#dialogue")
    press(page, Keys.END)
    assert page.switch_to.active_element.get_attribute("id") == "tab-voices"
    press(page, "1")
    assert page.find_element(By.ID, "talk").is_displayed()
    press(page, "?")
    assert page.find_element(By.ID, "keys").is_displayed()
    press(page, Keys.ESCAPE)
    assert not page.find_element(By.ID, "keys").is_displayed()


def test_a_dialogue_is_one_conversation_of_its_voices(page: WebDriver, server: Running) -> None:
    page.find_element(By.ID, "tab-dialogue").click()
    seen: list[int] = []
    page.find_element(By.ID, "dialogue-go").click()
    until(
        lambda: (
            seen.append(len(server.services.conversations))
            or max(seen) > seen[0]
            or "speaks" in text(page, "dialogue-status")
        )
    )
    until(lambda: page.find_element(By.ID, "dialogue-stop").get_attribute("disabled"), 60)
    assert page.find_element(By.ID, "dialogue-save").is_enabled()
    assert text(page, "dialogue-status") == ""
    assert "s of speech" in text(page, "dialogue-figures")


def test_a_script_becomes_lines(page: WebDriver) -> None:
    page.find_element(By.ID, "tab-dialogue").click()
    page.find_element(By.ID, "lines-paste").click()
    page.find_element(By.ID, "script-text").send_keys("Ann: Hello.\nBob: Goodbye.\nAnn: Already?")
    page.find_element(By.CSS_SELECTOR, "#script button.primary").click()
    values = "return [...document.querySelectorAll(arguments[0])].map(e => e.value)"  # at once: the page redraws lines
    until(lambda: page.execute_script(values, "#lines input") == ["Hello.", "Goodbye.", "Already?"])
    voices = page.execute_script(values, "#lines select")
    assert voices[0] == voices[2] != voices[1]


def test_a_voice_is_made_from_the_microphone(page: WebDriver, server: Running) -> None:
    page.find_element(By.ID, "tab-voices").click()
    page.find_element(By.ID, "voice-name").send_keys("Grace")
    page.find_element(By.ID, "voice-suggest").click()
    assert "Press Record" in text(page, "sample-state")
    page.find_element(By.ID, "voice-text").clear()
    page.find_element(By.ID, "voice-text").send_keys(EIGHTY_LETTERS)
    for kind, seconds in (("sample", 3), ("consent", 4)):  # the fake microphone repeats itself: unlike lengths differ
        button = page.find_element(By.CSS_SELECTOR, f"[data-record={kind}]")
        button.click()
        until(lambda button=button: button.text == "Finish")
        until(lambda kind=kind, seconds=seconds: text(page, f"{kind}-clock") == f"{seconds} s")
        button.click()
        until(lambda kind=kind: "kB" in text(page, f"{kind}-state"))
    page.find_element(By.CSS_SELECTOR, "#voice-form button.primary").click()
    until(
        lambda: text(page, "voice-status").startswith("Grace can speak now."), seen=lambda: text(page, "voice-status")
    )
    until(lambda: "Grace" in text(page, "voice-list"))
    server.services.voices.delete("Grace")


def test_talking_works_by_holding_space_and_speaking_again_interrupts(
    browser: WebDriver, talker: Running, stub: StubLanguageModel
) -> None:
    open_page(browser, f"{talker.url}/")
    button = browser.find_element(By.ID, "talk-hold")
    assert button.is_displayed(), "a server that can talk opens on Talk"
    browser.execute_script("arguments[0].focus()", button)
    webdriver.ActionChains(browser).key_down(Keys.SPACE).perform()
    until(lambda: button.text == "Listening…")
    time.sleep(3)
    webdriver.ActionChains(browser).key_up(Keys.SPACE).perform()
    until(lambda: "answered after" in text(browser, "talk-chip"), 60)
    captions = [line.text for line in browser.find_elements(By.CSS_SELECTOR, "#talk-captions span")]
    assert len(captions) == 2
    assert len(captions[0].split()) > 2, "what it heard"
    assert captions[1].startswith("Of course.")
    webdriver.ActionChains(browser).key_down(Keys.SPACE).perform()
    until(lambda: button.text == "Listening…")
    ours = lambda: browser.find_elements(By.CSS_SELECTOR, "#talk-captions .assistant span")[0].text  # noqa: E731
    until(lambda: ours().endswith(("—", "you.")), seen=ours)
    webdriver.ActionChains(browser).key_up(Keys.SPACE).perform()
    browser.find_element(By.ID, "talk-forget").click()
    until(lambda: text(browser, "talk-captions") == "")


def test_a_server_that_reads_speech_proposes_the_words_of_a_sample(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#voices")
    browser.find_element(By.ID, "sample-file").send_keys(str(RECORDING))
    words = lambda: str(browser.find_element(By.ID, "voice-text").get_property("value"))  # noqa: E731
    until(lambda: "Dashwood" in words(), 60, lambda: text(browser, "sample-state"))
    assert "exact words?" in text(browser, "sample-state")


def type_to_it(browser: WebDriver, words: str) -> None:
    browser.find_element(By.ID, "talk-text").send_keys(words)
    press(browser, Keys.ENTER)


def answers(browser: WebDriver) -> list[str]:
    return [line.text for line in browser.find_elements(By.CSS_SELECTOR, "#talk-captions .assistant span")]


def test_typing_is_answered_aloud_and_a_line_that_breaks_is_taken_up_again(
    browser: WebDriver, talker: Running, stub: StubLanguageModel
) -> None:
    keep = """
        const Plain = WebSocket;
        window.lines = [];
        window.WebSocket = class extends Plain {
          constructor(...given) { super(...given); window.lines.push(this); }
        };
    """
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": keep})
    open_page(browser, f"{talker.url}/#talk")
    type_to_it(browser, "Are you there?")
    until(lambda: any("to you." in line for line in answers(browser)), 60, lambda: answers(browser))
    until(lambda: "of at most" in text(browser, "lab-memory"))
    with talker.client() as client:
        limits = client.get("/v1/server").json()["limits"]
    filled = browser.find_element(By.ID, "lab-filled")
    assert float(filled.get_attribute("max") or 0) == limits["context_seconds"]
    assert 0 < float(filled.get_attribute("value") or 0) < limits["context_seconds"]
    browser.execute_script("window.lines.at(-1).close()")
    until(lambda: browser.execute_script("return window.lines.length") == 2)
    until(lambda: browser.find_element(By.ID, "talk-hold").text == "Hold to talk")
    type_to_it(browser, "What did I ask?")
    until(lambda: len(answers(browser)) == 2, 60, lambda: answers(browser))
    told = [one["content"] for one in stub.asked[-1]["messages"][1:]]
    assert told == ["Are you there?", "Of course. I am listening to you.", "What did I ask?"]
    browser.find_element(By.ID, "talk-forget").click()
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_line_that_rests_is_warned_before_it_is_cut(browser: WebDriver, talker: Running, tiny_model: Model) -> None:
    with running(tiny_model, ServerSettings(realtime_idle_seconds=24.0), talker.services.talk) as server:
        open_page(browser, f"{server.url}/#talk")
        type_to_it(browser, "Hello?")
        until(
            lambda: "hangs up after a minute" in text(browser, "talk-status"), seen=lambda: text(browser, "talk-status")
        )
        until(lambda: "hung up after a long silence" in text(browser, "talk-status"))
        type_to_it(browser, "Still there?")
        until(lambda: len(answers(browser)) == 2, 60, lambda: answers(browser))
        browser.find_element(By.ID, "talk-forget").click()


def test_the_keys_of_the_talk_tab(browser: WebDriver, talker: Running) -> None:
    open_page(browser, f"{talker.url}/#talk")
    body = browser.find_element(By.TAG_NAME, "body")
    shown = lambda name: browser.find_element(By.ID, name).is_displayed()  # noqa: E731
    assert not shown("lab")
    body.send_keys("l")
    assert shown("lab")
    body.send_keys("l")
    assert not shown("lab")
    hidden = lambda: browser.execute_script("return document.getElementById('talk-captions').hidden")  # noqa: E731
    body.send_keys("s")
    assert hidden()
    body.send_keys("s")
    assert not hidden()
    browser.find_element(By.ID, "talk-free").click()
    browser.execute_script("document.activeElement.blur()")
    browser.find_element(By.ID, "talk-hold").click()
    state = lambda: browser.find_element(By.ID, "talk-hold").get_attribute("data-state")  # noqa: E731
    until(lambda: state() in ("waiting", "listening"), seen=state)
    browser.execute_script("document.activeElement.blur()")
    body.send_keys(" ")
    until(lambda: state() == "muted", seen=state)
    assert browser.find_element(By.ID, "talk-mute").get_attribute("aria-pressed") == "true"
    body.send_keys(Keys.ESCAPE)
    until(lambda: browser.find_element(By.ID, "talk-hold").text == "Start")
    assert not browser.find_element(By.ID, "talk-mute").is_displayed(), "there is nothing to mute"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_no_tab_is_wider_than_the_screen(page: WebDriver, width: int) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for name in ("talk", "say", "dialogue", "voices"):
            page.find_element(By.ID, f"tab-{name}").click()
            assert page.execute_script("return document.documentElement.scrollWidth") <= width, name
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_whoever_waits_for_a_voice_is_told(browser: WebDriver, serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(3)
    server = serve(paced, max_streams=1, max_waiting=3, max_wait_seconds=60.0)
    body = {"model": "tiny", "voice": "one", "input": "Somebody else speaks.", "response_format": "pcm"}
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=body) as other:
        arriving = other.iter_bytes()
        next(arriving)
        open_page(browser, f"{server.url}/#say")
        browser.find_element(By.ID, "say-text").send_keys("And I?")
        press(browser, Keys.CONTROL, Keys.ENTER)
        until(lambda: "1 of 1 voices speak; 1 in line" in text(browser, "say-status"))
        paced.allowed.release(1_000_000)
        assert b"".join(arriving)
    until(lambda: "s of speech" in text(browser, "say-figures"))
    server.wait_until_idle()


def test_words_to_read_fit_a_sample_and_change_with_each_press(page: WebDriver) -> None:
    page.find_element(By.ID, "tab-voices").click()
    seen = []
    for _ in range(4):
        page.find_element(By.ID, "voice-suggest").click()
        seen.append(str(page.find_element(By.ID, "voice-text").get_property("value")))
    assert seen[3] == seen[0]
    assert len(set(seen)) == 3
    assert all(120 < len(words) < 180 for words in seen), "about ten seconds"


def test_the_newest_speech_is_compared_with_an_earlier_one(page: WebDriver) -> None:
    for words in ("One.", "Two."):
        page.find_element(By.ID, "say-text").clear()
        page.find_element(By.ID, "say-text").send_keys(words, Keys.CONTROL, Keys.ENTER)
        until(lambda words=words: words in text(page, "say-curl"))
        until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))
    watch = """
        const told = window.told = [];
        const status = document.getElementById("say-status");
        new MutationObserver(() => told.push(status.textContent)).observe(status, { childList: true });
        const read = document.getElementById("say-read");
        new MutationObserver(() => told.push(read.textContent)).observe(read, { childList: true });
    """
    page.execute_script(watch)
    play, compare = page.find_elements(By.CSS_SELECTOR, "#say-history button")
    assert compare.get_attribute("aria-label") == "Compare: One."
    compare.click()
    until(lambda: any(line.startswith("B: one, seed") for line in page.execute_script("return window.told")))
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))
    told = [line for line in page.execute_script("return window.told") if line]
    assert told[0] == "Two."
    assert told[1].startswith("A, the newest: one, seed")
    assert told[2] == "One."
    assert text(page, "say-status") == ""
    page.execute_script("window.told.length = 0")
    compare.click()
    until(lambda: any(line.startswith("A, ") for line in page.execute_script("return window.told")))
    press(page, Keys.ESCAPE)
    time.sleep(0.5)
    assert text(page, "say-status") == "", "B doesn't begin after that"
    play.click()
    until(lambda: text(page, "say-status") == "Playing")
    press(page, Keys.ESCAPE)
