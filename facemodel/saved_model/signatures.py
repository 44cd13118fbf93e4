"""The graph that is served: photo and landmarks in, face out.

Alignment, crop and loop are in it. Only stock TensorFlow ops are used, so an unmodified TensorFlow
Serving loads it. Names are fixed, because clients depend on them.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf

from facemodel import camera, records, transforms
from facemodel.fitting.alignment import crop_around, fit_face_pose
from facemodel.fitting.crop import grey_crop
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable import landmarks
from facemodel.morphable.geometry import FaceGeometry, decode
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT
from facemodel.morphable.model import MorphableModel
from facemodel.network.folding import fold_normalisations
from facemodel.network.heads import LoopHeads
from facemodel.network.regressor import IterativeRegressor
from facemodel.rendering.shading import render_shading
from facemodel.saved_model.metadata import ExportConfig

MAX_ZOOM = 100.0
"""Crop pixels per image pixel, and the reverse, beyond which landmarks give no crop."""
_function = functools.partial(tf.function, autograph=False)
_IMAGE = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
_LANDMARKS = tf.TensorSpec([None, MEDIAPIPE_COUNT, 2], tf.float32, name="landmarks")


class FaceServer(tf.Module):
    """The functions behind the signatures; arrays are variables, so that signatures share them.

    Args:
      model: the face model, at the level of the vertices that are put out.
      regressor: Iterative regressor for that face model.
      config: Start of the loop, and how crops are sampled.
      description: JSON that the signature `metadata` returns besides the face model's arrays.
    """

    def __init__(
        self,
        model: MorphableModel,
        regressor: IterativeRegressor,
        config: ExportConfig,
        *,
        description: str = "{}",
    ):
        super().__init__(name="facerelief")
        self._config = config
        self._metadata = _metadata_outputs(model) | {"description": np.array(description.encode())}
        geometry = keras.tree.map_structure(_shared, FaceGeometry.create(model))
        self._geometry = lambda: keras.tree.map_structure(_value, geometry)
        self._iterations, self._step_decay = regressor.iterations, regressor.step_decay
        heads = tuple(tf.Variable(layers, trainable=False) for layers in regressor.heads or ())
        self._heads = lambda: LoopHeads(*map(_value, heads)) if heads else None
        # Only tf.Variables may be attributes: of a Keras variable the SavedModel would hold a copy,
        # and a TensorFlow Serving that restores the copy leaves the one that is used empty.
        network = fold_normalisations(regressor.network)
        self._network = lambda: network
        weights = (variable.value for variable in network.variables)
        self._variables = [*keras.tree.flatten(geometry), *weights, *heads]

    @_function(input_signature=[tf.TensorSpec([None, MEDIAPIPE_COUNT, 2], tf.float32)])
    def align(self, landmarks_478):
        """[B, 478, 2] px -> crop_from_image [B, 2, 3], inner landmarks in the crop [B, 51, 2].

        Also returns for which faces that worked, [B] bool; the others get those of the mean face,
        so that they disturb nobody else in the batch.
        """
        inner = tf.gather(landmarks_478, np.asarray(landmarks.INNER_51), axis=1)
        geometry = self._geometry()
        crop_from_image = crop_around(geometry, inner)
        inside = transforms.apply_similarity(crop_from_image, inner)
        zoom = transforms.similarity_scale(crop_from_image)
        finite = tf.reduce_all(tf.math.is_finite(crop_from_image), [1, 2])
        usable = finite & (zoom > 1.0 / MAX_ZOOM) & (zoom < MAX_ZOOM)
        choose = usable[:, None, None]
        frontal = (
            camera.CROP_SCALE * geometry.landmark_mean[None, :, :2] * (1.0, -1.0)
            + camera.CROP_SIZE / 2
        )
        identity = tf.eye(2, 3, batch_shape=[1])
        crop_from_image = tf.where(choose, crop_from_image, identity)
        return crop_from_image, tf.where(choose, inside, frontal), usable

    @_function(
        input_signature=[
            tf.TensorSpec([None, camera.CROP_SIZE, camera.CROP_SIZE], tf.float32),
            tf.TensorSpec([None, 51, 2], tf.float32),
        ]
    )
    def iterate(self, grey, crop_landmarks):
        """Runs the loop on grey crops [B, S, S] in [0, 1].

        Returns:
          All estimates [B, K + 1, n], the start first, and the corrected landmarks [B, 51, 2] px.
        """
        geometry = self._geometry()
        regressor = IterativeRegressor(
            geometry,
            self._network(),
            iterations=self._iterations,
            step_decay=self._step_decay,
            heads=self._heads(),
        )
        start = self._start(geometry, crop_landmarks)
        estimates, places = regressor.run(
            {"grey": grey, "landmarks": crop_landmarks, "start": start}
        )
        return estimates, places[:, -1]

    @_function(
        input_signature=[
            tf.TensorSpec([None, camera.CROP_SIZE, camera.CROP_SIZE], tf.float32),
            tf.TensorSpec([None, 51, 2], tf.float32),
            tf.TensorSpec([None, 2, 3], tf.float32),
            tf.TensorSpec([None], tf.bool),
        ]
    )
    def reconstruct(self, grey, crop_landmarks, crop_from_image, usable):
        """Faces in grey crops [B, S, S] in [0, 1], and pictures; named as signatures name them."""
        geometry = self._geometry()
        outputs, crop_pose = self._faces(grey, crop_landmarks, crop_from_image)
        shading, mask = render_shading(
            geometry.fine, outputs["vertices"], crop_pose, size=camera.CROP_SIZE
        )
        outputs |= {
            "shading": _to_uint8(shading),
            "mask": _to_uint8(mask),
            "crop": _to_uint8(grey),
        }
        return {name: _blank_unless(usable, value) for name, value in outputs.items()}

    def _faces(self, grey, crop_landmarks, crop_from_image):
        """The outputs that are no pictures, by name, and the poses in the crops."""
        geometry = self._geometry()
        iterations, crop_landmarks = self.iterate(grey, crop_landmarks)
        coefficients = iterations[:, -1]
        crop_pose = fit_face_pose(geometry, coefficients, crop_landmarks)
        pose = camera.transform_pose(crop_pose, transforms.invert_similarity(crop_from_image))
        outputs = {
            "coefficients": coefficients,
            "vertices": decode(geometry.fine, coefficients),
            "rotation": pose.rotation,
            "scale": pose.scale,
            "translation": pose.translation,
            "crop_from_image": crop_from_image,
            "iterations": iterations,
        }
        return outputs, crop_pose

    def _start(self, geometry: FaceGeometry, crop_landmarks):
        if self._config.start == "zero":
            return tf.zeros([tf.shape(crop_landmarks)[0], geometry.prior_mean.shape[0]])
        sigma_px = self._config.landmark_noise_mm * camera.CROP_SCALE
        return landmark_fit(
            geometry, crop_landmarks, tf.fill([tf.shape(crop_landmarks)[0]], sigma_px)
        )

    @_function(input_signature=[_IMAGE, _LANDMARKS])
    def serving_default(self, image, landmarks):
        """Pictures of one size as pixels."""
        return self.reconstruct(*self._crops(image, landmarks, grey_crop))

    @_function(input_signature=[_IMAGE, _LANDMARKS])
    def mesh(self, image, landmarks):
        """As serving_default, without the pictures, which take time to draw and to send."""
        *crops, usable = self._crops(image, landmarks, grey_crop)
        outputs, _ = self._faces(*crops)
        return {name: _blank_unless(usable, value) for name, value in outputs.items()}

    def _crops(self, images, landmarks, cut):
        """The arguments of reconstruct; cut is grey_crop or has its arguments."""
        _check_counts(images, landmarks)
        crop_from_image, crop_landmarks, usable = self.align(landmarks)
        grey = cut(images, crop_from_image, supersample=self._config.supersample)
        return grey, crop_landmarks, crop_from_image, usable

    @_function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes"), _LANDMARKS])
    def encoded(self, image_bytes, landmarks):
        """Pictures as JPEG or PNG files, each of its own size."""
        return self.reconstruct(*self._crops(image_bytes, landmarks, _decoded_crops))

    @_function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples):
        """Serialized tf.Examples as facemodel.records writes them."""
        image_bytes, landmarks_478 = records.parse_request(examples)
        return self.encoded(image_bytes, landmarks_478)

    @_function(input_signature=[tf.TensorSpec([None], tf.string, name="request")])
    def metadata(self, request):
        """What the model is, once for each string in the request, whose text is ignored."""
        batch = tf.shape(request)[0]
        return {
            name: tf.broadcast_to(array[None], tf.concat([[batch], array.shape], 0))
            for name, array in (
                (name, tf.constant(array)) for name, array in self._metadata.items()
            )
        }

    def signatures(self) -> dict:
        """The functions by signature name."""
        return {
            name: getattr(self, name)
            for name in ("serving_default", "mesh", "encoded", "examples", "metadata")
        }


def _shared(array):
    """An array as one variable for all signatures; indices, which variables hold badly, stay."""
    return tf.Variable(array, trainable=False) if array.dtype.is_floating else array


def _check_counts(images, landmarks) -> None:
    """Refuses a batch in which not every image has its landmarks."""
    counts = [tf.shape(images)[0], tf.shape(landmarks)[0]]
    message = "image and landmarks should be of as many faces"
    tf.debugging.assert_equal(*counts, message=message)


def _value(array):
    return tf.convert_to_tensor(array) if isinstance(array, tf.Variable) else array


def _blank_unless(usable, values):
    """Replaces floats by not-a-number and pixels by 0 where usable [B] is false."""
    blank = tf.constant(np.nan if values.dtype.is_floating else 0, values.dtype)
    choose = tf.reshape(usable, [-1, *([1] * (values.shape.rank - 1))])
    return tf.where(choose, values, blank)


def _decoded_crops(image_bytes, crop_from_image, *, supersample: int):
    """Decodes images one by one and cuts their crops -> [B, S, S]; so their sizes may differ."""

    def crop(one):
        image = tf.io.decode_image(one[0], channels=3, expand_animations=False)
        return grey_crop(image[None], one[1][None], supersample=supersample)[0]

    spec = tf.TensorSpec([camera.CROP_SIZE, camera.CROP_SIZE], tf.float32)
    return tf.map_fn(crop, (image_bytes, crop_from_image), fn_output_signature=spec)


def _to_uint8(values):
    return tf.cast(tf.round(tf.clip_by_value(values, 0.0, 1.0) * 255.0), tf.uint8)


def _metadata_outputs(model: MorphableModel) -> dict[str, np.ndarray]:
    """What the metadata signature gives, without the batch dimension."""
    ibug = np.asarray(landmarks.IBUG_68)
    return {
        "model_name": np.array(model.name.encode()),
        "model_version": np.array(model.version.encode()),
        "coefficient_names": np.array([name.encode() for name in model.coefficient_names]),
        "triangles": model.triangles,
        "mean": model.mean,
        "albedo_mean": model.albedo_mean,
        "regions": model.regions,
        "landmark_triangles": model.landmark_triangles[ibug],
        "landmark_barycentric": model.landmark_barycentric[ibug],
    }
