"""A run, or a sweep, as one HTML page: nothing is loaded, no script, light and dark.

Read next: `load/plots.py`.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape

from nanovllm_edu.errors import WorkloadError, of_type
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.plots import Axis, number, plot
from nanovllm_edu.load.report import Latency, Report
from nanovllm_edu.load.sweep import Sweep

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src {style_hash}; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{sentence}</p>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { --bg: #fff; --fg: #1d2530; --muted: #5f6b7a; --line: #dfe3e8; --warn: #a33b12;
  --s0: #1663c7; --s1: #a8540a; --s2: #1d7f5f; --s3: #8a3fa0; }
@media (prefers-color-scheme: dark) { :root { --bg: #14181e; --fg: #e3e8ee; --muted: #98a4b3;
  --line: #2d353f; --warn: #ff9a76; --s0: #6cabff; --s1: #e5a648; --s2: #4cc79c; --s3: #d097e4; } }
body { margin: 0; background: var(--bg); color: var(--fg); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1360px; margin: 0 auto; padding: 16px; }
h1 { font-size: 22px; line-height: 1.3; margin: 0 0 4px; }
p { margin: 0 0 12px; max-width: 90ch; overflow-wrap: anywhere; }
.verdict { font-weight: 600; }
.warning { color: var(--warn); }
.plots { display: grid; gap: 20px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); }
figure { margin: 0; }
figcaption { font-weight: 600; }
figure > svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: var(--muted); }
svg .name { fill: var(--fg); }
svg path { fill: none; }
.grid { stroke: var(--line); }
.axis { stroke: var(--muted); }
.limit { stroke: var(--warn); stroke-dasharray: 5 4; }
svg .limit-name { fill: var(--warn); }
.line { stroke-width: 2; stroke-linejoin: round; }
.dots { stroke-width: 6; stroke-linecap: round; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); } .s3 { stroke: var(--s3); }
.keys { display: flex; flex-wrap: wrap; gap: 0 16px; font-size: 13px; color: var(--muted); }
.key svg { width: 28px; height: 8px; margin-right: 6px; }
.scrolls { overflow-x: auto; margin: 0 0 20px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 3px 12px 3px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; }
@media (max-width: 700px) { svg text { font-size: 19px; } }
"""  # noqa: E501

LATENCIES = {
    "time to first token": "first_token",
    "time per output token": "per_token",
    "between two pieces": "between_tokens",
    "end to end": "end_to_end",
    "the generator was late by": "late",
}
MOST_DOTS = 4000
LATE = 0.02
"""A generator that is late by a larger part of the time to first token tells about itself."""


def run_page(answers: Sequence[Answer], report: Report, slo: SLO, asked: str) -> str:
    """The page of one run.

    Args:
        answers: What its users saw.
        report: What they come to.
        slo: What they had been promised.
        asked: Who was asked for what, as a sentence.

    Raises:
        WorkloadError: Something is of another type.
    """
    for answer in of_type(
        answers, Sequence, "answers", "give what `open_loop` returns", WorkloadError
    ):
        of_type(answer, Answer, "answer", "give what `open_loop` returns", WorkloadError)
    of_type(asked, str, "asked", "give a sentence", WorkloadError)
    of_type(report, Report, "report", "give what `report(answers, slo)` returns", WorkloadError)
    of_type(slo, SLO, "slo", "give one, such as SLO(first_token=1)", WorkloadError)
    rows = [
        [name, *_row(getattr(report, field))] for name, field in LATENCIES.items()
    ]  # fmt: skip
    head = ["ms", "mean", "p50", "p90", "p99", "max"]
    plots = [_over_time(answers, slo), _ranked(answers)] if report.num_whole else []
    body = [
        f'<p class="verdict">{escape(summary(report, slo))}</p>',
        *(f'<p class="warning">{escape(text)}</p>' for text in warnings(report)),
        _table("Latencies", head, rows),
        f'<div class="plots">{"".join(plots)}</div>',
    ]
    return _page("A server under load", asked, body)


def sweep_page(found: Sweep, slo: SLO, asked: str) -> str:
    """The page of a sweep: how latency and goodput change with the rate.

    Raises:
        WorkloadError: Something is of another type.
    """
    of_type(asked, str, "asked", "give a sentence", WorkloadError)
    of_type(found, Sweep, "found", "give what `sweep` returns", WorkloadError)
    of_type(slo, SLO, "slo", "give one, such as SLO(first_token=1)", WorkloadError)
    head = [
        "requests/s wanted", "answered/s", "tokens/s", "goodput/s", "kept",
        "TTFT p50, ms", "TTFT p99, ms", "TPOT p99, ms", "end to end p99, ms", "failed",
    ]  # fmt: skip
    rows = [
        [
            number(one.rate or 0.0), number(one.requests_per_second),
            number(one.tokens_per_second), number(one.goodput), f"{one.share_kept:.0%}",
            *map(_ms, (one.first_token.p50, one.first_token.p99, one.per_token.p99,
                       one.end_to_end.p99)),
            str(one.num_requests - one.num_whole),
        ]
        for one in found.reports
    ]  # fmt: skip
    body = [
        f'<p class="verdict">{escape(found.verdict)}. The promise: {escape(str(slo))}.</p>',
        _table("Rates", head, rows),
        f'<div class="plots">{_latency_by_rate(found, slo)}{_goodput_by_rate(found)}</div>',
    ]
    return _page("The rate at which a promise breaks", asked, body)


