"""Where the backend computes."""

from keras_decorr.backend.devices import on_tensorflows_cpu


def test_only_tensorflow_without_a_gpu_counts(backend, monkeypatch):
    if backend != "tensorflow":
        assert not on_tensorflows_cpu()
        return
    import tensorflow as tf

    for gpus in ([], ["GPU:0"]):
        monkeypatch.setattr(
            tf.config, "list_logical_devices", lambda kind, gpus=gpus: gpus if kind == "GPU" else []
        )
        assert on_tensorflows_cpu() == (not gpus)
