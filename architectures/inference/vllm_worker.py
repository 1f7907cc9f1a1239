"""The program in vLLM's own process, `python -P vllm_worker.py JOB.json`: prompts in, a line [place, answer]
for each.

It imports nothing of this project, so that the interpreter with vLLM needs nothing else.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

SHARE = 0.9  # of the free GPU memory that vLLM takes


def engine(job: dict[str, Any]) -> Any:  # vllm.LLM, which is not installed where types are checked
    """vLLM's engine, with room for the longest prompt and its answer."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    import torch
    from vllm import LLM

    on_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {"enforce_eager": True}
    dtype = "float32"  # its CPU build stops with an illegal instruction in bfloat16 on most machines
    if on_gpu:
        free, total = torch.cuda.mem_get_info()
        # of all memory, as vLLM counts it; what the calling process still holds is not available
        options = {"gpu_memory_utilization": SHARE * free / total}
        dtype = job["dtype"]
    if job["adapter"]:
        options |= {"enable_lora": True, "max_lora_rank": job["max_lora_rank"]}
    return LLM(
        model=job["model"],
        dtype=dtype,
        skip_tokenizer_init=True,
        tensor_parallel_size=job["tensor_parallel"],
        max_model_len=max(map(len, job["prompts"])) + job["max_new_tokens"],
        enable_prefix_caching=True,
        seed=0,
        **options,
    )


def main(job: dict[str, Any]) -> None:
    """Answer all prompts, greedily."""
    llm = engine(job)
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    params = SamplingParams(
        temperature=0, max_tokens=job["max_new_tokens"], stop_token_ids=job["stop_ids"], detokenize=False
    )
    lora = LoRARequest("adapter", 1, job["adapter"]) if job["adapter"] else None
    for place, prompt in enumerate(job["prompts"]):
        llm.llm_engine.add_request(str(place), {"prompt_token_ids": prompt}, params, lora_request=lora)
    with Path(job["done"]).open("a", encoding="utf-8") as file:
        while llm.llm_engine.has_unfinished_requests():
            for output in llm.llm_engine.step():
                if output.finished:
                    ids = list(output.outputs[0].token_ids)
                    answer = ids[:-1] if ids and ids[-1] in job["stop_ids"] else ids
                    file.write(json.dumps([int(output.request_id.split("-")[0]), answer]) + "\n")
            file.flush()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
