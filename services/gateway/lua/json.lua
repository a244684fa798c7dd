-- Reads JSON from end to end without building it, and without recursion, after numbers.lua. It knows the structure exactly
-- as any parser does (strings, objects, arrays). Numbers and words it judges where `strict` says so: Python's parser takes
-- NaN, Infinity and 1e999, and no limit that a server has bounds those.
--
-- scan_json(text, rules) -> nil, found | what is wrong, the field
--   rules.refused   names that must not be there, at any depth; at the top those of rules.inside may
--   rules.data      names at the top whose values are data of the caller's: no name in them means anything to a server
--   rules.media     names under which every `url`, or a string itself, must start with "data:"
--   rules.inside    names of objects at the top whose own names are of interest
--   rules.strict    numbers and words must be those of RFC 8259, no number longer than it can matter
--   found           full name -> { from, to }: of the names at the top, and as "outer.inner" of those inside
local MOST_STEPS, DEEPEST = 250000, 64
local FIRST_NAME, NAME, VALUE, AFTER = 0, 1, 2, 3
local QUOTE, COLON, COMMA, BACKSLASH = 34, 58, 44, 92
local OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = 123, 125, 91, 93
NOT_JSON = "The body is not JSON."
NOT_PLAIN = "Numbers must have at most 32 characters and fit into 64 bits; there are no words but true, false and null."

-- The quote that ends the string which starts before `at`: the first with an even number of backslashes before it.
local function string_end(text, at)
  local from = at
  while true do
    local stop = string.find(text, '"', at, true)
    if not stop then return nil end
    local before = stop - 1
    while before >= from and string.byte(text, before) == BACKSLASH do before = before - 1 end
    if (stop - before) % 2 == 1 then return stop end
    at = stop + 1
  end
end

local MOST_DIGITS = 32
local TOO_LONG = string.rep("%d", MOST_DIGITS + 1)
local WORDS_OF_JSON = { ["true"] = true, ["false"] = true, null = true }

-- A number of at most 32 characters that 64 bits hold, or one of three words.
local function is_plain(word)
  return WORDS_OF_JSON[word] or #word <= MOST_DIGITS and is_finite(word)
end

-- The end of a row of numbers, in one step; before `at` without a row, nil for a number that is too long.
local function end_of_numbers(text, at, strict)
  if not strict then return select(2, string.find(text, "^[-+%d.eE, \t\r\n]+", at)) end
  local stop = select(2, string.find(text, "^[%d, \t\r\n]*", at))
  if string.find(text, "^[.eE]", stop + 1) then
    while stop >= at and string.find(text, "^%d", stop) do stop = stop - 1 end -- a fraction begins there
  end
  if string.find(string.sub(text, at, stop), TOO_LONG) then return nil end
  return stop
end

local function remote(text, from) return string.sub(text, from, from + 5) ~= '"data:' end

function scan_json(text, rules)
  local refused, media, inside, strict = rules.refused, rules.media or {}, rules.inside or {}, rules.strict
  local data, in_data = rules.data or {}, false
  local found, kinds, names, starts = {}, {}, {}, {}
  local at, depth, state, steps, name, in_media = 1, 0, VALUE, 0, nil, nil

  local function ended(from, to)
    if depth == 0 then return end
    local full = depth == 1 and name or depth == 2 and inside[names[2]] and kinds[1] == OPEN and name and names[2] .. "." .. name
    if full and kinds[depth] == OPEN then found[full] = { from, to } end
  end

  while true do
    steps = steps + 1
    if steps > MOST_STEPS then return "The body has too many parts.", nil end
    at = string.find(text, "[^ \t\r\n]", at)
    if not at then
      if depth == 0 and state == AFTER then return nil, found end
      return NOT_JSON, nil
    end
    local c = string.byte(text, at)
    if state <= NAME then
      if c == CLOSE and state == FIRST_NAME then
        state = AFTER -- of an empty object; its end is read below
      elseif c ~= QUOTE then
        return NOT_JSON, nil
      else
        local stop = string_end(text, at + 1)
        if not stop then return NOT_JSON, nil end
        name = string.sub(text, at + 1, stop - 1)
        if string.find(name, "\\u00[2-7]") then return "A name in the body is spelled with escapes.", name end
        if refused[name] and not in_data and not (depth == 1 and inside[name]) then
          return "This field is not allowed here.", name
        end
        if depth == 1 and found[name] then return "This field is there twice.", name end
        if depth == 2 and inside[names[2]] and found[names[2] .. "." .. name] then return "This field is there twice.", name end
        at = string.find(text, "[^ \t\r\n]", stop + 1)
        if not at or string.byte(text, at) ~= COLON then return NOT_JSON, nil end
        at, state = at + 1, VALUE
      end
    elseif state == VALUE then
      if c == OPEN or c == OPEN_LIST then
        depth = depth + 1
        if depth > DEEPEST then return "The body is nested too deeply.", nil end
        kinds[depth], names[depth], starts[depth] = c, name, at
        if depth == 2 then in_data = kinds[1] == OPEN and data[name] end
        if media[name] and not in_media and not in_data then in_media = depth end
        name = nil
        state = c == OPEN and FIRST_NAME or VALUE
        at = at + 1
      elseif c == CLOSE_LIST and kinds[depth] == OPEN_LIST then
        state = AFTER -- of an empty list
      elseif c == QUOTE then
        local stop = string_end(text, at + 1)
        if not stop then return NOT_JSON, nil end
        if (media[name] and not in_data or in_media and (name == "url" or not name)) and remote(text, at) then
          return "Only data: URLs are allowed here.", name or names[depth]
        end
        ended(at, stop)
        at, state = stop + 1, AFTER
      else
        local stop = at - 1
        if kinds[depth] == OPEN_LIST and (c == 45 or c >= 48 and c <= 57) then stop = end_of_numbers(text, at, strict) end
        if not stop then return NOT_PLAIN, names[depth] end
        if stop >= at then
          at = stop + 1
        else
          stop = select(2, string.find(text, "^[-+.%w]+", at))
          if not stop then return NOT_JSON, nil end
          if strict and not is_plain(string.sub(text, at, stop)) then return NOT_PLAIN, name or names[depth] end
          ended(at, stop)
          at, state = stop + 1, AFTER
        end
      end
    end
    if state == AFTER and at then
      at = string.find(text, "[^ \t\r\n]", at)
      c = at and string.byte(text, at)
      if depth == 0 then
        if c then return NOT_JSON, nil end
        return nil, found
      elseif c == COMMA then
        at, state, name = at + 1, kinds[depth] == OPEN and NAME or VALUE, nil
      elseif c == (kinds[depth] == OPEN and CLOSE or CLOSE_LIST) then
        if in_media == depth then in_media = nil end
        local from = starts[depth]
        name, depth = names[depth], depth - 1
        if depth == 1 then in_data = false end
        ended(from, at)
        at = at + 1
      else
        return NOT_JSON, nil
      end
    end
  end
end
