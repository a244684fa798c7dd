-- Runs on the headers of every request that came through a listed door, after sha256.lua. It decides nothing:
-- it writes down the digest of the key and the name of the service, and native filters decide on them. If it fails,
-- there is no digest, and the api-key filter refuses the request.
local LARGEST_BODY = @LARGEST_BODY@
local LONGEST_KEY = 256

local function presented_key(headers)
  local key = headers:get("x-api-key")
  if key then return key end
  local authorization = headers:get("authorization")
  return authorization and string.match(authorization, "^[Bb][Ee][Aa][Rr][Ee][Rr] +(.+)$")
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

-- What a REST body must not be; a gRPC message is bounded where it is buffered.
local function refusal(headers, grpc)
  if grpc then return nil end
  local encoding = headers:get("content-encoding")
  if encoding and encoding ~= "" and encoding ~= "identity" then return "@ENCODED@" end
  local length = headers:get("content-length")
  if length and (tonumber(length) or LARGEST_BODY + 1) > LARGEST_BODY then return "@TOO_LARGE@" end
  return nil
end

-- A service is a DNS label. Virtual hosts are found whatever the case, so any other spelling must not get there.
local function service_of(headers, model)
  if #model <= 63 and string.find(model, "^[a-z0-9][a-z0-9-]*$") then return model end
  headers:replace("x-model", (string.gsub(string.sub(model, 1, 128), "[^%w%._-]", "?")))
  return "@UNKNOWN@"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace("x-key-digest", digest_of(presented_key(headers)))

  local in_path = string.match(headers:get(":path"), "^/v2/models/([^/?]+)")
  local in_header = headers:get("mm-vmodel-id")
  local model = in_header or in_path
  -- Any other gRPC call waits for its first message; nothing about its route has changed yet.
  if not model then return end
  local service = refusal(headers, in_path == nil) or service_of(headers, model)
  if in_header and in_path and in_header ~= in_path then service = "@CONFLICT@" end
  headers:replace("x-service", service)
  handle:clearRouteCache()
end
