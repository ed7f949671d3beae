"""`FastTokenizer`: a model folder's tokenizer.json, read by the library that it was made for.

transformers reads most tokenizers with that library too (`tokenizers`), and takes two seconds to
import. For a folder whose tokenizer.json is all there is to its tokenizer, both are the same, and
`Tokenizer` (`tokenizer.py`) asks this one the questions that it asks transformers' object.

Read next: `tokenizer.py`, which decides; `chat_template.py`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nanovllm_edu.chat_template import Templated
from nanovllm_edu.errors import ModelLoadError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""What transformers calls a tokenizer to which its own code adds nothing."""

_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_WITHOUT_EFFECT = (
    *("tokenizer_class", "backend", "chat_template", "clean_up_tokenization_spaces", "is_local"),
    *("model_max_length", "padding_side", "truncation_side", "model_input_names"),
)
"""Settings that change nothing of what is asked here, or are looked at."""

_OLDER_FILES = ("special_tokens_map.json", "added_tokens.json", "additional_chat_templates")
"""What transformers reads too, where it is there."""


class FastTokenizer(Templated):
    """The part of transformers' tokenizer that this package uses.

    Args:
        backend: The tokenizer.
        settings: What tokenizer_config.json holds.
    """

    def __init__(self, backend: "Backend", settings: dict[str, Any]) -> None:
        backend.no_padding()
        backend.no_truncation()
        self.backend_tokenizer = backend
        self.added_tokens_decoder = backend.get_added_tokens_decoder()
        self.chat_template = settings.get("chat_template")
        self.names = {name: settings[name] for name in _NAMED if settings.get(name) is not None}
        eos = self.names.get("eos_token")
        self.eos_token_id = None if eos is None else backend.token_to_id(eos)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> Self:
        """Reads the tokenizer of a folder for which `is_enough` says yes.

        Raises:
            ModelLoadError: tokenizer.json is damaged.
        """
        from tokenizers import Tokenizer as Backend

        path = folder / "tokenizer.json"
        try:
            return cls(Backend.from_file(str(path)), settings)
        except Exception as error:  # the library raises nothing narrower
            raise ModelLoadError(
                f"{path} cannot be used: {error!s:.300}. Download it again."
            ) from error

    @classmethod
    def is_enough(cls, folder: Path, settings: dict[str, Any]) -> bool:
        """Whether tokenizer.json and a few plain settings are all there is to a tokenizer."""
        template = settings.get("chat_template")
        return (
            settings.get("tokenizer_class") in CLASSES
            and settings.keys() <= {*_NAMED, *_WITHOUT_EFFECT}
            and all(isinstance(settings.get(name, ""), str | None) for name in _NAMED)
            and (template is None or isinstance(template, str))
            and (folder / "tokenizer.json").is_file()
            and not any(folder.glob("*.jinja"))
            and not any((folder / name).exists() for name in _OLDER_FILES)
        )

    def knows_its_tokens(self) -> bool:
        """Whether the tokens that the settings name are in the vocabulary, as special ones."""
        special = {token.content for token in self.added_tokens_decoder.values() if token.special}
        return special.issuperset(self.names.values())

    def get_vocab(self) -> dict[str, int]:
        """Token -> id."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    def convert_ids_to_tokens(self, token_id: int) -> str | None:
        """A token as the vocabulary spells it."""
        return self.backend_tokenizer.id_to_token(token_id)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Text to token ids."""
        return self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(
        self,
        token_ids: list[int],
        *,
        skip_special_tokens: bool = True,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """Token ids to text; nothing is cleaned up."""
        assert not clean_up_tokenization_spaces
        return self.backend_tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)
