-- What a shape may be. Triton makes room for all elements of an input before it looks for them: a body of 150 bytes that
-- says 2^40 ends it. And it cuts a batch to 32 bits, so that a model is told of more elements than there are. Each takes a
-- byte at least, so no shape is right that has more elements than its request has bytes.
local MOST_DIMENSIONS, LARGEST_DIMENSION = 64, 2147483647
WRONG_SHAPE = "A shape must be a list of at most 64 whole numbers, and have no more elements than the request has bytes."

function is_possible_shape(dimensions, size)
  if #dimensions > MOST_DIMENSIONS then return false end
  local elements = 1
  for _, dimension in ipairs(dimensions) do
    if dimension > LARGEST_DIMENSION then return false end
    elements = elements * dimension
  end
  return elements <= size
end
