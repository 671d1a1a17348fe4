"""The model families that load as a BERT, and how each differs from it in config.json and weight names.

All have the encoder of BERT (Devlin et al. 2019): DistilBERT (Sanh et al. 2019), RoBERTa (Liu et al. 2019),
XLM-RoBERTa (Conneau et al. 2020), CamemBERT (Martin et al. 2020) and ELECTRA (Clark et al. 2020). To add one,
add an entry to `FAMILIES`; no other module refers to a family by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

Names = tuple[tuple[str, str], ...]
POOLER, MLM = "bert.pooler.dense.", "cls.predictions."
BERT_ONLY = ("use_relative_positions", "head_activation")  # options of this project


@dataclasses.dataclass(frozen=True)
class Family:
    """A family under its `model_type` in transformers.

    class_prefix       of its classes: <prefix>ForSequenceClassification
    weight_prefix      of its weight names
    pooler_activation  of the dense layer before the classifier: tanh, relu or gelu
    token_types        False: its tokenizers distinguish no segments
    padding_positions  True: the first token has position pad_token_id + 1
    config_keys        {field of BertConfig: its key in config.json} where they differ
    defaults           {field of BertConfig: value} of its config class where it differs from BERT's
    absent             fields of BertConfig that its config does not have
    names              (BERT's, its own) prefixes of weight names; the first that matches counts
    head_names         the same, for a classifier of the pooled output
    layer_names        the same, within an encoder layer
    """

    class_prefix: str
    weight_prefix: str = "bert"
    pooler_activation: str = "tanh"
    token_types: bool = True
    padding_positions: bool = False
    config_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    absent: tuple[str, ...] = ("embedding_size", *BERT_ONLY)
    names: Names = ()
    head_names: Names = ()
    layer_names: Names = ()


def _roberta(class_prefix: str) -> Family:
    return Family(
        class_prefix,
        "roberta",
        token_types=False,
        padding_positions=True,
        defaults={"pad_token_id": 1},
        names=(
            (f"{MLM}transform.dense.", "lm_head.dense."),
            (f"{MLM}transform.LayerNorm.", "lm_head.layer_norm."),
            (MLM, "lm_head."),
        ),
        head_names=((POOLER, "classifier.dense."), ("classifier.", "classifier.out_proj.")),
    )


FAMILIES = {
    "bert": Family("Bert", absent=("embedding_size",)),
    "distilbert": Family(
        "DistilBert",
        "distilbert",
        pooler_activation="relu",
        token_types=False,
        config_keys={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
            "classifier_dropout": "seq_classif_dropout",
        },
        defaults={"type_vocab_size": 0, "classifier_dropout": 0.2},
        absent=("embedding_size", "type_vocab_size", "layer_norm_eps", *BERT_ONLY),
        names=(
            ("bert.encoder.", "distilbert.transformer."),
            (f"{MLM}transform.dense.", "vocab_transform."),
            (f"{MLM}transform.LayerNorm.", "vocab_layer_norm."),
            (f"{MLM}decoder.", "vocab_projector."),
        ),
        head_names=((POOLER, "pre_classifier."),),
        layer_names=(
            ("attention.self.query.", "attention.q_lin."),
            ("attention.self.key.", "attention.k_lin."),
            ("attention.self.value.", "attention.v_lin."),
            ("attention.output.dense.", "attention.out_lin."),
            ("attention.output.LayerNorm.", "sa_layer_norm."),
            ("intermediate.dense.", "ffn.lin1."),
            ("output.dense.", "ffn.lin2."),
            ("output.LayerNorm.", "output_layer_norm."),
        ),
    ),
    "roberta": _roberta("Roberta"),
    "xlm-roberta": _roberta("XLMRoberta"),
    "camembert": _roberta("Camembert"),
    "electra": Family(
        "Electra",
        "electra",
        pooler_activation="gelu",
        defaults={
            "embedding_size": 128,
            "hidden_size": 256,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
        },
        absent=BERT_ONLY,
        head_names=((POOLER, "classifier.dense."), ("classifier.", "classifier.out_proj.")),
    ),
}


def family_names() -> str:
    """`bert, distilbert, ... and electra`, for messages."""
    *first, last = FAMILIES
    return f"{', '.join(first)} and {last}"
