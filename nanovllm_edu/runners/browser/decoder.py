"""`PlainDecoder`: the forward pass of the model in the box, one C function after the other.

                token_ids -> Embedding -> hidden
    each layer: norm -> q, k, v -> norm and turn q, k -> store k, v -> attend -> project, add
                norm -> gate, up -> silu(gate) * up -> project, add
                norm -> scores of the whole vocabulary

That is `models/qwen3.py`, which explains it. Here a matrix is an array, and each of these steps is
a call of a kernel in C: `native/gemm.c`, `native/ops.c`, `native/paged_attention.c`.

Read next: `runner.py`.
"""

from collections.abc import Mapping
from ctypes import CDLL, c_int
from typing import NamedTuple

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.native.library import FOLDER, load_library
from nanovllm_edu.native.signatures import declared
from nanovllm_edu.runners.browser.floats import Floats, address, gather, zeros
from nanovllm_edu.runners.browser.kv_cache import KEYS, VALUES, PlainKVCache
from nanovllm_edu.runners.browser.shape import Shape, rotary_table
from nanovllm_edu.runners.browser.step import Step

ALONE = 1
"""Threads that a kernel may use."""


def kernels(source: str, **defines: int) -> CDLL:
    """The functions of one of our C files."""
    return declared(load_library(FOLDER / source, defines), source)


class Matrix(NamedTuple):
    """A weight in the order in which `gemm.c` reads it: `[panels, inputs, panel width]`."""

    packed: Floats
    outputs: int
    inputs: int


class Layer(NamedTuple):
    """The weights of one decoder layer, those that are multiplied with the same input merged."""

    input_norm: Floats
    qkv: Matrix
    q_norm: Floats
    k_norm: Floats
    o: Matrix
    mlp_norm: Floats
    gate_up: Matrix
    down: Matrix


