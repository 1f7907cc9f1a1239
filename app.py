"""python app.py ckpt=<checkpoint | exported folder | MLflow run | models:/NAME@ALIAS>: a chat page.

Answers stream; every product that one names is looked up in the catalogue, and an invented one is marked.
`page=runs` is a page that starts runs; `space=` and `deploy=` write what serves a model elsewhere.
"""

import html
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

import architectures
from data.catalogue.versions import PRODUCTS
from data.modules.products_file import products_file
from data.questions import grounded_prompts
from data.questions.phrases import CONTEXT
from data.reports.chat_examples import example_questions
from data.reports.product_cards import CSS, BesideAnswer, CatalogueCards, read_products
from data.tokens.prompts import Renderer
from data.values import Json, JsonObject

if TYPE_CHECKING:  # Gradio takes seconds to import, and a mistake on the command line is reported at once
    import gradio as gr

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
RANGES = {"temperature": (0, 2), "earlier": (0, architectures.MAX_EARLIER), "port": (0, 65_535)}
RANGES |= {"longest": (1, 20_000), "waiting": (1, 10_000)}
TITLE = "Virtual Retail Assistant"
INTRODUCTION = "An answer is a model's: what it says of a product is compared with the catalogue."
Turns = list[JsonObject]  # role and content, as a chat page holds them


def load(ckpt: str, outputs: Path) -> "tuple[architectures.FineTuned, Path]":
    """(a model that answers questions, its exported folder). Raises ValueError if there is none."""
    path = architectures.locate(ckpt, outputs)
    module = architectures.load_answering_model(path, ("retail",))
    return module, architectures.exported_folder(module, path, outputs / "exports" / "app")


def page_name(ckpt: str) -> str:
    """A model's name on the page: of an exported one that of its run."""
    return Path(ckpt).parent.name if Path(ckpt).name == "model" and Path(ckpt).parent.name else ckpt


def assistants(config: DictConfig) -> "tuple[list[architectures.Assistant], architectures.FineTuned]":
    """(the models of ``ckpt`` and ``against``, the first one's module). Raises ValueError if one fails."""
    outputs = Path(config.outputs)
    module, exported = load(config.ckpt, outputs)
    models = [architectures.ChatModel(module, exported, page_name(config.ckpt))]
    if config.against == "untuned":
        if not architectures.has_adapter(module.net):
            raise ValueError(f"against=untuned: ckpt={config.ckpt} has no adapter that could be disabled")
        untuned = architectures.ChatModel(module, exported, "untuned", untuned=True)
        models = [architectures.ChatModel(module, exported, "tuned"), untuned]
    elif config.against is not None:
        models.append(architectures.ChatModel(*load(config.against, outputs), page_name(config.against)))
    backend = "transformers" if config.space else config.backend
    settings = architectures.ChatSettings(backend, config.vllm_python, config.served_model, outputs)

    def renderer(model: "architectures.FineTuned") -> Renderer:
        base = architectures.resolve_base(model.model_settings["base"])
        return grounded_prompts.renderer_of(base, model.origin, lambda: catalogue_path(config, module))

    return architectures.build_assistants(models, settings, renderer), module


def catalogue_path(config: DictConfig, module: "architectures.FineTuned") -> Path:
    """The file of the products to look answers up in: as set, beside the model, or of its training data."""
    base, cache = architectures.resolve_base(module.model_settings["base"]), Path(config.outputs) / "cache"
    return products_file(config.catalogue, Path(config.ckpt), module.origin, base, cache)


def reply_function(
    models: "list[architectures.Assistant]",
    shop: CatalogueCards,
    categories: list[str],
    feedback: "architectures.FeedbackFile",
    longest: int,
) -> Callable[..., Iterator[list[object]]]:
    """What the page calls with a question: streams (the emptied question box, chats, cards)."""
    import gradio as gr

    def reply(
        question: str, category: str, temperature: float, top_p: float, earlier: float, *chats: Turns
    ) -> Iterator[list[object]]:
        text = question.strip()[:longest]
        if not text:
            raise gr.Error("Please ask something.")
        context = f"{CONTEXT}{category}" if category in categories else ""
        asked = architectures.ChatQuestion(text, context, float(temperature), float(top_p), int(earlier))
        box: object = ""  # then left alone: what a visitor types while the answer comes stays

        def beside(model: "architectures.Assistant", answer: str) -> BesideAnswer:
            shown = shop.beside(answer, text, context)
            if shown.faults:
                feedback.add_faults(model, text, answer, shown.faults)
            return shown

        try:
            for turns, shown in architectures.reply(models, asked, [*chats], beside):
                yield [box, *turns, *shown]
                box = gr.skip()
        except ValueError as error:
            raise gr.Error(str(error)) from None

    return reply


def chat_column(
    model: "architectures.Assistant",
    feedback: "architectures.FeedbackFile",
    examples: list[Json],
) -> "tuple[gr.Chatbot, gr.HTML]":
    """(a conversation with one model, the cards of what it names); ``examples`` stand on the empty page."""
    import gradio as gr

    def store(turns: Turns, event: gr.LikeData) -> None:
        place = event.index if isinstance(event.index, int) else event.index[0]
        feedback.add_opinion(model, turns, int(place), event.liked)

    with gr.Column():
        gr.Markdown(f"**{html.escape(model.name)}**")
        chat = gr.Chatbot(label=model.name, show_label=False, render_markdown=False, height=420,
                          buttons=["copy"], elem_classes="chat", examples=examples)  # fmt: skip
        chat.like(store, chat, None)
        return chat, gr.HTML(label="Products", elem_classes="cards")


