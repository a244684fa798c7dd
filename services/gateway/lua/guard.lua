-- Runs on V2 REST inference, after json.lua. Triton reads tensors out of shared memory when a body says so: no body
-- that does may pass. x-checked is set last, so whatever fails here, the request is refused by the policy of its service.
local SHARED_MEMORY = { shared_memory_region = true, shared_memory_byte_size = true, shared_memory_offset = true }
local RULES = { refused = SHARED_MEMORY }
local PIECE, OVERLAP = 262144, 16
local FRAMING = @FRAMING@

-- Nearly every body has neither: a word that is in all three names, or a letter that is spelled as an escape.
local function suspicious(text)
  return string.find(text, "hared_memory", 1, true) or string.find(text, "\\u00", 1, true)
end

local function anything_suspicious(body, size)
  for from = 0, size - 1, PIECE do
    if suspicious(body:getBytes(from, math.min(PIECE + OVERLAP, size - from))) then return true end
  end
  return false
end

-- How much of the body is JSON: with the binary extension only the beginning, of raw tensors nothing.
local function json_length(headers)
  local said = headers:get("inference-header-content-length")
  if said then return tonumber(said) or -1 end
  local kind = headers:get("content-type")
  if not kind or string.find(string.lower(kind), "application/octet-stream", 1, true) ~= 1 then return nil end
  headers:replace("inference-header-content-length", "0")
  return 0
end

local function refuse(handle, headers, reason)
  headers:replace("x-reason", reason)
  headers:replace("x-service", "@REFUSED@")
  handle:clearRouteCache()
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local length = json_length(headers)
  if length ~= 0 then
    local body = handle:body()
    headers = handle:headers() -- those of before are not to be used after a wait
    local size = body and body:length() or 0
    if size > FRAMING then headers:replace("x-size", tostring(size)) end
    length = length or size
    if length < 0 or length > size then
      return refuse(handle, headers, "Inference-Header-Content-Length is not a length within the body.")
    end
    if length > 0 and anything_suspicious(body, length) then
      local problem, field = scan_json(body:getBytes(0, length), RULES)
      if problem then
        local named = type(field) == "string" and " (" .. string.gsub(string.sub(field, 1, 64), "[^%w%._-]", "?") .. ")" or ""
        return refuse(handle, headers, problem .. named)
      end
    end
    if size > FRAMING then handle:clearRouteCache() end
  end
  headers:replace("x-checked", "1")
end
