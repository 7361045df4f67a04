// What the parts of the post-processing addon put into its exports, one file per part.
#pragma once

#include <napi.h>

/// Adds `PolyHash` and `shuffleBits` (verify_binding.cc).
void InitVerify(Napi::Env env, Napi::Object exports);
