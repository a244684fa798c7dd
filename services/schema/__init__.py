"""What the fields of a shape may hold: rules with their sentences, read by parsing, the OpenAPI document and the form.

A shape is a frozen dataclass, such as `ServiceSpec`; pydantic walks it, finds the paths of errors and collects them.
"""
