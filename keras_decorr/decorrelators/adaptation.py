"""M from data at once, as a pure function: rows in, M out."""

from keras import ops

from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.sample import Pool
from keras_decorr.decorrelators.step import scaled_rows
from keras_decorr.decorrelators.structures import Structure
from keras_decorr.maths.correlation import squared_norms


def adapted(
    rule: Decorrelator, operator: Structure, sample: Pool, damping: float
) -> tuple[tuple, tuple]:
    """Returns the M that decorrelates the given rows, and what the rule keeps beside it.

    Stage after stage: each learns from the rows as the stages before it leave them.

    Args:
        rule: The decorrelation rule.
        operator: The structure of M for the features of the layer.
        sample: The `Pool` of rows.
        damping: See `Decorrelator.adapted_stage`.

    Returns:
        `(matrices, memory)`, in the order of `Structure.shapes`; the memory is a tuple for every stage.
    """
    X, Z, weights = scaled_rows(sample)
    raw2 = squared_norms(X)
    matrices = [ops.convert_to_tensor(identity, "float32") for identity in operator.identities()]
    matrices[: operator.tracked] = operator.principal(Z)
    memory = []
    for i in range(operator.tracked, len(matrices)):
        stage = operator.stages(matrices, Z, raw2)[0][i - operator.tracked]
        stage = stage._replace(
            weights=weights,
            memory=tuple(rule.memory(matrices[i]).values()),
            expected_rows=sample.expected_rows,
        )
        matrices[i], *kept = rule.adapted_stage(stage, damping)
        memory.append(tuple(kept))
    return tuple(matrices), tuple(memory)
