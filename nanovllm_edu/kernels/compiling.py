"""Compiles kernels side by side: a first start is mostly compilers at work, one kernel each.

NVRTC lets go of Python's lock, and so does the greater part of Triton's compiler. Neither is asked
to compile: the work is done once, and finds its kernels compiled from then on.

Read next: `fused_decode/gemm_trial.py`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from tqdm import tqdm


def do_side_by_side(work: Sequence[Callable[[], object]], device: torch.device) -> None:
    """Does all of it in threads, and waits until the device has done it, too.

    On the device it is one after the other, in no order that one could know: nothing may depend on
    what anything else of it has written.
    """

    @torch.inference_mode()  # which is a thread's own, as is the current device
    def do(one: Callable[[], object]) -> None:
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)  # gives this thread the device's context
        one()

    with ThreadPoolExecutor() as pool:
        list(tqdm(pool.map(do, work), total=len(work), desc="Compiling", delay=1))
    torch.cuda.synchronize(device)
