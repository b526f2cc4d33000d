"""What a request to the local OpenAI asks for, checked and counted.

Every function is pure: a request body (parsed JSON) in, a number or an `ApiError` out. The rule by which words become
tokens is told in `otel_polar.sandbox.openai_api`.

Source: the OpenAI API reference, https://platform.openai.com/docs/api-reference.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

REPLY: Final = "The sandbox answers every question with the same sentence of twelve words."
DEFAULT_REPLY_TOKENS: Final = len(REPLY.split())
MAX_REPLY_TOKENS: Final = 128_000  # as much as gpt-5 answers at most
MAX_CHOICES: Final = 128

REPLY_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")  # first name present wins
"""Chat completions know the first two, completions the second, responses the third."""

TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
"""The kinds of content part whose ``text`` is counted; images, audio and files cost nothing here."""

_FIRST_SERVER_ERROR: Final = 500


class ApiError(Exception):
    """A request that is refused, with the words OpenAI has for it."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> JsonObject:
        """OpenAI's error object: ``{"error": {"message", "type", "param", "code"}}``."""
        kind = "server_error" if self.status >= _FIRST_SERVER_ERROR else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, in tokens, nested as OpenAI nests it: cached ⊂ input, reasoning ⊂ output."""

    input_tokens: int
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def require(body: JsonObject, name: str) -> None:
    """Refuse a body without a model, or without the field *name*.

    Raises:
        ApiError: status 400, naming the field.
    """
    if not body.get("model") or not isinstance(body["model"], str):
        raise ApiError(400, "you must provide a model parameter")
    if not body.get(name):
        raise ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def whole_number(body: JsonObject, name: str, *, default: int, maximum: int) -> int:
    """Field *name* as a whole number from 1 to *maximum*; *default* if absent or null.

    Raises:
        ApiError: status 400, for anything else.
    """
    value = body.get(name)
    if value is None:
        return default
    # bool is an int in Python; true is not one token.
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError(400, f"Invalid type for '{name}': expected an integer.", param=name, code="invalid_type")
    if not 1 <= value <= maximum:
        message = f"Invalid '{name}': expected a value from 1 to {maximum}, but got {value} instead."
        raise ApiError(400, message, param=name, code="invalid_value")
    return value


def is_limited(body: JsonObject) -> bool:
    """Whether the reply has a limit, and so ends by reaching it: the sandbox always says as much as it may."""
    return any(body.get(name) is not None for name in REPLY_LIMITS)


def reply_tokens(body: JsonObject) -> int:
    """Words in one reply: as many as its limit allows, without a limit one whole sentence."""
    name = next((name for name in REPLY_LIMITS if body.get(name) is not None), REPLY_LIMITS[0])
    return whole_number(body, name, default=DEFAULT_REPLY_TOKENS, maximum=MAX_REPLY_TOKENS)


def choice_count(body: JsonObject) -> int:
    """How many answers to one prompt are asked for (``n``)."""
    return whole_number(body, "n", default=1, maximum=MAX_CHOICES)


def parse_inputs(body: JsonObject, name: str) -> list[str | list[int]]:
    """Field *name* as a list of inputs: it may be one text, several, or the same as token numbers.

    Raises:
        ApiError: status 400, if it is none of these.
    """
    value = body[name]
    items: list[Any] = [value] if isinstance(value, str) or _is_token_list(value) else _as_list(value)
    if items and all(isinstance(item, str) or _is_token_list(item) for item in items):
        return items
    raise ApiError(400, f"'{name}' must be text, texts, or token numbers.", param=name, code="invalid_type")


def count_inputs(items: list[str | list[int]]) -> int:
    """Words of the texts; a token number counts as what it is, one token."""
    return sum(len(item.split()) if isinstance(item, str) else len(item) for item in items)


def count_messages(messages: Any) -> int:
    """Words in *messages*: one string, or messages whose content is a string or a list of parts."""
    if isinstance(messages, str):
        return len(messages.split())
    return sum(_count_content(message.get("content")) for message in _as_objects(messages))


def _count_content(content: Any) -> int:
    if isinstance(content, str):
        return len(content.split())
    return sum(len(str(part.get("text")).split()) for part in _as_objects(content) if part.get("type") in TEXT_PARTS)


def chat_usage(body: JsonObject) -> Usage:
    """Words of all messages in; the reply, once for each choice, out."""
    return Usage(count_messages(body["messages"]), output_tokens=reply_tokens(body) * choice_count(body))


def completion_usage(body: JsonObject) -> Usage:
    """Words of all prompts in; the reply, once for each choice of each prompt, out."""
    prompts = parse_inputs(body, "prompt")
    return Usage(count_inputs(prompts), output_tokens=reply_tokens(body) * choice_count(body) * len(prompts))


def embedding_usage(body: JsonObject) -> Usage:
    """Words of all inputs in; nothing out."""
    return Usage(count_inputs(parse_inputs(body, "input")))


def response_usage(body: JsonObject) -> Usage:
    """Words of the instructions and of all input messages in; the reply out."""
    input_tokens = count_messages(body.get("instructions")) + count_messages(body["input"])
    return Usage(input_tokens, output_tokens=reply_tokens(body))


def _is_token_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_objects(value: Any) -> list[JsonObject]:
    return [item for item in _as_list(value) if isinstance(item, dict)]
