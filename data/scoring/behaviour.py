"""Behavioural checks of a classifier: invariance, direction and minimum functionality tests.

Ribeiro et al. 2020, https://aclanthology.org/2020.acl-main.442.
"""

import json
from pathlib import Path

import polars as pl

Check = dict[str, str]
NEEDED = {  # kind -> keys
    "invariance": {"text", "changed"},
    "direction": {"text", "changed", "label", "changed_label"},
    "minimum": {"text", "label"},
}
CHECK_KINDS = tuple(NEEDED)


def read_checks(path: Path, labels: list[str]) -> list[Check]:
    """Behavioural checks (Ribeiro et al. 2020, https://arxiv.org/abs/2005.04118), one JSON object a line.

    invariance: ``text`` and ``changed`` get the same label. direction: ``text`` gets ``label``, ``changed``
    gets ``changed_label``. minimum: ``text`` gets ``label``. Raises ValueError for what is none of these.
    """
    if not path.is_file():
        raise ValueError(
            f"no checks at {path}: give a file of JSON lines with kind ({', '.join(CHECK_KINDS)}),"
            f" text, label, changed"
        )
    checks = []
    lines = filter(str.strip, path.read_text(encoding="utf-8").splitlines())
    for number, line in enumerate(lines, 1):
        try:
            check: Check = json.loads(line)
            missing = NEEDED[check["kind"]] - set(check)
            names = {check[key] for key in ("label", "changed_label") if key in check}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            kinds = ", ".join(CHECK_KINDS)
            raise ValueError(
                f"{path}, line {number}: not a check ({error!r}); kind must be one of {kinds}"
            ) from None
        problems = [f"it lacks {key}" for key in sorted(missing)]
        unknown = names - {*labels, "none"}
        problems += [f"{label!r} is no label ({', '.join(labels)})" for label in unknown]
        if problems:
            raise ValueError(f"{path}, line {number}: {'; '.join(problems)}")
        checks.append(check)
    return checks


def judge_checks(checks: list[Check], predictions: dict[str, str]) -> pl.DataFrame:
    """Add ``predicted`` and ``passed``. predictions: text -> its label (several joined by '; ', or 'none')"""
    passed, shown = [], []
    for check in checks:
        text, changed = predictions[check["text"]], predictions.get(check.get("changed", ""), "")
        if check["kind"] == "invariance":
            passed.append(text == changed)
        elif check["kind"] == "minimum":
            passed.append(text == check["label"])
        else:
            passed.append(text == check["label"] and changed == check["changed_label"])
        shown.append(f"{text} / {changed}" if "changed" in check else text)
    predicted = pl.Series(shown, dtype=pl.String)
    return pl.DataFrame(checks).with_columns(predicted=predicted, passed=pl.Series(passed, dtype=pl.Boolean))
