"""What the tests' own HTTP servers share: JSON answers, and no log of requests."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any


class JsonHandler(BaseHTTPRequestHandler):
    """Answers with JSON; a client that is told to come again may do so at once."""

    def log_message(self, *ignored: Any) -> None:
        """Nothing."""

    def complete(self, content: str, input_tokens: int, output_tokens: int) -> None:
        """One chat completion, as an OpenAI-compatible server answers."""
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        total = input_tokens + output_tokens
        usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": total}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        self.reply(200, body | {"choices": [choice], "usage": usage})

    def reply(self, status: int, body: Any) -> None:
        """One answer; that the client has given up is no error."""
        content = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Retry-After-Ms", "1")
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True
