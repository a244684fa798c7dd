-- The name of a request's sequence, for the header by which Envoy chooses the replica: the same for the same id, whichever
-- protocol carries it. Triton takes whole numbers of 64 bits and texts, and keeps the two apart.
local NAME = "sequence_id"
local LONGEST = 256
local CONTROLS = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local LIMB = 10000000

local function of_number(digits) return "n" .. digits end

local function of_text(text)
  return "s" .. string.gsub(string.sub(text, 1, LONGEST), ".", function(c) return string.format("%02x", string.byte(c)) end)
end

local function utf8(code)
  if code < 128 then return string.char(code) end
  local last, rest = 128 + code % 64, math.floor(code / 64)
  if rest < 32 then return string.char(192 + rest, last) end
  local third, second = 128 + rest % 64, math.floor(rest / 64)
  if second < 16 then return string.char(224 + second, third, last) end
  return string.char(240 + math.floor(second / 64), 128 + second % 64, third, last)
end

-- The number that hexadecimal digits spell.
local function number_of(text)
  local value = 0
  for i = 1, #text do
    local b = string.byte(string.lower(text), i)
    value = value * 16 + b - (b < 58 and 48 or 87)
  end
  return value
end

-- What a JSON string says, without its quotes.
local function unescape(text)
  local out, at = {}, 1
  while true do
    local stop = string.find(text, "\\", at, true)
    if not stop then break end
    out[#out + 1] = string.sub(text, at, stop - 1)
    local code, low = string.match(text, "^u(%x%x%x%x)", stop + 1), nil
    if code then
      code, at = number_of(code), stop + 6
      if code >= 55296 and code < 56320 then low = string.match(text, "^\\u([dD][c-fC-F]%x%x)", at) end
      if low then code, at = 65536 + (code - 55296) * 1024 + number_of(low) - 56320, at + 6 end
      out[#out + 1] = utf8(code)
    else
      local c = string.sub(text, stop + 1, stop + 1)
      out[#out + 1] = CONTROLS[c] or c
      at = stop + 2
    end
  end
  out[#out + 1] = string.sub(text, at)
  return table.concat(out)
end

-- The sequence id in a value as JSON spells it; nil if it is no id.
function sequence_in_json(value)
  local text = string.match(value, '^"(.*)"$')
  if text then return of_text(unescape(text)) end
  return string.find(value, "^%d+$") and of_number(value) or nil
end

-- The varint at `at`, in digits: in three parts, because a number here holds 53 bits.
local function digits(text, at)
  local groups = {}
  for i = at, at + 9 do
    local b = string.byte(text, i)
    groups[#groups + 1] = #groups == 9 and b % 2 or b % 128
    if b < 128 then break end
  end
  local low, middle, high = 0, 0, 0
  for i = #groups, 1, -1 do
    low = low * 128 + groups[i]
    middle = middle * 128 + math.floor(low / LIMB)
    high = high * 128 + math.floor(middle / LIMB)
    low, middle = low % LIMB, middle % LIMB
  end
  local found = string.gsub(string.format("%d%07d%07d", high, middle, low), "^0+", "")
  return found == "" and "0" or found
end

-- Calls `visit` with each field from `at` to `stop`: its number, its kind, and where its content begins and ends.
local function fields(text, at, stop, visit)
  while at <= stop do
    local tag, from, size
    tag, from = field_tag(text, at, stop)
    if not tag then return end
    size, at = field_length(tag % 8, text, from, stop)
    if not size or at + size - 1 > stop then return end
    visit(math.floor(tag / 8), tag % 8, tag % 8 == 2 and at or from, at + size - 1)
    at = at + size
  end
end

-- Whether the entry of `parameters` from `at` to `stop` is the sequence's, and its name.
function sequence_in_entry(text, at, stop)
  local key, id = "", nil
  fields(text, at, stop, function(number, kind, from, to)
    if number == 1 and kind == 2 then
      key = string.sub(text, from, math.min(to, from + #NAME))
    elseif number == 2 and kind == 2 then
      fields(text, from, to, function(choice, form, first, last)
        if (choice == 2 or choice == 5) and form == 0 then id = of_number(digits(text, first))
        elseif choice == 3 and form == 2 then id = of_text(string.sub(text, first, last))
        elseif choice == 1 or choice == 4 then id = nil end
      end)
    end
  end)
  return key == NAME, id
end

-- The sequence id of a ModelInferRequest from `at` to `stop`. The last of two entries counts, as for a backend.
function sequence_in_message(text, at, stop)
  local id
  fields(text, at, stop, function(number, kind, from, to)
    if number ~= 4 or kind ~= 2 then return end
    local its, name = sequence_in_entry(text, from, to)
    if its then id = name end
  end)
  return id
end
