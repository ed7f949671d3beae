"""`PlainTokenizer`: a model folder's tokenizer, read with the standard library alone.

It stands in for transformers' object where there is none: `Tokenizer` (`tokenizer.py`) asks it the
same questions. Byte-level BPE is what it reads, and a tokenizer of another kind is refused by name.

Read next: `tokenizer.py`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, Self

from nanovllm_edu.byte_pairs import BytePairs, token_bytes
from nanovllm_edu.chat_template import Templated
from nanovllm_edu.errors import ModelLoadError

PIECES_OF_WORDS = {  # what would make the merges of a word something else
    "type": "BPE",
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "ignore_merges": False,
}


class AddedToken(NamedTuple):
    """A token that is not the result of merges."""

    content: str
    special: bool


class PlainTokenizer(Templated):
    """The part of transformers' tokenizer that this package uses.

    Args:
        tokenizer: What tokenizer.json holds.
        settings: What tokenizer_config.json holds.

    Raises:
        ModelLoadError: It is of a kind that is not read here.
    """

    decoder_kinds = ("ByteLevel",)

    def __init__(self, tokenizer: dict[str, Any], settings: dict[str, Any]) -> None:
        _check(tokenizer)
        model, added = tokenizer["model"], tokenizer["added_tokens"]
        self.added_tokens_decoder = {
            token["id"]: AddedToken(token["content"], token["special"]) for token in added
        }
        ids = {token.content: i for i, token in self.added_tokens_decoder.items()}
        split = (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
        merges = ((left, right) for left, right in split)
        pattern = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        self._bpe = BytePairs(model["vocab"], merges, pattern, ids)
        self._vocabulary = model["vocab"] | ids
        self._tokens = {token_id: token for token, token_id in self._vocabulary.items()}
        self.eos_token_id = self._vocabulary.get(settings.get("eos_token"))
        self.chat_template = settings.get("chat_template")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads the tokenizer of a model folder.

        Raises:
            ModelLoadError: There is none, or it is of a kind that is not read here.
        """
        files = (folder / name for name in ("tokenizer.json", "tokenizer_config.json"))
        try:
            return cls(*(json.loads(file.read_text("utf-8")) for file in files))
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelLoadError(
                f"the tokenizer in {folder} is not read without transformers: {error!r:.300}; "
                "use LLM()."
            ) from error

    def get_vocab(self) -> dict[str, int]:
        """Token -> id."""
        return self._vocabulary

    def convert_ids_to_tokens(self, token_id: int) -> str | None:
        """A token as the vocabulary spells it."""
        return self._tokens.get(token_id)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Text to token ids; tokenizers that add tokens around a text are refused when read."""
        return self._bpe.encode(text)

    def decode(
        self,
        token_ids: list[int],
        *,
        skip_special_tokens: bool = True,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """The text of all tokens' bytes."""
        added = self.added_tokens_decoder
        kept = (
            self._tokens.get(i, "")
            for i in token_ids
            if not (skip_special_tokens and i in added and added[i].special)
        )
        return b"".join(map(token_bytes, kept)).decode("utf-8", "replace")


def _check(tokenizer: dict[str, Any]) -> None:
    """Refuses whatever would give other tokens."""
    model, words = tokenizer["model"], tokenizer["pre_tokenizer"]
    for name, value in PIECES_OF_WORDS.items():
        if model.get(name, value) != value:
            raise ValueError(f"{name} is {model[name]!r}")
    kinds = [part["type"] for part in words["pretokenizers"]]
    behaviour = words["pretokenizers"][0].get("behavior"), words["pretokenizers"][0].get("invert")
    is_plain_bytes = not words["pretokenizers"][-1].get("add_prefix_space")
    if kinds != ["Split", "ByteLevel"] or behaviour != ("Isolated", False) or not is_plain_bytes:
        raise ValueError("it splits text in another way")
    if tokenizer["normalizer"] is not None or tokenizer["decoder"]["type"] != "ByteLevel":
        raise ValueError("it changes text")
    if (tokenizer["post_processor"] or {}).get("special_tokens"):
        raise ValueError("it adds tokens around a text")
    for token in tokenizer["added_tokens"]:
        if token["single_word"] or token["lstrip"] or token["rstrip"]:
            raise ValueError(f"{token['content']} is found by rules of its own")
