"""`Tokenizer`: a Hugging Face tokenizer, reduced to the four verbs used here.

The vocabulary, the merges and the chat template are the model folder's; transformers applies them.
"""

from pathlib import Path
from typing import Any, Self, TypedDict

from nanovllm_edu.errors import ModelLoadError, RequestError


class Message(TypedDict):
    """One turn of a conversation; role is "system", "user" or "assistant"."""

    role: str
    content: str


class Tokenizer:
    """Encodes, decodes and applies the chat template of one model folder."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads the tokenizer of a model folder.

        Raises:
            ModelLoadError: The folder has none that can be read.
        """
        from transformers import AutoTokenizer

        try:
            return cls(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
        except (OSError, ValueError, KeyError) as error:
            raise ModelLoadError(
                f"no tokenizer can be read from {folder}: {error}. Put tokenizer.json and "
                "tokenizer_config.json beside the weights."
            ) from error

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The tokenizer's own end-of-sequence token, if it names one."""
        eos = self._tokenizer.eos_token_id
        return frozenset() if eos is None else frozenset([eos])

    def encode(self, text: str) -> list[int]:
        """Text to token ids, with the special tokens that the model's tokenizer adds."""
        return list(self._tokenizer.encode(text))

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        """Token ids to text, exactly: no cleaning up of spaces."""
        return self._tokenizer.decode(
            token_ids,
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The text of each token by itself, special tokens included; for display."""
        return [self.decode([token_id], skip_special_tokens=False) for token_id in token_ids]

    def chat_prompt(self, messages: list[Message]) -> list[int]:
        """A conversation as token ids, ready for the assistant's turn.

        Raises:
            RequestError: No chat template, or the conversation does not fit it.
        """
        if not self._tokenizer.chat_template:
            raise RequestError("this model has no chat template; use generate() with plain text.")
        if not messages:
            raise RequestError("the conversation is empty; give at least one message.")
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template raises what its author chose
            raise RequestError(f"the chat template refuses {messages!r}: {error}") from error
        return list(self._tokenizer.encode(text, add_special_tokens=False))
