"""Learns the tokenizer: byte-level byte pair encoding on text of the corpus.

Every text can be encoded, since the 256 bytes are tokens themselves. The result is an ordinary
Hugging Face tokenizer with a chat template. Next: `tokens.py`, which encodes the corpus with it.
"""

from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.corpus import document
from training.tokens import END_OF_TURN, PADDING, START_OF_TURN, render

SPECIAL_TOKENS = [PADDING, START_OF_TURN, END_OF_TURN]

# Words keep their leading space, digits stand alone: so 17 is "1", "7", and counting is learnable.
_WORDS = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer(
    vocab_size: int = 2560, num_documents: int = 20_000, seed: int = 0
) -> PreTrainedTokenizerFast:
    """Learns the vocabulary on freshly drawn documents.

    Args:
        vocab_size: Number of tokens, special ones and the 256 bytes included.
        num_documents: How many documents to learn from.
        seed: The same seed gives the same tokenizer.
    """
    rng = Random(f"tokenizer-{seed}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (render(document(rng)) for _ in range(num_documents))
    tokenizer.train_from_iterator(texts, trainer)
    return _as_hugging_face(tokenizer)


def _as_hugging_face(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
