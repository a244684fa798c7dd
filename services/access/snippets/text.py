"""One text generation as curl, Python with the openai package, JavaScript and V2 gRPC. Pure text."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

from services.access.doors import Address
from services.access.snippets.python import headers_line, literal
from services.access.snippets.v2 import Snippets, first_lines, lines, shell_headers
from services.clients.generation.call import CHAT, EMBEDDING, Ask
from services.clients.generation.grpc import request_of
from services.clients.generation.openai import PATHS, body_of
from services.clients.inference.caller import KEY_SHOWN

NEEDS_OPENAI: Final = "# Needs: pip install openai"
NEEDS_TRITON: Final = "# Needs: pip install tritonclient[grpc]"
JAVASCRIPT: Final = """const response = await fetch({url}, {{
  method: "POST",
  headers: {{ "content-type": "application/json", {headers} }},
  body: JSON.stringify({body}),
}});
if (!response.ok) throw new Error(await response.text());
"""
JAVASCRIPT_STREAM: Final = """const decoder = new TextDecoder();
let rest = "";
for await (const chunk of response.body) {{
  const lines = (rest + decoder.decode(chunk, {{ stream: true }})).split("\\n");
  rest = lines.pop();
  for (const line of lines) {{
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
    const [choice] = JSON.parse(line.slice(6)).choices;
    if (choice) process.stdout.write({text} ?? "");
  }}
}}
"""
GRPC: Final = """{imports}import grpc
from tritonclient.grpc import service_pb2

{headers}
request = service_pb2.ModelInferRequest(model_name={model!r})
prompt = request.inputs.add(name="prompt", datatype="BYTES", shape=[1])
prompt.contents.bytes_contents.append({prompt!r}.encode())
{parameters}with {channel} as channel:
    call = channel.{kind}(
        "/inference.GRPCInferenceService/{method}",
        request_serializer=service_pb2.ModelInferRequest.SerializeToString,
        response_deserializer=service_pb2.ModelInferResponse.FromString,
    )
{run}"""
GRPC_STREAM: Final = """    for answer in call(request, metadata=list((headers or {}).items())):
        for output in answer.outputs:
            print(b"".join(output.contents.bytes_contents).decode(), end="", flush=True)
"""
GRPC_WHOLE: Final = """    answer = call(request, metadata=list((headers or {}).items()))
for output in answer.outputs:
    print(b"".join(output.contents.bytes_contents).decode())
"""
GRPC_VECTOR: Final = """    answer = call(request, metadata=list((headers or {}).items()))
print(answer.outputs[0].contents.fp32_contents[:8])
"""


def text_snippets(address: Address, ask: Ask) -> Snippets:
    body = body_of(ask)
    first = first_lines(address)
    return {
        "curl": "\n".join([*first, _curl(address, ask, body)]),
        "python_openai": "\n".join([*first, NEEDS_OPENAI, _python(address, ask, body)]),
        "javascript": "\n".join([*(f"//{line[1:]}" for line in first), _javascript(address, ask, body)]),
        "python_grpc": "\n".join([*first, NEEDS_TRITON, _grpc(address, ask)]),
    }


def _curl(address: Address, ask: Ask, body: dict[str, Any]) -> str:
    call = "curl -sSN" if ask.stream else "curl -sS"
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    url = shlex.quote(address.base + PATHS[ask.task])
    return lines(call, url, *shell_headers(address), "-H 'Content-Type: application/json'", f"-d {data}")


def _python(address: Address, ask: Ask, body: dict[str, Any]) -> str:
    """The openai package sends its api_key as a bearer; a header of the service's own goes beside it."""
    extra = {name: value for name, value in address.headers().items() if name != "authorization"}
    pairs = ", ".join(f"{name!r}: {literal(value)}" for name, value in extra.items())
    key = '"none"' if address.public else 'os.environ["API_KEY"]'
    more = f", default_headers={{{pairs}}}" if pairs else ""
    source_lines = [] if address.public else ["import os", ""]
    source_lines += ["from openai import OpenAI", ""]
    source_lines.append(f'client = OpenAI(base_url="{address.base}/v1", api_key={key}{more})')
    what = {CHAT: "chat.completions", EMBEDDING: "embeddings"}.get(ask.task, "completions")
    arguments = "".join(f"    {name}={value!r},\n" for name, value in body.items())
    source_lines.append(f"answer = client.{what}.create(\n{arguments})")
    text = "choice.{}.content" if ask.task == CHAT else "choice.text"
    if ask.task == EMBEDDING:
        source_lines.append("print(answer.data[0].embedding[:8])")
    elif ask.stream:
        source_lines += [
            "for event in answer:",
            "    for choice in event.choices:",
            f'        print({text.format("delta")} or "", end="", flush=True)',
        ]
    else:
        source_lines += ["choice = answer.choices[0]", f"print({text.format('message')})"]
    return "\n".join(source_lines) + "\n"


def _javascript(address: Address, ask: Ask, body: dict[str, Any]) -> str:
    """For Node 18 and later, as a module (.mjs); browsers need the gateway behind the page's own origin."""
    headers = ", ".join(f"{json.dumps(name)}: {_js(value)}" for name, value in address.headers().items())
    script = JAVASCRIPT.format(
        url=json.dumps(address.base + PATHS[ask.task]), headers=headers, body=json.dumps(body, ensure_ascii=False)
    )
    if ask.stream:
        return script + JAVASCRIPT_STREAM.format(text="choice.delta?.content" if ask.task == CHAT else "choice.text")
    if ask.task == EMBEDDING:
        return script + "console.log((await response.json()).data[0].embedding.slice(0, 8));\n"
    text = "message.content" if ask.task == CHAT else "text"
    return script + f"console.log((await response.json()).choices[0].{text});\n"


def _js(value: str) -> str:
    if KEY_SHOWN not in value:
        return json.dumps(value)
    return "`" + value.replace(KEY_SHOWN, "${process.env.API_KEY}") + "`"


def _grpc(address: Address, ask: Ask) -> str:
    request = request_of(ask)
    parameters = "".join(
        f"request.parameters[{name!r}].{kind} = {getattr(value, kind)!r}\n"
        for name, value in sorted(request.parameters.items())
        for kind in [value.WhichOneof("parameter_choice")]
    )
    channel = f"grpc.insecure_channel({address.host!r})"
    if address.tls:
        channel = f"grpc.secure_channel({address.host!r}, grpc.ssl_channel_credentials())"
    whole = GRPC_VECTOR if ask.task == EMBEDDING else GRPC_WHOLE
    return GRPC.format(
        imports="" if address.public else "import os\n\n",
        headers=headers_line(address),
        model=ask.model,
        prompt=request.inputs[0].contents.bytes_contents[0].decode(),
        parameters=parameters,
        channel=channel,
        kind="unary_stream" if ask.stream else "unary_unary",
        method="ModelInferStream" if ask.stream else "ModelInfer",
        run=GRPC_STREAM if ask.stream else whole,
    )
