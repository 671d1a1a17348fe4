"""Relations of queries, keys and values (MiniLMv2) against NumPy, SciPy and transformers."""

import mindspore as ms
import numpy as np
import pytest
import scipy.special
import scipy.stats
from mindspore import Tensor

from src.distill.losses import RelationLoss
from src.distill.network import DistillNetwork
from src.distill.objective import relation_terms
from src.distill.relations import relation_heads, relation_layer
from src.errors import UserError
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict, to_hf_name
from src.weights.huggingface import write_directory
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")

B, S, HEADS = 3, 5, 4
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.float32)
STUDENT = tiny.TINY.replace(num_hidden_layers=3, hidden_size=24, num_attention_heads=2, intermediate_size=40)


def expected_loss(student, teacher, heads=HEADS):
    """[B]: the divergence of one relation, sentence by sentence, without padding."""
    loss = np.zeros(len(MASK))
    for row, length in enumerate(MASK.sum(1).astype(int)):
        relations = []
        for states in (teacher, student):
            split = states.reshape(len(MASK), -1, heads, states.shape[-1] // heads)[row, :length]
            scores = np.einsum("inx,jnx->nij", split, split) / np.sqrt(split.shape[-1])
            relations.append(scipy.special.softmax(scores, -1))
        loss[row] = scipy.stats.entropy(*relations, axis=-1).mean()
    return loss


def test_loss_over_real_tokens():
    draw = np.random.default_rng(0)
    student, teacher = (draw.standard_normal((B * S, width)).astype(np.float32) for width in (8, 12))
    garbage = student.copy()
    garbage[MASK.reshape(-1) == 0] = 50
    for states in (student, garbage):
        found = RelationLoss(HEADS)(Tensor(states), Tensor(teacher), Tensor(MASK)).asnumpy()
        np.testing.assert_allclose(found, expected_loss(student, teacher), rtol=2e-5)
    equal = RelationLoss(HEADS)(Tensor(student), Tensor(student), Tensor(MASK)).asnumpy()
    np.testing.assert_allclose(equal, 0, atol=1e-6)


def networks(config, seed, folder):
    """A classifier and transformers' model of the same random weights."""
    from transformers import BertForSequenceClassification

    arrays = tiny.random_arrays(config, seed)
    network = BertClassifier(config)
    load_strict(network, arrays, "test")
    write_directory(folder, arrays, config)
    return network, BertForSequenceClassification.from_pretrained(folder)


def relations_of(model, layer, batch):
    """Log probabilities [B][heads, n, n] of the queries', keys' and values' relations, in torch."""
    import torch

    states, attention = [], model.bert.encoder.layer[layer].attention.self
    for part in (attention.query, attention.key, attention.value):
        part.register_forward_hook(lambda module, inputs, output: states.append(output))
    ids, segments, mask = (torch.from_numpy(array).long() for array in batch)
    model(input_ids=ids, token_type_ids=segments, attention_mask=mask)
    for state in states:
        for row, length in enumerate(mask.sum(1)):
            split = state[row, :length].reshape(length, HEADS, -1).transpose(0, 1)
            yield torch.log_softmax(split @ split.transpose(1, 2) / split.shape[-1] ** 0.5, -1)


@pytest.mark.reference
def test_network_is_that_of_transformers(tmp_path):
    """Loss and gradients, with the queries, keys and values of transformers' own model."""
    from torch.nn.functional import kl_div

    student, torch_student = networks(STUDENT, 1, tmp_path / "student")
    teacher, torch_teacher = networks(tiny.TINY, 2, tmp_path / "teacher")
    for parameter in teacher.get_parameters():
        parameter.requires_grad = False
    network = DistillNetwork(student, relation_terms(HEADS), teacher, (1,))
    batch = tiny.token_batch()
    rows = len(batch[0])
    columns = (*batch, np.zeros(rows, np.int32), np.ones(rows, np.float32))
    parameters = network.trainable_params()
    function = ms.value_and_grad(network, None, parameters, has_aux=True)
    (loss, _), gradients = function(*map(Tensor, columns))

    pairs = zip(relations_of(torch_student, 2, batch), relations_of(torch_teacher, 0, batch), strict=True)
    by_row = [kl_div(q, p.detach(), log_target=True, reduction="sum") / q[..., 0].numel() for q, p in pairs]
    expected = sum(by_row) / rows
    expected.backward()
    np.testing.assert_allclose(float(loss.asnumpy()), expected.item(), rtol=1e-5)
    reference = dict(torch_student.named_parameters())
    names = [to_hf_name(parameter.name.removeprefix("student.")) for parameter in parameters]
    found = {name: gradient.asnumpy() for name, gradient in zip(names, gradients, strict=True)}
    for part in ("2.attention.self.value", "2.attention.self.key", "0.output.dense"):
        name = f"bert.encoder.layer.{part}.weight"
        np.testing.assert_allclose(found[name], reference[name].grad.numpy(), rtol=1e-3, atol=1e-5)
    # Nothing behind the values is reached.
    assert not found["bert.encoder.layer.2.output.dense.weight"].any()


def test_layer():
    assert [relation_layer("auto", layers) for layers in (3, 12, 24)] == [3, 12, 21]
    assert relation_layer("2", 6) == 2
    for text in ("0", "7", "last", "-1"):
        with pytest.raises(UserError, match=f"--relation_layer {text} .* layers 1 to 6"):
            relation_layer(text, 6)


def test_heads():
    # The most of up to 48 that divide both widths: BERT-base, TinyBERT's and MiniLM's students of it.
    assert [relation_heads(0, width, 768) for width in (768, 312, 384, 256)] == [48, 24, 48, 32]
    assert relation_heads(4, 312, 768) == 4
    with pytest.raises(UserError, match="--relation_heads 48 .* 312 .* 768; give a divisor of 24"):
        relation_heads(48, 312, 768)
