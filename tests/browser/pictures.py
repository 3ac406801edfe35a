"""The README's pictures, of a generated world: `python -m tests.browser.pictures`."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.browser.browser import chromium, picture, size
from tests.browser.demo import ROOT

FOLDER = ROOT / "daemon" / "web" / "pictures"
CREATORS = 2_000
WIDE = (1_200, 800)
COLOURS = 96


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "demo.log"
        command = [sys.executable, "-m", "daemon", "demo", "--port", "0", "--creators", str(CREATORS)]
        with log.open("w") as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            url = told(log, "serving")
            with chromium(folder) as browser:
                size(browser, *WIDE)
                browser.get(f"{url}/operations")
                time.sleep(12)
                picture(browser, folder / "operations.png")
                told(log, "ready")
                browser.get(f"{url}/?q=street+food+and+travel+creators+under+500k+followers")
                time.sleep(1)
                picture(browser, folder / "search.png")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        FOLDER.mkdir(exist_ok=True)
        for one in ("operations", "search"):
            with Image.open(folder / f"{one}.png") as shot:
                small = shot.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
                small.save(FOLDER / f"{one}.png", optimize=True)


def told(log: Path, word: str) -> str:
    """The address in the line that begins with a word, once the demo has written it."""
    for _ in range(6_000):
        for line in log.read_text().splitlines():
            if line.startswith(word):
                return line.split()[-1]
        time.sleep(0.05)
    raise SystemExit(f"the demo did not get there: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
