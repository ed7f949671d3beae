"""Solutions of lesson 12, scheduling policies."""

from nanovllm_edu import MixedPolicy


class ShortestFirst:
    """Decodes, then whoever needs the fewest tokens."""

    def order(self, running, waiting):
        decoding = [seq for seq in running if seq.is_decoding]
        rest = [seq for seq in running if not seq.is_decoding] + list(waiting)
        return [[*decoding, *sorted(rest, key=lambda seq: seq.num_remaining_tokens)]]

    def victim(self, candidates):
        return candidates[-1]


class PatientShortestFirst:
    """Shortest first, but every step in the queue counts as ten tokens less."""

    def __init__(self):
        self.steps = {}

    def order(self, running, waiting):
        for seq in waiting:
            self.steps[seq.seq_id] = self.steps.get(seq.seq_id, 0) + 1
        decoding = [seq for seq in running if seq.is_decoding]
        prefilling = [seq for seq in running if not seq.is_decoding]

        def rank(seq):
            return seq.num_remaining_tokens - 10 * self.steps[seq.seq_id]

        return [[*decoding, *prefilling, *sorted(waiting, key=rank)]]

    def victim(self, candidates):
        return candidates[-1]


class Careful(MixedPolicy):
    """Starts nobody while eight run."""

    def order(self, running, waiting):
        return super().order(running, waiting if len(running) < 8 else ())
