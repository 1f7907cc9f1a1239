"""A classifier that is only told what to do: zero- or few-shot, by a local causal LM or behind an OpenAI-compatible endpoint.

The local model needs no parsing: each label is scored by the likelihood that the model answers it. What an endpoint answers is
cleaned, counted where it is no label, and kept in a file, so that a run that is stopped goes on where it was.
"""

import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from architectures import adapters
from architectures.asking import Asking, ask
from architectures.baselines import Baseline, decide
from architectures.kept import Kept

log = logging.getLogger(__name__)
LONGEST_ANSWER = 64  # tokens of an endpoint's answer
NONE = "none"  # what a model is to answer where no label applies
INSTRUCTION = "Give the last text one of these labels: {labels}. Answer with the label alone."
INSTRUCTION_SEVERAL = (
    "Give the last text all of these labels that apply: {labels}. Answer with them alone, ';' between them, or with 'none'."
)


class Prompted(Baseline):
    """Settings beside a baseline's own: backend (local, endpoint), served_model, shots, choice (fixed, nearest), concurrency,
    retries, input_price and output_price (per million tokens), answers (a file), batch_size, quantization, dtype, attention.
    """

    # --- the prompt: -------------------------------------------------------------------------------------------------

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Keep what examples are taken from, and the most frequent label, which an answer that is no label counts as."""
        given = self.one_hot(targets)
        names = [self.name_of(row) for row in given.long().tolist()]
        examples = list(zip(texts, names, strict=True)) if self.settings["shots"] else []
        if self.settings["shots"] and self.settings["choice"] == "fixed":
            examples = self.some_of_each(examples)
        default = decide(given.mean(0, keepdim=True), self.multi_label)[0]
        self.state = {
            "examples": [list(pair) for pair in examples],
            "default": default.tolist(),
            "unknown": 0,
            "tokens": [0, 0],
            "asked": 0,
        }

    def name_of(self, row: list[int]) -> str:
        """0 and 1 for each label -> what a model should answer."""
        return "; ".join(label for label, given in zip(self.labels, row, strict=True) if given) or NONE

    def some_of_each(self, examples: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """``shots`` examples of each answer, drawn by the seed, mixed."""
        draw = torch.Generator().manual_seed(self.settings["seed"])
        order = [examples[i] for i in torch.randperm(len(examples), generator=draw).tolist()]
        kept: dict[str, int] = {}
        chosen = []
        for text, name in order:
            kept[name] = kept.get(name, 0) + 1
            if kept[name] <= self.settings["shots"]:
                chosen.append((text, name))
        return chosen

    def examples_for(self, texts: list[str]) -> list[list[list[str]]]:
        """The examples that stand before each text: the same before all, or the nearest by TF-IDF, the nearest one last."""
        examples = self.state["examples"]
        if self.settings["choice"] == "fixed" or not examples:
            return [examples] * len(texts)
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True).fit([text for text, _ in examples])
        likeness = vectorizer.transform(texts) @ vectorizer.transform([text for text, _ in examples]).T
        count = min(self.settings["shots"] * len(self.labels), len(examples))
        order = [row.toarray()[0].argsort(kind="stable")[-count:] for row in likeness]
        return [[examples[i] for i in nearest] for nearest in order]

    def prompts(self, texts: list[str]) -> list[str]:
        """One user turn a text: what to do, examples, the text."""
        instruction = (INSTRUCTION_SEVERAL if self.multi_label else INSTRUCTION).format(labels=", ".join(self.labels))
        made = []
        for text, examples in zip(texts, self.examples_for(texts), strict=True):
            shown = [f"Text: {self.shorten(one)}\nLabel: {name}" for one, name in examples]
            made.append("\n\n".join([instruction, *shown, f"Text: {self.shorten(text)}\nLabel:"]))
        return made

    def shorten(self, text: str) -> str:
        """A text of at most so many words as a model of this task reads tokens."""
        words = text.split(" ")
        return text if len(words) <= self.settings["max_seq_length"] else " ".join(words[: self.settings["max_seq_length"]])

    def predict_proba(self, texts: list[str]) -> Tensor:
        """From the likelihood of each label, or 1 for what the endpoint answered."""
        if self.settings["backend"] == "local":
            return self.score(self.prompts(texts))
        return torch.tensor([self.parse(answer) for answer in self.ask(self.prompts(texts))], dtype=torch.float32)

    def explain(self) -> str:
        """What was asked, what it cost, what could not be read."""
        if self.settings["backend"] == "local":
            return ""
        read, written = self.state["tokens"]
        cost = (read * self.settings["input_price"] + written * self.settings["output_price"]) / 1e6
        used = f"{self.state['asked']} requests, {read:,} tokens read, {written:,} written, cost {cost:.4f}"
        return f"{used}; {self.state['unknown']} answers were no label and count as {self.name_of(self.state['default'])}"

    # --- a local causal LM: ------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def score(self, prompts: list[str]) -> Tensor:
        """Log likelihood of each label as the whole answer -> probabilities. (rows, labels)"""
        from transformers import AutoTokenizer

        s = self.settings
        net: Any = adapters.load_base(s["base"], "pretrained", s["dtype"], s["quantization"], s["attention"]).eval()
        net.to("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = AutoTokenizer.from_pretrained(adapters.base_path(s["base"]))
        names = [*self.labels, *([NONE] if self.multi_label else [])]
        rows = [self.pairs(tokenizer, prompt, names) for prompt in prompts]
        found = torch.zeros(len(prompts), len(names))
        size = max(1, s["batch_size"] // len(names))
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0][0]))
        for start in range(0, len(order), size):
            some = order[start : start + size]
            found[some] = likelihood(net, [pair for i in some for pair in rows[i]]).view(len(some), len(names))
            self.advance(len(some))
        if self.multi_label:
            return (found[:, :-1] - found[:, -1:]).sigmoid()
        return found.softmax(1)

    def pairs(self, tokenizer: Any, prompt: str, names: list[str]) -> list[tuple[list[int], list[int]]]:
        """(prompt ids, answer ids) for each label, in the model's chat format where it has one."""
        ending = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        if not tokenizer.chat_template:
            start = tokenizer(prompt)["input_ids"]
            return [(start, tokenizer(f" {name}", add_special_tokens=False)["input_ids"] + ending) for name in names]
        turn = [{"role": "user", "content": prompt}]
        start = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
        wholes = [tokenizer.apply_chat_template([*turn, {"role": "assistant", "content": name}], return_dict=False) for name in names]
        return [(start, whole[len(start) :]) for whole in wholes]

    # --- an endpoint: ------------------------------------------------------------------------------------------------

    def ask(self, prompts: list[str]) -> list[str]:
        """The endpoint's answers; those that are there already are not asked for again.

        Base URL and key come from OPENAI_BASE_URL and OPENAI_API_KEY; the client retries with exponential back-off. Raises
        ValueError if requests fail all the same; what was answered is kept.
        """
        how = Asking(self.settings["served_model"], 0.0, LONGEST_ANSWER, self.settings["concurrency"], self.settings["retries"])
        kept = Kept(Path(self.settings["answers"]))
        told = ask([[{"role": "user", "content": prompt}] for prompt in prompts], how, kept, self.advance)
        read, written = self.state["tokens"]
        self.state["tokens"] = [read + told.read, written + told.written]
        failures = told.failures + told.refused
        self.state["asked"] += told.asked - len(failures)
        if failures:
            failed = f"{len(failures)} of {told.asked} requests failed ({failures[0]})"
            raise ValueError(f"{failed}; run again: what was answered is kept in {kept.path}")
        return [str(answer) for answer in told.answers]

    def parse(self, answer: str) -> list[int]:
        """An answer -> 0 and 1 for each label; quotes, case, 'Label:' and a full stop do not matter; no label: the default."""
        place = {plain(label): i for i, label in enumerate(self.labels)}
        parts = [plain(part) for part in (answer.split(";") if self.multi_label else [answer])]
        found = [place[part] for part in parts if part in place]
        if not found and not (self.multi_label and parts == [NONE]):
            self.state["unknown"] += 1
            return list(self.state["default"])
        return [int(i in found) for i in range(len(self.labels))]


