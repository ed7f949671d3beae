"""Something of another type is refused in words, not by whatever stumbles over it."""

from collections.abc import Callable
from random import Random

import pytest

from nanovllm_edu.errors import CalibrationError, ConfigError, TraceError
from nanovllm_edu.virtual.arrivals import arrivals_of, draw_tokens, read_trace
from nanovllm_edu.virtual.calibration import save
from nanovllm_edu.virtual.fit import samples_of, seconds_of
from nanovllm_edu.virtual.measure import record_runs
from nanovllm_edu.virtual.poisson import poisson_times
from nanovllm_edu.virtual.runner import VirtualRunner, twin_of, virtual_engine
from nanovllm_edu.virtual.serving import Server, serve, turns
from nanovllm_edu.virtual.summary import Summary

from .made import calibration


@pytest.mark.parametrize(
    ("give", "error", "message"),
    [
        (lambda x: serve(x, []), ConfigError, "server=5 is not of type Server; make one"),
        (lambda x: turns(x, []), ConfigError, "server=5 is not"),
        (lambda x: twin_of(x, calibration()), ConfigError, "engine=5 is not of type LLMEngine"),
        (lambda x: twin_of(virtual_engine(calibration(), 9), x), CalibrationError, "calibration=5"),
        (lambda x: VirtualRunner(x, 9), CalibrationError, "calibration=5 is not"),
        (lambda x: Server(virtual_engine(calibration(), 9)).add(x), TraceError, "arrival=5"),
        (Summary.of, ConfigError, "answers=5 is not of type Iterable; give what `serve`"),
        (lambda x: Summary.of([x]), ConfigError, "answer=5 is not of type Answer"),
        (Summary().ttft, ConfigError, "q=5 is not a fraction"),
        (arrivals_of, TraceError, "recording=5 is not of type Recording"),
        (lambda x: draw_tokens(x, 3), TraceError, "random=5 is not of type Random"),
        (lambda x: draw_tokens(Random(x), -x), TraceError, "length=-5 is not an integer from 0"),
        (lambda x: list(read_trace(x)), TraceError, "5 cannot be read"),
        (lambda x: poisson_times(1, x), TraceError, "random=5 is not of type Random"),
        (record_runs, ConfigError, "engine=5 is not of type LLMEngine"),
        (lambda x: list(samples_of(x)), CalibrationError, "recording=5 is not of type Recording"),
        (seconds_of, CalibrationError, "samples=5 is no list"),
        (lambda x: save(x, "a.json"), CalibrationError, "calibration=5 is not"),
        (lambda x: save(calibration(), x), CalibrationError, "path=5 is no path"),
    ],
)
def test_what_is_of_another_type_is_named_with_a_remedy(
    give: Callable[[object], object], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        give(5)
