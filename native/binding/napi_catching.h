// node-addon-api, in which every C++ exception that leaves a method becomes a JavaScript error: by itself it catches its own only,
// and any other ends the process. All files of the addon include it through here, so that they agree.
#pragma once

#ifndef NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#endif
#include <napi.h>
