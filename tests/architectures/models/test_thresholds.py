"""Decision thresholds: the best ones are found, and taken only where they help on other rows."""

import pytest
import torch
from sklearn.metrics import f1_score

from architectures.models.thresholds import best_thresholds, choose_thresholds, decide, f1_scores


def draws(rows: int, shift: float, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of two labels that are a shift away from what they should be, and the truth."""
    draw = torch.Generator().manual_seed(1)
    truth = (torch.rand(rows, 2, generator=draw) < torch.tensor([0.3, 0.5])).long()
    scores = truth * 2.0 - 1 + noise * torch.randn(rows, 2, generator=draw) + shift
    return scores.sigmoid(), truth


def test_f1_is_that_of_scikit_learn() -> None:
    probabilities, truth = draws(200, 0, 2)
    decided = decide(probabilities, True)
    wanted = f1_score(truth, decided, average=None)
    torch.testing.assert_close(f1_scores(decided, truth), torch.from_numpy(wanted))


def test_probabilities_that_are_too_low_get_lower_thresholds() -> None:
    probabilities, truth = draws(2000, -1.5, 0.7)
    found, before, after = choose_thresholds(probabilities, truth)
    assert found is not None
    assert all(value < 0.4 for value in found)
    assert after > before + 0.1
    decided = decide(probabilities, True, found)
    assert float(f1_scores(decided, truth).mean()) > before


def test_what_gains_nothing_is_left_out() -> None:
    probabilities, truth = draws(300, 0, 0.01)
    assert choose_thresholds(probabilities, truth)[0] is None
    noise = torch.rand(60, 2, generator=torch.Generator().manual_seed(3)) * 0.2 + 0.4
    found, before, after = choose_thresholds(noise, truth[:60])
    assert found is None or after > before


def test_a_rare_label_keeps_its_threshold() -> None:
    probabilities, truth = draws(400, -1.5, 0.7)
    truth[5:, 1] = 0
    assert best_thresholds(probabilities, truth)[1] == 0.5


@pytest.mark.parametrize(
    ("thresholds", "wanted"), [(None, [0, 1, 1]), ([0.7, 0.3], [1, 1, 1]), ([0.3, 0.7], [0, 0, 1])]
)
def test_one_of_two_labels_goes_by_the_threshold_of_the_last(
    thresholds: list[float] | None, wanted: list[int]
) -> None:
    last = torch.tensor([0.4, 0.6, 0.9])
    decided = decide(torch.stack([1 - last, last], 1), False, thresholds)
    assert decided.argmax(1).tolist() == wanted
    assert decided.sum(1).tolist() == [1, 1, 1]
