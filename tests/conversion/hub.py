"""Small backbones and tasks of keras_hub with random weights, for tests and a table of them all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import keras_hub
import numpy as np
from keras import layers
from keras_hub.src.models.vae.vae_backbone import VAEBackbone

from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.layers.walk import once, walk

models = keras_hub.models

VOCABULARY = 20
BATCH, LENGTH = 2, 6
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog")
SENTENCES = ("the quick brown fox", "a lazy dog", "the dog jumps over a fox", "a brown dog")


class Case(NamedTuple):
    """One model.

    Attributes:
        build: A function that makes it, with random weights.
        batch: A function of a `numpy.random.Generator` that gives a batch of inputs.
        targets: A function of the outputs for a batch and a generator that gives what to train for.
        loss: What to train with. `None` where keras_hub refuses to train.
        still: Endings of the paths of layers whose inputs are the same in every row, so that there is
            nothing to learn for M.
        loses: What keras_hub itself may lose when it saves.
    """

    build: Callable[[], Any]
    batch: Callable[[np.random.Generator], Any]
    targets: Callable[[Any, np.random.Generator], Any]
    loss: Any = "mse"
    still: tuple[str, ...] = ()
    loses: str = ""


CASES: dict[str, Case] = {}

LINEAR = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
)


def linear_maps(model):
    """The paths of the linear maps in a model: of those that decorrelate, and of the others."""
    found = [p for p in once(walk(model)) if isinstance(p.layer, LINEAR) and p.layer.built]
    decorrelating = [p.path for p in found if isinstance(p.layer, DecorrelatingTwin)]
    return decorrelating, [p.path for p in found if not isinstance(p.layer, DecorrelatingTwin)]


def inputs_of(model, batch):
    """A batch as the layers of a model get it, behind the preprocessor of a task."""
    preprocessor = getattr(model, "preprocessor", None)
    return batch if preprocessor is None else preprocessor(batch)


def enlarged(model):
    """A model with weights as large as after training: many start so small that errors would hide."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        size = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.1
        variable.assign(variable + size * rng.normal(size=shape))
    return model


def like(outputs, rng):
    """Random targets of the shapes of the outputs, for every sample."""
    return keras.tree.map_structure(
        lambda y: rng.normal(size=(BATCH, *y.shape[1:])).astype("float32"), outputs
    )


def classes(outputs, rng):
    """Random classes of two."""
    return rng.integers(0, 2, len(outputs))


def next_tokens(outputs, rng):
    """Random tokens."""
    return rng.integers(0, VOCABULARY, outputs.shape[:2])


def case(batch, targets=like, **others):
    """Decorator: enters a function that builds a model under its name."""

    def enter(build):
        CASES[build.__name__] = Case(lambda: enlarged(build()), batch, targets, **others)
        return build

    return enter


# --- batches --------------------------------------------------------------------------------------


def tokens(rng, prefix="", length=LENGTH):
    """Two sentences, of which one is shorter."""
    mask = np.ones((BATCH, length), "int32")
    mask[0, -1] = 0
    return {
        f"{prefix}token_ids": rng.integers(1, VOCABULARY, (BATCH, length)).astype("int32"),
        f"{prefix}padding_mask": mask,
    }


def segments(rng):
    return {**tokens(rng), "segment_ids": rng.integers(0, 2, (BATCH, LENGTH)).astype("int32")}


def unmasked_segments(rng):
    return {name: x for name, x in segments(rng).items() if name != "padding_mask"}


def two_sequences(rng):
    return {**tokens(rng, "encoder_"), **tokens(rng, "decoder_", LENGTH - 1)}


def sound(rng):
    features = rng.normal(size=(BATCH, 2 * LENGTH, 80)).astype("float32")
    return {"encoder_features": features, **tokens(rng, "decoder_")}


def pixels(*shape):
    """A batch of images of a shape."""
    return lambda rng: rng.uniform(size=(BATCH, *shape)).astype("float32")


def named_images(rng):
    return {"images": pixels(28, 28, 3)(rng)}


def images_and_tokens(rng):
    ids = rng.integers(1, VOCABULARY, (BATCH, LENGTH)).astype("int32")
    return {"images": pixels(32, 32, 3)(rng), "token_ids": ids}


def pali_gemma_inputs(rng):
    return {
        **tokens(rng),
        "images": pixels(16, 16, 3)(rng),
        "response_mask": np.zeros((BATCH, LENGTH), "int32"),
    }


def gemma3_inputs(rng):
    """One image of four tokens among eight."""
    mask = np.zeros((BATCH, 8), "int32")
    mask[:, 2:6] = 1
    return {
        **tokens(rng, length=8),
        "images": pixels(1, 16, 16, 3)(rng),
        "vision_mask": mask,
        "vision_indices": np.tile(np.arange(2, 6, dtype="int32"), (BATCH, 1)),
    }


