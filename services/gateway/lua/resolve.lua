-- Runs on gRPC calls once the first message has been read: the model named in it chooses the service.
-- When the header mm-vmodel-id has chosen already, the message must name the same model.
local FIELDS = "envoy.filters.http.grpc_field_extraction"
local LARGEST_MESSAGE = @LARGEST_BODY@
local STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"

-- A gRPC frame with a ModelInferRequest of which only the first field, model_name, is set. Below 126 characters.
local function naming(model)
  return string.char(0, 0, 0, 0, #model + 2, 10, #model) .. model
end
local TOO_LARGE = naming("a message larger than this gateway's limit of @LIMIT@")
local COMPRESSED = naming("a compressed message, which this gateway does not take")

local function named_in_message(handle)
  local found = handle:streamInfo():dynamicMetadata():get(FIELDS)
  local value = found and (found["model_name"] or found["name"])
  if type(value) == "table" then value = value[1] end
  return value
end

-- Every message of a stream has its length in the five bytes before it; until here only the first has been measured.
-- It is too late for an answer of our own. So in the place of one that is too large or compressed goes a small one, which names a
-- model that there cannot be: the backend's answer to that says what happened, and the stream goes on.
local function bound_messages(handle)
  local head, left, dropping = "", 0, false
  for chunk in handle:bodyChunks() do
    local size, at, pieces, changed = chunk:length(), 0, {}, false
    while at < size do
      local step = math.min(left > 0 and left or 5 - #head, size - at)
      if left > 0 then
        left = left - step
        if not dropping then pieces[#pieces + 1] = { at, step } end
      else
        head = head .. chunk:getBytes(at, step)
        changed = changed or step < 5 -- a head in two chunks is held back until it is whole
        if #head == 5 then
          local compressed, a, b, c, d = string.byte(head, 1, 5)
          left = ((a * 256 + b) * 256 + c) * 256 + d
          local instead = compressed ~= 0 and COMPRESSED or left > LARGEST_MESSAGE and TOO_LARGE
          dropping = instead and true
          pieces[#pieces + 1] = instead or head
          head = ""
        end
      end
      changed = changed or dropping
      at = at + step
    end
    if changed then
      for i, piece in ipairs(pieces) do
        if type(piece) == "table" then pieces[i] = chunk:getBytes(piece[1], piece[2]) end
      end
      chunk:setBytes(table.concat(pieces))
    end
  end
end

local function choose_service(handle, headers)
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

function envoy_on_request(handle)
  local headers = handle:headers()
  choose_service(handle, headers)
  if headers:get(":path") == STREAM then bound_messages(handle) end
end
