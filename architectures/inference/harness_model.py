"""A model of this project as the LM Evaluation Harness asks it: log-likelihoods by the forward pass of
training, greedy answers by the back end of the evaluation. Imported where a task is done alone.
"""

from collections import defaultdict
from dataclasses import dataclass

from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from transformers import PreTrainedTokenizerBase

from architectures.inference.backend import Decoding
from architectures.inference.losses import row_sums
from architectures.inference.transformers_backend import generate_answers
from architectures.models.causal_lm import CausalLM

NEW_TOKENS = 256  # of an answer, where its task sets no limit
LONGEST = 2048  # tokens, where the model's configuration does not say
BATCH_SIZE = 16


_Request = tuple[tuple[str, str], list[int], list[int]]  # texts, and token ids, of context and continuation


@dataclass(frozen=True)
class _Row:
    """Token ids, and where what is predicted begins and ends."""

    ids: list[int]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, context: list[int], continuation: list[int], longest: int) -> "_Row":
        """A context and what is predicted after it; of a row that is too long, the end."""
        ids = [*context, *continuation][-longest:]
        begin = max(1, len(ids) - len(continuation))
        return cls(ids, ((begin, len(ids)),))


class HarnessModel(TemplateLM):
    """See the module; the methods are those of `lm_eval.api.model.TemplateLM`."""

    def __init__(self, module: CausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.module, self.tokenizer = module, tokenizer
        self.longest = int(getattr(module.net.config, "max_position_embeddings", LONGEST))

    @property
    def eot_token_id(self) -> int:
        """The token that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context."""
        start = self.tokenizer.bos_token_id
        return self.eot_token_id if start is None else int(start)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        """Token ids; as the tokenizer has it with BOS, but never with two."""
        start = self.tokenizer.bos_token
        has_start = start is not None and string.startswith(start)
        is_added = add_special_tokens is not False and not has_start
        return list(self.tokenizer.encode(string, add_special_tokens=is_added))

    def _loglikelihood_tokens(self, requests: list[_Request], **_: object) -> list[tuple[float, bool]]:
        rows = [_Row.of(context, continuation, self.longest) for _, context, continuation in requests]
        return [(-loss, right == count) for loss, right, count in row_sums(self.module, rows)]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihoods of whole texts."""
        found = []
        for request in requests:
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            windows = utils.get_rolling_token_windows(ids, self.prefix_token_id, self.longest, 1)
            disjoint = map(utils.make_disjoint_window, windows)
            rows = [_Row.of(context, continuation, self.longest) for context, continuation in disjoint]
            found.append(-sum(loss for loss, _, _ in row_sums(self.module, rows)))
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers, each up to the first of its ends."""
        places_of: dict[int, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            places_of[int(request.args[1].get("max_gen_toks", NEW_TOKENS))].append(place)
        answers = [""] * len(requests)
        for limit, places in places_of.items():
            prompts = [self.tok_encode(requests[place].args[0])[limit - self.longest :] for place in places]
            decoding = Decoding([self.eot_token_id], limit)
            ids = generate_answers(self.module.net, prompts, decoding, BATCH_SIZE)
            for place, answer in zip(places, ids, strict=True):
                text = str(self.tokenizer.decode(answer, skip_special_tokens=True))
                answers[place] = _until(text, requests[place].args[1].get("until", []))
        return answers


def _until(text: str, ends: list[str]) -> str:
    """The text before the first of some ends."""
    for end in filter(None, ends):
        text = text.split(end)[0]
    return text
