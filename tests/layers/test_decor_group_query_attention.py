"""What is particular to DecorGroupQueryAttention: fewer heads of keys and values than of queries."""

from keras_decorr.backend.keras_internals import attention_projections
from keras_decorr.layers import DecorGroupQueryAttention


def test_every_projection_has_an_m_for_its_own_inputs(rng):
    layer = DecorGroupQueryAttention(head_dim=4, num_query_heads=6, num_key_value_heads=2)
    layer.build((3, 5, 8), (3, 7, 10))
    parts = attention_projections(layer)
    features = {role: part.features for role, part in parts.items()}
    assert features == {"query": 8, "key": 10, "value": 10, "output": 6 * 4}
    assert tuple(parts["query"].kernel.shape) == (8, 6, 4)
    assert tuple(parts["key"].kernel.shape) == (10, 2, 4)
    assert layer.features == 24
    assert len({id(part.decorrelator) for part in parts.values()}) == 4
