"""The chat page in a real browser: ask, stream, cards, compare, suggest, judge; text stays text; and the
folder of a Space.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra import compose, initialize_config_dir

import app
from architectures.inference.assistant import Assistant
from data.reports.chat_examples import example_questions
from data.reports.product_cards import CSS, CatalogueCards
from tests.conftest import ROOT

EVIL = "<img src=x onerror=\"document.title='taken'\">"


def configured(*overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("app", overrides=list(overrides))


class Shelf:
    """A back end that answers with the catalogue's row of a name, a word at a time, and invents a product
    when it is told to.
    """

    def __init__(self, products: pl.DataFrame, renderer: Any) -> None:
        told = [
            f"{name}: {facts[:2]}\n Product Name: {name}"
            for name, facts in products.select("name", "facts").iter_rows()
        ]
        self.rows = dict(zip(products["name"], told, strict=True))
        self.renderer = renderer

    def stream(self, ids: list[int], sampling: Any) -> Iterator[list[int]]:
        asked = self.renderer.decode(ids)
        found = next(
            (answer for name, answer in self.rows.items() if name in asked),
            f"{EVIL}\nProduct Name: Flying Carpet",
        )
        words = found.split(" ")
        for count in range(1, len(words) + 1):
            time.sleep(0.05)
            yield self.renderer.encoded(" ".join(words[:count]))


@pytest.fixture(scope="module")
def shop(
    finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, pl.DataFrame, Path]]:
    """(address of a page with a tuned model and the shelf, products, its outputs)"""
    outputs = tmp_path_factory.mktemp("app")
    config = configured(f"ckpt={finished[0] / 'model'}", f"outputs={finished[0].parent}")
    (tuned,), module = app.assistants(config)
    products = app.read_products(app.catalogue_path(config, module))
    shelf = Assistant(
        "shelf", "0", Shelf(products, tuned.renderer), tuned.renderer, tuned.max_length, tuned.max_answer
    )
    blocks = app.page([tuned, shelf], CatalogueCards(products), configured(f"outputs={outputs}"))
    _, address, _ = blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, css=CSS, footer_links=[]
    )
    yield address, products, outputs
    blocks.close()


@pytest.fixture
def browser_page(shop: Any) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.goto(shop[0])
        page.wait_for_selector("textarea")
        yield page
        browser.close()


def press(page: Any, button: str, until: str, argument: str = "") -> None:
    """Click until it is heard: a page that has just been loaded shows its buttons before it listens to
    them.
    """
    from playwright.sync_api import TimeoutError as Unheard

    for _ in range(12):
        page.click(f"button:has-text({json.dumps(button)})")
        try:
            page.wait_for_function(until, arg=argument, timeout=10_000)
            return
        except Unheard:
            continue
    raise AssertionError(f"{button} is not heard; the page shows {page.inner_text('body')}")


def told_by(outputs: Path) -> str:
    """The feedback so far."""
    path = outputs / "feedback.jsonl"
    return path.read_text() if path.exists() else ""


def ask(page: Any, question: str) -> None:
    page.fill("textarea", question)
    press(page, "Ask", "asked => document.querySelectorAll('.chat')[1].innerText.includes(asked)", question)


@pytest.mark.slow
def test_ask_stream_card_compare_suggest_and_judge(shop: Any, browser_page: Any) -> None:
    _, products, outputs = shop
    name, facts = products.filter(pl.col("facts").list.len() > 2).select("name", "facts").row(7)
    ask(browser_page, f"What is the {name}?")
    chat = ".chat >> nth=1"
    browser_page.wait_for_function(
        "() => document.querySelectorAll('.chat')[1].innerText.includes('Product')", timeout=60_000
    )
    early = browser_page.inner_text(chat)
    browser_page.wait_for_selector(f".card:has-text({json.dumps(name)})", timeout=60_000)
    whole = f"Product Name: {name}"
    browser_page.wait_for_function(
        "text => document.querySelectorAll('.chat')[1].innerText.includes(text)", arg=whole, timeout=60_000
    )
    assert whole not in early, "it streams"
    card = browser_page.inner_text(".cards >> nth=1")
    assert facts[0]["key"] in card
    assert facts[0]["value"] in card
    assert f"What is the {name}?" in browser_page.inner_text(".chat >> nth=0"), "both models are asked"
    browser_page.click(".chat >> nth=1 >> button[aria-label*='Like' i] >> nth=0")
    ask(browser_page, "Something new, please")
    browser_page.wait_for_selector(".card.invented:has-text('Flying Carpet')", timeout=60_000)
    assert "not in the catalogue" in browser_page.inner_text(".card.invented")
    assert browser_page.title() == app.TITLE
    assert EVIL in browser_page.inner_text(chat), "text is shown as text"
    assert browser_page.query_selector("img[src='x']") is None
    until = time.monotonic() + 20
    while '"liked"' not in told_by(outputs) and time.monotonic() < until:
        time.sleep(0.2)
    records = [json.loads(line) for line in (outputs / "feedback.jsonl").read_text().splitlines()]
    said = next(record for record in records if "liked" in record)
    assert said["model"] == "shelf"
    assert said["turns"][0] == f"What is the {name}?"


@pytest.mark.slow
def test_an_example_on_the_empty_page_is_asked_when_clicked(shop: Any, browser_page: Any) -> None:
    example = example_questions(shop[1])[0]
    asked = "said => document.querySelectorAll('.chat')[1].innerText.includes(said)"
    browser_page.wait_for_function(asked, arg=example)  # it stands there before anything is asked
    press(browser_page, example, "() => document.querySelectorAll('.chat')[1].innerText.includes('Product')")
    assert example in browser_page.inner_text(".chat >> nth=0"), "both models are asked"


@pytest.mark.slow
def test_a_button_under_an_answer_asks_about_what_it_names(shop: Any, browser_page: Any) -> None:
    ask(browser_page, EVIL)
    browser_page.wait_for_selector(".card.invented", timeout=60_000)
    assert EVIL in browser_page.inner_text(".chat >> nth=0")
    name = shop[1]["name"][3]
    ask(browser_page, f"Tell me of the {name}")
    browser_page.wait_for_selector(f".card:has-text({json.dumps(name)})", timeout=60_000)
    browser_page.wait_for_selector("button:has-text('Alternatives')", timeout=60_000)
    shown = "document.querySelectorAll('.chat')[1].innerText.includes(said)"
    question = f"What could I buy instead of the {name}?"
    press(browser_page, "Alternatives", f"said => {shown}", question)
    assert question in browser_page.inner_text(".chat >> nth=0"), "both models are asked"
    press(
        browser_page, "New conversation", f"said => !{shown}", f"Tell me of the {name}"
    )  # examples are back
    lines = (shop[2] / "feedback.jsonl").read_text().splitlines()
    faults = [record["faults"] for record in map(json.loads, lines) if "faults" in record]
    assert ["Flying Carpet: not in the catalogue"] in faults


def test_earlier_turns_go_as_far_as_there_is_room(finished: tuple[Path, str]) -> None:
    (tuned,), _ = app.assistants(configured(f"ckpt={finished[0] / 'model'}", f"outputs={finished[0].parent}"))
    alone = tuned.prompt("C", [], "Now?")
    assert alone == tuned.renderer.render("C", "Now?", None).ids, "the very prompt of training"
    old = f"Old {tuned.renderer.grounding.retriever.all[0]['name']}?"
    two = tuned.prompt("C", [(old, "Yes.")], "And its price?")
    assert tuned.renderer.tokenizer.decode(two).count(old) == 1
    long = tuned.prompt("C", [(f"{old} " * 900, "Yes.")], "And its price?")
    assert long == tuned.prompt("C", [], "And its price?")
    with pytest.raises(ValueError, match="too long"):
        tuned.prompt("C", [], "Now? " * 9000)


@pytest.mark.slow
def test_a_space_answers_by_itself(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Written, then started with nothing but its own files."""
    space = tmp_path / "space"
    command = [sys.executable, "app.py", f"ckpt={finished[0] / 'model'}", f"outputs={finished[0].parent}"]
    done = subprocess.run([*command, f"space={space}"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "sdk: gradio" in (space / "README.md").read_text()
    again = subprocess.run(
        [*command, f"space={space}"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    script = "import app; from hydra import compose, initialize_config_dir as d\n"
    script += "with d(str(app.ROOT / 'config'), version_base='1.3'): c = compose('app')\n"
    script += "(model,), module = app.assistants(c)\n"
    script += (
        "print(c.host, app.read_products(app.catalogue_path(c, module)).height,"
        " list(model.stream(model.prompt('', [], 'Hm?'), 0, 1))[:1])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=space, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("0.0.0.0 ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "ckpt: give a checkpoint"),
        (["ckpt=x", "backend=llama"], "must be one of auto, transformers, vllm, endpoint"),
        (["ckpt=x", "backend=vllm", "against=y"], "one vLLM server holds one model"),
        (["ckpt=x", "backend=endpoint"], "served_model: what does"),
        (["ckpt=x", "+typo=1"], "typo: no such key"),
        (["ckpt=x", "temperature=9"], "must be a number from 0 to 2"),
    ],
)
def test_mistakes_are_told_at_once(words: list[str], message: str) -> None:
    assert message in "\n".join(app.problems_of(configured(*words)))


def test_a_merged_model_has_no_untuned_self(finished: tuple[Path, str], tmp_path: Path) -> None:
    from architectures.inference import export
    from architectures.training import checkpoints

    export.write_merged(
        checkpoints.load_model(finished[0] / "model"), finished[0] / "model", tmp_path / "merged"
    )
    with pytest.raises(ValueError, match="has no adapter that could be disabled"):
        app.assistants(configured(f"ckpt={tmp_path / 'merged'}", "against=untuned"))


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_error(finished: tuple[Path, str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "app.py", f"ckpt={finished[0] / 'model'}", f"outputs={finished[0].parent}"]
        done = subprocess.run(
            [*command, f"port={taken.getsockname()[1]}"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: Cannot find empty port")


def test_what_cannot_be_loaded_is_one_error(tmp_path: Path, finished: tuple[Path, str]) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        app.assistants(configured("ckpt=nowhere"))
    broken = tmp_path / "products.parquet"
    broken.write_text("no table")
    config = configured(f"ckpt={finished[0] / 'model'}", f"catalogue={broken}")
    with pytest.raises(ValueError, match=r"catalogue=.*cannot be read"):
        app.read_products(Path(config.catalogue))
