"""Distillation: loss and gradients are those of its formula, and the teacher's file is enough."""

from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.models.causal_lm import CausalLM
from architectures.models.distilled_lm import DistilledLM
from tests.architectures.models.test_causal_lm import OPTIMIZATION, ORIGIN, module_of, plain, rows
from tests.architectures.models.test_preference_lm import moved

SHARE = 0.7


def student_of(settings: dict[str, Any], teacher: CausalLM | None, path: Path, count: int) -> DistilledLM:
    torch.manual_seed(3)
    options = OPTIMIZATION | {"teacher_weight": SHARE, "teacher_tokens": count}
    module = DistilledLM(settings, options, ORIGIN)
    module.configure_model()
    module.learn_from(teacher, lambda: [rows(6).batch(some) for some in ([4, 1], [0, 5, 2], [3])], path)
    return module


@pytest.mark.parametrize("count", [3, 20])
def test_loss_and_gradients_are_those_of_the_formula(model_settings: Any, tmp_path: Path, count: int) -> None:
    settings = model_settings()
    teacher, net = module_of(settings, seed=5), plain(settings)
    moved(teacher.net)
    module = student_of(settings, teacher, tmp_path / "teacher.pt", count)
    counts = module.learn(rows(6).batch([5, 0, 3]))
    counts.loss.backward()  # type: ignore[no-untyped-call]
    expected = torch.tensor(0.0)
    for row in (5, 0, 3):
        batch = rows(6).batch([row])
        ids, places, targets = batch["input_ids"][None], batch["places"], batch["targets"]
        with torch.no_grad():
            top = teacher.net(input_ids=ids, use_cache=False).logits[0, places].float().topk(count)
        told = net(input_ids=ids, use_cache=False).logits[0, places].float().log_softmax(-1)
        of_teacher = (top.values.softmax(-1) * told.gather(1, top.indices)).sum()
        of_answer = told.gather(1, targets[:, None]).sum()
        expected = expected - (1 - SHARE) * of_answer - SHARE * of_teacher
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(counts.loss.detach(), expected.detach(), rtol=1e-3, atol=1e-3)
    trained = dict(net.named_parameters())
    for name, parameter in module.net.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, trained[name].grad, rtol=2e-2, atol=2e-3)


def test_the_file_is_enough_and_a_blank_batch_adds_nothing(model_settings: Any, tmp_path: Path) -> None:
    settings, path = model_settings(), tmp_path / "teacher.pt"
    first = student_of(settings, module_of(settings, seed=5), path, 4)
    later = student_of(settings, None, path, 4)
    whole = rows(6).batch([0, 1, 2])
    assert torch.equal(first.learn(whole).loss, later.learn(whole).loss)
    blank = later.learn(rows(6).blank(rows(6).batch([0])))
    assert (float(blank.loss.detach()), int(blank.size)) == (0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.pt"]
