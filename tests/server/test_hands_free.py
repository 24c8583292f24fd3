"""Hands-free talking in a real browser: turns are found, answers are talked over, the memory keeps what was heard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.server.conftest import Running
from tests.server.pages import RECORDING, open_page, press, start_browser, text, until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[WebDriver]:
    """A browser whose microphone hears three seconds of speech, four of silence, and so on."""
    speech, rate_hz = soundfile.read(RECORDING, frames=3 * 24_000)
    soundfile.write(tmp_path / "turns.wav", np.concatenate([speech, np.zeros(4 * rate_hz)]), rate_hz)
    driver = start_browser(tmp_path / "turns.wav")
    yield driver
    driver.quit()


def test_turns_are_answered_and_answers_are_talked_over(caller: WebDriver, talker: Running) -> None:
    open_page(caller, f"{talker.url}/")
    before = set(talker.app.state.realtime.sessions)
    button = caller.find_element(By.ID, "talk-hold")
    caller.find_element(By.ID, "talk-free").click()
    assert button.text == "Start"
    caller.execute_script("arguments[0].focus()", button)
    press(caller, Keys.SPACE)
    until(lambda: "answered after" in text(caller, "talk-chip"), 40, lambda: text(caller, "talk-status"))
    captions = lambda: [line.text for line in caller.find_elements(By.CSS_SELECTOR, "#talk-captions span")]  # noqa: E731
    until(lambda: len(captions()) > 1, seen=captions)
    assert len(captions()[0].split()) > 2, "what it heard"
    assert captions()[1].startswith("Of course")
    until(lambda: any(line.endswith("—") for line in captions()), 40, captions)
    (session,) = set(talker.app.state.realtime.sessions) - before
    assert not session.memory.turns[0].own, "it remembers how the caller sounded"
    press(caller, Keys.ESCAPE)
    until(lambda: button.text == "Start")
    until(lambda: session not in talker.app.state.realtime.sessions, 5)
    caller.find_element(By.ID, "talk-free").click()
    assert button.text == "Hold to talk"
