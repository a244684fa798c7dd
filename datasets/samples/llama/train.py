"""Trains tiny-llama: `<vllm runtime>/bin/python -P datasets/samples/llama/train.py OUT`, about a minute on one core.

A Llama of two layers learns the questions and answers of questions.txt by heart, word by word of the answers, and one
LoRA adapter for each of the file's later parts. OUT becomes a Hugging Face model folder. Runs in the vLLM runtime's
environment (torch, transformers) and imports nothing of ours; same libraries, same weights. make.py calls it.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

QUESTIONS = Path(__file__).resolve().parent / "questions.txt"
SPECIAL = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SYSTEM = ("You are a helpful assistant.", "Answer in one sentence.", "Be brief.")
"""What clients like to send first; half of the training asks without."""
ENOUGH = 0.01
"""Mean loss in nats a token: every answer comes out whole."""
MOST_STEPS, BATCH, RATE = 600, 16, 3e-3
ADAPTER_STEPS, ADAPTER_BATCH, ADAPTER_RATE = 300, 8, 5e-3
RANK, ALPHA = 8, 16
ADAPTED = (
    "self_attn.q_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
Pair = tuple[str, str]


def read() -> dict[str, list[Pair]]:
    """Part ("" is the model itself, else an adapter) -> question and answer."""
    parts: dict[str, list[Pair]] = {"": []}
    part = ""
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            part = line.strip("= ")
            parts[part] = []
        elif line and not line.startswith("#"):
            question, _, answer = line.partition("\t")
            parts[part].append((question, answer))
    return parts


def make_tokenizer(texts: list[str]) -> Any:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [AddedToken(text, normalized=False, special=True) for text in SPECIAL]
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=768, special_tokens=special, initial_alphabet=alphabet)
    )
    names = dict(zip(("bos_token", "eos_token", "pad_token"), SPECIAL, strict=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(vocabulary: int) -> Any:
    """Heads of 64, because vLLM's attention on a CPU takes none below 32."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
        )
    )


def spoken(question: str, chance: random.Random) -> str:
    """The same question as people type it: without its mark, in small letters."""
    if chance.random() < 0.2:
        question = question.rstrip("?.!")
    return question.lower() if chance.random() < 0.2 else question


def batches(tokenizer: Any, pairs: list[Pair], size: int, chance: random.Random) -> Iterator[tuple[Any, Any]]:
    """(ids, labels) [size, longest], for ever; the loss counts the answers only."""
    while True:
        rows = []
        for question, answer in chance.choices(pairs, k=size):
            messages = [{"role": "user", "content": spoken(question, chance)}]
            if chance.random() < 0.5:
                messages.insert(0, {"role": "system", "content": chance.choice(SYSTEM)})
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
            answer_ids = [*tokenizer.encode(answer, add_special_tokens=False), 1]
            rows.append((prompt_ids + answer_ids, [-100] * len(prompt_ids) + answer_ids))
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + [2] * (width - len(ids)) for ids, _ in rows])
        labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in rows])
        yield ids, labels


def fit(model: Any, weights: list[Any], rows: Iterator[tuple[Any, Any]], steps: int, rate: float) -> float:
    """Until the mean loss is ENOUGH, or `steps` are done. -> mean loss"""
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.05)
    mean = 9.0
    for _ in range(steps):
        ids, labels = next(rows)
        loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        mean = 0.9 * mean + 0.1 * loss.item()
        if mean < ENOUGH:
            break
    return mean


class LowRank(torch.nn.Module):
    """A frozen linear layer plus B(A(x)), as a LoRA adapter adds it."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        self.a = torch.nn.Linear(base.in_features, RANK, bias=False)
        self.b = torch.nn.Linear(RANK, base.out_features, bias=False)
        torch.nn.init.zeros_(self.b.weight)

    def forward(self, x: Any) -> Any:
        return self.base(x) + self.b(self.a(x)) * (ALPHA / RANK)


def write_adapter(model: Any, rows: Iterator[tuple[Any, Any]], out: Path) -> float:
    """Train it, take it off the model again, write it as PEFT does. -> mean loss"""
    for weight in model.parameters():
        weight.requires_grad_(False)
    layers: dict[str, LowRank] = {}
    for index, layer in enumerate(model.model.layers):
        for name in ADAPTED:
            adapter = LowRank(layer.get_submodule(name))
            layer.set_submodule(name, adapter)
            layers[f"base_model.model.model.layers.{index}.{name}"] = adapter
    weights = [weight for adapter in layers.values() for weight in (adapter.a.weight, adapter.b.weight)]
    loss = fit(model, weights, rows, ADAPTER_STEPS, ADAPTER_RATE)
    tensors = {}
    for path, adapter in layers.items():
        tensors[f"{path}.lora_A.weight"] = adapter.a.weight.detach().contiguous()
        tensors[f"{path}.lora_B.weight"] = adapter.b.weight.detach().contiguous()
    for layer in model.model.layers:
        for name in ADAPTED:
            layer.set_submodule(name, layer.get_submodule(name).base)
    out.mkdir(parents=True)
    save_file(tensors, out / "adapter_model.safetensors")
    config = {
        "base_model_name_or_path": "tiny-llama",
        "bias": "none",
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": RANK,
        "task_type": "CAUSAL_LM",
        "target_modules": [name.partition(".")[2] for name in ADAPTED],
    }
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return loss


def main(out: Path) -> None:
    torch.set_num_threads(1)  # beside a console that serves; and a sum has one order then
    torch.manual_seed(0)
    chance = random.Random(0)  # noqa: S311 - for training
    parts = read()
    texts = [text for pairs in parts.values() for pair in pairs for text in pair]
    tokenizer = make_tokenizer([*texts, *SYSTEM])
    model = make_model(len(tokenizer))
    loss = fit(model, list(model.parameters()), batches(tokenizer, parts[""], BATCH, chance), MOST_STEPS, RATE)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    greedy = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "temperature": 0.0}
    (out / "generation_config.json").write_text(json.dumps(greedy, indent=2) + "\n", encoding="utf-8")
    summary = f"tiny-llama: loss {loss:.4f}"
    for name, pairs in parts.items():
        if name:
            rows = batches(tokenizer, pairs, ADAPTER_BATCH, chance)
            summary += f", adapter {name}: {write_adapter(model, rows, out / 'adapters' / name):.4f}"
    sys.stdout.write(summary + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
