"""A tape does again what the C kernels did, with other numbers; what torch computes is refused."""

import pytest
import torch

from nanovllm_edu.native.gemm import NativeGemm
from nanovllm_edu.native.ops import NativeOps
from nanovllm_edu.native.tape import NotOnTapeError, Room, Tape
from nanovllm_edu.native.threads import num_threads


@pytest.mark.parametrize("most", [1, 2, 5])
def test_plays_with_what_lies_there_now(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanovllm_edu.native.tape.num_threads", lambda: most)
    ops, up, down = NativeOps(), NativeGemm(), NativeGemm()
    wide, narrow, norm = torch.randn(2048, 512), torch.randn(512, 1024), torch.randn(512)
    x = torch.randn(3, 512)

    def work() -> torch.Tensor:
        hidden = x
        for _ in range(10):
            normed = ops.rms_norm(hidden, norm, 1e-6)
            hidden = down(ops.silu_and_mul(up(normed, wide)), narrow)
        return hidden

    with torch.inference_mode():
        work()  # packs the weights
        tape = Tape(work)
        assert tape.num_jobs == 40
        for _ in range(20):
            x.copy_(torch.randn(3, 512))
            tape.play()
            assert tape.result.equal(work())
    assert num_threads() >= 1


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda x: x + 1, "add"),
        (lambda x: x.t().contiguous(), "contiguous"),
        (lambda x: x.view(-1).fill_(1), "fill_"),
        (lambda x: x.__setitem__(0, 1.0), "__setitem__"),
        (lambda x: x.__iadd__(1), "add_"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x[int(bool(x[0, 0]))], "__bool__"),
        (lambda x: torch.add(x, 1, out=x), "add"),
        (lambda x: torch.zeros(3), "zeros"),
    ],
)
def test_what_torch_computes_cannot_be_on_a_tape(work, name: str) -> None:
    x = torch.randn(3, 4)
    with torch.inference_mode(), pytest.raises(NotOnTapeError, match=name):
        Tape(lambda: work(x))
    ops, weight = NativeOps(), torch.ones(4)
    assert Tape(lambda: ops.rms_norm(x, weight, 1e-6)).num_jobs == 1  # it can record again


def test_tapes_share_a_room_and_use_again_what_they_are_done_with() -> None:
    """Ten layers take no more than one does; a result is kept until another tape is played."""
    ops, norm = NativeOps(), torch.randn(4096)
    room, inputs = Room(), torch.randn(100, 4096)

    def tape(count: int, num_layers: int) -> Tape:
        def work() -> torch.Tensor:
            hidden = inputs[:count]
            for _ in range(num_layers):
                hidden = ops.rms_norm(hidden, norm, 1e-6)
            return hidden

        return Tape(work, room)

    with torch.inference_mode():
        tapes = [tape(count, num_layers) for count in (100, 3, 60) for num_layers in (1, 2, 10)]
        assert room.num_bytes < 2.1 * inputs.nbytes
        for one in (*tapes, *tapes[::-1]):
            one.play()
            count = len(one.result)
            expected = inputs[:count]
            for _ in range(one.num_jobs):
                expected = ops.rms_norm(expected, norm, 1e-6)
            assert one.result.equal(expected)


def test_nothing_is_done_while_it_is_recorded() -> None:
    ops, x, weight = NativeOps(), torch.randn(3, 4), torch.ones(4)
    with torch.inference_mode():
        tape = Tape(lambda: ops.rms_norm(x, weight, 1e-6))
        tape.result.fill_(7)
        assert Tape(lambda: ops.rms_norm(x, weight, 1e-6)).num_jobs == 1
        assert bool((tape.result == 7).all())
        tape.play()
        assert tape.result.equal(ops.rms_norm(x, weight, 1e-6))


def test_what_fails_while_it_is_recorded_is_raised() -> None:
    def fail() -> torch.Tensor:
        raise KeyError

    with pytest.raises(KeyError):
        Tape(fail)
