-- Runs on gRPC calls once the first message has been read: the model named in it chooses the service.
-- When the header mm-vmodel-id has chosen already, the message must name the same model.
local FIELDS = "envoy.filters.http.grpc_field_extraction"

local function named_in_message(handle)
  local found = handle:streamInfo():dynamicMetadata():get(FIELDS)
  local value = found and (found["model_name"] or found["name"])
  if type(value) == "table" then value = value[1] end
  return value
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local model = named_in_message(handle) or ""
  local chosen = headers:get("mm-vmodel-id")
  -- Left as it was, a message without a name is answered by the door's own route.
  if model == "" and not chosen then return end
  if chosen then
    if chosen == model then return end
    headers:replace("x-service", "@CONFLICT@")
  elseif #model <= 63 and string.find(model, "^[a-z0-9][a-z0-9-]*$") then
    headers:replace("x-service", model)
  else
    headers:replace("x-service", "@UNKNOWN@")
    headers:replace("x-model", (string.gsub(string.sub(model, 1, 128), "[^%w%._-]", "?")))
  end
  handle:clearRouteCache()
end
