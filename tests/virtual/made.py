"""What the tests of this folder and of `cluster` are made of."""

from nanovllm_edu.virtual.calibration import Calibration, Seconds

DEVICE = Seconds(2e-3, 2e-4, 1e-7, 7e-4, 3e-4, 5e-5, 2e-8, 4e-5, 9e-4)
HOST = Seconds(1e-4, 1e-5)


def calibration(device: Seconds = DEVICE, host: Seconds = HOST) -> Calibration:
    """One of a device that nobody has built."""
    return Calibration(
        device=device,
        host=host,
        model="a model",
        device_name="a device",
        date="2026-01-02",
        versions={"python": "3.11"},
        source="made up",
        num_steps=100,
        step_error=0.01,
        total_error=0.0,
    )
