"""Direct preference optimisation: loss and gradients are those of its formula, however pairs are batched."""

from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from architectures.models.preference_lm import PreferenceLM
from data.tokens.example import Example
from data.tokens.rows import PreferenceRows
from tests.architectures.models.test_causal_lm import OPTIMIZATION, ORIGIN, plain

BETA, SFT = 0.3, 0.5


def pairs(count: int = 5) -> list[tuple[Example, Example]]:
    """Pairs of answers of unlike lengths to one prompt each."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for number in range(count):
        prompt = torch.randint(6, 60, (4 + number,), generator=draw).tolist()
        answers = [
            torch.randint(6, 60, (size,), generator=draw).tolist() for size in (3 + number, 7 - number)
        ]
        chosen, rejected = (Example.turn(prompt + answer, len(prompt)) for answer in answers)
        found.append((chosen, rejected))
    return found


def module_of(settings: dict[str, Any], rows: PreferenceRows) -> PreferenceLM:
    torch.manual_seed(3)
    module = PreferenceLM(settings, OPTIMIZATION | {"dpo_beta": BETA, "sft_weight": SFT}, ORIGIN)
    module.configure_model()
    module.remember_reference([rows.batch([place]) for place in range(len(rows))])
    return module


def moved(net: Any) -> None:
    """Change what is trained, so that the model is no longer its reference."""
    torch.manual_seed(7)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)


def log_probability(net: Any, example: Example) -> torch.Tensor:
    """Of an answer, as transformers' own forward pass gives it, one row at a time."""
    ids = torch.tensor([example.ids])
    scores = net(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
    return scores.gather(1, ids[0, 1:, None])[example.prompt_length - 1 :].sum()


@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_loss_and_gradients_are_those_of_the_formula(model_settings: Any, kind: str) -> None:
    rows = PreferenceRows.of_pairs(pairs(), 64)
    module, net = module_of(model_settings(kind), rows), plain(model_settings(kind))
    with torch.no_grad():
        reference = [[log_probability(net, answer) for answer in pair] for pair in pairs()]
    moved(module.net)
    moved(net)
    counts = module.compare(rows.batch(list(range(len(rows)))))
    counts.loss.backward()  # type: ignore[no-untyped-call]
    expected = torch.tensor(0.0)
    for pair, (before_chosen, before_rejected) in zip(pairs(), reference, strict=True):
        chosen, rejected = (log_probability(net, answer) for answer in pair)
        margin = BETA * ((chosen - before_chosen) - (rejected - before_rejected))
        expected = expected - logsigmoid(margin) - SFT * chosen / len(pair[0].mask[pair[0].prompt_length :])
    expected.backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(counts.loss, expected, rtol=1e-5)
    assert int(counts.size) == len(rows)
    trained = dict(net.named_parameters())
    for name, parameter in module.net.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, trained[name].grad, atol=1e-5), name


def test_a_model_that_is_its_reference_has_no_margin(model_settings: Any) -> None:
    rows = PreferenceRows.of_pairs(pairs(), 64)
    module = module_of(model_settings(), rows)
    module.optimization = module.optimization | {"sft_weight": 0.0}
    counts = module.compare(rows.batch([0, 1, 2]))
    assert float(counts.loss.detach()) == pytest.approx(3 * 0.6931472, rel=1e-5)


def test_micro_batches_add_up_and_a_blank_one_adds_nothing(model_settings: Any) -> None:
    rows = PreferenceRows.of_pairs(pairs(), 64)
    gradients = []
    for parts in ([[0, 1, 2, 3, 4]], [[3], [0, 4], [2, 1]]):
        module = module_of(model_settings(), rows)
        moved(module.net)
        for part in parts:
            module.compare(rows.batch(part)).loss.backward()  # type: ignore[no-untyped-call]
        blank = module.compare(rows.blank(rows.batch([0])))
        blank.loss.backward()  # type: ignore[no-untyped-call]
        assert (float(blank.loss.detach()), int(blank.size)) == (0, 0)
        gradients.append([p.grad for p in module.net.parameters() if p.requires_grad])
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(*gradients, strict=True))


def test_a_pair_of_which_an_answer_is_cut_off_is_not_trained() -> None:
    whole, cut = pairs()[1], (Example.turn([1, 2, 3, 4, 5, 6], 5), Example.turn([1, 2, 3, 4, 7], 4))
    rows = PreferenceRows.of_pairs([whole, cut], 5)
    assert rows.trainable().tolist() == []
    rows = PreferenceRows.of_pairs([whole, cut], 16)
    assert rows.trainable().tolist() == [0, 1]
    assert rows.lengths.tolist() == [sum(len(answer.ids) for answer in pair) for pair in (whole, cut)]


def test_the_reference_is_kept_in_checkpoints(model_settings: Any) -> None:
    rows = PreferenceRows.of_pairs(pairs(), 64)
    module = module_of(model_settings(), rows)
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    moved(module.net)
    later = PreferenceLM(module.model_settings, module.optimization, ORIGIN)
    later.configure_model()
    later.on_load_checkpoint(checkpoint)
    assert later.reference is not None
    assert torch.equal(later.reference, module.reference)
