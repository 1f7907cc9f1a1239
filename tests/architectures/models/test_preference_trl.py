"""Loss and gradients of preference optimisation are those of TRL's DPOTrainer, which is installed apart."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from architectures.models import exported
from data.tokens.rows import PreferenceRows
from tests.architectures.models.test_preference_lm import BETA, module_of, moved, pairs
from tests.conftest import POCKET, ROOT

PYTHON = ROOT / ".venv-peers/bin/python"  # of `make benchmark`


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="TRL is installed by make .venv-peers/done")
@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_loss_and_gradients_are_those_of_trl(model_settings: Any, tmp_path: Path, kind: str) -> None:
    settings = model_settings(kind)
    rows = PreferenceRows.of_pairs(pairs(), 64)
    module = module_of(settings, rows)
    module.optimization = module.optimization | {"sft_weight": 0.0}
    moved(module.net)
    counts = module.compare(rows.batch(list(range(len(rows)))))
    counts.loss.backward()  # type: ignore[no-untyped-call]

    exported.export(module, tmp_path / "adapter")
    for name, place in (("base", settings["base"]), ("tokenizer", POCKET)):
        (tmp_path / name).symlink_to(Path(place).absolute())
    examples = []
    for chosen, rejected in pairs():
        size = chosen.prompt_length
        example = {"prompt_ids": chosen.ids[:size], "chosen_ids": chosen.ids[size:]}
        examples.append(example | {"rejected_ids": rejected.ids[size:]})
    (tmp_path / "pairs.json").write_text(json.dumps({"beta": BETA, "pairs": examples}))
    command = [str(PYTHON), str(ROOT / "tests/benchmarks/trl_dpo.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = load_file(tmp_path / "gradients.safetensors")
    torch.testing.assert_close(counts.loss.detach() / len(rows), theirs.pop("loss")[0], rtol=1e-4, atol=1e-6)
    trained = {name: p.grad for name, p in module.net.named_parameters() if p.requires_grad}
    assert {name for name, grad in theirs.items() if grad.abs().max() > 0} == set(trained)
    for name, grad in trained.items():
        torch.testing.assert_close(grad / len(rows), theirs[name], rtol=1e-3, atol=1e-6)
