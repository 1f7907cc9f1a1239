"""The report in a browser: nothing is blocked or missing, and the pictures are drawn."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_page_in_a_browser(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Nothing is blocked or missing, and the pictures are drawn: the screenshot has the bars' and the
    curves' colours.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no browser (Debian: chromium)")
    from PIL import Image

    picture = tmp_path / "page.png"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1300,3000",
        "--enable-logging=stderr",
        "--v=0",
    ]
    command += [
        f"--user-data-dir={tmp_path}",
        f"--screenshot={picture}",
        (finished[0] / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    with Image.open(picture) as image:
        assert image.size == (1300, 3000)
        colours = {colour for count, colour in image.convert("RGB").getcolors(1 << 24) or [] if count > 200}
    assert {
        (27, 73, 101),
        (190, 233, 232),
        (31, 119, 180),
    } <= colours  # headings and jobs, baselines, the first curve
