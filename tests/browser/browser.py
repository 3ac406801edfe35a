"""Chromium without a window, over the chromedriver that the system has: nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
DESK, PHONE = (1280, 900), (390, 844)
SERIOUS = ("serious", "critical")


@contextmanager
def chromium(folder: Path) -> Iterator[Chrome]:
    """``folder``: where downloads and the profile go."""
    assert CHROMIUM is not None
    assert CHROMEDRIVER is not None
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for one in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{one}")
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-component-update")
    options.add_argument("--no-first-run")
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = Chrome(options=options, service=Service(CHROMEDRIVER))
    try:
        browser.set_page_load_timeout(20)
        browser.set_window_size(*DESK)
        yield browser
    finally:
        browser.quit()


def size(browser: Chrome, width: int, height: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def theme(browser: Chrome, name: str) -> None:
    """As the system has it."""
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def scripts(browser: Chrome, *, on: bool) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})


def violations(browser: Chrome, *rules: str) -> list[str]:
    """What axe-core finds serious or critical on the page, with where; by some rules, or all."""
    if not browser.execute_script("return Boolean(window.axe)"):
        browser.execute_script(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const only = arguments[0].length ? {runOnly: arguments[0]} : {};"
        "axe.run(document, {resultTypes: ['violations'], ...only}).then((result) => done(result.violations))",
        list(rules),
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def messages(browser: Chrome) -> Iterator[dict[str, Any]]:
    """What the browser noted since the last look."""
    for entry in browser.get_log("performance"):  # type: ignore[no-untyped-call]
        yield json.loads(entry["message"])["message"]


def bytes_taken(browser: Chrome, hosts: set[str]) -> float:
    """Over the network since the last look, heads and all; whom it asked is added to ``hosts``.

    What Chromium reads for its own first tab (``chrome:`` and ``data:`` addresses) is not a page's.
    """
    noted = list(messages(browser))
    hosts |= _hosts(noted)
    asked = {one["params"]["requestId"] for one in noted if _network_host(one)}
    ended = (one["params"] for one in noted if one["method"] == "Network.loadingFinished")
    return sum(float(one["encodedDataLength"]) for one in ended if one["requestId"] in asked)


def hosts_asked(browser: Chrome) -> set[str]:
    """Since the last look: of every request over a network."""
    return _hosts(messages(browser))


def _hosts(noted: Iterable[dict[str, Any]]) -> set[str]:
    return {host for one in noted if (host := _network_host(one))}


def _network_host(message: dict[str, Any]) -> str | None:
    """Whom a message's request asks; None of another message, and of an address that needs no network."""
    if message["method"] != "Network.requestWillBeSent":
        return None
    url = urlsplit(message["params"]["request"]["url"])
    return url.netloc if url.scheme in ("http", "https", "ws", "wss") else None


def metrics(browser: Chrome) -> dict[str, float]:
    found: dict[str, Any] = browser.execute_cdp_cmd("Performance.getMetrics", {})
    return {one["name"]: one["value"] for one in found["metrics"]}


def picture(browser: Chrome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(path))
