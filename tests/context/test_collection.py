"""The samples that layers leave during a training step."""

from keras_decorr.context import collection


def test_samples_come_back_once_by_layer_in_the_order_of_their_calls():
    first, second = [], []  # equal, and two layers all the same
    assert collection.current() is None
    with collection.collect() as samples:
        assert collection.current() is samples
        for layer, sample in ((first, 1), (second, 2), (first, 3)):
            samples.add(layer, sample)
    assert collection.current() is None
    (a, of_a), (b, of_b) = samples.flush()
    assert a is first and of_a == [1, 3]
    assert b is second and of_b == [2]
    assert samples.flush() == []


def test_a_paused_collection_takes_nothing_and_pauses_can_be_nested():
    samples = collection.Collection()
    with samples.paused():
        with samples.paused():
            samples.add("layer", 1)
        samples.add("layer", 2)
    samples.add("layer", 3)
    assert samples.flush() == [("layer", [3])]
