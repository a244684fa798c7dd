-- Runs on OpenAI requests and on the answers to text over gRPC, after json.lua, openai.lua and usage.lua. x-checked is
-- set last, so whatever fails here, the request is refused at the door or by the policy of its service.
local WINDOW = 60
local MOST_WINDOWS = 20000

-- Tokens used by each limited key in its present minute: per worker, as every script's memory is.
local windows, known = {}, 0

local function window_of(id)
  local window, now = windows[id], os.time()
  if window and now - window.start < WINDOW then return window end
  if not window then
    if known >= MOST_WINDOWS then windows, known = {}, 0 end
    known = known + 1
  end
  window = { start = now, used = 0 }
  windows[id] = window
  return window
end

-- Seconds until the key may go on; nothing when it may now.
local function must_wait(caller)
  local limit = tonumber(string.match(caller, ";tpm=(%d+);"))
  if not limit then return nil end
  local window = window_of(string.sub(caller, 1, 12))
  if window.used < limit then return nil, string.sub(caller, 1, 12) end
  return math.max(1, window.start + WINDOW - os.time())
end

local function log(handle, name, value)
  handle:streamInfo():dynamicMetadata():set("@LOG@", name, value)
end

local function refuse(handle, headers, service, reason, field)
  if reason then headers:replace("x-reason", reason) end
  if type(field) == "string" then
    headers:replace("x-param", (string.gsub(string.sub(field, 1, 64), "[^%w%._-]", "?")))
  end
  headers:replace("x-service", service)
  handle:clearRouteCache()
end

local function is_json(headers)
  local kind = headers:get("content-type")
  return kind and string.find(string.lower(kind), "^application/json%s*$") or kind and string.find(string.lower(kind), "^application/json%s*;")
end

-- `<service>` or `<service>:<adapter>`.
local function choose_service(handle, headers, model)
  local chosen, named = headers:get("x-service"), model and string.match(model, "^([^:]+)")
  if chosen ~= "@DOOR@" then
    if named and named ~= chosen then return refuse(handle, headers, "@CONFLICT@") end
  elseif not named then
    return refuse(handle, headers, "@REFUSED@", "The request names no model.", "model")
  elseif #named <= 63 and string.find(model, "^[a-z0-9][a-z0-9-]*$") or string.find(model, "^[a-z0-9][a-z0-9-]*:[%w._-]+$") then
    headers:replace("x-service", named)
  else
    headers:replace("x-model", (string.gsub(string.sub(model, 1, 128), "[^%w%._:-]", "?")))
    return refuse(handle, headers, "@UNKNOWN@")
  end
  return true
end

local function check_body(handle, headers)
  if not is_json(headers) then return refuse(handle, headers, "@TYPE@") end
  local body = handle:body()
  headers = handle:headers() -- those of before are not to be used after a wait
  local size = body and body:length() or 0
  local problem, request = check_openai(size > 0 and body:getBytes(0, size) or "")
  if problem then return refuse(handle, headers, "@REFUSED@", problem, request) end
  if request.hide then
    body:setBytes(request.text)
    log(handle, "hide", true)
  end
  if not request.stream then headers:replace("x-unary", "1") end
  if size > @FRAMING@ then headers:replace("x-size", tostring(size)) end
  if not choose_service(handle, headers, request.model) then return end
  headers:replace("x-checked", "1")
  handle:clearRouteCache()
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local seconds, id = must_wait(headers:get("x-caller") or "")
  if seconds then
    headers:replace("x-retry", tostring(seconds))
    return refuse(handle, headers, "@TOKENS@")
  end
  if id then log(handle, "tokens_of", id) end
  if string.find(headers:get("content-type") or "", "application/grpc", 1, true) == 1 then return end
  check_body(handle, headers)
end

-- What the answer told of is written down at once: a client that goes away leaves no second chance.
local function counter(handle, id)
  local known = {}
  local function now(name, tokens)
    if not tokens or tokens == known[name] then return end
    if id then
      local window = window_of(id)
      window.used = window.used + tokens - (known[name] or 0)
    end
    known[name] = tokens
    log(handle, name, tokens)
  end
  return function(prompt, completion)
    now("prompt_tokens", prompt)
    now("completion_tokens", completion)
  end
end

-- The bridge tells after its answer what that used; the log has it from there.
local function watch_bridge(handle, id)
  for _ in handle:bodyChunks() do end
  local trailers = handle:trailers()
  if not trailers then return end
  local window = window_of(id)
  for _, name in ipairs({ "x-prompt-tokens", "x-completion-tokens" }) do
    window.used = window.used + (tonumber(trailers:get(name)) or 0)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local kind = headers:get("content-type") or ""
  local seen = handle:streamInfo():dynamicMetadata():get("@LOG@") or {}
  if string.find(kind, "application/grpc", 1, true) == 1 then
    if seen.tokens_of then watch_bridge(handle, seen.tokens_of) end
  elseif headers:get(":status") == "200" then
    local on_use = counter(handle, seen.tokens_of)
    if string.find(kind, "text/event-stream", 1, true) == 1 then
      watch_events(handle, seen.hide, on_use)
    else
      watch_answer(handle, on_use)
    end
  end
end
