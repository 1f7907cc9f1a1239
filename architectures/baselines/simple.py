"""Baselines without a trained model: random, majority, keywords."""

import torch
from torch import Tensor
from torch.nn import functional

from architectures.baselines.base import Baseline, Progress, no_progress
from architectures.models.thresholds import decide

KEYWORDS_PER_LABEL = 20
MIN_KEYWORD_ROWS = 3  # that a keyword must occur in
WORDS = r"(?u)\b[^\W\d_]{2,}\b"


class Random(Baseline):
    """Labels drawn by their frequency in training."""

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Count the labels."""
        self.state = {"frequency": self.one_hot(targets).mean(0)}

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """The frequencies."""
        frequency: Tensor = self.state["frequency"]
        return frequency.expand(len(texts), -1)

    def choose(self, probabilities: Tensor) -> Tensor:
        """Draw, the same for the same seed and number of texts."""
        generator = torch.Generator().manual_seed(self.settings["seed"])
        if self.multi_label:
            return torch.bernoulli(probabilities, generator=generator).long()
        drawn = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        return functional.one_hot(drawn, len(self.labels))


class Majority(Random):
    """The most frequent label; where a text can have several, those that at least half of the texts have."""

    def choose(self, probabilities: Tensor) -> Tensor:
        """The same for every text."""
        return decide(probabilities, self.multi_label)


class Keywords(Baseline):
    """The most characteristic words of each label: those in a text add their log odds to the label's own.

    A word is ranked by the z-score of its log odds inside and outside of the label (Monroe et al. 2008,
    doi.org/10.1093/pan/mpn018, with a flat prior).
    """

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Choose the words."""
        from sklearn.feature_extraction.text import CountVectorizer

        least = min(MIN_KEYWORD_ROWS, len(texts))
        counter = CountVectorizer(binary=True, stop_words="english", token_pattern=WORDS, min_df=least)
        occurs = torch.tensor(counter.fit_transform(texts).toarray(), dtype=torch.float32)  # (rows, words)
        words = counter.get_feature_names_out().tolist()
        given = self.one_hot(targets)
        inside, rows = occurs.T @ given + 0.5, given.sum(0) + 1  # (words, labels), (labels,)
        outside, others = occurs.sum(0)[:, None] + 1 - inside, len(texts) + 2 - rows
        odds = _log_odds(inside, rows) - _log_odds(outside, others)
        z = odds / (1 / inside + 1 / outside).sqrt()
        best = z.topk(min(KEYWORDS_PER_LABEL, len(words)), dim=0).indices  # (KEYWORDS_PER_LABEL, labels)
        chosen = []
        for c in range(len(self.labels)):
            chosen.append([int(i) for i in best[:, c] if z[i, c] > 0])
        chosen_words, chosen_odds = [], []
        for c, places in enumerate(chosen):
            chosen_words.append([words[i] for i in places])
            chosen_odds.append([float(odds[i, c]) for i in places])
        self.state = {
            "words": chosen_words,
            "odds": chosen_odds,
            "prior": (rows / others).log(),
        }

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """Log odds of the label, and of its words in the text."""
        from sklearn.feature_extraction.text import CountVectorizer

        vocabulary = sorted({word for words in self.state["words"] for word in words}) or ["nothing"]
        place = {word: i for i, word in enumerate(vocabulary)}
        weights = torch.zeros(len(vocabulary), len(self.labels))
        for c, (words, odds) in enumerate(zip(self.state["words"], self.state["odds"], strict=True)):
            weights[[place[word] for word in words], c] = torch.tensor(odds)
        counter = CountVectorizer(binary=True, token_pattern=WORDS, vocabulary=vocabulary)
        occurs = torch.tensor(counter.transform(texts).toarray(), dtype=torch.float32)
        return self.normalise(occurs @ weights + self.state["prior"])

    def explain(self) -> str:
        """The words of each label, the most characteristic first."""
        pairs = zip(self.labels, self.state["words"], strict=True)
        return "\n".join(f"{label}: {', '.join(words)}" for label, words in pairs)


def _log_odds(count: Tensor, total: Tensor) -> Tensor:
    """Log odds of counts out of totals."""
    return (count / (total - count).clamp(min=0.5)).log()
