"""Trains the model in the box: `python -m training.train --out my_model`.

Draws the corpus, learns the tokenizer, trains a Qwen3 model of transformers, saves a Hugging Face
folder, and then asks the saved model the held-out questions. Minutes on a GPU; the loss curve, the
settings and the answers go to `training_run.json`. Read `tokens.py` before and `evaluate.py` after.
"""

import argparse
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from torch import Tensor
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.evaluate import print_report, report
from training.model_card import write_model_card
from training.said_loss import SaidLoss
from training.tokens import corpus_rows
from training.train_tokenizer import train_tokenizer

# Most steps see short rows, whose documents start near position 0 as prompts do; one step in four
# sees rows as long as the context, so that late positions and long chats are trained too.
SHORT, LONG = 512, 2048
CYCLE = (SHORT, SHORT, SHORT, LONG)

Loss = Callable[[Qwen3ForCausalLM, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """One training run. The learning rate follows a cosine over `minutes`, or over `steps`."""

    out: str = "tiny_model"
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    minutes: float = 4.0
    steps: int = 0  # 0: as many as fit into `minutes`
    num_documents: int = 1_200_000
    tokens_per_step: int = 32_768
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    garbled: float = 0.1  # the share of tokens that every second turn of a user has wrong
    seed: int = 0
    num_questions: int = 200
    num_workers: int = os.cpu_count() or 1
    tokenizer: str = str(TINY_MODEL_FOLDER)  # "": learn a new one
    weights: str = ""  # a model folder to go on with, instead of random weights


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A Qwen3 model of 3.6 million parameters with random weights."""
    return random_qwen3(
        tokenizer, hidden_size=256, intermediate_size=512, num_hidden_layers=5, head_dim=64
    )


def random_qwen3(tokenizer: PreTrainedTokenizerFast, **sizes: int) -> Qwen3ForCausalLM:
    """A Qwen3 model with random weights: what the models in the box share, and sizes of its own."""
    more: dict[str, Any] = {
        "attn_implementation": "sdpa",
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **sizes,
    }
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        **more,
    )
    return Qwen3ForCausalLM(config)


def tokenizer_of(settings: Settings) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, so that a token keeps its id from run to run; or a new one."""
    if settings.tokenizer:
        return AutoTokenizer.from_pretrained(settings.tokenizer)
    return train_tokenizer(seed=settings.seed)


def first_model(tokenizer: PreTrainedTokenizerFast, settings: Settings) -> Qwen3ForCausalLM:
    """What training begins with."""
    if settings.weights:
        return Qwen3ForCausalLM.from_pretrained(settings.weights, dtype=torch.float32)
    return new_model(tokenizer)


def compile_layers(model: Qwen3ForCausalLM) -> None:
    """Fuses the small operations of a layer, which a GPU starts more slowly than it does them.

    The layers are alike: what is compiled for the first one serves all, once for each row length.
    """
    for layer in model.model.layers:
        layer.compile(dynamic=False)


def draw_corpus(tokenizer: PreTrainedTokenizerFast, settings: Settings) -> dict[int, np.ndarray]:
    """Draws the corpus in rows of each length: int16 [rows, length] by length."""
    encoder = tokenizer.backend_tokenizer.to_str()
    corpus = {}
    for length in dict.fromkeys(CYCLE):
        count = settings.num_documents * CYCLE.count(length) // len(CYCLE)
        corpus[length] = corpus_rows(encoder, count, length, settings.seed, settings.num_workers)
    print(f"corpus: {sum(rows.size for rows in corpus.values()) / 1e6:.1f} million tokens")
    return corpus


def batches(rows: Tensor, rows_per_batch: int, seed: int) -> Iterator[Tensor]:
    """Yields int64 batches [rows_per_batch, row length] of shuffled rows, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator)
        for picked in order.split(rows_per_batch):
            yield rows[picked.to(rows.device)].long()


def batch_stream(corpus: dict[int, np.ndarray], settings: Settings) -> Iterator[Tensor]:
    """Yields a batch of about `tokens_per_step` tokens for each step, on the device."""
    streams = {}
    for length, rows in corpus.items():
        on_device = torch.from_numpy(rows).to(settings.device)
        count = max(1, settings.tokens_per_step // length)
        streams[length] = batches(on_device, count, settings.seed)
    for length in itertools.cycle(CYCLE):
        yield next(streams[length])


def learning_rate_factor(progress: float) -> float:
    """Linear warm-up over the first 2 % of the run, then a cosine down to zero."""
    warm_up = 0.02
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def optimizer_for(model: Qwen3ForCausalLM, settings: Settings) -> torch.optim.AdamW:
    """AdamW that decays matrices only: the scales of norms are left alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    scales = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": scales, "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = settings.learning_rate  # `train_step` scales it
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)


def loss_of_all(model: Qwen3ForCausalLM, token_ids: Tensor) -> Tensor:
    """The mean cross-entropy of every token of a batch."""
    return model(input_ids=token_ids, labels=token_ids, use_cache=False).loss


def train_step(
    model: Qwen3ForCausalLM,
    optimizer: Any,
    token_ids: Tensor,
    factor: float,
    loss_of: Loss = loss_of_all,
) -> Tensor:
    """One step of gradient descent; returns the mean loss per token, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    device = token_ids.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):  # slow on most CPUs
        loss = loss_of(model, token_ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def progress_of(settings: Settings, step: int, seconds: float) -> float:
    """How much of the run is done, from 0 to 1."""
    return step / settings.steps if settings.steps else seconds / (60 * settings.minutes)


def fit(
    model: Qwen3ForCausalLM,
    corpus: dict[int, np.ndarray],
    settings: Settings,
    loss_of: Loss = loss_of_all,
    optimizer: Any = None,
    each_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Any]:
    """Trains the model in place; returns the loss curve and the counts.

    Args:
        model: Changed in place.
        corpus: Rows of token ids by row length.
        settings: For how long, how fast.
        loss_of: What is made small: (model, batch) -> mean loss.
        optimizer: AdamW for everything, unless there is a better one.
        each_step: Called after each step with its number, such as to save what there is.
    """
    optimizer = optimizer or optimizer_for(model, settings)
    stream = batch_stream(corpus, settings)
    curve, step, num_tokens, progress, start = [], 0, 0, 0.0, time.perf_counter()
    with tqdm(total=100, desc="training", bar_format="{l_bar}{bar}| {elapsed} {postfix}") as bar:
        while progress < 1:
            token_ids, factor = next(stream), learning_rate_factor(progress)
            loss = train_step(model, optimizer, token_ids, factor, loss_of)
            num_tokens += token_ids.numel()
            if step % 25 == 0:  # reading the loss waits for the device: do it rarely
                curve.append(_point(step, loss, factor))
                bar.set_postfix_str(f"step {step}, loss {curve[-1]['loss']:.3f}")
            each_step(step)
            step += 1
            progress = progress_of(settings, step, time.perf_counter() - start)
            bar.update(min(100.0, 100 * progress) - bar.n)
    curve.append(_point(step - 1, loss, factor))
    seconds = round(time.perf_counter() - start, 1)
    return {"num_steps": step, "num_tokens": num_tokens, "seconds": seconds, "loss": curve}


def _point(step: int, loss: Tensor, factor: float) -> dict[str, float]:
    """One point of the loss curve."""
    return {"step": step, "loss": round(loss.item(), 4), "rate_factor": round(factor, 4)}


def save(folder: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Saves weights in bfloat16, configuration and tokenizer as a Hugging Face folder."""
    model.generation_config.do_sample = False
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    on_disk: Any = model.to("cpu", torch.bfloat16)  # pyright: ignore[reportArgumentType]
    on_disk.save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def evaluate_folder(folder: Path, settings: Settings) -> dict[str, Any]:
    """Loads the saved folder, as any user would, and asks it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model.to(settings.device)  # pyright: ignore[reportArgumentType] (a decorator hides `self`)
    return report(model, tokenizer, settings.num_questions)


def device_name(device: str) -> str:
    """The name of the GPU, or the kind of processor."""
    is_cuda = torch.device(device).type == "cuda"
    return torch.cuda.get_device_name(device) if is_cuda else f"CPU ({platform.machine()})"


def recorded(settings: Settings) -> dict[str, Any]:
    """What a record says of the settings: no paths of this machine."""
    paths = ("out", "tokenizer", "weights")
    return {key: value for key, value in asdict(settings).items() if key not in paths}


def earlier_runs(settings: Settings) -> list[dict[str, Any]]:
    """The records of what came before, without what those models answered."""
    record = Path(settings.weights) / "training_run.json"
    if not settings.weights or not record.exists():
        return []
    run = json.loads(record.read_text(encoding="utf-8"))
    before = run.pop("before", [])
    return [*before, {key: value for key, value in run.items() if key != "evaluation"}]


def train(settings: Settings) -> dict[str, Any]:
    """The whole run; returns the record that it also writes to `training_run.json`."""
    torch.manual_seed(settings.seed)
    folder = Path(settings.out)
    tokenizer = tokenizer_of(settings)
    corpus = draw_corpus(tokenizer, settings)
    model = first_model(tokenizer, settings)
    model.to(settings.device)  # pyright: ignore[reportArgumentType] (a decorator hides `self`)
    if settings.device.startswith("cuda"):
        compile_layers(model)
    fitted = fit(model, corpus, settings, SaidLoss(tokenizer, settings.garbled))
    save(folder, model, tokenizer)  # before the evaluation: minutes of work are on disk first
    run = {
        "settings": recorded(settings),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers, np)},
        "device": device_name(settings.device),
        "num_parameters": model.num_parameters(),
        "num_corpus_tokens": sum(rows.size for rows in corpus.values()),
        "model": model.config.to_diff_dict(),
        **fitted,
        "before": earlier_runs(settings),
        "evaluation": evaluate_folder(folder, settings),
    }
    (folder / "training_run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    write_model_card(folder, run)
    print_report(run["evaluation"])
    return run


def settings_of(description: str, defaults: Settings) -> Settings:
    """Reads the command line; every field of `Settings` is an option."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in asdict(defaults).items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, help="%(default)s")
    return Settings(**vars(parser.parse_args()))


def main() -> None:
    """Reads the command line and trains."""
    train(settings_of("Train the model in the box.", Settings()))


if __name__ == "__main__":
    main()