def prompts(rng):
    return {
        "images": pixels(16, 16, 3)(rng),
        "points": rng.uniform(size=(BATCH, 1, 2)).astype("float32"),
        "labels": np.ones((BATCH, 1), "float32"),
        "boxes": rng.uniform(size=(BATCH, 1, 2, 2)).astype("float32"),
        "masks": pixels(1, 16, 16, 1)(rng),
    }


def diffusion_inputs(rng):
    ids = (
        "clip_l_token_ids",
        "clip_l_negative_token_ids",
        "clip_g_token_ids",
        "clip_g_negative_token_ids",
    )
    return {
        **{name: rng.integers(1, VOCABULARY, (BATCH, 5)).astype("int32") for name in ids},
        "images": pixels(64, 64, 3)(rng),
        "latents": rng.normal(size=(BATCH, 8, 8, 16)).astype("float32"),
        "num_steps": np.ones((BATCH,), "int32"),
        "guidance_scale": np.ones((BATCH,), "float32"),
    }


# --- text -----------------------------------------------------------------------------------------

ENCODER = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
HEADS = {**ENCODER, "num_heads": 2}
POSITIONS = {**HEADS, "max_sequence_length": LENGTH}
GROUPED = {**ENCODER, "num_query_heads": 4, "num_key_value_heads": 2}


@case(segments)
def bert():
    return models.BertBackbone(**POSITIONS)


@case(tokens)
def roberta():
    return models.RobertaBackbone(**POSITIONS)


@case(tokens)
def xlm_roberta():
    return models.XLMRobertaBackbone(**POSITIONS)


@case(tokens)
def distil_bert():
    return models.DistilBertBackbone(**POSITIONS)


@case(segments)
def albert():
    return models.AlbertBackbone(
        **POSITIONS, embedding_dim=6, num_groups=1, num_inner_repetitions=1
    )


@case(tokens)
def deberta_v3():
    return models.DebertaV3Backbone(**POSITIONS)


@case(segments)
def electra():
    arguments = {name: x for name, x in POSITIONS.items() if name != "vocabulary_size"}
    return models.ElectraBackbone(vocab_size=VOCABULARY, embedding_dim=6, **arguments)


@case(unmasked_segments)
def f_net():
    return models.FNetBackbone(**ENCODER, max_sequence_length=LENGTH)


@case(tokens)
def gpt2():
    return models.GPT2Backbone(**POSITIONS)


@case(tokens)
def gpt_neo_x():
    return models.GPTNeoXBackbone(**{**POSITIONS, "hidden_dim": 16})


@case(tokens)
def opt():
    return models.OPTBackbone(**POSITIONS)


@case(tokens)
def bloom():
    return models.BloomBackbone(**HEADS)


@case(tokens)
def falcon():
    return models.FalconBackbone(**ENCODER, num_attention_heads=2)


@case(tokens)
def llama():
    return models.LlamaBackbone(**GROUPED)


@case(tokens)
def llama3():
    return models.Llama3Backbone(**GROUPED)


@case(tokens)
def mistral():
    return models.MistralBackbone(**GROUPED, sliding_window=2)


@case(tokens)
def mixtral():
    return models.MixtralBackbone(**GROUPED, sliding_window=2, num_experts=2, top_k=2)


@case(tokens)
def phi3():
    return models.Phi3Backbone(**GROUPED)


@case(tokens)
def qwen():
    return models.QwenBackbone(**GROUPED)


@case(tokens)
def qwen3():
    return models.Qwen3Backbone(**GROUPED, head_dim=2)


@case(tokens)
def gemma():
    return models.GemmaBackbone(**GROUPED, head_dim=4)


@case(tokens)
def gemma3():
    return models.Gemma3Backbone(**GROUPED, head_dim=4, image_size=16)


@case(two_sequences)
def bart():
    return models.BartBackbone(**POSITIONS)


@case(two_sequences)
def t5():
    return models.T5Backbone(**HEADS)


@case(sound)
def whisper():
    return models.WhisperBackbone(
        **HEADS, max_encoder_sequence_length=2 * LENGTH, max_decoder_sequence_length=LENGTH
    )


# --- images ---------------------------------------------------------------------------------------

VIT = {"image_shape": (16, 16, 3), "num_layers": 2, "hidden_dim": 12, "num_heads": 2}


@case(pixels(16, 16, 3))
def vit():
    return models.ViTBackbone(**VIT, patch_size=(4, 4), mlp_dim=24)


DINO = {
    **VIT,
    "image_shape": (28, 28, 3),
    "position_embedding_shape": (28, 28, 3),
    "patch_size": 14,
    "intermediate_dim": 24,
}


