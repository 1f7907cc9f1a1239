"""A classifier that only gets instructions: zero- or few-shot, by a local causal LM or an OpenAI-compatible
endpoint.

The local model needs no parsing: each label is scored by the likelihood that the model answers it. An
endpoint's answers are normalised, counted where they are no label, and cached, so that an interrupted run
continues.
"""

import re
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from architectures.baselines.base import Baseline, Progress, no_progress
from architectures.inference.answer_cache import AnswerCache
from architectures.inference.chat_client import Message, RequestSettings, request_all
from architectures.models import bases, batch_layout, loading
from architectures.models.thresholds import decide
from architectures.values import Net, Tokenizer

MAX_ANSWER_TOKENS = 64  # of an endpoint
NONE = "none"  # the answer where no label applies
INSTRUCTION = "Give the last text one of these labels: {labels}. Answer with the label alone."
INSTRUCTION_SEVERAL = (
    "Give the last text all of these labels that apply: {labels}. Answer with them alone, ';'"
    " between them, or with"
    " 'none'."
)
Ids = list[int]


class Prompted(Baseline):
    """Settings beside a baseline's own: the configuration group `prompting`, and max_seq_length, batch_size,
    quantization, dtype, attention, answers (a file).
    """

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Keep what examples are drawn from, and the most frequent label, which stands for an answer that
        is no label.
        """
        given = self.one_hot(targets)
        names = [self.answer_for(row) for row in given.long().tolist()]
        examples = list(zip(texts, names, strict=True)) if self.settings["shots"] else []
        if self.settings["shots"] and self.settings["choice"] == "fixed":
            examples = self.draw_examples(examples)
        default = decide(given.mean(0, keepdim=True), self.multi_label)[0]
        self.state = {
            "examples": [list(pair) for pair in examples],
            "default": default.tolist(),
            "unknown": 0,
            "tokens": [0, 0],
            "requests": 0,
        }

    def answer_for(self, row: list[int]) -> str:
        """0 and 1 for each label -> the answer that a model should give."""
        names = [label for label, given in zip(self.labels, row, strict=True) if given]
        return "; ".join(names) or NONE

    def draw_examples(self, examples: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """``shots`` examples of each answer, drawn by the seed, mixed."""
        generator = torch.Generator().manual_seed(self.settings["seed"])
        order = torch.randperm(len(examples), generator=generator).tolist()
        counts: dict[str, int] = {}
        drawn = []
        for place in order:
            text, answer = examples[place]
            counts[answer] = counts.get(answer, 0) + 1
            if counts[answer] <= self.settings["shots"]:
                drawn.append((text, answer))
        return drawn

    def examples_for(self, texts: list[str]) -> list[list[list[str]]]:
        """The examples before each text: the same before all, or the most similar by TF-IDF, the nearest
        last.
        """
        examples = self.state["examples"]
        if self.settings["choice"] == "fixed" or not examples:
            return [examples] * len(texts)
        from sklearn.feature_extraction.text import TfidfVectorizer

        known = [text for text, _ in examples]
        vectorizer = TfidfVectorizer(sublinear_tf=True).fit(known)
        similarity = vectorizer.transform(texts) @ vectorizer.transform(known).T
        count = min(self.settings["shots"] * len(self.labels), len(examples))
        places = [row.toarray()[0].argsort(kind="stable")[-count:] for row in similarity]
        rows = []
        for nearest in places:
            rows.append([examples[place] for place in nearest])
        return rows

    def prompts(self, texts: list[str]) -> list[str]:
        """One user turn a text: the instruction, examples, the text."""
        template = INSTRUCTION_SEVERAL if self.multi_label else INSTRUCTION
        instruction = template.format(labels=", ".join(self.labels))
        prompts = []
        for text, examples in zip(texts, self.examples_for(texts), strict=True):
            shots = [f"Text: {self.shorten(example)}\nLabel: {answer}" for example, answer in examples]
            prompts.append("\n\n".join([instruction, *shots, f"Text: {self.shorten(text)}\nLabel:"]))
        return prompts

    def shorten(self, text: str) -> str:
        """A text of at most ``max_seq_length`` words."""
        return " ".join(text.split(" ")[: self.settings["max_seq_length"]])

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """From the likelihood of each label, or 1 for what the endpoint answered."""
        prompts = self.prompts(texts)
        if self.settings["backend"] == "local":
            return self.score(prompts, progress)
        rows = [self.parse(answer) for answer in self.request(prompts, progress)]
        return torch.tensor(rows, dtype=torch.float32)

    def explain(self) -> str:
        """Requests, their cost, and the answers that were no label."""
        if self.settings["backend"] == "local":
            return ""
        read, written = self.state["tokens"]
        cost = (read * self.settings["input_price"] + written * self.settings["output_price"]) / 1e6
        usage = (
            f"{self.state['requests']} requests, {read:,} input tokens, {written:,} output tokens, cost"
            f" {cost:.4f}"
        )
        default = self.answer_for(self.state["default"])
        return f"{usage}; {self.state['unknown']} answers were no label and count as {default}"

    @torch.inference_mode()
    def score(self, prompts: list[str], progress: Progress) -> Tensor:
        """Log likelihood of each label as the whole answer -> probabilities. (rows, labels)"""
        from transformers import AutoTokenizer

        s = self.settings
        base = loading.BaseSettings(
            s["base"], dtype=s["dtype"], quantization=s["quantization"], attention=s["attention"]
        )
        net: Net = loading.load_base(base).eval()
        net.to("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = AutoTokenizer.from_pretrained(bases.resolve_base(s["base"]))
        on_end = batch_layout.keeps_documents_apart(net)
        names = [*self.labels, NONE] if self.multi_label else self.labels
        rows = [_answer_pairs(tokenizer, prompt, names) for prompt in prompts]
        scores = torch.zeros(len(prompts), len(names))
        size = max(1, s["batch_size"] // len(names))
        order = sorted(range(len(rows)), key=lambda place: len(rows[place][0][0]))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            pairs = [pair for place in places for pair in rows[place]]
            scores[places] = answer_log_likelihood(net, pairs, on_end).view(len(places), len(names))
            progress(len(places))
        if self.multi_label:
            return (scores[:, :-1] - scores[:, -1:]).sigmoid()
        return scores.softmax(1)

    def request(self, prompts: list[str], progress: Progress) -> list[str]:
        """The endpoint's answers; those in the cache are not requested again.

        Raises ValueError if requests fail after all retries; the answers so far are cached.
        """
        s = self.settings
        how = RequestSettings(s["served_model"], 0.0, MAX_ANSWER_TOKENS, s["concurrency"], s["retries"])
        cache = AnswerCache(Path(s["answers"]))
        requests: list[list[Message]] = [[{"role": "user", "content": prompt}] for prompt in prompts]
        results = request_all(requests, how, cache, progress)
        read, written = self.state["tokens"]
        self.state["tokens"] = [read + results.input_tokens, written + results.output_tokens]
        failures = results.failures + results.rejected
        self.state["requests"] += results.requests - len(failures)
        if failures:
            failed = f"{len(failures)} of {results.requests} requests failed ({failures[0]})"
            raise ValueError(
                f"{failed}; run the command again: the answers so far are cached in {cache.path}"
            )
        return [str(answer) for answer in results.answers]

    def parse(self, answer: str) -> list[int]:
        """An answer -> 0 and 1 for each label, whatever its quotes, case, 'Label:' or full stop; no label:
        the default.
        """
        place = {normalise_label(label): i for i, label in enumerate(self.labels)}
        parts = answer.split(";") if self.multi_label else [answer]
        names = [normalise_label(part) for part in parts]
        known = [place[name] for name in names if name in place]
        if not known and not (self.multi_label and names == [NONE]):
            self.state["unknown"] += 1
            return list(self.state["default"])
        return [int(i in known) for i in range(len(self.labels))]


def _answer_pairs(tokenizer: Tokenizer, prompt: str, names: list[str]) -> list[tuple[Ids, Ids]]:
    """(prompt ids, answer ids) for each label, in the model's chat format where it has one."""
    if not tokenizer.chat_template:
        start = tokenizer(prompt)["input_ids"]
        ending = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        answers = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"] for name in names]
        return [(start, answer + ending) for answer in answers]
    question = {"role": "user", "content": prompt}
    start = tokenizer.apply_chat_template([question], add_generation_prompt=True, return_dict=False)
    pairs = []
    for name in names:
        answer = {"role": "assistant", "content": name}
        ids = tokenizer.apply_chat_template([question, answer], return_dict=False)
        pairs.append((start, ids[len(start) :]))
    return pairs


