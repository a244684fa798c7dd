"""Descriptors of the gRPC protocols: for clients, and for Envoy, which reads the field that names the model.

The V2 protocol's are tritonclient's, with the streaming call of servers of text. Envoy gets the parameters of a request
in another form, and TF-Serving's fields on the way to the name; all others are passed on unread.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"


def protocol() -> descriptor_pb2.FileDescriptorSet:
    """The V2 protocol, for clients that write any message of it."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (model_config_pb2, service_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    _add_text_stream(files.file[-1])
    return files


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """What Envoy reads of each message."""
    files = protocol()
    _keep_parameters(files.file[-1])
    files.file.append(_tfserving())
    return files


def _keep_parameters(file: descriptor_pb2.FileDescriptorProto) -> None:
    """A map is not extracted. On the wire it is a repeated message, and that can be taken for a repeated text."""
    request = next(each for each in file.message_type if each.name == "ModelInferRequest")
    field = next(each for each in request.field if each.name == "parameters")
    field.type = _FIELD.TYPE_STRING
    field.ClearField("type_name")
    entry = next(each for each in request.nested_type if each.name == "ParametersEntry")
    request.nested_type.remove(entry)


def _add_text_stream(file: descriptor_pb2.FileDescriptorProto) -> None:
    """One ModelInferRequest, a stream of ModelInferResponse."""
    service = next(each for each in file.service if each.name == "GRPCInferenceService")
    once = next(each for each in service.method if each.name == "ModelInfer")
    method = service.method.add()
    method.CopyFrom(once)
    method.name = "ModelInferStream"
    method.server_streaming = True


def _tfserving() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="prediction_service_names.proto", package=_PACKAGE, syntax="proto3")
    spec = file.message_type.add(name="ModelSpec")
    spec.field.add(name="name", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    service = file.service.add(name="PredictionService")
    for method in ("Predict", "GetModelMetadata"):
        request = file.message_type.add(name=f"{method}Request")
        kind = f".{_PACKAGE}.ModelSpec"
        request.field.add(
            name="model_spec", number=1, type=_FIELD.TYPE_MESSAGE, label=_FIELD.LABEL_OPTIONAL, type_name=kind
        )
        file.message_type.add(name=f"{method}Response")
        service.method.add(
            name=method,
            input_type=f".{_PACKAGE}.{method}Request",
            output_type=f".{_PACKAGE}.{method}Response",
        )
    return file
