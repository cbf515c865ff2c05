"""Pure functions on tensors, written with `keras.ops` and in the symbols of the papers.

Nothing here knows a layer, a variable or a backend. Shapes: `k` sampled rows, `n` features,
`g` groups of `m` features. Where a function takes `(..., k, m)` the leading axes are groups.
"""
