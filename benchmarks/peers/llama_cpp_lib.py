"""llama.cpp, by its C interface: its server's loop over sequences in a few lines.

Prompts that begin alike are recognised once, at the start of a run: the beginning is computed for
the first of them, and its cells are shared with the others.
"""

import ctypes
import json
import os
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

PACKAGE = "llama_cpp"
ARCHITECTURE = "qwen3"
MOST, BATCH, CELLS = 64, 2048, 16384
"""Sequences, tokens of a call, and tokens in memory."""


def prepare(folder: Path) -> None:
    """Writes the weights as GGUF, float32."""
    import gguf
    from safetensors.numpy import load_file

    config = SimpleNamespace(**json.loads((folder / "config.json").read_text("utf-8")))
    writer = gguf.GGUFWriter(folder / "model.gguf", ARCHITECTURE)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, tensor in load_file(folder / "model.safetensors").items():
        writer.add_tensor(names.get_name(name, (".weight",)), tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Engine:
    """One context with room for `MOST` sequences."""

    def __init__(self, folder: Path) -> None:
        import llama_cpp

        self._lib = lib = llama_cpp
        lib.llama_backend_init()
        options = lib.llama_model_default_params()
        self._model = lib.llama_model_load_from_file(str(folder / "model.gguf").encode(), options)
        options = lib.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_seq_max = CELLS, BATCH, MOST
        options.n_threads = options.n_threads_batch = os.cpu_count() or 1
        options.type_k = options.type_v = lib.GGML_TYPE_F32
        options.kv_unified = True
        self._context = lib.llama_init_from_model(self._model, options)
        self._num_tokens = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model))
        self._batch = lib.llama_batch_init(BATCH, 0, 1)

    def generate(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        """All at once: a step has the next token of whoever has begun, and prompts."""
        lib = self._lib
        memory = lib.llama_get_memory(self._context)
        lib.llama_memory_clear(memory, True)
        outputs: list[list[int]] = [[] for _ in prompts]
        done = self._share(memory, prompts)
        while True:
            tokens: list[tuple[int, int, int, bool]] = []  # token, position, sequence, is last
            for i, prompt in enumerate(prompts):
                if 0 < len(outputs[i]) < lengths[i]:
                    tokens.append((outputs[i][-1], len(prompt) + len(outputs[i]) - 1, i, True))
            for i, prompt in enumerate(prompts):
                for position in range(done[i], min(len(prompt), done[i] + BATCH - len(tokens))):
                    done[i] += 1
                    tokens.append((prompt[position], position, i, position == len(prompt) - 1))
            if not tokens:
                return outputs
            for i, token in self._decode(tokens):
                outputs[i].append(token)

    def _share(self, memory: object, prompts: list[list[int]]) -> list[int]:
        """Computes what all prompts begin with; how much of each is done."""
        columns = zip(*prompts, strict=False)
        num_common = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
        num_common = min(num_common, min(map(len, prompts)) - 1)
        if len(prompts) == 1 or num_common < 16:
            return [0] * len(prompts)
        self._decode([(prompts[0][p], p, 0, False) for p in range(num_common)])
        for i in range(1, len(prompts)):
            self._lib.llama_memory_seq_cp(memory, 0, i, 0, num_common)
        return [num_common] * len(prompts)

    def _decode(self, tokens: list[tuple[int, int, int, bool]]) -> list[tuple[int, int]]:
        """Runs one batch; the likeliest token of each sequence whose last token is in it."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for row, (token, position, sequence, is_last) in enumerate(tokens):
            batch.token[row], batch.pos[row] = token, position
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
            batch.logits[row] = is_last
        status = self._lib.llama_decode(self._context, batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        chosen = []
        for row, (_, _, sequence, is_last) in enumerate(tokens):
            if is_last:
                logits = self._lib.llama_get_logits_ith(self._context, row)
                numbers = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * self._num_tokens))
                chosen.append((sequence, int(np.frombuffer(numbers.contents, np.float32).argmax())))
        return chosen
