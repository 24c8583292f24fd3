"""Reading along in a real browser: the word that sounds is marked, by the model's own times, and nothing else is."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import duologue
from duologue.server.settings import ServerSettings
from tests.server.conftest import running
from tests.server.pages import open_page, press, text, until
from tests.server.test_page_accessibility import check
from tests.server.test_page_dialogue import KEEP_FILES, READ_FILE
from tests.tiny import write_tiny_model

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

TEXT = "🙂 Dr. Smith paid $5 — it's 7 already."
WORDS = ["Dr.", "Smith", "paid", "$5", "it's", "7", "already."]
WATCH = """
const seen = window.seen = [];
const box = document.getElementById("say-read");
new MutationObserver(() => {
  const now = [...box.querySelectorAll(".now")].map((span) => span.textContent).join(" ");
  if (now && now !== seen.at(-1)) seen.push(now);
}).observe(box, { subtree: true, attributes: true, childList: true });
"""


def speak(page: WebDriver, words: str) -> None:
    page.execute_script("document.getElementById('say-text').value = arguments[0]", words)  # typing has no emoji
    page.find_element(By.ID, "say-text").send_keys(Keys.CONTROL, Keys.ENTER)
    until(lambda: text(page, "say-curl"), seen=lambda: text(page, "say-status"))
    until(lambda: page.find_element(By.ID, "say-stop").get_attribute("disabled"))


def classes(page: WebDriver) -> dict[str, list[str]]:
    found: dict[str, list[str]] = page.execute_script(
        "const of = (name) => [...document.querySelectorAll(`#say-read .${name}`)].map((span) => span.textContent);"
        "return { now: of('now'), said: of('said') }"
    )
    return found


def test_words_are_marked_one_after_the_other_while_they_sound(page: WebDriver) -> None:
    page.execute_script(WATCH)
    speak(page, TEXT)
    seen: list[str] = page.execute_script("return window.seen")
    in_order = iter(WORDS)
    assert all(word in in_order for word in seen), seen  # those that are shorter than a look may be passed
    assert len(seen) >= 4
    assert classes(page) == {"now": [], "said": WORDS}
    assert text(page, "say-read") == TEXT


def test_playing_again_marks_them_again_and_stopping_leaves_the_mark(page: WebDriver) -> None:
    speak(page, TEXT)
    page.execute_script(WATCH)
    page.find_element(By.ID, "say-again").click()
    until(lambda: page.execute_script("return window.seen.length") > 2)
    press(page, Keys.ESCAPE)
    marks = classes(page)
    assert len(marks["now"]) == 1
    assert [*marks["said"], *marks["now"]] == WORDS[: len(marks["said"]) + 1]


def test_playing_again_twice_at_once_sounds_once(page: WebDriver) -> None:
    speak(page, TEXT)
    script = """
    const sounding = window.sounding = new Set();
    const { connect, disconnect } = AudioNode.prototype;
    const { prototype } = AudioWorkletNode;
    prototype.connect = function (...to) { sounding.add(this); return connect.apply(this, to); };
    prototype.disconnect = function (...to) { sounding.delete(this); return disconnect.apply(this, to); };
    for (const press of [1, 2]) document.getElementById("say-again").click();
    """
    page.execute_script(script)
    until(lambda: page.execute_script("return window.sounding.size") == 1, 1)
    assert not page.find_element(By.ID, "say-stop").get_attribute("disabled")
    press(page, Keys.ESCAPE)
    until(lambda: page.execute_script("return window.sounding.size") == 0, 1)


def test_a_mark_comes_at_its_word_s_own_time(page: WebDriver) -> None:
    script = """
    const done = arguments[0];
    import("/page/read-along.js").then(({ ReadAlong }) => {
      const box = document.body.appendChild(document.createElement("div"));
      const reading = new ReadAlong(box);
      reading.show("one two  $5 end");
      const told = [{ start: 0.1, text_start: 0, text_end: 3 }, { start: 0.5, text_start: 4, text_end: 7 }];
      const five = { text_start: 9, text_end: 11 };
      reading.add([...told, { start: 1, ...five }, { start: 1.2, ...five }, { start: 9 }]);
      const now = [0, 0.09, 0.1, 0.49, 0.5, 0.99, 1.1, 1.3, 20].map((seconds) => {
        reading.seek(seconds * 24000);
        return box.querySelector(".now")?.textContent ?? "";
      });
      box.remove();
      done(now);
    });
    """
    assert page.execute_async_script(script) == ["", "", "one", "one", "two", "two", "$5", "$5", "$5"]


def test_the_times_can_be_had_as_subtitles(page: WebDriver) -> None:
    page.execute_script(KEEP_FILES)
    speak(page, f"{TEXT} Cats & dogs?")
    page.find_element(By.ID, "say-subtitles").click()
    name, encoded = page.execute_async_script(READ_FILE, -1)
    assert name.endswith(".vtt")
    head, *cues = base64.b64decode(encoded).decode().split("\n\n")
    assert head == "WEBVTT"
    assert [cue.splitlines()[1] for cue in cues] == ["Dr. Smith paid $5 — it's 7 already.", "Cats &amp; dogs?"]
    times = [moment for cue in cues for moment in cue.splitlines()[0].split(" --> ")]
    assert times == sorted(times)
    assert all(re.fullmatch(r"00:00:\d\d\.\d\d\d", moment) for moment in times)


def test_a_long_text_follows_its_words_inside_its_box(page: WebDriver) -> None:
    script = """
    const done = arguments[0];
    import("/page/read-along.js").then(({ ReadAlong }) => {
      const box = document.getElementById("say-read");
      const reading = new ReadAlong(box);
      reading.show("Line. ".repeat(400));
      reading.add(Array.from({ length: 400 }, (_, i) => ({ start: i, text_start: 6 * i, text_end: 6 * i + 5 })));
      const tall = box.scrollHeight > 2 * box.clientHeight;
      const seen = [0, 100, 200, 399].map((second) => {
        reading.seek(second * 24000);
        const inside = box.getBoundingClientRect(), now = box.querySelector(".now").getBoundingClientRect();
        return now.top >= inside.top && now.bottom <= inside.bottom;
      });
      done({ tall, seen, page: scrollY });
      reading.clear();
    });
    """
    found: dict[str, Any] = page.execute_async_script(script)
    assert found == {"tall": True, "seen": [True] * 4, "page": 0}


def test_a_model_without_word_times_shows_no_words(browser: WebDriver, tmp_path: Path) -> None:
    model = duologue.load(write_tiny_model(tmp_path, aligned=False), device="cpu")
    with running(model, ServerSettings()) as server:
        open_page(browser, f"{server.url}/#say")
        browser.execute_script("document.getElementById('say-text').value = 'One.'")
        browser.find_element(By.ID, "say-text").send_keys(Keys.CONTROL, Keys.ENTER)
        until(lambda: "s of speech" in text(browser, "say-figures"))
        assert not browser.find_element(By.ID, "say-read").is_displayed()
        browser.find_element(By.ID, "say-stop").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marked_words_can_be_read_by_everybody(page: WebDriver, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    narrow = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        speak(page, TEXT)
        mark = "const spans = document.querySelectorAll('#say-read span'); spans[2].className = 'now'"
        page.execute_script(f"{mark}; spans[3].className = ''")
        check(page, f"reading along, {scheme}")
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 320
        check(page, f"reading along, {scheme}, 320 px")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
