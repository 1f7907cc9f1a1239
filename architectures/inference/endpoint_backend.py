"""The back end that sends prompts to a running server with OpenAI's completions API, such as `vllm serve`."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from architectures.inference.backend import Answers, Decoding, Sampling
from architectures.inference.chat_client import error_message
from architectures.values import Identity

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EndpointSettings:
    """How a server is reached.

    Args:
        model: the name under which the server serves the model. concurrency: requests at once. retries: of a
        request,
            with exponential back-off. address, key: empty: OPENAI_BASE_URL and OPENAI_API_KEY.
    """

    model: str
    concurrency: int
    retries: int
    address: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        """The address that is used."""
        return self.address or os.environ.get("OPENAI_BASE_URL", "")

    def client(self) -> "OpenAI":
        """A client of the server. Raises OpenAIError without a key."""
        from openai import OpenAI

        return OpenAI(base_url=self.address or None, api_key=self.key or None, max_retries=self.retries)


class EndpointBackend:
    """A running server with OpenAI's completions API.

    Args:
        identity: of the weights that the server is said to serve. encode: text -> token ids, for servers that
        return
            text alone.
    """

    name = "endpoint"

    def __init__(
        self,
        settings: EndpointSettings,
        identity: Identity,
        decoding: Decoding,
        encode: Callable[[str], list[int]],
    ) -> None:
        self.settings, self.decoding, self.encode = settings, decoding, encode
        self.extra = {"return_token_ids": True, "stop_token_ids": decoding.stop_ids}
        limits = [decoding.stop_ids, decoding.max_new_tokens]
        self.identity = [self.name, settings.url, settings.model, *identity, *limits]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """See `architectures.inference.backend.Backend`."""
        from openai import OpenAIError

        client = self.connect()
        failures: list[str] = []
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            requests = {
                pool.submit(self.complete, client, prompt): place for place, prompt in enumerate(prompts)
            }
            try:
                for request in as_completed(requests):
                    try:
                        yield requests[request], request.result()
                    except OpenAIError as error:
                        failures.append(error_message(error))
                        yield requests[request], None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if failures:
            log.warning("%d requests failed, for example: %s", len(failures), failures[0])

    def connect(self) -> "OpenAI":
        """A client of a server that serves the model. Raises ValueError otherwise."""
        from openai import APIConnectionError, OpenAIError

        try:
            client = self.settings.client()
            served = [model.id for model in client.models.list()]
        except APIConnectionError as error:
            raise ValueError(
                f"no answer from OPENAI_BASE_URL={self.settings.url}: {error_message(error)}"
            ) from None
        except OpenAIError as error:
            raise ValueError(
                f"{error_message(error)}; set OPENAI_BASE_URL to the endpoint's address"
            ) from None
        if self.settings.model not in served:
            names = ", ".join(served) or "nothing"
            raise ValueError(f"evaluation.served_model={self.settings.model}: the endpoint serves {names}")
        return client

    def complete(self, client: "OpenAI", prompt: list[int]) -> list[int]:
        """One answer, decoded greedily."""
        completion = client.completions.create(
            model=self.settings.model,
            prompt=prompt,
            temperature=0,
            max_tokens=self.decoding.max_new_tokens,
            extra_body=self.extra,
        )
        choice = completion.choices[0]
        ids: list[int] | None = getattr(choice, "token_ids", None)
        if ids is None:
            ids = self.encode(choice.text)
        ends = bool(ids) and ids[-1] in self.decoding.stop_ids
        return ids[:-1] if ends else ids

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[list[int]]:
        """See `architectures.inference.backend.StreamingBackend`. Raises ValueError if the endpoint does
        not answer.
        """
        from openai import OpenAIError

        ids: list[int] = []
        text = ""
        try:
            parts = self.settings.client().completions.create(
                model=self.settings.model,
                prompt=prompt,
                stream=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                extra_body=self.extra,
            )
            with parts:
                for part in parts:
                    for choice in part.choices:
                        text += choice.text
                        new: list[int] | None = getattr(choice, "token_ids", None)
                        if new is None:
                            ids = self.encode(text)
                        else:
                            ids = [*ids, *(token for token in new if token not in self.decoding.stop_ids)]
                        yield ids
        except OpenAIError as error:
            raise ValueError(f"the endpoint did not answer: {error_message(error)}") from None
