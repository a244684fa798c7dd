-- Runs on the headers of every request that came through a listed door, after numbers.lua, sha256.lua, model.lua and naming.lua. It decides nothing:
-- it writes down the digest of the key and the name of the service, and native filters decide on them. If it fails,
-- there is no digest, and the api-key filter refuses the request.
local LARGEST_BODY = @LARGEST_BODY@
local LONGEST_KEY = 256

local function bearer(value)
  return value and string.match(value, "^[Bb][Ee][Aa][Rr][Ee][Rr] +(.+)$")
end

-- The service's own header counts before Authorization, into which some clients always put something.
local function presented_key(handle, headers)
  local key = headers:get("x-api-key")
  if key and key ~= "" then return key end
  for _, name in ipairs(handle:metadata():get("auth_headers") or {}) do
    key = headers:get(name)
    if key then return bearer(key) or key end
  end
  return bearer(headers:get("authorization"))
end

-- Digests of the keys seen last, per worker. It says nothing of whether a key is good.
local CACHED_DIGESTS = 512
local digests, cached = {}, 0

local function digest_of(key)
  if not key or key == "" then return "@KEYLESS@" end
  if #key > LONGEST_KEY then return "overlong" end
  local digest = digests[key]
  if not digest then
    if cached >= CACHED_DIGESTS then digests, cached = {}, 0 end
    digest = sha256(key)
    digests[key], cached = digest, cached + 1
  end
  return digest
end

-- Whether a list of codings names one besides identity. Envoy joins several headers into one list.
local function is_encoded(list)
  for coding in string.gmatch(list, "[^, \t]+") do
    if string.lower(coding) ~= "identity" then return true end
  end
  return false
end

-- HTTP/1.0 knows no chunks: a server before this one may have seen another end of such a body, so the connection ends
-- with it, whatever the answer is.
local function is_unbounded(handle, headers)
  local stream = handle:streamInfo()
  if headers:get(":method") ~= "POST" or stream:protocol() ~= "HTTP/1.0" then return false end
  stream:drainConnectionUponCompletion()
  return true
end

-- What a REST body must not be, and why where that needs words; a gRPC message is bounded where it is buffered.
local function refusal(handle, headers)
  local encoding = headers:get("content-encoding")
  if encoding and is_encoded(encoding) then return "@ENCODED@" end
  if encoding then headers:remove("content-encoding") end -- it says nothing, and Triton knows only gzip and deflate
  local text = headers:get("content-length")
  if not text then return is_unbounded(handle, headers) and "@NO_LENGTH@" or nil end
  local length = whole_number(text)
  if not length then return "@REFUSED@", "Content-Length must be one number, in digits, without leading zeros." end
  return length > LARGEST_BODY and "@TOO_LARGE@" or nil
end

-- The name found good last is remembered, per worker, as is the host: most requests have the same.
local last_model
local function service_of(headers, model)
  if model == last_model then return model end
  if is_model(model) then
    last_model = model
    return model
  end
  headers:replace("x-model", shown(model))
  return "@UNKNOWN@"
end

-- Each header looked up costs as much as everything else here, so each is looked up once, and only where it can matter.
function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace("x-key-digest", digest_of(presented_key(handle, headers)))

  local path, prefix, in_path, refused, reason = headers:get(":path"), nil, nil, nil, nil
  -- The doors are /v1, /v2 and /services, or else gRPC's /inference and /tensorflow.
  local start = string.byte(path, 2)
  if start ~= 105 and start ~= 116 then
    prefix, in_path = in_rest_path(headers, path)
    refused, reason = refusal(handle, headers)
  end
  local header, host = headers:get("mm-vmodel-id"), in_host(headers)
  local model, differ = one_model(header, host, prefix, in_path)
  -- Any other call waits for its body; nothing about its route has changed yet.
  if not (model or refused) then return end
  if header and string.find(header, ",", 1, true) then
    refused, reason = "@REFUSED@", "The header mm-vmodel-id must be there once, with one name."
  end
  if reason then headers:replace("x-reason", reason) end
  local service = refused or service_of(headers, model)
  if not refused and differ then service = "@CONFLICT@" end
  headers:replace("x-service", service)
  handle:clearRouteCache()
end
