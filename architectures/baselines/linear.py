"""A linear classifier on features, with hyper-parameters from cross-validation; TF-IDF features."""

import logging
import tempfile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from architectures.baselines.base import Baseline, Progress, no_progress
from architectures.values import Settings

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

FOLDS = 5  # of the cross-validation on the training part that chooses hyper-parameters
SCORING = {  # trainer.monitor -> scikit-learn's name
    "loss": "neg_log_loss",
    "accuracy": "accuracy",
    "f1": "f1",
    "macro_f1": "f1_macro",
    "micro_f1": "f1_micro",
    "weighted_f1": "f1_weighted",
    "macro_f1_with_none": "f1_macro",
    "micro_f1_with_none": "f1_micro",
}
Features = Any  # what scikit-learn takes: a list of texts, or an array (rows, width)


class Linear(Baseline):
    """A logistic regression on features; its hyper-parameters are chosen by cross-validation on the
    training part.
    """

    def search(
        self,
        steps: list[tuple[str, "TfidfVectorizer"]],
        grid: Settings,
        features: Features,
        targets: Tensor,
    ) -> "Pipeline":
        """Try the whole grid, fit the best on everything, keep its coefficients in the state; the fitted
        pipeline.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import ParameterGrid, cross_val_score
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import Pipeline

        several = self.multi_label
        prefix = "linear__estimator__" if several else "linear__"
        linear = LogisticRegression(max_iter=1000, random_state=self.settings["seed"])
        classifier = OneVsRestClassifier(linear) if several else linear
        metric, folds = self.metric(), self.folds(targets)
        best: tuple[float, Settings] = (-float("inf"), {})
        with tempfile.TemporaryDirectory() as memory:  # features of a fold are computed once, not for every C
            pipeline = Pipeline([*steps, ("linear", classifier)], memory=memory)
            grid = grid | {f"{prefix}C": [1, 10, 100], f"{prefix}class_weight": [None, "balanced"]}
            for choice in ParameterGrid(grid):
                pipeline.set_params(**choice)
                scores = cross_val_score(
                    pipeline, features, targets.numpy(), scoring=SCORING[metric], cv=folds, n_jobs=-1
                )
                score = float(scores.mean())
                log.info("%s: %s %.4f", _describe_choice(choice), metric, score)
                best = max(best, (score, choice), key=lambda pair: pair[0])
            pipeline.set_params(**best[1]).fit(features, targets.numpy())
        weight, bias = self.coefficients(pipeline[-1].estimators_ if several else [pipeline[-1]])
        self.state = {"weight": weight, "bias": bias, "chosen": _describe_choice(best[1]), "score": best[0]}
        return pipeline

    def metric(self) -> str:
        """What the cross-validation is scored by; scikit-learn's log loss takes one label a row."""
        monitor = str(self.settings["monitor"])
        return "macro_f1" if monitor == "loss" and self.multi_label else monitor

    def folds(self, targets: Tensor) -> Any:  # one of two splitters of scikit-learn, which is imported late
        """The folds of the cross-validation, shuffled by the seed."""
        from sklearn.model_selection import KFold, StratifiedKFold

        seed = self.settings["seed"]
        if self.multi_label:
            return KFold(FOLDS, shuffle=True, random_state=seed)
        rarest = int(self.one_hot(targets).sum(0).min())
        return StratifiedKFold(max(2, min(FOLDS, rarest)), shuffle=True, random_state=seed)

    def coefficients(self, estimators: list["LogisticRegression"]) -> tuple[Tensor, Tensor]:
        """(weight (labels, features), bias (labels,)) of fitted regressions."""
        weight = torch.cat([torch.tensor(one.coef_, dtype=torch.float32) for one in estimators])
        bias = torch.cat([torch.tensor(one.intercept_, dtype=torch.float32) for one in estimators])
        if len(weight) == 1 and not self.multi_label:  # of two labels scikit-learn keeps one row
            weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
        return weight, bias

    def explain(self) -> str:
        """The hyper-parameters that were chosen."""
        score = f"{self.settings['monitor']} {self.state['score']:.3f}"
        return f"chosen by cross-validation on the training part: {self.state['chosen']} ({score})"


class Tfidf(Linear):
    """TF-IDF of words and word groups."""

    def vectorizer(self, **options: object) -> "TfidfVectorizer":  # keyword arguments of scikit-learn
        """scikit-learn's, with the options that are not searched over."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", **options)

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Search over the length of word groups too."""
        ngrams = {"features__ngram_range": [(1, 1), (1, 2), (1, 3)]}
        steps = [("features", self.vectorizer(min_df=min(2, len(texts))))]
        fitted = self.search(steps, ngrams, texts, targets)[0]
        terms = fitted.get_feature_names_out().tolist()
        idf = torch.tensor(fitted.idf_, dtype=torch.float32)
        self.state |= {"words": list(fitted.ngram_range), "terms": terms, "idf": idf}

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """Of the sparse features, multiplied as such."""
        vectorizer = self.vectorizer(vocabulary=self.state["terms"], ngram_range=tuple(self.state["words"]))
        vectorizer.idf_ = self.state["idf"].numpy()
        scores = vectorizer.transform(texts) @ self.state["weight"].numpy().T  # (rows, labels)
        return self.normalise(torch.tensor(scores, dtype=torch.float32) + self.state["bias"])


def _describe_choice(choice: Settings) -> str:
    """Hyper-parameters by their short names, for a reader."""
    return ", ".join(f"{name.rsplit('__', 1)[-1]} {value}" for name, value in choice.items())
