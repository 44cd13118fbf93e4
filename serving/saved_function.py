"""One signature of a SavedModel, without Python objects of its graphs.

tf.saved_model.load makes a Python object of each of some 10,000 nodes, which takes most of its two
seconds. Here TensorFlow's runtime gets the functions as they are in the file.
"""

from __future__ import annotations

import os
import pathlib
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2, saved_model_pb2
from tensorflow.python.eager import context

DEFAULT = "serving_default"
VARIABLE, CONSTANT = "VarHandleOp", "Const"


class SavedFunction:
    """A signature that can be called with arrays.

    The main graph of a SavedModel has, for each signature, a call of one function with its inputs
    and the variables that it uses, and another call that restores the variables.

    Args:
      folder: of the SavedModel, as tf.saved_model.save wrote it.
      signatures: Names; the first that the SavedModel has is the one. serving_default if none.
      fused: Whether convolutions take what follows them along, which pays in bfloat16 (30 ms in
        place of 42) and takes 0.7 s more at the first call.

    Raises:
      OSError, LookupError, ValueError, tf.errors.OpError: if it is missing, damaged or built in
        another way.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *signatures: str,
        fused: bool = False,
    ):
        folder = pathlib.Path(folder)
        self._config = _config(fused=fused)
        graph = _read(folder / "saved_model.pb")
        signatures = signatures or (DEFAULT,)
        names = [name for name in signatures if name in graph.signature_def]
        if not names:
            raise LookupError(f"no signature {' or '.join(signatures)}")
        wanted = graph.signature_def[names[0]]
        self._inputs = {_node(info.name): name for name, info in wanted.inputs.items()}
        self._outputs = {name: _number(info.name) for name, info in wanted.outputs.items()}
        (called,) = {_node(info.name) for info in wanted.outputs.values()}
        nodes = {node.name: node for node in graph.graph_def.node}
        restore = nodes[graph.saver_def.restore_op_name]
        self._call = node_def_pb2.NodeDef()
        self._call.CopyFrom(nodes[called])  # a node itself would keep the whole graph in memory
        self._names = _register(
            graph.graph_def.library.function, [_function(self._call), _function(restore)]
        )
        weakref.finalize(self, _forget, list(self._names.values()))
        used = {_node(place) for call in (self._call, restore) for place in call.input}
        self._values = {
            name: _value(nodes[name]) for name in used if nodes[name].op in (VARIABLE, CONSTANT)
        }
        checkpoint = tf.constant(str(folder / "variables" / "variables"))
        self._run(restore, {_node(graph.saver_def.filename_tensor_name): checkpoint})

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls the signature: arrays by the names of its inputs, to arrays by those of outputs."""
        given = {node: tf.convert_to_tensor(inputs[name]) for node, name in self._inputs.items()}
        values = self._run(self._call, given)
        return {name: values[number].numpy() for name, number in self._outputs.items()}

    def _run(self, call, given: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """Runs a call of a function."""
        values = {**self._values, **given}
        places = [values[_node(place)] for place in call.input]
        return tf.raw_ops.StatefulPartitionedCall(
            args=[place.handle if isinstance(place, tf.Variable) else place for place in places],
            Tout=list(call.attr["Tout"].list.type),
            f=self._names[_function(call)],
            config_proto=self._config,
        )


def _config(*, fused: bool) -> bytes:
    """A ConfigProto without the optimizer, see backend.without_grappler, or with fusion alone."""
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.disable_meta_optimizer = not fused
    rewrites.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewrites.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    for field in rewrites.DESCRIPTOR.fields:
        if field.enum_type and field.enum_type.name == "Toggle":
            setattr(rewrites, field.name, rewriter_config_pb2.RewriterConfig.OFF)
    rewrites.remapping = rewriter_config_pb2.RewriterConfig.ON
    return config.SerializeToString()


def _read(path: pathlib.Path):
    """The meta graph of a saved_model.pb."""
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if len(saved.meta_graphs) != 1:
        raise ValueError(f"{path.name}: has {len(saved.meta_graphs)} graphs, not one")
    return saved.meta_graphs[0]


def _node(place: str) -> str:
    """The node's name of "node:number"."""
    return place.split(":")[0]


def _number(place: str) -> int:
    return int(place.split(":")[1])


def _function(call) -> str:
    """The name of the function that a node calls."""
    return call.attr["f"].func.name


def _value(node) -> tf.Variable | tf.Tensor:
    """What a node of the main graph stands for; variables are restored later."""
    if node.op == CONSTANT:
        return tf.constant(tf.make_ndarray(node.attr["value"].tensor))
    shape = [dimension.size for dimension in node.attr["shape"].shape.dim]
    return tf.Variable(tf.zeros(shape, node.attr["dtype"].type), trainable=False)


def _register(library: Sequence, starts: Iterable[str]) -> dict[str, str]:
    """Gives functions, and all that they call, to the runtime; two models' names may be the same.

    Returns:
      The names under which it knows them, by those in the library.
    """
    functions = {function.signature.name: function for function in library}
    names: dict[str, str] = {}
    waiting, mark = list(starts), uuid.uuid4().hex
    while waiting:
        name = waiting.pop()
        if name in functions and name not in names:
            names[name] = f"{name}_{mark}"
            waiting += [call.name for node in functions[name].node_def for call in _calls(node)]
    for name, new in names.items():
        functions[name].signature.name = new
        for node in functions[name].node_def:
            for call in _calls(node):
                call.name = names.get(call.name, call.name)
        context.context().add_function_def(functions[name])
    return names


def _calls(node) -> Iterator:
    """The functions that a node calls, as NameAttrLists."""
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func
        yield from attribute.list.func


def _forget(names: Iterable[str]) -> None:
    for name in names:
        context.context().remove_function(name)
