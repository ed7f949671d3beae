"""A model without torch: arrays of the standard library, and our C kernels, for a page's Python.

    floats.py       arrays of float32, and where they lie
    shape.py        the sizes of the model, from its config.json
    weights.py      its tensors, from its safetensors file
    kv_cache.py     the paged memory
    step.py         a plan becomes a batch
    decoder.py      the forward pass, kernel after kernel
    runner.py       a `ModelRunner` of all these

In a browser the kernels are WebAssembly, elsewhere what the machine's compiler makes of the same
files; nothing here knows the difference. The readable decoder is `models/qwen3.py`.

Read next: these, in their order.
"""
