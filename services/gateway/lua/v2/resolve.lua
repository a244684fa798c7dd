-- Runs on gRPC calls, after model.lua, refusal.lua, shapes.lua, protobuf.lua, message.lua, sequence.lua and classes.lua:
-- the model named in the first message chooses the service. Where the route runs infer.lua besides, that is the whole
-- message and this reads it itself; else a filter before this one has read the name. When a header or the host has chosen
-- already, the message must name the same model. No message passes that makes Triton read shared memory, or classify an
-- output that cannot be. x-checked is set last, so whatever fails here, the call is refused by its service's policy.
local FIELDS = "envoy.filters.http.grpc_field_extraction"
local LARGEST_MESSAGE = @LARGEST_BODY@
local FRAMING = @FRAMING@
local STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
local INFER = "/inference.GRPCInferenceService/ModelInfer"
local PIECE, OVERLAP = 262144, 16

-- A gRPC frame with a ModelInferRequest of which only the first field, model_name, is set. Below 126 characters.
local function naming(model)
  return string.char(0, 0, 0, 0, #model + 2, 10, #model) .. model
end
local COMPRESSED = naming("a compressed message, which this gateway does not take")
local FAILED = naming("a message that this gateway failed to look at: it takes no more of this stream")
local SHARED_MEMORY = naming("a message with shared memory, which this gateway does not take")
local ANOTHER_MODEL = naming("a message that names another model than the first of its stream")
local NO_CLASSES = naming("a message that asks for the classes of an output that cannot be classified")
local NO_REQUEST = naming("a message that is no inference, or has a shape of more elements than it has bytes")

local function too_large(limit)
  local size = limit == LARGEST_MESSAGE and "this gateway's limit of @LIMIT@" or string.format("the limit of %d bytes", limit - FRAMING)
  return naming("a message larger than " .. size)
end

local function named_in_message(handle)
  local found = handle:streamInfo():dynamicMetadata():get(FIELDS)
  local value = found and (found["model_name"] or found["name"] or found["model_spec.name"])
  if type(value) == "table" then value = value[1] end
  return value
end

-- A stream stays at one replica: the one of the sequence that its first message belongs to.
local function choose_replica(handle, headers)
  local found = handle:streamInfo():dynamicMetadata():get(FIELDS)
  local entries = found and found["parameters"]
  if not entries or not handle:metadata():get("sequences") then return end
  local sequence
  for _, entry in ipairs(type(entries) == "table" and entries or { entries }) do
    local its, name = sequence_in_entry(entry, 1, #entry)
    if its then sequence = name end
  end
  if sequence then headers:replace("x-sequence", sequence) end
end

-- What goes in the place of a message that must not pass; nothing for one that may.
local function instead_of(message, model, classes)
  if uses_shared_memory(message, 6, #message) then return SHARED_MEMORY end
  local named, _, outputs = outline(held(message), #message, message)
  if not named then return NO_REQUEST end
  if named ~= model then return ANOTHER_MODEL end
  return outputs and unclassified_in_messages(outputs, classes) and NO_CLASSES or nil
end

-- Every message of a stream has its length in the five bytes before it. It is too late for an answer of our own, so
-- in the place of one that must not pass goes a small one, which names a model that there cannot be: the backend's answer
-- to that says what happened, and the stream goes on. A message is of no use before its end, so it is held until then.
--
-- Every message must name the model of the first: a replica may hold others, which nobody may call from outside.
--
-- Should this fail, the rest of the stream goes nowhere: where a message ends is not known any more.
local function watcher(handle, model)
  local told, classes = handle:metadata():get("largest_message"), handle:metadata():get("classes")
  local limit = told and math.min(told, LARGEST_MESSAGE) or LARGEST_MESSAGE
  local instead_of_large = too_large(limit)
  local head, left, dropping, parts = "", 0, false, {}
  local function look(chunk, size)
    local text, at, out = chunk:getBytes(0, size), 1, {}
    while at <= size do
      if left == 0 then
        local step = math.min(5 - #head, size - at + 1)
        head, at = head .. string.sub(text, at, at + step - 1), at + step
        if #head == 5 then
          local compressed, a, b, c, d = string.byte(head, 1, 5)
          left = ((a * 256 + b) * 256 + c) * 256 + d
          local instead = compressed ~= 0 and COMPRESSED or left > limit and instead_of_large
          dropping = instead and true
          if instead then out[#out + 1] = instead elseif left == 0 then out[#out + 1] = ANOTHER_MODEL end
          parts = { head }
          head = ""
        end
      else
        local step = math.min(left, size - at + 1)
        if not dropping then parts[#parts + 1] = string.sub(text, at, at + step - 1) end
        left, at = left - step, at + step
        if left == 0 and not dropping then
          local message = table.concat(parts)
          out[#out + 1] = instead_of(message, model, classes) or message
          parts = {}
        end
      end
    end
    local passed = table.concat(out)
    return passed ~= text and passed
  end

  return function()
    local failed = false
    for chunk in handle:bodyChunks() do
      local size = chunk:length()
      if failed then
        chunk:setBytes("")
      elseif size > 0 then
        local done, instead = pcall(look, chunk, size)
        if not done then failed, instead = true, FAILED end
        if instead then chunk:setBytes(instead) end
      end
    end
  end
end

-- True when the call may go on as it is routed now. A message may name an adapter where a header or the host names the
-- service alone: it is routed by its own name, so that only a service that has adapters gets it.
local function choose_service(handle, headers, model)
  local chosen = headers:get("x-service")
  if chosen ~= "@DOOR@" then
    if chosen == model or string.byte(chosen) == 95 then return true end -- or refused already
    if not agrees(chosen, model) then
      refuse(handle, headers, "@CONFLICT@")
      return false
    end
  end
  -- Left as it was, a message without a name is answered by the door's own route.
  if model == "" then return false end
  local known = is_model(model)
  if not known then headers:replace("x-model", shown(model)) end
  headers:replace("x-service", known and model or "@UNKNOWN@")
  handle:clearRouteCache()
  return true
end

-- Whether the word is in the message, which begins with `text`: only then is all of it made a string.
local function suspicious(body, size, text)
  if string.find(text, "hared_memory", 1, true) then return true end
  for from = PIECE - OVERLAP, size - 1, PIECE do
    if string.find(body:getBytes(from, math.min(PIECE + OVERLAP, size - from)), "hared_memory", 1, true) then return true end
  end
  return false
end

-- The usual call, read without the filter that reads the others: its message is held here anyway.
function infer(handle)
  local body = handle:body()
  local headers = handle:headers() -- not before: those are not to be used after a wait
  local size = body and body:length() or 0
  local text = size > 0 and body:getBytes(0, math.min(PIECE, size)) or ""
  local model, typed, outputs = nil, false, nil
  if size >= 5 then model, typed, outputs = outline(body, size, text) end
  if not model then
    -- The first byte of a frame says whether its message is compressed.
    if string.byte(text) == 1 then return refuse(handle, headers, "@ENCODED@") end
    return refuse(handle, headers, "@REFUSED@", typed or NO_MESSAGE)
  end
  if not choose_service(handle, headers, model) then return end
  if suspicious(body, size, text) and uses_shared_memory(body:getBytes(0, size), 6, size) then
    return refuse(handle, headers, "@REFUSED@", "Tensors in shared memory are not supported here: send them in the message.")
  end
  local problem = outputs and unclassified_in_messages(outputs, handle:metadata():get("classes"))
  if problem then return refuse(handle, headers, "@REFUSED@", problem) end
  if handle:metadata():get("sequences") then
    local sequence = sequence_in_message(body:getBytes(0, size), 6, size)
    if sequence then headers:replace("x-sequence", sequence) end
  end
  if size > FRAMING then
    headers:replace("x-size", tostring(size))
    handle:clearRouteCache()
  end
  if typed then
    headers:replace("x-typed", "1")
    if outputs then handle:streamInfo():dynamicMetadata():set("typed", "outputs", true) end -- for typed.lua
  end
  headers:replace("x-checked", "1")
end

-- Held whole, so that its size can be compared with its service's limit, and so that it is the name which a backend reads
-- that has chosen the service.
local function whole(handle, path, model)
  local body = handle:body()
  local headers = handle:headers() -- not before: those are not to be used after a wait
  local size = body and body:length() or 0
  local text = size > 0 and body:getBytes(0, math.min(PIECE, size)) or ""
  local in_spec = string.find(path, "/tensorflow", 1, true) == 1
  if size < 5 or single_name(body, size, text, in_spec) ~= model then
    refuse(handle, headers, "@REFUSED@", "The message must name its model, and once.")
    return false
  end
  if size > FRAMING then
    headers:replace("x-size", tostring(size))
    handle:clearRouteCache()
  end
  return true
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = string.match(headers:get(":path"), "^[^?]*")
  if path == INFER then return infer(handle) end
  local model = named_in_message(handle) or ""
  if not choose_service(handle, headers, model) then return end
  if path ~= STREAM and not whole(handle, path, model) then return end
  if path == STREAM then choose_replica(handle, handle:headers()) end
  local watch = path == STREAM and watcher(handle, model)
  handle:headers():replace("x-checked", "1")
  if watch then watch() end
end
