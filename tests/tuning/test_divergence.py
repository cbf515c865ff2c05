"""Ending a trial that diverges."""

import keras_tuner
import pytest

from keras_decorr.tuning import StopDivergence


def feed(losses, **arguments):
    """Show the callback the mean over an epoch, as Keras does; the number of batches it lets pass."""
    callback = StopDivergence(**arguments)
    callback.on_epoch_begin(0)
    for batch in range(len(losses)):
        try:
            callback.on_train_batch_end(batch, {"loss": sum(losses[: batch + 1]) / (batch + 1)})
        except keras_tuner.errors.FailedTrialError as error:
            return batch, str(error)
    return len(losses), None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_at_once(bad):
    passed, why = feed([2.0, 1.0, bad, 1.0])
    assert passed == 2
    assert f"the loss is {bad} in batch 3 of epoch 1" in why


def test_a_loss_far_above_the_start_ends_after_some_batches():
    passed, why = feed([2.0, 3.0, *[25.0] * 9])
    assert passed == 6  # the third to the seventh
    assert "was 2 in the first batch and is 25 in batch 7" in why
    assert feed([2.0, 3.0, *[25.0] * 9], factor=13) == (11, None)
    assert feed([2.0, 3.0, *[25.0] * 9], patience=2)[0] == 3


def test_a_spike_that_is_overcome_is_forgiven():
    # The mean over the epoch stays above 20 for 50 batches; the batches themselves do not.
    assert feed([2.0, 1000.0, 500.0, *[2.0] * 20]) == (23, None)


def test_losses_are_those_of_batches_in_later_epochs_and_steps_per_execution_too():
    callback = StopDivergence(patience=1)
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(3, {"loss": 2.0})
    callback.on_train_batch_end(7, {"loss": 10.0})  # the last four: 18
    callback.on_epoch_begin(1)
    callback.on_train_batch_end(3, {"loss": 19.0})
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="is 21 in batch 8 of epoch 2"):
        callback.on_train_batch_end(7, {"loss": 20.0})


def test_validation_that_is_no_number_ends():
    callback = StopDivergence()
    callback.on_epoch_end(0, {"val_loss": 1.0, "alignment/hidden": float("nan")})
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="val_loss is nan after epoch 2"):
        callback.on_epoch_end(1, {"val_loss": float("nan")})


@pytest.mark.parametrize("arguments", [{"factor": 1}, {"factor": "x"}, {"patience": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` of StopDivergence"):
        StopDivergence(**arguments)
