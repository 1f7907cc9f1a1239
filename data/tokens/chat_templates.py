"""Chat templates and the tokenizers that carry them: what is fixed in them, what they may lack, and the turns
that they are given.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

START, END = "<start_of_turn>", "<end_of_turn>"

Tokenizer = Any  # a tokenizer of transformers: its class depends on the base
Message = dict[str, str]  # role (system, user, assistant) and content

Turns = Sequence[tuple[str, str]]  # earlier questions and answers
Segment = tuple[str, bool]  # text with control tokens, and whether it is trained

THINKING, THINKING_END = "enable_thinking", "</think>"  # what templates ask for; what ends the reasoning
TODAY = datetime(2024, 7, 26)  # for templates that ask for the date, so that a prompt is the same every day


def _fixed_time(form: str) -> str:
    """The date and time that a template gets instead of now."""
    return TODAY.strftime(form)


# What chat templates ask for.
TEMPLATE_VARIABLES: dict[str, str | Callable[[str], str]] = {
    "date_string": _fixed_time("%d %b %Y"),
    "strftime_now": _fixed_time,
}

PUBLISHED_TEMPLATE = """{%- set said = messages[0].content ~ '\n\n' if messages[0].role == 'system' else '' -%}
{%- set turns = messages[1:] if said else messages -%}
{%- for message in turns -%}
{%- if message.role == 'user' -%}
{{ (bos_token ~ '' if loop.first else ' ') ~ '<start_of_turn>user\n' ~ (said if loop.first else '') ~ message.content -}}
{{ '<end_of_turn> <start_of_turn>model\n' }}
{%- else -%}
{{ message.content ~ '\n<end_of_turn>' }}
{%- endif -%}
{%- endfor -%}"""  # noqa: E501 Renderer.published() as a template


def with_fixed_date(template: str) -> str:
    """A template that asks for no date: a server, too, makes the same prompt every day."""
    call = r"""strftime_now\(\s*(['"])(.*?)\1\s*\)"""
    return re.sub(call, lambda match: repr(_fixed_time(match.group(2))), template)


def with_thinking(template: str, thinking: bool) -> str:
    """A template that says itself whether the model reasons, where it lets one choose: a server, too, makes
    the prompts of training. Raises ValueError if reasoning is set and the template knows none.
    """
    if THINKING in template:
        return f"{{%- set {THINKING} = {str(thinking).lower()} -%}}{template}"
    if thinking:
        raise ValueError(
            f"data.thinking=true: the chat template of this model has no {THINKING}; choose another model"
        )
    return template


def load_tokenizer(base: str) -> Tokenizer:
    """The tokenizer of a model in a folder or on the Hub. Raises ValueError if there is none, or it names no
    end-of-text token, which every answer is trained to end with.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        where = "that folder" if Path(base).is_dir() else "the Hub's cache, and the Hub cannot be reached"
        raise ValueError(
            f"no tokenizer for model.base={base} in {where}: download the model first, or"
            f" set model.base to a folder"
            f" ({str(error).splitlines()[0]})"
        ) from None
    if tokenizer.eos_token is None:
        raise ValueError(
            f"the tokenizer of model.base={base} names no end-of-text token, so no answer could end: set"
            " eos_token in its tokenizer_config.json"
        )
    return tokenizer


@lru_cache
def _embedding_rows(base: str) -> int:
    """Rows of a model's token embedding; 0 where there is no configuration to tell it."""
    from transformers import AutoConfig

    try:
        return int(AutoConfig.from_pretrained(base).get_text_config().vocab_size)
    except (OSError, ValueError, AttributeError):
        return 0


def check_embedded(tokenizer: Tokenizer, base: str, largest: int) -> None:
    """Raises ValueError if a token id is beyond the rows of the model's embedding."""
    rows = _embedding_rows(base)
    if rows and largest >= rows:
        token = tokenizer.convert_ids_to_tokens(largest)
        raise ValueError(
            f"the token {token!r} has the id {largest}, and the embedding of model.base={base} has"
            f" {rows} rows: the tokenizer is of another model, or tokens were added to it alone"
        )


def without_answers(rows: list[list[Segment]], left_out: list[int]) -> list[list[Segment]]:
    """The rows of a conversation (one, or one for each answer) with some answers not trained."""
    if not left_out:
        return rows
    if len(rows) > 1:
        return [row for number, row in enumerate(rows) if number not in left_out]
    row, number = [], 0
    for text, trained in rows[0]:
        row.append((text, trained and number not in left_out))
        number += trained
    return [row]


def without_system(messages: list[Message]) -> list[Message]:
    """System turns put before the first user turn's text, for models that know none."""
    said = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [m for m in messages if m["role"] != "system"]
    if not said:
        return rest
    return [{"role": rest[0]["role"], "content": f"{said}\n\n{rest[0]['content']}"}, *rest[1:]]


def published(messages: list[Message], tokenizer: Tokenizer) -> list[Segment]:
    """A conversation in the published format, with Gemma's turn tokens; it ends with EOS."""
    found: list[Segment] = []
    prompt = tokenizer.bos_token or ""
    for message in messages:
        if message["role"] == "user":
            found.append((f"{prompt}{START}user\n{message['content']}{END} {START}model\n", False))
        else:
            found.append((f"{message['content']}\n{END}", True))
            prompt = " "
    if found[-1][1]:
        found[-1] = (f"{found[-1][0]}{tokenizer.eos_token}", True)
    return found


def _in_context(context: str, question: str) -> str:
    """What a user's turn says: the question after its context, if it has one."""
    return f" Context:{context}\n{question}" if context else question


def asked_messages(context: str, question: str, earlier: Turns = ()) -> list[Message]:
    """The turns of a question and of those before it, each in its context. The rows of a catalogue, which are
    the lines of a context after its first, stand before the last question alone.
    """
    messages: list[Message] = []
    plain = context.split("\n", 1)[0]
    for past, answer in earlier:
        messages.append({"role": "user", "content": _in_context(plain, past)})
        messages.append({"role": "assistant", "content": answer})
    return [*messages, {"role": "user", "content": _in_context(context, question)}]
