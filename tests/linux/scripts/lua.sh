# SPDX-License-Identifier: BSD-2-Clause
# Lua, from its sources, with musl.
cat > work.lua <<'END'
-- Tables, closures, coroutines, patterns, numbers.
local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words, function(a, b) return #a < #b or #a == #b and a < b end)
print(table.concat(words, " "))
local function primes(n)
    return coroutine.wrap(function()
        for i = 2, n do
            local prime = true
            for j = 2, math.floor(math.sqrt(i)) do prime = prime and i % j ~= 0 end
            if prime then coroutine.yield(i) end
        end
    end)
end
local sum = 0
for p in primes(2000) do sum = sum + p end
print(sum, 7 // 2, 7 / 2, 2 ^ 53, math.maxinteger + 1 == math.mininteger)
print(string.format("%5.2f|%-6s|%x|%q", math.pi, "ab", 255, "a\nb"), ("%d"):rep(3, ","):format(1, 2, 3))
print(pcall(error, { code = 42 }), select("#", table.unpack({ 1, nil, 3 }, 1, 3)))
local weak = setmetatable({}, { __mode = "k" })
for i = 1, 1000 do weak[{}] = i end
collectgarbage()
print(next(weak), collectgarbage("count") < 1000)
-- Files, pipes, the environment, time.
local file <close> = assert(io.open("numbers", "w"))
for i = 1, 1000 do file:write(i, "\n") end
file:seek("set", 0)
file:close()
local total = 0
for line in io.lines("numbers") do total = total + tonumber(line) end
local pipe = io.popen("wc -l < numbers")
print(total, tonumber(pipe:read("a")), pipe:close())
print(os.getenv("PWD"), os.execute("exit 3"))
print(os.rename("numbers", "moved"), os.remove("numbers"))
print(os.date("!%Y-%m-%d", 0), os.time { year = 2000, month = 1, day = 1, hour = 12 } > 0, os.clock() >= 0)
print(#arg, arg[0], ...)
error("at the end")
END
lua work.lua one two
