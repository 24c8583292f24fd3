"""Pictures of the page in every state: `python -m tests.server.pictures docs`. Look at them before they are committed.

Real browser, real server, embedded voice, real Whisper; the language model is the stub.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from PIL import Image, ImageDraw
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import duologue
from duologue.agent.language import ChatEndpoint
from duologue.agent.recognition import PACKAGED, Whisper
from duologue.evaluation.voice_to_voice_stub import ANSWERS, StubLanguageModel
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.conftest import Running, running
from tests.server.pages import RECORDING, open_page, press, start_browser, text, until
from tests.tiny import write_tiny_model

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

WIDE, PHONE = (900, 760), (360, 760)
SHOWN = 450  # pixels of a picture's width in a sheet
COLOURS = 96


class Camera:
    """Takes pictures of one browser and puts them on sheets."""

    def __init__(self, browser: WebDriver) -> None:
        self.browser = browser
        self.taken: list[tuple[str, Image.Image]] = []

    def screen(self, size: tuple[int, int], dark: bool = False) -> None:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size is PHONE}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def take(self, name: str) -> None:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            self.browser.save_screenshot(file.name)
            picture = Image.open(file.name).convert("RGB")
        self.taken.append(
            (name, picture.resize((SHOWN, SHOWN * picture.height // picture.width), Image.Resampling.LANCZOS))
        )
        print(name, flush=True)

    def sheet(self, path: Path, columns: int = 3) -> None:
        """Write what was taken since the last sheet."""
        height = max(picture.height for _, picture in self.taken) + 26
        rows = -(-len(self.taken) // columns)
        whole = Image.new("RGB", (columns * (SHOWN + 8), rows * height), "white")
        pen = ImageDraw.Draw(whole)
        for number, (name, picture) in enumerate(self.taken):
            x, y = number % columns * (SHOWN + 8), number // columns * height
            pen.text((x + 6, y + 6), name, fill="black")
            whole.paste(picture, (x, y + 22))
        whole.quantize(COLOURS).save(path, optimize=True)
        self.taken.clear()

    def click(self, name: str) -> None:
        self.browser.find_element(By.ID, name).click()

    def state(self, name: str, seconds: float = 60) -> None:
        script = "return document.getElementById('talk-hold').dataset.state"
        until(lambda: self.browser.execute_script(script) == name, seconds, lambda: text(self.browser, "talk-status"))


def talk(camera: Camera, server: Running) -> None:
    camera.screen(WIDE)
    open_page(camera.browser, f"{server.url}/")
    camera.take("ready")
    camera.browser.find_element(By.ID, "talk-text").send_keys("Good evening. Are you there?")
    press(camera.browser, Keys.ENTER)
    camera.state("speaking")
    time.sleep(0.7)
    camera.take("typed, and answered aloud")
    camera.click("talk-forget")
    camera.click("talk-free")
    camera.take("hands-free, ready")
    camera.click("talk-hold")
    camera.state("waiting")
    camera.take("waiting for you")
    camera.state("listening")
    time.sleep(0.5)
    camera.take("listening")
    camera.state("thinking")
    camera.take("thinking")
    camera.state("speaking")
    time.sleep(0.6)
    camera.take("speaking")
    camera.state("listening")
    until(lambda: camera.browser.find_elements(By.CSS_SELECTOR, "#talk-captions .unheard"), 30)
    camera.take("interrupted: what was not heard is struck out")
    camera.click("talk-mute")
    camera.state("muted")
    camera.click("talk-show-lab")
    camera.take("muted, lab open")
    camera.click("talk-show-lab")
    camera.click("show-settings")
    until(lambda: camera.browser.find_element(By.ID, "settings").is_displayed())
    camera.take("settings")
    press(camera.browser, Keys.ESCAPE)
    camera.click("talk-end")


def say(camera: Camera, server: Running) -> None:
    camera.screen(WIDE)
    open_page(camera.browser, f"{server.url}/#say")
    camera.take("Say, empty")
    camera.browser.find_element(By.ID, "say-text").send_keys("Wait, really? Tell me everything, from the beginning.")
    press(camera.browser, Keys.CONTROL, Keys.ENTER)
    until(lambda: "first sound" in text(camera.browser, "say-figures"))
    time.sleep(0.8)
    camera.take("speaking")
    until(lambda: camera.browser.find_element(By.ID, "say-stop").get_attribute("disabled"))
    camera.browser.execute_script("document.querySelector('#say-result details').open = true")
    camera.browser.execute_script("document.getElementById('say-wave').scrollIntoView()")
    camera.take("spoken, the same as code")
    camera.click("tab-dialogue")
    camera.screen(WIDE, dark=True)
    camera.browser.execute_script("scrollTo(0, 0)")
    camera.click("dialogue-go")
    until(lambda: "speaks" in text(camera.browser, "dialogue-status"))
    until(lambda: "first sound" in text(camera.browser, "dialogue-figures"))
    time.sleep(1.5)
    camera.take("Dialogue, dark, performing")
    camera.click("dialogue-stop")
    camera.click("tab-voices")
    camera.take("Voices, dark")
    camera.screen(WIDE)
    camera.click("show-keys")
    camera.take("keys")
    press(camera.browser, Keys.ESCAPE)


def phone(camera: Camera, server: Running) -> None:
    camera.screen(PHONE)
    for name in ("talk", "say", "dialogue", "voices"):
        open_page(camera.browser, f"{server.url}/#{name}")
        camera.take(f"{name}, phone")
    camera.screen(PHONE, dark=True)
    open_page(camera.browser, f"{server.url}/#talk")
    camera.take("talk, phone, dark")


def troubles(camera: Camera, ears: Whisper, stub: StubLanguageModel) -> None:
    """What a visitor sees when something is missing or wrong."""
    camera.screen(WIDE)
    model = duologue.load()
    with running(model, ServerSettings()) as server:
        open_page(camera.browser, f"{server.url}/#talk")
        camera.take("no recogniser, no language model")
    with running(model, ServerSettings(api_keys=("a-key",))) as server:
        camera.browser.get(server.url)
        until(lambda: camera.browser.find_element(By.ID, "ask-key").is_displayed())
        camera.take("a key is wanted")
        press(camera.browser, "a-key", Keys.ENTER)
        until(lambda: camera.browser.execute_script("return document.body.dataset.ready") == "true")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(duologue.load(write_tiny_model(Path(folder))), ServerSettings()) as server,
    ):
        open_page(camera.browser, f"{server.url}/#say")
        camera.take("a model of random weights")
        camera.click("say-go")
        camera.take("nothing to say")
    parts = TalkParts(ears, ChatEndpoint(stub.url, "stub"))
    with running(model, ServerSettings(max_realtime_sessions=1), parts) as server:
        open_page(camera.browser, f"{server.url}/#talk")
        from websockets.sync.client import connect

        with connect(server.url.replace("http", "ws") + "/v1/realtime"):
            camera.browser.find_element(By.ID, "talk-text").send_keys("Hello?")
            press(camera.browser, Keys.ENTER)
            until(lambda: "Others" in text(camera.browser, "talk-status"))
            camera.take("busy")
        camera.browser.execute_script(
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }"
        )
        camera.click("talk-free")
        camera.click("talk-hold")
        until(lambda: "refused" in text(camera.browser, "talk-status"))
        camera.take("microphone refused")
        camera.click("talk-free")
        camera.browser.find_element(By.ID, "talk-text").send_keys("Are you still there?")
        press(camera.browser, Keys.ENTER)
        camera.state("speaking")
    camera.state("reconnecting")
    camera.take("the server went away: reconnecting")
    until(lambda: "gone" in text(camera.browser, "talk-status"))
    camera.take("gone")


def main(folder: Path) -> None:
    """Take them all."""
    speech, rate_hz = soundfile.read(RECORDING, frames=3 * 24_000)
    stub, ears = StubLanguageModel((" ".join(ANSWERS),)), Whisper(PACKAGED)
    with tempfile.TemporaryDirectory() as temporary:
        microphone = Path(temporary) / "turns.wav"
        soundfile.write(microphone, np.concatenate([np.zeros(3 * rate_hz), speech, np.zeros(3 * rate_hz)]), rate_hz)
        browser = start_browser(microphone)
        camera = Camera(browser)
        try:
            with running(duologue.load(), ServerSettings(), TalkParts(ears, ChatEndpoint(stub.url, "stub"))) as server:
                say(camera, server)
                camera.sheet(folder / "page-say-dialogue-voices.png")
                phone(camera, server)
                camera.sheet(folder / "page-phone.png", columns=5)
                talk(camera, server)
                camera.sheet(folder / "page-talk.png")
            troubles(camera, ears, stub)
            camera.sheet(folder / "page-troubles.png")
        finally:
            browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
