// What the parts of the post-processing addon put into its exports, one file per part.
#pragma once

#include <napi.h>

/// Adds `amplify` and `amplifyWays` (amplify_binding.cc).
void InitAmplify(Napi::Env env, Napi::Object exports);
/// Adds `Cascade` (cascade_binding.cc).
void InitCascade(Napi::Env env, Napi::Object exports);
/// Adds `LdpcAlice`, `LdpcBob`, `ldpcPlan`, `ldpcLeakedBits` and `ldpcWays` (ldpc_binding.cc).
void InitLdpc(Napi::Env env, Napi::Object exports);
/// Adds `takePlane`, `selectBits` and `countBoth` (sift_binding.cc).
void InitSift(Napi::Env env, Napi::Object exports);
/// Adds `PolyHash` and `shuffleBits` (verify_binding.cc).
void InitVerify(Napi::Env env, Napi::Object exports);
