"""What a curl snippet runs to show an answer with binary tensors: Python's standard library, in a shell. Pure text."""

from __future__ import annotations

from typing import Final

ANSWER: Final = "answer.bin"
KEEP: Final = f"--output {ANSWER} -w 'HTTP %{{http_code}}, see {ANSWER}\\n'"
"""Arguments of curl: binary values would spoil a terminal."""
SHOW: Final = """python3 - <<'END'
import json, struct

body = open("answer.bin", "rb").read()
_, at = json.JSONDecoder().raw_decode(body.decode("latin-1"))
head = json.loads(body[:at])
if "error" in head:
    raise SystemExit(head["error"])
codes = {"BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h",
         "INT32": "i", "INT64": "q", "FP16": "e", "BF16": "f", "FP32": "f", "FP64": "d"}
for output in head["outputs"]:
    kind, size = output["datatype"], output.get("parameters", {}).get("binary_data_size")
    raw, at, values = body[at:at + (size or 0)], at + (size or 0), output.get("data", [])
    if kind == "BF16":  # the upper half of a 32-bit float
        raw = b"".join(b"\\0\\0" + raw[i:i + 2] for i in range(0, size, 2))
    while kind == "BYTES" and raw:
        end = 4 + int.from_bytes(raw[:4], "little")
        values, raw = [*values, raw[4:end]], raw[end:]
    if raw:
        values = [value for value, in struct.iter_unpack("<" + codes[kind], raw)]
    print(output["name"], output["shape"], *values[:64], "..." if len(values) > 64 else "")
END"""
