"""One `render()` for training, prediction and chat: a conversation turn -> token ids and answer mask.

    ids     <bos> <start_of_turn> user \\n Context ... ? <end_of_turn> \\s <start_of_turn> model \\n The ... <end_of_turn> <eos>
    answer    0         0          0   0    0       0       0        0         0           0    0  1   1       1          1

Prompt and answer are tokenised apart and the mask is made by length: text is never searched, and padding is never looked at.
Models with Gemma's turn tokens get the published format; every other model gets its own chat template.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

START, END = "<start_of_turn>", "<end_of_turn>"
FIXED = {"enable_thinking": False, "date_string": "26 Jul 2024"}  # what templates ask for, so that a prompt is the same every day
AT_ONCE = 4096  # texts that the tokenizer takes at a time


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt with (or, for prediction, without) its answer; ``prompt_length`` ids are not trained."""

    ids: list[int]
    prompt_length: int

    @property
    def mask(self) -> list[int]:
        """1 for each id that is trained, else 0; as long as ``ids``."""
        return [0] * self.prompt_length + [1] * (len(self.ids) - self.prompt_length)


class Renderer:
    """Renders turns with the tokenizer of one model, loaded from ``base`` (a folder or a Hub name)."""

    def __init__(self, base: str) -> None:
        self.base = base

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer. Raises ValueError, saying how to mend it, if there is none."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.base)
        except (OSError, ValueError) as error:
            where = "that folder" if Path(self.base).is_dir() else "the Hub's cache, and the Hub cannot be reached"
            raise ValueError(
                f"no tokenizer for model.base={self.base} in {where}: download the model first, or set model.base to a folder"
                f" ({str(error).splitlines()[0]})"
            ) from None

    @cached_property
    def turns(self) -> bool:
        """Whether the tokenizer has Gemma's turn tokens as single tokens."""
        vocabulary = self.tokenizer.get_vocab()
        return START in vocabulary and END in vocabulary

    @cached_property
    def template(self) -> str:
        """What this renderer does, for cache keys: the format's version and the tokenizer's own template."""
        return f"published-1 {START}" if self.turns else f"chat-1 {self.tokenizer.chat_template}"

    @cached_property
    def special(self) -> list[str]:
        """Strings that the tokenizer would read as control tokens, longest first."""
        return sorted({*self.tokenizer.all_special_tokens, *([START, END] if self.turns else [])}, key=len, reverse=True)

    def harmless(self, text: str) -> str:
        """Text from a table or a visitor with control tokens broken up, so that it cannot close a turn or open one."""
        for token in self.special:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def user(self, context: str, question: str) -> str:
        """The user's turn; ``context`` is empty for text that is not about a shop."""
        return f" Context:{self.harmless(context)}\n{self.harmless(question)}" if context else self.harmless(question)

    def texts(self, context: str, question: str, answer: str | None) -> tuple[str, str]:
        """(prompt, answer) as text with control tokens; the answer is '' for a prediction.

        Raises ValueError if the model's chat template does not put an answer after its own generation prompt.
        """
        user = self.user(context, question)
        told = None if answer is None else self.harmless(answer)
        if self.turns:
            prompt = f"{self.tokenizer.bos_token}{START}user\n{user}{END} {START}model\n"
            return prompt, "" if told is None else f"{told}\n{END}{self.tokenizer.eos_token}"
        if not self.tokenizer.chat_template:
            raise ValueError(f"model.base={self.base} has no chat template: choose the instruction-tuned (-it, -instruct) model")
        messages = [{"role": "user", "content": user}]
        apply = self.tokenizer.apply_chat_template
        prompt = apply(messages, tokenize=False, add_generation_prompt=True, **FIXED)
        bos = self.tokenizer.bos_token
        lead = bos if bos and self.begins_with_bos and not prompt.startswith(bos) else ""
        if told is None:
            return lead + prompt, ""
        whole = apply([*messages, {"role": "assistant", "content": told}], tokenize=False, **FIXED)
        if not whole.startswith(prompt):
            raise ValueError(f"the chat template of {self.base} rewrites a prompt once it is answered: training on it is not sound")
        tail = whole[len(prompt) :]
        eos = self.tokenizer.eos_token
        return lead + prompt, tail if tail.rstrip().endswith(eos) else tail + eos

    @cached_property
    def begins_with_bos(self) -> bool:
        """Whether the tokenizer itself would begin a text with BOS."""
        return self.tokenizer("a").input_ids[:1] == [self.tokenizer.bos_token_id]

    def render(self, context: str, question: str, answer: str | None) -> Example:
        """One turn -> ids and mask; without an answer, the prompt that prediction and chat send."""
        return self.render_all([context], [question], [answer])[0]

    def render_all(self, contexts: list[str], questions: list[str], answers: list[str | None]) -> list[Example]:
        """`render()` of many turns at once; the tokenizer works through them in parallel."""
        texts = [self.texts(*turn) for turn in zip(contexts, questions, answers, strict=True)]
        prompts = self.encode([prompt for prompt, _ in texts])
        replies = self.encode([reply for _, reply in texts])
        return [Example(p + r, len(p)) for p, r in zip(prompts, replies, strict=True)]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Texts whose control tokens are meant -> ids, nothing added."""
        parts = (texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE))
        return [ids for part in parts for ids in self.tokenizer(part, add_special_tokens=False).input_ids]

    @cached_property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer: EOS, and whatever control token the format itself puts after an answer."""
        _, tail = self.texts("", "a", "b")
        control = set(self.tokenizer.all_special_ids) | set(self.encode([END])[0] if self.turns else [])
        return sorted({i for i in self.encode([tail])[0] if i in control} | {self.tokenizer.eos_token_id})

    def decode(self, ids: list[int]) -> str:
        """Answer ids -> text without control tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def show(self, example: Example) -> str:
        """One example as the model sees it, for a terminal: what is not trained is dimmed, a bar after each token."""
        pieces = [self.tokenizer.decode([i]).replace("\n", "\\n\n") for i in example.ids]
        dimmed = [f"\033[2m{piece}\033[0m" if not kept else piece for piece, kept in zip(pieces, example.mask, strict=True)]
        return "\033[2m|\033[0m".join(dimmed)
