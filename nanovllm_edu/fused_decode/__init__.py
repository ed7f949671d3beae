"""The optional chapter: a decode step of a whole model in five kernels per layer.

Reading order:

    decode_inputs.py     what a step reads and writes
    weights.py           a model as plain tensors, its norms folded into its matrices
    gemm_plan.py         who makes which GEMM, and how it is cut, by the number of rows
    gemm_candidates.py   what comes into question for a shape, and a model of its time
    gemm_choice.py       the choice among them, by any clock
    layer_gemms.py       a layer's four GEMMs, bound to what they read and write
    layer_attention.py   a layer's attention, likewise
    sampling.py          the draw, when the logits are in memory
    decoder.py           `FusedDecoder`, which strings them together
    gemm_trial.py        the clock: candidates tried out on the device, the choice kept in a file

The kernels are in `kernels/`. Nothing imports this package before it is going to be used.
"""