LOST = "what positions have learned, unless the sum of it is negative"


@case(named_images, loses=LOST)
def dinov2():
    return models.DINOV2Backbone(**DINO, num_register_tokens=2)


@case(named_images, loses=LOST)
def dinov2_swiglu():
    return models.DINOV2Backbone(**DINO, use_swiglu_ffn=True)


@case(pixels(32, 32, 3))
def swin_transformer():
    return models.SwinTransformerBackbone(
        image_shape=(32, 32, 3), embed_dim=8, depths=(2, 2), num_heads=(2, 2), window_size=4
    )


@case(pixels(32, 32, 3))
def mit():
    return models.MiTBackbone(
        layerwise_depths=[1, 2], image_shape=(32, 32, 3), hidden_dims=[4, 8], num_layers=2,
        layerwise_num_heads=[1, 2], layerwise_sr_ratios=[2, 1], max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3], layerwise_strides=[4, 2],
    )  # fmt: skip


@case(pixels(32, 32, 3))
def segformer():
    return models.SegFormerBackbone(image_encoder=mit(), projection_filters=8)


def res_net(block_type, **arguments):
    return models.ResNetBackbone(
        input_conv_filters=[8], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], image_shape=(32, 32, 3),
        block_type=block_type, **arguments,
    )  # fmt: skip


@case(pixels(32, 32, 3))
def resnet():
    return res_net("bottleneck_block")


@case(pixels(32, 32, 3))
def resnet_v2():
    return res_net("bottleneck_block", use_pre_activation=True)


@case(pixels(32, 32, 3))
def mobilenet():
    return models.MobileNetBackbone(
        stackwise_expansion=[[8], [16, 16]], stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [8, 8]], stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]], stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]], output_num_filters=16, input_activation="hard_swish",
        output_activation="hard_swish", input_num_filters=8, image_shape=(32, 32, 3),
        depthwise_filters=8, depthwise_stride=2, depthwise_residual=False, squeeze_and_excite=0.5,
        last_layer_filter=16,
    )  # fmt: skip


@case(pixels(32, 32, 3))
def efficientnet():
    return models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3], stackwise_num_repeats=[1, 2], stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16], stackwise_expansion_ratios=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25], stackwise_strides=[1, 2],
        stackwise_block_types=["fused", "unfused"], stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False], input_shape=(32, 32, 3),
        width_coefficient=1.0, depth_coefficient=1.0,
    )  # fmt: skip


@case(pixels(32, 32, 3))
def densenet():
    return models.DenseNetBackbone(
        stackwise_num_repeats=[1, 2], compression_ratio=0.5, growth_rate=4, image_shape=(32, 32, 3)
    )


@case(pixels(32, 32, 3))
def cspnet():
    return models.CSPNetBackbone(
        stem_filters=8, stem_kernel_size=3, stem_strides=1, stackwise_strides=2,
        stackwise_depth=[1, 2], stackwise_num_filters=[8, 16], image_shape=(32, 32, 3),
        down_growth=True, bottle_ratio=(0.5, 1.0), block_ratio=(1.0, 0.5), expand_ratio=(2.0, 1.0),
        block_type="dark_block", stage_type="csp", stem_padding="same",
    )  # fmt: skip


@case(pixels(32, 32, 3))
def xception():
    return models.XceptionBackbone(
        stackwise_conv_filters=[[8, 8], [8, 16]], stackwise_pooling=[False, True],
        image_shape=(32, 32, 3),
    )  # fmt: skip


@case(pixels(16, 16, 3))
def vgg():
    return models.VGGBackbone(
        stackwise_num_repeats=[1, 2], stackwise_num_filters=[8, 8], image_shape=(16, 16, 3)
    )


def vit_det():
    return models.ViTDetBackbone(
        hidden_size=8, num_layers=2, intermediate_dim=16, num_heads=2,
        global_attention_layer_indices=[1], patch_size=4, num_output_channels=8, window_size=2,
        image_shape=(16, 16, 3),
    )  # fmt: skip


# One that is the same for all samples is not trained.
SAM_LOSS = {
    "image_embeddings": "mse",
    "prompt_sparse_embeddings": "mse",
    "prompt_dense_embeddings": "mse",
    "prompt_dense_positional_embeddings": None,
}


@case(prompts, loss=SAM_LOSS)
def sam():
    return models.SAMBackbone(
        image_encoder=vit_det(),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=8, image_embedding_size=(4, 4), input_image_size=(16, 16), mask_in_channels=16
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=1, hidden_size=8, intermediate_dim=16, num_heads=2, embedding_dim=8,
            num_multimask_outputs=3, iou_head_depth=2, iou_head_hidden_dim=8,
        ),
    )  # fmt: skip


