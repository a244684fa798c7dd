-- How many tokens an answer used: read out of it while it passes, piece by piece.
-- on_use(prompt, completion, final) is told what is known (or nil); before the end `completion` is what has come so far.
-- A watcher is called with each piece and its size, and returns what goes on instead, or nothing.
local LONGEST_EVENT = 65536

-- The first object named "usage" from `at` on; inside a string its quotes would have backslashes before them.
-- Returns prompt and completion tokens, or false where the object is not whole yet, or nothing.
local function usage_in(text, at)
  local start = string.find(text, '"usage"', at or 1, true)
  if not start then return nil end
  local object = string.match(text, '^"usage"%s*:%s*(%b{})', start)
  if not object then
    if string.find(text, '^"usage"%s*:%s*[^%s{]', start) then return usage_in(text, start + 7) end
    return false, start
  end
  local prompt = string.match(object, '"prompt_tokens"%s*:%s*(%d+)')
  local completion = string.match(object, '"completion_tokens"%s*:%s*(%d+)')
  return prompt and whole_number(prompt) or 0, completion and whole_number(completion) or 0
end

-- One JSON answer: the usage may be anywhere in it, and on the border of two pieces.
function answer_watcher(on_use)
  local carried, done = "", false
  return function(chunk, size)
    if done then return end
    local text = carried .. chunk:getBytes(0, size)
    local prompt, completion = usage_in(text)
    if prompt then
      on_use(prompt, completion, true)
      done = true
    elseif prompt == false then
      carried = string.sub(text, completion)
      done = #carried > LONGEST_EVENT
    else
      carried = string.sub(text, -8)
    end
  end
end

-- Words are looked for by a part that begins with a letter which is rare in JSON: a search stops at each first letter.
-- How often `before .. part` is in the text.
local function count(text, before, part)
  local found, at = 0, 1
  while true do
    local start, stop = string.find(text, part, at, true)
    if not start then return found end
    if string.sub(text, start - #before, start - 1) == before then found = found + 1 end
    at = stop + 1
  end
end

-- Passes on whole events. What follows the last one waits for its end (nobody could use it before), so that the event
-- which tells the usage can be taken out when the client did not ask for it.
function events_watcher(hide, on_use)
  local held, events, final = "", 0, false
  local function look(event)
    local prompt, completion = usage_in(event)
    if not prompt then return true end
    final = string.find(event, '"choices"%s*:%s*%[%s*%]') ~= nil
    -- With tokens in every event those of several choices are told apart; only the last event has their sum.
    on_use(prompt, final and completion or nil, final)
    return not (hide and final)
  end
  return function(chunk, size)
    local text = held == "" and chunk:getBytes(0, size) or held .. chunk:getBytes(0, size)
    local whole, at = 0, 1
    if string.byte(text, -1) == 10 and string.byte(text, -2) == 10 then
      whole = #text
    else
      while true do
        local _, stop = string.find(text, "\n\n", at, true)
        if not stop then break end
        whole, at = stop, stop + 1
      end
    end
    local passed = whole == #text and text or string.sub(text, 1, whole)
    local rest = whole == #text and "" or string.sub(text, whole + 1)
    if string.find(passed, 'usage"', 1, true) then
      local kept = {}
      for event in string.gmatch(passed, "(.-\n\n)") do
        if look(event) then kept[#kept + 1] = event end
      end
      passed = table.concat(kept)
    end
    if not final then
      events = events + count(passed, '"choices":', '[{') - count(passed, '"delta":', '{"role":"assistant","content":""}')
      on_use(nil, events, false)
    end
    if #rest > LONGEST_EVENT then passed, rest = passed .. rest, "" end
    local changed = hide and (held ~= "" or #passed ~= size)
    held = rest
    return changed and passed or nil
  end
end