class PlainDecoder:
    """The model's weights, and its forward pass.

    Args:
        shape: Its sizes.
        weights: Its tensors, under the names of its checkpoint.

    Raises:
        ModelLoadError: A tensor is missing or of another size.
        CompileError: There are no kernels for this machine, or for its heads.
    """

    def __init__(self, shape: Shape, weights: Mapping[str, Floats]) -> None:
        self.shape = shape
        self._gemm = kernels("gemm.c")
        self._ops = kernels("ops.c")
        self._attention = kernels("paged_attention.c", HEAD_DIM=shape.head_dim)
        self._weights = weights
        self._embedding = self._tensor("model.embed_tokens", shape.vocab_size * shape.hidden_size)
        self._layers = [self._layer(f"model.layers.{i}.") for i in range(shape.num_layers)]
        self._norm = self._tensor("model.norm", shape.hidden_size)
        self._head = self._pack(self._embedding, shape.hidden_size)
        self._cos_sin = rotary_table(shape)
        del self._weights

    def logits(self, step: Step, cache: PlainKVCache) -> Floats:
        """Scores `[sampled, vocab]` of the tokens that are sampled from.

        Keys and values of all tokens are stored. In the last layer that is all that the others are
        computed for, so there only `step.sampled` go on.
        """
        hidden = gather(self._embedding, self.shape.hidden_size, step.token_ids)
        residual = None
        for index, layer in enumerate(self._layers):
            is_last = index == len(self._layers) - 1
            normed, residual = self._add_norm(hidden, residual, layer.input_norm)
            mixed = self._attend(index, normed, step, cache)
            if is_last:
                mixed = gather(mixed, self.shape.q_size, step.sampled)
                residual = gather(residual, self.shape.hidden_size, step.sampled)
            mixed = self._multiply(mixed, layer.o)
            normed, residual = self._add_norm(mixed, residual, layer.mlp_norm)
            hidden = self._multiply(self._gated(self._multiply(normed, layer.gate_up)), layer.down)
        normed, _ = self._add_norm(hidden, residual, self._norm)
        return self._multiply(normed, self._head)

    def _attend(self, index: int, normed: Floats, step: Step, cache: PlainKVCache) -> Floats:
        """Project, normalise and turn, store, and let each token look at those before it."""
        shape, layer = self.shape, self._layers[index]
        qkv = self._multiply(normed, layer.qkv)
        q = self._turned(qkv, 0, shape.num_heads, layer.q_norm, step)
        k = self._turned(qkv, shape.q_size, shape.num_kv_heads, layer.k_norm, step)
        keys_values = cache.layer(index)
        cache.store(keys_values[KEYS], step.slots, k, 0, shape.kv_size)
        first_value = shape.q_size + shape.kv_size
        cache.store(keys_values[VALUES], step.slots, qkv, first_value, layer.qkv.outputs)
        out = zeros(len(q))
        arrays = (out, q, *keys_values, step.block_tables, step.sequences, step.positions)
        group = shape.num_heads // shape.num_kv_heads
        sizes = (step.table_width, len(step.positions), shape.num_kv_heads, group)
        self._attention.paged_attention(*map(address, arrays), *sizes, cache.block_size, ALONE)
        return out

    # ------------------------------------------------------------------ one kernel each

    def _multiply(self, x: Floats, weight: Matrix) -> Floats:
        rows = len(x) // weight.inputs
        out = zeros(rows * weight.outputs)
        sizes = (weight.inputs, rows, weight.inputs, weight.outputs, ALONE)
        self._gemm.gemm(address(out), address(x), address(weight.packed), None, *sizes)
        return out

    def _add_norm(
        self, x: Floats, residual: "Floats | None", weight: Floats
    ) -> tuple[Floats, Floats]:
        """The norm of x + residual, and that sum."""
        dim, eps, out = self.shape.hidden_size, self.shape.rms_norm_eps, zeros(len(x))
        sizes = (len(x) // dim, dim, eps, ALONE)
        if residual is None:
            self._ops.rms_norm(*map(address, (out, x, weight)), *sizes)
            return out, x
        stream = zeros(len(x))
        self._ops.add_rms_norm(*map(address, (out, stream, x, residual, weight)), *sizes)
        return out, stream

    def _turned(self, qkv: Floats, first: int, heads: int, norm: Floats, step: Step) -> Floats:
        """Some heads of each token, normalised and turned to its position."""
        dim, tokens = self.shape.head_dim, len(step.positions)
        out = zeros(tokens * heads * dim)
        sizes = (tokens, heads, dim, len(qkv) // tokens, self.shape.max_positions)
        are_known = self._ops.norm_and_rotate(
            address(out),
            address(qkv, first),
            address(norm),
            address(self._cos_sin),
            address(step.positions),
            *sizes,
            self.shape.rms_norm_eps,
            ALONE,
        )
        assert are_known, "a position that the model does not have"
        return out

    def _gated(self, gate_up: Floats) -> Floats:
        dim, out = self.shape.intermediate_size, zeros(len(gate_up) // 2)
        self._ops.silu_and_mul(address(out), address(gate_up), len(out) // dim, dim, ALONE)
        return out

    # ------------------------------------------------------------------ from the checkpoint

    def _layer(self, prefix: str) -> Layer:
        shape, attention, mlp = self.shape, f"{prefix}self_attn.", f"{prefix}mlp."
        hidden, wide = shape.hidden_size, shape.intermediate_size
        q = self._tensor(f"{attention}q_proj", shape.q_size * hidden)
        k = self._tensor(f"{attention}k_proj", shape.kv_size * hidden)
        v = self._tensor(f"{attention}v_proj", shape.kv_size * hidden)
        o = self._tensor(f"{attention}o_proj", hidden * shape.q_size)
        gate = self._tensor(f"{mlp}gate_proj", wide * hidden)
        up = self._tensor(f"{mlp}up_proj", wide * hidden)
        down = self._tensor(f"{mlp}down_proj", hidden * wide)
        return Layer(
            input_norm=self._tensor(f"{prefix}input_layernorm", hidden),
            qkv=self._pack(q + k + v, hidden),
            q_norm=self._tensor(f"{attention}q_norm", shape.head_dim),
            k_norm=self._tensor(f"{attention}k_norm", shape.head_dim),
            o=self._pack(o, shape.q_size),
            mlp_norm=self._tensor(f"{prefix}post_attention_layernorm", hidden),
            gate_up=self._pack(gate + up, hidden),
            down=self._pack(down, wide),
        )

    def _tensor(self, name: str, count: int) -> Floats:
        tensor = self._weights.get(f"{name}.weight")
        if tensor is None or len(tensor) != count:
            found = "is missing" if tensor is None else f"has {len(tensor)} numbers, not {count}"
            raise ModelLoadError(f"the tensor {name}.weight {found}; download the model again.")
        return tensor

    def _pack(self, weight: Floats, inputs: int) -> Matrix:
        """A weight `[outputs, inputs]` in the kernel's order, filled up with zeros at the end."""
        outputs, width = len(weight) // inputs, c_int.in_dll(self._gemm, "panel_width").value
        panel = inputs * width
        packed = zeros(-(-outputs // width) * panel)
        for output in range(outputs):
            begin = output // width * panel
            column = slice(begin + output % width, begin + panel, width)
            packed[column] = weight[output * inputs : (output + 1) * inputs]
        return Matrix(packed, outputs, inputs)
