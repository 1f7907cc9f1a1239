"""TRL's loss and gradients of preference optimisation: PEERS_PYTHON trl_dpo.py FOLDER

For tests/architectures/models/test_preference_trl.py. FOLDER has ``base`` (a model), ``adapter`` (its adapter
after some steps), ``tokenizer`` and ``pairs.json`` (beta, and pairs of prompt_ids, chosen_ids, rejected_ids).
Writes ``gradients.safetensors``, with the loss in it. The reference is the base alone.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

folder = Path(sys.argv[1])
job = json.loads((folder / "pairs.json").read_text())
base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, attn_implementation="eager")
settings = DPOConfig(
    output_dir=str(folder / "out"), beta=job["beta"], max_length=None, report_to=[], use_cpu=True, bf16=False,
    gradient_checkpointing=False, disable_dropout=True,
)  # fmt: skip
rows = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2)
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
config = LoraConfig.from_pretrained(folder / "adapter")
config.inference_mode = False
trainer = DPOTrainer(base, args=settings, train_dataset=rows, processing_class=tokenizer, peft_config=config)
model = trainer.model
assert isinstance(model, PeftModel)
set_peft_model_state_dict(model, load_peft_weights(str(folder / "adapter"), device="cpu"))
loss = trainer.compute_loss(model.train(), trainer.data_collator(job["pairs"]))
loss.backward()
found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
save_file({"loss": loss.detach().reshape(1), **found}, folder / "gradients.safetensors")
