-- The last part of the script of preflights, after cors.lua: their route knows already what they are.
envoy_on_request = preflight
