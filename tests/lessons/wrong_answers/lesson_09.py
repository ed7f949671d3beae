import torch

from nanovllm_edu.sampling.random import gumbel_noise
from tests.lessons.wrong_answers import wrong

DROPPED = float("-inf")


@wrong("09.1", "The token that crosses p belongs to the set")
def drops_the_one_that_crosses(logits, p):
    ranked = logits.sort(descending=True).values
    kept = ranked[ranked.softmax(0).cumsum(0) <= p + 1e-6]
    cutoff = kept[-1] if len(kept) else ranked[0]
    return logits.masked_fill(logits < cutoff, DROPPED)


@wrong("09.1", "The likeliest one always stays")
def may_drop_everything(logits, p):
    probabilities = logits.softmax(0)
    return logits.masked_fill(probabilities < p, DROPPED)


@wrong("09.1", "has another logit than before")
def gives_probabilities(logits, p):
    ranked = logits.sort(descending=True).values
    before = ranked.softmax(0).cumsum(0) - ranked.softmax(0)
    kept = logits >= ranked[before < p][-1]
    return logits.softmax(0).masked_fill(~kept, DROPPED)


@wrong("09.1", "must be put back into the order of the vocabulary")
def mask_in_sorted_order(logits, p):
    ranked = logits.sort(descending=True).values.softmax(0)
    return logits.masked_fill(ranked.cumsum(0) - ranked >= p, DROPPED)


@wrong("09.1", "already reach 0.6")
def one_too_many(logits, p):
    ranked = logits.sort(descending=True).values
    num_kept = int((ranked.softmax(0).cumsum(0) < p).sum()) + 2
    return logits.masked_fill(logits < ranked[:num_kept][-1], DROPPED)


@wrong("09.2", "The same arguments must give the same token")
def multinomial(logits, seed, position):
    return int(torch.multinomial(logits.softmax(0), 1))


@wrong("09.2", "Either nothing is drawn")
def greedy(logits, seed, position):
    return int(logits.argmax())


@wrong("09.2", "Either nothing is drawn")
def forgets_the_position(logits, seed, position):
    noise = gumbel_noise(torch.tensor([seed]), torch.tensor([0]), len(logits))[0]
    return int((logits + noise).argmax())


@wrong("09.2", "does not depend on the seed")
def forgets_the_seed(logits, seed, position):
    noise = gumbel_noise(torch.tensor([0]), torch.tensor([position]), len(logits))[0]
    return int((logits + noise).argmax())


@wrong("09.2", "Which noise makes argmax a sample of the softmax?")
def uniform_noise(logits, seed, position):
    generator = torch.Generator().manual_seed(1_000_003 * seed + position)
    return int((logits + torch.rand(len(logits), generator=generator)).argmax())


@wrong("09.2", "shifted copies of each other")
def adds_seed_and_position(logits, seed, position):
    generator = torch.Generator().manual_seed(seed + position)
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))


@wrong("09.2", "with seed ^ position the seeds draw the same numbers in another order")
def seed_xor_position(logits, seed, position):
    generator = torch.Generator().manual_seed(seed ^ position)
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))


@wrong("09.2", "only")
def a_thousand_seeds_apart(logits, seed, position):
    generator = torch.Generator().manual_seed(1000 * seed + position)
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))


@wrong("09.2", "there are tokens 0 to 3")
def outside(logits, seed, position):
    return len(logits)


@wrong("09.1", "is a tensor [4]")
def only_the_kept(logits, p):
    return logits[logits.softmax(0) > 0.2]
