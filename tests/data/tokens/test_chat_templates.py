"""Tokenizers and templates as models have them: what is missing is refused or left out, dates are fixed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data.tokens.cache import write_examples
from data.tokens.display import show_tokens
from data.tokens.prompts import Renderer
from tests.conftest import POCKET

CHATML = (
    "{{- '<|im_start|>system\nToday is ' ~ strftime_now('%Y-%m-%d %H:%M') ~ '<|im_end|>\n' -}}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM_IN_LAST_TURN = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] "
    "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n"
    "{% endif %}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "So."},
]


@pytest.fixture
def base(tmp_path: Path) -> Callable[..., str]:
    """A copy of the embedded model's tokenizer with changes."""

    def made(template: str = "", without: str = "", token: int = 0) -> str:
        folder = tmp_path / "base"
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(POCKET / name, folder / name)
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text())
        if without:
            del config[without]
        if template:
            config["chat_template"] = template
        path.write_text(json.dumps(config))
        rules = json.loads((folder / "tokenizer.json").read_text())
        if template:  # no turn tokens, so that the template counts
            text = (
                json.dumps(rules)
                .replace("<start_of_turn>", "<|im_start|>")
                .replace("<end_of_turn>", "<|im_end|>")
            )
            rules = json.loads(text)
            path.write_text(
                path.read_text()
                .replace("<start_of_turn>", "<|im_start|>")
                .replace("<end_of_turn>", "<|im_end|>")
            )
        if token:
            rules["added_tokens"].append({**rules["added_tokens"][0], "id": token, "content": "<extra>"})
        (folder / "tokenizer.json").write_text(json.dumps(rules))
        return str(folder)

    return made


def test_a_tokenizer_without_an_end_of_text_token_is_refused(base: Callable[..., str]) -> None:
    with pytest.raises(
        ValueError, match=r"names no end-of-text token.*set eos_token in its tokenizer_config"
    ):
        _ = Renderer(base(without="eos_token")).tokenizer


def test_a_tokenizer_without_a_begin_token_gets_none(base: Callable[..., str]) -> None:
    renderer = Renderer(base(without="bos_token"))
    prompt, answer = renderer.texts("", "Why?", "So.")
    assert prompt == "<start_of_turn>user\nWhy?<end_of_turn> <start_of_turn>model\n"
    assert "None" not in prompt + answer


def test_a_token_without_an_embedding_is_refused(base: Callable[..., str], tmp_path: Path) -> None:
    rows = json.loads((POCKET / "config.json").read_text())["vocab_size"]
    renderer = Renderer(base(token=rows))
    examples = [renderer.render("", "Why?", "An <extra> word.")]
    with pytest.raises(ValueError, match=f"has the id {rows}, and the embedding .* has {rows} rows"):
        write_examples([examples], tmp_path / "rows.pt", 64, renderer)


def test_a_template_gets_the_same_date_every_day(base: Callable[..., str]) -> None:
    renderer = Renderer(base(CHATML))
    prompt, _ = renderer.texts("", "Why?", None)
    assert "Today is 2024-07-26 00:00" in prompt
    assert "strftime_now" not in renderer.chat_template  # nor does a server ask for it
    assert "2024-07-26 00:00" in renderer.chat_template


def test_a_system_turn_that_moves_stands_before_the_first_question(base: Callable[..., str]) -> None:
    renderer = Renderer(base(SYSTEM_IN_LAST_TURN))
    assert not renderer.knows_system
    (example,) = renderer.render_conversations([MESSAGES])
    assert renderer.tokenizer.decode(example.ids).startswith("[INST] Be brief.\n\nWhy?[/INST] So.")
    prompt = renderer.render_conversations([MESSAGES[:2]])[0].ids
    assert example.ids[: example.prompt_length] == prompt


def test_letters_of_several_tokens_are_shown_whole() -> None:
    renderer = Renderer(str(POCKET))
    shown = show_tokens(renderer.tokenizer, renderer.render("", "Größe?", "名称 ½ é"))
    assert "\ufffd" not in shown
    assert all(letter in shown for letter in "ßö名称½é")
