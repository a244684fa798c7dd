"""One text generation or embedding through the gateway, over OpenAI's API or V2 gRPC."""
