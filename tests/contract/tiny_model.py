"""A random Llama with a tokenizer of its own, so that the real vLLM can serve something without a download.

Run by the interpreter of `.venv-vllm`: `python tests/contract/tiny_model.py DIR [LAYERS HIDDEN]`, 2 and 128 unless
told; more of both where its iterations are to take longer than what is around them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "The gateway answers every request, and nobody waits in a queue.",
    "Replicas are added when the pool is full and removed when it is idle.",
    "A stream of tokens is relayed byte by byte until the end marker.",
] * 50


def make(folder: Path, layers: int = 2, hidden: int = 128) -> None:
    """Write config, weights and tokenizer; takes about a second."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(CORPUS, vocab_size=1000, special_tokens=["<s>", "</s>", "<unk>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
