"""A stack of open objects for each thread."""

import threading

import pytest

from keras_decorr.context.scope import Scope


def test_the_object_opened_last_is_current_until_its_block_ends():
    scope = Scope()
    assert scope.current is None
    with scope.open("outer") as outer:
        with pytest.raises(KeyError), scope.open("inner"):
            assert scope.current == "inner"
            raise KeyError
        assert scope.current == outer == "outer"
    assert scope.current is None


def test_every_thread_has_a_stack_of_its_own():
    scope, seen = Scope(), []
    with scope.open("main"):
        thread = threading.Thread(target=lambda: seen.append(scope.current))
        thread.start()
        thread.join()
    assert seen == [None]
