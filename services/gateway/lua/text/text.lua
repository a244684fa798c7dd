-- Runs on OpenAI requests and on the answers to text over gRPC, after numbers.lua, model.lua, refusal.lua, json.lua,
-- openai.lua and usage.lua. x-checked is set last, so whatever fails here, the request is refused at the door or by the policy of
-- its service.
local WINDOW = 60
-- So many are kept before those that are over are forgotten; one that is not is never.
local MANY_WINDOWS = 20000
-- Of an answer that says its length: up to this it is held until it is whole.
local HELD = 1048576
local FAILED = '{"error":{"message":"The gateway could not count the tokens of this answer, so it does not pass it on.",'
  .. '"type":"server_error","param":null,"code":"not_counted"}}'
local FAILED_EVENT = "\n\ndata: " .. FAILED .. "\n\ndata: [DONE]\n\n"

-- Tokens used by each limited key in its present minute: per worker, as every script's memory is. Keys that were rotated
-- into each other, or made by one that has a limit, share the window of the first.
local windows, known, many = {}, 0, MANY_WINDOWS

local function forget_old(now)
  for id, window in pairs(windows) do
    if now - window.start >= WINDOW then windows[id], known = nil, known - 1 end
  end
  many = math.max(MANY_WINDOWS, 2 * known)
end

local function window_of(id)
  local window, now = windows[id], os.time()
  if window and now - window.start < WINDOW then return window end
  if not window then
    if known >= many then forget_old(now) end
    known = known + 1
  end
  window = { start = now, used = 0 }
  windows[id] = window
  return window
end

-- Seconds until the key may go on; nothing when it may now.
local function must_wait(caller)
  local id, most = string.match(caller, ";tpm=(%w+):(%d+);")
  local limit = whole_number(most or "")
  if not limit then return nil end
  local window = window_of(id)
  if window.used < limit then return nil, id end
  return math.max(1, window.start + WINDOW - os.time())
end

local function log(handle, name, value)
  handle:streamInfo():dynamicMetadata():set("@LOG@", name, value)
end

local function is_json(headers)
  local kind = headers:get("content-type")
  return kind and string.find(string.lower(kind), "^application/json%s*$") or kind and string.find(string.lower(kind), "^application/json%s*;")
end

local function choose_service(handle, headers, chosen, model)
  local is_chosen = chosen ~= "@DOOR@"
  if is_chosen and (not model or model == chosen) then return true end
  if is_chosen and not agrees(chosen, model) then return refuse(handle, headers, "@CONFLICT@") end
  if not model or model == "" then
    return refuse(handle, headers, "@REFUSED@", "The request names no model.", "model")
  end
  if not is_model(model) then
    headers:replace("x-model", shown(model))
    return refuse(handle, headers, "@UNKNOWN@")
  end
  headers:replace("x-service", model)
  return true
end

local function check_body(handle, headers)
  if not is_json(headers) then return refuse(handle, headers, "@TYPE@") end
  local body = handle:body()
  headers = handle:headers() -- those of before are not to be used after a wait
  local size = body and body:length() or 0
  local chosen, text = headers:get("x-service"), size > 0 and body:getBytes(0, size) or ""
  local problem, request = check_openai(text, string.find(chosen, ":", 1, true) and chosen)
  if problem then return refuse(handle, headers, "@REFUSED@", problem, request) end
  if request.text ~= text then body:setBytes(request.text) end
  if request.hide then log(handle, "hide", true) end
  if not request.stream then headers:replace("x-unary", "1") end
  if size > @FRAMING@ then headers:replace("x-size", tostring(size)) end
  if not choose_service(handle, headers, chosen, request.model) then return end
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
    window.used = window.used + (whole_number(trailers:get(name) or "") or 0)
  end
end

-- What looks at each piece of an answer of OpenAI's protocol; nothing for those that have no tokens.
local function watcher(handle, headers, seen)
  if headers:get(":status") ~= "200" then return nil end
  local on_use = counter(handle, seen.tokens_of)
  if string.find(headers:get("content-type") or "", "text/event-stream", 1, true) == 1 then
    return events_watcher(seen.hide, on_use), "events"
  end
  return answer_watcher(on_use), (whole_number(headers:get("content-length") or "") or HELD + 1) <= HELD and "held" or "pieces"
end

-- Nobody gets tokens that were not counted. A key whose tokens are limited has none left until its window ends.
local function give_up(handle, id, problem)
  handle:logErr("an answer was not counted, and is not passed on: " .. tostring(problem))
  if id then pcall(function() window_of(id).used = math.huge end) end
end

-- Before any of the answer went on: another one in its place.
local function replace_headers(headers, length)
  headers:replace(":status", "502")
  headers:replace("content-type", "application/json")
  headers:remove("content-length")
  if length then headers:replace("content-length", tostring(length)) end
end

-- No answer is cut short of the length that it has announced: the client would wait for the rest.
local function in_place_of(size, kind, first, passed)
  if kind == "events" then return first and FAILED_EVENT or "" end
  if kind == "new" then return first and FAILED or "" end
  local said = first and not passed and size >= #FAILED and FAILED or ""
  return said .. string.rep(" ", size - #said)
end

local function pass_on(handle, look, kind, id, failed)
  local passed, told = false, false
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > 0 and not failed then
      local done, instead = pcall(look, chunk, size)
      if done and instead then chunk:setBytes(instead) end
      if not done then
        failed = true
        give_up(handle, id, instead)
      end
    end
    if failed and size > 0 then
      chunk:setBytes(in_place_of(size, kind, not told, passed))
      told = true
    end
    passed = true
  end
end

-- A small answer waits for its end, so that it can still become an error.
local function pass_on_whole(handle, look, id)
  local body = handle:body()
  local size = body and body:length() or 0
  if size == 0 then return end
  local done, problem = pcall(look, body, size)
  if done then return end
  give_up(handle, id, problem)
  replace_headers(handle:headers(), #FAILED)
  body:setBytes(FAILED)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local seen = handle:streamInfo():dynamicMetadata():get("@LOG@") or {}
  local id = seen.tokens_of
  if string.find(headers:get("content-type") or "", "application/grpc", 1, true) == 1 then
    local done, problem = pcall(function() if id then watch_bridge(handle, id) end end)
    if not done then give_up(handle, id, problem) end
    return
  end
  local done, look, kind = pcall(watcher, handle, headers, seen)
  if not done then
    give_up(handle, id, look)
    replace_headers(headers)
    pass_on(handle, nil, "new", id, true)
  elseif kind == "held" then
    pass_on_whole(handle, look, id)
  elseif look then
    pass_on(handle, look, kind, id, false)
  end
end
