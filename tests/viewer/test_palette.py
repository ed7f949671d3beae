"""The colours of neighbouring sequences stay apart for colour-blind eyes, in both themes.

Simulation: Machado, Oliveira and Fernandes (2009), full severity, in linear RGB; distance: CIE76.
"""

import itertools
import re

import numpy as np
import pytest

from nanovllm_edu.viewer.source import module_source

SIMULATIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
# ruff: noqa: E501
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def palette() -> list[str]:
    listed = re.search(r"const COLOURS = \[(.*?)\];", module_source("ink"), re.DOTALL)
    assert listed
    return re.findall(r"#[0-9a-f]{6}", listed[1])


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    light, dark = sorted((TO_XYZ[1] @ one, TO_XYZ[1] @ other), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("eyes", SIMULATIONS)
def test_the_first_sequences_can_be_told_apart(eyes):
    seen = [lab(SIMULATIONS[eyes] @ linear(colour)) for colour in palette()]
    distances = {
        (i, j): float(np.linalg.norm(seen[i] - seen[j]))
        for i, j in itertools.combinations(range(len(seen)), 2)
    }
    assert min(distances.values()) > 20, min(distances.items(), key=lambda pair: pair[1])


@pytest.mark.parametrize("background", ["#ffffff", "#14181e"])
def test_every_colour_stands_out_from_both_backgrounds(background):
    for colour in palette():
        assert contrast(linear(colour), linear(background)) > 1.85, colour