def normalise_label(answer: str) -> str:
    """'Label: "Computer-Vision".' -> 'computer-vision'"""
    return re.sub(r"^\s*label\s*:", "", answer.strip().lower()).strip(" \t\n\"'`*.")


def answer_log_likelihood(net: Net, pairs: list[tuple[Ids, Ids]], on_end: bool) -> Tensor:
    """Log probability of each pair's second part after its first. (pairs,), on the CPU"""
    ids: Ids = []
    is_answer: list[bool] = []
    for prompt, answer in pairs:
        length = len(prompt) + len(answer)
        ids += prompt + answer
        is_answer += [place >= len(prompt) for place in range(length)]
    lengths = [len(prompt) + len(answer) for prompt, answer in pairs]
    tokens = torch.tensor(ids, device=net.device)
    places = torch.tensor(is_answer, device=net.device).nonzero().flatten()  # of the answer tokens
    hidden = batch_layout.hidden_states(net, tokens, lengths, on_end)
    weight, bias, cap, factor = batch_layout.output_head(net)
    logits = functional.linear(hidden[places - 1], weight, bias).float() * factor
    logits = cap * torch.tanh(logits / cap) if cap else logits
    each = functional.log_softmax(logits, 1).gather(1, tokens[places][:, None])[:, 0]
    numbers = torch.repeat_interleave(torch.tensor([len(answer) for _, answer in pairs]))
    return torch.zeros(len(pairs)).index_add_(0, numbers, each.float().cpu())
