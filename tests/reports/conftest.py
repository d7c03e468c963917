"""What the tests of pages share: a browser to look at them with."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Chromium without a window or a network; skips where it is not installed. No page that it was
    shown may have asked for what its own policy refuses."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium or its driver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = (
        *("headless", "no-sandbox", "disable-gpu", "disable-background-networking"),
        *("host-resolver-rules=MAP * ~NOTFOUND", f"user-data-dir={tmp_path / 'profile'}"),
    )
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
        said = [line["message"] for line in browser.get_log("browser")]
    finally:
        browser.quit()
    assert not [line for line in said if "Content Security" in line], said