def plain(answer: str) -> str:
    """'Label: "Computer-Vision".' -> 'computer-vision'"""
    return re.sub(r"^\s*label\s*:", "", answer.strip().lower()).strip(" \t\n\"'`*.")


def likelihood(net: Any, pairs: list[tuple[list[int], list[int]]]) -> Tensor:
    """Log probability of each pair's second part after its first. (pairs,), on the CPU"""
    lengths = [len(a) + len(b) for a, b in pairs]
    ids = torch.tensor([i for a, b in pairs for i in a + b], device=net.device)
    positions = torch.cat([torch.arange(length) for length in lengths]).to(net.device)
    answer = torch.tensor([i >= len(a) for a, b in pairs for i in range(len(a) + len(b))], device=net.device).nonzero().flatten()
    hidden = adapters.hidden_states(net, ids, positions, lengths)[answer - 1]  # (answer tokens, width)
    weight, bias, cap = adapters.head_of(net)
    logits = functional.linear(hidden, weight, bias).float()
    logits = cap * torch.tanh(logits / cap) if cap else logits
    each = functional.log_softmax(logits, 1).gather(1, ids[answer][:, None])[:, 0]
    numbers = torch.repeat_interleave(torch.tensor([len(b) for _, b in pairs]))
    return torch.zeros(len(pairs)).index_add_(0, numbers, each.float().cpu())
