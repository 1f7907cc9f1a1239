"""One way for training, prediction and chat: turns -> token ids and answer mask.

ids       <bos> <start_of_turn> user ... ? <end_of_turn> <start_of_turn> model \\n The ... <end_of_turn> <eos>
answer      0         0          0   0   0       0              0          0    0   1   1       1          1

Prompt and answer are tokenised apart and the mask is made by length: text is never searched, and padding is
never looked at. Models with Gemma's turn tokens get the published format; every other model gets its own chat
template.
"""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from data.tokens.chat_templates import (
    END,
    PUBLISHED_TEMPLATE,
    START,
    TEMPLATE_VARIABLES,
    THINKING_END,
    Message,
    Segment,
    Tokenizer,
    Turns,
    asked_messages,
    load_tokenizer,
    published,
    with_fixed_date,
    with_thinking,
    without_answers,
    without_system,
)
from data.tokens.escaping import escape_text
from data.tokens.example import Example
from data.values import Settings

Texts = Sequence[str]
TEXTS_AT_ONCE = 4096  # texts that the tokenizer takes at a time


class Renderer:
    """Renders turns with the tokenizer of one model.

    Args:
        base: folder or Hub name. thinking: whether the model reasons first; `decode` leaves that out.
    """

    reads_turns = False  # whether earlier turns and questions in no category are for this model

    def __init__(self, base: str, thinking: bool = False) -> None:
        self.base, self.thinking = base, thinking

    @classmethod
    def of(cls, base: str, origin: Settings) -> "Renderer":
        """The renderer of a trained model, by what it was made of."""
        return cls(base, bool(origin["data"].get("thinking")))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises ValueError as `load_tokenizer` does."""
        return load_tokenizer(self.base)

    @cached_property
    def turns(self) -> bool:
        """Whether the tokenizer has Gemma's turn tokens as single tokens."""
        vocabulary = self.tokenizer.get_vocab()
        return START in vocabulary and END in vocabulary

    @cached_property
    def template(self) -> str:
        """What this renderer does, for cache keys: the format's version and the tokenizer's template."""
        template = self.chat_template
        return f"published-1 {START}" if self.turns else f"chat-2 {template}"

    @property
    def chat_template(self) -> str:
        """The format as a Jinja template, for servers: what they make of messages has the ids that
        `conversation()` gives.
        """
        own = PUBLISHED_TEMPLATE if self.turns else with_fixed_date(str(self.tokenizer.chat_template))
        return with_thinking(own, self.thinking)

    def save(self, folder: Path) -> None:
        """The tokenizer with the format as its chat template, and that once more as chat_template.jinja."""
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.chat_template = self.chat_template
        tokenizer.save_pretrained(folder)
        (folder / "chat_template.jinja").write_text(self.chat_template, encoding="utf-8")

    @cached_property
    def special(self) -> list[str]:
        """Strings that the tokenizer would read as control tokens, longest first."""
        return sorted(
            {*self.tokenizer.all_special_tokens, *([START, END] if self.turns else [])}, key=len, reverse=True
        )

    def harmless(self, text: str) -> str:
        """Text from a table or a visitor with control tokens broken up."""
        return escape_text(text, self.special)

    def segments(self, messages: list[Message]) -> list[list[Segment]]:
        """A conversation as text with control tokens, prompts and answers in turn; without a last answer,
        what prediction sends.

        It is one row. Where the model's template writes earlier turns in another way once they are answered
        (Qwen 3 drops what was thought), there is a row for each answer, with all that was said before it as
        its prompt. Raises ValueError if the template does not put an answer after its own generation prompt.
        """
        messages = [{"role": m["role"], "content": self.harmless(m["content"])} for m in messages]
        if self.turns:
            return [published(without_system(messages), self.tokenizer)]
        whole = self.templated(messages)
        if whole is not None:
            return [whole]
        rows = []
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                *earlier, answer = self.answered(messages[:place], message)
                rows.append([*earlier, answer])
        return rows

    def apply(self, messages: list[Message], prompt: bool) -> str:
        """What the model's own template makes of it; a system turn that it lacks stands before the first
        user's text. Raises ValueError if the template refuses the messages.
        """
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            raise ValueError(
                f"model.base={self.base} has no chat template: choose the instruction-tuned (-it) model"
            )
        try:
            return self.applied(messages if self.knows_system else without_system(messages), prompt)
        except TemplateError as error:
            raise ValueError(f"the chat template of {self.base} refuses a conversation: {error}") from None

    def applied(self, messages: list[Message], prompt: bool) -> str:
        """What the template makes of the messages as they are."""
        text = str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.chat_template,
                tokenize=False,
                add_generation_prompt=prompt,
                **TEMPLATE_VARIABLES,
            )
        )
        bos = self.tokenizer.bos_token
        return bos + text if bos and self.begins_with_bos and not text.startswith(bos) else text

    @cached_property
    def knows_system(self) -> bool:
        """Whether the template has a system turn that stays where it is once a question is answered."""
        from jinja2 import TemplateError

        asked: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
        try:
            prompt = self.applied(asked, True)
            whole = self.applied([*asked, {"role": "assistant", "content": "a"}], False)
        except TemplateError:
            return False
        return whole.startswith(prompt)

    def answered(self, earlier: list[Message], answer: Message) -> list[Segment]:
        """A prompt and its answer. Raises ValueError if the template does not put the one after the other."""
        prompt, whole = self.apply(earlier, True), self.apply([*earlier, answer], False)
        if not whole.startswith(prompt):
            raise ValueError(
                f"the chat template of {self.base} rewrites an answered prompt, so it cannot be trained"
            )
        tail, eos = whole[len(prompt) :], self.tokenizer.eos_token
        return [(prompt, False), (tail if tail.rstrip().endswith(eos) else tail + eos, True)]

    def templated(self, messages: list[Message]) -> list[Segment] | None:
        """By the model's own template; None if it writes earlier turns in another way once there are later
        ones.
        """
        found: list[Segment] = []
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                (prompt, _), answer = self.answered(messages[:place], message)
                done = "".join(text for text, _ in found)
                if not prompt.startswith(done):
                    return None
                found += [(prompt[len(done) :], False), answer]
        if messages[-1]["role"] == "assistant":
            return found
        prompt, done = self.apply(messages, True), "".join(text for text, _ in found)
        return [*found, (prompt[len(done) :], False)] if prompt.startswith(done) else [(prompt, False)]

    def prompt_text(self, messages: list[Message]) -> str:
        """What an answer to the last message starts from."""
        harmless = [message | {"content": self.harmless(message["content"])} for message in messages]
        if not self.turns:
            return self.apply(harmless, True)
        return "".join(text for text, _ in published(without_system(harmless), self.tokenizer))

    def texts(self, context: str, question: str, answer: str | None, earlier: Turns = ()) -> tuple[str, str]:
        """(prompt, answer) of a turn as text with control tokens; the answer is '' for a prediction."""
        messages = asked_messages(context, question, earlier)
        if answer is None:
            return self.prompt_text(messages), ""
        *before, (reply, _) = self.segments([*messages, {"role": "assistant", "content": answer}])[-1]
        return "".join(text for text, _ in before), reply

    @cached_property
    def begins_with_bos(self) -> bool:
        """Whether the tokenizer itself would begin a text with BOS."""
        return self.tokenizer("a").input_ids[:1] == [self.tokenizer.bos_token_id]

    def render(self, context: str, question: str, answer: str | None) -> Example:
        """One turn -> ids and mask; without an answer, the prompt that prediction and chat send."""
        return self.render_all([context], [question], [answer])[0]

    def render_all(
        self, contexts: Texts, questions: Texts, answers: Sequence[str | None], earlier: Sequence[Turns] = ()
    ) -> list[Example]:
        """`render()` of many turns at once; the tokenizer works through them in parallel.

        Args:
            earlier: questions and answers before each question. The last answer alone is trained.
        """
        before = earlier or [()] * len(questions)
        texts = [self.texts(*turn) for turn in zip(contexts, questions, answers, before, strict=True)]
        prompts = self.encode([prompt for prompt, _ in texts])
        replies = self.encode([reply for _, reply in texts])
        return [Example.turn(p + r, len(p)) for p, r in zip(prompts, replies, strict=True)]

    def prompts(self, contexts: Texts, questions: Texts, earlier: Sequence[Turns] = ()) -> list[list[int]]:
        """The ids that prediction starts from. earlier: as for `render_all`."""
        asked = zip(contexts, questions, earlier or [()] * len(questions), strict=True)
        inside = [self.in_prompt(*turn) for turn in asked]
        rendered = self.render_all(inside, questions, [None] * len(questions), earlier)
        return [example.ids for example in rendered]

    def in_prompt(self, context: str, question: str, earlier: Turns) -> str:
        """A context as it stands in the prompt of a question that is answered."""
        return context

    def conversation(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt of a question that follows earlier ones with their answers, as in training."""
        inside = self.in_prompt(context, question, earlier)
        return self.encoded(self.prompt_text(asked_messages(inside, question, earlier)))

    def render_conversations(
        self, conversations: list[list[Message]], untrained: list[list[int]] | None = None
    ) -> list[Example]:
        """Conversations -> examples, one or (see `segments`) several each, trained on every answer but those
        whose numbers are in ``untrained``.
        """
        rows: list[list[Segment]] = []
        left_out_of = untrained or [[]] * len(conversations)
        for conversation, left_out in zip(conversations, left_out_of, strict=True):
            rows += without_answers(self.segments(conversation), left_out)
        pieces = iter(self.encode([text for row in rows for text, _ in row]))
        found = []
        for row in rows:
            ids: list[int] = []
            spans = []
            for _, trained in row:
                piece = next(pieces)
                if trained:
                    spans.append((len(ids), len(ids) + len(piece)))
                ids += piece
            found.append(Example(ids, tuple(spans)))
        return found

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Texts whose control tokens are meant -> ids, nothing added."""
        parts = (texts[i : i + TEXTS_AT_ONCE] for i in range(0, len(texts), TEXTS_AT_ONCE))
        return [ids for part in parts for ids in self.tokenizer(part, add_special_tokens=False).input_ids]

    def encoded(self, text: str) -> list[int]:
        """A text -> its ids, nothing added."""
        return self.encode([text])[0]

    @cached_property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer: EOS, and whatever control token the format itself puts after an answer."""
        tail = self.texts("", "a", "b")[1]
        control = set(self.tokenizer.all_special_ids) | set(self.encode([END])[0] if self.turns else [])
        return sorted({i for i in self.encode([tail])[0] if i in control} | {self.tokenizer.eos_token_id})

    def decode(self, ids: list[int]) -> str:
        """Answer ids -> text without control tokens, and without reasoning."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        return (text.rpartition(THINKING_END)[2] if self.thinking else text).strip()

    def modelfile(self, file: str) -> str:
        """What Ollama is told of a GGUF file of the model: the prompt of one turn, and where an answer
        ends.
        """
        prompt, _ = self.texts("", "{{ .Prompt }}", None)
        if self.begins_with_bos:  # llama.cpp adds it as well
            prompt = prompt.removeprefix(self.tokenizer.bos_token)
        stops = self.tokenizer.convert_ids_to_tokens(self.stop_ids)
        lines = [f"FROM ./{file}", f'TEMPLATE """{prompt}"""', "PARAMETER temperature 0"]
        return "\n".join([*lines, *(f'PARAMETER stop "{token}"' for token in stops), ""])
