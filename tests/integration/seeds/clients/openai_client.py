"""The OpenAI package: chat, completions and embeddings, whole and streamed, and the list of models."""

import json
import sys

import openai

given = json.load(sys.stdin)
client = openai.OpenAI(base_url=given["base_url"], api_key=given["key"], max_retries=0)
ask = {"model": given["model"], "temperature": 0, "max_tokens": given.get("max_tokens", 40)}


def chat():
    answer = client.chat.completions.create(messages=given["messages"], **ask)
    return {
        "text": answer.choices[0].message.content,
        "usage": answer.usage.model_dump(include={"prompt_tokens", "completion_tokens"}),
    }


def chat_stream():
    options = {"stream_options": {"include_usage": True}} if given["usage"] else {}
    pieces, usage, empty = [], None, 0
    for chunk in client.chat.completions.create(messages=given["messages"], stream=True, **options, **ask):
        empty += not chunk.choices
        pieces += [choice.delta.content or "" for choice in chunk.choices]
        usage = chunk.usage.completion_tokens if chunk.usage else usage
    return {"text": "".join(pieces), "pieces": len(pieces), "usage": usage, "empty": empty}


def completion():
    return {"text": client.completions.create(prompt=given["prompt"], **ask).choices[0].text}


def embedding():
    answer = client.embeddings.create(model=given["model"], input=given["input"])
    return {"sizes": [len(item.embedding) for item in answer.data]}


def models():
    one = client.models.retrieve(given["model"]) if given["model"] else None
    return {"ids": [model.id for model in client.models.list()], "one": one.id if one else None}


def refused():
    try:
        client.chat.completions.create(messages=given["messages"], **ask, **given.get("extra", {}))
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "message": error.body["message"]}
    return {"kind": "", "status": 200, "message": ""}


calls = {
    "chat": chat,
    "chat_stream": chat_stream,
    "completion": completion,
    "embedding": embedding,
    "models": models,
    "refused": refused,
}
print(json.dumps(calls[given["call"]]()))
