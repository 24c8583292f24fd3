"""A real browser and what tests do with it: open a page, wait, read, press keys. Knows no particular page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run "
    "--disable-extensions --disable-sync --disable-component-update --mute-audio --use-fake-ui-for-media-stream "
    "--use-fake-device-for-media-stream --autoplay-policy=user-gesture-required --lang=en"
)


def start_browser(microphone: Path) -> WebDriver:
    """A browser that hears a file, over and over, where it asks for a microphone."""
    assert CHROMIUM and DRIVER, "the page is tested in a real browser: apt-get install chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--use-file-for-fake-audio-capture={microphone}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def open_page(browser: WebDriver, address: str) -> None:
    browser.get("about:blank")
    browser.get(address)
    until(lambda: browser.execute_script("return document.body.dataset.ready") == "true")


@contextmanager
def uncomplaining(browser: WebDriver, address: str) -> Iterator[WebDriver]:
    """A page that must not have complained in the console when it is left."""
    open_page(browser, address)
    browser.set_script_timeout(60)
    yield browser
    complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert complaints == []


def until(condition: Callable[[], object], seconds: float = 40, seen: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen: {seen()}"
        time.sleep(0.05)


def text(page: WebDriver, name: str) -> str:
    return str(page.find_element(By.ID, name).get_attribute("textContent"))


def press(page: WebDriver, *keys: str) -> None:
    page.switch_to.active_element.send_keys(*keys)
