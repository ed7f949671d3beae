"""What is said where nothing can listen."""

import pytest

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.serve.address import Address, bound_socket


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_cannot_be_is_refused_in_one_sentence(port: int) -> None:
    with pytest.raises(ConfigError, match=r"0-65535; choose another port, or 0"):
        bound_socket(Address(port=port))


def test_a_port_that_is_taken_is_refused() -> None:
    with bound_socket(Address(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port={port}: .*in use; choose another port"):
            bound_socket(Address(port=port))
