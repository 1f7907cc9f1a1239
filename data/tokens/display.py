"""Token ids as text for a terminal."""

from data.tokens.chat_templates import Tokenizer
from data.tokens.example import Example

LETTER_TOKENS = 8  # that one letter may take, at most


def show_tokens(tokenizer: Tokenizer, example: Example) -> str:
    """One example, a bar after each token; what is not trained is dimmed. Tokens that hold parts of one
    letter stand together.
    """
    dimmed = []
    mask = example.mask
    begin = 0
    for end in range(1, len(example.ids) + 1):
        piece = tokenizer.decode(example.ids[begin:end])
        is_cut = "\ufffd" in piece and end < len(example.ids) and mask[end] == mask[begin]
        if is_cut and end - begin < LETTER_TOKENS:
            continue
        text = piece.replace("\n", "\\n\n")
        dimmed.append(text if mask[begin] else f"\033[2m{text}\033[0m")
        begin = end
    return "\033[2m|\033[0m".join(dimmed)