def controls(categories: list[str], config: DictConfig, reads_turns: bool) -> "list[gr.Component]":
    """What a visitor can set: category, temperature, top p, earlier turns."""
    import gradio as gr

    place = "" if reads_turns else categories[0]
    turns = int(reads_turns) if config.earlier is None else config.earlier
    how, likely = "share of the probability to sample from", "0: the most likely answer"
    with gr.Row():
        return [
            gr.Dropdown([("all of the shop", ""), *categories], value=place, label="Category of the shop"),
            gr.Slider(0, 2, config.temperature, step=0.1, label="Temperature", info=likely),
            gr.Slider(0.05, 1, 1, step=0.05, label="Top p", info=how),
            gr.Slider(*RANGES["earlier"], turns, step=1, label="Earlier turns", info="that the model sees"),
        ]


def page(models: "list[architectures.Assistant]", shop: CatalogueCards, config: DictConfig) -> "gr.Blocks":
    """The page: a conversation with each model, what they named, and what a visitor can set."""
    import gradio as gr

    def chosen_text(event: gr.SelectData) -> str:
        return str(event.value["text"] if isinstance(event.value, dict) else event.value)

    feedback = architectures.FeedbackFile(Path(config.outputs) / "feedback.jsonl")
    examples = [{"text": text} for text in example_questions(shop.products)]
    categories = shop.products["category"].value_counts(sort=True)["category"].to_list()
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {TITLE}\n{shop.products.height:,} products. {INTRODUCTION}")
        with gr.Row():
            chats, cards = zip(*[chat_column(model, feedback, examples) for model in models], strict=True)
        hint = "What kind of material is ... made of?"
        question = gr.Textbox(placeholder=hint, label="Question", max_length=config.longest, autofocus=True)
        with gr.Row():
            send, clear = gr.Button("Ask", variant="primary"), gr.Button("New conversation")
        inputs = [question, *controls(categories, config, models[0].renderer.reads_turns), *chats]
        outputs = [question, *chats, *cards]
        limits: JsonObject = {"concurrency_limit": 1, "concurrency_id": "model"}
        reply = reply_function(models, shop, categories, feedback, config.longest)
        events = [gr.on([send.click, question.submit], reply, inputs, outputs, api_name="ask", **limits)]
        for chat in chats:
            clicks = [chat.example_select, chat.option_select]
            chosen = gr.on(clicks, chosen_text, None, question, api_visibility="private")
            events.append(chosen.success(reply, inputs, outputs, api_visibility="private", **limits))
        empty = ["", *([[]] * len(models)), *([""] * len(models))]
        clear.click(lambda: empty, None, outputs, cancels=events, api_visibility="private")
    return blocks.queue(max_size=config.waiting)


def chat_page(config: DictConfig) -> "gr.Blocks":
    """The page of the models that the command line names."""
    models, module = assistants(config)
    images = Path(config.images or f"{config.outputs}/images/{module.origin['digest']}")
    return page(models, CatalogueCards(read_products(catalogue_path(config, module)), images), config)


def problems_of(config: DictConfig) -> list[str]:
    """All that is wrong with the command line."""
    problems = architectures.check_settings(config, OmegaConf.load(ROOT / "config/app.yaml"), {}, RANGES)
    problems += architectures.check_backend(config.backend, config.served_model)
    return problems + architectures.check_page(config)


def write_folder(config: DictConfig, outputs: Path) -> None:
    """Write a Space, or the merged model with the files that deploy it behind vLLM."""
    module, exported = load(config.ckpt, outputs)
    base, catalogue = module.model_settings["base"], catalogue_path(config, module)
    if config.space is not None:
        about = f"Base model: {base}. Catalogue: {read_products(catalogue).height:,} products."
        model = architectures.write_space(ROOT, Path(config.space), exported, TITLE, about)
    else:
        model = Path(config.deploy) / "model"
        text = architectures.ModelText(Renderer.of(architectures.resolve_base(base), module.origin).save)
        architectures.export_model(module, exported, "merged", str(model), outputs, text)
        architectures.write_deployment(model.parent, config.served_model or "strata")
    shutil.copy(catalogue, model / PRODUCTS)
    log.info("written to %s, with README.md", model.parent)


def run(config: DictConfig) -> None:
    """Load, then serve until it is stopped; or write a folder that others serve."""
    import gradio as gr

    outputs = Path(config.outputs)
    if config.catalogue:
        read_products(Path(config.catalogue))  # a wrong one is reported before a model is loaded
    if config.space is not None or config.deploy is not None:
        write_folder(config, outputs)
        return
    outputs.mkdir(parents=True, exist_ok=True)
    site = architectures.RunsSite(ROOT, outputs)
    blocks = architectures.runs_page(site, TITLE) if config.page == "runs" else chat_page(config)
    address = {"server_name": config.host, "server_port": config.port or None, "share": config.share}
    safety: JsonObject = {"show_error": True, "max_file_size": 0, "enable_monitoring": False}
    style: JsonObject = {"css": CSS, "theme": gr.themes.Soft(), "footer_links": [], "quiet": False}
    blocks.launch(**address, **safety, **style)


@hydra.main(config_path="config", config_name="app", version_base="1.3")
def start(config: DictConfig) -> None:
    """What Hydra calls; a user's mistake is one message and status 1."""
    try:
        architectures.report_problems(problems_of(config))
        run(config)
    except ImportError as error:
        sys.exit(f"error: {error.name} is not installed: pip install -r requirements/ui.txt")
    except (ValueError, OSError) as error:  # the second: the port is taken, the disk is full
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    architectures.configure_process()
    parse, known = OverridesParser.create().parse_override, OmegaConf.load(ROOT / "config/app.yaml")
    architectures.read_arguments(parse, known=known)
    start()