def summary(report: Report, slo: SLO) -> str:
    """A run in a sentence."""
    errors = "".join(f", {count} × {name}" for name, count in report.errors.items())
    return (
        f"{report.num_whole} of {report.num_requests} requests answered in {report.seconds:.1f} s"
        f"{errors}: {number(report.requests_per_second)} requests/s, "
        f"{number(report.tokens_per_second)} tokens/s; goodput {number(report.goodput)} "
        f"requests/s ({report.share_kept:.0%} were served as promised: {slo})."
    )


def warnings(report: Report) -> list[str]:
    """What makes the figures doubtful."""
    if report.num_whole and report.late.p99 > LATE * report.first_token.p50:
        return [
            f"The generator itself was late by {_ms(report.late.p99)} ms (p99), which is more than "
            f"{LATE:.0%} of the median time to first token: ask from a faster or an idle machine."
        ]
    return []


def _page(title: str, sentence: str, body: list[str]) -> str:
    digest = b64encode(sha256(STYLE.encode()).digest()).decode()
    return PAGE.format(
        title=escape(title),
        sentence=escape(sentence),
        style=STYLE,
        style_hash=f"'sha256-{digest}'",
        body="\n".join(body),
    )


def _table(name: str, head: list[str], rows: list[list[str]]) -> str:
    columns = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{escape(name)}"><table>'
        f"<thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _row(latency: Latency) -> list[str]:
    return [*map(_ms, (latency.mean, latency.p50, latency.p90, latency.p99, latency.max))]


def _ms(seconds: float) -> str:
    return number(seconds * 1e3)


def _over_time(answers: Sequence[Answer], slo: SLO) -> str:
    whole = [answer for answer in answers if answer.is_whole]
    shown = whole[:: -(-len(whole) // MOST_DOTS)]
    points = [(answer.wanted, answer.first_token) for answer in shown]
    values = [y for _, y in points]
    return plot(
        "Each request: when it came, and how long its first token took",
        Axis.over("seconds from the start", [x for x, _ in points]),
        Axis.over("time to first token, s", values),
        {"a request": points},
        are_dots=True,
        limit=slo.first_token,
    )


def _ranked(answers: Sequence[Answer]) -> str:
    whole = [answer for answer in answers if answer.is_whole]
    kinds = {
        "to first token": [answer.first_token for answer in whole],
        "per output token": [t for answer in whole if (t := answer.per_token) is not None],
        "end to end": [answer.end_to_end for answer in whole],
    }
    series = {name: _curve(sorted(values)) for name, values in kinds.items() if values}
    return plot(
        "How many requests were faster than that",
        Axis("percent of requests", 0.0, 100.0),
        Axis.over("seconds", [y for points in series.values() for _, y in points], is_log=True),
        series,
    )


def _curve(ranked: list[float]) -> list[tuple[float, float]]:
    last = max(len(ranked) - 1, 1)
    return [(100 * i / last, ranked[round(i * (len(ranked) - 1) / last)]) for i in _thin(last)]


def _thin(last: int) -> list[int]:
    return sorted({round(last * i / 200) for i in range(201)})


def _latency_by_rate(found: Sweep, slo: SLO) -> str:
    some = [one for one in found.reports if one.num_whole]
    series = {
        name: [(one.rate or 0.0, getattr(one.first_token, name)) for one in some]
        for name in ("p50", "p90", "p99")
    }
    return plot(
        "Time to first token at each rate",
        Axis.over("requests/s wanted", [one.rate or 0.0 for one in found.reports]),
        Axis.over("seconds", [y for points in series.values() for _, y in points], is_log=True),
        series if some else {},
        limit=slo.first_token,
    )


def _goodput_by_rate(found: Sweep) -> str:
    rates = [one.rate or 0.0 for one in found.reports]
    series = {
        "goodput": [(one.rate or 0.0, one.goodput) for one in found.reports],
        "throughput": [(one.rate or 0.0, one.requests_per_second) for one in found.reports],
    }
    return plot(
        "What came out at each rate, and how much of it as promised",
        Axis.over("requests/s wanted", rates),
        Axis.over("requests/s", [y for points in series.values() for _, y in points]),
        series,
    )
