// SPDX-License-Identifier: BSD-2-Clause
// lua SCRIPT [ARGUMENT...]: Lua's library with as little of an interpreter around it as scripts need.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int main(int count, char **words) {
    lua_State *state = luaL_newstate();
    if (!state || count < 2)
        return 2;
    luaL_openlibs(state);
    lua_newtable(state);
    for (int at = 0; at < count; at++) {
        lua_pushstring(state, words[at]);
        lua_rawseti(state, -2, at - 1);
    }
    lua_setglobal(state, "arg");
    int status = luaL_loadfile(state, words[1]);
    if (status == LUA_OK) {
        for (int at = 2; at < count; at++)
            lua_pushstring(state, words[at]);
        status = lua_pcall(state, count - 2, 0, 0);
    }
    if (status != LUA_OK)
        fprintf(stderr, "lua: %s\n", lua_tostring(state, -1));
    lua_close(state);
    return status != LUA_OK;
}
