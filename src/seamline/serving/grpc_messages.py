"""Messages of the protocol's gRPC service, made from one table of their fields.

They live in a pool of their own: every generated copy of them registers the same names in protobuf's common pool, and a
process that also loads that of `tritonclient` or `kserve` could not start. `tests/runtime/serving` compares them with
Triton's.
Source: KServe's specification ``open_inference_grpc.proto``; ``ModelStreamInfer`` of Triton's ``grpc_service.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_TENSOR = "name=1 string, datatype=2 string, shape=3 *int64"
_ANY_TENSOR = f"{_TENSOR}, parameters=4 {{InferParameter}}, contents=5 InferTensorContents"
_FIELDS: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live=1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready=1 bool",
    "ModelReadyRequest": "name=1 string, version=2 string",
    "ModelReadyResponse": "ready=1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name=1 string, version=2 string, extensions=3 *string",
    "ModelMetadataRequest": "name=1 string, version=2 string",
    "ModelMetadataResponse": "name=1 string, versions=2 *string, platform=3 string, "
    "inputs=4 *ModelMetadataResponse.TensorMetadata, outputs=5 *ModelMetadataResponse.TensorMetadata",
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelInferRequest": "model_name=1 string, model_version=2 string, id=3 string, parameters=4 {InferParameter}, "
    "inputs=5 *ModelInferRequest.InferInputTensor, outputs=6 *ModelInferRequest.InferRequestedOutputTensor, "
    "raw_input_contents=7 *bytes",
    "ModelInferRequest.InferInputTensor": _ANY_TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name=1 string, parameters=2 {InferParameter}",
    "ModelInferResponse": "model_name=1 string, model_version=2 string, id=3 string, parameters=4 {InferParameter}, "
    "outputs=5 *ModelInferResponse.InferOutputTensor, raw_output_contents=6 *bytes",
    "ModelInferResponse.InferOutputTensor": _ANY_TENSOR,
    "ModelStreamInferResponse": "error_message=1 string, infer_response=2 ModelInferResponse",
    "InferParameter": "bool_param=1 |bool, int64_param=2 |int64, string_param=3 |string, double_param=4 |double, "
    "uint64_param=5 |uint64",
    "InferTensorContents": "bool_contents=1 *bool, int_contents=2 *int32, int64_contents=3 *int64, "
    "uint_contents=4 *uint32, uint64_contents=5 *uint64, fp32_contents=6 *float, fp64_contents=7 *double, "
    "bytes_contents=8 *bytes",
}
"""Fields by message: ``name=number kind``. Before the kind, ``*``: repeated, ``|``: one of these; ``{}``: a map from
strings."""

ONE_OF = "parameter_choice"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="seamline/open_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in _FIELDS.items():
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        made[name] = message
        for field in filter(None, fields.split(", ")):
            _add_field(message, name, *field.split())
    return file


def _add_field(message: Any, owner: str, place: str, kind: str) -> None:
    name, _, number = place.partition("=")
    field = message.field.add(name=name, number=int(number))
    if kind.startswith("{"):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "", "key=1", "string")
        _add_field(entry, "", "value=2", kind.strip("{}"))
        kind = f"*{owner}.{entry.name}"
    field.label = field.LABEL_REPEATED if kind.startswith("*") else field.LABEL_OPTIONAL
    if kind.startswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name=ONE_OF)
        field.oneof_index = 0
    kind = kind.strip("*|")
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")


_POOL = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(_file().SerializeToString())


def message(name: str) -> Any:
    """The class of the message `name`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
