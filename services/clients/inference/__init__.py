"""One inference through the gateway, over V2 REST, V2 gRPC or V1, and the values that it carries."""
