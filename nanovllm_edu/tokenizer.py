"""`Tokenizer`: a Hugging Face tokenizer, reduced to what is used here.

The vocabulary, the merges and the chat template are the model folder's; the library `tokenizers`
applies them, by itself where that is all it takes, else within transformers. What a single token is
spelt with is read from the tokenizer's own decoder, so that text can be made token by token.

Read next: `fast_tokenizer.py`; `conversation.py` (from a conversation to a prompt);
`detokenizer.py`.
"""

import json
from copy import copy
from pathlib import Path
from typing import Any, Self

from nanovllm_edu import conversation
from nanovllm_edu.byte_pairs import token_bytes
from nanovllm_edu.conversation import Message
from nanovllm_edu.detokenizer import Decoder, Spelling
from nanovllm_edu.errors import ModelLoadError, RequestError
from nanovllm_edu.fast_tokenizer import FastTokenizer

__all__ = ["Message", "Tokenizer"]

_PIECES = {"Metaspace", "WordPiece", "Replace", "ByteFallback", "Fuse", "Strip", "BPEDecoder"}
"""Decoders that make whole characters, or single bytes, of each token."""


class Tokenizer(Decoder):
    """Encodes, decodes and applies the chat template of one model folder."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        kinds = _decoder_kinds(tokenizer)
        self.spelling: Spelling = "unknown"
        if kinds == ["ByteLevel"]:
            self.spelling = "bytes"
        elif kinds and _PIECES.issuperset(kinds):
            self.spelling = "pieces"
        self._has_byte_tokens = "ByteFallback" in kinds
        self._token_bytes: dict[int, bytes | None] = {}
        self._pieces: dict[int, str] = {}
        special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        self.special_token_ids = frozenset(special)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads the tokenizer of a model folder.

        Raises:
            ModelLoadError: The folder has none that can be read.
        """
        try:
            return cls(_fast(folder) or _from_transformers(folder))
        except (KeyboardInterrupt, SystemExit):
            raise
        # A damaged file raises whatever its parser does; one in Rust may panic, which is no
        # Exception.
        except BaseException as error:
            raise ModelLoadError(
                f"no tokenizer can be read from {folder}: {error!r:.300}. Put tokenizer.json and "
                "tokenizer_config.json beside the weights, or download them again."
            ) from error

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The tokenizer's own end-of-sequence token, if it names one."""
        eos = self._tokenizer.eos_token_id
        return frozenset() if eos is None else frozenset([eos])

    def first_difference(self, other: "Tokenizer") -> str | None:
        """The first token id that means something else to another one, in words; None if none."""
        own, others = (one._tokenizer.get_vocab() for one in (self, other))
        if own == others:
            return None
        by_id = ({i: token for token, i in vocabulary.items()} for vocabulary in (own, others))
        mine, theirs = by_id
        first = min(i for i in mine.keys() | theirs.keys() if mine.get(i) != theirs.get(i))
        return f"its token {first} is {mine.get(first)!r}, the model's is {theirs.get(first)!r}"

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Text to token ids, with the special tokens that the model's tokenizer adds."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        """Token ids to text, exactly: no cleaning up of spaces."""
        return self._tokenizer.decode(
            token_ids,
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )

    def to_json(self) -> str | None:
        """All that a fast tokenizer is, as Hugging Face writes it; None for another one."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        backend = copy(backend)
        backend.no_padding()
        backend.no_truncation()
        return backend.to_str()

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The text of each token by itself, special tokens included; for display."""
        known = self._pieces
        for token_id in token_ids:
            if token_id not in known:
                known[token_id] = self.decode([token_id], skip_special_tokens=False)
        return [known[token_id] for token_id in token_ids]

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes that a token is; none if it is no token; None if it is no bytes."""
        if self.spelling == "unknown":
            return None
        if token_id not in self._token_bytes:
            token = self._tokenizer.convert_ids_to_tokens(token_id)
            self._token_bytes[token_id] = b"" if token is None else self._spelt(token)
        return self._token_bytes[token_id]

    def _spelt(self, token: str) -> bytes | None:
        if self.spelling == "bytes":
            return token_bytes(token)
        if self._has_byte_tokens and len(token) == 6 and token[:3] == "<0x" and token[5] == ">":
            try:
                return bytes([int(token[3:5], 16)])
            except ValueError:
                return None
        return None

    def chat_prompt(
        self,
        messages: list[Message],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[int]:
        """A conversation as token ids, ready for the assistant's turn.

        The text of a special token inside a message stays text: a message cannot end its own turn.
        Whoever wants the tokens themselves writes the prompt and calls `generate`.

        Args:
            messages: `[{"role": "user", "content": "..."}]`; content may be a list of parts
                `{"type": "text", "text": "..."}`, which are joined by line breaks.
            add_generation_prompt: End with what begins the assistant's answer.
            continue_final_message: End in the middle of the last message, which is to go on;
                needs `add_generation_prompt=False`.
            chat_template_kwargs: Further variables of the template, such as `enable_thinking`.

        Raises:
            RequestError: No chat template, or the conversation does not fit it.
        """
        if not self._tokenizer.chat_template:
            raise RequestError("this model has no chat template; use generate() with plain text.")
        if add_generation_prompt and continue_final_message:
            raise RequestError(
                "continue_final_message=True goes on with the last message, and "
                "add_generation_prompt=True begins a new one; set one of them to False."
            )
        special = [str(self._tokenizer.convert_ids_to_tokens(i)) for i in self.special_token_ids]
        text = conversation.render(
            self._tokenizer,
            conversation.checked(messages),
            special_texts=special,
            variables=chat_template_kwargs or {},
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
        )
        # What was cut apart must not be put together again: each part is encoded by itself.
        parts = (self._tokenizer.encode(part, add_special_tokens=False) for part in text)
        return [token_id for part in parts for token_id in part]


def _fast(folder: Path) -> FastTokenizer | None:
    """The tokenizer, if its library alone reads it as transformers would."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(settings, dict) or not FastTokenizer.is_enough(folder, settings):
        return None
    tokenizer = FastTokenizer.load(folder, settings)
    return tokenizer if tokenizer.knows_its_tokens() else None


def _from_transformers(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _decoder_kinds(tokenizer: Any) -> list[str]:
    """The names of the steps by which a fast tokenizer decodes; none for another tokenizer."""
    if hasattr(tokenizer, "decoder_kinds"):  # ours
        return list(tokenizer.decoder_kinds)
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return []
    described = json.loads(decoder.__getstate__())
    return [step["type"] for step in described.get("decoders", [described])]
