"""The page that starts runs: the command that it shows is the one that it starts; runs are watched, stopped,
judged and looked at; in a real browser.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from architectures.tracking.run_process import RunProcess
from architectures.tracking.runs_page import DEFAULT, RunsSite, command_line, runs_page
from config import command_line as train_line
from tests.conftest import ROOT
from tests.test_app import configured, press

SMALL = ["data.limit=60", "trainer.max_steps=4", "evaluation.questions=4", "evaluation.baselines=[exact]"]
SLEEPER = "import time\nprint('a', end='\\r'); print('b 1'); print('c', flush=True)\n{0}time.sleep(60)"


def wait_for(condition: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_choices_make_the_command_that_is_checked_like_any_other() -> None:
    site = RunsSite(ROOT, Path("outputs"))
    assert {"pocket", "gemma-2-9b-it"} <= set(site.choices("model"))
    arguments = site.arguments(
        "smollm2-135m", "flipkart", "job-1", " it's a table.csv ", "seed=7\n\ndata.limit=9"
    )
    assert arguments == [
        "model=smollm2-135m",
        "data=flipkart",
        "+experiment=job-1",
        "data.path=it's a table.csv",
        "seed=7",
        "data.limit=9",
        "outputs=outputs",
    ]
    assert command_line(arguments).startswith("python train.py model=smollm2-135m data=flipkart")
    assert """'data.path=it'"'"'s a table.csv'""" in command_line(arguments)
    assert site.arguments(DEFAULT, DEFAULT, DEFAULT, "", "") == ["outputs=outputs"]
    for group, key in (("model", "model"), ("data", "data"), ("experiment", "+experiment")):
        names = [name for name in site.choices(group) if name != DEFAULT]
        assert all((ROOT / "config" / group / f"{name}.yaml").is_file() for name in names), key
    assert train_line.check(site.arguments("pocket", DEFAULT, "quickstart", "", ""))[1][0].seed == 42


def test_one_command_at_a_time_and_stopped_as_by_ctrl_c(tmp_path: Path) -> None:
    process = RunProcess(tmp_path, tmp_path / "log")
    assert (process.status, process.output()) == ("nothing was started", "")
    process.start(["-c", SLEEPER.format("")])
    wait_for(lambda: process.output() == "b 1\nc")
    assert process.status == "running"
    with pytest.raises(ValueError, match="A command is running"):
        process.start(["-c", "pass"])
    process.stop()
    wait_for(lambda: not process.is_running)
    assert process.status.startswith("ended with status")
    assert "KeyboardInterrupt" in process.output()
    process.start(["-c", "print('new')"])
    wait_for(lambda: not process.is_running)
    assert (process.status, process.output()) == ("ended", "new")


def test_runs_are_listed_and_others_are_not_read(tmp_path: Path) -> None:
    site = RunsSite(ROOT, tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/report.html").write_text("secret")
    for name, state in (("2026-01-01_a", '{"status": "finished", "metric": 0.5}'), ("2026-01-02_b", "{")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "state.json").write_text(state)
    (tmp_path / "runs/2026-01-01_a/report.html").write_text('<b onclick="x">"Good"</b> <img src="no.png">')
    assert site.state()[3] == [["2026-01-02_b", "damaged", ""], ["2026-01-01_a", "finished", "0.5000"]]
    assert "&lt;b onclick=&quot;x&quot;&gt;" in site.report(["2026-01-01_a"])
    assert site.report(["2026-01-02_b"]) == "<p>There is no report yet.</p>"
    assert site.report(["../secret"]) == ""
    with pytest.raises(ValueError, match="Choose a run first"):
        site.further("Gate", ["../secret"])
    chosen = [str(tmp_path / "runs" / name) for name in ("2026-01-01_a", "2026-01-02_b")]
    assert site.further("Compare", site.names()[::-1])[1] == f"compare=[{','.join(chosen)}]"


@pytest.mark.parametrize("words", [["host=0.0.0.0"], ["share=true"]])
def test_the_page_is_for_this_machine_alone(words: list[str]) -> None:
    assert app.problems_of(configured("page=runs")) == []
    (problem,) = app.problems_of(configured("page=runs", *words))
    assert "listens on 127.0.0.1 alone" in problem


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> RunsSite:
    return RunsSite(ROOT, tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def browser_page(site: RunsSite) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    blocks = runs_page(site, app.TITLE)
    _, address, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1500})
        page.goto(address)
        page.wait_for_selector("#command .cm-content")
        page.wait_for_selector("#runs")
        yield page
        browser.close()
    blocks.close()


@pytest.mark.slow
def test_a_run_is_started_watched_and_judged(site: RunsSite, browser_page: Any) -> None:
    page = browser_page
    page.fill("label:has-text('Further settings') textarea", "\n".join(SMALL))
    page.wait_for_function(
        "text => document.querySelector('#command').innerText.includes(text)", arg=SMALL[0], timeout=20_000
    )
    shown = page.inner_text("#command .cm-content").replace("\n", "")
    assert shown == command_line([*SMALL, f"outputs={site.outputs}"])
    press(page, "Start", "() => document.body.innerText.includes('running')")
    wait_for(lambda: not site.process.is_running, 300)
    assert "run folder:" in site.process.output()
    (name,) = site.names()
    page.wait_for_function("name => document.querySelector('#runs').innerText.includes(name)", arg=name)
    page.click("#chosen input")
    page.click(f"ul[role=listbox] li:has-text('{name}')")
    frame = page.frame_locator("#report iframe")
    frame.locator("h1").wait_for(timeout=30_000)
    assert "tuned" in frame.locator("body").inner_text()
    page.keyboard.press("Escape")
    before = site.process.process
    page.click("button:has-text('Gate')")
    wait_for(lambda: site.process.process is not before)
    wait_for(lambda: not site.process.is_running, 300)
    assert "The gate is closed" in site.process.output()
    assert site.process.status == "ended with status 1"
    assert sys.executable not in page.inner_text("body")