# --- images and text ------------------------------------------------------------------------------


@case(images_and_tokens)
def clip():
    return models.CLIPBackbone(
        vision_encoder=models.CLIPVisionEncoder(
            16, 8, 2, 2, 16, image_shape=(32, 32, 3), name="vision_encoder"
        ),
        text_encoder=models.CLIPTextEncoder(
            VOCABULARY, 8, 8, 2, 2, 16, max_sequence_length=LENGTH, name="text_encoder"
        ),
        projection_dim=8,
    )


@case(images_and_tokens, still=("vision_encoder_head/attention/query",))
def siglip():
    return models.SigLIPBackbone(
        vision_encoder=models.SigLIPVisionEncoder(
            16, 8, 2, 2, 16, image_shape=(32, 32, 3), name="vision_encoder"
        ),
        text_encoder=models.SigLIPTextEncoder(
            VOCABULARY, 8, 8, 2, 2, 16, max_sequence_length=LENGTH, name="text_encoder"
        ),
    )


@case(pali_gemma_inputs)
def pali_gemma():
    return models.PaliGemmaBackbone(
        **GROUPED, head_dim=4, image_size=16, vit_patch_size=4, vit_num_layers=2, vit_num_heads=2,
        vit_hidden_dim=8, vit_intermediate_dim=16,
    )  # fmt: skip


@case(gemma3_inputs)
def gemma3_with_images():
    encoder = models.Gemma3VisionEncoder(
        image_size=16, patch_size=4, pool_size=2, num_layers=2, num_heads=2, hidden_dim=8,
        intermediate_dim=16, output_dim=8,
    )  # fmt: skip
    return models.Gemma3Backbone(**GROUPED, head_dim=4, image_size=16, vision_encoder=encoder)


@case(diffusion_inputs, still=("timestep_embedding/mlp/dense1", "timestep_embedding/mlp/dense2"))
def stable_diffusion_3():
    filters, blocks = [32, 32, 32, 32], [1, 1, 1, 1]
    vae = VAEBackbone(filters, blocks, filters, blocks, sampler_method="mode", name="vae")
    small, large = (
        models.CLIPTextEncoder(VOCABULARY, n, n, 2, 2, 2 * n, "gelu", -2, name=f"clip_{name}")
        for name, n in (("l", 8), ("g", 16))
    )
    return models.StableDiffusion3Backbone(
        mmdit_patch_size=2, mmdit_hidden_dim=16, mmdit_num_layers=2, mmdit_num_heads=2,
        mmdit_position_size=192, mmdit_qk_norm=None, mmdit_dual_attention_indices=None,
        vae=vae, clip_l=small, clip_g=large, image_shape=(64, 64, 3),
    )  # fmt: skip


# --- tasks ----------------------------------------------------------------------------------------

CLASSES = {"targets": classes, "loss": "sparse_categorical_crossentropy"}


def sentences(rng):
    return np.array(SENTENCES)


@case(pixels(32, 32, 3), **CLASSES)
def image_classifier():
    return models.ImageClassifier(resnet(), num_classes=2, preprocessor=None, activation="softmax")


@case(lambda rng: 255.0 * pixels(40, 40, 3)(rng), **CLASSES)
def image_classifier_with_preprocessor():
    converter = keras_hub.layers.ResNetImageConverter(image_size=(32, 32), scale=1 / 255)
    preprocessor = models.ResNetImageClassifierPreprocessor(image_converter=converter)
    return models.ResNetImageClassifier(
        resnet(), num_classes=2, preprocessor=preprocessor, activation="softmax"
    )


@case(segments, **CLASSES)
def text_classifier():
    return models.BertTextClassifier(bert(), num_classes=2, preprocessor=None, activation="softmax")


@case(sentences, **CLASSES)
def text_classifier_with_preprocessor():
    tokenizer = models.BertTokenizer(
        vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS], lowercase=True
    )
    preprocessor = models.BertTextClassifierPreprocessor(tokenizer, sequence_length=LENGTH)
    return models.BertTextClassifier(
        bert(), num_classes=2, preprocessor=preprocessor, activation="softmax"
    )


@case(prompts, loss=None)
def sam_image_segmenter():
    return models.SAMImageSegmenter(sam(), preprocessor=None)


@case(tokens, next_tokens, loss="auto")
def causal_lm():
    return models.GPT2CausalLM(gpt2(), preprocessor=None)


@case(segments)
def backbone_in_a_functional_model():
    backbone = bert()
    pooled = backbone(backbone.input)["pooled_output"]
    return keras.Model(backbone.input, keras.layers.Dense(3)(keras.layers.Dense(8)(pooled)))
