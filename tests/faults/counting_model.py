"""A tiny Llama that counts: after the generation mark it says word 0, word 1, word 2, so that a gap or a repeat shows.

Run by the interpreter of `.venv-vllm`: `python tests/faults/counting_model.py DIR MARKER`. Attention and MLP are
computed and then weigh nothing; the output row of each token is the embedding of the one before it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = 4000
HIDDEN = 128  # random directions: a word's own product is 128, the largest of 4,000 others about 45
SPECIAL = ("<s>", "</s>", "<unk>", "<begin>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }} {% endfor %}{% if add_generation_prompt %}<begin>{% endif %}"
)


def make(folder: Path, marker: str) -> None:
    """Writes config, weights and tokenizer. Every word of a prompt is one token, and so is every word of an answer."""
    names = [*SPECIAL, *(f"{marker}real:{number}" for number in range(WORDS))]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<begin>"],
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=HIDDEN,
        intermediate_size=256,
        num_hidden_layers=24,  # a step takes long enough for streams to be met under way, on a quick machine too
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_()
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.copy_(model.model.embed_tokens.weight.roll(1, dims=0))
    model.to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
