"""What holds for every test: no network, one thread, shapes checked, GPU tests only on a GPU."""

import os
import shutil
import signal
import threading
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that would download fails at once

import jaxtyping
import pytest
from jaxtyping import install_import_hook

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def interrupts_raise() -> None:
    """Each test begins with the handler that Python begins with, whatever one before it left."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


SHAPE_CHECKED = tuple(
    f"nanovllm_edu.{name}"
    for name in ("attention", "layers", "models", "paged.batch", "paged.kv_cache", "sampling")
)
"""Modules whose jaxtyping annotations are enforced while tests run. Kernels cannot be among them:
Triton compiles a function's source, decorators included. The torch-free runner has no shapes, and
checking its every integer would make a thousand workloads four times as slow."""

install_import_hook(SHAPE_CHECKED, "beartype.beartype")

UNCHECKED = (
    *("browser", "cli", "docs", "fleet", "lessons", "live", "load", "ray", "serve", "virtual"),
    *("widgets", "engine/test_interrupts.py"),
)
"""Tests of what stands above an engine and never sees a tensor. There, checks of the same shapes in
the same modules would take half of the time, and interrupts would mostly hit the checks."""


@pytest.fixture(autouse=True)
def shapes_are_checked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every test that is about tensors, or might be."""
    path = request.path.relative_to(Path(__file__).parent)
    is_unchecked = any(path.is_relative_to(name) for name in UNCHECKED)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", is_unchecked)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked `gpu` where there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The browser: the system's if there is one, else Playwright's own. One for all tests."""
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    system = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        browser = playwright.chromium.launch(executable_path=system, args=CHROMIUM_FLAGS)
    except Exception as error:
        playwright.stop()
        pytest.skip(f"no Chromium here: {str(error).splitlines()[0]}")
    yield browser
    browser.close()
    playwright.stop()
