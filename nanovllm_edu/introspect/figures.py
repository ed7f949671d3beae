"""Still pictures of a recording, where one is better than an animation (matplotlib).

Each function returns a plot and leaves no global state behind. matplotlib is imported when the
first one is called.

Source of the roofline: Williams, Waterman and Patterson (2009).
"""

from statistics import median
from typing import TYPE_CHECKING, Any

from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.latency import latencies
from nanovllm_edu.introspect.plot import INK, Plot
from nanovllm_edu.introspect.recording import Recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, PALE = "#3f7fd4", "#e08a1e", "#27a07a", "#7a8ea8", "#ccd5e0"


def cache_occupancy(recording: Recording) -> Plot:
    """Used, cached and free blocks over the steps."""
    levels = [_levels(recording, index) for index in range(len(recording))]
    figure, axes = _axes("KV cache: blocks after each step", "step", "blocks")
    used, cached = [u for u, _ in levels], [c for _, c in levels]
    axes.stackplot(
        range(len(levels)), used, cached, step="post", colors=[GREY, PALE],
        labels=["used", "free but cached"],
    )  # fmt: skip
    axes.axhline(recording.engine["num_blocks"], color=INK, lw=0.8, ls="--", label="pool")
    num_blocks = recording.engine["num_blocks"]
    axes.set_ylim(0, num_blocks * 1.08)
    most = f"at most {max(used, default=0)} of {num_blocks} blocks are used"
    return _done(
        figure, axes, f"over {len(used)} steps {most}, and {max(cached, default=0)} cached"
    )


def batch_composition(recording: Recording) -> Plot:
    """Prefill and decode tokens of each step, guesses among the latter, against the budget."""
    decode = [num_decode_tokens(record) for record in recording]
    prefill = [r.num_tokens - d for r, d in zip(recording, decode, strict=True)]
    figure, axes = _axes("What each step computed", "step", "tokens")
    steps = range(len(recording))
    axes.bar(steps, decode, width=0.9, color=GREEN, label="decode")
    axes.bar(steps, prefill, width=0.9, bottom=decode, color=BLUE, hatch="///", ec="white",
             lw=0, label="prefill")  # fmt: skip
    budget = recording.engine["max_num_batched_tokens"]
    if budget <= 4 * max([1, *(r.num_tokens for r in recording)]):
        axes.axhline(budget, color=INK, lw=0.8, ls="--", label="token budget")
    said = f"over {len(decode)} steps {sum(prefill)} tokens of prefill and {sum(decode)} of decode"
    return _done(figure, axes, said)


def latency_distribution(recording: Recording) -> Plot:
    """Time to first token and inter-token latency, as cumulative distributions."""
    seconds = latencies(recording)
    figure, axes = _axes("How long clients wait", "milliseconds", "share of them")
    said = []
    for name, values, colour, style in (
        ("time to first token", seconds.first_token.values(), ORANGE, "-"),
        ("between tokens", seconds.between_tokens, BLUE, "--"),
    ):
        times = sorted(1e3 * value for value in values)
        if times:
            shares = [(i + 1) / len(times) for i in range(len(times))]
            axes.step(times, shares, where="post", color=colour, ls=style, lw=2, label=name)
            said.append(f"{name}: {median(times):.3g} ms in the middle, {times[-1]:.3g} at most")
    axes.set_ylim(0, 1.03)
    axes.set_xscale("log")
    return _done(figure, axes, "; ".join(said))


def roofline(
    recording: Recording,
    *,
    num_parameters: int,
    bytes_per_value: int,
    kv_bytes_per_token: int,
    peak_flops: float,
    peak_bandwidth: float,
) -> Plot:
    """Where each step lies under the roof of the device: limited by memory or by arithmetic.

    Args:
        recording: Steps with a measured "forward" phase.
        num_parameters: Of the model; each token takes 2 floating-point operations per parameter.
        bytes_per_value: Of a weight.
        kv_bytes_per_token: Keys and values of one token, all layers.
        peak_flops: Of the device, per second.
        peak_bandwidth: Of its memory, bytes per second.
    """
    figure, axes = _axes("Roofline", "operations per byte", "operations per second")
    points: dict[str, list[tuple[float, float]]] = {"prefill in it": [], "decode only": []}
    for record in recording:
        if record.spans and "forward" in record.timings:
            flops = 2.0 * num_parameters * record.num_tokens
            read = kv_bytes_per_token * sum(span.end for span in record.spans)
            moved = num_parameters * bytes_per_value + read
            is_decode = num_decode_tokens(record) == record.num_tokens
            name = "decode only" if is_decode else "prefill in it"
            points[name].append((flops / moved, flops / record.timings["forward"]))
    for (name, pairs), colour, mark in zip(points.items(), (BLUE, GREEN), "so", strict=True):
        if pairs:
            axes.scatter(*zip(*pairs, strict=True), c=colour, marker=mark, s=18, label=name)
    _roof(axes, peak_flops, peak_bandwidth)
    said = "each step lies under the roof: first the memory's bandwidth, then the arithmetic"
    return _done(figure, axes, said)


def _roof(axes: Any, peak_flops: float, peak_bandwidth: float) -> None:
    ridge = peak_flops / peak_bandwidth
    intensities = [ridge / 1000, ridge, ridge * 100]
    heights = [min(peak_flops, x * peak_bandwidth) for x in intensities]
    axes.plot(intensities, heights, color=INK, lw=1.2, label="roof of the device")
    axes.set_xscale("log")
    axes.set_yscale("log")


def num_decode_tokens(record: StepRecord) -> int:
    """Tokens of a step that are no prefill: newest tokens, and guesses behind them."""
    return sum(span.num_tokens for span in record.spans if kind_of(span) != "prefill")


def _levels(recording: Recording, index: int) -> tuple[int, int]:
    fold = recording.fold_to(index)
    return sum(map(bool, fold.ref_counts)), len(fold.evictable)


def _axes(title: str, x: str, y: str) -> tuple["Figure", Any]:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    plt.close(figure)  # the caller's to show; pyplot must not keep it
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _done(figure: "Figure", axes: Any, words: str) -> Plot:
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return Plot(figure, axes.get_title(loc="left"), words)
