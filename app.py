"""python app.py ckpt=<checkpoint | exported folder | MLflow run | models:/NAME@ALIAS>: the Virtual Retail Assistant as a chat page.

Answers stream; every product that one names is looked up in the catalogue, and one that it invents is marked. `against=` puts a second
model beside the first. `space=FOLDER` writes what a Hugging Face Space needs. Imports architectures and data, never train or evaluate.
"""

import atexit
import html
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from architectures.registry import locate
from data import cards
from data.phrases import ALTERNATIVES, OUTFITS
from data.versions import CONTENT

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
KEYS = "ckpt against catalogue backend vllm_python served_model host port share temperature earlier longest waiting space outputs".split()
BACKENDS = ("auto", "transformers", "vllm", "endpoint")
PRODUCTS = CONTENT[1]
LONGEST_TURN = 20_000  # characters of an earlier turn that are read
TITLE = "Virtual Retail Assistant"
CSS = """
.card {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .6em .9em; margin: .4em 0; font-size: .9em}
.card.invented {border-color: #c0392b; border-style: dashed} .card .note {color: #c0392b}
.card .fact {display: flex} .card .fact span {width: 9em; opacity: .7}
"""
Turns = list[dict[str, Any]]  # role and content, as a chat page holds them


@dataclass
class Assistant:
    """A model that answers on the page.

    Args:
        name: on the page. backend: what streams (`architectures.generation`). room: tokens that question, history and answer may take.
    """

    name: str
    digest: str
    backend: Any
    renderer: Any
    room: int
    longest_answer: int

    def prompt(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt's ids with as many of the earlier turns as there is room for, the newest first. Raises ValueError if none is left."""
        for start in range(len(earlier) + 1):
            ids: list[int] = self.renderer.conversation(context, earlier[start:], question)
            if len(ids) + self.longest_answer <= self.room:
                return ids
        raise ValueError("This question is too long for the model; please ask a shorter one.")

    def stream(self, ids: list[int], temperature: float, top_p: float) -> Iterator[str]:
        """The answer's text as it grows."""
        from architectures.generation import Sampling

        for so_far in self.backend.stream(ids, Sampling(temperature, top_p, self.longest_answer)):
            yield self.renderer.decode(so_far)


def assistants(config: Any) -> tuple[list[Assistant], Any]:
    """(the models of ``ckpt`` and ``against``, the first one's module). Raises ValueError if one cannot be had."""
    from architectures import checkpoints
    from architectures.adapters import base_path, has_adapter
    from architectures.backends import exported_of, model_digest, on_device
    from architectures.generation import Decoding, Transformers
    from architectures.served import Endpoint, vllm_at_hand
    from data.prompts import Renderer

    def made(module: Any, exported: Path, name: str, untuned: bool) -> Assistant:
        renderer, longest = Renderer(base_path(module.model_settings["base"])), module.origin["max_new_tokens"]
        decoding, digest = Decoding(renderer.stop_ids, longest), model_digest(exported)
        backend: Any = Transformers(module.net, [digest], untuned, decoding, 1)
        if kind == "endpoint" and not untuned:
            backend = Endpoint(config.served_model, [digest], decoding, 1, 2, renderer.encoded)
        elif kind == "vllm":
            backend = Endpoint("base" if untuned else served, [digest], decoding, 1, 2, renderer.encoded)
        return Assistant(name, digest, backend, renderer, int(module.net.config.max_position_embeddings), longest)

    def loaded(ckpt: str) -> tuple[Any, Path]:
        path = locate(ckpt, Path(config.outputs))
        module: Any = on_device(checkpoints.load(path))
        if module.origin["data"]["task"] != "retail":
            raise ValueError(f"ckpt={ckpt} was trained on {module.origin['data']['name']}, and does not answer questions about a catalogue")
        return module, exported_of(module, path, Path(config.outputs) / "exports" / "app")

    module, exported = loaded(config.ckpt)
    if config.against == "untuned" and not has_adapter(module.net):
        raise ValueError(f"against=untuned: ckpt={config.ckpt} has no adapter that could be left out")
    kind, served = "transformers" if config.space else config.backend, "tuned" if has_adapter(module.net) else "base"
    if kind == "auto":
        at_hand, why = vllm_at_hand(config.vllm_python, module.model_settings["quantization"])
        kind = "vllm" if at_hand and config.against in (None, "untuned") else "transformers"
        log.info("answered by %s: %s", kind, why)
    if kind == "vllm":
        start_vllm(config, module, exported)
    first = made(module, exported, "tuned" if config.against == "untuned" else called(config.ckpt), untuned=False)
    if config.against is None:
        return [first], module
    if config.against == "untuned":
        return [first, made(module, exported, "untuned", untuned=True)], module
    return [first, made(*loaded(config.against), called(config.against), untuned=False)], module


def start_vllm(config: Any, module: Any, exported: Path) -> None:
    """Serve the model, and its base, from a process of its own, which ends with this one."""
    from architectures.backends import for_vllm
    from architectures.served import Server

    log.info("starting vLLM; this takes a minute")
    model, adapter, dtype = for_vllm(module, exported)
    server = Server(model, adapter, config.vllm_python, Path(config.outputs) / "vllm", "--dtype", dtype)
    atexit.register(server.close)
    os.environ |= {"OPENAI_BASE_URL": server.address, "OPENAI_API_KEY": "none"}


def called(ckpt: str) -> str:
    """A model's name on the page: of an exported one that of its run."""
    return Path(ckpt).parent.name if Path(ckpt).name == "model" and Path(ckpt).parent.name else ckpt


def catalogue_of(config: Any, module: Any) -> pl.DataFrame:
    """The products that answers are looked up in: as given, beside the model, or of the data that it was trained on."""
    beside = Path(config.ckpt) / PRODUCTS
    path = Path(config.catalogue) if config.catalogue else beside
    if not config.catalogue and not beside.is_file():
        from architectures.adapters import base_path
        from data.retail import RetailData

        cache, settings = Path(config.outputs) / "cache", module.origin["data"]
        there = (cache / f"questions-{module.origin['digest']}").is_dir()
        base, version = base_path(module.model_settings["base"]), module.origin["digest"] if there else ""
        data = RetailData({**settings, "version": version}, base, cache, module.origin["seed"])
        if not there and settings["questions"]["source"] != "templates":
            raise ValueError("catalogue: the model's data is not at hand; give products.parquet of it: catalogue=...")
        data.prepare_data()
        path = data.folder / PRODUCTS
    return read_products(path)


def read_products(path: Path) -> pl.DataFrame:
    """What the page asks of products. Raises ValueError if the file is not one of prepared data."""
    try:
        return pl.read_parquet(path, columns=["name", "category", "facts"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"catalogue={path}: cannot be read ({str(error).splitlines()[0]}); give products.parquet of prepared data"
        ) from None


def cards_of(answer: str, products: pl.DataFrame) -> str:
    """The products that an answer names, as HTML; all text in it is escaped."""
    shown = []
    for card in cards.named(answer, products):
        name = html.escape(card.name)
        if not card.known:
            shown.append(f'<div class="card invented"><b>{name}</b><div class="note">not in the catalogue</div></div>')
            continue
        rows = "".join(f'<div class="fact"><span>{html.escape(key)}</span>{html.escape(value)}</div>' for key, value in card.facts)
        shown.append(f'<div class="card"><b>{name}</b><br>{html.escape(card.category)}{rows}</div>')
    return "".join(shown)


def text_of(turn: dict[str, Any]) -> str:
    """What was said in a turn; the page gives it escaped, as text or in pieces."""
    content = turn["content"]
    said = content if isinstance(content, str) else "".join(piece.get("text", "") for piece in content)
    return html.unescape(said[:LONGEST_TURN])


def earlier_of(turns: Turns, count: int) -> list[tuple[str, str]]:
    """The last so many questions with their answers."""
    pairs = [(text_of(a), text_of(b)) for a, b in zip(turns[::2], turns[1::2], strict=False)]
    return pairs[-count:] if count else []


def page(models: list[Assistant], products: pl.DataFrame, config: Any) -> Any:
    """The page: a conversation with each model, what they named, and what a visitor can set."""
    import gradio as gr

    opinions, writing = Path(config.outputs) / "feedback.jsonl", threading.Lock()
    categories = products["category"].value_counts(sort=True)["category"].to_list()

    def reply(question: str, category: str, temperature: float, top_p: float, earlier: float, *turns: Turns) -> Iterator[list[Any]]:
        question = question.strip()[: config.longest]
        if not question:
            raise gr.Error("Please ask something.")
        chats, shown = [list(one) for one in turns], [""] * len(models)
        yield ["", *chats, *shown]  # what a visitor types while the answer comes stays
        for place, model in enumerate(models):
            context = f"Online shopping for {category}" if category in categories else ""
            try:
                ids = model.prompt(context, earlier_of(chats[place], min(int(earlier), 20)), question)
                chats[place] += [{"role": "user", "content": html.escape(question)}, {"role": "assistant", "content": ""}]
                for text in model.stream(ids, min(max(float(temperature), 0), 2), min(max(float(top_p), 0.01), 1)):
                    chats[place][-1]["content"] = html.escape(text)
                    yield [gr.skip(), *chats, *shown]
            except ValueError as error:
                raise gr.Error(str(error)) from None
            shown[place] = cards_of(text_of(chats[place][-1]), products)
            yield [gr.skip(), *chats, *shown]

    def about(asked: str, *turns: Turns) -> str:
        """A question about the product that the first model named last."""
        for turn in reversed(turns[0]):
            for card in cards.named(text_of(turn), products):
                if card.known:
                    return asked.replace("{name}", card.name)
        raise gr.Error("No product of the catalogue has been named yet.")

    def opinion(model: Assistant) -> Any:
        def stored(turns: Turns, event: gr.LikeData) -> None:
            answered = int(event.index if isinstance(event.index, int) else event.index[0])
            texts = [text_of(turn) for turn in turns[max(answered - 1, 0) : answered + 1]]
            said = {"time": time.time(), "model": model.name, "digest": model.digest, "turns": texts, "liked": event.liked}
            with writing, opinions.open("a", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")

        return stored

    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {TITLE}\n{products.height:,} products. An answer is a model's: what it names is looked up, not what it says.")
        with gr.Row():
            sides = [gr.Column() for _ in models]
        chats, shown = [], []
        for model, side in zip(models, sides, strict=True):
            with side:
                gr.Markdown(f"**{html.escape(model.name)}**")
                chat = gr.Chatbot(
                    label=model.name, show_label=False, render_markdown=False, height=420, buttons=["copy"], elem_classes="chat"
                )
                chat.like(opinion(model), chat, None)
                chats.append(chat)
                shown.append(gr.HTML(label="Products", elem_classes="cards"))
        question = gr.Textbox(
            placeholder="What kind of material is ... made of?", label="Question", max_length=config.longest, autofocus=True
        )
        with gr.Row():
            send = gr.Button("Ask", variant="primary")
            alternative, outfit = gr.Button("Alternatives"), gr.Button("Complete the outfit")
            clear = gr.Button("New conversation")
        with gr.Row():
            category = gr.Dropdown(["", *categories], value=categories[0], label="Category", info="where the visitor is in the shop")
            temperature = gr.Slider(0, 2, config.temperature, step=0.1, label="Temperature", info="0: the most likely answer")
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top p", info="share of the probability that is drawn from")
            earlier = gr.Slider(0, 20, config.earlier, step=1, label="Earlier turns", info="that the model sees")
        given, told = [question, category, temperature, top_p, earlier, *chats], [question, *chats, *shown]
        limits: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
        asking: list[Any] = [gr.on([send.click, question.submit], reply, given, told, api_name="ask", **limits)]
        for button, asked in ((alternative, ALTERNATIVES[0]), (outfit, OUTFITS[0])):
            named = button.click(about, [gr.State(asked), *chats], question, api_visibility="private")
            asking.append(named.success(reply, given, told, api_visibility="private", **limits))
        empty = ["", *([] for _ in models), *("" for _ in models)]
        clear.click(lambda: empty, None, told, cancels=asking, api_visibility="private")
    return blocks.queue(max_size=config.waiting)


def write_space(module: Any, exported: Path, products: pl.DataFrame, folder: Path) -> None:
    """A folder with all that a Hugging Face Space needs: this page, the model and its catalogue. Raises ValueError if it is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"space={folder}: is not empty; give another folder")
    ignored = shutil.ignore_patterns("__pycache__")
    for layer in ("architectures", "data"):
        shutil.copytree(ROOT / layer, folder / layer, ignore=ignored)
    (folder / "config").mkdir()
    content = (ROOT / "config/app.yaml").read_text(encoding="utf-8")
    for old, new in (("ckpt: null ", "ckpt: model"), ("host: 127.0.0.1", "host: 0.0.0.0")):
        assert old in content
        content = content.replace(old, new, 1)
    (folder / "config/app.yaml").write_text(content, encoding="utf-8")
    for name in ("app.py", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(exported, folder / "model")
    products.write_parquet(folder / "model" / PRODUCTS)
    about = {"title": TITLE, "sdk": "gradio", "sdk_version": gradio_version(), "python_version": "'3.11'", "app_file": "app.py"}
    front = "\n".join(["---", *(f"{key}: {value}" for key, value in about.items()), "license: apache-2.0", "---"])
    base = module.model_settings["base"]
    (folder / "README.md").write_text(
        f"{front}\n\n# {TITLE}\n\nBase model: {base}. Catalogue: {products.height:,} products.\n", encoding="utf-8"
    )


def gradio_version() -> str:
    """Of what is installed."""
    from importlib.metadata import version

    return version("gradio")


def problems_of(config: Any) -> list[str]:
    """All that is wrong with the command line."""
    found = [f"{key}: no such key; there are {', '.join(KEYS)}" for key in map(str, config) if key not in KEYS]
    if config.ckpt is None:
        found.append("ckpt: give a checkpoint, an exported folder, an MLflow run id or models:/NAME@ALIAS: python app.py ckpt=...")
    if config.backend not in BACKENDS:
        found.append(f"backend={config.backend}: must be one of {', '.join(BACKENDS)}")
    if config.backend == "vllm" and config.against not in (None, "untuned"):
        found.append("against: one vLLM server holds one model and its base; take backend=transformers to compare with another")
    if config.backend == "endpoint" and not config.served_model:
        found.append("served_model: what does the endpoint call the model? set served_model=...")
    for key, lowest, highest in (
        ("temperature", 0, 2),
        ("earlier", 0, 20),
        ("longest", 1, 20_000),
        ("waiting", 1, 10_000),
        ("port", 0, 65_535),
    ):
        if not isinstance(config[key], int | float) or not lowest <= config[key] <= highest:
            found.append(f"{key}={config[key]}: must be a number from {lowest} to {highest}")
    return found


def run(config: Any) -> None:
    """Load, then serve until it is stopped."""
    import gradio as gr

    if config.catalogue:
        read_products(Path(config.catalogue))  # a wrong one is told before a model is loaded
    models, module = assistants(config)
    products = catalogue_of(config, module)
    if config.space is not None:
        from architectures.backends import exported_of

        exported = exported_of(module, locate(config.ckpt, Path(config.outputs)), Path(config.outputs) / "exports" / "app")
        write_space(module, exported, products, Path(config.space))
        log.info("written to %s; push it to a Space", config.space)
        return
    Path(config.outputs).mkdir(parents=True, exist_ok=True)
    blocks = page(models, products, config)
    blocks.launch(server_name=config.host, server_port=config.port or None, share=config.share, css=CSS, theme=gr.themes.Soft(),
                  show_error=True, quiet=False, max_file_size=0, footer_links=[], enable_monitoring=False)  # fmt: skip


def main() -> None:
    """The command line; a user's mistake is one message and status 1."""
    import hydra
    from omegaconf import DictConfig

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("httpx", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)

    @hydra.main(config_path="config", config_name="app", version_base="1.3")
    def start(config: DictConfig) -> None:
        try:
            problems = problems_of(config)
            if problems:
                raise ValueError("\n  ".join(problems))
            run(config)
        except ImportError as error:
            sys.exit(f"error: {error.name} is not installed: pip install -r requirements-ui.txt")
        except (ValueError, OSError) as error:  # the second: the port is taken, the disk is full
            sys.exit(f"error: {error}")

    start()


if __name__ == "__main__":
    main()
