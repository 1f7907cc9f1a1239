"""`trainer`: how a model is trained, and on what."""

from dataclasses import dataclass

from config.schema.fields import setting

AVERAGED_F1 = ["macro_f1", "micro_f1", "weighted_f1", "macro_f1_with_none", "micro_f1_with_none"]
ANSWER_SCORE = "answer_score"
OPTIMIZERS = ["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "muon"]
MONITORS = ["loss", ANSWER_SCORE, "accuracy", "f1", *AVERAGED_F1]


@dataclass
class TrainerConfig:
    """How a model is trained, and on what."""

    accelerator: str = setting("auto", "hardware to train on", choices=["auto", "cpu", "gpu"])
    strategy: str = setting(
        "auto",
        "several processes: ddp, each holds the whole net; fsdp, each holds a shard of it; auto: ddp",
        choices=["auto", "ddp", "fsdp"],
    )
    devices: int = setting(
        0,
        "processes on each machine; 0: one for each GPU, and one where there is none",
        at_least=0,
        at_most=1024,
    )
    nodes: int = setting(1, "machines", at_least=1, at_most=10_000)
    shards: int = setting(
        0,
        "strategy fsdp: processes that hold one copy of the net together; 0: all",
        at_least=0,
        at_most=1_000_000,
    )
    precision: str = setting(
        "auto",
        "auto: bf16-mixed where the hardware multiplies bfloat16 faster at the model's size",
        choices=["auto", "32-true", "bf16-mixed"],
    )
    threads: int = setting(0, "CPU threads; 0: all CPUs that the process may use", at_least=0, at_most=1024)
    epochs: int = setting(1, "passes over the training rows", at_least=1, at_most=10_000)
    max_steps: int = setting(0, "optimiser steps at most; 0: as many as the epochs take", at_least=0)
    batch_size: int = setting(16, "rows in an optimiser step", at_least=1, at_most=1_000_000)
    micro_batch: str = setting(
        "auto",
        (
            "rows in a forward pass; fewer take less memory, the steps stay the same; auto: as many as"
            " surely fit"
        ),
    )
    objective: str = setting(
        "answers",
        "answers: cross-entropy of the answers; dpo: direct preference optimisation on the pairs of"
        " data.preferences",
        choices=["answers", "dpo"],
    )
    dpo_beta: float = setting(
        0.1,
        "objective dpo: how closely the model stays to the reference, the model that training starts from; a"
        " higher value stays closer",
        at_least=0.001,
        at_most=100,
    )
    sft_weight: float = setting(
        0.0,
        "objective dpo: weight of the chosen answer's negative log-likelihood per token, added to the loss",
        at_least=0,
        at_most=100,
    )
    teacher: str = setting(
        "",
        "distillation: exported model with the same vocabulary, such as outputs/runs/RUN/model, whose token"
        " probabilities are learnt beside the answers; empty: none",
    )
    teacher_weight: float = setting(
        0.5, "share of the loss that the teacher's probabilities have", at_least=0, at_most=1
    )
    teacher_tokens: int = setting(
        16,
        "number of the teacher's most likely tokens that are kept for each answer token",
        at_least=1,
        at_most=1000,
    )
    optimizer: str = setting(
        "adamw",
        "adamw; adamw_8bit, paged_adamw_8bit: its state in 8 bits, paged: in memory of the CPU where the GPU"
        " runs short (bitsandbytes); adafactor: less state yet, for model.adapter=none, steps relative to"
        " the size of the weights; muon: for the matrices of the layers, adamw for the rest, at adamw's"
        " learning rates",
        choices=OPTIMIZERS,
    )
    learning_rate: float = setting(
        2e-4, "peak learning rate, after the warm-up", at_least=0, below=1,
        hint="2e-4 is usual for LoRA; the published table's 2.00E+04 is a misprint of it",
    )  # fmt: skip
    lora_plus: float = setting(
        1.0,
        "LoRA+: learning rate of the adapter's B matrices, as a multiple of that of the others",
        at_least=1,
        at_most=1000,
    )
    neftune_alpha: float = setting(
        0.0,
        "NEFTune: noise on the embeddings of training texts, at most alpha / sqrt(tokens * width); 5 is"
        " usual; 0: none",
        at_least=0,
        at_most=1000,
    )
    weight_decay: float = setting(0.001, "AdamW's weight decay, on matrices only", at_least=0, at_most=1)
    beta2: float = setting(0.999, "AdamW's second beta", at_least=0, below=1)
    schedule: str = setting(
        "cosine",
        "learning rate after the warm-up; plateau: no warm-up, reduce it when trainer.monitor stalls",
        choices=["cosine", "linear", "constant", "plateau"],
    )
    warmup_ratio: float = setting(
        0.03, "share of the steps in which the learning rate rises", at_least=0, below=1
    )
    plateau_factor: float = setting(
        0.5, "schedule plateau: factor that reduces the learning rate", at_least=0, below=1
    )
    plateau_patience: int = setting(
        1, "schedule plateau: validations without improvement before it is reduced", at_least=0
    )
    max_grad_norm: float = setting(0.3, "norm to which gradients are clipped; 0: not clipped", at_least=0)
    validate_every: int = setting(
        0, "optimiser steps between validations, evened out over the run; 0: once an epoch", at_least=0
    )
    monitor: str = setting(
        "loss",
        "validation metric that chooses the best checkpoint, stops early and heads the tables; answer_score:"
        " of questions that are answered at each validation, the share that is right (task retail) or the"
        " mean of the first of evaluation.metrics (task instructions); f1: of the last of two labels",
        choices=MONITORS,
    )
    monitor_questions: int = setting(
        50, "validation questions that trainer.monitor=answer_score answers at each validation", at_least=1
    )
    patience: int = setting(
        3, "validations without improvement before training stops; 0: never stop early", at_least=0
    )
    min_delta: float = setting(0.0, "change of trainer.monitor that counts as improvement", at_least=0)
    max_hours: float = setting(0.0, "hours of training at most; 0: no limit", at_least=0)
    class_weights: bool = setting(
        False, "task labels: weight the loss so that rare labels count as much as frequent ones"
    )
    log_every: int = setting(10, "optimiser steps between logged metrics", at_least=1)
    checkpoint_every: int = setting(
        200,
        "optimiser steps between checkpoints to resume from, in addition to epoch ends; 0: none",
        at_least=0,
    )
    checkpoint_minutes: float = setting(10.0, "minutes between these checkpoints; 0: none", at_least=0)
    keep_checkpoints: int = setting(2, "newest of these that are kept, in addition to the best", at_least=1)
    skip_steps: int = setting(
        3, "steps in a row with non-finite gradients that are skipped before the run goes back to its last"
        " checkpoint, once", at_least=0,
    )  # fmt: skip
    prune: bool = setting(
        False,
        "stop a job of a sweep whose validation is worse than the median of the others at the same step",
    )
