"""What the page promises about itself: it is small, whole, in files of one idea, and says what speaks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from duologue.server.page import FOLDER
from tests.server.conftest import Serve
from tests.server.pages import open_page, text

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]


def test_it_weighs_less_than_200_kb() -> None:
    assert sum(path.stat().st_size for path in FILES) < 200_000


def test_its_scripts_are_files_of_one_idea() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SCRIPTS}
    assert all(count < 300 for count in lines.values()), lines
    told = [path.name for path in SCRIPTS if not path.read_text(encoding="utf-8").startswith("// ")]
    assert told == [], "each says first what it is"


def test_every_script_is_used_and_every_import_is_there() -> None:
    wanted = {"page.js"}
    for path in SCRIPTS:
        source = path.read_text(encoding="utf-8")
        wanted |= set(re.findall(r'from "\./([\w-]+\.js)"', source)) | set(re.findall(r'"/page/([\w-]+\.js)"', source))
    assert wanted == {path.name for path in SCRIPTS}


def test_every_element_that_a_script_asks_for_by_its_whole_name_is_in_the_page() -> None:
    ids = set(re.findall(r'\bid="([\w-]+)"', (FOLDER / "index.html").read_text(encoding="utf-8")))
    for path in SCRIPTS:
        asked = re.findall(r'getElementById\("([\w-]+)"\)', path.read_text(encoding="utf-8"))
        assert set(asked) <= ids, path.name


def test_the_foot_of_the_page_says_what_speaks_and_whether_it_is_marked(browser: WebDriver, serve: Serve) -> None:
    open_page(browser, serve().url)
    assert "tiny on" in text(browser, "about")
    assert "no watermark" in text(browser, "about")
    open_page(browser, serve(watermark_key="a key of this test").url)
    assert "carries a watermark" in text(browser, "about")
