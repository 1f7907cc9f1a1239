"""What a fine-tuned classifier must beat: random, majority, keywords, TF-IDF with a linear model, frozen encoder with a linear model.

Each has fit / predict / predict_proba on plain texts, and a state of tensors and plain types that is saved instead of a pickle.
scikit-learn is imported where it is used.
"""

import functools
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from architectures import adapters

log = logging.getLogger(__name__)
STATE_FILE = "baseline.pt"
FOLDS = 5  # of the cross-validation on the training part that chooses hyper-parameters
TELLING = 20  # keywords a label
LEAST_ROWS = 3  # rows that a keyword must stand in
WORDS = r"(?u)\b[^\W\d_]{2,}\b"
# what a run watches -> what scikit-learn calls it
SCORING = {"loss": "neg_log_loss", "accuracy": "accuracy", "f1": "f1", "macro_f1": "f1_macro", "micro_f1": "f1_micro"}
SCORING |= {"weighted_f1": "f1_weighted", "macro_f1_with_none": "f1_macro", "micro_f1_with_none": "f1_micro"}


class Baseline:
    """A classifier that is not fine-tuned.

    Args:
        settings: method; monitor, the metric that hyper-parameters are chosen by; base, for what needs an encoder; seed; what the
            method needs beside these.
        labels: names, in the order of the targets. multi_label: whether a text can have several.
        origin: what the run was made of, as plain types.
    """

    def __init__(self, settings: dict[str, Any], labels: list[str], multi_label: bool, origin: dict[str, Any]) -> None:
        self.settings, self.labels, self.multi_label, self.origin = settings, labels, multi_label, origin
        self.state: dict[str, Any] = {}
        self.advance: Callable[[int], object] = lambda rows: None  # told how many texts are done, for a progress bar

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Learn. targets: int64 (rows,) places of labels, or float32 (rows, labels) of 0 and 1"""
        raise NotImplementedError

    def predict_proba(self, texts: list[str]) -> Tensor:
        """(rows, labels): the probability of one label against the others, or of each label by itself."""
        raise NotImplementedError

    def predict(self, texts: list[str]) -> Tensor:
        """0 and 1 for each label. int64 (rows, labels)"""
        return self.choose(self.predict_proba(texts))

    def choose(self, probabilities: Tensor) -> Tensor:
        """What the probabilities lead to. (rows, labels) -> int64 (rows, labels) of 0 and 1"""
        return decide(probabilities, self.multi_label)

    def explain(self) -> str:
        """What was learnt, for the reader; empty if there is nothing to show."""
        return ""

    def one_hot(self, targets: Tensor) -> Tensor:
        """Targets of either kind as float32 (rows, labels) of 0 and 1."""
        return targets if self.multi_label else functional.one_hot(targets, len(self.labels)).float()

    def normalise(self, scores: Tensor) -> Tensor:
        """Log odds of each label -> probabilities. (rows, labels)"""
        return scores.sigmoid() if self.multi_label else scores.softmax(1)

    def save(self, folder: Path) -> None:
        """Write the state and what it takes to use it."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.state, folder / STATE_FILE)
        record = {"model": self.settings, "labels": self.labels, "multi_label": self.multi_label, "origin": self.origin}
        (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def decide(probabilities: Tensor, multi_label: bool) -> Tensor:
    """The likeliest label, or all that are at least as likely as not. (rows, labels) -> int64 (rows, labels) of 0 and 1"""
    if multi_label:
        return (probabilities >= 0.5).long()
    return functional.one_hot(probabilities.argmax(1), probabilities.shape[1])


class Random(Baseline):
    """Labels drawn by their frequency in training."""

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Count."""
        self.state = {"frequency": self.one_hot(targets).mean(0)}

    def predict_proba(self, texts: list[str]) -> Tensor:
        """The frequencies."""
        return self.state["frequency"].expand(len(texts), -1)

    def choose(self, probabilities: Tensor) -> Tensor:
        """Draw, the same for the same seed and number of texts."""
        draw = torch.Generator().manual_seed(self.settings["seed"])
        if self.multi_label:
            return torch.bernoulli(probabilities, generator=draw).long()
        return functional.one_hot(torch.multinomial(probabilities, 1, generator=draw)[:, 0], len(self.labels))


class Majority(Random):
    """The most frequent label; where a text can have several, those that at least half of the texts have."""

    def choose(self, probabilities: Tensor) -> Tensor:
        """The same for every text."""
        return decide(probabilities, self.multi_label)


class Keywords(Baseline):
    """The words that tell most for each label: those found in a text add their log odds to the label's own.

    Telling: z-score of the log odds of a word inside and outside of the label (Monroe et al. 2008, doi.org/10.1093/pan/mpn018,
    with a flat prior).
    """

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Choose the words."""
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(binary=True, stop_words="english", token_pattern=WORDS, min_df=min(LEAST_ROWS, len(texts)))
        found = torch.tensor(counter.fit_transform(texts).toarray(), dtype=torch.float32)  # (rows, words)
        words = counter.get_feature_names_out().tolist()
        given = self.one_hot(targets)
        inside, rows = found.T @ given + 0.5, given.sum(0) + 1  # (words, labels), (labels,)
        outside, others = found.sum(0)[:, None] + 1 - inside, len(texts) + 2 - rows
        odds = (inside / (rows - inside).clamp(min=0.5)).log() - (outside / (others - outside).clamp(min=0.5)).log()
        z = odds / (1 / inside + 1 / outside).sqrt()
        best = z.topk(min(TELLING, len(words)), dim=0).indices  # (TELLING, labels)
        self.state = {
            "words": [[words[i] for i in best[:, c] if z[i, c] > 0] for c in range(len(self.labels))],
            "odds": [[float(odds[i, c]) for i in best[:, c] if z[i, c] > 0] for c in range(len(self.labels))],
            "prior": (rows / others).log(),
        }

    def predict_proba(self, texts: list[str]) -> Tensor:
        """Log odds of the label, and of its words in the text."""
        from sklearn.feature_extraction.text import CountVectorizer

        vocabulary = sorted({word for words in self.state["words"] for word in words}) or ["nothing"]
        place = {word: i for i, word in enumerate(vocabulary)}
        weights = torch.zeros(len(vocabulary), len(self.labels))
        for c, (words, odds) in enumerate(zip(self.state["words"], self.state["odds"], strict=True)):
            weights[[place[word] for word in words], c] = torch.tensor(odds)
        found = CountVectorizer(binary=True, token_pattern=WORDS, vocabulary=vocabulary).transform(texts)
        return self.normalise(torch.tensor(found.toarray(), dtype=torch.float32) @ weights + self.state["prior"])

    def explain(self) -> str:
        """The words of each label, the most telling first."""
        return "\n".join(f"{label}: {', '.join(words)}" for label, words in zip(self.labels, self.state["words"], strict=True))


class Linear(Baseline):
    """A logistic regression on features; its hyper-parameters are chosen by cross-validation on the training part alone."""

    def search(self, steps: list[tuple[str, Any]], grid: dict[str, list[Any]], features: Any, targets: Tensor) -> Any:
        """Try all of the grid, fit the best on everything; its coefficients go into the state. Gives back the fitted pipeline."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import KFold, ParameterGrid, StratifiedKFold, cross_val_score
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import Pipeline

        prefix = "linear__estimator__" if self.multi_label else "linear__"
        linear = LogisticRegression(max_iter=1000, random_state=self.settings["seed"])
        wanted = self.settings["monitor"]
        if wanted == "loss" and self.multi_label:
            wanted = "macro_f1"  # scikit-learn's log loss takes one label a row
        rarest = int(self.one_hot(targets).sum(0).min())
        folds: Any = FOLDS if self.multi_label else max(2, min(FOLDS, rarest))
        shuffled = (KFold if self.multi_label else StratifiedKFold)(folds, shuffle=True, random_state=self.settings["seed"])
        best: tuple[float, dict[str, Any]] = (-float("inf"), {})
        with tempfile.TemporaryDirectory() as memory:  # features of a fold are made once, not for every C
            pipeline = Pipeline([*steps, ("linear", OneVsRestClassifier(linear) if self.multi_label else linear)], memory=memory)
            for given in ParameterGrid(grid | {f"{prefix}C": [1, 10, 100], f"{prefix}class_weight": [None, "balanced"]}):
                pipeline.set_params(**given)
                score = float(cross_val_score(pipeline, features, targets.numpy(), scoring=SCORING[wanted], cv=shuffled, n_jobs=-1).mean())
                log.info("%s: %s %.4f", chosen_of(given), wanted, score)
                best = max(best, (score, given), key=lambda pair: pair[0])
            pipeline.set_params(**best[1]).fit(features, targets.numpy())
        one = pipeline[-1].estimators_ if self.multi_label else [pipeline[-1]]
        weight = torch.cat([torch.tensor(e.coef_, dtype=torch.float32) for e in one])  # (labels, features), of two labels (1, features)
        bias = torch.cat([torch.tensor(e.intercept_, dtype=torch.float32) for e in one])
        if len(weight) == 1 and not self.multi_label:
            weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
        self.state = {"weight": weight, "bias": bias, "chosen": chosen_of(best[1]), "score": best[0]}
        return pipeline

    def explain(self) -> str:
        """The hyper-parameters that were chosen."""
        score = f"{self.settings['monitor']} {self.state['score']:.3f}"
        return f"chosen by cross-validation on the training part: {self.state['chosen']} ({score})"


class Tfidf(Linear):
    """TF-IDF of words and word groups."""

    def vectorizer(self, **options: Any) -> Any:
        """scikit-learn's, with what is not searched for."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", **options)

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Search over the length of word groups too."""
        ngrams = {"features__ngram_range": [(1, 1), (1, 2), (1, 3)]}
        best = self.search([("features", self.vectorizer(min_df=min(2, len(texts))))], ngrams, texts, targets)
        terms = best[0].get_feature_names_out().tolist()
        self.state |= {"words": list(best[0].ngram_range), "terms": terms, "idf": torch.tensor(best[0].idf_, dtype=torch.float32)}

    def predict_proba(self, texts: list[str]) -> Tensor:
        """Of the sparse features, multiplied as such."""
        made = self.vectorizer(vocabulary=self.state["terms"], ngram_range=tuple(self.state["words"]))
        made.idf_ = self.state["idf"].numpy()
        scores = made.transform(texts) @ self.state["weight"].numpy().T  # (rows, labels)
        return self.normalise(torch.tensor(scores, dtype=torch.float32) + self.state["bias"])


class Embedding(Linear):
    """The mean of a frozen encoder's last hidden states, of length 1."""

    BATCH = 64  # texts a forward pass

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Embed, then search."""
        self.search([], {}, self.embed(texts).numpy(), targets)

    def predict_proba(self, texts: list[str]) -> Tensor:
        """Embed, then multiply."""
        return self.normalise(self.embed(texts) @ self.state["weight"].T + self.state["bias"])

    def embed(self, texts: list[str]) -> Tensor:
        """(rows, width), of length 1; texts of like length go through the encoder together."""
        return self.encoder.embed(texts, self.BATCH, self.advance)

    @functools.cached_property
    def encoder(self) -> "Encoder":
        """Loaded once, however often it is asked."""
        return Encoder(self.settings["base"], self.settings["max_seq_length"])


class Encoder:
    """A frozen encoder with its tokenizer.

    Args:
        base: folder, Hub name, or package:NAME/FOLDER. longest: tokens of a text, the rest is cut off.
    """

    def __init__(self, base: str, longest: int) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(adapters.base_path(base))
            self.net = AutoModel.from_pretrained(adapters.base_path(base)).eval()
        except OSError as error:
            raise ValueError(f"no encoder at model.base={base}: {str(error).splitlines()[0]}") from None
        self.net.to("cuda" if torch.cuda.is_available() else "cpu")
        self.longest = longest

    @torch.inference_mode()
    def embed(self, texts: list[str], batch_size: int, advance: Callable[[int], object]) -> Tensor:
        """The mean of the last hidden states over a text's tokens, of length 1. (rows, width)"""
        from architectures.pooling import mean_of

        rows = torch.zeros(len(texts), self.net.config.hidden_size)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            batch = self.tokenizer([texts[i] for i in some], padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
            batch = batch.to(self.net.device)
            with torch.autocast(self.net.device.type, torch.bfloat16, enabled=adapters.quick_bfloat16()):
                hidden = self.net(**batch).last_hidden_state  # (rows, time, width)
            rows[some] = functional.normalize(mean_of(hidden, batch["attention_mask"]), dim=1).cpu()
            advance(len(some))
        return rows


def chosen_of(given: dict[str, Any]) -> str:
    """Hyper-parameters by their short names, for people."""
    return ", ".join(f"{name.rsplit('__', 1)[-1]} {value}" for name, value in given.items())


def kinds() -> dict[str, type[Baseline]]:
    """Every method by its name."""
    from architectures.prompted import Prompted

    return {
        "random": Random, "majority": Majority, "keywords": Keywords, "tfidf": Tfidf, "embedding": Embedding, "prompted": Prompted,
    }  # fmt: skip


def load_baseline(folder: Path, record: dict[str, Any]) -> Baseline:
    """What `Baseline.save` wrote. Raises ValueError if it is damaged."""
    try:
        made = kinds()[record["model"]["method"]](record["model"], record["labels"], record["multi_label"], record["origin"])
        made.state = torch.load(folder / STATE_FILE, weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in as many ways as there are bytes
        raise ValueError(f"{folder} is not a baseline of this project, or is damaged: {error!r:.200}") from None
    return made
