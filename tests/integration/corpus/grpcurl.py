"""Stands in for grpcurl, which no package index has: the same arguments, messages read and written by the protoset.

grpcurl [-plaintext] [-max-msg-sz N] -protoset FILE [-H HEADER]... -d DATA|@ ADDRESS SERVICE/METHOD
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def main() -> None:
    parser = argparse.ArgumentParser(prefix_chars="-", allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-max-msg-sz", type=int, dest="largest")
    parser.add_argument("-protoset", required=True)
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", required=True, dest="data")
    parser.add_argument("address")
    parser.add_argument("method")
    arguments = parser.parse_args()
    pool = descriptor_pool.DescriptorPool()
    with open(arguments.protoset, "rb") as file:  # noqa: PTH123
        for description in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
            pool.Add(description)
    service, _, name = arguments.method.partition("/")
    method = pool.FindServiceByName(service).methods_by_name[name]
    sent, received = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    request = json_format.Parse(sys.stdin.read() if arguments.data == "@" else arguments.data, sent())
    headers = (header.partition(": ") for header in arguments.headers)
    metadata = tuple((name.lower(), value) for name, _, value in headers)
    limits = (f"grpc.max_{way}_message_length" for way in ("receive", "send"))
    options = [(limit, arguments.largest) for limit in limits]
    with grpc.insecure_channel(arguments.address, options=options if arguments.largest else None) as channel:
        path = f"/{arguments.method}"
        more: dict[str, Any] = {"metadata": metadata, "timeout": 60}
        if method.server_streaming:
            call: Any = channel.stream_stream(path, sent.SerializeToString, received.FromString)
            answers: Any = call(iter([request]), **more)
        else:
            call = channel.unary_unary(path, sent.SerializeToString, received.FromString)
            answers = [call(request, **more)]
        for answer in answers:
            if error := getattr(answer, "error_message", ""):
                sys.exit(f"ERROR: {error}")
            sys.stdout.write(json_format.MessageToJson(answer) + "\n")


main()
