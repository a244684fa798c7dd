-- The one way in which a number is read out of a header or a body: digits alone, none of them a leading zero, and at most
-- 15, so that it is exact. What else other readers take for a number (signs, blanks, exponents, 0x, two values joined by
-- a comma) each of them takes for another one: `148e-9` is 148 to atoi and nothing to tonumber. None of it passes here.
local MOST_DIGITS = 15

-- The number, or nothing.
function whole_number(text)
  if #text > MOST_DIGITS or not string.find(text, "^%d+$") then return nil end
  if #text > 1 and string.byte(text) == 48 then return nil end
  return tonumber(text)
end

-- Whether the text is a number of JSON, as RFC 8259 spells them, that a float of 64 bits holds.
function is_finite(text)
  local rest = string.match(text, "^-?0(.*)$") or string.match(text, "^-?[1-9]%d*(.*)$")
  if not rest then return false end
  rest = string.match(rest, "^%.%d+(.*)$") or rest
  if rest ~= "" and not string.find(rest, "^[eE][-+]?%d+$") then return false end
  return math.abs(tonumber(text)) < math.huge
end
