-- Runs on V2 REST inference, after numbers.lua and json.lua. Triton reads tensors out of shared memory when a body says so: no body
-- that does may pass. x-checked is set last, so whatever fails here, the request is refused by the policy of its service.
local SHARED_MEMORY = { shared_memory_region = true, shared_memory_byte_size = true, shared_memory_offset = true }
local RULES = { refused = SHARED_MEMORY }
local PIECE, OVERLAP = 262144, 16
local FRAMING = @FRAMING@
local DEEPEST_LEVEL, OPENINGS = 64, { "[", "{" }
local LIST, OBJECT = 91, 123

-- Nearly every body has neither: a word that is in all three names, or a letter that is spelled as an escape.
local function suspicious(text)
  return string.find(text, "hared_memory", 1, true) or string.find(text, "\\u00", 1, true)
end

-- Triton's JSON reader calls itself for each level, and a body of a hundred thousand ends it. Nothing that is deep has few
-- openings, and those are counted quickly; only a body with many is gone through.
local function openings(text)
  local count = 0
  for _, opening in ipairs(OPENINGS) do
    local at = string.find(text, opening, 1, true)
    while at do
      count = count + 1
      if count > DEEPEST_LEVEL then return count end
      at = string.find(text, opening, at + 1, true)
    end
  end
  return count
end

-- Whether the JSON must be gone through: for one of the words, and for its depth. A large one is looked at in pieces.
local function worth_a_look(body, size)
  local words, count = false, 0
  for from = 0, size - 1, PIECE do
    local text = body:getBytes(from, math.min(PIECE + OVERLAP, size - from))
    words = words or suspicious(text)
    if count <= DEEPEST_LEVEL then count = count + openings(text) end
  end
  return words, count > DEEPEST_LEVEL
end

-- Up to the first mistake in it this sees what any parser sees, and no parser goes on from there.
local function deeper_than(most, text)
  local depth, at = 0, string.find(text, '[%[%]{}"]')
  while at do
    local c = string.byte(text, at)
    if c == QUOTE then
      at = string_end(text, at + 1)
      if not at then return false end
    elseif c == LIST or c == OBJECT then
      depth = depth + 1
      if depth > most then return true end
    else
      depth = depth - 1
    end
    at = string.find(text, '[%[%]{}"]', at + 1)
  end
  return false
end

-- Some clients send JSON as application/octet-stream. Taken for one is only what has `inputs`, as every request has:
-- anything else is a raw tensor, and the backend told so, which then reads no JSON in it.
local function is_request(body, size)
  if size == 0 or not string.find(body:getBytes(0, math.min(64, size)), "^[ \t\r\n]*{") then return false end
  local text = body:getBytes(0, size)
  if not string.find(text, '"inputs"', 1, true) then return false end
  local problem, found = scan_json(text, RULES)
  return problem and problem ~= NOT_JSON or found and found["inputs"] ~= nil
end

-- How much of the body is JSON: with the binary extension only the beginning, of raw tensors nothing.
local function json_length(headers, body, size)
  local length = headers:get("inference-header-content-length")
  if length then return whole_number(length) or -1 end
  local kind = headers:get("content-type")
  if not kind or string.find(string.lower(kind), "application/octet-stream", 1, true) ~= 1 then return size end
  if is_request(body, size) then return size end
  headers:replace("inference-header-content-length", "0")
  return 0
end

local function refuse(handle, headers, reason)
  headers:replace("x-reason", reason)
  headers:replace("x-service", "@REFUSED@")
  handle:clearRouteCache()
end

function envoy_on_request(handle)
  local body = handle:body()
  local headers = handle:headers() -- not before: those are not to be used after a wait
  local size = body and body:length() or 0
  if size > FRAMING then headers:replace("x-size", tostring(size)) end
  local length = json_length(headers, body, size)
  if length < 0 or length > size then
    return refuse(handle, headers, "Inference-Header-Content-Length must be one number, in digits, no larger than the body.")
  end
  if length > 0 then
    local words, deep = worth_a_look(body, length)
    if deep and deeper_than(DEEPEST_LEVEL, body:getBytes(0, length)) then
      return refuse(handle, headers, "The body is nested more than 64 levels deep.")
    end
    local problem, field
    if words then problem, field = scan_json(body:getBytes(0, length), RULES) end
    if problem then
      local named = type(field) == "string" and " (" .. string.gsub(string.sub(field, 1, 64), "[^%w%._-]", "?") .. ")" or ""
      return refuse(handle, headers, problem .. named)
    end
  end
  if size > FRAMING then handle:clearRouteCache() end
  headers:replace("x-checked", "1")
end
