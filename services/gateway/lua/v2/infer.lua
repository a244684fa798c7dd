-- The last part of the script of ModelInfer, after protobuf.lua and resolve.lua: its route knows already which call it is.
envoy_on_request = infer
